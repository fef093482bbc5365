"""Find where the end of a text repeats an earlier passage, in the same key or transposed.

The longest run of tokens that ends with the newest token and also stands earlier in the text is its *repeat*. The token
that followed the earlier passage, transposed by as much, is the candidate for the next token. Among runs of equal
length, one in the same key comes first, then the latest. `clara.repeats.outer_voices` does the same for melodies.
"""

import numpy as np

from clara.encodings.vocab import CONTROL_TOKENS, Vocab
from clara.jit import compiled, int32_3d, int64_1d, int64_2d, int64_3d, uint8_1d
from clara.repeats.outer_voices import VoiceRepeatFinder, VoiceTokens

TOKEN, LENGTH, TRANSPOSED, DISTANCE = range(4)  # columns of a repeat, see `find_repeats`
INITIAL_ROOM = 1024  # tokens that a text can grow by before its arrays are enlarged
MAX_LOOKBACK = 2**15  # tokens, half an hour of music or more; bounds the time that a token takes
N_FIELDS = 5  # of each token of a text, see `_append_tokens`
TOKEN_ID, EARLIER, RUN_LENGTH, RUN_SHIFT, RUN_END = range(N_FIELDS)
NONE = -1
NO_SHIFT = 1000  # semitones; marks a run in which no token has a pitch


class TranspositionTable:
    """Which tokens of a vocabulary are transpositions of each other.

    Two tokens have the same *shape* if one is the other in another key. A token's *height* is its distance from the
    lowest token of its shape, in semitones.

    Parameters
    ----------
    vocab : Vocab
    encoding : Encoding
        The encoding of the vocabulary, with `transpose_token`.
    with_voices : bool
        Whether to follow outer voices, too, if the encoding has tokens for single notes.

    Attributes
    ----------
    shape, height : int64 arrays (vocab_sz,)
    has_pitch : uint8 array (vocab_sz,)
        0 for tokens that are the same in every key, such as waits.
    token_at : int64 array (n_shapes, n_heights)
        Id of the token with a shape and a height; -1 if the vocabulary has none.
    voices : VoiceTokens or None
    """

    def __init__(self, vocab: Vocab, encoding, with_voices: bool = True):
        self.shape = np.zeros(len(vocab), dtype=np.int64)
        self.height = np.zeros(len(vocab), dtype=np.int64)
        self.has_pitch = np.zeros(len(vocab), dtype=np.uint8)
        shape_of = {}
        for i, token in enumerate(vocab.tokens):
            lowest = token
            if token not in CONTROL_TOKENS and any(encoding.transpose_token(token, s) != token for s in (-1, 1)):
                self.has_pitch[i] = 1
                self.height[i] = _height(token, encoding)
                lowest = encoding.transpose_token(token, -int(self.height[i]))
            self.shape[i] = shape_of.setdefault(lowest, len(shape_of))
        self.token_at = np.full((len(shape_of), self.height.max() + 1), -1, dtype=np.int64)
        self.token_at[self.shape, self.height] = np.arange(len(vocab))
        self.voices = VoiceTokens.from_encoding(vocab, encoding) if with_voices else None


def _height(token, encoding):
    """Return by how many semitones a token can be transposed down, by bisection."""
    possible, impossible = 0, encoding.n_keys
    while impossible - possible > 1:
        middle = (possible + impossible) // 2
        if encoding.transpose_token(token, -middle) is not None:
            possible = middle
        else:
            impossible = middle
    return possible


class RepeatFinder:
    """The repeats of texts that are written side by side, token by token.

    Parameters
    ----------
    table : TranspositionTable
    pasts : list of int arrays
        Token ids of the texts so far.
    rows : int64 array (n,)
        For each of the n texts to write, which of `pasts` it continues.

    Attributes
    ----------
    repeats : int64 array (n, 4)
        The repeat at the newest token of each text, with columns as in `find_repeats`.
    voices : VoiceRepeatFinder or None
        The same for the outer voices.
    """

    def __init__(self, table: TranspositionTable, pasts: list[np.ndarray], rows: np.ndarray):
        n, room = len(pasts), max(map(len, pasts)) + INITIAL_ROOM
        self.table = table
        self.text = np.zeros((n, N_FIELDS, room), dtype=np.int32)
        self.newest_of_shape = np.full((n, len(table.token_at)), NONE, dtype=np.int64)
        self.n_tokens = np.zeros(n, dtype=np.int64)
        self.repeats = np.full((n, 4), -1, dtype=np.int64)
        self.voices = None
        for i, past in enumerate(pasts):
            if len(past):
                self.repeats[i] = self._append(np.asarray(past)[None], slice(i, i + 1))[0, -1]
        self.take(rows)
        if table.voices:
            self.voices = VoiceRepeatFinder(table.voices, pasts, rows)

    def append(self, ids: np.ndarray) -> None:
        """Append one token to each text: int64 array (n,)."""
        if self.n_tokens.max(initial=0) == self.text.shape[2]:
            self.text = np.pad(self.text, ((0, 0), (0, 0), (0, self.text.shape[2])))
        self.repeats = self._append(ids[:, None], slice(None))[:, 0]
        if self.voices:
            self.voices.append(ids)

    def take(self, rows: np.ndarray) -> None:
        """Keep only the texts `rows`, an int64 array that may name a text more than once."""
        self.text, self.newest_of_shape = self.text[rows], self.newest_of_shape[rows]
        self.n_tokens, self.repeats = self.n_tokens[rows], self.repeats[rows]
        if self.voices:
            self.voices.take(rows)

    def _append(self, ids, texts):
        """Append ids (n, m) to the texts of a slice and return their repeats after each token, int64 (n, m, 4)."""
        ids = np.ascontiguousarray(ids, dtype=np.int64)
        repeats = np.zeros((*ids.shape, 4), dtype=np.int64)
        _append_tokens(
            ids,
            self.text[texts],
            self.newest_of_shape[texts],
            self.n_tokens[texts],
            self.table.shape,
            self.table.height,
            self.table.has_pitch,
            self.table.token_at,
            repeats,
        )
        return repeats


