"""Measure what a dream does to pieces, by a composer classifier that it never met.

python benchmarks/dream.py halve EXCERPTS --out FOLDER [--composers N]
python benchmarks/dream.py measure EXCERPTS --dreamer CLASSIFIER --judge CLASSIFIER
python benchmarks/dream.py real EXCERPTS --judge CLASSIFIER
python benchmarks/dream.py plot

EXCERPTS is a folder of composers that critic.excerpts wrote. `halve` deals its works, composer by composer, into two
folders FOLDER-a and FOLDER-b, from which two classifiers are trained (python -m critic.train, with other seeds). In
`measure` the dream listens to the one, and the other judges the result. The pieces are excerpts of 32 quarters of test
works, which neither the classifiers nor the generator learned from, each by another composer than the wanted one.
The wanted composers take turns. `real` asks the judge about music that the wanted composers wrote themselves, and about
collages in which every other four quarters of a piece are theirs. `plot` draws the curve of `measure` for the guide.
"""

import time
from functools import cache, partial
from pathlib import Path

import numpy as np
import record

N_HALVES = 2


def halve(args) -> None:
    """Write two folders with the works of each composer dealt between them."""
    import json
    import shutil

    from clara.files import make_empty_folder
    from critic.data.table import EXCERPTS_FILE, SETTINGS_FILE, read_excerpts

    table, _ = read_excerpts(args.excerpts)
    table["tokens"] = table["tokens"].str.join(" ")
    learned = table[table["split"] != "test"]
    rng = np.random.default_rng(0)
    half_of = {}
    for _, rows in learned.groupby("label"):
        works = rng.permutation(rows["work"].unique())
        half_of |= {work: i % N_HALVES for i, work in enumerate(works)}
    for half, letter in enumerate("ab"):
        folder = make_empty_folder(f"{args.out}-{letter}")
        is_mine = (table["split"] == "test") | (table["work"].map(half_of) == half)
        table[is_mine].to_csv(folder / EXCERPTS_FILE, index=False)
        shutil.copy(Path(args.excerpts) / SETTINGS_FILE, folder / SETTINGS_FILE)
        print(folder, json.dumps(table[is_mine].groupby("split").size().to_dict()))


def measure(args) -> None:
    """Dream each piece towards one of the wanted composers and save what the judge and the critic say."""
    from concurrent.futures import ProcessPoolExecutor

    from clara.encodings.notewise import Notewise

    rows = []
    with ProcessPoolExecutor(args.workers) as pool:
        pieces = enumerate(test_pieces(args.excerpts, args.pieces, Notewise()))
        for row in pool.map(partial(dream_piece, args), *zip(*((i, *piece) for i, piece in pieces))):
            rows.append(row)
            print({key: value for key, value in row.items() if key != "path"}, flush=True)
            record.save("dream", [summarize(rows), *rows], pieces=len(rows), towards=args.towards)


@cache
def load_models(model: str, dreamer: str, judge: str) -> tuple:
    """Return the generator, the scoring models of the dream, and the judge."""
    import torch

    from clara.generation.generator import Generator
    from critic import ComposerClassifier
    from critic.scores import ScoringModels

    torch.set_num_threads(1)
    generator = Generator.load(model)
    models = ScoringModels(generator.encoding.name, composer_folder=dreamer)
    return generator, models, ComposerClassifier.load(judge)


def dream_piece(args, i: int, composer: str, piece: str, notes) -> dict:
    """Return what the judge and the critic say of a piece before and after its dream."""
    from critic.dream import Dreamer, DreamSettings

    generator, models, judge = load_models(args.model, args.dreamer, args.judge)
    others = [wanted for wanted in args.towards if wanted != composer]
    wanted = others[i % len(others)]
    began = time.perf_counter()
    states = list(Dreamer(generator, models, wanted).dream(notes, DreamSettings(seed=i, steps=args.steps)))
    seconds = time.perf_counter() - began
    by_judge = np.exp(judge.log_probs([state.notes for state in states])[:, judge.classes.index(wanted)])
    first, last = states[0], states[-1]
    return {
        "table": "pieces",
        "piece": piece,
        "composer": composer,
        "wanted": wanted,
        "judge_before": round(float(by_judge[0]), 4),
        "judge_after": round(float(by_judge[-1]), 4),
        "dreamer_before": round(float(np.exp(first.wanted)), 4),
        "dreamer_after": round(float(np.exp(last.wanted)), 4),
        "critic_change": round(last.log_odds - first.log_odds, 3),
        "kept": round(last.kept, 3),
        "overlap": round(last.overlap, 3),
        "seconds": round(seconds, 1),
        "path": [
            [round(1 - state.kept, 3), round(float(p), 3), round(float(np.exp(state.wanted)), 3)]
            for state, p in zip(states, by_judge)
        ],
    }


