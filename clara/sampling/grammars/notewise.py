"""The grammar of notewise text and of its variants with several parts.

Within a grid step the tokens have a fixed order: ends of notes, then starts, each by ascending tone. The *slot* of
a token is its position in this order: tone for an end, n_tones + tone for a start. Waits and control tokens have none.
"""

import numpy as np

from clara.jit import compiled, float32_2d, int64, int64_1d, int64_1d_readonly, int64_2d, uint8_1d, uint8_2d
from clara.sampling.grammars.base import Grammar

NO_SLOT = -1


class NotewiseGrammar(Grammar):
    """The grammar of notewise text.

    A key ends only while it sounds and starts only while it does not. A step holds its tokens in the order of their
    slots. Of several waits in a row, all but the last are the longest wait. A text ends when its steps are used up and
    all notes are released. The constraints limit how long notes and rests last.

    With a fixed melody, the tokens of the melody are forced: no other token may come later than the next of them in
    the order of slots, and no wait goes past it. The probability of everything that would go past it is added to the
    probability of the melody's token (see `adjust_logits`), so the choice between accompaniment and melody stays the
    model's. All other tokens belong to the accompaniment.

    Parameters
    ----------
    encoding : Encoding
    vocab : Vocab
    constraints : Constraints, optional
    fixed_melody : NoteSequence, optional
        It starts where the texts start, and every text holds it.
    """

    def __init__(self, encoding, vocab, constraints=None, fixed_melody=None):
        super().__init__(encoding, vocab, constraints)
        self.melody_steps, self.melody_slots = self._melody_events(encoding, fixed_melody)
        self.ids = np.array([vocab.id_of[token] for token in encoding.tokens])  # ends, starts, waits
        self.longest_wait = encoding.longest_wait
        n_slots = 2 * self.n_tones
        self.slot_of = np.full(len(vocab), NO_SLOT)  # by token id
        self.slot_of[self.ids[:n_slots]] = np.arange(n_slots)
        self.wait_steps = np.zeros(len(vocab), dtype=np.int64)  # by token id; 0 for tokens that are no wait
        self.wait_steps[self.ids[n_slots:]] = np.arange(1, self.longest_wait + 1)

    def _melody_events(self, encoding, fixed_melody):
        """Return the steps and slots of the melody's tokens in the order of the text, int64 (2 * n_notes,) each."""
        if not fixed_melody:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        tones = encoding.to_tones(fixed_melody)
        steps = np.concatenate([fixed_melody.end, fixed_melody.start])
        slots = np.concatenate([tones, tones + self.n_tones])
        order = np.lexsort((slots, steps))
        return tuple(np.ascontiguousarray(column[order], dtype=np.int64) for column in (steps, slots))

    def start(self, bs, n_steps):
        """Return the state of `bs` empty texts."""
        return {
            "sounding": np.zeros((bs, self.n_tones), dtype=np.uint8),
            "sounding_steps": np.zeros((bs, self.n_tones), dtype=np.int64),  # how long each tone has sounded
            "slot": np.full(bs, NO_SLOT),  # of the last token
            "after_short_wait": np.zeros(bs, dtype=np.uint8),  # whether the last token was a wait below the longest
            "rest_steps": np.zeros(bs, dtype=np.int64),  # since a note sounded
            "steps_left": np.full(bs, n_steps),
            "steps_passed": np.zeros(bs, dtype=np.int64),
            "melody_written": np.zeros(bs, dtype=np.int64),  # how many tokens of the fixed melody are written
            "is_melody": np.zeros((bs, self.n_tones), dtype=np.uint8),  # whether each tone sounds as the melody's
        }

    def allowed(self, state):
        """Return which tokens may come next."""
        allowed = np.zeros((len(state["steps_left"]), self.vocab_sz), dtype=np.uint8)
        _allow(
            state["sounding"],
            state["sounding_steps"],
            state["slot"],
            state["after_short_wait"],
            state["rest_steps"],
            state["steps_left"],
            self.ids,
            self.permitted,
            self.eos,
            self.max_note_steps,
            self.max_rest_steps,
            self.max_notes,
            self.longest_wait,
            allowed,
        )
        return allowed

    def adjust_logits(self, logits, allowed, state):
        """Force the fixed melody, in place.

        Tokens that would go past the melody's next token are no longer allowed, and that token takes over their
        probability.

        Parameters
        ----------
        logits : float32 array (n, vocab_sz)
        allowed : uint8 array (n, vocab_sz)
            From `allowed`.
        state : dict
        """
        if len(self.melody_steps):
            _force_melody(
                logits,
                allowed,
                state["sounding"],
                state["is_melody"],
                state["sounding_steps"],
                state["slot"],
                state["steps_left"],
                state["steps_passed"],
                state["melody_written"],
                self.melody_steps,
                self.melody_slots,
                self.ids,
                self.slot_of,
                self.wait_steps,
                self.eos,
                self.max_note_steps,
            )

    def update(self, state, ids):
        """Update the state with one more token per text."""
        _update(
            ids,
            self.slot_of,
            self.wait_steps,
            self.longest_wait,
            state["sounding"],
            state["sounding_steps"],
            state["slot"],
            state["after_short_wait"],
            state["rest_steps"],
            state["steps_left"],
            state["steps_passed"],
            state["melody_written"],
            state["is_melody"],
            self.melody_steps,
            self.melody_slots,
        )
        return state


