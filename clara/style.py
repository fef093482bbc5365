"""Style files: a manner of writing in some hundred kilobytes, beside weights that stay as they are.

A style is the state in which the net begins a piece, and an output layer of its own. All
else is the base's, so little music does not make it forget, and a pass over it takes seconds:
the states after the first window need no gradients. A file names the base that it
belongs to by the hash of its weights.

Contents: `Style`, `tune`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from clara.dataloaders import SHIFTS, fitting_shifts
from clara.errors import BadSetting, CheckpointMismatch
from clara.evaluate import nats_per_piece
from clara.files import write_whole
from clara.models import architecture
from clara.vocab import transposition_tables

WINDOW, BS = 200, 8  # words between steps, pieces side by side
CLIP = 0.5


@dataclass
class Style:
    """A style as it stands in its file.

    Attributes
    ----------
    tensors : dict of weights by name, which stand in for the base's or beside them
    info : dict with `base` (hash of its weights), `data`, `figures`
    """

    tensors: dict
    info: dict

    def save(self, path):
        """Write the file, whole, in half precision."""
        stored = {k: v.half().contiguous() for k, v in self.tensors.items()}
        write_whole(path, save(stored, {"style": json.dumps(self.info)}))

    @classmethod
    def load(cls, path):
        """Read what `save` wrote.

        Raises
        ------
        CheckpointMismatch
            If it is no style file.
        """
        if not Path(path).is_file():
            raise CheckpointMismatch(f"{path}: there is no such style file")
        try:
            with safe_open(path, "pt") as f:
                return cls({k: f.get_tensor(k) for k in f.keys()}, json.loads(f.metadata()["style"]))  # noqa: SIM118 - it is no dict
        except (SafetensorError, TypeError, KeyError, ValueError) as e:
            raise CheckpointMismatch(f"{path}: not a style file ({e})") from e

    def onto(self, checkpoint, weights, told):
        """The checkpoint in this style.

        Parameters
        ----------
        checkpoint : clara.checkpoint.Checkpoint, changed in place
        weights : hash of its weights
        told : the style's name and the model's, for messages

        Raises
        ------
        CheckpointMismatch
            If the style belongs to other weights.
        """
        if self.info.get("base") != weights:
            raise CheckpointMismatch(f"{told[0]}: a style for weights {self.info.get('base')}, {told[1]} holds {weights}")
        checkpoint.tensors = checkpoint.tensors | self.tensors
        return checkpoint


class _Tuned(nn.Module):
    """What is trained: initial states and the output layer."""

    def __init__(self, reader):
        super().__init__()
        self.states = nn.ParameterList(nn.Parameter(s.clone()) for layer in reader.start(1) for s in layer)
        self.weight, self.bias = (nn.Parameter(t.detach().clone()) for t in (reader.output_weight, reader.bias))

    def start(self, bs):
        """The state before the first word, for bs sequences."""
        wide = [s.expand(-1, bs, -1).contiguous() for s in self.states]
        return list(zip(wide[::2], wide[1::2]))

    def tensors(self):
        """By their names on disk."""
        states = {f"start.{i // 2}.{'hc'[i % 2]}": s.detach().clone() for i, s in enumerate(self.states)}
        return states | {"output.weight": self.weight.detach().clone(), "output.bias": self.bias.detach().clone()}


def tune(checkpoint, corpus, *, epochs=30, lr=2e-3, patience=4, dropout=0.2, seed=0, on_epoch=None):
    """Find the style of a corpus.

    Parameters
    ----------
    checkpoint : clara.checkpoint.Checkpoint, the base
    corpus : clara.corpus.Corpus of its vocabulary
    epochs : at most; each piece once in each, in one of its keys
    lr : of Adam
    patience : epochs without a better valid figure before it stops
    dropout : of what the output layer reads
    seed : of order, keys and dropout
    on_epoch : function(row) of each epoch's epoch, train_loss and nats_per_quarter

    Returns
    -------
    tensors : for a `Style`, of the best epoch
    history : list of rows; that of epoch 0 is the base's

    Raises
    ------
    BadSetting
        If the architecture has no state to begin in.
    """
    if checkpoint.arch != "awd_lstm":
        raise BadSetting(f"a style goes with awd_lstm, not {checkpoint.arch}")
    torch.manual_seed(seed)
    rng, reader = np.random.default_rng(seed), checkpoint.reader()
    tuned, pieces = _Tuned(reader), corpus.ids("train")
    tables = transposition_tables(corpus.vocab, corpus.encoding, SHIFTS)
    keys = [fitting_shifts(p, tables) for p in pieces]
    opt = torch.optim.Adam(tuned.parameters(), lr=lr, betas=(0.8, 0.99))
    split = "valid" if (corpus.manifest["split"] == "valid").any() else "train"

    def held():
        """Nats per quarter of the held-out pieces now."""
        styled = architecture(checkpoint.arch).Reader(checkpoint.tensors | tuned.tensors())
        return float(nats_per_piece(styled, corpus.ids(split), corpus.vocab.pad).sum() / corpus.quarters(split).sum())
    history = [{"epoch": 0, "train_loss": float("nan"), "nats_per_quarter": held()}]
    best, since = tuned.tensors(), 0
    for epoch in range(1, epochs + 1):
        nats = words = 0
        for rows in _batches([len(p) for p in pieces], rng):
            batch = [tables[rng.choice(keys[i])][pieces[i]] for i in rows]
            for loss, n in _steps(reader, tuned, batch, corpus.vocab.pad, dropout):
                opt.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(tuned.parameters(), CLIP)
                opt.step()
                nats, words = nats + loss.item() * n, words + n
        history.append({"epoch": epoch, "train_loss": nats / words, "nats_per_quarter": held()})
        if on_epoch:
            on_epoch(history[-1])
        if history[-1]["nats_per_quarter"] < min(row["nats_per_quarter"] for row in history[:-1]):
            best, since = tuned.tensors(), 0
        else:
            since += 1
        if since == patience:
            break
    return best, history


def _batches(sizes, rng):
    """Groups of at most BS pieces of like length, in random order."""
    by_length = sorted(rng.permutation(len(sizes)), key=lambda i: sizes[i])
    groups = [by_length[at:at + BS] for at in range(0, len(by_length), BS)]
    return [groups[i] for i in rng.permutation(len(groups))]


def _steps(reader, tuned, pieces, pad_id, dropout):
    """The mean loss of every window of a batch of pieces, and its words."""
    ids = torch.full((len(pieces), max(map(len, pieces))), pad_id)
    for row, piece in zip(ids, pieces):
        row[:len(piece)] = torch.from_numpy(piece).long()
    state = tuned.start(len(pieces))
    for at in range(0, ids.shape[1] - 1, WINDOW):
        x, y = ids[:, at:at + WINDOW], ids[:, at + 1:at + 1 + WINDOW]
        with torch.set_grad_enabled(at == 0):  # only the first window hangs on the initial state
            h, state = reader.hidden(x[:, :y.shape[1]], state)
        state = [tuple(s.detach() for s in layer) for layer in state]
        logits = F.linear(F.dropout(h, dropout), tuned.weight, tuned.bias)
        yield F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=pad_id), int((y != pad_id).sum())
