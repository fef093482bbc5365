"""Measure a performer on held-out works: velocity, tempo and pedal beside those of a human.

python benchmarks/performance.py --music FOLDER --splits FILE [--performer MODEL]

FOLDER holds performed MIDI files on a beat grid (piano-midi.de), and FILE says which of them are train, valid and test.
A score is the notes of a file at its median tempo, without velocities, tempo changes and pedal. Figures are means over
test pieces: Pearson r of velocities by note and of log tempos by beat, F1 of where sixteenths begin with the pedal down
(pieces with pedal), and nats per velocity given those before it.

Beside the performer are a flat score, Clara's accents with a pedal that is always down, and linear regression and
boosted trees on the same features: those of a note or sixteenth, and those of its beat, the beats beside it, their
means over 9 and 33 beats, and how all of them depart from the rest of the piece. Every method has the same model of
residuals and a threshold of the pedal, fitted to the valid pieces. Only the performer's recurrent networks can learn
from scores with dynamic marks.
"""

import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import record
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clara.music.accents import note_velocities
from clara.performing.figures import correlation, mean_figures, measure_piece
from clara.performing.passages import PerformedPiece
from clara.performing.pedalling import pedal_f1
from clara.performing.performer import DEFAULT_VARIATION, Expectation, Performer
from clara.performing.reading import read_performances
from clara.performing.score import measure_performance
from clara.performing.settings import WindowTraining
from clara.performing.slot_features import slot_places
from clara.performing.training import fit_departures
from clara.performing.windows import beat_windows, note_columns, slot_columns

# Of a piece, drawn at random, that the trees and the regression learn from: as many as window networks.
MAX_NOTES = MAX_SLOTS = WindowTraining.rows_of_piece
ALWAYS, NEVER = 9.0, -9.0  # logits
RENDERING_SECONDS = 120


class Regression:
    """Regressors of velocity and tempo and a classifier of the pedal, on features.

    Parameters
    ----------
    pieces : list of PerformedPiece
        To learn from.
    velocity, tempo, pedal : scikit-learn estimators
    """

    def __init__(self, pieces: list[PerformedPiece], velocity, tempo, pedal):
        rng = np.random.default_rng(0)
        notes, velocities, beats, tempos, slots, pedals = [], [], [], [], [], []
        for piece in pieces:
            windows = beat_windows(piece.score)
            chosen = rng.permutation(len(piece.notes))[:MAX_NOTES]
            notes.append(note_columns(piece.score, windows, chosen))
            velocities.append(piece.velocity_target()[chosen])
            beats.append(windows)
            tempos.append(piece.tempo_target())
            if piece.performance.has_pedal:
                chosen = rng.permutation(len(piece.score.slot))[:MAX_SLOTS]
                slots.append(slot_columns(piece.score, windows, chosen))
                pedals.append(piece.performance.pedal[chosen])
        self.velocity = velocity.fit(np.concatenate(notes), np.concatenate(velocities))
        self.tempo = tempo.fit(np.concatenate(beats), np.concatenate(tempos))
        self.pedal = pedal.fit(np.concatenate(slots), np.concatenate(pedals))
        self.levels = mean_levels(pieces)

    def __call__(self, piece: PerformedPiece) -> Expectation:
        """Return what is expected of a piece."""
        windows = beat_windows(piece.score)
        probability = np.clip(self.pedal.predict_proba(slot_columns(piece.score, windows))[:, 1], 1e-4, 1 - 1e-4)
        logits = np.log(probability / (1 - probability))
        return expectation(
            self.levels,
            self.velocity.predict(note_columns(piece.score, windows)),
            self.tempo.predict(windows),
            logits,
        )


def mean_levels(pieces: list[PerformedPiece]) -> np.ndarray:
    """Return mean and spread of velocities and spread of log tempos, of an average piece."""
    mean = np.mean([piece.piece_target() for piece in pieces], axis=0)
    return np.array([mean[0], *np.exp(mean[1:])])


def expectation(levels, velocity, tempo, pedal_logits) -> Expectation:
    """Return what is expected of a piece of average levels."""
    pedal = np.stack([pedal_logits, np.full(len(pedal_logits), NEVER)], axis=1)
    return Expectation(velocity, levels[0], levels[1], tempo, levels[2], pedal)


def play_flat(levels) -> Callable[[PerformedPiece], Expectation]:
    """Return a method that plays all notes alike."""

    def expect(piece):
        n_notes, n_beats, n_slots = len(piece.notes), len(piece.score.beats), len(piece.score.slot)
        return expectation(levels, np.zeros(n_notes), np.zeros(n_beats), np.full(n_slots, NEVER))

    return expect