@compiled(
    uint8_2d,
    int64_2d,
    int64_1d,
    uint8_1d,
    int64_1d,
    int64_1d,
    int64_1d_readonly,
    uint8_1d,
    int64,
    int64,
    int64,
    int64,
    int64,
    uint8_2d,
)
def _allow(
    sounding,
    sounding_steps,
    slot,
    after_short_wait,
    rest_steps,
    steps_left,
    ids,
    permitted,
    eos,
    max_note_steps,
    max_rest_steps,
    max_notes,
    longest_wait,
    allowed,
):
    """Set allowed to 1 for the tokens that may follow each text."""
    n_tones = sounding.shape[1]
    for row in range(len(steps_left)):
        is_over = steps_left[row] <= 0
        # Notes that must end at once: at the end of the text all notes, else the notes that have sounded too long.
        n_sounding, longest_sounding, lowest_due = 0, 0, -1
        for tone in range(n_tones):
            if sounding[row, tone]:
                n_sounding += 1
                longest_sounding = max(longest_sounding, sounding_steps[row, tone])
                if lowest_due < 0 and (is_over or sounding_steps[row, tone] >= max_note_steps):
                    lowest_due = tone

        # Ends: of any note that sounds, up to the lowest that is due.
        for tone in range(slot[row] + 1, n_tones if lowest_due < 0 else lowest_due + 1):
            allowed[row, ids[tone]] = sounding[row, tone]
        if lowest_due >= 0:
            continue
        if is_over:
            allowed[row, eos] = n_sounding == 0
            continue

        # Starts.
        if n_sounding < max_notes:
            for tone in range(max(0, slot[row] + 1 - n_tones), n_tones):
                token = ids[n_tones + tone]
                allowed[row, token] = not sounding[row, tone] and permitted[token]

        # Waits: until the text ends, a note has sounded too long or a rest has lasted too long.
        max_wait = min(steps_left[row], max_note_steps - longest_sounding)
        if n_sounding == 0:
            max_wait = min(max_wait, max_rest_steps - rest_steps[row])
        if not after_short_wait[row]:
            for wait in range(min(max_wait, longest_wait)):
                allowed[row, ids[2 * n_tones + wait]] = 1


