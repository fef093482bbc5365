"""Find where an outer voice of a text repeats an earlier passage, in the same key or transposed.

A melody may return over another accompaniment, or step by step as a sequence. The tokens between its notes differ then,
and `clara.repeats.finder` finds no run. So the highest and the lowest voice are each followed as a line of notes: those
that start while no note beyond them sounds. The longest run of notes with the intervals and time gaps of an earlier one
is the voice's *repeat*. The note that followed the earlier passage, transposed by as much, is due at its time. Among
runs of equal length, one in the same key comes first, then the latest.

A *tone* is the number of a key of an instrument: see `pitch_and_part` of the encoding.
"""

import numpy as np

from clara.encodings.base import Encoding
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab
from clara.jit import compiled, int32_4d, int64, int64_1d, int64_2d, int64_3d, int64_4d, uint8_1d, uint8_2d

N_VOICES = 2  # the highest, the lowest
TOKEN, LENGTH, TRANSPOSED, IS_WAIT = range(4)  # columns of a voice's repeat, see `find_voice_repeats`
INITIAL_ROOM = 256  # notes that a voice can grow by before its arrays are enlarged
MAX_LOOKBACK = 2**13  # notes

N_FIELDS = 8  # numbers kept of each note of a voice:
TIME, TONE = 0, 1  # start in steps, and tone
RUN_LENGTH, RUN_SHIFT = 2, 3  # of the run that ends here and equals the end of the voice now: notes, semitones
REPEAT_LENGTH, REPEAT_TRANSPOSED = 4, 5  # of the longest repeat when this note was the newest; 0 notes if none
DUE_TIME, DUE_TONE = 6, 7  # of the note that this repeat makes due; time -1 if there is none


class VoiceTokens:
    """What the tokens of a notewise vocabulary do to voices.

    Parameters
    ----------
    vocab : Vocab
    encoding : Notewise
        Or an encoding derived from it.

    Attributes
    ----------
    tone : int64 array (vocab_sz,)
        Tone that a token starts or ends; -1 for other tokens.
    is_start : uint8 array (vocab_sz,)
        1 for tokens that start a note.
    steps : int64 array (vocab_sz,)
        Steps that a token waits; 0 for other tokens.
    pitch : int64 array (n_tones,)
        MIDI number of each tone.
    ascending : int64 array (n_tones,)
        Tones from low to high.
    start_token : int64 array (n_tones,)
        Id of the token that starts each tone.
    wait_token : int64 array (longest wait + 1,)
        Id of the token that waits so many steps; -1 for 0 steps.
    n_keys : int
        Number of tones of each part; those of one part are consecutive.
    """

    def __init__(self, vocab: Vocab, encoding: Notewise):
        n_tones = encoding.n_tones
        ids = np.array([vocab.id_of[token] for token in encoding.tokens])
        end_token, self.start_token, wait_token = np.split(ids, (n_tones, 2 * n_tones))
        self.wait_token = np.r_[-1, wait_token]
        self.tone = np.full(len(vocab), -1)
        self.tone[end_token] = self.tone[self.start_token] = np.arange(n_tones)
        self.steps = np.zeros(len(vocab), dtype=np.int64)
        self.steps[wait_token] = np.arange(1, encoding.longest_wait + 1)
        self.is_start = np.zeros(len(vocab), dtype=np.uint8)
        self.is_start[self.start_token] = 1
        self.pitch = encoding.pitch_and_part(np.arange(n_tones))[0]
        self.ascending = np.argsort(self.pitch, kind="stable")
        self.n_keys = encoding.n_keys

    @classmethod
    def from_encoding(cls, vocab: Vocab, encoding: Encoding) -> "VoiceTokens | None":
        """Return the table for a vocabulary, or None if its encoding has no tokens that start and end notes."""
        return cls(vocab, encoding) if isinstance(encoding, Notewise) else None


