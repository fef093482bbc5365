"""Train a second judge, whose parts have other architectures than the critic's and learned from other works.

python benchmarks/mixed_judge.py EXCERPTS --parts runs/judge-wavenet runs/judge-notes --out runs/judge-other

EXCERPTS is a folder of critic.excerpts. The critic reads text with an LSTM; this judge reads it with a
WaveNet (`python -m critic.train --from-scratch --arch wavenet`). Instead of a piano-roll CNN it has
convolutions over a list of notes and over self-similarity (`benchmarks/note_list_judge.py`). Both are
named by --parts. Instead of an MLP it reads descriptors with boosted trees, which are trained here. All
parts have equal weight: their log-odds are divided by the root mean square on valid. Used by
`benchmarks/ranking.py`.
"""

import json
import pickle
from pathlib import Path

import numpy as np
import record
from note_list_judge import INFO_FILE, NoteListJudge

PARTS_FILE, TREES_FILE = "parts.json", "trees.pkl"
EVALUATED_SPLITS = ("valid", "test")
MAX_EXCERPTS = 2000  # of a split, for weights and figures
# of boosting; chosen once, not tuned
TREE_SETTINGS = {
    "max_iter": 600,
    "learning_rate": 0.06,
    "max_leaf_nodes": 24,
    "min_samples_leaf": 40,
    "l2_regularization": 5.0,
    "max_features": 0.2,
    "early_stopping": False,
}