def play_accents(levels) -> Callable[[PerformedPiece], Expectation]:
    """Return a method that accents beats and keeps the pedal down."""

    def expect(piece):
        velocity = note_velocities(piece.notes).astype(float)
        standard = (velocity - velocity.mean()) / max(velocity.std(), 1.0)
        n_beats, n_slots = len(piece.score.beats), len(piece.score.slot)
        return expectation(levels, standard, np.zeros(n_beats), np.full(n_slots, ALWAYS))

    return expect


def method_rows(name: str, expect: Callable[[PerformedPiece], Expectation], pieces) -> list[dict]:
    """Return the figures of a method, as means over each held-out split and by piece."""
    expected = {split: [expect(piece) for piece in getattr(pieces, split)] for split in ("valid", "test")}
    touch, pedalling = fit_departures(pieces.valid, expected["valid"])
    rows = []
    for split, of_pieces in expected.items():
        figures = [measure_piece(p, e, touch, pedalling) for p, e in zip(getattr(pieces, split), of_pieces)]
        rows.append({"table": "methods", "split": split, "method": name} | mean_figures(figures))
        rows += [
            {"table": "pieces", "split": split, "method": name, "piece": piece.name}
            | {field: value if value is None else round(value, 3) for field, value in vars(f).items()}
            for piece, f in zip(getattr(pieces, split), figures)
        ]
    return rows


