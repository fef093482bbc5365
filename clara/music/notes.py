"""Music as columns: `NoteSequence`, the grid, and what mending costs.

Conventions
-----------
- `start` and `duration` count grid steps; `pitch` is a MIDI number 0-127 (60 is
  middle C); `part` is a small index (0 = piano, 1 = solo instrument).
- Notes are sorted by (start, part, pitch). A duration is at least one step.
  Within one part, notes of one pitch never overlap.
- Rounding to the grid is to the nearest step, half up, and happens in
  `quantize` alone.
- The time_signatures is a tuple of (step, numerator, denominator), ascending, the first at step 0
  (before it in music cropped inside a bar): from that step on, bars of numerator/denominator of a whole note. Like the tempo and the
  instruments it goes with the notes and does not count when two sequences are compared.
- Whatever drops, merges, shortens or moves notes returns a `collections.Counter`
  of how many; counters add up.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from clara.jit import compiled, int64_1d_readonly

LOWEST_PIANO_PITCH, HIGHEST_PIANO_PITCH = 21, 108  # MIDI numbers of A0 and C8
COLUMNS = ("start", "duration", "pitch", "part")
COMMON_TIME = ((0, 4, 4),)
START_BITS, LENGTH_BITS = (
    26,
    23,
)  # in which steps are packed beside 14 of part and pitch; a piece of 50,000 quarters takes 23 at 96 steps


@dataclass(frozen=True, eq=False)
class NoteSequence:
    """Notes on a grid, as equal-length integer columns.

    Parameters
    ----------
    start, duration : int64 arrays, shape (n,), in steps
    pitch : int64 array, shape (n,), MIDI numbers 0-127
    part : int64 array, shape (n,), 0 = piano, 1 = solo instrument
    steps_per_quarter : grid steps in a quarter note, at least 1
    qpm : quarter notes per minute
    time_signatures : tuple of (step, numerator, denominator), see above
    instruments : prefix of each part's instrument in `clara.music.instruments`, part 0 first

    Raises
    ------
    ValueError
        If the columns break the conventions above; `build_notes` builds a sequence
        from columns that may.
    """

    start: np.ndarray
    duration: np.ndarray
    pitch: np.ndarray
    part: np.ndarray
    steps_per_quarter: int = 12
    qpm: float = 120.0
    time_signatures: tuple = COMMON_TIME
    instruments: tuple = ("p", "v")

    def __post_init__(self):
        for name in COLUMNS:
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.int64))
        fault = _first_fault(self)
        if fault:
            raise ValueError(fault)

    def __len__(self):
        return len(self.start)

    def __eq__(self, other):
        if not isinstance(other, NoteSequence):
            return NotImplemented
        return self.steps_per_quarter == other.steps_per_quarter and all(
            np.array_equal(getattr(self, c), getattr(other, c)) for c in COLUMNS
        )

    def __repr__(self):
        return (
            f"NoteSequence({len(self)} notes, {self.quarters:g} quarters at {self.qpm:g} qpm, "
            f"{self.steps_per_quarter} steps per quarter)"
        )

    @classmethod
    def _trusted(cls, start, duration, pitch, part, steps_per_quarter, qpm, time_signatures, instruments):
        """The same without checks, for int64 columns that keep the conventions by how they were made."""
        notes = object.__new__(cls)
        for name, value in zip(
            (*COLUMNS, "steps_per_quarter", "qpm", "time_signatures", "instruments"),
            (start, duration, pitch, part, steps_per_quarter, qpm, time_signatures, instruments),
        ):
            object.__setattr__(notes, name, value)
        return notes

    @property
    def end(self):
        """Steps at which the notes end, shape (n,)."""
        return self.start + self.duration

    @property
    def n_steps(self):
        """Steps from zero to the last note's end."""
        return int(self.end.max()) if len(self) else 0

    @property
    def quarters(self):
        """Quarter notes from zero to the last note's end."""
        return self.n_steps / self.steps_per_quarter

    @property
    def seconds(self):
        """Length in seconds at this tempo."""
        return self.quarters * 60 / self.qpm


