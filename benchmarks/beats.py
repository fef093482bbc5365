"""Measure how well beats, bars and the grid are found in played music.

python benchmarks/beats.py --music FOLDER --splits FILE [--model MODEL]

FOLDER holds MIDI files whose ticks name their beats, and FILE says which of them are valid and test, and nothing is
measured on others. Only onsets, ends, pitches and velocities are heard, all in seconds; ticks, tempo map and time
signatures are hidden. Files of piano-midi.de are heard as they are played. Those of Mutopia are scores: they are
performed by `clara.performing`, with spread chords and a jitter of 10 ms (standard deviation).

- beat F1: beats within 70 ms of a written one, from the first onset to the last. A beat is a quarter, or three eighths
  (or sixteenths) in compound time.
- downbeat F1: the same of beginnings of bars.
- onsets in place: notes on their written step, in twelfths of a quarter, after one shift of whole beats for the piece.
- locally in place: the same, but each 16 quarters may have their own shift, so a beat too many costs a passage only.
- time signature: the piece's main one has the right length of the bar and the right beat (2/2 counts as 4/4).

Even quarters are eight notes at a tempo, with jitter: the share of tempos and seeds at which all are found to be
quarters.
"""

import csv
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import record
import torch

from clara.listening.beats import HeardBeats, track_beats
from clara.listening.clusters import HeardNotes
from clara.listening.network import BeatModel
from clara.listening.truth import beat_of_signature, read_written_notes, written_beats
from clara.music.midi import read_midi
from clara.performing.playing import play

TOLERANCE_SECONDS = 0.07
PASSAGE_QUARTERS = 16
JITTER_SECONDS = 0.01
PERFORMED_GRID = 48
FIGURES = ("beat_f1", "downbeat_f1", "in_place", "locally_in_place", "time_signature")
EVEN_QPM, EVEN_SEEDS, EVEN_JITTER_SECONDS = range(60, 161, 10), 20, (0.0, 0.025, 0.04)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is heard of a piece, and what is written.

    Attributes
    ----------
    name : str
    notes : HeardNotes
    quarters : float64 array (n,)
        Written places of the notes.
    beat_seconds, downbeat_seconds : float64 arrays
    signature : (float, float)
        Length in quarters of the bar and the beat of the main time signature.
    """

    name: str
    notes: HeardNotes
    quarters: np.ndarray
    beat_seconds: np.ndarray
    downbeat_seconds: np.ndarray
    signature: tuple


def read_played(path: Path, name: str) -> Truth:
    """Read a file that is heard as it is played."""
    written = read_written_notes(path)
    order = np.lexsort((written.pitch, written.seconds))
    notes = HeardNotes(*(c[order] for c in (written.seconds, written.end_seconds, written.pitch, written.velocity)))
    return _truth(name, notes, written.quarters[order], written.beat_seconds, written.is_downbeat, written.signatures)


def read_performed(path: Path, name: str, seed: int) -> Truth:
    """Read a score and perform it."""
    score, _ = read_midi(path, steps_per_quarter=PERFORMED_GRID)
    expression = play(score, seed)
    quarters, ends = score.start / PERFORMED_GRID, score.end / PERFORMED_GRID
    places, of_note = np.unique(quarters, return_inverse=True)
    jitter = np.random.default_rng(seed).normal(0, JITTER_SECONDS, len(places))[of_note]
    onset = expression.seconds_at(quarters) + jitter
    if expression.delay_seconds is not None:
        onset = onset + expression.delay_seconds
    end = np.maximum(expression.seconds_at(ends), onset + 0.02)
    order = np.lexsort((score.pitch, onset))
    notes = HeardNotes(*(column[order] for column in (onset, end, score.pitch, expression.velocity)))
    signatures = [(step / PERFORMED_GRID, n, d) for step, n, d in score.time_signatures]
    beats, _, _, is_downbeat, _ = written_beats(signatures, quarters[-1] + 4)
    return _truth(name, notes, quarters[order], expression.seconds_at(beats), is_downbeat, signatures)


def _truth(name, notes, quarters, beat_seconds, is_downbeat, signatures):
    """Return the truth of a piece, with the beats between its first and last onset."""
    ends = [begin for begin, _, _ in signatures[1:]] + [quarters.max() + 1]
    spans: dict[tuple, float] = {}
    for (begin, numerator, denominator), end in zip(signatures, ends):
        bar = (4 * numerator / denominator, beat_of_signature(numerator, denominator)[0])
        spans[bar] = spans.get(bar, 0) + end - begin
    heard = (beat_seconds > notes.onset[0] - TOLERANCE_SECONDS) & (beat_seconds < notes.onset[-1] + TOLERANCE_SECONDS)
    signature = max(spans, key=lambda bar: spans[bar])
    return Truth(name, notes, quarters, beat_seconds[heard], beat_seconds[heard & is_downbeat], signature)


def face_value(notes: HeardNotes) -> HeardBeats:
    """Return the beats of a recording's own ticks: 120 quarters per minute in common time from the first note on."""
    return constant_beats(notes, 0.5, notes.onset[0])


