"""The candidates for the next token that repeats name, and their log-probabilities under a network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clara.models.likelihood import compute_log_probs
from clara.repeats.finder import LENGTH, TOKEN, TRANSPOSED, TranspositionTable, find_repeats
from clara.repeats.outer_voices import IS_WAIT, N_VOICES, find_voice_repeats

# Repeats are binned by length; these are the shortest of each bin. Shorter repeats than the first have no effect.
MIN_TOKENS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 128)
MIN_NOTES = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 48)
_TOKEN_BINS, _NOTE_BINS = np.array(MIN_TOKENS), np.array(MIN_NOTES)


@dataclass(frozen=True)
class RepeatCandidates:
    """The candidates that repeats of one kind name, at each position of a piece but the last.

    Attributes
    ----------
    token : int64 array (n,)
    log_prob : float64 array (n,)
        Log-probability of the candidate by the network.
    is_next : bool array (n,)
        Whether the candidate is the next token.
    bin : int64 array (n,)
        Bin of the calibration; -1 without a repeat or if it is too short.
    """

    token: np.ndarray
    log_prob: np.ndarray
    is_next: np.ndarray
    bin: np.ndarray


@dataclass(frozen=True)
class ScoredPiece:
    """The log-probabilities of a piece and of its repeat candidates, at each position but the last.

    Attributes
    ----------
    next_log_prob : float64 array (n,)
        Log-probability of the next token by the network.
    candidates : tuple of RepeatCandidates
        Of repeats of tokens and, if voices are followed, of each voice.
    """

    next_log_prob: np.ndarray
    candidates: tuple[RepeatCandidates, ...]


def score_pieces(model, pieces: Sequence[np.ndarray], table: TranspositionTable, pad_id: int) -> list[ScoredPiece]:
    """Run a network once over each piece and record the log-probabilities of its tokens and repeat candidates.

    Parameters
    ----------
    model : clara.models.InferenceModel
    pieces : list of int arrays
        Token ids of each piece, xxbos … xxeos.
    table : TranspositionTable
        Of the vocabulary.
    pad_id : int
        Id of a token that no piece contains.
    """
    candidates, queries = [], []
    for ids in pieces:
        voice_repeats = find_voice_repeats(table.voices, ids[:-1]) if table.voices else None
        piece_candidates = name_candidates(find_repeats(table, ids[:-1]), voice_repeats)
        candidates.append(piece_candidates)
        queries.append(np.stack([ids[1:], *(np.maximum(token, 0) for token, _ in piece_candidates)], axis=1))
    log_probs = compute_log_probs(model, pieces, queries, pad_id)
    return [_scored_piece(ids[1:], kinds, logs) for ids, kinds, logs in zip(pieces, candidates, log_probs)]


def _scored_piece(next_ids, candidates, log_probs):
    """Return a ScoredPiece from candidates, (token, bin) each, and log-probabilities (n, 1 + kinds of candidates)."""
    return ScoredPiece(
        log_probs[:, 0],
        tuple(
            RepeatCandidates(token, log_prob, token == next_ids, bins)
            for (token, bins), log_prob in zip(candidates, log_probs[:, 1:].T)
        ),
    )


def name_candidates(repeats, voice_repeats):
    """Return candidates and their bins, int64 (n,) each, for repeats of tokens and of each voice.

    Parameters
    ----------
    repeats : int64 array (n, 4)
        Columns as in `find_repeats`.
    voice_repeats : int64 array (n, N_VOICES, 4) or None
        Columns as in `find_voice_repeats`.
    """
    candidates = [_with_bins(repeats, _TOKEN_BINS, repeats[:, TRANSPOSED])]
    if voice_repeats is not None:
        for voice in range(N_VOICES):
            repeats = voice_repeats[:, voice]
            candidates.append(_with_bins(repeats, _NOTE_BINS, 2 * repeats[:, IS_WAIT] + repeats[:, TRANSPOSED]))
    return candidates


def _with_bins(repeats, min_lengths, group):
    """Return the candidates of repeats (n, 4) and their bins; each group has one bin per length."""
    token = np.ascontiguousarray(repeats[:, TOKEN])
    length_bin = min_lengths.searchsorted(repeats[:, LENGTH], side="right") - 1
    return token, np.where((token >= 0) & (length_bin >= 0), group * len(min_lengths) + length_bin, -1)