@compiled(
    int64_1d_readonly,
    int64_1d_readonly,
    int64_1d_readonly,
    int64,
    uint8_2d,
    int64_2d,
    int64_1d,
    uint8_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    uint8_2d,
    int64_1d,
    int64_1d,
)
def _update(
    ids,
    slot_of,
    wait_steps,
    longest_wait,
    sounding,
    sounding_steps,
    slot,
    after_short_wait,
    rest_steps,
    steps_left,
    steps_passed,
    melody_written,
    is_melody,
    melody_steps,
    melody_slots,
):
    """Update the state with one more token per text."""
    n_tones = sounding.shape[1]
    for row in range(len(ids)):
        new_slot, steps = slot_of[ids[row]], wait_steps[ids[row]]
        if new_slot >= 0:
            tone, is_start = new_slot % n_tones, new_slot >= n_tones
            sounding[row, tone] = is_start
            sounding_steps[row, tone] = 0
            rest_steps[row] = 0
            is_melody[row, tone] = 0
            event = melody_written[row]
            if (
                event < len(melody_steps)
                and melody_steps[event] == steps_passed[row]
                and melody_slots[event] == new_slot
            ):
                is_melody[row, tone] = is_start
                melody_written[row] += 1
        if steps > 0:
            is_rest = True
            for tone in range(n_tones):
                if sounding[row, tone]:
                    # The notes of a fixed melody may be longer than the limit: their time is not counted.
                    sounding_steps[row, tone] += 0 if is_melody[row, tone] else steps
                    is_rest = False
            rest_steps[row] = rest_steps[row] + steps if is_rest else 0
        slot[row] = new_slot
        after_short_wait[row] = 0 < steps < longest_wait
        steps_left[row] -= steps
        steps_passed[row] += steps


@compiled(
    float32_2d,
    uint8_2d,
    uint8_2d,
    uint8_2d,
    int64_2d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_1d,
    int64_1d_readonly,
    int64_1d_readonly,
    int64_1d_readonly,
    int64,
    int64,
)
def _force_melody(
    logits,
    allowed,
    sounding,
    is_melody,
    sounding_steps,
    slot,
    steps_left,
    steps_passed,
    melody_written,
    melody_steps,
    melody_slots,
    ids,
    slot_of,
    wait_steps,
    eos,
    max_note_steps,
):
    """Do the work of `NotewiseGrammar.adjust_logits`."""
    n_tones = sounding.shape[1]
    n_slots = 2 * n_tones
    for row in range(len(steps_passed)):
        # Only the melody ends its own notes. Of the others, find the lowest that must end at once.
        lowest_due = -1
        for tone in range(n_tones):
            if is_melody[row, tone]:
                allowed[row, ids[tone]] = 0
            elif (
                lowest_due < 0
                and sounding[row, tone]
                and (steps_left[row] <= 0 or sounding_steps[row, tone] >= max_note_steps)
            ):
                lowest_due = tone

        # The slot that must be written next in this step, n_slots if there is none.
        next_slot = n_slots
        event = melody_written[row]
        while event < len(melody_steps) and melody_steps[event] == steps_passed[row]:
            next_slot = min(next_slot, melody_slots[event])
            started_tone = melody_slots[event] - n_tones
            if (
                started_tone >= 0
                and sounding[row, started_tone]
                and not is_melody[row, started_tone]
                and started_tone > slot[row]
            ):
                next_slot = min(next_slot, started_tone)  # end the accompaniment's note where the melody starts its own
            event += 1
        if 0 <= lowest_due < next_slot < n_slots:
            continue

        if next_slot < n_slots:
            # Forbid all tokens after the slot, and give their probability to the slot's token.
            token = ids[next_slot]
            probability = np.exp(np.float64(logits[row, token]))
            for other in range(allowed.shape[1]):
                comes_later = slot_of[other] > next_slot or wait_steps[other] > 0 or other == eos
                if allowed[row, other] and other != token and comes_later:
                    probability += np.exp(np.float64(logits[row, other]))
                    allowed[row, other] = 0
            logits[row, token] = np.log(probability)
            allowed[row, token] = 1
        elif event < len(melody_steps) and melody_steps[event] > steps_passed[row]:
            # Forbid all waits past the melody's next step, and give their probability to the wait that reaches it.
            steps_to_melody = melody_steps[event] - steps_passed[row]
            probability, exact_wait = 0.0, -1
            for wait in range(n_slots, len(ids)):
                token = ids[wait]
                if allowed[row, token] and wait_steps[token] >= steps_to_melody:
                    probability += np.exp(np.float64(logits[row, token]))
                    if wait_steps[token] == steps_to_melody:
                        exact_wait = token
                    else:
                        allowed[row, token] = 0
            if exact_wait >= 0:
                logits[row, exact_wait] = np.log(probability)
