"""What a critic and a composer classifier get right on works that neither they nor the generator learned from, and what they listen to.

python benchmarks/critics.py critic CRITIC EXCERPTS [CRITIC EXCERPTS ...]
python benchmarks/critics.py composers CLASSIFIER EXCERPTS [CLASSIFIER EXCERPTS ...] [--critics EXCERPTS ...]

EXCERPTS are folders of critic.excerpts; the test split counts. `critic` gives AUC and accuracy for each sampling
setting, and then, for the first critic, when all excerpts are changed alike: in another key, at half the tempo (all twice as long), without their
first or last 8 quarters, on a grid of four steps a quarter; and how it takes human excerpts that are damaged. `composers`
gives accuracies by excerpt and by piece, of all test works and of those that no generator was trained on, repeats what cross-validation gave when a classifier learned, writes the confusion matrix
beside each classifier, and the inception score of human and of generated excerpts of --critics, as many of each.
"""

import argparse
import json

import numpy as np
import pandas as pd
import record

SETTINGS = ("model", "temperature", "top_p", "random_freq", "corruption")
NAMES = "model", "corruption"  # settings whose values are told alone


def odds(critic, pieces):
    """Log-odds human, NaN where a piece cannot be judged."""
    from critic.ranking import rank_pieces

    _, told = rank_pieces(pieces, lambda some: ({}, critic.score(some)))
    return np.array([t.get("total", np.nan) for t in told])


def told_apart(scores, human):
    """AUC and accuracy at even odds."""
    from critic.evaluation import auc

    ok = ~np.isnan(scores)
    return {
        "auc": round(auc(scores[ok & human], scores[ok & ~human]), 3),
        "accuracy": round(float(((scores > 0) == human)[ok].mean()), 3),
    }


def setting_rows(name, critic, table):
    """AUC and accuracy for all, for what is sampled as `generate.py` does by itself, and for each value of each sampling setting."""
    from critic.data.human_vs_generated import USUAL_TEMPERATURES, USUAL_TOP_P

    scores, human = odds(critic, table["tokens"].tolist()), (table["label"] == "human").to_numpy()
    rows = [{"critic": name, "setting": "all", "generated": int((~human).sum()), **told_apart(scores, human)}]
    usual = {"model": "", "temperature": 1.0, "top_p": 1.0, "random_freq": 1.0, "corruption": ""}
    how = pd.DataFrame([usual | (json.loads(s) if s else {}) for s in table["settings"]])
    composed = ~human & (how["corruption"] == "").to_numpy()
    as_usual = (
        composed
        & (
            how["temperature"].isin(USUAL_TEMPERATURES) & (how["top_p"] == USUAL_TOP_P) & (how["random_freq"] == 1)
        ).to_numpy()
    )
    rows.append(
        {
            "critic": name,
            "setting": "as generate.py samples",
            "generated": int(as_usual.sum()),
            **told_apart(scores[human | as_usual], human[human | as_usual]),
        }
    )
    for setting in SETTINGS:
        sampled = ~human if setting == "corruption" else composed
        for value in sorted(set(how[setting][sampled])):
            if setting == "model" and not value:  # of one model alone
                continue
            some = human | sampled & (how[setting] == value).to_numpy()
            told = value if setting in NAMES else f"{setting.replace('_', ' ')} {value:g}"
            rows.append(
                {
                    "critic": name,
                    "setting": told or "sampled",
                    "generated": int((some & ~human).sum()),
                    **told_apart(scores[some], human[some]),
                }
            )
    return rows


