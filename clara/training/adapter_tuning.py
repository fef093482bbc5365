"""Light fine-tuning: find a style for weights that stay as they are.

What they know comes back when the style is left off; with it they know the base's music less
well than before. A pass takes seconds, as the states after the first window need no
gradients. A light run leaves a folder with the style file, its history and its card.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from clara.adapter import Adapter
from clara.checkpoint import Checkpoint, weights_hash
from clara.data.corpus import Corpus
from clara.data.dataloaders import SHIFTS, fitting_shifts
from clara.encodings.vocab import transposition_tables
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import make_folder, write_atomically
from clara.models import get_architecture
from clara.models.likelihood import nats_per_quarter
from clara.training.model_cards import CARD, adapter_card

ADAPTER_FILE, HISTORY = "adapter.safetensors", "history.csv"
WINDOW, BS = 200, 8  # words between steps, pieces side by side
CLIP, LR = 0.5, 2e-3


def train_adapter(args, command=()):
    """Find a style and leave its folder.

    Parameters
    ----------
    args : dict of `train.py`'s flags, `data` and `out` filled in, `pretrained` a folder
    command : the words of the command line, for the record

    Returns
    -------
    figures : dict, as in the style file

    Raises
    ------
    ClaraError
        If data, weights or folder do not serve.
    """
    if not args["pretrained"] or args["from_scratch"]:
        raise BadSetting("--adapter goes with pretrained weights, which it leaves as they are")
    if args["threads"]:
        torch.set_num_threads(args["threads"])
    corpus, base = Corpus.load(args["data"]), Checkpoint.load(args["pretrained"])
    if corpus.vocab != base.vocab:
        raise CheckpointMismatch(
            f"{args['pretrained']}: its vocabulary is not that of {corpus.folder}, which --adapter needs"
        )
    out = Path(args["out"])
    if (out / ADAPTER_FILE).exists():
        raise BadSetting(f"{out}: holds a style already; another --out starts anew")
    make_folder(out)
    began = time.perf_counter()
    print(f"{corpus.folder}: {len(corpus.rows('train'))} pieces; a style for {args['pretrained']}", flush=True)
    tensors, history = tune(
        base,
        corpus,
        epochs=args["epochs"],
        patience=args["patience"],
        seed=args["seed"],
        lr=args["lr"] or LR,
        on_epoch=_told,
    )
    write_atomically(out / HISTORY, pd.DataFrame(history).to_csv(index=False))
    info = {
        "base": weights_hash(args["pretrained"]),
        "base_folder": Path(args["pretrained"]).name,
        "encoding": corpus.encoding.settings,
        "command": " ".join(map(str, command)),
        "date": time.strftime("%Y-%m-%d"),
        "data": {
            "folder": corpus.folder.name,
            "fingerprint": corpus.fingerprint,
            "about": corpus.about,
            "pieces": len(corpus.rows("train")),
        },
    }
    figures = {"minutes": round((time.perf_counter() - began) / 60, 2), "epochs": len(history) - 1}
    figures |= _before_and_after(base, {k: v.half() for k, v in tensors.items()}, corpus)
    Adapter(tensors, info | {"figures": figures}).save(out / ADAPTER_FILE)
    write_atomically(out / CARD, adapter_card(info, figures))
    told = ", ".join(
        f"{k.split('_')[0]} {v:.3f} to {figures[k.replace('before', 'after')]:.3f} nats/quarter"
        for k, v in figures.items()
        if k.endswith("before")
    )
    print(
        f"{out / ADAPTER_FILE}: {told}; compose with python generate.py --model {args['pretrained']} --style {out / ADAPTER_FILE}"
    )
    return figures


def _before_and_after(base, tensors, corpus):
    """Nats per quarter of the held-out pieces, without the style's tensors and with them."""
    held = [s for s in ("valid", "test") if (corpus.manifest["split"] == s).any()] or ["train"]
    readers = {
        "before": base.inference_model(),
        "after": get_architecture(base.arch).InferenceModel(base.tensors | tensors),
    }
    return {
        f"{split}_{when}": round(nats_per_quarter(reader, corpus, split), 4)
        for when, reader in readers.items()
        for split in held
    }


