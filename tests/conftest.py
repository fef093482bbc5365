"""Fixtures: real MIDI files, a small prepared corpus, a folder of music."""

import json
import os
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
import torch
from examples import REAL_PIECES, REPOSITORY, SOURCES, melody
from hypothesis import settings

from clara.data.corpus import MANIFEST_COLUMNS
from clara.encodings.notewise import Notewise
from clara.music.midi import write_midi
from clara.music.notes import build_notes

# a shared machine makes single examples slow now and then
settings.register_profile("clara", deadline=None, max_examples=60)
settings.load_profile("clara")

# Programs and notebooks that tests start use one thread: pytest-xdist keeps all cores busy.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_collection_modifyitems(items):
    """Mark the notebooks as slow; modules of tests mark themselves."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread in each test, whatever a command of an earlier test set: pytest-xdist keeps all cores busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def clean_checkout():
    """Fail if a test leaves a file at the top of the checkout."""
    before = set(REPOSITORY.iterdir())
    yield
    left = {path for path in set(REPOSITORY.iterdir()) - before if path.is_file()}
    assert not left, f"a test left {', '.join(map(str, left))}; run commands in tmp_path or name --out"


@pytest.fixture(scope="session", autouse=True)
def scratch(tmp_path_factory):
    """music21 keeps parsed scores in the system's temporary folder by default."""
    from music21 import environment

    environment.Environment()["directoryScratch"] = str(tmp_path_factory.mktemp("music21"))


@pytest.fixture(scope="session")
def real_midi(tmp_path_factory, scratch):
    """MIDI files that music21 made from its corpus: {name in the corpus: path}."""
    from music21 import corpus

    folder = tmp_path_factory.mktemp("real")
    return {name: Path(corpus.parse(name).write("midi", folder / f"{name[5:]}.mid")) for name in REAL_PIECES}


@pytest.fixture
def corpus_folder(tmp_path):
    """Return a prepared corpus, made by hand: eight pieces, one refused, keys differing in their room."""
    folder = tmp_path / "corpus"
    encoding = Notewise(12, 88)
    rows = []
    for i, split in enumerate(["train", "valid", "train", "test", "train", "train", "train", ""]):
        row = dict.fromkeys(MANIFEST_COLUMNS, "") | {"piece": f"bach/{i}", "composer": "bach", "split": split}
        if split:
            notes = build_notes([0, 12, 12, 30 + i], [12, 24, 30, 40 + i], [21 + 9 * i, 40, 60 + i, 108 - 9 * i])[0]
            words, _ = encoding.encode(notes)
            path = folder / f"bach/{i}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(" ".join(words) + "\n")
            row |= {
                "hash": sha256(path.read_bytes()).hexdigest(),
                "work": i,
                "notes": len(notes),
                "quarters": notes.quarters,
                "tokens": len(words),
                "time_signatures": f"{-i} 3/4" if i else "0 4/4",
            }
        else:
            row["reason"] = "NoNotes: it has none"
        rows.append(row)
    pd.DataFrame(rows, columns=MANIFEST_COLUMNS).to_csv(folder / "manifest.csv", index=False)
    (folder / "corpus.json").write_text(json.dumps({"encoding": encoding.settings, "about": "by hand"}))
    return folder


@pytest.fixture
def music(tmp_path):
    """Return a folder of five pieces of two composers."""
    folder = tmp_path / "music"
    for seed, name in enumerate(SOURCES):
        path = folder / f"{name}.mid"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_midi(melody(seed), path)
    return folder


@pytest.fixture
def encode_into(tmp_path):
    """Return a function that encodes into tmp_path/out; gives (status, manifest by piece)."""
    from data_prep import prepare

    def encode_(*arguments):
        status = prepare.main([*map(str, arguments), "--out", str(tmp_path / "out"), "--workers", "1"])
        table = pd.read_csv(tmp_path / "out/manifest.csv", keep_default_na=False)
        return status, table.set_index("piece", drop=False)

    return encode_
