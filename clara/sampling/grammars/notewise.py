"""The grammar of notewise text, and of its kin with several parts."""

import numpy as np

from clara.jit import compiled, float32_2d, int64, int64_1d, int64_1d_readonly, int64_2d, uint8_1d, uint8_2d
from clara.sampling.grammars.base import Grammar


class NotewiseGrammar(Grammar):
    """The rules of notewise text.

    A key ends only while it sounds and starts only while it does not; a step holds its
    ends, then its starts, each ascending; several waits in a row are all the longest but
    for the last. A text ends when its steps are used up, everything that sounds released.
    Beyond these rules, notes and silences can be kept from lasting for ever.

    A line can be held fixed: its words are the only ones that may stand beyond their place,
    and no wait goes past them. What the net would have written beyond becomes a vote for the
    line's next word (see `bend`); all else is the accompaniment's.

    Parameters
    ----------
    line : NoteSequence that begins where the texts do and is all in them, or None
    """

    def __init__(self, encoding, vocab, rules=None, line=None):
        super().__init__(encoding, vocab, rules)
        tones, n = (encoding.to_tones(line), len(line)) if line else (np.zeros(0, dtype=np.int64), 0)
        clock = np.r_[line.end, line.start] if line else tones
        place = np.r_[tones, tones + self.n_tones]
        order = np.lexsort((place, clock))
        self.line_clock, self.line_place = (np.ascontiguousarray(a[order], dtype=np.int64) for a in (clock, place))
        self.n_line = 2 * n
        self.ids = np.array([vocab.id_of[w] for w in encoding.tokens])  # ends, starts, waits
        self.longest = encoding.longest_wait
        # By word id: its place in a step's order (control words none), and the steps it takes.
        self.place, self.steps = np.full(len(vocab), -1), np.zeros(len(vocab), dtype=np.int64)
        self.place[self.ids[: 2 * self.n_tones]] = np.arange(2 * self.n_tones)
        self.steps[self.ids[2 * self.n_tones :]] = np.arange(1, self.longest + 1)

    def strikes(self, encoding, word):
        """As `Grammar.strikes`."""
        return [encoding.tone_names.index(word)] if word in encoding.tone_names else []

    def start(self, bs, steps):
        """As `Grammar.start`."""
        return {
            "sounding": np.zeros((bs, self.n_tones), dtype=np.uint8),
            "age": np.zeros((bs, self.n_tones), dtype=np.int64),  # steps that a tone has sounded
            "place": np.full(bs, -1),  # of the last word within its step
            "waited": np.zeros(bs, dtype=np.uint8),  # the last word was a wait short of the longest
            "silence": np.zeros(bs, dtype=np.int64),  # steps since anything sounded
            "left": np.full(bs, steps),
            "clock": np.zeros(bs, dtype=np.int64),  # steps gone
            "due": np.zeros(bs, dtype=np.int64),  # how many of the line's words stand written
            "owned": np.zeros((bs, self.n_tones), dtype=np.uint8),
        }  # tones that sound as the line's

    def allowed(self, state):
        """As `Grammar.allowed`."""
        mask = np.zeros((len(state["left"]), self.vocab_sz), dtype=np.uint8)
        _allow(
            *(state[k] for k in ("sounding", "age", "place", "waited", "silence", "left")),
            self.ids,
            self.kept,
            self.eos,
            self.max_note,
            self.max_silence,
            self.max_notes,
            self.longest,
            mask,
        )
        return mask

    def bend(self, logits, mask, state):
        """Hold the line: take from a mask what would stand beyond its next word, and give that word its likelihood.

        Parameters
        ----------
        logits : float32 (n, vocab_sz), changed
        mask : from `allowed`, changed
        state : as in `allowed`
        """
        if self.n_line:
            _bend(
                logits,
                mask,
                *(state[k] for k in ("sounding", "owned", "age", "place", "left", "clock", "due")),
                self.line_clock,
                self.line_place,
                self.ids,
                self.place,
                self.steps,
                self.eos,
                self.max_note,
            )

    def update(self, state, ids):
        """As `Grammar.update`."""
        _follow(
            ids,
            self.place,
            self.steps,
            self.longest,
            *(state[k] for k in ("sounding", "age", "place", "waited", "silence", "left")),
            state["clock"],
            state["due"],
            state["owned"],
            self.line_clock,
            self.line_place,
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
    sounding, age, place, waited, silence, left, ids, kept, eos, max_note, max_silence, max_notes, longest, mask
):
    """Set to 1 what may follow each text."""
    n_tones = sounding.shape[1]
    for row in range(len(left)):
        closing, oldest, n_sounding, overdue = left[row] <= 0, 0, 0, -1
        for tone in range(n_tones):
            if sounding[row, tone]:
                n_sounding += 1
                oldest = max(oldest, age[row, tone])
                # Those that must end at once, from below: at the end all, before it those that have sounded too long.
                if overdue < 0 and (closing or age[row, tone] >= max_note):
                    overdue = tone
        for tone in range(place[row] + 1, n_tones if overdue < 0 else overdue + 1):
            mask[row, ids[tone]] = sounding[row, tone]
        if overdue >= 0:
            continue
        if closing:
            mask[row, eos] = n_sounding == 0
            continue
        if n_sounding < max_notes:
            for tone in range(max(0, place[row] + 1 - n_tones), n_tones):
                word = ids[n_tones + tone]
                mask[row, word] = not sounding[row, tone] and kept[word]
        most = min(left[row], max_note - oldest)
        if n_sounding == 0:
            most = min(most, max_silence - silence[row])
        if not waited[row]:
            for wait in range(min(most, longest)):
                mask[row, ids[2 * n_tones + wait]] = 1


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
def _follow(
    ids, places, steps, longest, sounding, age, place, waited, silence, left, clock, due, owned, line_clock, line_place
):
    """The state after one more word per text."""
    n_tones = sounding.shape[1]
    for row in range(len(ids)):
        at, passed = places[ids[row]], steps[ids[row]]
        if at >= 0:
            tone = at % n_tones
            sounding[row, tone] = at >= n_tones
            age[row, tone] = 0
            silence[row] = 0
            owned[row, tone] = 0
            event = due[row]
            if event < len(line_clock) and line_clock[event] == clock[row] and line_place[event] == at:
                owned[row, tone] = at >= n_tones
                due[row] += 1
        silent = True
        if passed > 0:
            for tone in range(n_tones):
                if sounding[row, tone]:
                    age[row, tone] += 0 if owned[row, tone] else passed
                    silent = False
            silence[row] = silence[row] + passed if silent else 0
        place[row] = at
        waited[row] = 0 < passed < longest
        left[row] -= passed
        clock[row] += passed


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
def _bend(
    logits,
    mask,
    sounding,
    owned,
    age,
    place,
    left,
    clock,
    due,
    line_clock,
    line_place,
    ids,
    places,
    steps,
    eos,
    max_note,
):
    """As `NotewiseGrammar.bend`."""
    n_tones = sounding.shape[1]
    for row in range(len(clock)):
        first, soonest, overdue = 2 * n_tones, -1, -1
        for tone in range(n_tones):
            if owned[row, tone]:
                mask[row, ids[tone]] = 0  # ended by the line alone
            elif overdue < 0 and sounding[row, tone] and (left[row] <= 0 or age[row, tone] >= max_note):
                overdue = tone
        event = due[row]
        while event < len(line_clock) and line_clock[event] == clock[row]:
            first = min(first, line_place[event])
            tone = line_place[event] - n_tones
            if tone >= 0 and sounding[row, tone] and not owned[row, tone] and tone > place[row]:
                first = min(first, tone)  # the accompaniment makes room
            event += 1
        if event < len(line_clock):
            soonest = line_clock[event] - clock[row]
        if 0 <= overdue < first < 2 * n_tones:
            continue  # what must end, ends first
        if first < 2 * n_tones:
            word = ids[first]
            gathered = np.exp(np.float64(logits[row, word]))
            for other in range(mask.shape[1]):
                if mask[row, other] and other != word and (places[other] > first or steps[other] > 0 or other == eos):
                    gathered += np.exp(np.float64(logits[row, other]))
                    mask[row, other] = 0
            logits[row, word] = np.log(gathered)
            mask[row, word] = 1
        elif soonest > 0:
            gathered, reach = 0.0, -1
            for wait in range(2 * n_tones, len(ids)):
                word = ids[wait]
                if mask[row, word] and steps[word] >= soonest:
                    gathered += np.exp(np.float64(logits[row, word]))
                    if steps[word] == soonest:
                        reach = word
                    else:
                        mask[row, word] = 0
            if reach >= 0:
                logits[row, reach] = np.log(gathered)