def autocorrelation(notes: HeardNotes) -> HeardBeats:
    """Return beats at the one tempo and phase that fit best: the simple method."""
    bin_seconds = 0.01
    n = int((notes.onset[-1] - notes.onset[0]) / bin_seconds) + 2
    strength = np.bincount(((notes.onset - notes.onset[0]) / bin_seconds).astype(int), minlength=n).astype(float)
    strength = np.convolve(np.sqrt(strength), np.hanning(9), "same")
    spectrum = np.abs(np.fft.rfft(strength, 2 * n)) ** 2
    correlation = np.fft.irfft(spectrum)[: int(2 / bin_seconds)]
    lags = np.arange(1, len(correlation)) * bin_seconds
    weight = np.exp(-0.5 * (np.log2(lags / 0.6) / 0.7) ** 2)
    period = lags[(correlation[1:] * weight).argmax()]
    lag = round(period / bin_seconds)
    fits = [strength[phase::lag].sum() for phase in range(lag)]
    return constant_beats(notes, period, notes.onset[0] + bin_seconds * int(np.argmax(fits)))


def constant_beats(notes: HeardNotes, period: float, phase: float) -> HeardBeats:
    """Return beats at one tempo, in common time."""
    first = phase - period * np.ceil((phase - notes.onset[0]) / period)
    n = int((notes.end.max() - first) / period) + 2
    steps = np.floor((notes.onset - first) / period * 12 + 0.5).astype(np.int64)
    beats = np.arange(n)
    return HeardBeats(steps, first + period * beats, beats * 12, beats % 4 == 0, ((0, 4, 4),))


def f1(found: np.ndarray, true: np.ndarray) -> float:
    """Return the F measure of ascending times, each matched at most once within the tolerance."""
    i = j = hits = 0
    while i < len(found) and j < len(true):
        if abs(found[i] - true[j]) <= TOLERANCE_SECONDS:
            hits, i, j = hits + 1, i + 1, j + 1
        elif found[i] < true[j]:
            i += 1
        else:
            j += 1
    return 2 * hits / max(len(found) + len(true), 1)