class VoiceRepeatFinder:
    """The repeats of the outer voices of texts that are written side by side, token by token.

    Parameters
    ----------
    voice_tokens : VoiceTokens
    pasts : list of int arrays
        Token ids of the texts so far.
    rows : int64 array (n,)
        For each of the n texts to write, which of `pasts` it continues.

    Attributes
    ----------
    repeats : int64 array (n, N_VOICES, 4)
        The repeat of each voice at the newest token of each text, with columns as in `find_voice_repeats`.
    """

    def __init__(self, voice_tokens: VoiceTokens, pasts: list[np.ndarray], rows: np.ndarray):
        n = len(pasts)
        room = max(map(len, pasts)) // 2 + INITIAL_ROOM  # a note takes one token, and one to wait
        self.voice_tokens = voice_tokens
        self.sounding = np.zeros((n, len(voice_tokens.pitch)), dtype=np.uint8)  # 1: sounds, 2: started in this step
        self.any_started = np.zeros(n, dtype=np.uint8)  # whether a note started in this step
        self.clock = np.zeros(n, dtype=np.int64)  # steps so far
        self.notes = np.zeros((n, N_VOICES, N_FIELDS, room), dtype=np.int32)
        self.n_notes = np.zeros((n, N_VOICES), dtype=np.int64)
        self.settled = np.zeros((n, N_VOICES), dtype=np.int64)  # notes of a voice when its due note was settled
        self.repeats = np.full((n, N_VOICES, 4), -1, dtype=np.int64)
        for i, past in enumerate(pasts):
            if len(past):
                self.repeats[i] = self._append(np.asarray(past)[None], slice(i, i + 1))[0, -1]
        self.take(rows)

    def append(self, ids: np.ndarray) -> None:
        """Append one token to each text: int64 array (n,)."""
        if self.n_notes.max(initial=0) == self.notes.shape[3]:
            more = np.zeros((*self.notes.shape[:3], INITIAL_ROOM), dtype=np.int32)
            self.notes = np.concatenate([self.notes, more], axis=3)
        self.repeats = self._append(ids[:, None], slice(None))[:, 0]

    def take(self, rows: np.ndarray) -> None:
        """Keep only the texts `rows`, an int64 array that may name a text more than once."""
        self.sounding, self.any_started, self.clock = self.sounding[rows], self.any_started[rows], self.clock[rows]
        self.notes, self.n_notes = self.notes[rows], self.n_notes[rows]
        self.settled, self.repeats = self.settled[rows], self.repeats[rows]

    def _append(self, ids, texts):
        """Append ids (n, m) to the texts of a slice; return repeats after each token, int64 (n, m, N_VOICES, 4)."""
        ids = np.ascontiguousarray(ids, dtype=np.int64)
        clock_after = np.zeros(ids.shape, dtype=np.int64)
        n_notes_after = np.zeros((*ids.shape, N_VOICES), dtype=np.int64)
        n_notes_before = self.n_notes[texts].copy()
        repeats = np.full((*ids.shape, N_VOICES, 4), -1, dtype=np.int64)
        _collect_notes(
            ids,
            self.sounding[texts],
            self.any_started[texts],
            self.clock[texts],
            self.notes[texts],
            self.n_notes[texts],
            self.voice_tokens.tone,
            self.voice_tokens.is_start,
            self.voice_tokens.steps,
            self.voice_tokens.ascending,
            clock_after,
            n_notes_after,
        )
        _find_runs(
            self.notes[texts], n_notes_before, self.n_notes[texts], self.voice_tokens.pitch, self.voice_tokens.n_keys
        )
        _name_due_tokens(
            ids,
            clock_after,
            n_notes_after,
            self.notes[texts],
            self.settled[texts],
            self.voice_tokens.tone,
            self.voice_tokens.is_start,
            self.voice_tokens.steps,
            self.voice_tokens.pitch,
            self.voice_tokens.start_token,
            self.voice_tokens.wait_token,
            repeats,
        )
        return repeats


