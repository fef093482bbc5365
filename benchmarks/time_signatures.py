"""Measure how often the estimated time signature of real music is the written one.

python benchmarks/time_signatures.py MUSIC …            # measures
python benchmarks/time_signatures.py MUSIC … --fit      # also prints weights for clara/music/signature_estimation.py

MUSIC is what data_prep.prepare takes: a folder, or music21:COMPOSER. A piece counts if one written time signature holds
for at least nine tenths of it. Its signature is hidden, and the estimate is compared with it. Weights are fitted on
other files than those measured.

- division: duple (2/4, 4/4, 2/2), triple (3/4, 3/2) or compound (3/8, 6/8, 9/8, 12/8, 6/4);
- barlines: of the pieces with the right division, those whose estimated barlines are written ones, or whose written
  ones are estimated ones.
"""

from dataclasses import dataclass

import numpy as np
import record

from clara.data.sources import find_pieces, read_piece
from clara.errors import ClaraError
from clara.music.midi import describe_midi
from clara.music.notes import NoteSequence, crop
from clara.music.signature_estimation import (
    BAR_EIGHTHS,
    CANDIDATES,
    candidate_features,
    estimate_time_signature,
)

CLASSES = ("duple", "triple", "compound", "other")
MIN_SHARE = 0.9  # of a piece, in which one signature holds
MAX_FITTED = 900  # pieces of each source
EXCERPTS = (None, 64, 32, 16)  # quarters from the beginning
PENALTY = 0.01  # on the squares of the standardized weights


@dataclass(frozen=True)
class Written:
    """A piece and its written time signature.

    Attributes
    ----------
    notes : NoteSequence
    step, numerator, denominator : int
        As in `NoteSequence.time_signatures`.
    """

    notes: NoteSequence
    step: int
    numerator: int
    denominator: int


def main() -> None:
    """Measure, and fit if that was asked."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("music", nargs="+", metavar="MUSIC", help="folder, or music21:COMPOSER")
    parser.add_argument("--files", type=int, default=300, help="number of files of each source to measure")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of files")
    parser.add_argument("--fit", action="store_true", help="fit the weights on other files and print them")
    args = parser.parse_args()
    measured, fitted = {}, []
    for source in args.music:
        pieces = read_pieces(source, args.seed, args.files + MAX_FITTED)
        measured[source] = pieces[: args.files]
        fitted += pieces[args.files :]
    if args.fit:
        print_weights(fit(fitted))
    rows = [
        {"music": source.split("/")[-1]} | measure(pieces, quarters)
        for source, pieces in measured.items()
        for quarters in EXCERPTS
    ]
    for row in rows:
        print(row)
    record.save("time_signatures", rows, min_share=MIN_SHARE)


def read_pieces(source, seed, n):
    """Return up to n pieces of a source, chosen at random."""
    pieces = find_pieces([source])
    chosen = []
    for i in np.random.default_rng(seed).permutation(len(pieces)):
        written = read(pieces[i])
        if written:
            chosen.append(written)
        if len(chosen) == n:
            break
    return chosen


def read(piece):
    """Return a piece with one written time signature in nearly all of it, or None."""
    try:
        notes, _ = read_piece(piece, steps_per_quarter=12)
        if piece.is_midi and not describe_midi(piece.path).has_time_signature:
            return None
    except ClaraError:
        return None
    starts = np.array([max(0, step) for step, _, _ in notes.time_signatures])
    steps = np.diff(np.append(np.minimum(starts, notes.n_steps), notes.n_steps))
    longest = int(steps.argmax())
    if steps[longest] < MIN_SHARE * notes.n_steps:
        return None
    return Written(notes, *notes.time_signatures[longest])


def class_of(numerator, denominator):
    """Return the index in `CLASSES` of a time signature."""
    if numerator % 3 == 0 and (denominator >= 8 or numerator > 3):
        return 2
    if numerator == 3:
        return 1
    return 0 if numerator in (1, 2, 4, 8) else 3


def barlines_agree(piece, step, numerator, denominator):
    """Return whether all barlines of the longer bars are barlines of the shorter ones."""
    grid = 4 * piece.notes.steps_per_quarter
    shorter = min(grid * piece.numerator / piece.denominator, grid * numerator / denominator)
    distance = abs(step - piece.step) % shorter
    return min(distance, shorter - distance) < 1e-6


def measure(pieces, quarters):
    """Return how often the estimate from the first quarters, or from whole pieces, is right."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
    exact, barlines = [], []
    for piece in pieces:
        notes = piece.notes if quarters is None else crop(piece.notes, 0, quarters * piece.notes.steps_per_quarter)
        ((step, numerator, denominator),) = estimate_time_signature(notes)
        written = class_of(piece.numerator, piece.denominator)
        estimated = class_of(numerator, denominator)
        counts[written, estimated] += 1
        exact.append((numerator, denominator) == (piece.numerator, piece.denominator))
        if written == estimated:
            barlines.append(barlines_agree(piece, step, numerator, denominator))
    common = [class_of(piece.numerator, piece.denominator) == 0 for piece in pieces]
    return {
        "quarters": "all" if quarters is None else quarters,
        "pieces": len(pieces),
        "division": round(float(np.trace(counts)) / len(pieces), 3),
        "division_if_always_common_time": round(float(np.mean(common)), 3),
        "barlines": round(float(np.mean(barlines)), 3),
        "division_and_barlines": round(sum(barlines) / len(pieces), 3),
        "same_signature": round(float(np.mean(exact)), 3),
    } | {f"{name}_as": dict(zip(CLASSES, counts[i].tolist())) for i, name in enumerate(CLASSES) if counts[i].any()}


def is_right(piece, signature, barline):
    """Return whether a candidate is what should be found; of duple signatures only 2/4 is 2/4, the others are 4/4."""
    numerator, denominator = CANDIDATES[signature]
    step = (barline - BAR_EIGHTHS[signature]) * piece.notes.steps_per_quarter // 2
    if class_of(numerator, denominator) != class_of(piece.numerator, piece.denominator):
        return False
    if class_of(numerator, denominator) == 0 and (numerator == 2) != ((piece.numerator, piece.denominator) == (2, 4)):
        return False
    return barlines_agree(piece, step, numerator, denominator)


def fit(pieces):
    """Return the weights under which the right candidates of all pieces are most probable, float64 (n_features,)."""
    import torch

    features, right = [], []
    for piece in pieces:
        candidates, of_candidates = candidate_features(piece.notes)
        is_target = [is_right(piece, *candidate) for candidate in candidates]
        if any(is_target):
            features.append(of_candidates)
            right.append(is_target)
    features, right = torch.tensor(np.array(features)), torch.tensor(right)
    scale = features.flatten(0, 1).std(0) + 1e-4
    weights = torch.zeros(features.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        scores = features / scale @ weights
        log_probs = torch.logsumexp(scores.masked_fill(~right, -1e9), 1) - torch.logsumexp(scores, 1)
        loss = PENALTY / 2 * (weights**2).sum() - log_probs.mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    print(f"fitted on {len(features)} of {len(pieces)} pieces")
    return (weights / scale).detach().numpy()


def print_weights(weights):
    """Print weights in rows of four."""
    for first in range(0, len(weights), 4):
        print(", ".join(f"{weight:.2f}" for weight in weights[first : first + 4]))


if __name__ == "__main__":
    main()
