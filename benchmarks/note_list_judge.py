"""Train a judge that reads a list of notes and separates human from generated music.

python benchmarks/note_list_judge.py EXCERPTS --out runs/judge-notes [--split judge] [--nets 3]

EXCERPTS is a folder of critic.excerpts. The judge uses no language model and, by default, learns from
other works than the critics. It describes a note by its key, duration, position in the quarter, the number
of notes that start with it, its rank among them, and its distance to the note before in semitones and in
time; no critic reads such a list. It also sees self-similarity matrices, like one member of a critic
(`critic.nets.self_similarity`). Pieces longer than the excerpts are judged in segments of their length.
Several networks with different seeds are averaged. Used by `benchmarks/ranking.py`.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import record
import torch
import torch.nn.functional as F
from torch import nn

from clara.music.notes import LOWEST_PIANO_PITCH
from critic.nets.self_similarity import COLUMN_STEPS, LAYERS, N_COLUMNS, N_KEYS, self_similarity_matrices

MAX_DURATION, MAX_GAP = 48, 48  # steps of a twelfth of a quarter
MAX_LEAP = 24  # semitones
MAX_CHORD = 8  # notes that start together
# number of values of each feature of a note
FEATURE_SIZES = (N_KEYS, MAX_DURATION + 1, 12, MAX_CHORD + 1, MAX_CHORD + 1, 2 * MAX_LEAP + 1, MAX_GAP + 1)
MAX_SHIFT = 6  # semitones up or down in training
WIDTH, DILATIONS = 64, (1, 2, 4, 8, 16)
DROPOUT = 0.2  # within the convolutions; with 0.1 the network learned its excerpts by heart
HEAD_DROPOUT = 0.4
MIN_CROP_SHARE = 0.5  # of an excerpt's notes, in training
IMAGE_WIDTHS = (24, 48, 64)  # channels of the convolutions over self-similarity
JUDGED_TOGETHER = 32  # segments in a batch
NETS_FILE, INFO_FILE = "notes.pt", "notes.json"


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained."""

    epochs: int
    bs: int
    lr: float
    seed: int
    device: str


def main():
    """Train, evaluate and save the judge."""
    args = parse_arguments()

    from clara import encodings
    from clara.devices import choose_device
    from clara.files import make_empty_folder
    from critic.data.table import HUMAN, read_excerpts

    torch.set_num_threads(args.threads)
    table, info = read_excerpts(args.excerpts)
    encoding = encodings.make_encoding(info["encoding"])
    sets = {}
    for split in (args.split, "valid", "test"):
        rows = table[table["split"] == split]
        pieces = [encoding.decode(tokens)[0] for tokens in rows["tokens"]]
        sets[split] = pieces, (rows["label"] == HUMAN).to_numpy(copy=True)
    device = choose_device(args.device)[0]
    nets = []
    for i in range(args.nets):
        settings = TrainingSettings(args.epochs, args.bs, args.lr, args.seed + 100 * i, device)
        nets.append(train(sets[args.split], sets["valid"], info["quarters"], settings))
    judge = NoteListJudge(nets, info["quarters"])
    figures = {split: evaluate(judge, *sets[split]) for split in ("valid", "test")}
    out = Path(make_empty_folder(args.out))
    torch.save([net.state_dict() for net in judge.nets], out / NETS_FILE)
    content = {"arguments": vars(args), "quarters": info["quarters"], "figures": figures}
    (out / INFO_FILE).write_text(json.dumps(content, indent=1) + "\n")
    print(figures)


def parse_arguments():
    """Parse the command line."""
    p = record.argument_parser(__doc__)
    p.add_argument("excerpts", help="Folder of excerpts")
    p.add_argument("--out", required=True, help="Folder to write; it must be new or empty")
    p.add_argument("--split", default="judge", help="Split of the excerpts to learn from")
    p.add_argument("--epochs", type=int, default=15, help="Number of epochs")
    p.add_argument("--bs", type=int, default=64, help="Batch size")
    p.add_argument("--lr", type=float, default=2e-3, help="Highest learning rate")
    p.add_argument("--seed", type=int, default=4, help="Random seed")
    p.add_argument("--nets", type=int, default=1, help="Number of networks that are averaged")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda")
    p.add_argument("--threads", type=int, default=1, help="Number of CPU threads")
    return p.parse_args()