def _first_fault(notes):
    """What breaks the conventions first, or None."""
    columns = [getattr(notes, c) for c in COLUMNS]
    if any(c.ndim != 1 or len(c) != len(columns[0]) for c in columns):
        return f"columns must be flat and equally long, not of shapes {[c.shape for c in columns]}"
    if notes.steps_per_quarter < 1:
        return f"steps_per_quarter must be at least 1, not {notes.steps_per_quarter}"
    if not notes.qpm > 0:
        return f"qpm must be above 0, not {notes.qpm}"
    if not len(notes):
        return None
    if notes.start.min() < 0 or notes.duration.min() < 1:
        return "a note starts before step 0 or lasts less than one step"
    if notes.pitch.min() < 0 or notes.pitch.max() > 127:
        return "a pitch lies outside 0-127"
    if notes.part.min() < 0:
        return "a part is negative"
    rank = _rank(notes.start, notes.part, notes.pitch)
    if (np.diff(rank) < 0).any():
        return "notes are not sorted by (start, part, pitch)"
    if _overlaps(notes.start, notes.end, notes.pitch, notes.part)[1].any():
        return "two notes of one pitch and part overlap"
    return None


def _rank(start, part, pitch):
    """One integer per note that sorts by (start, part, pitch)."""
    return (start * 128 + part) * 128 + pitch


def _overlaps(start, end, pitch, part):
    """Order by (part, pitch, start), and whether each note there runs into the next."""
    tone = part * 128 + pitch
    order = np.argsort(tone << 44 | start)
    tone, start, end = tone[order], start[order], end[order]
    return order, (tone[:-1] == tone[1:]) & (end[:-1] > start[1:])


def quantize(ticks, ticks_per_quarter, steps_per_quarter):
    """Round times to the grid: nearest step, half up, in exact integers.

    Parameters
    ----------
    ticks : integer array of any shape, in ticks
    ticks_per_quarter, steps_per_quarter : int

    Returns
    -------
    int64 array of the same shape, in steps
    """
    ticks = np.asarray(ticks, dtype=np.int64)
    return (2 * ticks * steps_per_quarter + ticks_per_quarter) // (2 * ticks_per_quarter)


def build_notes(start, end, pitch, part=0, *, steps_per_quarter=12, qpm=120.0, time_signatures=COMMON_TIME, instruments=("p", "v")):
    """Build a `NoteSequence` from columns in any order that may overlap.

    A note shorter than a step gets one step. Notes of one part with equal start
    and pitch become the longest of them. A note that runs into the next of its
    pitch is cut there.

    Parameters
    ----------
    start, end : int arrays, shape (n,), in steps
    pitch : int array, shape (n,)
    part : int array, shape (n,), or one int for all
    steps_per_quarter, qpm, time_signatures, instruments : of the `NoteSequence`

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `merged` (notes gone into an equal one) and `cut`
    """
    start, end, pitch = (np.asarray(c, dtype=np.int64) for c in (start, end, pitch))
    part = np.full(start.shape, part) if np.ndim(part) == 0 else np.asarray(part, dtype=np.int64)
    packed, packs = (
        _pack(start, end, pitch, part) if len({c.shape for c in (start, end, pitch, part)}) == 1 else (None, False)
    )
    if not packs:
        return NoteSequence(
            start, np.maximum(end - start, 1), pitch, part, steps_per_quarter, qpm, time_signatures, instruments
        ), Counter()  # says why
    packed.sort()
    *columns, merged, cut = _mended(packed)
    return NoteSequence._trusted(*columns, steps_per_quarter, qpm, time_signatures, instruments), Counter(merged=merged, cut=cut)


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, int64_1d_readonly)
def _pack(start, end, pitch, part):
    """Notes as one integer each, which sorts by (start, part, pitch, length), and whether all can be ones of a NoteSequence."""
    packed, packs = np.empty(len(start), dtype=np.int64), True
    for i in range(len(start)):
        length = max(end[i] - start[i], 1)
        packs &= (0 <= start[i]) & (start[i] + length < 1 << START_BITS) & (length < 1 << LENGTH_BITS)
        packs &= (0 <= pitch[i] < 128) & (0 <= part[i] < 128)
        packed[i] = ((start[i] << 7 | part[i]) << 7 | pitch[i]) << LENGTH_BITS | length
    return packed, packs