def real(args) -> None:
    """Save what the judge says of real music by the wanted composers, and of collages with half of it."""
    from critic import ComposerClassifier
    from critic.data.table import read_excerpts

    judge = ComposerClassifier.load(args.judge)
    table, _ = read_excerpts(args.excerpts)
    test = table[(table["split"] == "test") & table["label"].isin(args.towards)]
    test = test.sample(frac=1, random_state=0).groupby("label").head(args.pieces)
    pieces = [judge.encoding.decode(tokens)[0] for tokens in test["tokens"]]
    labels = test["label"].to_numpy()
    rng = np.random.default_rng(0)
    partners = [rng.choice(np.flatnonzero(labels != label)) for label in labels]
    collages = [collage(pieces[partner], piece) for piece, partner in zip(pieces, partners)]
    rows = []
    for name, music in (
        ("music by the composer", pieces),
        ("collage: every other four quarters by the composer", collages),
    ):
        probabilities = np.exp(judge.log_probs(music))
        for composer in (*args.towards, "all"):
            is_row = (labels == composer) | (composer == "all")
            own = np.array([probabilities[i, judge.classes.index(labels[i])] for i in np.flatnonzero(is_row)])
            rows.append(
                {
                    "music": name,
                    "composer": composer,
                    "pieces": len(own),
                    "median": round(float(np.median(own)), 3),
                    "share_half": round(float((own >= 0.5).mean()), 3),
                }
            )
            print(rows[-1], flush=True)
    record.save("dream_real", rows, towards=args.towards)


def collage(first, second):
    """Return notes of two pieces in turn, four quarters of each."""
    from clara.music.notes import NoteSequence

    steps = 4 * first.steps_per_quarter
    notes = []
    for turn, piece in enumerate((first, second)):
        for start, duration, pitch in zip(piece.start.tolist(), piece.duration.tolist(), piece.pitch.tolist()):
            if start // steps % 2 == turn:
                notes.append((start, min(duration, steps - start % steps), pitch))
    return NoteSequence.from_notes(sorted(notes))


def plot(_args) -> None:
    """Draw the median probability against the share of changed notes, for the guide."""
    import json

    from page_content.dreaming import curve_rows

    from clara.rendering.plots import new_figure

    result = json.loads((record.RESULTS / "dream.json").read_text(encoding="utf-8"))
    rows = curve_rows(result)
    figure, ax = new_figure(7, 4)
    changed = [row["changed"] for row in rows]
    for name, label in (("dreamer", "the classifier that the dream listens to"), ("judge", "one that it never met")):
        ax.plot(changed, [row[name] for row in rows], marker="o", ms=4, label=label)
    ax.set(xlabel="share of the original's notes that changed", ylabel="probability of the wanted composer, mean")
    ax.set_ylim(0)
    ax.legend()
    ax.grid(lw=0.5)
    figure.savefig(record.REPOSITORY / "docs" / "images" / "dream.png", dpi=90)


def test_pieces(excerpts: str, n: int, encoding):
    """Yield (composer, piece, notes) of n excerpts of test works, one of each work, in random order."""
    from critic.data.table import read_excerpts

    table, _ = read_excerpts(excerpts)
    test = table[table["split"] == "test"].sample(frac=1, random_state=0).drop_duplicates("work").head(n)
    for row in test.itertuples():
        yield row.composer, row.piece, encoding.decode(row.tokens)[0]


def summarize(rows: list[dict]) -> dict:
    """Return the medians over the pieces."""
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0] if name not in ("table", "path")}
    medians = {
        f"median_{name}": round(float(np.median(columns[name])), 3)
        for name in (
            "judge_before",
            "judge_after",
            "dreamer_before",
            "dreamer_after",
            "critic_change",
            "kept",
            "overlap",
            "seconds",
        )
    }
    return {
        "table": "summary",
        **medians,
        "share_judged_wanted": round(float((columns["judge_after"] >= 0.5).mean()), 3),
        "share_critic_fell_half": round(float((columns["critic_change"] < -0.5).mean()), 3),
        "least_kept": round(float(columns["kept"].min()), 3),
    }


def main():
    """Run the benchmark."""
    p = record.argument_parser(__doc__)
    commands = p.add_subparsers(dest="command", required=True)
    halves = commands.add_parser("halve")
    halves.add_argument("excerpts", metavar="EXCERPTS")
    halves.add_argument("--out", required=True, metavar="FOLDER")
    measured = commands.add_parser("measure")
    measured.add_argument("excerpts", metavar="EXCERPTS")
    measured.add_argument("--dreamer", required=True, metavar="CLASSIFIER", help="Classifier that the dream listens to")
    measured.add_argument("--judge", required=True, metavar="CLASSIFIER", help="Classifier that judges")
    measured.add_argument("--model", default="pretrained/notewise", help="Generator")
    measured.add_argument("--pieces", type=int, default=50, metavar="N", help="Number of pieces")
    measured.add_argument("--steps", type=int, metavar="N", help="Most steps (default: six for each bar)")
    measured.add_argument("--workers", type=int, default=1, metavar="N", help="Number of processes")
    of_real = commands.add_parser("real")
    of_real.add_argument("excerpts", metavar="EXCERPTS")
    of_real.add_argument("--judge", required=True, metavar="CLASSIFIER", help="Classifier that judges")
    of_real.add_argument("--pieces", type=int, default=16, metavar="N", help="Number of excerpts of each composer")
    commands.add_parser("plot")
    for parser in (measured, of_real):
        parser.add_argument("--towards", nargs="+", default=["bach", "beethoven", "chopin", "mozart", "schumann"])
    args = p.parse_args()
    {"halve": halve, "measure": measure, "real": real, "plot": plot}[args.command](args)


if __name__ == "__main__":
    main()
