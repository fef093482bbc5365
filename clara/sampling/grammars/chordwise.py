"""The grammar of chordwise text, with and without holds."""

import numpy as np

from clara.encodings.chordwise import MAX_RECENT_NOTES, RECENT_STEPS, REST, RESTS
from clara.jit import compiled, int64, int64_1d, int64_1d_readonly, int64_2d, uint8_1d, uint8_2d
from clara.sampling.grammars.base import Grammar, to_padded_table


class ChordwiseGrammar(Grammar):
    """The grammar of chordwise text.

    Any chord may start. Of the rest tokens, only the one with the true number of notes in the last ten steps may come.
    With holds, a chord may hold only tones that sound. A text ends when its steps are used up. The constraints limit
    how long notes and rests last.
    """

    def __init__(self, encoding, vocab, constraints=None):
        super().__init__(encoding, vocab, constraints)
        # Without holds, rest tokens become silence only when the last chord has sounded for its longest duration.
        self.max_rest_tokens = self.max_rest_steps + (0 if encoding.holds else encoding.max_note_steps)
        self.rest_ids = np.array([vocab.id_of[token] for token in RESTS])
        is_chord = [not token.startswith(("xx", REST)) for token in vocab.tokens]
        held_tones = [
            _held_tones(encoding, token) if token_is_chord else []
            for token, token_is_chord in zip(vocab.tokens, is_chord)
        ]
        self.is_chord = np.array(is_chord, dtype=np.uint8)
        self.onset_table = to_padded_table(self.onset_tones)
        self.hold_table = to_padded_table(held_tones)
        n_sounding = np.array([len(onsets) + len(holds) for onsets, holds in zip(self.onset_tones, held_tones)])
        self.permitted = self.permitted * self.is_chord * (n_sounding <= self.max_notes).astype(np.uint8)

    def start(self, bs, n_steps):
        """Return the state of `bs` empty texts."""
        return {
            "sounding_steps": np.zeros((bs, self.n_tones), dtype=np.int64),  # how long each tone has sounded
            "recent_onsets": np.zeros((bs, RECENT_STEPS), dtype=np.int64),  # notes started in each of the last steps
            "rest_tokens": np.zeros(bs, dtype=np.int64),  # in a row
            "steps_left": np.full(bs, n_steps),
        }

    def allowed(self, state):
        """Return which tokens may come next."""
        allowed = np.zeros((len(state["steps_left"]), self.vocab_sz), dtype=np.uint8)
        _allow(
            state["sounding_steps"],
            state["recent_onsets"],
            state["rest_tokens"],
            state["steps_left"],
            self.permitted,
            self.hold_table,
            self.rest_ids,
            self.eos,
            self.max_note_steps,
            self.max_rest_tokens,
            MAX_RECENT_NOTES,
            allowed,
        )
        return allowed

    def update(self, state, ids):
        """Update the state with one more token per text."""
        _update(
            ids,
            self.onset_table,
            self.hold_table,
            self.is_chord,
            self.eos,
            state["sounding_steps"],
            state["recent_onsets"],
            state["rest_tokens"],
            state["steps_left"],
        )
        return state


def _held_tones(encoding, chord):
    """Return the tones that a chord holds from the step before."""
    return [code - encoding.n_tones for code in encoding.mark_codes(chord) if code >= encoding.n_tones]


@compiled(
    int64_2d,
    int64_2d,
    int64_1d,
    int64_1d,
    uint8_1d,
    int64_2d,
    int64_1d_readonly,
    int64,
    int64,
    int64,
    int64,
    uint8_2d,
)
def _allow(
    sounding_steps,
    recent_onsets,
    rest_tokens,
    steps_left,
    permitted,
    hold_table,
    rest_ids,
    eos,
    max_note_steps,
    max_rest_tokens,
    max_recent,
    allowed,
):
    """Set allowed to 1 for the tokens that may follow each text."""
    for row in range(len(steps_left)):
        if steps_left[row] <= 0:
            allowed[row, eos] = 1
            continue

        n_chords = 0
        for token in range(allowed.shape[1]):
            token_is_allowed = permitted[token]
            for i in range(1, hold_table[token, 0] + 1):
                sounded = sounding_steps[row, hold_table[token, i]]
                if sounded == 0 or sounded >= max_note_steps:
                    token_is_allowed = 0
            allowed[row, token] = token_is_allowed
            n_chords += token_is_allowed

        n_recent = 0
        for step in range(recent_onsets.shape[1]):
            n_recent += recent_onsets[row, step]
        rest = rest_ids[min(n_recent, max_recent)]
        allowed[row, rest] = rest_tokens[row] < max_rest_tokens or n_chords == 0


@compiled(int64_1d_readonly, int64_2d, int64_2d, uint8_1d, int64, int64_2d, int64_2d, int64_1d, int64_1d)
def _update(ids, onset_table, hold_table, is_chord, eos, sounding_steps, recent_onsets, rest_tokens, steps_left):
    """Update the state with one more token per text."""
    for row in range(len(ids)):
        token = ids[row]
        # Mark all tones as ended by a negative count, then restore the held tones.
        for tone in range(sounding_steps.shape[1]):
            sounding_steps[row, tone] = -sounding_steps[row, tone]
        for i in range(1, hold_table[token, 0] + 1):
            tone = hold_table[token, i]
            sounding_steps[row, tone] = 1 - sounding_steps[row, tone]
        for i in range(1, onset_table[token, 0] + 1):
            sounding_steps[row, onset_table[token, i]] = 1
        for tone in range(sounding_steps.shape[1]):
            sounding_steps[row, tone] = max(sounding_steps[row, tone], 0)

        for step in range(recent_onsets.shape[1] - 1):
            recent_onsets[row, step] = recent_onsets[row, step + 1]
        recent_onsets[row, recent_onsets.shape[1] - 1] = onset_table[token, 0]
        is_step = token != eos
        rest_tokens[row] = 0 if is_chord[token] else rest_tokens[row] + is_step
        steps_left[row] -= is_step