def _changes(quarters):
    """Ways to change an excerpt without a change of who wrote it, by name."""
    from dataclasses import replace

    from clara.music.notes import crop, rebuild_notes, transpose

    def regrid(notes):
        step = notes.steps_per_quarter // 4
        start = (notes.start + step // 2) // step * step
        return rebuild_notes(
            notes, start, np.maximum((notes.end + step // 2) // step * step, start + step), notes.pitch, notes.part
        )[0]

    def cut(notes, first, last):
        return crop(notes, first * notes.steps_per_quarter, last * notes.steps_per_quarter)

    return {
        "as they are": lambda n: n,
        "three semitones up": lambda n: transpose(n, 3 if n.pitch.max() <= 105 else -3)[0],
        "half the tempo": lambda n: replace(n, start=2 * n.start, duration=2 * n.duration),
        "without the first 8 quarters": lambda n: cut(n, 8, quarters),
        "without the last 8 quarters": lambda n: cut(n, 0, quarters - 8),
        "on a grid of 4 steps": regrid,
    }


def _comes_again(notes, n=5):
    """Share of the runs of n intervals of the upper voice that were there before."""
    _, last = np.unique(notes.start[::-1], return_index=True)
    runs = (
        np.lib.stride_tricks.sliding_window_view(np.diff(notes.pitch[::-1][last]), n)
        if len(last) > n
        else np.zeros((1, n))
    )
    return 1 - len(np.unique(runs, axis=0)) / len(runs)


def guard_rows(critic, table, quarters):
    """AUC and accuracy where all excerpts are changed alike, then against human excerpts with shuffled bars."""
    from critic.data.corruptions import CORRUPTIONS
    from critic.evaluation import auc

    human, rng = (table["label"] == "human").to_numpy(), np.random.default_rng(0)
    pieces = [critic.encoding.decode(words)[0] for words in table["tokens"]]
    rows = [
        {"change": name, "of": "all", **told_apart(odds(critic, [change(p) for p in pieces]), human)}
        for name, change in _changes(quarters).items()
    ]
    own = [p for p, h in zip(pieces, human) if h]
    before = odds(critic, own)
    for way, damage in CORRUPTIONS.items():
        after = odds(critic, [damage(p, rng) for p in own])
        ok = ~(np.isnan(before) | np.isnan(after))
        rows.append(
            {
                "change": way,
                "of": "human, told from themselves",
                "auc": round(auc(before[ok], after[ok]), 3),
                "accuracy": round(float((before[ok] > after[ok]).mean()), 3),
            }
        )
    n_notes = np.array([len(p) for p in pieces])
    rows.append(
        {
            "change": "nothing but the number of notes",
            "of": "all",
            "auc": round(max(a := auc(n_notes[human], n_notes[~human]), 1 - a), 3),
            "accuracy": None,
        }
    )
    again = np.array([_comes_again(p) for p in pieces])
    rows.append(
        {
            "change": "nothing but how much of the upper voice comes again",
            "of": "all",
            "auc": round(auc(again[human], again[~human]), 3),
            "accuracy": None,
        }
    )
    first = [w[0] for w in table["tokens"]]
    share = pd.Series(human).groupby(first).transform("mean").to_numpy()
    rows.append(
        {
            "change": "nothing but the first word (its own share of human)",
            "of": "all",
            "auc": round(auc(share[human], share[~human]), 3),
            "accuracy": None,
        }
    )
    return rows


def composer_rows(folder, classifier, table):
    """Accuracies by excerpt and by piece; the confusion matrix of pieces is drawn."""
    from clara.rendering.plots import plot_confusion
    from critic.evaluation import excerpt_and_piece_accuracy, mean_log_probs

    def row(works, some, figures):
        return {
            "classifier": folder,
            "composers": len(classifier.classes),
            "works": works,
            "excerpts": len(some),
            "pieces": some["piece"].nunique(),
            **figures,
        }

    crossed = classifier.info["figures"].get("cross-validation")
    rows = (
        [row("cross-validation, where it learned", table[table["split"].isin(("train", "valid"))], crossed)]
        if crossed
        else []
    )
    test = table[table["split"] == "test"].reset_index(drop=True)
    told = classifier.log_probs(test["tokens"].tolist())
    truth = np.array([classifier.classes.index(label) for label in test["label"]])
    for what, some in (
        ("all", np.ones(len(test), dtype=bool)),
        ("unread by the generator", (test["settings"] == "unseen").to_numpy()),
    ):
        rows.append(row(what, test[some], excerpt_and_piece_accuracy(told[some], truth[some], test["piece"][some])))
    right = next(r["piece_accuracy"] for r in rows if r["works"] == "all")
    _, first, of = np.unique(test["piece"], return_index=True, return_inverse=True)
    many = np.zeros((len(classifier.classes),) * 2, dtype=int)
    np.add.at(many, (truth[first], mean_log_probs(told, of).argmax(1)), 1)
    plot_confusion(many, classifier.classes, f"{folder}/confusion.png", f"held-out pieces, {right:.0%} right")
    return rows


def inception_rows(name, classifier, table):
    """The inception score of human and of generated excerpts, as many of each."""
    from critic.scores import inception_score

    some = {
        label: table[(table["split"] == "test") & (table["label"] == label)]["tokens"].tolist()
        for label in ("human", "generated")
    }
    n = min(map(len, some.values()))
    return [
        {
            "classifier": name,
            "excerpts": label,
            "n": n,
            "composers": len(classifier.classes),
            "inception_score": round(inception_score(classifier.log_probs(words[:n])), 2),
        }
        for label, words in some.items()
    ]


def main():
    """Measure and keep the result."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("what", choices=["critic", "composers"])
    p.add_argument("folders", nargs="+")
    p.add_argument("--critics", nargs="*", default=[])
    p.add_argument("--guarded", type=int, default=2000, help="excerpts that are changed to see what a critic hears")
    p.add_argument("--most", type=int, help="of a critic's test excerpts, as many by chance")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    import torch

    from critic.classifier import ComposerClassifier, Critic
    from critic.data.table import read_excerpts

    torch.set_num_threads(args.threads)
    pairs, rows, more = list(zip(args.folders[::2], args.folders[1::2])), [], []
    for i, (folder, excerpts) in enumerate(pairs):
        table, made = read_excerpts(excerpts)
        if args.what == "critic":
            critic, test = Critic.load(folder), table[table["split"] == "test"]
            test = test.sample(min(args.most or len(test), len(test)), random_state=1).reset_index(drop=True)
            rows += setting_rows(folder, critic, test)
            some = test.sample(min(args.guarded, len(test)), random_state=0).reset_index(drop=True)
            more += guard_rows(critic, some, made["quarters"]) if i == 0 else []
        else:
            classifier = ComposerClassifier.load(folder)
            rows += composer_rows(folder, classifier, table)
            more += (
                inception_rows(folder, classifier, read_excerpts(args.critics[i])[0]) if i < len(args.critics) else []
            )
    for row in rows + more:
        print(row)
    record.save({"critic": "critics", "composers": "composers"}[args.what], rows)
    if more:
        record.save({"critic": "critic_guards", "composers": "inception"}[args.what], more)


if __name__ == "__main__":
    main()
