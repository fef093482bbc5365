"""A judge that reads no text: a convolutional net on piano rolls, from scratch, human or generated?

python benchmarks/roll_judge.py EXCERPTS --out runs/judge-roll [--split other]

EXCERPTS is a folder of critic.excerpts. It shares with the critics only the excerpts' making: other input, other
architecture, no language model, and by default other works. For `benchmarks/ranking.py`.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LOWEST, KEYS = 21, 88
STEPS_PER_QUARTER = 12
SHIFT = 6  # semitones up or down while it learns


class RollNet(nn.Module):
    """Onsets and sounding keys to one log-odds: four strided convolutions, mean and largest, two linear layers."""

    def __init__(self, widths=(24, 48, 96, 128)):
        super().__init__()
        layers, before = [], 2
        for i, width in enumerate(widths):
            kernel, stride, pad = ((6, 6), (2, 3), (2, 2)) if i == 0 else ((5, 5), 2, 2) if i < 3 else ((3, 3), 2, 1)
            layers += [nn.Conv2d(before, width, kernel, stride, pad, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.4), nn.Linear(2 * before, 64), nn.ReLU(), nn.Dropout(0.4), nn.Linear(64, 1))

    def forward(self, roll):
        """Log-odds human (n,) of rolls (n, 2, 88, steps)."""
        heard = self.body(roll).flatten(2)
        return self.head(torch.cat([heard.mean(2), heard.amax(2)], 1))[:, 0]


def roll(notes, quarters):
    """Onsets and sounding keys, uint8 (2, 88, steps)."""
    told = np.zeros((2, KEYS, quarters * STEPS_PER_QUARTER), dtype=np.uint8)
    for start, end, pitch in zip(notes.start, notes.end, notes.pitch - LOWEST):
        if start < told.shape[2]:
            told[0, pitch, start] = 1
            told[1, pitch, start:end] = 1
    return told


class RollJudge:
    """What was learned, with the face of a critic.

    Attributes
    ----------
    net : RollNet
    quarters : length of what it judges
    auc : on held-out works
    """

    def __init__(self, net, quarters, auc=float("nan")):
        self.net, self.quarters, self.auc = net.eval(), quarters, auc

    @classmethod
    def load(cls, folder):
        """Read a folder."""
        told = json.loads((Path(folder) / "roll.json").read_text())
        net = RollNet()
        net.load_state_dict(torch.load(Path(folder) / "roll.pt", weights_only=True))
        return cls(net, told["quarters"], told["figures"]["test"]["auc"])

    def score(self, pieces):
        """Log-odds human, float32 (n,), of n NoteSequences at 12 steps per quarter."""
        return self.score_rolls(np.stack([roll(p, self.quarters) for p in pieces]))

    @torch.inference_mode()
    def score_rolls(self, rolls):
        """As `score`, of uint8 (n, 2, 88, steps)."""
        self.net.eval()
        return torch.cat([self.net(torch.from_numpy(rolls[at:at + 64]).float()) for at in range(0, len(rolls), 64)]).numpy()


def moved(rolls, rng):
    """Rolls in keys drawn evenly; what leaves the keyboard is lost."""
    padded = F.pad(rolls, (0, 0, SHIFT, SHIFT))
    return torch.stack([padded[i, :, at:at + KEYS] for i, at in enumerate(rng.integers(0, 2 * SHIFT + 1, len(rolls)))])


def train(rolls, labels, valid, valid_labels, epochs, bs, lr, seed):
    """The net of the epoch that is best on valid."""
    torch.manual_seed(seed)
    rng, net = np.random.default_rng(seed), RollNet()
    steps = epochs * (len(rolls) // bs)
    opt = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=steps)
    best, kept = float("inf"), None
    for epoch in range(epochs):
        net.train()
        began, order, total = time.perf_counter(), rng.permutation(len(rolls))[:len(rolls) // bs * bs], 0.0
        for rows in order.reshape(-1, bs):
            with torch.autocast("cpu", torch.bfloat16):
                told = net(moved(torch.from_numpy(rolls[rows]).float(), rng).contiguous(memory_format=torch.channels_last))
            loss = F.binary_cross_entropy_with_logits(told.float(), torch.from_numpy(labels[rows]).float())
            opt.zero_grad()
            loss.backward()
            opt.step()
            schedule.step()
            total += loss.item() * bs / len(order)
        odds = torch.from_numpy(RollJudge(net, 0).score_rolls(valid))
        cost = float(F.binary_cross_entropy_with_logits(odds, torch.from_numpy(valid_labels).float()))
        print(f"epoch {epoch + 1}/{epochs}  train {total:.4f}  valid {cost:.4f}  {time.perf_counter() - began:.0f} s", flush=True)
        if cost < best:
            best, kept = cost, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(kept)
    return net


def main():
    """Learn, tell, keep."""
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("excerpts")
    p.add_argument("--out", required=True)
    p.add_argument("--split", default="other")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--bs", type=int, default=64)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--seed", type=int, default=4)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()

    from clara import encodings
    from clara.files import new_folder
    from critic.classifier import HUMAN
    from critic.excerpts import read_excerpts
    from critic.training import auc

    torch.set_num_threads(args.threads)
    table, made = read_excerpts(args.excerpts)
    encoding, quarters = encodings.make(made["encoding"]), made["quarters"]
    sets = {}
    for split in (args.split, "valid", "test"):
        rows = table[table["split"] == split]
        sets[split] = np.stack([roll(encoding.decode(w)[0], quarters) for w in rows["words"]]), (rows["label"] == HUMAN).to_numpy()
    judge = RollJudge(train(*sets[args.split], *sets["valid"], args.epochs, args.bs, args.lr, args.seed), quarters)
    told = {}
    for split in ("valid", "test"):
        odds, human = judge.score_rolls(sets[split][0]), sets[split][1]
        told[split] = {"auc": round(auc(odds[human], odds[~human]), 4), "accuracy": round(float(((odds > 0) == human).mean()), 4)}
    out = Path(new_folder(args.out))
    torch.save(judge.net.state_dict(), out / "roll.pt")
    (out / "roll.json").write_text(json.dumps({"quarters": quarters, "arguments": vars(args), "figures": told}, indent=1) + "\n")
    print(told)


if __name__ == "__main__":
    main()
