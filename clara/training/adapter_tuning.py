"""Train an adapter: find a style for a model whose weights stay as they are.

The adapter holds an initial state and an output layer. Without it the model composes as before; with it the model
knows the base's music less well than before. A pass takes seconds, as only the first window of a piece needs gradients
through the network. A run leaves a folder with the adapter, its history and its card.

A model that follows plans reads the plan of each piece, in training with parts of it hidden as `clara train` hides
them. The history then has the cost of held-out pieces whose whole plan is known.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from clara.checkpoints.adapter import Adapter
from clara.checkpoints.checkpoint import Checkpoint, weights_hash
from clara.data.corpus import Corpus
from clara.data.dataloaders import read_pieces
from clara.data.piece_contexts import PieceContexts
from clara.data.stream_loader import fitting_shifts
from clara.encodings.vocab import SHIFTS, transposition_tables
from clara.errors import BadSetting, CheckpointMismatch
from clara.files import make_folder, write_atomically
from clara.models.likelihood import nats_per_piece, nats_per_quarter
from clara.training.callbacks import HISTORY
from clara.training.model_cards import CARD, adapter_card
from clara.training.plan_costs import costs_by_knowledge
from clara.training.run_folder import describe_data, warn_of_performed
from clara.wording import count_of

ADAPTER_FILE = "adapter.safetensors"
WINDOW, BATCH_SIZE = 200, 8  # tokens between updates, pieces side by side
MAX_GRADIENT_NORM = 0.5
DEFAULT_LR = 2e-3
ADAM_BETAS = (0.8, 0.99)


@dataclass(frozen=True)
class AdapterSettings:
    """How an adapter is trained.

    Attributes
    ----------
    epochs : int
        Most passes over the music; each reads every piece once, in one of its keys.
    patience : int
        Epochs without a better cost of the validation pieces before the training stops.
    lr : float
        Learning rate of Adam.
    dropout : float
        Probability with which inputs of the output layer are dropped.
    seed : int
        Seed of order, keys and dropout.
    """

    epochs: int = 30
    patience: int = 4
    lr: float = DEFAULT_LR
    dropout: float = 0.2
    seed: int = 0


def train_adapter(
    data: str | Path,
    pretrained: str | Path,
    out: str | Path,
    settings: AdapterSettings,
    command: Sequence[Any] = (),
) -> dict[str, float]:
    """Train an adapter and leave its folder.

    Parameters
    ----------
    data : str or Path
        Folder of a prepared corpus.
    pretrained : str or Path
        The model to adapt: a run folder, or the name of a shipped model.
    out : str or Path
        Folder to write.
    settings : AdapterSettings
    command : sequence
        The words of the command line, for the record.

    Returns
    -------
    dict of str to float
        Figures, as in the adapter file.

    Raises
    ------
    ClaraError
        If data, model or folder cannot be used.
    """
    corpus, base = Corpus.load(data), Checkpoint.load(pretrained)
    if corpus.vocab != base.vocab:
        raise CheckpointMismatch(f"{pretrained}: its vocabulary is not that of {corpus.folder}, which --adapter needs")
    out = Path(out)
    if (out / ADAPTER_FILE).exists():
        raise BadSetting(f"{out}: holds an adapter already; choose another --out")
    make_folder(out)
    start_time = time.perf_counter()
    print(f"{corpus.folder}: {count_of(len(corpus.rows('train')), 'piece')}; an adapter for {pretrained}", flush=True)
    warn_of_performed(corpus)
    tensors, history = fit_adapter(base, corpus, settings, on_epoch=_print_epoch)
    write_atomically(out / HISTORY, pd.DataFrame(history).to_csv(index=False))
    figures = {"minutes": round((time.perf_counter() - start_time) / 60, 2), "epochs": len(history) - 1}
    stored_tensors = {name: tensor.half() for name, tensor in tensors.items()}
    figures |= _costs_before_and_after(base, stored_tensors, corpus)
    info = _describe_adapter(pretrained, corpus, command)
    Adapter(tensors, info | {"figures": figures}).save(out / ADAPTER_FILE)
    write_atomically(out / CARD, adapter_card(info, figures))
    print(
        f"{out / ADAPTER_FILE}: {_format_costs(figures)}; compose with clara compose --model {pretrained} "
        f"--adapter {out / ADAPTER_FILE}"
    )
    return figures


def _describe_adapter(pretrained, corpus, command):
    """Return the adapter's info without its figures."""
    data = describe_data(corpus)
    return {
        "base": weights_hash(pretrained),
        "base_folder": Path(pretrained).name,
        "encoding": corpus.encoding.settings,
        "command": " ".join(map(str, command)),
        "date": time.strftime("%Y-%m-%d"),
        "data": {name: data[name] for name in ("folder", "fingerprint", "about", "pieces")},
    }


