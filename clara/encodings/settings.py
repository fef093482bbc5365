"""The settings of an encoding as configs hold them, with the bounds within which an encoding is built."""

from typing import Annotated, Any

from pydantic import Field

from clara.records import Name, Record

MAX_STEPS_PER_QUARTER = 480  # `clara prepare` offers 96 at most


class EncodingSettings(Record):
    """What `clara.encodings.make_encoding` builds an encoding from.

    Attributes
    ----------
    encoding : str
        Name in `clara.encodings.ENCODINGS`.
    steps_per_quarter, n_keys, prefixes
        As of `clara.encodings.base.Encoding`.
    holds : bool, optional
        For chordwise: whether the text holds notes that keep sounding.
    """

    encoding: Name
    steps_per_quarter: Annotated[int, Field(ge=1, le=MAX_STEPS_PER_QUARTER)] | None = None
    n_keys: Annotated[int, Field(ge=1, le=128)] | None = None
    prefixes: Annotated[list[Name], Field(min_length=1, max_length=16)] | None = None
    holds: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that are set."""
        return self.model_dump(exclude_none=True)