def note_features(notes) -> np.ndarray:
    """Return the features of each note and its start, int64 (n, 8), in order of start and pitch.

    The first seven columns are below `FEATURE_SIZES`; times are in twelfths of a quarter.
    """
    order = np.lexsort((notes.pitch, notes.start))
    start, duration, pitch = notes.start[order], notes.duration[order], notes.pitch[order]
    _, first_of_chord, chord, chord_size = np.unique(start, return_index=True, return_inverse=True, return_counts=True)
    leap = np.diff(pitch, prepend=pitch[:1])
    gap = np.diff(start, prepend=start[:1])
    rank_in_chord = np.arange(len(start)) - first_of_chord[chord]
    columns = [
        (pitch - LOWEST_PIANO_PITCH).clip(0, N_KEYS - 1),
        duration.clip(0, MAX_DURATION),
        start % 12,
        chord_size[chord].clip(0, MAX_CHORD),
        rank_in_chord.clip(0, MAX_CHORD),
        leap.clip(-MAX_LEAP, MAX_LEAP) + MAX_LEAP,
        gap.clip(0, MAX_GAP),
        start,
    ]
    return np.stack(columns, 1)


class NoteListNet(nn.Module):
    """Dilated convolutions over embedded notes, strided ones over self-similarity, and two linear layers."""

    def __init__(self):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, WIDTH) for size in FEATURE_SIZES)
        self.convolutions = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 3, dilation=d, padding=d) for d in DILATIONS)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in DILATIONS)
        image_layers = []
        for n_in, n_out in zip((len(LAYERS), *IMAGE_WIDTHS), IMAGE_WIDTHS):
            image_layers += [nn.Conv2d(n_in, n_out, 5, 2, 2, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
        self.image_net = nn.Sequential(*image_layers)
        width = 2 * (WIDTH + IMAGE_WIDTHS[-1])
        self.head = nn.Sequential(
            nn.LayerNorm(width),
            nn.Dropout(HEAD_DROPOUT),
            nn.Linear(width, 64),
            nn.ReLU(),
            nn.Dropout(HEAD_DROPOUT),
            nn.Linear(64, 1),
        )

    def forward(self, features, n_notes):
        """Return the log-odds human of pieces, float32 (n,).

        Parameters
        ----------
        features : int64 tensor (n, longest, 8)
            From `note_features`, padded.
        n_notes : int64 tensor (n,)
        """
        exists = (torch.arange(features.shape[1], device=features.device) < n_notes[:, None])[:, :, None]
        embedded = sum(embedding(features[:, :, i]) for i, embedding in enumerate(self.embeddings))
        x = F.dropout(embedded, DROPOUT, self.training) * exists
        for convolution, norm in zip(self.convolutions, self.norms):
            y = convolution((norm(x) * exists).transpose(1, 2)).transpose(1, 2)
            x = (x + F.dropout(F.relu(y), DROPOUT, self.training)) * exists
        image = self.image_net(self_similarity(features, n_notes))
        mean = x.sum(1) / n_notes[:, None]
        maximum = x.masked_fill(~exists, -1e9).amax(1)
        return self.head(torch.cat([mean, maximum, image.mean((2, 3)), image.amax((2, 3))], 1))[:, 0]


def self_similarity(features, n_notes):
    """Return the self-similarity matrices of pieces given by their note features."""
    onset_tables = []
    for notes, n in zip(features.cpu().numpy(), n_notes.tolist()):
        start = notes[:n, -1] - notes[0, -1] // COLUMN_STEPS * COLUMN_STEPS
        table = np.stack([start // COLUMN_STEPS, start % COLUMN_STEPS, notes[:n, 0]], 1)
        onset_tables.append(table[start < N_COLUMNS * COLUMN_STEPS])
    return self_similarity_matrices(onset_tables, features.device)


def random_run(features, rng):
    """Return a random run of a piece's notes."""
    n = max(1, round(len(features) * rng.uniform(MIN_CROP_SHARE, 1)))
    first = rng.integers(len(features) - n + 1)
    return features[first : first + n]


def collate(pieces, shifts=None, device="cpu"):
    """Return pieces as one padded batch, transposed by `shifts` semitones if given, and their lengths."""
    n_notes = torch.tensor([len(features) for features in pieces])
    batch = np.zeros((len(pieces), int(n_notes.max()), len(FEATURE_SIZES) + 1), dtype=np.int64)
    for row, features in enumerate(pieces):
        batch[row, : len(features)] = features
    if shifts is not None:
        batch[:, :, 0] = (batch[:, :, 0] + shifts[:, None]).clip(0, N_KEYS - 1)
    return torch.from_numpy(batch).to(device), n_notes.to(device)


class NoteListJudge:
    """The mean of several networks, with the interface of a critic.

    Attributes
    ----------
    nets : list of NoteListNet
    quarters : int
        Length of the excerpts that it learned from.
    auc : float
        On held-out works.
    """

    def __init__(self, nets, quarters, auc=float("nan")):
        self.nets = [net.eval() for net in nets]
        self.quarters = quarters
        self.auc = auc

    @classmethod
    def load(cls, folder):
        """Read a judge from its folder."""
        nets = []
        for weights in torch.load(Path(folder) / NETS_FILE, weights_only=True):
            nets.append(NoteListNet())
            nets[-1].load_state_dict(weights)
        info = json.loads((Path(folder) / INFO_FILE).read_text())
        return cls(nets, info["quarters"], info["figures"]["test"]["auc"])

    @torch.inference_mode()
    def score(self, pieces):
        """Return the log-odds human of NoteSequences at 12 steps per quarter, float32 (n,)."""
        from critic.features.segments import split_into_segments

        segments_of_piece = []
        for piece in pieces:
            segments = split_into_segments(piece, int(piece.end.max()), self.quarters)
            segments_of_piece.append([note_features(segment) for _, segment in segments])
        segments = [features for of_piece in segments_of_piece for features in of_piece]
        device = next(self.nets[0].parameters()).device
        odds = []
        for first in range(0, len(segments), JUDGED_TOGETHER):
            batch = collate(segments[first : first + JUDGED_TOGETHER], device=device)
            odds.append(torch.stack([net(*batch) for net in self.nets]).mean(0))
        odds = torch.cat(odds).cpu().numpy()
        ends = np.cumsum([len(of_piece) for of_piece in segments_of_piece])
        return np.array([part.mean() for part in np.split(odds, ends[:-1])], dtype=np.float32)


def make_batches(pieces, bs, rng):
    """Return the row numbers of shuffled batches of pieces of similar length."""
    order = rng.permutation(len(pieces))
    batches = []
    for first in range(0, len(order), 16 * bs):
        group = sorted(order[first : first + 16 * bs], key=lambda row: len(pieces[row]))
        batches += [group[start : start + bs] for start in range(0, len(group), bs)]
    return [batches[i] for i in rng.permutation(len(batches))]


def train(train_set, valid_set, quarters, settings):
    """Return the network of the epoch whose running mean of the weights is best on valid.

    The sets are pairs of NoteSequences and bool labels, True for human.
    """
    from critic.training.callbacks import running_mean

    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    net = NoteListNet().to(settings.device)
    pieces = [note_features(piece) for piece in train_set[0]]
    labels = torch.from_numpy(train_set[1]).float()
    valid_labels = torch.from_numpy(valid_set[1]).float()
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=0.1)
    n_batches = len(make_batches(pieces, settings.bs, np.random.default_rng(0)))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=settings.epochs * n_batches)
    average = running_mean(net)
    best_loss, best_weights = float("inf"), None
    for epoch in range(settings.epochs):
        start = time.perf_counter()
        train_loss = train_epoch(net, pieces, labels, optimizer, schedule, average, rng, settings)
        odds = torch.from_numpy(NoteListJudge([average.module], quarters).score(valid_set[0]))
        valid_loss = float(F.binary_cross_entropy_with_logits(odds, valid_labels))
        seconds = time.perf_counter() - start
        print(
            f"epoch {epoch + 1}/{settings.epochs}  train {train_loss:.4f}  valid {valid_loss:.4f}  {seconds:.0f} s",
            flush=True,
        )
        if valid_loss < best_loss:
            best_loss = valid_loss
            best_weights = {name: tensor.clone() for name, tensor in average.module.state_dict().items()}
    net.load_state_dict(best_weights)
    return net.cpu()


def train_epoch(net, pieces, labels, optimizer, schedule, average, rng, settings):
    """Train one epoch and return the mean loss."""
    net.train()
    total = 0.0
    for rows in make_batches(pieces, settings.bs, rng):
        runs = [random_run(pieces[row], rng) for row in rows]
        shifts = rng.integers(-MAX_SHIFT, MAX_SHIFT + 1, len(rows))
        odds = net(*collate(runs, shifts, settings.device))
        loss = F.binary_cross_entropy_with_logits(odds, labels[np.array(rows)].to(settings.device))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(net)
        total += float(loss.detach()) * len(rows) / len(pieces)
    return total


def evaluate(judge, pieces, is_human):
    """Return the AUC and the accuracy of a judge."""
    from critic.evaluation import auc

    odds = judge.score(pieces)
    return {
        "auc": round(auc(odds[is_human], odds[~is_human]), 4),
        "accuracy": round(float(((odds > 0) == is_human).mean()), 4),
    }


if __name__ == "__main__":
    main()