@compiled(int64_1d_readonly)
def _mended(packed):
    """start, duration, pitch and part of sorted packed notes, how many were merged and how many cut."""
    start, length, tone = np.empty_like(packed), np.empty_like(packed), np.empty_like(packed)
    n, cut, n_tones = 0, 0, 0
    for note in packed:
        n_tones = max(n_tones, (note >> LENGTH_BITS & 0x3FFF) + 1)
    latest = np.full(n_tones, -1)  # note by tone
    for i in range(len(packed)):
        if i + 1 < len(packed) and packed[i] >> LENGTH_BITS == packed[i + 1] >> LENGTH_BITS:
            continue  # of those with equal start and tone the longest comes last
        start[n], tone[n] = packed[i] >> LENGTH_BITS + 14, packed[i] >> LENGTH_BITS & 0x3FFF
        length[n] = packed[i] & (1 << LENGTH_BITS) - 1
        before = latest[tone[n]]
        if before >= 0 and start[before] + length[before] > start[n]:
            length[before] = start[n] - start[before]
            cut += 1
        latest[tone[n]] = n
        n += 1
    return start[:n], length[:n], tone[:n] & 127, tone[:n] >> 7, len(packed) - n, cut


def rebuild_notes(notes, start, end, pitch, part):
    """`build_notes` with the grid, tempo, time_signatures and instruments of `notes`."""
    return build_notes(
        start,
        end,
        pitch,
        part,
        steps_per_quarter=notes.steps_per_quarter,
        qpm=notes.qpm,
        time_signatures=notes.time_signatures,
        instruments=notes.instruments,
    )


def transpose(notes, semitones):
    """Move every pitch; notes that leave 0-127 are dropped.

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `dropped`
    """
    pitch = notes.pitch + semitones
    keep = (pitch >= 0) & (pitch <= 127)
    moved = replace(select(notes, keep), pitch=pitch[keep])
    return moved, Counter(dropped=int((~keep).sum()))


def fold_octaves(notes, lowest, highest):
    """Bring pitches outside lowest..highest (MIDI numbers, inclusive) in by octaves.

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `folded`, and what `build_notes` lost where notes met
    """
    if not len(notes) or (notes.pitch.min() >= lowest and notes.pitch.max() <= highest):
        return notes, Counter()
    below = np.maximum(0, -((notes.pitch - lowest) // 12))
    above = np.maximum(0, -((highest - notes.pitch) // 12))
    folded = int(((below > 0) | (above > 0)).sum())
    pitch = notes.pitch + 12 * (below - above)
    kept, losses = rebuild_notes(notes, notes.start, notes.end, pitch, notes.part)
    return kept, losses + Counter(folded=folded)


def crop(notes, first_step, last_step):
    """The notes that sound in first_step..last_step, cut at both ends, moved to start at 0.

    Returns
    -------
    NoteSequence
    """
    start, end = np.maximum(notes.start, first_step), np.minimum(notes.end, last_step)
    inside = end > start
    time_signatures = _crop_time_signatures(notes.time_signatures, first_step)
    return rebuild_notes(
        replace(notes, time_signatures=time_signatures),
        start[inside] - first_step,
        end[inside] - first_step,
        notes.pitch[inside],
        notes.part[inside],
    )[0]


def _crop_time_signatures(time_signatures, first_step):
    """The time_signatures as it is from first_step on; where that lies inside a bar, the bar begins before step 0."""
    at = max(i for i, (step, _, _) in enumerate(time_signatures) if step <= max(0, first_step))
    return tuple((step - first_step, n, d) for step, n, d in time_signatures[at:])


def select(notes, keep):
    """The notes where the boolean array `keep`, shape (n,), is true."""
    return replace(notes, **{c: getattr(notes, c)[keep] for c in COLUMNS})
