"""Where the outer voices of a text have gone before as they go now, in the same key or another.

A tune comes back over another accompaniment, or step by step as a sequence; the words between are others then, and `clara.repeats.finder` finds no run. So each outer
voice, the highest and the lowest key of any time, is a line of its own: its notes are those that are struck with nothing beyond them sounding. Of the newest notes
of a voice, the longest run with the intervals and the gaps of an earlier one, no further back than FURTHEST notes; and the note that followed there, moved by
as much, is what the voice may do next, in its time. Among runs of one length those in the same key come first, then the latest.
"""

import numpy as np

from clara.encodings.notewise import Notewise
from clara.jit import compiled, int32_4d, int64, int64_1d, int64_2d, int64_3d, int64_4d, uint8_1d, uint8_2d

VOICES = 2  # the highest, the lowest
NAMED, LENGTH, MOVED, WAITS = range(4)  # what is told of a voice
NOTES_AHEAD = 256  # room for as many more notes at a time


class VoiceTokens:
    """What the words of a notewise vocabulary do to voices.

    Parameters
    ----------
    vocab : clara.encodings.vocab.Vocab
    encoding : clara.encodings.notewise.Notewise or its kin

    Attributes
    ----------
    tone : int64 array (vocab_sz,), which a word strikes or releases; -1 of others
    strikes : uint8 array (vocab_sz,)
    steps : int64 array (vocab_sz,), which a word waits; 0 of others
    pitch : int64 array (n_tones,), MIDI numbers
    ascending : int64 array (n_tones,), tones from low to high
    start_word : int64 array (n_tones,), ids
    wait_word : int64 array (longest wait + 1,), ids by steps; -1 at 0
    n_keys : of each part, whose tones follow each other
    """

    def __init__(self, vocab, encoding):
        ids, n = np.array([vocab.id_of[word] for word in encoding.tokens]), encoding.n_tones  # ends, starts, waits
        self.tone, self.steps = np.full(len(vocab), -1), np.zeros(len(vocab), dtype=np.int64)
        self.tone[ids[: 2 * n]] = np.tile(np.arange(n), 2)
        self.steps[ids[2 * n :]] = np.arange(1, encoding.longest_wait + 1)
        self.strikes = np.zeros(len(vocab), dtype=np.uint8)
        self.strikes[ids[n : 2 * n]] = 1
        self.pitch = encoding.pitch_and_part(np.arange(n))[0]
        self.ascending = np.argsort(self.pitch, kind="stable")
        self.start_word, self.wait_word, self.n_keys = ids[n : 2 * n], np.r_[-1, ids[2 * n :]], encoding.n_keys

    @classmethod
    def of(cls, vocab, encoding):
        """Those of a vocabulary, or None where its words are no keys that are struck and released."""
        return cls(vocab, encoding) if isinstance(encoding, Notewise) else None


