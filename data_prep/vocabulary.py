"""The vocabulary of a corpus whose encoding has an open one: every word seen, in every key.

A piece is trained on in each of the twelve keys that its range allows, so a vocabulary
holds each word in all the places to which its pieces may be moved. With a limit, the
rarest chords go, a chord in all its places at once, and where they stood in a text the
nearest kept word takes their place; `replaced` in the manifest counts them.
"""

from collections import Counter
from pathlib import Path

from clara.data.corpus import VOCABULARY
from clara.encodings.vocab import CONTROL_TOKENS, SHIFTS, Vocab
from clara.errors import BadSetting
from clara.files import write_atomically


def write_vocabulary(folder, pieces, encoding, max_vocab=None):
    """Write `vocab.txt` of a prepared folder, and replace what a limit leaves out in its texts.

    Parameters
    ----------
    folder : Path
    pieces : list of names of pieces, whose texts stand in the folder
    encoding : one with an open vocabulary
    max_vocab : most words, control words among them, or None

    Returns
    -------
    replaced : Counter of words replaced, by piece

    Raises
    ------
    BadSetting
        If the limit leaves no room for a single chord.
    """
    folder, replaced = Path(folder), Counter()
    counts, seen = Counter(), {}
    for piece in pieces:
        words = Counter(_text(folder, piece))
        counts += words
        shifts = _shifts(encoding, words)
        for word in words:
            seen[word] = seen.get(word, 0) | shifts
    if max_vocab is None:
        found = {moved for word, shifts in seen.items() for moved in _places(encoding, word, shifts)}
    else:
        found = _most_frequent(encoding, counts, max_vocab - len(CONTROL_TOKENS) - len(encoding.tokens))
        nearest = _nearest(encoding, [w for w in counts if w not in found], counts, found)
        for piece in pieces:
            replaced[piece] = _replace(folder, piece, nearest)
    Vocab.from_encoding(encoding, found).save(folder / VOCABULARY)
    return replaced


def _text(folder, piece):
    """The words of a piece."""
    return (folder / f"{piece}.txt").read_text(encoding="utf-8").split()


def _shifts(encoding, words):
    """The shifts at which a piece of these words is trained on, as bits by their place in SHIFTS."""
    spans = [span for span in map(encoding.tone_range, words) if span]
    low, high = min((s[0] for s in spans), default=0), max((s[1] for s in spans), default=0)
    nearest = {}
    for i in sorted(range(len(SHIFTS)), key=lambda i: abs(SHIFTS[i])):
        if low + SHIFTS[i] >= 0 and high + SHIFTS[i] < encoding.n_keys:
            nearest.setdefault(SHIFTS[i] % 12, i)
    return sum(1 << i for i in nearest.values())


def _places(encoding, word, shifts):
    """A word at each of some shifts."""
    return [encoding.transpose_token(word, s) for i, s in enumerate(SHIFTS) if shifts >> i & 1]


def _most_frequent(encoding, counts, room):
    """Words of the most frequent chords in all their places, as many as there is room for."""
    shapes, chord_of = Counter(), {}
    for word, n in counts.items():
        span = encoding.tone_range(word)
        shape = word if span is None else encoding.transpose_token(word, -span[0])
        shapes[shape] += n
        chord_of.setdefault(shape, span)
    found, fixed = set(), set(encoding.tokens)
    for shape, _ in sorted(shapes.items(), key=lambda item: (-item[1], item[0])):
        span = chord_of[shape]
        everywhere = range(encoding.n_keys - (span[1] - span[0])) if span else [0]
        places = {encoding.transpose_token(shape, s) for s in everywhere} - fixed
        if len(found) + len(places) > room:
            break
        found |= places
    if not found:
        raise BadSetting(f"--max-vocab {room + len(fixed) + len(CONTROL_TOKENS)} has no room for one chord in all keys")
    return found | fixed


def _nearest(encoding, words, counts, found):
    """{word: the nearest one kept}, of equally near ones the most frequent."""
    known = sorted(found, key=lambda w: (-counts[w], w))
    return dict(zip(words, encoding.nearest_tokens(words, known)))


def _replace(folder, piece, nearest):
    """Rewrite a text where it holds words that were not kept; how many."""
    words = _text(folder, piece)
    n = sum(w in nearest for w in words)
    if n:
        write_atomically(folder / f"{piece}.txt", " ".join(nearest.get(w, w) for w in words) + "\n")
    return n