def sampled_row(performer: Performer, split: str, pieces: list[PerformedPiece], seeds: range) -> dict:
    """Return the figures of renderings as listeners hear them, means over seeds and pieces."""
    velocity, tempo, f1 = [], [], []
    for piece in pieces:
        for seed in seeds:
            played = performer.perform(piece.notes, seed)
            measured = measure_performance(played, piece.score.beats)
            velocity.append(correlation(piece.performance.velocity, played.velocity))
            tempo.append(correlation(piece.performance.log_tempo, measured.log_tempo))
            if piece.performance.has_pedal:
                f1.append(pedal_f1(piece.performance.pedal, measured.pedal))
    means = {"velocity_r": velocity, "tempo_r": tempo, "pedal_f1": f1}
    row = {name: round(float(np.mean(values)), 4) for name, values in means.items()}
    row |= {"nats_per_note": None, "pieces": len(pieces), "pieces_with_pedal": len(f1) // len(seeds)}
    return {"table": "methods", "split": split, "method": f"performer, {len(seeds)} sampled renderings"} | row


def habit_rows(performer: Performer, pieces: list[PerformedPiece]) -> list[dict]:
    """Return what human and performer do with melody, accents, phrase ends and the close; means over pieces."""
    players = {
        "human": lambda piece: piece.performance,
        "performer, expected": lambda piece: _performed(performer, piece, 0.0),
        "performer, sampled": lambda piece: _performed(performer, piece, DEFAULT_VARIATION),
    }
    rows = []
    for name, play in players.items():
        habits = [_habits(piece, play(piece)) for piece in pieces]
        means = {habit: round(float(np.nanmean([h[habit] for h in habits])), 3) for habit in habits[0]}
        rows.append({"table": "habits", "player": name} | means)
    return rows


def _performed(performer, piece, variation):
    return measure_performance(performer.perform(piece.notes, 0, variation=variation), piece.score.beats)


def _habits(piece, performance):
    """Return what a performance does; velocities in velocities, tempos in percent of the median."""
    from clara.performing.beats import BEAT_FEATURES
    from clara.performing.note_features import NOTE_FEATURES

    def note(name):
        return piece.score.note[:, NOTE_FEATURES.index(name)]

    def beat(name):
        return piece.score.beat[:, BEAT_FEATURES.index(name)]

    def difference(values, first, second):
        return values[first].mean() - values[second].mean() if first.any() and second.any() else np.nan

    velocity, tempo = performance.velocity.astype(float), performance.log_tempo
    in_chord = note("chord_size") > 0
    starts = beat("phrase_start") > 0
    ends = np.append(starts[1:], False)
    return {
        "melody": difference(velocity, in_chord & (note("is_top") > 0), in_chord & (note("is_top") == 0)),
        "downbeat": difference(velocity, note("on_downbeat") > 0, note("on_beat") == 0),
        "phrase_end": 100 * np.expm1(difference(tempo, ends, ~ends & ~starts)),
        "last_beats": 100 * np.expm1(difference(tempo, np.arange(len(tempo)) >= len(tempo) - 4, tempo < 9)),
        "velocity_spread": velocity.std(),
        "tempo_spread": 100 * tempo.std(),
        "pedal_down": 100 * performance.pedal.mean() if piece.performance.has_pedal else np.nan,
    }


def rendering_seconds(performer: Performer, pieces: list[PerformedPiece]) -> dict:
    """Return how long a core works on the piece nearest to two minutes, best of five."""
    piece = min(pieces, key=lambda piece: abs(piece.notes.seconds - RENDERING_SECONDS))
    seconds = []
    for seed in range(5):
        start = time.process_time()
        performer.perform(piece.notes, seed)
        seconds.append(time.process_time() - start)
    return {
        "rendered_seconds": round(piece.notes.seconds, 1),
        "rendered_notes": len(piece.notes),
        "rendering_seconds": round(min(seconds), 3),
    }


def draw(performer: Performer, piece: PerformedPiece, path: Path) -> None:
    """Draw velocity, tempo and pedal of a human and of a rendering."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True)
    start = piece.notes.start / piece.notes.steps_per_quarter
    rendering = measure_performance(performer.perform(piece.notes, 0), piece.score.beats)
    for label, performance, colour in (("human", piece.performance, "C0"), ("performer", rendering, "C1")):
        axes[0].plot(start, performance.velocity, ".", ms=2, color=colour, label=label)
        axes[1].plot(
            piece.score.beats.begin[:-1], performance.median_qpm * np.exp(performance.log_tempo), color=colour, lw=1
        )
        places = slot_places(piece.score.beats)
        axes[2].fill_between(
            places, 0.5 * (colour == "C0"), 0.4 * performance.pedal + 0.5 * (colour == "C0"), step="post", color=colour
        )
    axes[0].set_ylabel("velocity")
    axes[0].legend(loc="upper right", markerscale=4)
    axes[1].set_ylabel("quarters per minute")
    axes[2].set_ylabel("pedal")
    axes[2].set_yticks([])
    axes[2].set_xlabel("quarters")
    figure.suptitle(piece.name)
    figure.savefig(path, dpi=80)


def main():
    """Run the benchmark."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("--music", required=True, metavar="FOLDER", help="Performed MIDI files")
    parser.add_argument("--splits", required=True, metavar="FILE", help="CSV file with the columns path and split")
    parser.add_argument("--performer", default="performer", metavar="MODEL", help="Performer")
    parser.add_argument("--iterations", type=int, default=100, metavar="N", help="Number of boosted trees")
    parser.add_argument("--n-seeds", type=int, default=5, metavar="N", help="Number of sampled renderings")
    parser.add_argument("--plots", metavar="FOLDER", help="Folder for pictures of test pieces")
    parser.add_argument("--result", default="performance", metavar="NAME", help="Name of the result file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open(args.splits, newline="", encoding="utf-8") as file:
        splits = {row["path"]: row["split"] for row in csv.DictReader(file)}
    pieces = read_performances(args.music, splits)
    performer = Performer.load(args.performer)
    pieces.train = [piece for piece in pieces.train if piece.performance.has_tempo_curve]
    levels = mean_levels(pieces.train)
    rows = method_rows("flat score", play_flat(levels), pieces)
    rows += method_rows("accents, pedal always down", play_accents(levels), pieces)
    rows += method_rows("performer", lambda piece: performer.expect(piece.score), pieces)
    rows += [sampled_row(performer, s, getattr(pieces, s), range(args.n_seeds)) for s in ("valid", "test")]
    for row in rows:
        if row["table"] == "methods":
            print(row, flush=True)
    linear = Regression(
        pieces.train,
        make_pipeline(StandardScaler(), Ridge(1000.0)),
        make_pipeline(StandardScaler(), Ridge(1000.0)),
        make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200)),
    )
    rows += method_rows("linear regression", linear, pieces)
    print(rows[-1 - len(pieces.test)], flush=True)
    settings = {"learning_rate": 0.1, "min_samples_leaf": 100, "max_features": 0.3, "random_state": 0}
    trees = Regression(
        pieces.train,
        HistGradientBoostingRegressor(max_iter=args.iterations, **settings),
        HistGradientBoostingRegressor(max_iter=args.iterations // 2, max_leaf_nodes=15, **settings),
        HistGradientBoostingClassifier(max_iter=args.iterations // 2, **settings),
    )
    rows += method_rows("boosted trees", trees, pieces)
    print(rows[-1 - len(pieces.test)], flush=True)
    rows += habit_rows(performer, pieces.test)
    for row in rows[-3:]:
        print(row)
    if args.plots:
        Path(args.plots).mkdir(parents=True, exist_ok=True)
        for piece in pieces.test:
            draw(performer, piece, Path(args.plots, Path(piece.name).stem + ".png"))
    record.save(args.result, rows, train_pieces=len(pieces.train), **rendering_seconds(performer, pieces.test))


if __name__ == "__main__":
    main()
