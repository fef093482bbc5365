"""Compare the form of generated pieces with that of human music: bars that return, phrases and endings.

python benchmarks/form.py --human CORPUS --generated searched=runs/fresh/searched unranked=runs/fresh/unranked

CORPUS is a folder that data_prep.prepare wrote; the files that its manifest names are read again, because a text holds
no time signatures. It may also be a folder of MIDI files. Generated pieces are all MIDI files below a folder, for
example the work folder of `benchmarks/fresh_judge.py`. Bars follow each piece's own time signatures. Pieces with fewer
than --min-bars bars are left out.

Structureness and phrases depend on the length, so they are measured on the first 16 bars and, of pieces that have
them, on the first 64. Structureness counts literal and varied returns alike; "literal" is the share of exact bars among
the exact, varied and transposed ones, so that pieces which merely copy themselves stand out.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import record
from endings import describe_ending, first_full_bar
from structureness import SCALES, harmony_similarity, structureness

from clara.form.bars import BarClasses, Bars, classify_bars, split_into_bars
from clara.form.phrases import phrase_starts
from clara.form.plan import EXACT, RELATIONS, SILENT, TRANSPOSED

OPENING_BARS = 16
OPENINGS = (OPENING_BARS, 64)  # numbers of bars on which what depends on the length is measured
PHRASE_BARS = 4
PHRASE_HORIZON = 32  # bars; a phrase of odd length moves all later ones
LISTED_DISTANCES = (1, 2, 3, 4, 8, 12, 16, 24, 32)  # bars
LAGS = (4, 8, 16, 32)  # bars
STEPS_PER_QUARTER = 12


@dataclass(frozen=True)
class Opening:
    """What is measured of the first bars of a piece.

    Attributes
    ----------
    structureness : dict of str to float
        By scale.
    lag_variance : float
        See `lag_variance`.
    phrases : int64 array (n,)
        Bars in which phrases start, counted from the first full bar; at most `PHRASE_HORIZON`.
    """

    structureness: dict[str, float]
    lag_variance: float
    phrases: np.ndarray


@dataclass(frozen=True)
class Form:
    """What is measured of a piece.

    Attributes
    ----------
    classes : BarClasses
    openings : dict of int to Opening
        By number of bars.
    ending : dict of str to bool
        From `endings.describe_ending`.
    """

    classes: BarClasses
    openings: dict[int, Opening]
    ending: dict[str, bool]


def measure_form(notes) -> Form:
    """Measure the form of a piece."""
    bars = split_into_bars(notes).without_silent_beginning()
    openings = {n: measure_opening(notes, bars, n) for n in OPENINGS if n <= len(bars)}
    return Form(classify_bars(bars), openings, describe_ending(notes, bars))


def measure_opening(notes, bars: Bars, n_bars: int) -> Opening:
    """Measure the first bars of a piece."""
    bars = bars.first(n_bars)
    similarity = harmony_similarity(notes, bars)
    phrases = phrase_starts(notes, bars) - first_full_bar(bars)
    return Opening(structureness(similarity), lag_variance(similarity), phrases[phrases <= PHRASE_HORIZON])


def lag_variance(similarity: np.ndarray) -> float:
    """Return the share of the variance of all pairs of bars that the mean similarity at the `LAGS` explains."""
    pairs = similarity[np.triu_indices(len(similarity), 1)]
    total = ((pairs - pairs.mean()) ** 2).sum()
    explained = 0.0
    for lag in LAGS:
        diagonal = similarity.diagonal(lag) if lag < len(similarity) else np.zeros(0)
        if len(diagonal):
            explained += len(diagonal) * (diagonal.mean() - pairs.mean()) ** 2
    return float(explained / total) if total > 1e-9 else 0.0


def percent(values) -> float:
    """Return the mean in percent, rounded."""
    return round(100 * float(np.mean(values)), 1) if len(values) else float("nan")


def class_rows(name: str, forms: list[Form]) -> list[dict]:
    """Return the shares of the bar classes, in the first 16 bars and in whole pieces."""
    rows = []
    for part, length in (("first 16 bars", OPENING_BARS), ("whole pieces", None)):
        kind = np.concatenate([form.classes.first(length).compared for form in forms])
        row = {"table": "classes", "set": name, "part": part, "pieces": len(forms), "bars": len(kind)}
        rows.append(row | {class_name: percent(kind == i) for i, class_name in enumerate(RELATIONS[:SILENT])})
    return rows


def distance_row(name: str, forms: list[Form]) -> dict:
    """Return the shares of the distances of exact returns."""
    distances = np.concatenate([form.classes.exact_distances for form in forms])
    shares = {f"d{distance}": percent(distances == distance) for distance in LISTED_DISTANCES}
    multiples = {f"multiples_of_{n}": percent(distances % n == 0) for n in (2, 4, 8)}
    return {"table": "distances", "set": name, "returns": len(distances)} | shares | multiples


def structure_rows(name: str, forms: list[Form]) -> list[dict]:
    """Return the structureness indicators by number of bars and scale."""
    rows = []
    for length in OPENINGS:
        chosen = [form.openings[length] for form in forms if length in form.openings]
        for scale in [scale for scale, (shortest, _) in SCALES.items() if shortest < length / 2 and chosen]:
            values = [opening.structureness[scale] for opening in chosen]
            lower, median, upper = np.round(np.quantile(values, (0.25, 0.5, 0.75)), 3).tolist()
            row = {"table": "structureness", "set": name, "bars": length, "scale": scale, "pieces": len(chosen)}
            rows.append(row | {"median": median, "lower": lower, "upper": upper})
    return rows


def phrase_rows(name: str, forms: list[Form]) -> list[dict]:
    """Return literal returns, the variance at phrase lags and the places of phrase starts, by number of bars."""
    rows = []
    for length in OPENINGS:
        chosen = [form for form in forms if length in form.openings]
        if not chosen:
            continue
        kind = np.concatenate([form.classes.first(length).compared for form in chosen])
        returns = kind[kind <= TRANSPOSED]
        phrases = np.concatenate([form.openings[length].phrases for form in chosen])
        row = {"table": "phrases", "set": name, "bars": length, "pieces": len(chosen)}
        row["literal"] = percent(returns == EXACT)
        row["lag_variance"] = percent([form.openings[length].lag_variance for form in chosen])
        row["phrase_bars"] = round(len(chosen) * min(length, PHRASE_HORIZON) / max(1, len(phrases)), 2)
        row["at_multiples_of_four"] = percent(phrases % PHRASE_BARS == 0)
        rows.append(row)
    return rows


def ending_row(name: str, forms: list[Form]) -> dict:
    """Return how pieces end."""
    endings = {key: percent([form.ending[key] for form in forms]) for key in forms[0].ending}
    return {"table": "endings", "set": name, "pieces": len(forms)} | endings


def form_rows(name: str, forms: list[Form]) -> list[dict]:
    """Return all rows of a set of pieces."""
    rows = class_rows(name, forms) + [distance_row(name, forms)] + structure_rows(name, forms)
    return rows + phrase_rows(name, forms) + [ending_row(name, forms)]


def read_human(folder: str | Path) -> list:
    """Return the pieces of a prepared corpus, or of a folder of MIDI files, with their time signatures."""
    from clara.data.corpus import MANIFEST, read_manifest
    from clara.music.read import read_music

    if not (Path(folder) / MANIFEST).is_file():
        return read_folder(folder)
    manifest = read_manifest(folder)
    return [read_music(source, STEPS_PER_QUARTER) for source in manifest[manifest["reason"] == ""]["source"]]


def read_folder(folder: str | Path) -> list:
    """Return all MIDI files below a folder."""
    from clara.music.read import read_music

    return [read_music(path, STEPS_PER_QUARTER) for path in sorted(Path(folder).rglob("*.mid"))]


def main():
    """Run the benchmark."""
    parser = record.argument_parser(__doc__)
    parser.add_argument("--human", required=True, metavar="FOLDER", help="Prepared corpus, or folder of MIDI files")
    parser.add_argument(
        "--generated", nargs="*", default=[], metavar="NAME=FOLDER", help="Folders of generated MIDI files"
    )
    parser.add_argument("--min-bars", type=int, default=OPENING_BARS, metavar="N", help="Shortest piece, in bars")
    parser.add_argument(
        "--alike",
        type=int,
        nargs=2,
        default=(48, 96),
        metavar="N",
        help="Shortest and longest human piece of the set that is about as long as the generated ones, in bars",
    )
    parser.add_argument("--result", default="form", metavar="NAME", help="Name of the result file")
    args = parser.parse_args()
    sets = {"human": read_human(args.human)}
    for name_and_folder in args.generated:
        name, _, folder = name_and_folder.partition("=")
        sets[name] = read_folder(folder)
    rows = []
    speed = None
    for name, pieces in sets.items():
        start = time.perf_counter()
        forms = [form for form in map(measure_form, pieces) if len(form.classes.kind) >= args.min_bars]
        n_bars = sum(len(form.classes.kind) for form in forms)
        speed = speed or round(n_bars / (time.perf_counter() - start))
        rows += form_rows(name, forms)
        if name == "human":
            shortest, longest = args.alike
            alike = [form for form in forms if shortest <= len(form.classes.kind) <= longest]
            rows += form_rows(f"human, {shortest} to {longest} bars", alike)
    for row in rows:
        print(row)
    record.save(args.result, rows, min_bars=args.min_bars, bars_per_second=speed)


if __name__ == "__main__":
    main()
