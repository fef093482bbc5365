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
        for i, batch_log_probs in zip(rows, _score_batch(model, ids, query_ids, model.initial_state(len(ids)))):
            log_probs[i] = batch_log_probs[: len(queries[i])].numpy()
    return log_probs


@torch.no_grad()
def ending_nats(model, pieces: Sequence[np.ndarray], n_shared: int, n_last: int, pad_id: int) -> np.ndarray:
    """Return the negative log-likelihood of the last tokens of pieces that begin alike; the beginning is read once.

    Parameters
    ----------
    model, pieces, pad_id
        As for `nats_per_piece`.
    n_shared : int
        Number of tokens that all pieces begin with, xxbos among them; at least 1.
    n_last : int
        Number of tokens at the end of each piece that are scored.

    Returns
    -------
    float64 array (n,)
        In nats.
    """
    device, state = next(model.parameters()).device, model.initial_state(1)
    n_read = n_shared - 1
    for window in torch.as_tensor(pieces[0][:n_read]).long()[None].split(WINDOW_TOKENS, dim=1):
        if window.shape[1]:
            _, state = model(window.to(device), state)
    state = model.take(state, torch.zeros(len(pieces), dtype=torch.long, device=device))
    ids = _pad([piece[n_read:-1] for piece in pieces], pad_id)
    targets = [piece.reshape(len(piece), -1)[n_read + 1 :, :1] for piece in pieces]
    log_probs = _score_batch(model, ids, _pad(targets, pad_id), state).numpy()
    return np.array([-of_piece[len(t) - n_last : len(t)].sum() for of_piece, t in zip(log_probs, targets)])


def _pad(arrays, pad_id):
    """Return arrays of unequal lengths as one int64 tensor."""
    return pad_sequence([torch.as_tensor(a).long() for a in arrays], batch_first=True, padding_value=pad_id)


def _score_batch(model, ids, query_ids, state):
    """Return the log-probabilities of `query_ids` (bs, n, k) after `ids` (bs, n) from a state, float64 (bs, n, k)."""
    device, log_probs = next(model.parameters()).device, []
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
