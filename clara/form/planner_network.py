"""The network of a planner: a recurrent net over bars, and a small network for each token of a bar.

The recurrent net reads what is known before each bar (`PlanRows.features`). The tokens of the bar are then predicted
one after the other: each adds an embedding to what the next ones read. Sources of returns are chosen by attention over
the earlier bars. Tables say directly which categories follow that of the bar before and that of the source.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clara.form.plan import RELATIONS, UNKNOWN
from clara.form.plan_tokens import (
    CHORD,
    DENSITY,
    DISTANCE,
    KEY,
    MAX_SHIFT,
    N_HINTS,
    N_KINDS,
    PHRASE,
    REGISTER,
    RELATION,
    SAME,
    SHIFT,
    TEXTURE,
    TIME_SIGNATURE,
    PlanRows,
    distance_bin,
    feature_sizes,
    kind_sizes,
)

AFTER_BEFORE = (TIME_SIGNATURE, PHRASE, RELATION, KEY, CHORD, DENSITY, REGISTER, TEXTURE)  # depend on the bar before
AFTER_SOURCE = (KEY, CHORD, DENSITY, REGISTER, TEXTURE)  # depend on the source
MAX_BIAS_DISTANCE = 257  # bars; longer distances have one bias
NEVER = -1e9  # logit of what is impossible


@dataclass(frozen=True)
class NetworkSizes:
    """Sizes of a planner's network.

    Attributes
    ----------
    n_signatures : int
        Number of time signatures.
    width : int
        Of the embedding of features.
    n_units, n_layers : int
        Of the recurrent net.
    hidden : int
        Of the networks of the tokens.
    n_query : int
        Numbers in the queries and keys of the attention over sources.
    """

    n_signatures: int
    width: int = 128
    n_units: int = 192
    n_layers: int = 2
    hidden: int = 128
    n_query: int = 32


class PlannerNetwork(nn.Module):
    """The network of a planner.

    Parameters
    ----------
    sizes : NetworkSizes
    dropout : float
        Probability, while training.
    """

    offsets: Tensor  # of the features in the embedding

    def __init__(self, sizes: NetworkSizes, dropout: float = 0.0):
        super().__init__()
        self.sizes = sizes
        columns = feature_sizes(sizes.n_signatures)
        self.kinds = kinds = kind_sizes(sizes.n_signatures)
        self.register_buffer("offsets", torch.tensor(np.cumsum((0, *columns[:-1]))), persistent=False)
        self.embedding = nn.Embedding(sum(columns), sizes.width)
        self.rnn = nn.LSTM(sizes.width, sizes.n_units, sizes.n_layers, batch_first=True)
        if sizes.n_layers > 1:
            self.rnn.dropout = dropout
        self.dropout = nn.Dropout(dropout)
        self.join = nn.Linear(sizes.n_units + sizes.width, sizes.hidden)
        # the last category of each is *unknown*
        self.values = nn.ModuleList(nn.Embedding(size + 1, sizes.hidden) for size in kinds)
        self.source_values = nn.ModuleList(nn.Embedding(kinds[kind] + 1, sizes.hidden) for kind in AFTER_SOURCE)
        self.layers = nn.ModuleList(nn.Linear(sizes.hidden, sizes.hidden) for _ in kinds)
        out_sizes = [1 if kind == DISTANCE else size for kind, size in enumerate(kinds)]
        self.outputs = nn.ModuleList(nn.Linear(sizes.hidden, size) for size in out_sizes)
        self.after_before = nn.ModuleList(nn.Embedding(kinds[kind] + 1, kinds[kind]) for kind in AFTER_BEFORE)
        self.after_source = nn.ModuleList(
            nn.Embedding(len(RELATIONS) * (kinds[kind] + 1), kinds[kind]) for kind in AFTER_SOURCE
        )
        self.query = nn.Linear(sizes.hidden, sizes.n_query)
        self.key = nn.Linear(sizes.n_units + sizes.width, sizes.n_query)
        self.distance_query = nn.Linear(sizes.hidden, sizes.n_query)
        self.distance_key = nn.Embedding(MAX_BIAS_DISTANCE + 1, sizes.n_query)
        self.distance_bias = nn.Embedding(MAX_BIAS_DISTANCE + 1, len(RELATIONS))
        self.hint_bias = nn.Embedding(len(RELATIONS), N_HINTS)
        for table in (*self.values, *self.source_values, self.embedding):
            nn.init.normal_(table.get_parameter("weight"), std=0.1)
        for table in (*self.after_before, *self.after_source, self.distance_bias, self.hint_bias):
            nn.init.zeros_(table.get_parameter("weight"))

    @property
    def precision(self) -> torch.dtype:
        """The type of the weights."""
        return self.join.weight.dtype

    def read(self, features: np.ndarray, state=None) -> tuple[Tensor, Tensor, tuple]:
        """Read what is known before bars.

        Parameters
        ----------
        features : int64 array (n, n_bars, n_features)
        state : tuple of tensors, optional
            State of the recurrent net after the bars before.

        Returns
        -------
        context : tensor (n, n_bars, hidden)
            What the first token of each bar reads.
        keys : tensor (n, n_bars, n_query)
            Of the bar *before* each of the bars, as the source of a return.
        state : tuple of tensors
        """
        rows = torch.from_numpy(features) + self.offsets
        embedded = self.dropout(F.embedding_bag(rows.flatten(0, 1), self.embedding.weight, mode="sum"))
        embedded = embedded.unflatten(0, features.shape[:2])
        hidden, state = self.rnn(embedded, state)
        both = torch.cat([self.dropout(hidden), embedded], -1)
        return self.join(both), self.key(both), state

    def logits(self, kind: int, context: Tensor, before: np.ndarray, bar: np.ndarray, source: np.ndarray) -> Tensor:
        """Return the logits of the next token of bars, tensor (n, size).

        Parameters
        ----------
        kind : int
            Not `DISTANCE`.
        context : tensor (n, hidden)
            With the tokens of the bar so far, see `add`.
        before, bar, source : int64 arrays (n, N_KINDS)
            Values of the bar before, of this bar as far as they are known, and of its source, moved.
        """
        logits = self.outputs[kind](self._layer(kind, context))
        if kind in AFTER_BEFORE:
            table = self.after_before[AFTER_BEFORE.index(kind)]
            logits = logits + table(_known(before[:, kind], self.kinds[kind]))
        if kind in AFTER_SOURCE:
            table = self.after_source[AFTER_SOURCE.index(kind)]
            unknown = self.kinds[kind]
            relation = torch.from_numpy(np.maximum(bar[:, RELATION], 0))
            logits = logits + table(_known(source[:, kind], unknown) + (unknown + 1) * relation)
        return logits

    def distance_logits(
        self, context: Tensor, keys: Tensor, bar: np.ndarray, relation: np.ndarray, hints: np.ndarray
    ) -> Tensor:
        """Return the logits of all bars as sources, tensor (n, n_bars).

        Parameters
        ----------
        context : tensor (n, hidden)
        keys : tensor (n, n_bars, n_query)
            Of each bar.
        bar, relation : int64 arrays (n,)
        hints : bool array (n, n_bars, N_HINTS)
            See `PlanRows.hints`.
        """
        layer = self._layer(DISTANCE, context)
        attention = torch.einsum("nq,nbq->nb", self.query(layer), keys)
        return attention + self._distance_bias(layer, bar, relation, hints)

    def add(self, kind: int, context: Tensor, values: np.ndarray) -> Tensor:
        """Return the context with the values of a kind, int64 array (n,); of `DISTANCE`, in bins."""
        return context + self.values[kind](_known(values, self.kinds[kind]))

    def add_source(self, context: Tensor, source: np.ndarray) -> Tensor:
        """Return the context with the moved values of sources, int64 array (n, N_KINDS)."""
        for kind, table in zip(AFTER_SOURCE, self.source_values):
            context = context + table(_known(source[:, kind], self.kinds[kind]))
        return context

    def forward(self, rows: PlanRows) -> dict[int, Tensor]:
        """Return the log-probability of each token that is spelled out, by kind.

        The order of the tokens of a kind is that of `np.nonzero(rows.spelled()[..., kind])`.
        """
        n_plans, room = rows.values.shape[:2]
        context, keys, _ = self.read(rows.features(0, room))
        plan, bar = np.nonzero(np.arange(room) < rows.n_bars[:, None])
        context = context[plan, bar]
        spelled = rows.spelled()[plan, bar]
        values = rows.values[plan, bar]
        source = rows.source_values()[plan, bar]
        before = np.where((bar > 0)[:, None], rows.values[plan, np.maximum(bar - 1, 0)], UNKNOWN)
        log_probs = {}
        for kind in range(N_KINDS):
            at = np.flatnonzero(spelled[:, kind])
            if kind == DISTANCE:
                hints = rows.hints(bar[at], plan[at], room)
                logits = self._source_logits(context[at], keys, plan[at], bar[at], values[at, RELATION], hints)
                allowed = rows.candidates(bar[at], plan[at], room)
                target = bar[at] - values[at, DISTANCE]
                embedded = np.where(values[:, SAME] == 0, distance_bin(values[:, DISTANCE]), UNKNOWN)
            else:
                logits = self.logits(kind, context[at], before[at], values[at], source[at])
                allowed = allowed_categories(kind, rows, bar[at], plan[at], logits.shape[1])
                target, embedded = values[at, kind], values[:, kind]
            logits = logits.masked_fill(~torch.from_numpy(allowed), NEVER)
            log_probs[kind] = -F.cross_entropy(logits, torch.from_numpy(target), reduction="none")
            context = self.add(kind, context, embedded)
            if kind == SHIFT:
                context = self.add_source(context, source)
        return log_probs

    def _layer(self, kind, context):
        """Return what the output layer of a kind reads."""
        return self.dropout(F.relu(self.layers[kind](F.relu(context))))

    def _source_logits(self, context, keys, plan, bar, relation, hints):
        """Return logits as `distance_logits`, from the keys (n_plans, room, n_query) of all plans."""
        layer = self._layer(DISTANCE, context)
        of_bar = F.pad(keys[:, 1:], (0, 0, 0, 1))
        queries = context.new_zeros((*keys.shape[:2], keys.shape[2]))
        queries[plan, bar] = self.query(layer)
        attention = torch.bmm(queries, of_bar.transpose(1, 2))[plan, bar]
        return attention + self._distance_bias(layer, bar, relation, hints)

    def _distance_bias(self, layer, bar, relation, hints):
        """Return what each distance and each hint adds to the logits of the sources, tensor (n, n_bars)."""
        by_distance = self.distance_query(layer) @ self.distance_key.weight.T
        relation = torch.from_numpy(relation)
        by_distance = by_distance + self.distance_bias.weight.T[relation]
        distance = np.clip(bar[:, None] - np.arange(hints.shape[1]), 0, MAX_BIAS_DISTANCE)
        by_hint = torch.from_numpy(hints).to(self.precision) @ self.hint_bias(relation)[..., None]
        return by_distance.gather(1, torch.from_numpy(distance)) + by_hint[..., 0]


def allowed_categories(kind: int, rows: PlanRows, bar: np.ndarray, plan: np.ndarray, n: int) -> np.ndarray:
    """Return which categories of a kind, except `DISTANCE`, are possible in bars, bool (len(bar), n)."""
    allowed = np.ones((len(bar), n), dtype=bool)
    if kind == RELATION:
        allowed[:, :4] = rows.can_return(bar, plan)[:, None]
    elif kind == SAME:
        allowed[:, 1] = rows.can_be_same(bar, plan)
        allowed[:, 0] = rows.candidates(bar, plan, rows.room).any(1)
    elif kind == SHIFT:
        allowed[:, MAX_SHIFT] = False
    return allowed


def _known(values, unknown):
    """Return categories as a tensor, `UNKNOWN` as the last one."""
    return torch.from_numpy(np.where(values == UNKNOWN, unknown, values))
