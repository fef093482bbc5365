"""A judge that reads neither text nor piano rolls nor statistics: convolutions along a list of notes and over its self-similarity, from scratch, human or generated?

python benchmarks/notes_judge.py EXCERPTS --out runs/judge-notes [--split judge] [--nets 3]

EXCERPTS is a folder of critic.excerpts. No language model, and by default other works than the critics learned from. A note is told by its key, length, place in the quarter, by how many notes are struck with it and its
place among them, and by its distance to the note before, in semitones and in time; no critic reads such a list. Beside it, self-similarity as pictures, which one voice of a critic sees, too
(`critic.nets.self_similarity`). A piece longer than the excerpts is judged in stretches of their
length. Several nets, each from another seed, are averaged, which leaves less to chance. For `benchmarks/ranking.py`.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from critic.nets.self_similarity import COLUMN_STEPS, N_COLUMNS, self_similarity_matrices

LOWEST, KEYS, LONGEST, WIDEST, MOST = 21, 88, 48, 24, 8
SIZES = (KEYS, LONGEST + 1, 12, MOST + 1, MOST + 1, 2 * WIDEST + 1, LONGEST + 1)  # of what is told of a note
SHIFT = 6  # semitones up or down while it learns
WIDTH, DILATIONS = 64, (1, 2, 4, 8, 16)
DROPOUT = 0.2  # within the convolutions; 0.1 learned its excerpts by heart
LEAST = 0.5  # of an excerpt's notes, a run of which is looked at each time
PICTURE = (24, 48, 64)  # channels of the convolutions over self-similarity
TOGETHER = 32  # stretches that are judged at a time


def told_of(notes):
    """What is told of each note, int64 (n, 7), then its start, (n, 8); times in twelfths of a quarter."""
    order = np.lexsort((notes.pitch, notes.start))
    start, length, pitch = notes.start[order], notes.duration[order], notes.pitch[order]
    _, first, which, many = np.unique(start, return_index=True, return_inverse=True, return_counts=True)
    leap, gap = np.diff(pitch, prepend=pitch[:1]), np.diff(start, prepend=start[:1])
    return np.stack(
        [
            (pitch - LOWEST).clip(0, KEYS - 1),
            length.clip(0, LONGEST),
            start % 12,
            many[which].clip(0, MOST),
            (np.arange(len(start)) - first[which]).clip(0, MOST),
            leap.clip(-WIDEST, WIDEST) + WIDEST,
            gap.clip(0, LONGEST),
            start,
        ],
        1,
    )


class NotesNet(nn.Module):
    """What is told of notes, embedded and added up, through dilated convolutions with residuals, and self-similarity through strided ones; mean and largest of
    both, two linear layers.
    """

    def __init__(self):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, WIDTH) for size in SIZES)
        self.convolutions = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 3, dilation=d, padding=d) for d in DILATIONS)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in DILATIONS)
        self.picture = nn.Sequential(
            *(
                layer
                for before, width in zip((4, *PICTURE), PICTURE)
                for layer in (nn.Conv2d(before, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            )
        )
        width = 2 * (WIDTH + PICTURE[-1])
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Dropout(0.4), nn.Linear(width, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, 1)
        )

    def forward(self, told, n_notes):
        """Log-odds human (n,) of what is told, int64 (n, longest, 8), as `told_of` has it, of which the first n_notes, int64 (n,), count."""
        there = (torch.arange(told.shape[1], device=told.device) < n_notes[:, None])[:, :, None]
        x = F.dropout(sum(e(told[:, :, i]) for i, e in enumerate(self.embeddings)), DROPOUT, self.training) * there
        for convolution, norm in zip(self.convolutions, self.norms):
            heard = convolution((norm(x) * there).transpose(1, 2)).transpose(1, 2)
            x = (x + F.dropout(F.relu(heard), DROPOUT, self.training)) * there
        mean = x.sum(1) / n_notes[:, None]
        seen = self.picture(alike(told, n_notes))
        return self.head(
            torch.cat([mean, x.masked_fill(~there, -1e9).amax(1), seen.mean((2, 3)), seen.amax((2, 3))], 1)
        )[:, 0]


def alike(told, n_notes):
    """Pictures of self-similarity of what is told."""
    some = []
    for notes, n in zip(told.cpu().numpy(), n_notes.tolist()):
        at = notes[:n, -1] - notes[0, -1] // COLUMN_STEPS * COLUMN_STEPS
        some.append(np.stack([at // COLUMN_STEPS, at % COLUMN_STEPS, notes[:n, 0]], 1)[at < N_COLUMNS * COLUMN_STEPS])
    return self_similarity_matrices(some, told.device)


def cut(told, rng):
    """A run of some of a piece's notes."""
    n = max(1, round(len(told) * rng.uniform(LEAST, 1)))
    first = rng.integers(len(told) - n + 1)
    return told[first : first + n]


def collated(told, rows, shift=None, device="cpu"):
    """Some pieces as a batch, in keys moved by shift where it is given."""
    n_notes = torch.tensor([len(told[i]) for i in rows])
    batch = np.zeros((len(rows), int(n_notes.max()), len(SIZES) + 1), dtype=np.int64)
    for k, i in enumerate(rows):
        batch[k, : len(told[i])] = told[i]
    if shift is not None:
        batch[:, :, 0] = (batch[:, :, 0] + shift[:, None]).clip(0, KEYS - 1)
    return torch.from_numpy(batch).to(device), n_notes.to(device)