class VoiceRepeatFinder:
    """The outer voices of texts that are written side by side, and where each has gone before.

    Parameters
    ----------
    voices : Voices
    pasts : list of int arrays, what some texts hold already
    rows : int64 array (n,), which of them each of the n texts goes on from

    Attributes
    ----------
    found : int64 array (n, VOICES, 4), as `matches` tells, of the newest word of each
    """

    def __init__(self, voices, pasts, rows):
        n, room = len(pasts), max(map(len, pasts)) // 2 + NOTES_AHEAD  # a note takes a word, and one to wait
        self.voices, self.held, self.struck = (
            voices,
            np.zeros((n, len(voices.pitch)), dtype=np.uint8),
            np.zeros(n, dtype=np.uint8),
        )
        self.clock, self.lines, self.n_notes = (
            np.zeros(n, dtype=np.int64),
            np.zeros((n, VOICES, FIELDS, room), dtype=np.int32),
            np.zeros((n, VOICES), dtype=np.int64),
        )
        self.gone, self.found = np.zeros((n, VOICES), dtype=np.int64), np.full((n, VOICES, 4), -1, dtype=np.int64)
        for i, past in enumerate(pasts):
            if len(past):
                one = slice(i, i + 1)
                self.found[i] = self._go_on(np.asarray(past)[None], one)[0, -1]
        self.take(rows)

    def follow(self, ids):
        """Add words: int64 array (n,), one for each text."""
        if self.n_notes.max(initial=0) == self.lines.shape[3]:
            self.lines = np.pad(self.lines, ((0, 0), (0, 0), (0, 0), (0, NOTES_AHEAD)))
        self.found = self._go_on(ids[:, None], slice(None))[:, 0]

    def take(self, rows):
        """Go on with some of the texts."""
        self.held, self.struck, self.clock, self.lines, self.n_notes, self.gone, self.found = (
            a[rows] for a in (self.held, self.struck, self.clock, self.lines, self.n_notes, self.gone, self.found)
        )

    def _go_on(self, ids, texts):
        """Add words, int64 (n, m), to some texts; what is found after each, int64 (n, m, VOICES, 4)."""
        ids, v = np.ascontiguousarray(ids, dtype=np.int64), self.voices
        clocks, newest, before = (
            np.zeros(ids.shape, dtype=np.int64),
            np.zeros((*ids.shape, VOICES), dtype=np.int64),
            self.n_notes[texts].copy(),
        )
        found = np.full((*ids.shape, VOICES, 4), -1, dtype=np.int64)
        _hear(
            ids,
            self.held[texts],
            self.struck[texts],
            self.clock[texts],
            self.lines[texts],
            self.n_notes[texts],
            v.tone,
            v.strikes,
            v.steps,
            v.ascending,
            clocks,
            newest,
        )
        _look_back(self.lines[texts], before, self.n_notes[texts], v.pitch, v.n_keys)
        _look_ahead(
            ids,
            clocks,
            newest,
            self.lines[texts],
            self.gone[texts],
            v.tone,
            v.strikes,
            v.steps,
            v.pitch,
            v.start_word,
            v.wait_word,
            found,
        )
        return found

    @classmethod
    def matches(cls, voices, ids):
        """What the voices of a text may do after each of its words.

        Parameters
        ----------
        voices : Voices
        ids : int array (m,)

        Returns
        -------
        int64 array (m, VOICES, 4): the word that strikes the note that followed then, when it is time, or waits until then; -1 where none followed, its time is
        over or another note has taken its place, where the run is no shorter than its way back (what comes round and round), and for the lowest voice where the highest
        names the same word; the run's length in notes; 1 where it is in another key, or 0; and 1 where the word waits, or 0
        """
        memory = cls(voices, [np.zeros(0, dtype=np.int64)], np.zeros(1, dtype=np.int64))
        memory.lines = np.zeros((1, VOICES, FIELDS, len(ids) // 2 + 1), dtype=np.int32)
        return memory._go_on(np.asarray(ids)[None], slice(None))[0]

    @classmethod
    def runs(cls, voices, ids):
        """What each note of both voices of a text ends, int64 array (2, n): the longest run in notes, and 1 where that is in another key, or 0."""
        memory = cls(voices, [np.asarray(ids)], np.zeros(1, dtype=np.int64))
        return np.concatenate(
            [line[[LONGEST, ELSEWHERE], :n] for line, n in zip(memory.lines[0], memory.n_notes[0])], axis=1
        ).astype(np.int64)


FURTHEST = 2**13  # notes back
FIELDS = 8  # of each note:
TIME, TONE, RUN, SHIFT = range(
    4
)  # in steps; and of the run that ends with it as the voice ends now, its length in notes, in semitones
LONGEST, ELSEWHERE, AT, DUE = range(
    4, 8
)  # of the longest run that it ended itself, whether in another key; when another note is due, in steps, -1 for never, and its tone


@compiled(
    int64_2d,
    uint8_2d,
    uint8_1d,
    int64_1d,
    int32_4d,
    int64_2d,
    int64_1d,
    uint8_1d,
    int64_1d,
    int64_1d,
    int64_2d,
    int64_3d,
)
def _hear(ids, held, struck, clock, lines, n_notes, tones, strikes, steps, ascending, clocks, newest):
    """Find the notes of voices, as a step is over: their TIME and TONE. held: 1 of tones that sound, 2 of those struck in this step. After each word, into clocks
    (n, m) the steps gone, into newest (n, m, VOICES) how many notes each voice has."""
    for row in range(len(ids)):
        for at in range(ids.shape[1]):
            word = ids[row, at]
            if tones[word] >= 0:
                held[row, tones[word]] = 2 * strikes[word]
                struck[row] |= strikes[word]
            elif steps[word] and struck[row]:
                for voice in range(VOICES):
                    n, tone = n_notes[row, voice], 0
                    for i in range(len(ascending)):
                        tone = ascending[i if voice else len(ascending) - 1 - i]
                        if held[row, tone]:
                            break
                    if held[row, tone] == 2:
                        lines[row, voice, TIME, n], lines[row, voice, TONE, n] = clock[row], tone
                        n_notes[row, voice] = n + 1
                for tone in range(len(ascending)):
                    held[row, tone] = min(held[row, tone], 1)
                struck[row] = 0
            clock[row] += steps[word]
            clocks[row, at] = clock[row]
            newest[row, at] = n_notes[row]


@compiled(int32_4d, int64_2d, int64_2d, int64_1d, int64)
def _look_back(lines, before, n_notes, pitch, n_keys):
    """Find the runs that new notes end, and what is due by the longest: all other fields."""
    for row in range(len(lines)):
        for voice in range(VOICES):
            line = lines[row, voice]
            time, tones, run, shift = line[TIME], line[TONE], line[RUN], line[SHIFT]
            for n in range(before[row, voice], n_notes[row, voice]):
                best, place = 0, -1
                for i in range(n - 1, max(0, n - FURTHEST) - 1, -1):
                    by = pitch[tones[n]] - pitch[tones[i]]
                    goes_on = (
                        i > 0
                        and run[i - 1] > 0
                        and shift[i - 1] == by
                        and time[i] - time[i - 1] == time[n] - time[n - 1]
                    )
                    run[i] = run[i - 1] + 1 if goes_on else 1
                    shift[i] = by
                    if 2 * run[i] + (by == 0) > best:
                        best, place = 2 * run[i] + (by == 0), i
                line[LONGEST, n], line[ELSEWHERE, n], line[AT, n] = 0, 0, -1
                if place >= 0:
                    line[LONGEST, n], line[ELSEWHERE, n] = run[place], shift[place] != 0
                    there = tones[place + 1] + shift[place]
                    if run[place] < n - place and there // n_keys == tones[place + 1] // n_keys:
                        line[AT, n], line[DUE, n] = time[n] + time[place + 1] - time[place], there


@compiled(
    int64_2d,
    int64_2d,
    int64_3d,
    int32_4d,
    int64_2d,
    int64_1d,
    uint8_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_4d,
)
def _look_ahead(ids, clocks, newest, lines, gone, tones, strikes, steps, pitch, start_word, wait_word, found):
    """What is due, as words, into found (n, m, VOICES, 4). gone: how many notes a voice had when what was due then came, or another in its place."""
    for row in range(len(ids)):
        for at in range(ids.shape[1]):
            word = ids[row, at]
            for voice in range(VOICES):
                n, told = newest[row, at, voice], found[row, at, voice]
                if not n or gone[row, voice] == n:
                    continue
                line = lines[row, voice, :, n - 1]
                away = line[AT] - clocks[row, at]
                beyond = strikes[word] and (pitch[tones[word]] - pitch[line[DUE]]) * (1 - 2 * voice) >= 0
                if line[AT] < 0 or away < 0 or beyond:
                    gone[row, voice] = n
                    continue
                told[LENGTH], told[MOVED], told[WAITS] = line[LONGEST], line[ELSEWHERE], away > 0
                if away == 0:
                    told[NAMED] = start_word[line[DUE]]
                elif not steps[word] and away < len(wait_word):
                    told[NAMED] = wait_word[away]
                if voice and told[NAMED] == found[row, at, 0, NAMED]:
                    told[NAMED] = -1