def _costs_before_and_after(base, tensors, corpus):
    """Return nats per quarter note of the held-out pieces, without the adapter's tensors and with them.

    As in a run folder, a model that follows plans has two costs: that to a model that knows the metre only, and that
    to one that also knows which bars return to which.
    """
    splits = [split for split in ("valid", "test") if corpus.has_split(split)] or ["train"]
    figures = {}
    for when, model in {"before": base, "after": replace(base, tensors=base.tensors | tensors)}.items():
        for split in splits:
            name = f"{split}_{when}"
            if base.context_reader():
                costs = costs_by_knowledge(model, corpus, split, ["metre", "returns"])
                figures |= {name: costs["metre"], f"{name}_with_returns": costs["returns"]}
            else:
                figures[name] = nats_per_quarter(model.inference_model(), corpus, split)
    return {name: round(cost, 4) for name, cost in figures.items()}


def _format_costs(figures):
    """Return the costs before and after in one line."""
    splits = [name.removesuffix("_before") for name in figures if name.endswith("_before")]
    costs = [f"{s} {figures[f'{s}_before']:.3f} to {figures[f'{s}_after']:.3f} nats/quarter" for s in splits]
    return ", ".join(costs)


def _print_epoch(row):
    """Print an epoch's row of the history."""
    print(
        f"epoch {row['epoch']}  train {row['train_loss']:.4f}  {row['nats_per_quarter']:.3f} nats/quarter", flush=True
    )


def _trainable_network(checkpoint):
    """Return the base's network with an adapter that can be trained: an initial state and an output layer."""
    network = checkpoint.inference_model()
    network.learned_state = [[nn.Parameter(tensor) for tensor in layer] for layer in network.initial_state(1)]
    network.output_weight = nn.Parameter(network.output_weight.detach().clone())
    network.bias.requires_grad_()
    return network


def _trained_parameters(network):
    """Return the parameters of the adapter of a network by their names on disk."""
    states = {
        f"initial_state.{i}.{kind}": state
        for i, layer in enumerate(network.learned_state)
        for kind, state in zip("hc", layer)
    }
    return states | {"output.weight": network.output_weight, "output.bias": network.bias}


def _copy_tensors(network):
    """Return the weights of the adapter of a network as they are now."""
    return {name: parameter.detach().clone() for name, parameter in _trained_parameters(network).items()}


def fit_adapter(
    checkpoint: Checkpoint,
    corpus: Corpus,
    settings: AdapterSettings | None = None,
    on_epoch: Callable[[dict], None] | None = None,
) -> tuple[dict[str, Tensor], list[dict]]:
    """Find the adapter of a corpus.

    Parameters
    ----------
    checkpoint : Checkpoint
        The base model.
    corpus : Corpus
        Of the model's vocabulary.
    settings : AdapterSettings, optional
    on_epoch : function, optional
        Takes the row of each epoch.

    Returns
    -------
    tensors : dict of str to Tensor
        Weights of the best epoch, for an `Adapter`.
    history : list of dict
        Rows with `epoch`, `train_loss` and `nats_per_quarter`; epoch 0 is the base model.

    Raises
    ------
    BadSetting
        If the architecture has no initial state.
    """
    settings = settings or AdapterSettings()
    if checkpoint.arch != "awd_lstm":
        raise BadSetting(f"an adapter goes with awd_lstm, not {checkpoint.arch}")
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    network = _trainable_network(checkpoint)
    contexts = PieceContexts(corpus.vocab, corpus.encoding) if checkpoint.context_reader() else None
    trainer = _AdapterTrainer(network, corpus, contexts, settings, rng)
    split = "valid" if corpus.has_split("valid") else "train"
    held_out_pieces = [_with_context(piece, contexts) for piece in read_pieces(corpus, split)]

    def held_out_cost():
        nats = nats_per_piece(network, held_out_pieces, corpus.vocab.pad_id)
        return float(nats.sum() / corpus.quarters(split).sum())

    history = [{"epoch": 0, "train_loss": float("nan"), "nats_per_quarter": held_out_cost()}]
    best_tensors, best_epoch = _copy_tensors(network), 0
    for epoch in range(1, settings.epochs + 1):
        train_loss = trainer.train_epoch()
        row = {"epoch": epoch, "train_loss": train_loss, "nats_per_quarter": held_out_cost()}
        if row["nats_per_quarter"] < min(earlier["nats_per_quarter"] for earlier in history):
            best_tensors, best_epoch = _copy_tensors(network), epoch
        history.append(row)
        if on_epoch:
            on_epoch(row)
        if epoch - best_epoch == settings.patience:
            break
    return best_tensors, history