class NotesJudge:
    """What was learned, with the face of a critic.

    Attributes
    ----------
    nets : list of NotesNet
    quarters : length of what it learned from
    auc : on held-out works
    """

    def __init__(self, nets, quarters, auc=float("nan")):
        self.nets, self.quarters, self.auc = [net.eval() for net in nets], quarters, auc

    @classmethod
    def load(cls, folder):
        """Read a folder."""
        learned = torch.load(Path(folder) / "notes.pt", weights_only=True)
        nets = [NotesNet() for _ in learned]
        for net, weights in zip(nets, learned):
            net.load_state_dict(weights)
        told = json.loads((Path(folder) / "notes.json").read_text())
        return cls(nets, told["quarters"], told["figures"]["test"]["auc"])

    @torch.inference_mode()
    def score(self, pieces):
        """Log-odds human, float32 (n,), of n NoteSequences at 12 steps per quarter."""
        from critic.features.segments import split_into_segments

        parts = [[told_of(part) for _, part in split_into_segments(p, int(p.end.max()), self.quarters)] for p in pieces]
        told = [part for each in parts for part in each]
        device = next(self.nets[0].parameters()).device
        batches = (
            collated(told, range(at, min(at + TOGETHER, len(told))), device=device)
            for at in range(0, len(told), TOGETHER)
        )
        odds = torch.cat([torch.stack([net(*batch) for net in self.nets]).mean(0) for batch in batches]).cpu().numpy()
        return np.array(
            [o.mean() for o in np.split(odds, np.cumsum([len(each) for each in parts])[:-1])], dtype=np.float32
        )


def batches(told, bs, rng):
    """Rows, shuffled, of neighbours in length."""
    order = rng.permutation(len(told))
    groups = [sorted(order[at : at + 16 * bs], key=lambda i: len(told[i])) for at in range(0, len(order), 16 * bs)]
    chunks = [g[at : at + bs] for g in groups for at in range(0, len(g), bs)]
    return [chunks[i] for i in rng.permutation(len(chunks))]


def train(pieces, labels, valid, valid_labels, quarters, epochs, bs, lr, seed, device):
    """The net of the epoch whose running mean of the weights is best on valid."""
    from critic.training.callbacks import running_mean

    torch.manual_seed(seed)
    rng, net, told = np.random.default_rng(seed), NotesNet().to(device), [told_of(p) for p in pieces]
    opt = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        opt, lr, total_steps=epochs * len(batches(told, bs, np.random.default_rng(0)))
    )
    mean = running_mean(net)
    best, kept = float("inf"), None
    for epoch in range(epochs):
        net.train()
        began, total = time.perf_counter(), 0.0
        for rows in batches(told, bs, rng):
            odds = net(
                *collated(
                    [cut(told[i], rng) for i in rows],
                    range(len(rows)),
                    rng.integers(-SHIFT, SHIFT + 1, len(rows)),
                    device,
                )
            )
            loss = F.binary_cross_entropy_with_logits(odds, torch.from_numpy(labels[rows]).float().to(device))
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            schedule.step()
            mean.update_parameters(net)
            total += loss.detach() * len(rows) / len(told)
        odds = torch.from_numpy(NotesJudge([mean.module], quarters).score(valid))
        cost = float(F.binary_cross_entropy_with_logits(odds, torch.from_numpy(valid_labels).float()))
        print(
            f"epoch {epoch + 1}/{epochs}  train {total:.4f}  valid {cost:.4f}  {time.perf_counter() - began:.0f} s",
            flush=True,
        )
        if cost < best:
            best, kept = cost, {k: v.clone() for k, v in mean.module.state_dict().items()}
    net.load_state_dict(kept)
    return net.cpu()


def main():
    """Learn, tell, keep."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("excerpts")
    p.add_argument("--out", required=True)
    p.add_argument("--split", default="judge")
    p.add_argument("--epochs", type=int, default=15)
    p.add_argument("--bs", type=int, default=64)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--seed", type=int, default=4)
    p.add_argument("--nets", type=int, default=1, help="of other seeds, averaged")
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()

    from clara import encodings
    from clara.devices import choose_device
    from clara.files import make_empty_folder
    from critic.data.table import HUMAN, read_excerpts
    from critic.evaluation import auc

    torch.set_num_threads(args.threads)
    table, made = read_excerpts(args.excerpts)
    encoding, sets = encodings.make_encoding(made["encoding"]), {}
    for split in (args.split, "valid", "test"):
        rows = table[table["split"] == split]
        sets[split] = [encoding.decode(w)[0] for w in rows["tokens"]], (rows["label"] == HUMAN).to_numpy(copy=True)
    device = choose_device(args.device)[0]
    judge = NotesJudge(
        [
            train(
                *sets[args.split],
                *sets["valid"],
                made["quarters"],
                args.epochs,
                args.bs,
                args.lr,
                args.seed + 100 * i,
                device,
            )
            for i in range(args.nets)
        ],
        made["quarters"],
    )
    told = {}
    for split in ("valid", "test"):
        odds, human = judge.score(sets[split][0]), sets[split][1]
        told[split] = {
            "auc": round(auc(odds[human], odds[~human]), 4),
            "accuracy": round(float(((odds > 0) == human).mean()), 4),
        }
    out = Path(make_empty_folder(args.out))
    torch.save([net.state_dict() for net in judge.nets], out / "notes.pt")
    (out / "notes.json").write_text(
        json.dumps({"arguments": vars(args), "quarters": made["quarters"], "figures": told}, indent=1) + "\n"
    )
    print(told)


if __name__ == "__main__":
    main()
