"""Write the vocabulary of a corpus whose encoding has an open one: every token seen, in every key.

A piece is trained on in each of the twelve keys that its range allows, so the vocabulary holds
each token in all keys to which its pieces may be moved. With a limit, the rarest chords are left
out, each in all its keys at once. The nearest remaining token takes their place in the texts;
the manifest's column `replaced` counts them.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from clara.data.corpus import VOCABULARY
from clara.encodings.vocab import CONTROL_TOKENS, SHIFTS, Vocab
from clara.errors import BadSetting
from clara.files import write_atomically


def write_vocabulary(folder: str | Path, pieces: Sequence[str], encoding, max_vocab: int | None = None) -> Counter:
    """Write `vocab.txt` of a prepared folder, and replace tokens beyond the limit in its texts.

    Parameters
    ----------
    folder : str or Path
    pieces : sequence of str
        Names of the pieces whose texts are in the folder.
    encoding : Encoding
        With an open vocabulary.
    max_vocab : int or None
        Largest number of tokens, control tokens included (default: no limit).

    Returns
    -------
    Counter
        Number of replaced tokens by piece.

    Raises
    ------
    BadSetting
        If the limit leaves no room for a single chord.
    """
    folder = Path(folder)
    counts, shift_sets = _count_tokens(folder, pieces, encoding)
    replaced = Counter()
    if max_vocab is None:
        vocabulary = {
            transposed for token, shifts in shift_sets.items() for transposed in _transpose_all(encoding, token, shifts)
        }
    else:
        vocabulary = _most_frequent(encoding, counts, max_vocab - len(CONTROL_TOKENS) - len(encoding.tokens))
        left_out = [token for token in counts if token not in vocabulary]
        replacements = _nearest_tokens(encoding, left_out, counts, vocabulary)
        for piece in pieces:
            replaced[piece] = _replace_tokens(folder, piece, replacements)
    Vocab.from_encoding(encoding, vocabulary).save(folder / VOCABULARY)
    return replaced


def _count_tokens(folder, pieces, encoding):
    """Return how often each token occurs, and the shifts at which it is trained on, as bits."""
    counts = Counter()
    shift_sets = {}
    for piece in pieces:
        piece_counts = Counter(_read_tokens(folder, piece))
        counts += piece_counts
        shifts = _training_shifts(encoding, piece_counts)
        for token in piece_counts:
            shift_sets[token] = shift_sets.get(token, 0) | shifts
    return counts, shift_sets


def _read_tokens(folder, piece):
    """Return the tokens of a piece."""
    return (folder / f"{piece}.txt").read_text(encoding="utf-8").split()


def _training_shifts(encoding, tokens):
    """Return the shifts at which a piece of these tokens is trained on, as bits by position in SHIFTS."""
    ranges = [tone_range for tone_range in map(encoding.tone_range, tokens) if tone_range]
    lowest = min((low for low, _ in ranges), default=0)
    highest = max((high for _, high in ranges), default=0)
    smallest_shift = {}  # of each key
    for i in sorted(range(len(SHIFTS)), key=lambda i: abs(SHIFTS[i])):
        if lowest + SHIFTS[i] >= 0 and highest + SHIFTS[i] < encoding.n_keys:
            smallest_shift.setdefault(SHIFTS[i] % 12, i)
    return sum(1 << i for i in smallest_shift.values())


def _transpose_all(encoding, token, shifts):
    """Return a token at each of the shifts, which are bits by position in SHIFTS."""
    return [encoding.transpose_token(token, shift) for i, shift in enumerate(SHIFTS) if shifts >> i & 1]


def _most_frequent(encoding, counts, max_tokens):
    """Return the tokens of the most frequent chords in all their keys, as many as fit."""
    shape_counts = Counter()  # a shape is a chord moved to the bottom of the keyboard
    range_of_shape = {}
    for token, n in counts.items():
        tone_range = encoding.tone_range(token)
        shape = token if tone_range is None else encoding.transpose_token(token, -tone_range[0])
        shape_counts[shape] += n
        range_of_shape.setdefault(shape, tone_range)
    fixed = set(encoding.tokens)
    kept = set()
    for shape, _ in sorted(shape_counts.items(), key=lambda item: (-item[1], item[0])):
        tone_range = range_of_shape[shape]
        shifts = range(encoding.n_keys - (tone_range[1] - tone_range[0])) if tone_range else [0]
        transposed = {encoding.transpose_token(shape, shift) for shift in shifts} - fixed
        if len(kept) + len(transposed) > max_tokens:
            break
        kept |= transposed
    if not kept:
        limit = max_tokens + len(fixed) + len(CONTROL_TOKENS)
        raise BadSetting(f"--max-vocab {limit} has no room for one chord in all keys")
    return kept | fixed


def _nearest_tokens(encoding, tokens, counts, vocabulary):
    """Map each token to the nearest one of the vocabulary; the most frequent of equally near ones."""
    by_frequency = sorted(vocabulary, key=lambda token: (-counts[token], token))
    return dict(zip(tokens, encoding.nearest_tokens(tokens, by_frequency)))


def _replace_tokens(folder, piece, replacements):
    """Rewrite a text with the replacements, and return how many tokens changed."""
    tokens = _read_tokens(folder, piece)
    n_replaced = sum(token in replacements for token in tokens)
    if n_replaced:
        text = " ".join(replacements.get(token, token) for token in tokens)
        write_atomically(folder / f"{piece}.txt", text + "\n", durable=False)
    return n_replaced