def find_voice_repeats(voice_tokens: VoiceTokens, ids: np.ndarray) -> np.ndarray:
    """Return the repeat of each outer voice at each token of a text.

    Parameters
    ----------
    voice_tokens : VoiceTokens
    ids : int array (m,)

    Returns
    -------
    int64 array (m, N_VOICES, 4)
        Columns: `TOKEN`, the candidate for the next token, which starts the due note or waits for it; `LENGTH` of the
        repeat in notes; `TRANSPOSED`, 1 if the earlier passage is in another key, else 0; `IS_WAIT`, 1 if the candidate
        waits, else 0. The candidate is -1 if no note is due, if it has come or another note has taken its place, and
        for the lowest voice if the highest has the same candidate. No note is due if the repeat overlaps the earlier
        passage.
    """
    finder = VoiceRepeatFinder(voice_tokens, [np.zeros(0, dtype=np.int64)], np.zeros(1, dtype=np.int64))
    finder.notes = np.zeros((1, N_VOICES, N_FIELDS, len(ids) // 2 + 1), dtype=np.int32)
    return finder._append(np.asarray(ids)[None], slice(None))[0]


def find_voice_runs(voice_tokens: VoiceTokens, ids: np.ndarray) -> np.ndarray:
    """Return the longest repeat at each note of both outer voices of a text.

    Returns
    -------
    int64 array (2, n)
        Length of the repeat in notes, and 1 if the earlier passage is in another key, else 0.
    """
    finder = VoiceRepeatFinder(voice_tokens, [np.asarray(ids)], np.zeros(1, dtype=np.int64))
    runs = [
        notes[[REPEAT_LENGTH, REPEAT_TRANSPOSED], :n_notes]
        for notes, n_notes in zip(finder.notes[0], finder.n_notes[0])
    ]
    return np.concatenate(runs, axis=1).astype(np.int64)


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
def _collect_notes(
    ids, sounding, any_started, clock, notes, n_notes, tone_of, is_start, steps, ascending, clock_after, n_notes_after
):
    """Add the notes of both voices, with `TIME` and `TONE`, whenever a step is over.

    Writes the steps so far after each token into clock_after (n, m), and the number of notes of each voice into
    n_notes_after (n, m, N_VOICES).
    """
    for row in range(len(ids)):
        for k in range(ids.shape[1]):
            token = ids[row, k]
            if tone_of[token] >= 0:
                sounding[row, tone_of[token]] = 2 * is_start[token]
                any_started[row] |= is_start[token]
            elif steps[token] and any_started[row]:
                for voice in range(N_VOICES):
                    n, tone = n_notes[row, voice], 0
                    for i in range(len(ascending)):
                        tone = ascending[i if voice else len(ascending) - 1 - i]
                        if sounding[row, tone]:
                            break
                    if sounding[row, tone] == 2:
                        notes[row, voice, TIME, n], notes[row, voice, TONE, n] = clock[row], tone
                        n_notes[row, voice] = n + 1
                for tone in range(len(ascending)):
                    sounding[row, tone] = min(sounding[row, tone], 1)
                any_started[row] = 0
            clock[row] += steps[token]
            clock_after[row, k] = clock[row]
            n_notes_after[row, k] = n_notes[row]


@compiled(int32_4d, int64_2d, int64_2d, int64_1d, int64)
def _find_runs(notes, n_notes_before, n_notes, pitch, n_keys):
    """Find the runs that new notes end, and the note that the longest makes due: fill all other fields."""
    for row in range(len(notes)):
        for voice in range(N_VOICES):
            voice_notes = notes[row, voice]
            time, tone = voice_notes[TIME], voice_notes[TONE]
            length, shift = voice_notes[RUN_LENGTH], voice_notes[RUN_SHIFT]
            for n in range(n_notes_before[row, voice], n_notes[row, voice]):
                best_score, best = 0, -1
                for i in range(n - 1, max(0, n - MAX_LOOKBACK) - 1, -1):
                    interval = pitch[tone[n]] - pitch[tone[i]]
                    continues = (
                        i > 0
                        and length[i - 1] > 0
                        and shift[i - 1] == interval
                        and time[i] - time[i - 1] == time[n] - time[n - 1]
                    )
                    length[i] = length[i - 1] + 1 if continues else 1
                    shift[i] = interval
                    score = 2 * length[i] + (interval == 0)
                    if score > best_score:
                        best_score, best = score, i
                voice_notes[REPEAT_LENGTH, n], voice_notes[REPEAT_TRANSPOSED, n] = 0, 0
                voice_notes[DUE_TIME, n] = -1
                if best >= 0:
                    voice_notes[REPEAT_LENGTH, n], voice_notes[REPEAT_TRANSPOSED, n] = length[best], shift[best] != 0
                    due_tone = tone[best + 1] + shift[best]
                    same_part = due_tone // n_keys == tone[best + 1] // n_keys
                    if length[best] < n - best and same_part:
                        voice_notes[DUE_TIME, n] = time[n] + time[best + 1] - time[best]
                        voice_notes[DUE_TONE, n] = due_tone


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
def _name_due_tokens(
    ids,
    clock_after,
    n_notes_after,
    notes,
    settled,
    tone_of,
    is_start,
    steps,
    pitch,
    start_token,
    wait_token,
    repeats,
):
    """Write the candidates for the next token into repeats (n, m, N_VOICES, 4).

    settled[row, voice] is the number of notes that a voice had when its due note came, was late, or was replaced by
    another note at or beyond it.
    """
    for row in range(len(ids)):
        for k in range(ids.shape[1]):
            token = ids[row, k]
            for voice in range(N_VOICES):
                n, repeat = n_notes_after[row, k, voice], repeats[row, k, voice]
                if not n or settled[row, voice] == n:
                    continue
                newest = notes[row, voice, :, n - 1]
                due_tone = newest[DUE_TONE]
                steps_left = newest[DUE_TIME] - clock_after[row, k]
                direction = 1 - 2 * voice  # outward: up for the highest voice, down for the lowest
                at_or_beyond = is_start[token] and (pitch[tone_of[token]] - pitch[due_tone]) * direction >= 0
                if newest[DUE_TIME] < 0 or steps_left < 0 or at_or_beyond:
                    settled[row, voice] = n
                    continue
                repeat[LENGTH], repeat[TRANSPOSED] = newest[REPEAT_LENGTH], newest[REPEAT_TRANSPOSED]
                repeat[IS_WAIT] = steps_left > 0
                if steps_left == 0:
                    repeat[TOKEN] = start_token[due_tone]
                elif not steps[token] and steps_left < len(wait_token):
                    repeat[TOKEN] = wait_token[steps_left]
                if voice and repeat[TOKEN] == repeats[row, k, 0, TOKEN]:
                    repeat[TOKEN] = -1