def _with_context(piece, contexts):
    """Return the tokens of a piece, (n,); for a model that follows plans beside their context, (n, 1 + n_columns)."""
    if contexts is None:
        return piece.ids
    return np.column_stack([piece.ids, contexts.to_rows(contexts.add(piece).context)])


class _AdapterTrainer:
    """Trains the adapter of a network epoch by epoch."""

    def __init__(self, network, corpus, contexts, settings, rng):
        self.network, self.contexts, self.settings, self.rng = network, contexts, settings, rng
        self.pieces, self.pad_id = read_pieces(corpus, "train"), corpus.vocab.pad_id
        if contexts:
            self.pieces = [contexts.add(piece) for piece in self.pieces]
        self.tables = transposition_tables(corpus.vocab, corpus.encoding, SHIFTS)
        self.shifts = [fitting_shifts(piece.ids, self.tables) for piece in self.pieces]
        self.parameters = list(_trained_parameters(network).values())
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.lr, betas=ADAM_BETAS)

    def train_epoch(self):
        """Read every piece once, in one of its keys; return the mean loss in nats per token."""
        nats = n_tokens = 0
        for rows in self._draw_batches():
            batch = [self._draw_key(self.pieces[i], self.shifts[i]) for i in rows]
            for loss, n in self._window_losses(batch):
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT_NORM)
                self.optimizer.step()
                nats += loss.item() * n
                n_tokens += n
        return nats / n_tokens

    def _draw_key(self, piece, shifts):
        """Return a piece in one of its keys, as the network reads it: with its context, in part hidden at random."""
        shift = self.rng.choice(shifts)
        table = self.tables[shift]
        ids = table[piece.ids]
        if self.contexts is None:
            return ids
        return np.column_stack([ids, self.contexts.training_rows(piece.context, SHIFTS[shift], table, self.rng)])

    def _draw_batches(self):
        """Return groups of at most BATCH_SIZE pieces of similar length, in random order."""
        shuffled = self.rng.permutation(len(self.pieces))
        by_length = sorted(shuffled, key=lambda i: len(self.pieces[i]))
        groups = [by_length[first : first + BATCH_SIZE] for first in range(0, len(by_length), BATCH_SIZE)]
        return [groups[i] for i in self.rng.permutation(len(groups))]

    def _window_losses(self, pieces):
        """Yield the mean loss of each window of a batch of pieces, and its number of tokens."""
        rows = [torch.from_numpy(piece).long() for piece in pieces]
        inputs = pad_sequence(rows, batch_first=True, padding_value=self.pad_id)
        ids = inputs[..., 0] if self.contexts else inputs
        state = self.network.initial_state(len(pieces))
        for first in range(0, ids.shape[1] - 1, WINDOW):
            y = ids[:, first + 1 : first + 1 + WINDOW]
            x = inputs[:, first : first + y.shape[1]]
            with torch.set_grad_enabled(first == 0):  # only the first window depends on the initial state
                hidden, state = self.network.hidden(x, state)
            state = [tuple(tensor.detach() for tensor in layer) for layer in state]
            logits = self.network.logits(F.dropout(hidden, self.settings.dropout), x)
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=self.pad_id)
            yield loss, int((y != self.pad_id).sum())
