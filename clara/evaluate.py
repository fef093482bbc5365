"""The cost of held-out pieces in nats per quarter note, exact per piece.

Contents: `nats_per_piece`, `nats_per_quarter`.
"""

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

WINDOW = 512  # words read at a time; the state is carried, so it changes speed alone
MOST_LOGITS = 2**25  # at a time, an eighth of a GB, where a vocabulary is large


@torch.no_grad()
def nats_per_piece(reader, pieces, pad_id, bs=32):
    """The cost of each piece from its first word to xxeos, given xxbos and nothing else.

    Parameters
    ----------
    reader : a `Reader` of `clara.models`
    pieces : list of n int arrays, each xxbos … xxeos
    pad_id : a word that is never a target
    bs : pieces read side by side

    Returns
    -------
    float64 tensor (n,), in nats
    """
    nats = torch.zeros(len(pieces), dtype=torch.float64)
    by_length = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
    for at in range(0, len(pieces), bs):
        rows = by_length[at:at + bs]
        ids = pad_sequence([torch.as_tensor(pieces[i]).long() for i in rows], batch_first=True, padding_value=pad_id)
        nats[rows] = _read(reader, ids, pad_id)
    return nats


def _read(reader, ids, pad_id):
    """Summed cost of each row of padded ids (bs, n), float64 (bs,)."""
    device = next(reader.parameters()).device
    state, nats = reader.start(len(ids)), torch.zeros(len(ids), dtype=torch.float64)
    window = max(1, min(WINDOW, MOST_LOGITS // (len(ids) * reader.vocab_sz)))
    for at in range(0, ids.shape[1] - 1, window):
        x, y = ids[:, at:at + window].to(device), ids[:, at + 1:at + 1 + window].to(device)
        logits, state = reader(x[:, :y.shape[1]], state)
        cost = F.cross_entropy(logits.transpose(1, 2), y, ignore_index=pad_id, reduction="none")
        nats += cost.double().sum(1).cpu()
    return nats


def nats_per_quarter(reader, corpus, split):
    """Cost of a split over its length.

    Parameters
    ----------
    reader : a `Reader` of `clara.models`
    corpus : clara.corpus.Corpus
    split : its name

    Returns
    -------
    float, nats per quarter note
    """
    nats = nats_per_piece(reader, corpus.ids(split), corpus.vocab.pad)
    return float(nats.sum() / corpus.quarters(split).sum())