def measure(truth: Truth, beats: HeardBeats) -> dict[str, float]:
    """Return the figures of one piece."""
    first, last = truth.notes.onset[0] - TOLERANCE_SECONDS, truth.notes.onset[-1] + TOLERANCE_SECONDS
    heard = (beats.beat_seconds > first) & (beats.beat_seconds < last)
    beat_steps = int(np.diff(beats.beat_steps)[0]) if len(beats.beat_steps) > 1 else 12
    shift = beats.note_steps - 12 * truth.quarters
    passage = (truth.quarters // PASSAGE_QUARTERS).astype(int)
    local = [_share(shift[passage == p], beat_steps) * (passage == p).sum() for p in np.unique(passage)]
    return {
        "beat_f1": f1(beats.beat_seconds[heard], truth.beat_seconds),
        "downbeat_f1": f1(beats.beat_seconds[heard & beats.is_downbeat], truth.downbeat_seconds),
        "in_place": _share(shift, beat_steps),
        "locally_in_place": sum(local) / len(shift),
        "time_signature": float(_main_signature(beats) == truth.signature),
    }


def _share(shift, beat_steps):
    """Return the share of notes that the best shift of whole beats puts in place."""
    whole = np.rint(shift / beat_steps)
    right = np.abs(shift - whole * beat_steps) <= 0.5 + 1e-6
    return np.unique(whole[right], return_counts=True)[1].max(initial=0) / len(shift)


def _main_signature(beats):
    """Return the lengths of bar and beat, in quarters, of the time signature that holds longest."""
    end = int(beats.beat_steps[-1])
    spans: dict[tuple, float] = {}
    changes = [step for step, _, _ in beats.time_signatures[1:]] + [end]
    for (begin, numerator, denominator), until in zip(beats.time_signatures, changes):
        bar = (4 * numerator / denominator, beat_of_signature(numerator, denominator)[0])
        spans[bar] = spans.get(bar, 0) + until - max(begin, 0)
    return max(spans, key=lambda bar: spans[bar])


def even_quarters(qpm: float, jitter_seconds: float, seed: int) -> HeardNotes:
    """Return eight even quarters, a scale, with jitter."""
    rng = np.random.default_rng(seed)
    onset = 1 + np.arange(8) * 60 / qpm + rng.normal(0, jitter_seconds, 8)
    pitch = np.array([60, 62, 64, 65, 67, 69, 71, 72])
    return HeardNotes.from_columns(onset, onset + 0.8 * 60 / qpm, pitch, np.full(8, 64))


def even_rows(track) -> list[dict]:
    """Return the shares of even quarters that are found to be quarters."""
    rows = []
    for jitter in EVEN_JITTER_SECONDS:
        for qpm in EVEN_QPM:
            right = [
                np.diff(track(even_quarters(qpm, jitter, seed)).note_steps).tolist() == [12] * 7
                for seed in range(EVEN_SEEDS)
            ]
            rows.append({"table": "even", "jitter_seconds": jitter, "qpm": qpm, "right": float(np.mean(right))})
    return rows


def main():
    """Run the benchmark."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("--music", required=True, metavar="FOLDER", help="MIDI files, with metadata.csv beside them")
    parser.add_argument("--splits", required=True, metavar="FILE", help="CSV file with the columns path and split")
    parser.add_argument("--model", default="beats", metavar="MODEL", help="Model of beats")
    parser.add_argument("--sets", nargs="+", default=["played", "performed"], help="Sets to measure")
    parser.add_argument("--parts", nargs="+", default=["valid", "test"], help="Splits to measure")
    parser.add_argument("--result", default="beats", metavar="NAME", help="Name of the result file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = BeatModel.load(args.model)

    def track(notes):
        return track_beats(notes, model)

    methods = {"Clara": track, "constant tempo by autocorrelation": autocorrelation, "the file's own ticks": face_value}
    rows = even_rows(track)
    track_seconds = music_seconds = 0.0
    for set_name in args.sets:
        for split in args.parts:
            pieces = list(read_pieces(Path(args.music), args.splits, set_name, split))
            for method, hear in methods.items():
                figures = []
                for truth in pieces:
                    start = time.process_time()
                    beats = hear(truth.notes)
                    if hear is track:
                        track_seconds += time.process_time() - start
                        music_seconds += float(truth.notes.onset[-1] - truth.notes.onset[0])
                    figures.append(measure(truth, beats))
                    if hear is track:
                        piece = {name: round(value, 3) for name, value in figures[-1].items()}
                        rows.append({"table": "pieces", "set": set_name, "split": split, "piece": truth.name} | piece)
                        print(rows[-1], flush=True)
                means = {name: round(float(np.mean([f[name] for f in figures])), 4) for name in FIGURES}
                rows.append(
                    {"table": "methods", "set": set_name, "split": split, "method": method, "pieces": len(pieces)}
                    | means
                )
                print(rows[-1], flush=True)
    print([row for row in rows if row["table"] == "even" and row["right"] < 1])
    record.save(args.result, rows, seconds_per_five_minutes=round(300 * track_seconds / music_seconds, 3))


def read_pieces(music: Path, splits: str, set_name: str, split: str):
    """Yield the held-out pieces of a set: "played" (piano-midi.de) or "performed" (Mutopia)."""
    source = {"played": "piano-midi.de", "performed": "Mutopia"}[set_name]
    with open(music / "metadata.csv", newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if source in row["source"]]
    with open(splits, newline="", encoding="utf-8") as file:
        split_of = {row["path"]: row["split"] for row in csv.DictReader(file)}
    for number, path in enumerate(sorted(path for path in paths if split_of.get(path) == split)):
        name = path.removesuffix(".mid")
        if set_name == "played":
            yield read_played(music / path, name)
        else:
            yield read_performed(music / path, name, number)


if __name__ == "__main__":
    main()