class TreeJudge:
    """Boosted trees on descriptors, with the interface of a critic.

    Attributes
    ----------
    model : HistGradientBoostingClassifier
    """

    def __init__(self, model):
        self.model = model

    @classmethod
    def train(cls, pieces, is_human, seed):
        """Train on NoteSequences and a random crop of each; `is_human` is a bool array (n,)."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        from critic.features.descriptors import extract_descriptors
        from critic.members.descriptors import random_crop

        rng = np.random.default_rng(seed)
        features, labels = [], []
        for piece, label in zip(pieces, is_human):
            for part in (piece, random_crop(piece, rng)):
                if len(part):
                    features.append(extract_descriptors(part))
                    labels.append(label)
        model = HistGradientBoostingClassifier(**TREE_SETTINGS, random_state=seed)
        return cls(model.fit(np.stack(features), labels))

    def score(self, pieces):
        """Return the log-odds human of NoteSequences, float32 (n,): the mean over the segments of each."""
        from critic.features.descriptors import extract_descriptors
        from critic.features.segments import split_into_segments

        features = []
        for piece in pieces:
            segments = split_into_segments(piece, int(piece.end.max()))
            features.append(np.stack([extract_descriptors(segment) for _, segment in segments]))
        odds = self.model.decision_function(np.concatenate(features))
        ends = np.cumsum([len(rows) for rows in features])
        return np.array([part.mean() for part in np.split(odds, ends[:-1])], dtype=np.float32)


class MixedJudge:
    """Judges of equal weight, with the interface of a critic.

    Attributes
    ----------
    parts : list of (judge, float)
        Each with its weight.
    auc : float
        On held-out works.
    """

    def __init__(self, parts, auc=float("nan")):
        self.parts = parts
        self.auc = auc

    @classmethod
    def load(cls, folder):
        """Read a judge from its folder."""
        folder = Path(folder)
        info = json.loads((folder / PARTS_FILE).read_text())
        judges = [load_judge(part) for part in info["arguments"]["parts"]]
        judges.append(TreeJudge(pickle.loads((folder / TREES_FILE).read_bytes())))
        return cls(list(zip(judges, info["weights"])), info["figures"]["test"]["auc"])

    def score(self, pieces):
        """Return the log-odds human of NoteSequences at 12 steps per quarter, float32 (n,)."""
        return np.sum([weight * judge.score(pieces) for judge, weight in self.parts], axis=0).astype(np.float32)


def load_judge(folder):
    """Return the judge of a folder: a critic, a NoteListJudge or a MixedJudge."""
    from critic import Critic

    folder = Path(folder)
    if (folder / PARTS_FILE).is_file():
        return MixedJudge.load(folder)
    return NoteListJudge.load(folder) if (folder / INFO_FILE).is_file() else Critic.load(folder)


def describe_judge(judge):
    """Return what a judge is made of, and its AUC on held-out works."""
    if isinstance(judge, NoteListJudge):
        return f"note-list and self-similarity CNN (AUC {judge.auc:.2f})"
    if isinstance(judge, MixedJudge):
        return f"WaveNet on text, note-list CNN, descriptor trees (AUC {judge.auc:.2f})"
    auc = judge.info["figures"]["test"]["auc"]
    members = ", ".join(member.type for member, _ in judge.members)
    if judge.model.type == "ensemble":
        return f"ensemble of {members} (AUC {auc:.2f})"
    if judge.model.type == "text":
        encoder = "frozen encoder" if judge.model.net_settings["freeze_encoder"] else judge.model.net_settings["arch"]
        return f"text, {encoder} (AUC {auc:.2f})"
    return f"{members} (AUC {auc:.2f})"


def main():
    """Train the trees, weigh, evaluate and save the judge."""
    args = parse_arguments()
    import torch

    from clara.files import make_empty_folder

    torch.set_num_threads(args.threads)
    sets = read_sets(args.excerpts, args.split, args.seed)
    trees = TreeJudge.train(*sets[args.split], args.seed)
    out = Path(make_empty_folder(args.out))
    (out / TREES_FILE).write_bytes(pickle.dumps(trees.model))
    judges = [*map(load_judge, args.parts), trees]
    odds = {split: np.stack([judge.score(sets[split][0]) for judge in judges]) for split in EVALUATED_SPLITS}
    weights = 1 / np.sqrt((odds["valid"] ** 2).mean(1))
    figures = {split: evaluate(odds[split], weights, sets[split][1]) for split in EVALUATED_SPLITS}
    content = {"arguments": vars(args), "weights": weights.tolist(), "figures": figures}
    (out / PARTS_FILE).write_text(json.dumps(content, indent=1) + "\n")
    print(figures)


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("excerpts", help="Folder of excerpts")
    p.add_argument("--parts", nargs="*", default=[], metavar="FOLDER", help="Folders of other judges")
    p.add_argument("--out", required=True, help="Folder to write; it must be new or empty")
    p.add_argument("--split", default="judge", help="Split of the excerpts to learn from")
    p.add_argument("--seed", type=int, default=7, help="Random seed")
    p.add_argument("--threads", type=int, default=1, help="Number of CPU threads")
    return p.parse_args()


def read_sets(folder, train_split, seed):
    """Return {split: (NoteSequences, whether each is human)}."""
    from clara import encodings
    from critic.data.table import HUMAN, read_excerpts

    table, info = read_excerpts(folder)
    table = table.sample(frac=1, random_state=seed)
    encoding = encodings.make_encoding(info["encoding"])
    sets = {}
    for split in (train_split, *EVALUATED_SPLITS):
        rows = table[table["split"] == split]
        if split in EVALUATED_SPLITS:
            rows = rows.head(MAX_EXCERPTS)
        pieces = [encoding.decode(tokens)[0] for tokens in rows["tokens"]]
        sets[split] = pieces, (rows["label"] == HUMAN).to_numpy(copy=True)
    return sets


def evaluate(odds, weights, is_human):
    """Return the AUC of the weighted sum and of each part; `odds` are (n_parts, n)."""
    from critic.evaluation import auc

    total = weights @ odds
    return {
        "auc": round(auc(total[is_human], total[~is_human]), 4),
        "auc_of_parts": [round(auc(part[is_human], part[~is_human]), 4) for part in odds],
    }


if __name__ == "__main__":
    main()