def _told(row):
    """Print an epoch's row of the history."""
    print(
        f"epoch {row['epoch']}  train {row['train_loss']:.4f}  {row['nats_per_quarter']:.3f} nats/quarter", flush=True
    )


class _Tuned(nn.Module):
    """What is trained: initial states and the output layer."""

    def __init__(self, reader):
        super().__init__()
        self.states = nn.ParameterList(nn.Parameter(s.clone()) for layer in reader.initial_state(1) for s in layer)
        self.weight, self.bias = (nn.Parameter(t.detach().clone()) for t in (reader.output_weight, reader.bias))

    def start(self, bs):
        """The state before the first word, for bs sequences."""
        wide = [s.expand(-1, bs, -1).contiguous() for s in self.states]
        return list(zip(wide[::2], wide[1::2]))

    def tensors(self):
        """By their names on disk."""
        states = {f"initial_state.{i // 2}.{'hc'[i % 2]}": s.detach().clone() for i, s in enumerate(self.states)}
        return states | {"output.weight": self.weight.detach().clone(), "output.bias": self.bias.detach().clone()}


def tune(checkpoint, corpus, *, epochs=30, lr=LR, patience=4, dropout=0.2, seed=0, on_epoch=None):
    """Find the style of a corpus.

    Parameters
    ----------
    checkpoint : clara.checkpoint.Checkpoint, the base
    corpus : clara.data.corpus.Corpus of its vocabulary
    epochs : at most; each piece once in each, in one of its keys
    lr : of Adam
    patience : epochs without a better valid figure before it stops
    dropout : of what the output layer reads
    seed : of order, keys and dropout
    on_epoch : function(row) of each epoch's epoch, train_loss and nats_per_quarter

    Returns
    -------
    tensors : for a `Adapter`, of the best epoch
    history : list of rows; that of epoch 0 is the base's

    Raises
    ------
    BadSetting
        If the architecture has no state to begin in.
    """
    if checkpoint.arch != "awd_lstm":
        raise BadSetting(f"a style goes with awd_lstm, not {checkpoint.arch}")
    torch.manual_seed(seed)
    rng, reader = np.random.default_rng(seed), checkpoint.inference_model()
    tuned, pieces = _Tuned(reader), corpus.ids("train")
    tables = transposition_tables(corpus.vocab, corpus.encoding, SHIFTS)
    keys = [fitting_shifts(p, tables) for p in pieces]
    opt = torch.optim.Adam(tuned.parameters(), lr=lr, betas=(0.8, 0.99))
    split = "valid" if (corpus.manifest["split"] == "valid").any() else "train"

    def held():
        """Nats per quarter of the held-out pieces now."""
        return nats_per_quarter(
            get_architecture(checkpoint.arch).InferenceModel(checkpoint.tensors | tuned.tensors()), corpus, split
        )

    history = [{"epoch": 0, "train_loss": float("nan"), "nats_per_quarter": held()}]
    best, since = tuned.tensors(), 0
    for epoch in range(1, epochs + 1):
        nats = words = 0
        for rows in _batches([len(p) for p in pieces], rng):
            batch = [tables[rng.choice(keys[i])][pieces[i]] for i in rows]
            for loss, n in _steps(reader, tuned, batch, corpus.vocab.pad_id, dropout):
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
    groups = [by_length[at : at + BS] for at in range(0, len(by_length), BS)]
    return [groups[i] for i in rng.permutation(len(groups))]


def _steps(reader, tuned, pieces, pad_id, dropout):
    """The mean loss of every window of a batch of pieces, and its words."""
    ids = pad_sequence([torch.from_numpy(p).long() for p in pieces], batch_first=True, padding_value=pad_id)
    state = tuned.start(len(pieces))
    for at in range(0, ids.shape[1] - 1, WINDOW):
        x, y = ids[:, at : at + WINDOW], ids[:, at + 1 : at + 1 + WINDOW]
        with torch.set_grad_enabled(at == 0):  # only the first window hangs on the initial state
            h, state = reader.hidden(x[:, : y.shape[1]], state)
        state = [tuple(s.detach() for s in layer) for layer in state]
        logits = F.linear(F.dropout(h, dropout), tuned.weight, tuned.bias)
        yield F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=pad_id), int((y != pad_id).sum())
