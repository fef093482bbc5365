"""Evaluate critics and composer classifiers on held-out works, and see what a critic listens to.

python benchmarks/critics.py critic CRITIC EXCERPTS [CRITIC EXCERPTS ...]
python benchmarks/critics.py composers CLASSIFIER EXCERPTS [CLASSIFIER EXCERPTS ...] [--critics EXCERPTS ...]

EXCERPTS are folders of critic.excerpts; their test split is used. `critic` measures AUC and accuracy for each
sampling setting. For the first critic it also measures them when all excerpts are changed alike: in another
key, at half the tempo, without their first or last 8 quarters, on a grid of four steps per quarter; and it
compares human excerpts with the same excerpts after a corruption.

`composers` measures accuracies by excerpt and by piece, for all test works and for those that no generator was
trained on. It repeats the cross-validation figures of the training, draws the confusion matrix beside each
classifier, and measures the inception score of equally many human and generated excerpts of --critics.
"""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import record

from clara.music.notes import crop, rebuild_notes, transpose

HUMAN, GENERATED = "human", "generated"
# setting of an excerpt: its value if the excerpt does not name it
SETTINGS = {"model": "", "temperature": 1.0, "top_p": 1.0, "random_freq": 1.0, "corruption": ""}
SETTING_TITLES = {"temperature": "temperature", "top_p": "top-p", "random_freq": "random frequency"}
INTERVALS_IN_RUN = 5  # of the upper voice, to measure how much of it repeats
CROPPED_QUARTERS = 8
COARSE_STEPS_PER_QUARTER = 4


def main():
    """Measure and save the result."""
    args = parse_arguments()
    import torch

    torch.set_num_threads(args.threads)
    pairs = list(zip(args.folders[::2], args.folders[1::2]))
    if args.what == "critic":
        names, tables = ("critics", "critic_invariance"), measure_critics(pairs, args)
    else:
        names, tables = ("composers", "inception"), measure_composers(pairs, args)
    for name, rows in zip(names, tables):
        for row in rows:
            print(row)
        if rows:
            record.save(name, rows)


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("what", choices=["critic", "composers"], help="What to evaluate")
    p.add_argument("folders", nargs="+", help="Folders of a classifier and of its excerpts, in turn")
    p.add_argument("--critics", nargs="*", default=[], metavar="EXCERPTS", help="Excerpts for the inception score")
    p.add_argument("--changed", type=int, default=2000, help="Number of excerpts that are changed")
    p.add_argument("--max-excerpts", type=int, help="Largest number of a critic's test excerpts (all if not given)")
    p.add_argument("--threads", type=int, default=1, help="Number of CPU threads")
    return p.parse_args()


def measure_critics(pairs, args):
    """Return the rows by sampling setting of all critics, and the invariance rows of the first."""
    from critic import Critic
    from critic.data.table import read_excerpts

    rows, invariance = [], []
    for folder, excerpts in pairs:
        table, info = read_excerpts(excerpts)
        critic = Critic.load(folder)
        test = table[table["split"] == "test"]
        n = min(args.max_excerpts or len(test), len(test))
        test = test.sample(n, random_state=1).reset_index(drop=True)
        rows += setting_rows(folder, critic, test)
        if not invariance:
            changed = test.sample(min(args.changed, len(test)), random_state=0).reset_index(drop=True)
            invariance = invariance_rows(critic, changed, info["quarters"])
    return rows, invariance


def measure_composers(pairs, args):
    """Return the rows of all composer classifiers, and their inception scores."""
    from critic import ComposerClassifier
    from critic.data.table import read_excerpts

    rows, inception = [], []
    for i, (folder, excerpts) in enumerate(pairs):
        classifier = ComposerClassifier.load(folder)
        rows += composer_rows(folder, classifier, read_excerpts(excerpts)[0])
        if i < len(args.critics):
            inception += inception_rows(folder, classifier, read_excerpts(args.critics[i])[0])
    return rows, inception


def score_pieces(critic, pieces):
    """Return the log-odds human of pieces; nan where a piece cannot be judged."""
    from critic.ranking import rank_pieces

    _, rows = rank_pieces(pieces, lambda some: ({}, critic.score(some)))
    return np.array([row.get("total", np.nan) for row in rows])


