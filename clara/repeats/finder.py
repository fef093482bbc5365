"""Where a text has said before what it says now, in the same key or another.

Of a text that is written word by word: the longest run of words that ends with the newest and stood earlier, and the
word that followed there, moved by as much, no further back than FURTHEST words. Among runs of one length those in the same key come first, then the latest.
"""

import numpy as np

from clara.encodings.vocab import CONTROL_TOKENS
from clara.jit import compiled, int32_2d, int64_1d, int64_2d, int64_3d, uint8_1d
from clara.repeats.outer_voices import VoiceRepeatFinder, VoiceTokens

WORDS_AHEAD = 1024  # room for as many more words at a time
NAMED, LENGTH, MOVED, AGO = range(4)  # what is told of a match


class TranspositionTable:
    """The words of a vocabulary as forms that move: words of one form are the same music in other keys.

    Parameters
    ----------
    vocab : clara.encodings.vocab.Vocab
    encoding : whose `transpose_token` knows the music
    voices : whether to follow outer voices, too, where the words tell them

    Attributes
    ----------
    form, tone : int64 arrays (vocab_sz,); how far a word lies above the lowest of its form, in semitones
    moves : uint8 array (vocab_sz,), 0 for words such as waits that are the same in every key
    word_at : int64 array (n_forms, n_tones), the id of a form at a tone; -1 where the vocabulary has none
    voices : clara.repeats.outer_voices.Voices of its words, or None
    """

    def __init__(self, vocab, encoding, voices=True):
        self.form, self.tone = np.zeros((2, len(vocab)), dtype=np.int64)
        self.moves, names = np.zeros(len(vocab), dtype=np.uint8), {}
        for i, word in enumerate(vocab.tokens):
            if word not in CONTROL_TOKENS and any(encoding.transpose_token(word, s) != word for s in (-1, 1)):
                self.moves[i], self.tone[i] = 1, _room_below(word, encoding)
                word = encoding.transpose_token(word, -int(self.tone[i]))
            self.form[i] = names.setdefault(word, len(names))
        self.word_at = np.full((len(names), self.tone.max() + 1), -1, dtype=np.int64)
        self.word_at[self.form, self.tone] = np.arange(len(vocab))
        self.voices = VoiceTokens.of(vocab, encoding) if voices else None


def _room_below(word, encoding):
    """By how many semitones a word can be moved down, by bisection."""
    least, most = 0, encoding.n_keys
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if encoding.transpose_token(word, -middle) is not None else (least, middle)
    return least


