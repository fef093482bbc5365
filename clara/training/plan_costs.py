"""The cost of held-out music under a model that follows plans, by what it knows of the plan of each piece.

The cost of the plan itself is not included; `clara.form.planner.Planner.nats` gives it.
"""

from collections.abc import Sequence

import numpy as np

from clara.checkpoints.checkpoint import Checkpoint
from clara.data.corpus import Corpus
from clara.data.dataloaders import read_pieces
from clara.data.piece_contexts import PieceContexts
from clara.form.context import ATTRIBUTES, N_CANDIDATES, PLAN_COLUMNS
from clara.form.plan import UNKNOWN
from clara.models.likelihood import nats_per_piece

REPEAT_COLUMNS = (*range(1, N_CANDIDATES), *range(N_CANDIDATES + 1, 2 * N_CANDIDATES))
# what is known of a piece beside its earlier tokens: the columns of its context that are hidden
HIDDEN_COLUMNS = {
    "metre": (*PLAN_COLUMNS, *REPEAT_COLUMNS),  # and nothing of what came before: the network alone
    "repeats": PLAN_COLUMNS,  # the metre, and where the text repeats itself
    "returns": ATTRIBUTES,  # and which bars return to which
    "plan": (),  # and the keys, chords, densities, registers, textures and phrases of all bars
}


def costs_by_knowledge(
    checkpoint: Checkpoint,
    corpus: Corpus,
    split: str,
    kinds: Sequence[str] = tuple(HIDDEN_COLUMNS),
    device: str = "cpu",
) -> dict[str, float]:
    """Return the cost of a split in nats per quarter note by what is known of the plan of each piece.

    Parameters
    ----------
    checkpoint : Checkpoint
        Of a model that follows plans.
    corpus : Corpus
        With the checkpoint's vocabulary.
    split : {"train", "valid", "test"}
    kinds : sequence of str
        In `HIDDEN_COLUMNS`.
    device : str

    Returns
    -------
    dict of str to float
        By kind.
    """
    network = checkpoint.inference_model().to(device)
    contexts = PieceContexts(corpus.vocab, corpus.encoding)
    pieces = [contexts.add(piece) for piece in read_pieces(corpus, split)]
    quarters = corpus.quarters(split).sum()
    costs = {}
    for kind in kinds:
        inputs = [_inputs(piece, contexts, HIDDEN_COLUMNS[kind]) for piece in pieces]
        costs[kind] = float(nats_per_piece(network, inputs, corpus.vocab.pad_id).sum() / quarters)
    return costs


def _inputs(piece, contexts, hidden):
    """Return the tokens of a piece beside their context, int64 (n, 1 + n_columns), with some columns hidden."""
    context = piece.context.copy()
    context[:, list(hidden)] = UNKNOWN
    rows = contexts.to_rows(context).astype(np.int64)
    return np.concatenate([piece.ids.astype(np.int64)[:, None], rows], axis=1)
