"""Music as columns of integers: `NoteSequence`, the grid, and functions that change notes.

Conventions
-----------
- `start` and `duration` are in grid steps. `pitch` is a MIDI number 0-127 (60 is middle C).
  `part` is a small index (0 = piano, 1 = solo instrument).
- Notes are sorted by (start, part, pitch). A duration is at least one step. Within one part,
  notes of one pitch never overlap.
- Times are rounded to the grid in `quantize` only: to the nearest step, half up.
- `time_signatures` is a tuple of (step, numerator, denominator), ascending: from that step on,
  bars last numerator/denominator of a whole note. The first entry is at step 0, or before it in
  music that begins inside a bar.
- `key_signatures` is a tuple of (step, fifths), ascending from step 0: from that step on, the key
  signature has so many sharps, or minus so many flats. It is empty if the key is unknown.
- Tempo, time signatures, key signatures and instruments do not count when two sequences are compared.
- A function that drops, merges, shortens or moves notes returns a `collections.Counter` of how
  many. Counters add up.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from clara.jit import compiled, int64_1d_readonly
from clara.music.bars import MAX_SIGNATURE_NUMBER
from clara.music.key_signatures import crop_key_signatures, transpose_key_signatures
from clara.wording import count_of

LOWEST_PIANO_PITCH, HIGHEST_PIANO_PITCH = 21, 108  # MIDI numbers of A0 and C8
COLUMNS = ("start", "duration", "pitch", "part")
SETTINGS = ("steps_per_quarter", "qpm", "time_signatures", "instruments", "key_signatures")
COMMON_TIME = ((0, 4, 4),)
# Of a loss in singular and plural, where the count's own name does not say it.
LOSS_WORDS = {
    "drums": ("drum note left out", "drum notes left out"),
    "grace": ("grace note left out", "grace notes left out"),
    "cue": ("cue note left out", "cue notes left out"),
    "lost": ("note lost in reading", "notes lost in reading"),
    "microtones": ("quarter tone rounded", "quarter tones rounded"),
    "unread": ("sign not understood", "signs not understood"),
    "tunes": ("other tune left out", "other tunes left out"),
}
# One int64 holds a note: start, part (7 bits), pitch (7 bits) and length, all in steps.
# A piece of 50,000 quarters at 96 steps per quarter needs 23 bits for its steps.
START_BITS, LENGTH_BITS = 26, 23


@dataclass(frozen=True, eq=False)
class NoteSequence:
    """Notes on a grid, as integer columns of equal length.

    Parameters
    ----------
    start, duration : int64 arrays, shape (n,)
        In steps.
    pitch : int64 array, shape (n,)
        MIDI numbers 0-127.
    part : int64 array, shape (n,)
        0 = piano, 1 = solo instrument.
    steps_per_quarter : int
        Grid steps in a quarter note, at least 1.
    qpm : float
        Tempo in quarter notes per minute.
    time_signatures : tuple of (step, numerator, denominator)
        See the module's conventions.
    instruments : tuple of str
        Prefix of each part's instrument in `clara.music.instruments`, part 0 first.
    key_signatures : tuple of (step, fifths)
        See the module's conventions.

    Raises
    ------
    ValueError
        If the columns break the conventions of this module. `build_notes` builds a sequence
        from columns in any order that may overlap.

    Examples
    --------
    A broken C major chord, one quarter long:

    >>> notes = NoteSequence.from_notes([(0, 12, 60), (4, 8, 64), (8, 4, 67)])
    >>> notes
    NoteSequence(3 notes, 1 quarter at 120 qpm, 12 steps per quarter)
    >>> notes.end.tolist(), notes.seconds
    ([12, 12, 12], 0.5)
    >>> transpose(notes, 2)[0].pitch.tolist()
    [62, 66, 69]
    """

    start: np.ndarray
    duration: np.ndarray
    pitch: np.ndarray
    part: np.ndarray
    steps_per_quarter: int = 12
    qpm: float = 120.0
    time_signatures: tuple = COMMON_TIME
    instruments: tuple = ("p", "v")
    key_signatures: tuple = ()

    def __post_init__(self):
        for name in COLUMNS:
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.int64))
        violation = _find_violation(self)
        if violation:
            raise ValueError(violation)

    @classmethod
    def from_notes(cls, notes, **settings) -> "NoteSequence":
        """Build a sequence from a list of notes in any order.

        Parameters
        ----------
        notes : iterable of (start, duration, pitch) or (start, duration, pitch, part)
            Start and duration in steps, pitch as a MIDI number. The part is 0 if it is missing.
        **settings
            `steps_per_quarter`, `qpm`, `time_signatures`, `instruments` or `key_signatures`.

        Returns
        -------
        NoteSequence

        Raises
        ------
        ValueError
            If a value is out of range or two notes of one pitch and part overlap.
        """
        rows = [(start, part, pitch, duration) for start, duration, pitch, part in map(_with_part, notes)]
        start, part, pitch, duration = np.array(sorted(rows), dtype=np.int64).reshape(-1, 4).T
        return cls(start, duration, pitch, part, **settings)

    @classmethod
    def _unchecked(cls, *values):
        """Build a sequence from int64 columns that are known to keep the conventions."""
        notes = object.__new__(cls)
        for name, value in zip((*COLUMNS, *SETTINGS), values, strict=True):
            object.__setattr__(notes, name, value)
        return notes

    def __len__(self) -> int:
        return len(self.start)

    def __eq__(self, other):
        if not isinstance(other, NoteSequence):
            return NotImplemented
        return self.steps_per_quarter == other.steps_per_quarter and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in COLUMNS
        )

    def __repr__(self) -> str:
        return (
            f"NoteSequence({count_of(len(self), 'note')}, {count_of(self.quarters, 'quarter')} at {self.qpm:g} qpm, "
            f"{self.steps_per_quarter} steps per quarter)"
        )

    @property
    def end(self) -> np.ndarray:
        """Steps at which the notes end, int64 array of shape (n,)."""
        return self.start + self.duration

    @property
    def n_steps(self) -> int:
        """Number of steps from step 0 to the end of the last note."""
        return int(self.end.max()) if len(self) else 0

    @property
    def quarters(self) -> float:
        """Number of quarter notes from step 0 to the end of the last note."""
        return self.n_steps / self.steps_per_quarter

    @property
    def seconds(self) -> float:
        """Length in seconds at this tempo."""
        return self.quarters * 60 / self.qpm


def _with_part(note):
    """Return (start, duration, pitch, part) of a note that may lack its part."""
    return tuple(note) if len(note) == 4 else (*note, 0)


def _find_violation(notes):
    """Return a description of the first convention that notes break, or None."""
    columns = [getattr(notes, name) for name in COLUMNS]
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
    sort_key = (notes.start * 128 + notes.part) * 128 + notes.pitch
    if (np.diff(sort_key) < 0).any():
        return "notes are not sorted by (start, part, pitch)"
    if _any_overlap(notes):
        return "two notes of one pitch and part overlap"
    return None


def _any_overlap(notes):
    """Return whether a note runs into the next one of its part and pitch."""
    tone = notes.part * 128 + notes.pitch
    order = np.argsort(tone << 44 | notes.start)
    tone, start, end = tone[order], notes.start[order], notes.end[order]
    return ((tone[:-1] == tone[1:]) & (end[:-1] > start[1:])).any()


def quantize(ticks, ticks_per_quarter: int, steps_per_quarter: int) -> np.ndarray:
    """Round times to the grid: to the nearest step, half up, in exact integers.

    Parameters
    ----------
    ticks : integer array of any shape
        Times in ticks.
    ticks_per_quarter, steps_per_quarter : int

    Returns
    -------
    int64 array of the same shape, in steps
    """
    ticks = np.asarray(ticks, dtype=np.int64)
    return (2 * ticks * steps_per_quarter + ticks_per_quarter) // (2 * ticks_per_quarter)


def quantize_time_signatures(changes, ticks_per_quarter: int, steps_per_quarter: int) -> tuple:
    """Round changes of the time signature to the grid.

    The result begins with common time at step 0 unless a change says otherwise. Impossible
    signatures and changes to the signature that already holds are left out.

    Parameters
    ----------
    changes : iterable of (tick, numerator, denominator)
        In ascending order of ticks; of changes in one step the last counts.
    ticks_per_quarter, steps_per_quarter : int

    Returns
    -------
    tuple of (step, numerator, denominator)
    """
    changes = list(changes)
    steps = quantize([tick for tick, _, _ in changes], ticks_per_quarter, steps_per_quarter).tolist()
    signature_at = {0: COMMON_TIME[0][1:]}
    for step, (_, numerator, denominator) in zip(steps, changes):
        if 1 <= numerator <= MAX_SIGNATURE_NUMBER and 1 <= denominator <= MAX_SIGNATURE_NUMBER:
            signature_at[step] = (numerator, denominator)
    kept = []
    for step, signature in sorted(signature_at.items()):
        if not kept or kept[-1][1:] != signature:
            kept.append((step, *signature))
    return tuple(kept)


def build_notes(
    start,
    end,
    pitch,
    part: np.ndarray | int = 0,
    *,
    steps_per_quarter=12,
    qpm=120.0,
    time_signatures=COMMON_TIME,
    instruments=("p", "v"),
    key_signatures=(),
) -> tuple[NoteSequence, Counter]:
    """Build a `NoteSequence` from columns in any order that may overlap.

    A note shorter than a step gets one step. Of notes with equal part, start and pitch the
    longest stays. A note that runs into the next one of its part and pitch is cut there.

    Parameters
    ----------
    start, end : int arrays, shape (n,)
        In steps.
    pitch : int array, shape (n,)
    part : int array, shape (n,), or one int for all notes
    steps_per_quarter, qpm, time_signatures, instruments, key_signatures
        As of `NoteSequence`.

    Returns
    -------
    notes : NoteSequence
    losses : Counter
        `merged` (notes that equal another one but for their length) and `cut`.

    Raises
    ------
    ValueError
        If a value is out of range or the columns differ in length.
    """
    start, end, pitch = (np.asarray(column, dtype=np.int64) for column in (start, end, pitch))
    part = np.full(start.shape, part) if np.ndim(part) == 0 else np.asarray(part, dtype=np.int64)
    settings = (steps_per_quarter, qpm, time_signatures, instruments, key_signatures)
    fits = start.shape == end.shape == pitch.shape == part.shape
    if fits:
        packed, fits = _pack(start, end, pitch, part)
    if not fits:  # the checks of the class say why, or find nothing wrong with very long music
        return NoteSequence(start, np.maximum(end - start, 1), pitch, part, *settings), Counter()
    packed.sort()
    start, duration, pitch, part, n_merged, n_cut = _merge_and_cut(packed)
    notes = NoteSequence._unchecked(start, duration, pitch, part, *settings)
    return notes, Counter(merged=n_merged, cut=n_cut)


@compiled(int64_1d_readonly, int64_1d_readonly, int64_1d_readonly, int64_1d_readonly)
def _pack(start, end, pitch, part):
    """Pack notes into one integer each that sorts by (start, part, pitch, length); also return whether all fit."""
    packed, fits = np.empty(len(start), dtype=np.int64), True
    for i in range(len(start)):
        length = max(end[i] - start[i], 1)
        fits &= (start[i] >= 0) & (start[i] + length < 1 << START_BITS) & (length < 1 << LENGTH_BITS)
        fits &= (0 <= pitch[i] < 128) & (0 <= part[i] < 128)
        packed[i] = ((start[i] << 7 | part[i]) << 7 | pitch[i]) << LENGTH_BITS | length
    return packed, fits


@compiled(int64_1d_readonly)
def _merge_and_cut(packed):
    """Unpack sorted notes into start, duration, pitch and part; also return how many were merged and cut."""
    start, length, tone = np.empty_like(packed), np.empty_like(packed), np.empty_like(packed)
    n, n_cut, n_tones = 0, 0, 0
    for note in packed:
        n_tones = max(n_tones, (note >> LENGTH_BITS & 0x3FFF) + 1)
    latest = np.full(n_tones, -1)  # the last note of each tone (part and pitch)
    for i in range(len(packed)):
        if i + 1 < len(packed) and packed[i] >> LENGTH_BITS == packed[i + 1] >> LENGTH_BITS:
            continue  # of notes with equal start and tone the longest comes last
        start[n] = packed[i] >> LENGTH_BITS + 14
        tone[n] = packed[i] >> LENGTH_BITS & 0x3FFF
        length[n] = packed[i] & (1 << LENGTH_BITS) - 1
        before = latest[tone[n]]
        if before >= 0 and start[before] + length[before] > start[n]:
            length[before] = start[n] - start[before]
            n_cut += 1
        latest[tone[n]] = n
        n += 1
    return start[:n], length[:n], tone[:n] & 127, tone[:n] >> 7, len(packed) - n, n_cut


def rebuild_notes(notes, start, end, pitch, part) -> tuple[NoteSequence, Counter]:
    """Call `build_notes` with the grid, tempo, time and key signatures and instruments of `notes`."""
    return build_notes(start, end, pitch, part, **{name: getattr(notes, name) for name in SETTINGS})


def transpose(notes: NoteSequence, semitones: int) -> tuple[NoteSequence, Counter]:
    """Transpose all notes and the key signatures, and drop the notes outside 0-127.

    Returns
    -------
    notes : NoteSequence
    losses : Counter
        `dropped`.
    """
    pitch = notes.pitch + semitones
    in_range = (pitch >= 0) & (pitch <= 127)
    key_signatures = transpose_key_signatures(notes.key_signatures, semitones)
    transposed = replace(select(notes, in_range), pitch=pitch[in_range], key_signatures=key_signatures)
    return transposed, Counter(dropped=int((~in_range).sum()))


def fold_octaves(notes: NoteSequence, lowest: int, highest: int) -> tuple[NoteSequence, Counter]:
    """Move notes outside a range into it by octaves.

    Parameters
    ----------
    notes : NoteSequence
    lowest, highest : int
        MIDI numbers, inclusive.

    Returns
    -------
    notes : NoteSequence
    losses : Counter
        `folded`, and `merged` and `cut` where notes met (see `build_notes`).
    """
    if not len(notes) or (notes.pitch.min() >= lowest and notes.pitch.max() <= highest):
        return notes, Counter()
    octaves_up = np.maximum(0, -((notes.pitch - lowest) // 12))
    octaves_down = np.maximum(0, -((highest - notes.pitch) // 12))
    n_folded = int(((octaves_up > 0) | (octaves_down > 0)).sum())
    pitch = notes.pitch + 12 * (octaves_up - octaves_down)
    folded, losses = rebuild_notes(notes, notes.start, notes.end, pitch, notes.part)
    return folded, losses + Counter(folded=n_folded)


def crop(notes: NoteSequence, start_step: int, stop_step: int) -> NoteSequence:
    """Return the notes that sound from `start_step` to `stop_step`, cut at both and moved to start at 0."""
    start = np.maximum(notes.start, start_step)
    end = np.minimum(notes.end, stop_step)
    inside = end > start
    cropped, _ = rebuild_notes(
        notes, start[inside] - start_step, end[inside] - start_step, notes.pitch[inside], notes.part[inside]
    )
    return replace(
        cropped,
        time_signatures=_crop_time_signatures(notes.time_signatures, start_step, stop_step),
        key_signatures=crop_key_signatures(notes.key_signatures, start_step, stop_step),
    )


def _crop_time_signatures(time_signatures, start_step, stop_step):
    """Return the time signatures between two steps; if the first lies inside a bar, it begins before step 0."""
    first = max(i for i, (step, _, _) in enumerate(time_signatures) if step <= max(0, start_step))
    return tuple(
        (step - start_step, numerator, denominator)
        for i, (step, numerator, denominator) in enumerate(time_signatures)
        if i == first or (i > first and step < stop_step)
    )


def describe_losses(losses: Counter) -> str:
    """Return a count of losses in words, such as "2 merged, 1 other tune left out"."""
    return ", ".join(
        f"{n:,} {LOSS_WORDS.get(kind, (kind, kind))[n != 1]}"
        for kind, n in losses.items()
        if n  # singular, plural
    )


def select(notes: NoteSequence, keep) -> NoteSequence:
    """Return the notes where the boolean array `keep`, shape (n,), is true."""
    return replace(notes, **{name: getattr(notes, name)[keep] for name in COLUMNS})
