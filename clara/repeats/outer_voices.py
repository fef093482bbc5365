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
from clara.repeats.voice_kernels import (
    IS_WAIT,
    LENGTH,
    N_FIELDS,
    N_VOICES,
    REPEAT_LENGTH,
    REPEAT_TRANSPOSED,
    TOKEN,
    TRANSPOSED,
    collect_notes,
    find_runs,
    name_due_tokens,
)

__all__ = [
    "IS_WAIT",
    "LENGTH",
    "N_VOICES",
    "TOKEN",
    "TRANSPOSED",
    "VoiceRepeatFinder",
    "VoiceTokens",
    "find_voice_repeats",
    "find_voice_runs",
]
INITIAL_ROOM = 256  # notes that a voice can grow by before its arrays are enlarged


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
        collect_notes(
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
        find_runs(
            self.notes[texts], n_notes_before, self.n_notes[texts], self.voice_tokens.pitch, self.voice_tokens.n_keys
        )
        name_due_tokens(
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
        waits, else 0. The candidate is -1 if no note is due, or if the due note has come or been replaced by another.
        For the lowest voice it is also -1 if the highest has the same candidate. A repeat that overlaps the earlier
        passage makes no note due.
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