def find_repeats(table: TranspositionTable, ids: np.ndarray) -> np.ndarray:
    """Return the repeat at each token of a text.

    Parameters
    ----------
    table : TranspositionTable
    ids : int array (m,)

    Returns
    -------
    int64 array (m, 4)
        Columns: `TOKEN`, the candidate for the next token; `LENGTH` of the repeat in tokens, 0 if there is none;
        `TRANSPOSED`, 1 if the earlier passage is in another key, else 0; `DISTANCE` back to it in tokens. The candidate
        is -1 if there is no repeat, if the vocabulary lacks the token, or if the repeat overlaps the earlier passage: a
        figure that repeats itself over and over is left to the model.
    """
    finder = RepeatFinder(table, [np.zeros(0, dtype=np.int64)], np.zeros(1, dtype=np.int64))
    finder.text = np.zeros((1, N_FIELDS, len(ids)), dtype=np.int32)
    return finder._append(np.asarray(ids)[None], slice(None))[0]


@compiled(int64_2d, int32_3d, int64_2d, int64_1d, int64_1d, int64_1d, uint8_1d, int64_2d, int64_3d)
def _append_tokens(ids, texts, newest_of_shape, n_tokens, shape, height, has_pitch, token_at, repeats):
    """Append tokens to texts and find their repeats; see `RepeatFinder._append`.

    Of each text, field RUN_LENGTH of token i is the length of the longest run that ends with it and equals the end that
    the text had when RUN_END tokens had been written; RUN_SHIFT is by how many semitones that end is transposed
    against the run. EARLIER is the position of the token of the same shape before it.
    """
    for row in range(len(ids)):
        text, earlier_tokens = texts[row, TOKEN_ID], texts[row, EARLIER]
        lengths, shifts, ends = texts[row, RUN_LENGTH], texts[row, RUN_SHIFT], texts[row, RUN_END]
        for k in range(ids.shape[1]):
            new, n = ids[row, k], n_tokens[row]
            new_shape, new_height, new_has_pitch = shape[new], height[new], has_pitch[new]
            best_score, best = 0, NONE
            i = newest_of_shape[row, new_shape]
            while i >= max(0, n - MAX_LOOKBACK):
                length, shift = 0, NO_SHIFT
                if i and ends[i - 1] == n:
                    length, shift = lengths[i - 1], shifts[i - 1]
                if not new_has_pitch:
                    length += 1
                elif shift == NO_SHIFT or shift == new_height - height[text[i]]:
                    length, shift = length + 1, new_height - height[text[i]]
                else:  # a run in another key starts here; tokens without pitch before it belong to it
                    length, shift = 1, new_height - height[text[i]]
                    while length <= i and not has_pitch[text[i - length]] and text[i - length] == text[n - length]:
                        length += 1
                lengths[i], shifts[i], ends[i] = length, shift, n + 1
                score = 2 * length + (shift == 0 or shift == NO_SHIFT)
                if score > best_score:
                    best_score, best = score, i
                i = earlier_tokens[i]
            text[n], earlier_tokens[n], ends[n] = new, newest_of_shape[row, new_shape], 0
            newest_of_shape[row, new_shape] = n
            n_tokens[row] = n + 1
            candidate = NONE
            if best >= 0:
                shift = 0 if shifts[best] == NO_SHIFT else shifts[best]
                distance = n - best
                repeats[row, k, LENGTH], repeats[row, k, TRANSPOSED] = lengths[best], shift != 0
                repeats[row, k, DISTANCE] = distance
                if lengths[best] < distance:
                    candidate = text[best + 1]
                    if has_pitch[candidate]:
                        transposed = height[candidate] + shift
                        in_range = 0 <= transposed < token_at.shape[1]
                        candidate = token_at[shape[candidate], transposed] if in_range else NONE
            repeats[row, k, TOKEN] = candidate
