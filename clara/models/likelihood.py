"""Likelihood of held-out pieces under a model: log-probabilities of tokens, and nats per quarter note.

The figures are exact for each piece: every token is scored given all tokens before it in the piece.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

WINDOW_TOKENS = 512  # read at a time; the state is carried on, so this affects speed only
MAX_LOGITS = 2**25  # held at a time, 128 MiB of float32; shortens the window for a large vocabulary


def nats_per_piece(model, pieces: Sequence[np.ndarray], pad_id: int, bs: int = 32) -> torch.Tensor:
    """Return the negative log-likelihood of each piece, from its first token to xxeos, given xxbos.

    Parameters
    ----------
    model : clara.models.InferenceModel
    pieces : list of n int arrays
        Token ids of each piece, xxbos … xxeos; or (length, 1 + n_columns), each followed by its context.
    pad_id : int
        Id of a token that no piece contains.
    bs : int
        Number of pieces read side by side.

    Returns
    -------
    float64 tensor (n,)
        In nats.
    """
    queries = [ids.reshape(len(ids), -1)[1:, :1] for ids in pieces]
    log_probs = compute_log_probs(model, pieces, queries, pad_id, bs)
    return torch.tensor([-piece_log_probs.sum() for piece_log_probs in log_probs], dtype=torch.float64)


@torch.no_grad()
def compute_log_probs(
    model, pieces: Sequence[np.ndarray], queries: Sequence[np.ndarray], pad_id: int, bs: int = 32
) -> list[np.ndarray]:
    """Return the log-probabilities of given tokens at each position of each piece.

    Parameters
    ----------
    model, pieces, pad_id, bs
        As for `nats_per_piece`.
    queries : list of n int arrays (length of the piece - 1, k)
        Ids of k tokens to score after each token of the piece but the last.

    Returns
    -------
    list of n float64 arrays (length of the piece - 1, k)
        In nats.
    """
    log_probs: list = [None] * len(pieces)
    by_length = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
    for at in range(0, len(pieces), bs):
        rows = by_length[at : at + bs]
        ids = _pad([pieces[i][:-1] for i in rows], pad_id)
        query_ids = _pad([queries[i] for i in rows], pad_id)
        for i, batch_log_probs in zip(rows, _score_batch(model, ids, query_ids)):
            log_probs[i] = batch_log_probs[: len(queries[i])].numpy()
    return log_probs


def _pad(arrays, pad_id):
    """Return arrays of unequal lengths as one int64 tensor."""
    return pad_sequence([torch.as_tensor(a).long() for a in arrays], batch_first=True, padding_value=pad_id)


def _score_batch(model, ids, query_ids):
    """Return the log-probabilities of `query_ids` (bs, n, k) after `ids` (bs, n), float64 (bs, n, k)."""
    device = next(model.parameters()).device
    state, log_probs = model.initial_state(len(ids)), []
    window = max(1, min(WINDOW_TOKENS, MAX_LOGITS // (len(ids) * model.vocab_sz)))
    for window_ids, window_queries in zip(ids.split(window, dim=1), query_ids.split(window, dim=1)):
        logits, state = model(window_ids.to(device), state)
        query_logits = logits.gather(2, window_queries.to(device))
        log_probs.append((query_logits - logits.logsumexp(2, keepdim=True)).double().cpu())
    return torch.cat(log_probs, dim=1)


def nats_per_quarter(model, corpus, split: str) -> float:
    """Return the negative log-likelihood of a split, divided by its length in quarter notes.

    Parameters
    ----------
    model : clara.models.InferenceModel
    corpus : clara.data.corpus.Corpus
    split : {"train", "valid", "test"}
    """
    nats = nats_per_piece(model, corpus.ids(split), corpus.vocab.pad_id)
    return float(nats.sum() / corpus.quarters(split).sum())
