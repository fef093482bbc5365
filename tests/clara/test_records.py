"""JSON files of strangers are read by a schema, and each fault has a name."""

from typing import Annotated

import pytest
from pydantic import Field

from clara.errors import CheckpointMismatch, NoData
from clara.records import Record, read_record


class Inner(Record):
    sizes: list[int] = []


class Sample(Record):
    number: Annotated[float, Field(gt=0, le=10)]
    inner: Inner = Inner()


def read(tmp_path, text, error=CheckpointMismatch):
    path = tmp_path / "sample.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_record(path, Sample, error)


def test_what_fits_is_read(tmp_path):
    record = read(tmp_path, '{"number": 2, "inner": {"sizes": [1]}, "of a later version": 1}')
    assert record.number == 2 and record.inner.sizes == [1]


FAULTS = {
    "empty": ("", "broken JSON"),
    "cut": ('{"number": 1', "broken JSON"),
    "nested": ("[" * 100_000 + "]" * 100_000, "broken JSON"),
    "not text": (b"\xff\xfe", "broken JSON"),
    "a list": ("[1]", "not a JSON object"),
    "without a number": ("{}", "number is missing"),
    "a text": ('{"number": "1"}', "number is '1'"),
    "true": ('{"number": true}', "number is True"),
    "not a number": ('{"number": NaN}', "number is nan"),
    "infinite": ('{"number": 1e999}', "number is inf"),
    "too large": ('{"number": 11}', "number is 11"),
    "longer than any number": ('{"number": ' + "9" * 5000 + "}", "sample.json"),
    "deep inside": ('{"number": 1, "inner": {"sizes": [0.5]}}', "inner.sizes.0 is 0.5"),
}


@pytest.mark.parametrize("text, message", FAULTS.values(), ids=FAULTS)
def test_each_fault_has_a_name(tmp_path, text, message):
    with pytest.raises(CheckpointMismatch, match=message) as e:
        read(tmp_path, text)
    assert "sample.json" in str(e.value) and len(str(e.value)) < 500


def test_a_missing_file_and_one_that_is_too_large(tmp_path, monkeypatch):
    with pytest.raises(NoData, match="No such file"):
        read_record(tmp_path / "nowhere.json", Sample, NoData)
    monkeypatch.setattr("clara.records.MAX_BYTES", 10)
    with pytest.raises(NoData, match="larger than"):
        read(tmp_path, '{"number": 1           }', NoData)