def auc_and_accuracy(odds, is_human):
    """Return the AUC, and the accuracy at even odds, of the pieces that could be judged."""
    from critic.evaluation import auc

    judged = ~np.isnan(odds)
    return {
        "auc": round(auc(odds[judged & is_human], odds[judged & ~is_human]), 3),
        "accuracy": round(float(((odds > 0) == is_human)[judged].mean()), 3),
    }


def setting_rows(name, critic, table):
    """Return a row for all excerpts, for default settings, and for each value of each setting."""
    odds = score_pieces(critic, table["tokens"].tolist())
    is_human = (table["label"] == HUMAN).to_numpy()
    settings = pd.DataFrame([SETTINGS | (json.loads(text) if text else {}) for text in table["settings"]])

    def row(title, is_included):
        included = is_human | is_included
        n_generated = int((included & ~is_human).sum())
        figures = auc_and_accuracy(odds[included], is_human[included])
        return {"critic": name, "setting": title, "generated": n_generated, **figures}

    is_composed = ~is_human & (settings["corruption"] == "").to_numpy()
    rows = [row("all", ~is_human), row("default settings", is_composed & has_default_settings(settings))]
    for setting in SETTINGS:
        candidates = ~is_human if setting == "corruption" else is_composed
        for value in sorted(set(settings[setting][candidates])):
            if setting == "model" and not value:  # excerpts of a single model
                continue
            title = f"{SETTING_TITLES[setting]} {value:g}" if setting in SETTING_TITLES else value
            rows.append(row(title or "not corrupted", candidates & (settings[setting] == value).to_numpy()))
    return rows


def has_default_settings(settings):
    """Return which excerpts were sampled as `generate.py` does by default, bool array (n,)."""
    from critic.data.human_vs_generated import USUAL_TEMPERATURES, USUAL_TOP_P

    is_default = (
        settings["temperature"].isin(USUAL_TEMPERATURES)
        & (settings["top_p"] == USUAL_TOP_P)
        & (settings["random_freq"] == 1)
    )
    return is_default.to_numpy()


