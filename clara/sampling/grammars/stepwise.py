"""The grammars of melodywise and framewise text."""

import numpy as np

from clara.jit import compiled, int64, int64_1d, int64_1d_readonly, int64_2d, uint8_1d, uint8_2d
from clara.sampling.grammars.base import Grammar


class MelodywiseGrammar(Grammar):
    """The grammar of melodywise text.

    No token lasts longer than the time that is left, and no rest follows a rest. The model chooses the beat strength
    of each note, because the time signature of what it composes is its own. A text ends when its steps are used up or
    no token is short enough.
    """

    def __init__(self, encoding, vocab, constraints=None):
        super().__init__(encoding, vocab, constraints)
        self.token_steps = np.zeros(len(vocab), dtype=np.int64)
        self.is_rest = np.zeros(len(vocab), dtype=bool)
        for token, i in vocab.id_of.items():
            if not token.startswith("xx"):
                tone, _, self.token_steps[i] = encoding.parse_token(token)
                self.is_rest[i] = tone < 0
        max_steps = np.where(self.is_rest, self.max_rest_steps, self.max_note_steps)
        self.usable = (self.token_steps > 0) & (self.token_steps <= max_steps) & (self.permitted > 0)

    def start(self, bs, n_steps):
        """Return the state of `bs` empty texts."""
        return {"after_rest": np.zeros(bs, dtype=bool), "steps_left": np.full(bs, n_steps)}

    def allowed(self, state):
        """Return which tokens may come next."""
        is_short_enough = self.token_steps <= state["steps_left"][:, None]
        is_second_rest = state["after_rest"][:, None] & self.is_rest
        allowed = self.usable & is_short_enough & ~is_second_rest
        allowed[:, self.eos] = ~allowed.any(1)
        return allowed.view(np.uint8)

    def update(self, state, ids):
        """Update the state with one more token per text."""
        state["after_rest"] = self.is_rest[ids]
        state["steps_left"] -= self.token_steps[ids]
        return state


class FramewiseGrammar(Grammar):
    """The grammar of framewise text.

    A frame lists its keys in ascending order, those of the solo instrument first. A text ends when its frames are used
    up. The constraints limit how long notes and rests last.
    """

    def __init__(self, encoding, vocab, constraints=None):
        super().__init__(encoding, vocab, constraints)
        self.ids = np.array([vocab.id_of[token] for token in encoding.tokens])  # the tones, then the end of a frame
        self.tone_of = np.full(len(vocab), -1)  # by token id; -1 for tokens that are no tone
        self.tone_of[self.ids[:-1]] = np.arange(self.n_tones)

    def start(self, bs, n_steps):
        """Return the state of `bs` empty texts."""
        return {
            "sounding_frames": np.zeros((bs, self.n_tones), dtype=np.int64),  # how long each tone has sounded
            "in_frame": np.zeros((bs, self.n_tones), dtype=np.uint8),  # whether the current frame holds each tone
            "last_tone": np.full(bs, -1),  # of the current frame; -1 if it is empty
            "rest_frames": np.zeros(bs, dtype=np.int64),  # in a row
            "steps_left": np.full(bs, n_steps),
        }

    def allowed(self, state):
        """Return which tokens may come next."""
        allowed = np.zeros((len(state["steps_left"]), self.vocab_sz), dtype=np.uint8)
        _allow(
            state["sounding_frames"],
            state["in_frame"],
            state["last_tone"],
            state["rest_frames"],
            state["steps_left"],
            self.ids,
            self.permitted,
            self.eos,
            self.max_note_steps,
            self.max_rest_steps,
            self.max_notes,
            allowed,
        )
        return allowed

    def update(self, state, ids):
        """Update the state with one more token per text."""
        _update(
            ids,
            self.tone_of,
            int(self.ids[-1]),
            state["sounding_frames"],
            state["in_frame"],
            state["last_tone"],
            state["rest_frames"],
            state["steps_left"],
        )
        return state


@compiled(
    int64_2d,
    uint8_2d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_1d_readonly,
    uint8_1d,
    int64,
    int64,
    int64,
    int64,
    uint8_2d,
)
def _allow(
    sounding_frames,
    in_frame,
    last_tone,
    rest_frames,
    steps_left,
    ids,
    permitted,
    eos,
    max_note_steps,
    max_rest_steps,
    max_notes,
    allowed,
):
    """Set allowed to 1 for the tokens that may follow each text."""
    n_tones = sounding_frames.shape[1]
    for row in range(len(steps_left)):
        if steps_left[row] <= 0:
            allowed[row, eos] = 1
            continue
        n_in_frame = 0
        for tone in range(n_tones):
            n_in_frame += in_frame[row, tone]
        n_allowed = 0
        if n_in_frame < max_notes:
            for tone in range(last_tone[row] + 1, n_tones):
                token = ids[tone]
                allowed[row, token] = sounding_frames[row, tone] < max_note_steps and permitted[token]
                n_allowed += allowed[row, token]
        end_of_frame = ids[n_tones]
        allowed[row, end_of_frame] = last_tone[row] >= 0 or rest_frames[row] < max_rest_steps or n_allowed == 0


@compiled(int64_1d_readonly, int64_1d_readonly, int64, int64_2d, uint8_2d, int64_1d, int64_1d, int64_1d)
def _update(ids, tone_of, end_of_frame, sounding_frames, in_frame, last_tone, rest_frames, steps_left):
    """Update the state with one more token per text."""
    for row in range(len(ids)):
        tone = tone_of[ids[row]]
        if tone >= 0:
            in_frame[row, tone] = 1
            last_tone[row] = max(last_tone[row], tone)
        if ids[row] == end_of_frame:
            is_rest = True
            for t in range(sounding_frames.shape[1]):
                sounding_frames[row, t] = sounding_frames[row, t] + 1 if in_frame[row, t] else 0
                is_rest = is_rest and not in_frame[row, t]
                in_frame[row, t] = 0
            rest_frames[row] = rest_frames[row] + 1 if is_rest else 0
            last_tone[row] = -1
            steps_left[row] -= 1
