"""A second critic whose every part is of another architecture than the critic's, and learned from other works.

python benchmarks/other_judge.py EXCERPTS --parts runs/judge-wavenet runs/judge-notes --out runs/judge-other [--split judge]

EXCERPTS is a folder of critic.excerpts. Where the critic reads text with an LSTM, this one does with a WaveNet (`python -m critic.train --from-scratch --arch wavenet`), where it
looks at piano rolls, with convolutions along a list of notes and over self-similarity (`benchmarks/notes_judge.py`), both named by --parts; where
it reads what can be counted with small nets, with boosted trees, which are learned here. Each has equal say: its log-odds are
divided by their root mean square on valid. For `benchmarks/ranking.py`.
"""

import argparse
import json
import pickle
from pathlib import Path

import numpy as np
from notes_judge import NotesJudge

FILE, TREES, FIGURES = "parts.json", "trees.pkl", ("valid", "test")
ROUNDS, RATE, LEAVES, LEAST_LEAF, RIDGE, COLUMNS_TRIED = (
    600,
    0.06,
    24,
    40,
    5.0,
    0.2,
)  # of boosting; chosen once, not tuned
MOST = 2000  # excerpts of a split, that weights and figures are of


class Trees:
    """Boosted trees on what can be counted, with the face of a critic.

    Attributes
    ----------
    model : of scikit-learn
    """

    def __init__(self, model):
        self.model = model

    @classmethod
    def learn(cls, pieces, human, seed):
        """From n NoteSequences and bool array (n,); a part of each is learned from, too."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        from critic.features.descriptors import extract_descriptors
        from critic.members.descriptors import random_crop

        rng = np.random.default_rng(seed)
        some = [
            (part, label)
            for piece, label in zip(pieces, human)
            for part in (piece, random_crop(piece, rng))
            if len(part)
        ]
        model = HistGradientBoostingClassifier(
            max_iter=ROUNDS,
            learning_rate=RATE,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=LEAST_LEAF,
            l2_regularization=RIDGE,
            max_features=COLUMNS_TRIED,
            early_stopping=False,
            random_state=seed,
        )
        return cls(model.fit(np.stack([extract_descriptors(part) for part, _ in some]), [label for _, label in some]))

    def score(self, pieces):
        """Log-odds human, float32 (n,), of n NoteSequences; the mean over stretches of those that are longer."""
        from critic.features.descriptors import extract_descriptors
        from critic.features.segments import split_into_segments

        told = [
            np.stack([extract_descriptors(part) for _, part in split_into_segments(p, int(p.end.max()))])
            for p in pieces
        ]
        odds = self.model.decision_function(np.concatenate(told))
        return np.array([o.mean() for o in np.split(odds, np.cumsum([len(t) for t in told])[:-1])], dtype=np.float32)


class OtherJudge:
    """Some judges that have equal say, with the face of a critic.

    Attributes
    ----------
    parts : list of (judge, weight)
    auc : on held-out works
    """

    def __init__(self, parts, auc=float("nan")):
        self.parts, self.auc = parts, auc

    @classmethod
    def load(cls, folder):
        """Read a folder."""
        folder = Path(folder)
        told = json.loads((folder / FILE).read_text())
        judges = [
            *(loaded(part) for part in told["arguments"]["parts"]),
            Trees(pickle.loads((folder / TREES).read_bytes())),
        ]
        return cls(list(zip(judges, told["weights"])), told["figures"]["test"]["auc"])

    def score(self, pieces):
        """Log-odds human, float32 (n,), of n NoteSequences at 12 steps per quarter."""
        return np.sum([weight * judge.score(pieces) for judge, weight in self.parts], axis=0).astype(np.float32)


def loaded(folder):
    """A judge: a critic, one that reads notes, or one of other architectures."""
    from critic.classifier import Critic

    if (Path(folder) / FILE).is_file():
        return OtherJudge.load(folder)
    return NotesJudge.load(folder) if (Path(folder) / "notes.json").is_file() else Critic.load(folder)


def main():
    """Learn, weigh, tell, keep."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("excerpts")
    p.add_argument("--parts", nargs="*", default=[], metavar="FOLDER")
    p.add_argument("--out", required=True)
    p.add_argument("--split", default="judge")
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    import torch

    from clara import encodings
    from clara.files import make_empty_folder
    from critic.data.table import HUMAN, read_excerpts
    from critic.evaluation import auc

    torch.set_num_threads(args.threads)
    table, made = read_excerpts(args.excerpts)
    table, encoding, sets = table.sample(frac=1, random_state=args.seed), encodings.make_encoding(made["encoding"]), {}
    for split in (args.split, *FIGURES):
        rows = table[table["split"] == split].head(MOST if split in FIGURES else len(table))
        sets[split] = [encoding.decode(w)[0] for w in rows["tokens"]], (rows["label"] == HUMAN).to_numpy(copy=True)
    trees = Trees.learn(*sets[args.split], args.seed)
    out = Path(make_empty_folder(args.out))
    (out / TREES).write_bytes(pickle.dumps(trees.model))
    judges, figures = [*map(loaded, args.parts), trees], {}
    told = {split: np.stack([judge.score(sets[split][0]) for judge in judges]) for split in FIGURES}
    weights = 1 / np.sqrt((told["valid"] ** 2).mean(1))
    for split in FIGURES:
        human = sets[split][1]
        figures[split] = {
            "auc": round(auc(*((weights @ told[split])[which] for which in (human, ~human))), 4),
            "auc_of_parts": [round(auc(odds[human], odds[~human]), 4) for odds in told[split]],
        }
    (out / FILE).write_text(
        json.dumps({"arguments": vars(args), "weights": weights.tolist(), "figures": figures}, indent=1) + "\n"
    )
    print(figures)


if __name__ == "__main__":
    main()