def list_changes(quarters):
    """Return functions that change an excerpt but not who wrote it, by name."""

    def transpose_by_three(notes):
        return transpose(notes, 3 if notes.pitch.max() <= 105 else -3)[0]

    def halve_tempo(notes):
        return replace(notes, start=2 * notes.start, duration=2 * notes.duration)

    def crop_quarters(notes, first, last):
        return crop(notes, first * notes.steps_per_quarter, last * notes.steps_per_quarter)

    def coarsen_grid(notes):
        step = notes.steps_per_quarter // COARSE_STEPS_PER_QUARTER
        start = (notes.start + step // 2) // step * step
        end = np.maximum((notes.end + step // 2) // step * step, start + step)
        return rebuild_notes(notes, start, end, notes.pitch, notes.part)[0]

    return {
        "none": lambda notes: notes,
        "transposed by three semitones": transpose_by_three,
        "half the tempo": halve_tempo,
        f"without the first {CROPPED_QUARTERS} quarters": lambda n: crop_quarters(n, CROPPED_QUARTERS, quarters),
        f"without the last {CROPPED_QUARTERS} quarters": lambda n: crop_quarters(n, 0, quarters - CROPPED_QUARTERS),
        f"on a grid of {COARSE_STEPS_PER_QUARTER} steps": coarsen_grid,
    }


def invariance_rows(critic, table, quarters):
    """Return rows for excerpts that are all changed alike, for corruptions, and for single features."""
    is_human = (table["label"] == HUMAN).to_numpy()
    pieces = [critic.encoding.decode(tokens)[0] for tokens in table["tokens"]]
    rows = []
    for name, change in list_changes(quarters).items():
        odds = score_pieces(critic, [change(piece) for piece in pieces])
        rows.append({"change": name, "excerpts": "all", **auc_and_accuracy(odds, is_human)})
    human_pieces = [piece for piece, human in zip(pieces, is_human) if human]
    return rows + corruption_rows(critic, human_pieces) + feature_rows(pieces, table["tokens"], is_human)


def corruption_rows(critic, pieces):
    """Return a row for each corruption: human excerpts against themselves after it."""
    from critic.data.corruptions import CORRUPTIONS
    from critic.evaluation import auc

    rng = np.random.default_rng(0)
    before = score_pieces(critic, pieces)
    rows = []
    for name, corrupt in CORRUPTIONS.items():
        after = score_pieces(critic, [corrupt(piece, rng) for piece in pieces])
        judged = ~(np.isnan(before) | np.isnan(after))
        rows.append(
            {
                "change": name,
                "excerpts": "human, original against changed",
                "auc": round(auc(before[judged], after[judged]), 3),
                "accuracy": round(float((before[judged] > after[judged]).mean()), 3),
            }
        )
    return rows


def feature_rows(pieces, texts, is_human):
    """Return a row for each of a few trivial features: the AUC that it reaches alone."""
    from critic.evaluation import auc

    def feature_auc(values):
        return auc(values[is_human], values[~is_human])

    number_auc = feature_auc(np.array([len(piece) for piece in pieces]))
    repetition_auc = feature_auc(np.array([upper_voice_repetition(piece) for piece in pieces]))
    first_tokens = [tokens[0] for tokens in texts]
    human_share = pd.Series(is_human).groupby(first_tokens).transform("mean").to_numpy()  # on these very excerpts
    aucs = {
        "(number of notes alone)": max(number_auc, 1 - number_auc),
        "(repetition in the upper voice alone)": repetition_auc,
        "(first token alone)": feature_auc(human_share),
    }
    return [
        {"change": name, "excerpts": "all", "auc": round(value, 3), "accuracy": None} for name, value in aucs.items()
    ]


def upper_voice_repetition(notes):
    """Return the share of the upper voice's runs of intervals that occurred before."""
    _, last_of_onset = np.unique(notes.start[::-1], return_index=True)
    if len(last_of_onset) <= INTERVALS_IN_RUN:
        return 0.0
    intervals = np.diff(notes.pitch[::-1][last_of_onset])
    runs = np.lib.stride_tricks.sliding_window_view(intervals, INTERVALS_IN_RUN)
    return 1 - len(np.unique(runs, axis=0)) / len(runs)


def composer_rows(folder, classifier, table):
    """Return accuracies by excerpt and by piece, and draw the confusion matrix of pieces."""
    from critic.evaluation import excerpt_and_piece_accuracy

    def row(works, excerpts, figures):
        return {
            "classifier": folder,
            "composers": len(classifier.classes),
            "works": works,
            "excerpts": len(excerpts),
            "pieces": excerpts["piece"].nunique(),
            **figures,
        }

    rows = []
    cross_validation = classifier.info["figures"].get("cross-validation")
    if cross_validation:
        learned = table[table["split"].isin(("train", "valid"))]
        rows.append(row("cross-validation on the training works", learned, cross_validation))
    test = table[table["split"] == "test"].reset_index(drop=True)
    log_probs = classifier.log_probs(test["tokens"].tolist())
    labels = np.array([classifier.classes.index(label) for label in test["label"]])
    groups = {
        "all": np.ones(len(test), dtype=bool),
        "test works that the generator did not read": (test["settings"] == "unseen").to_numpy(),
    }
    for works, included in groups.items():
        figures = excerpt_and_piece_accuracy(log_probs[included], labels[included], test["piece"][included])
        rows.append(row(works, test[included], figures))
        if works == "all":
            draw_confusion(folder, classifier, log_probs, labels, test["piece"], figures["piece_accuracy"])
    return rows


def draw_confusion(folder, classifier, log_probs, labels, piece_names, accuracy):
    """Draw the confusion matrix of pieces beside the classifier."""
    from clara.rendering.plots import plot_confusion
    from critic.evaluation import mean_log_probs

    _, first, piece = np.unique(piece_names, return_index=True, return_inverse=True)
    counts = np.zeros((len(classifier.classes),) * 2, dtype=int)
    np.add.at(counts, (labels[first], mean_log_probs(log_probs, piece).argmax(1)), 1)
    plot_confusion(counts, classifier.classes, f"{folder}/confusion.png", f"held-out pieces, {accuracy:.0%} right")


def inception_rows(name, classifier, table):
    """Return the inception score of equally many human and generated test excerpts."""
    from critic.scores import inception_score

    test = table[table["split"] == "test"]
    texts = {label: test[test["label"] == label]["tokens"].tolist() for label in (HUMAN, GENERATED)}
    n = min(map(len, texts.values()))
    return [
        {
            "classifier": name,
            "excerpts": label,
            "n_excerpts": n,
            "composers": len(classifier.classes),
            "inception_score": round(inception_score(classifier.log_probs(texts[label][:n])), 2),
        }
        for label in (HUMAN, GENERATED)
    ]


if __name__ == "__main__":
    main()
