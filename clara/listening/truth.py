"""The beats that a MIDI file itself names: where its notes stand, by its ticks and time signatures."""

from dataclasses import dataclass

import numpy as np

from clara.music.midi import parse_midi

STEPS_PER_QUARTER = 12
SIMPLE_STEPS, COMPOUND_STEPS = 12, 18  # places in a beat: twelfths of a quarter, or of a dotted quarter
OTHER_BAR = 0  # beats of a bar that are no time signature known to the tracker
MAX_BAR_BEATS = 4


@dataclass(frozen=True, eq=False)
class WrittenNotes:
    """Notes of a file, and the beats around them.

    A beat is a quarter, or three eighths (sixteenths) in compound time.

    Attributes
    ----------
    quarters, end_quarters : float64 arrays (n,)
        Where notes begin and end, sorted by begin, then pitch.
    seconds, end_seconds : float64 arrays (n,)
        The same by the tempo map.
    pitch, velocity : int64 arrays (n,)
    beat_quarters : float64 array (m,)
        Beats, ascending.
    beat_seconds : float64 array (m,)
    beat_length : float64 array (m,)
        In quarters.
    is_compound, is_downbeat : bool arrays (m,)
    bar_beats : int64 array (m,)
        Number of beats in the bar.
    signatures : list of (quarter, numerator, denominator)
    """

    quarters: np.ndarray
    end_quarters: np.ndarray
    seconds: np.ndarray
    end_seconds: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    beat_quarters: np.ndarray
    beat_seconds: np.ndarray
    beat_length: np.ndarray
    is_compound: np.ndarray
    is_downbeat: np.ndarray
    bar_beats: np.ndarray
    signatures: list


def read_written_notes(source) -> WrittenNotes:
    """Read the notes of a MIDI file and the beats that its ticks and time signatures name.

    Raises
    ------
    ClaraError
        As `clara.music.midi.parse_midi`.
    """
    score = parse_midi(source)
    ticks_per_quarter = score.ticks_per_quarter
    columns = [t.notes.numpy() for t in score.tracks if len(t.notes) and not t.is_drum]
    start, length, pitch, velocity = (
        np.concatenate([c[name] for c in columns], dtype=np.int64) for name in ("time", "duration", "pitch", "velocity")
    )
    order = np.lexsort((pitch, start))
    start, length, pitch, velocity = start[order], length[order], pitch[order], velocity[order]
    to_seconds = tempo_clock(score)
    quarters, end_quarters = start / ticks_per_quarter, (start + length) / ticks_per_quarter
    signatures = [(t.time / ticks_per_quarter, t.numerator, t.denominator) for t in score.time_signatures]
    signatures = sorted(s for s in signatures if s[1] and s[2])
    if not signatures or signatures[0][0] > 0:
        signatures = [(0.0, 4, 4), *signatures]
    signatures = _extend_upbeat(signatures)
    beat_quarters, beat_length, is_compound, is_downbeat, bar_beats = written_beats(signatures, quarters[-1] + 4)
    return WrittenNotes(
        quarters,
        end_quarters,
        to_seconds(quarters),
        to_seconds(end_quarters),
        pitch,
        velocity,
        beat_quarters,
        to_seconds(beat_quarters),
        beat_length,
        is_compound,
        is_downbeat,
        bar_beats,
        signatures,
    )


def _extend_upbeat(signatures):
    """Return signatures in which an upbeat, a shorter bar at the beginning, is the end of a whole bar."""
    if len(signatures) < 2:
        return signatures
    (begin, numerator, denominator), (until, *following) = signatures[:2]
    bar = 4 * following[0] / following[1]
    if until - begin > 4 * numerator / denominator + 1e-6 or until - begin > bar - 1e-6:
        return signatures
    return [(until - bar, *following), *signatures[1:]]


def tempo_clock(score):
    """Return a function from quarters to seconds, by all tempo changes of a symusic score."""
    columns = score.tempos.numpy()
    changes = np.concatenate([[0], columns["time"]]).astype(np.float64) / score.ticks_per_quarter
    seconds_per_quarter = np.concatenate([[0.5], columns["mspq"] / 1e6])
    order = np.argsort(changes, kind="stable")
    changes, seconds_per_quarter = changes[order], seconds_per_quarter[order]
    elapsed = np.append(0, np.cumsum(np.diff(changes) * seconds_per_quarter[:-1]))

    def seconds_at(quarters):
        latest = np.maximum(np.searchsorted(changes, quarters, side="right") - 1, 0)
        return elapsed[latest] + (quarters - changes[latest]) * seconds_per_quarter[latest]

    return seconds_at


def beat_of_signature(numerator: int, denominator: int) -> tuple[float, bool]:
    """Return the length of a beat in quarters, and whether the time is compound."""
    is_compound = numerator % 3 == 0 and denominator >= 8
    return (12 / denominator, True) if is_compound else (1.0, False)


def written_beats(signatures, end: float) -> tuple[np.ndarray, ...]:
    """Return beats, their lengths, whether they are compound, whether they begin bars, and the beats of their bars."""
    begin, length, compound, downbeat, bar_beats = [], [], [], [], []
    for (at, numerator, denominator), (until, *_) in zip(signatures, [*signatures[1:], (end, 0, 0)]):
        beat, is_compound = beat_of_signature(numerator, denominator)
        bar = 4 * numerator / denominator
        n_bars = max(0, int(np.ceil((until - at) / bar - 1e-6)))
        in_bar = np.arange(0, bar - 1e-6, beat)
        places = (at + bar * np.arange(n_bars)[:, None] + in_bar).ravel()
        is_first = np.tile(in_bar == 0, n_bars)
        keep = places < until - 1e-6
        n_beats = len(in_bar) if abs(len(in_bar) * beat - bar) < 1e-6 else OTHER_BAR
        begin.append(places[keep])
        downbeat.append(is_first[keep])
        n = int(keep.sum())
        length.append(np.full(n, beat))
        compound.append(np.full(n, is_compound))
        bar_beats.append(np.full(n, n_beats if n_beats <= MAX_BAR_BEATS else OTHER_BAR))
    return tuple(map(np.concatenate, (begin, length, compound, downbeat, bar_beats)))


def places_in_beats(written: WrittenNotes, quarters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the beat of each place, and its step in that beat, int64 arrays; the step is 12 or 18 at the next beat."""
    beat = np.maximum(np.searchsorted(written.beat_quarters, quarters + 1e-6, side="right") - 1, 0)
    steps = np.where(written.is_compound[beat], COMPOUND_STEPS, SIMPLE_STEPS)
    share = (quarters - written.beat_quarters[beat]) / written.beat_length[beat]
    return beat, np.floor(share * steps + 0.5).astype(np.int64)
