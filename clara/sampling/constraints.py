"""Constraints on the notes of a composed piece, which the grammars enforce."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from clara.errors import BadSetting


@dataclass(frozen=True)
class Constraints:
    """What the notes must keep to, beyond what the encoding can write.

    Attributes
    ----------
    max_note_quarters, max_rest_quarters : float or None
        The longest note and the longest rest in quarter notes; None for no limit.
    pitch_classes : set of int or None
        The pitch classes that notes may have, 0 to 11 with C as 0; None for all.
    ranges : mapping of int to (int, int)
        The lowest and the highest MIDI pitch of each part that has a range.
    max_notes : int or None
        How many notes may sound at once; None for no limit.

    Raises
    ------
    BadSetting
        If no music can satisfy a constraint.
    """

    max_note_quarters: float | None = None
    max_rest_quarters: float | None = None
    pitch_classes: Set[int] | None = None
    ranges: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    max_notes: int | None = None

    def __post_init__(self):
        for name in ("max_note_quarters", "max_rest_quarters"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise BadSetting(f"{name} must be above 0, not {value}")
        if self.pitch_classes is not None and not set(self.pitch_classes) <= set(range(12)):
            raise BadSetting(f"pitch classes are from 0 to 11, not {sorted(self.pitch_classes)}")
        for part, (lowest, highest) in self.ranges.items():
            if lowest > highest:
                raise BadSetting(f"part {part}: no pitch from {lowest} to {highest}")
        if self.max_notes is not None and self.max_notes < 1:
            raise BadSetting(f"max_notes must be at least 1, not {self.max_notes}")

    def describe(self) -> str:
        """Return the constraints on the start of a note in words, for messages; empty if there is none."""
        from clara.music.keys import TONICS  # numpy waits until it is needed

        parts = []
        if self.pitch_classes is not None:
            parts.append(f"the scale of {', '.join(TONICS[c] for c in sorted(self.pitch_classes))}")
        for part, (lowest, highest) in self.ranges.items():
            parts.append(f"pitches {lowest} to {highest} of part {part}")
        if self.max_notes is not None:
            parts.append(f"at most {self.max_notes} notes at once")
        return " and ".join(parts)


# Of the notes in the piano corpus one in 10,000 is longer than twelve quarters, and 99 of 100 pieces have no rest
# longer than 4.3. A note or rest that lasts longer is one that the model has forgotten.
DEFAULT_CONSTRAINTS = Constraints(max_note_quarters=12, max_rest_quarters=4)