class RepeatFinder:
    """Texts that are written side by side, and where each has been before.

    Parameters
    ----------
    forms : Forms
    pasts : list of int arrays, what some texts hold already
    rows : int64 array (n,), which of them each of the n texts goes on from

    Attributes
    ----------
    found : int64 array (n, 4), as `matches` tells, of the newest word of each
    voices : clara.repeats.outer_voices.VoiceMemory of the texts, or None
    """

    def __init__(self, forms, pasts, rows):
        self.forms, room = forms, max(map(len, pasts)) + WORDS_AHEAD
        self.words, self.run, self.shift = np.zeros((3, len(pasts), room), dtype=np.int32)
        self.n_words, self.found = np.zeros(len(pasts), dtype=np.int64), np.full((len(pasts), 4), -1, dtype=np.int64)
        for i, past in enumerate(pasts):
            if len(past):
                one = slice(i, i + 1)
                self.found[i] = self._go_on(np.asarray(past)[None], one)[0, -1]
        self.voices = None
        self.take(rows)
        self.voices = forms.voices and VoiceRepeatFinder(forms.voices, pasts, rows)

    def follow(self, ids):
        """Add words: int64 array (n,), one for each text."""
        if self.n_words.max(initial=0) == self.words.shape[1]:
            self.words, self.run, self.shift = (
                np.pad(a, ((0, 0), (0, a.shape[1]))) for a in (self.words, self.run, self.shift)
            )
        self.found = self._go_on(ids[:, None], slice(None))[:, 0]
        if self.voices:
            self.voices.follow(ids)

    def take(self, rows):
        """Go on with some of the texts."""
        self.words, self.run, self.shift, self.n_words, self.found = (
            a[rows] for a in (self.words, self.run, self.shift, self.n_words, self.found)
        )
        if self.voices:
            self.voices.take(rows)

    def _go_on(self, ids, texts):
        """Add words, int64 (n, m), to some texts; what is found after each, int64 (n, m, 4)."""
        ids, found = np.ascontiguousarray(ids, dtype=np.int64), np.zeros((*ids.shape, 4), dtype=np.int64)
        _follow(
            ids,
            self.words[texts],
            self.run[texts],
            self.shift[texts],
            self.n_words[texts],
            self.forms.form,
            self.forms.tone,
            self.forms.moves,
            self.forms.word_at,
            found,
        )
        return found

    @classmethod
    def matches(cls, forms, ids):
        """What a text has found after each of its words.

        Parameters
        ----------
        forms : Forms
        ids : int array (m,)

        Returns
        -------
        int64 array (m, 4): the word that followed then, -1 where there is none or the run is no shorter than its way back (what comes
        round and round); the run's length in words, 0 where there is no run; 1 where it is in another key, or 0; and the way back, in words
        """
        memory = cls(forms, [np.zeros(0, dtype=np.int64)], np.zeros(1, dtype=np.int64))
        memory.words, memory.run, memory.shift = np.zeros((3, 1, len(ids)), dtype=np.int32)
        return memory._go_on(np.asarray(ids)[None], slice(None))[0]


FAR = 1000  # no shift: of a run of words that do not move
FURTHEST = (
    2**15
)  # words back, half an hour or more: what is longer takes time in proportion to its length, and not to its square


@compiled(int64_2d, int32_2d, int32_2d, int32_2d, int64_1d, int64_1d, int64_1d, uint8_1d, int64_2d, int64_3d)
def _follow(ids, words, run, shift, n_words, form, tone, moves, word_at, found):
    """As `RepeatFinder._go_on`. run[i], shift[i]: of the run that ends with word i as the text ends now."""
    for row in range(len(ids)):
        text, runs, shifts = words[row], run[row], shift[row]
        for at in range(ids.shape[1]):
            word, n, best, place = ids[row, at], n_words[row], 0, -1
            its_form, its_tone, still = form[word], tone[word], not moves[word]
            for i in range(n - 1, max(0, n - FURTHEST) - 1, -1):
                earlier = text[i]
                if form[earlier] != its_form:
                    runs[i] = 0
                    continue
                length, by = (runs[i - 1], shifts[i - 1]) if i and runs[i - 1] else (0, FAR)
                if still:
                    length += 1
                elif by == FAR or by == its_tone - tone[earlier]:
                    length, by = length + 1, its_tone - tone[earlier]
                else:  # another key begins here; the words before that do not move go with it
                    length, by = 1, its_tone - tone[earlier]
                    while length <= i and not moves[text[i - length]] and text[i - length] == text[n - length]:
                        length += 1
                runs[i], shifts[i] = length, by
                if 2 * length + (by == 0 or by == FAR) > best:
                    best, place = 2 * length + (by == 0 or by == FAR), i
            text[n] = word
            n_words[row] = n + 1
            follower = -1
            if place >= 0:
                by = 0 if shifts[place] == FAR else shifts[place]
                found[row, at, 1], found[row, at, 2], found[row, at, 3] = runs[place], by != 0, n - place
                if runs[place] < n - place:
                    follower = text[place + 1]
                    if moves[follower]:
                        there = tone[follower] + by
                        follower = word_at[form[follower], there] if 0 <= there < word_at.shape[1] else -1
            found[row, at, 0] = follower
