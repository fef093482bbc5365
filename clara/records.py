"""Read JSON files that may come from a stranger, each by a schema that checks types and bounds.

The schema of a file is a subclass of `Record`, beside the code that reads the file.
"""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clara.errors import CheckpointMismatch, ClaraError

MAX_BYTES = 16 << 20  # of a JSON file
MAX_SHOWN = 60  # characters of a wrong value in a message

Name = Annotated[str, Field(min_length=1, max_length=200)]
Hash = Annotated[str, Field(min_length=1, max_length=64)]


class Record(BaseModel):
    """The content of a JSON file or a part of it; numbers must be finite, and no type is converted."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, extra="ignore")


R = TypeVar("R", bound=Record)


def read_record(path: str | Path, schema: type[R], error: type[ClaraError] = CheckpointMismatch) -> R:
    """Read a JSON file by its schema.

    Parameters
    ----------
    path : str or Path
    schema : subclass of Record
    error : class
        What to raise.

    Raises
    ------
    ClaraError
        The given class of error, if the file is missing, too large, no JSON or does not fit the schema. The message
        names the file, the entry and what is wrong with it.
    """
    return parse_record(_read_bytes(path, error), schema, path, error)


def parse_record(text: str | bytes, schema: type[R], source: Any, error: type[ClaraError] = CheckpointMismatch) -> R:
    """Return JSON text by its schema; `source` names it in the message of the error."""
    try:
        return schema.model_validate_json(text)
    except ValidationError as e:
        raise error(f"{source}: {describe(e)}") from e


def describe(e: ValidationError) -> str:
    """Return the first fault that a schema found, in one line."""
    fault = e.errors(include_url=False)[0]
    entry = ".".join(map(str, fault["loc"]))
    if fault["type"] == "json_invalid":
        return f"broken JSON ({fault['msg'].removeprefix('Invalid JSON: ')})"
    if fault["type"] == "missing":
        return f"{entry} is missing"
    if not entry:
        return "not a JSON object" if fault["type"] == "model_type" else fault["msg"]
    return f"{entry} is {shorten(fault['input'])}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def shorten(value: Any) -> str:
    """Return the text of a value, cut to a length that fits into a message."""
    text = repr(value) if not isinstance(value, (list, dict)) or len(value) < MAX_SHOWN else f"{len(value)} entries"
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def _read_bytes(path, error):
    """Return the bytes of a file within the limit."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as e:
        raise error(f"{path}: missing or broken ({getattr(e, 'strerror', None) or e})") from e
    if len(data) > MAX_BYTES:
        raise error(f"{path}: larger than {MAX_BYTES >> 20} MiB")
    return data
