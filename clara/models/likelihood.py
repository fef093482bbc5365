"""The cost of held-out pieces in nats per quarter note, exact per piece."""

import torch
from torch.nn.utils.rnn import pad_sequence

WINDOW = 512  # words read at a time; the state is carried, so it changes speed alone
MOST_LOGITS = 2**25  # at a time, an eighth of a GB, where a vocabulary is large


def nats_per_piece(reader, pieces, pad_id, bs=32):
    """The cost of each piece from its first word to xxeos, given xxbos and nothing else.

    Parameters
    ----------
    reader : a `InferenceModel` of `clara.models`
    pieces : list of n int arrays, each xxbos … xxeos
    pad_id : a word that is never a target
    bs : pieces read side by side

    Returns
    -------
    float64 tensor (n,), in nats
    """
    told = log_probabilities(reader, pieces, [ids[1:, None] for ids in pieces], pad_id, bs)
    return torch.tensor([-t.sum() for t in told], dtype=torch.float64)


@torch.no_grad()
def log_probabilities(reader, pieces, asked, pad_id, bs=32):
    """How likely some words are at each place of each piece, given all that stands before.

    Parameters
    ----------
    reader, pieces, pad_id, bs : as `nats_per_piece`
    asked : list of n int arrays (length - 1, k), the words asked about after each word but the last

    Returns
    -------
    list of n float64 arrays (length - 1, k), in nats
    """
    told = [None] * len(pieces)
    by_length = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
    for at in range(0, len(pieces), bs):
        rows = by_length[at : at + bs]
        ids = pad_sequence(
            [torch.as_tensor(pieces[i][:-1]).long() for i in rows], batch_first=True, padding_value=pad_id
        )
        words = pad_sequence([torch.as_tensor(asked[i]).long() for i in rows], batch_first=True, padding_value=pad_id)
        for i, found in zip(rows, _read(reader, ids, words)):
            told[i] = found[: len(asked[i])].numpy()
    return told


def _read(reader, ids, words):
    """Log probabilities of words (bs, n, k) after padded ids (bs, n), float64 (bs, n, k)."""
    device = next(reader.parameters()).device
    state, told = reader.start(len(ids)), []
    window = max(1, min(WINDOW, MOST_LOGITS // (len(ids) * reader.vocab_sz)))
    for part, of_part in zip(ids.split(window, dim=1), words.split(window, dim=1)):
        logits, state = reader(part.to(device), state)
        told.append((logits.gather(2, of_part.to(device)) - logits.logsumexp(2, keepdim=True)).double().cpu())
    return torch.cat(told, dim=1)


def nats_per_quarter(reader, corpus, split):
    """Cost of a split over its length.

    Parameters
    ----------
    reader : a `InferenceModel` of `clara.models`
    corpus : clara.data.corpus.Corpus
    split : its name

    Returns
    -------
    float, nats per quarter note
    """
    nats = nats_per_piece(reader, corpus.ids(split), corpus.vocab.pad_id)
    return float(nats.sum() / corpus.quarters(split).sum())
