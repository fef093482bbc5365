"""The loop that writes many texts at once with a recurrent net.

The prompt is read once, in parallel over its words, and its state forked to all samples; each
step then feeds one word per sample. Each sample has a random generator of its own, and finished
samples leave the batch; what a sample becomes does not hang on the others.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np
import torch

from clara.repeats.finder import RepeatFinder
from clara.sampling.logit_biases import Recent
from clara.sampling.settings import choose, settings_table

DRAWS_AHEAD = 256  # random numbers drawn at a time per sample
WORDS_AHEAD = 1024  # room for as many more words at a time
FEWEST_TOGETHER = 8  # samples worth a thread of their own
WORDS_READ = 2048  # of a prompt at a time, which bounds the memory that its logits take
LEAVE = 16  # ended samples leave when they are a sixteenth of the batch


class Draws:
    """Uniform numbers for samples that each have their own generator.

    Parameters
    ----------
    seeds : list of n, as `numpy.random.default_rng` takes them
    """

    def __init__(self, seeds):
        self.generators = [np.random.default_rng(s) for s in seeds]
        self.at = DRAWS_AHEAD

    def next(self):
        """Two numbers for each sample, float64 (n, 2)."""
        if self.at == DRAWS_AHEAD:
            self.ahead = np.stack([g.random((DRAWS_AHEAD, 2)) for g in self.generators], axis=1)
            self.at = 0
        self.at += 1
        return self.ahead[self.at - 1]

    def take(self, rows):
        """Go on with some of the samples."""
        self.generators, self.ahead = [self.generators[i] for i in rows], np.ascontiguousarray(self.ahead[:, rows])


def sample(
    reader,
    make_stepper,
    grammar,
    settings,
    prompt_ids,
    steps,
    seeds,
    steps_per_quarter,
    cadence=None,
    repeats=None,
    threads=1,
    on_step=None,
    stop=None,
):
    """Write one text per seed.

    Parameters
    ----------
    reader : a `InferenceModel` of `clara.models`, which reads the prompt
    make_stepper : from `clara.sampling.steppers.stepper_maker`
    grammar : of `clara.sampling.grammars.base`
    settings : clara.sampling.settings.Settings for all texts, or one for each
    prompt_ids : int64 array (m,), the words to go on from, xxbos first
    steps : grid steps to let pass after the prompt
    seeds : list of n ints
    steps_per_quarter : of the grid
    cadence : clara.sampling.logit_biases.Cadence, or None
    repeats : clara.repeats.model.Repeats or None
    threads : at most; each takes its share of the texts
    on_step : function(steps left in the slowest sample), called now and then
    stop : threading.Event that ends it early, or None

    Returns
    -------
    list of n lists of ids, prompt and xxeos left out; None for a text that `stop` cut off
    """
    return sample_each(
        reader,
        make_stepper,
        grammar,
        settings,
        [prompt_ids],
        np.zeros(len(seeds), dtype=np.int64),
        steps,
        seeds,
        steps_per_quarter,
        cadence,
        repeats,
        threads,
        on_step,
        stop,
    )


def sample_each(
    reader,
    make_stepper,
    grammar,
    settings,
    prompts,
    rows,
    steps,
    seeds,
    steps_per_quarter,
    cadence=None,
    repeats=None,
    threads=1,
    on_step=None,
    stop=None,
):
    """Write one text per seed, each on from one of several prompts; parameters and result as `sample` and

    Parameters
    ----------
    prompts : list of int64 arrays
    rows : int64 array (n,), which of them each text goes on from
    """
    start = join(reader, [read(reader, grammar, ids, steps) for ids in prompts])
    return write(
        reader,
        make_stepper,
        grammar,
        settings_table(settings, len(seeds)),
        start,
        rows,
        seeds,
        steps,
        steps_per_quarter,
        cadence,
        repeats,
        threads,
        on_step,
        stop,
    )[0]


def write(
    reader,
    make_stepper,
    grammar,
    table,
    start,
    rows,
    seeds,
    steps,
    steps_per_quarter,
    cadence=None,
    repeats=None,
    threads=1,
    on_step=None,
    stop=None,
    until=None,
):
    """Write one text per seed, each on from one of some places; parameters as `sample` and

    Parameters
    ----------
    table : of `clara.sampling.settings.settings_table`, a row for each text
    start : Start
    rows : int64 array (n,), which of its texts each goes on from
    until : steps after the prompt where texts are left off, without an end; None to go on to the end

    Returns
    -------
    texts : as `sample`, the words since `start`
    left : Start, where texts were left off; None where one was not
    """
    stop = stop or Event()

    def some(mine, on_step=None):
        stepper = make_stepper()
        stepper.begin(start.state, rows[mine])
        logits = (
            stepper.step(np.array([start.pasts[row][-1] for row in rows[mine]]))
            if start.logits is None
            else start.logits[rows[mine]]
        )
        texts = _Texts(
            grammar,
            start,
            rows[mine],
            table[mine],
            [seeds[i] for i in mine],
            steps,
            steps_per_quarter,
            cadence,
            repeats,
            until,
        )
        texts.write(stepper, logits, on_step, stop)
        return texts

    groups = np.array_split(np.arange(len(seeds)), max(1, min(threads, len(seeds) // FEWEST_TOGETHER)))
    with ThreadPoolExecutor(len(groups)) as pool:
        others = [pool.submit(some, mine) for mine in groups[1:]]
        done = [some(groups[0], on_step), *(other.result() for other in others)]
    left = [place for texts in done for place in texts.left]
    return [text for texts in done for text in texts.ended], None if None in left else join(reader, left)


def stream(
    reader, make_stepper, grammar, settings, prompt_ids, steps, seed, steps_per_quarter, cadence=None, repeats=None
):
    """Write one text, word by word; parameters as `sample`.

    Yields
    ------
    ids : int64 array (n_words,), the text so far; at last without its xxeos
    clock : steps gone
    """
    start, only = read(reader, grammar, prompt_ids, steps), np.zeros(1, dtype=np.int64)
    stepper = make_stepper()
    stepper.begin(start.state, only)
    texts = _Texts(
        grammar, start, only, settings_table(settings, 1), [seed], steps, steps_per_quarter, cadence, repeats
    )
    for _ in texts.advance(stepper, start.logits):
        yield texts.words[0, : texts.n_written], steps - int(texts.written["left"][0])
    yield np.array(texts.ended[0], dtype=np.int64), steps


@dataclass
class Start:
    """Where texts go on from.

    Attributes
    ----------
    logits : float32 array (n, vocab_sz), of the next word, or None where the last word of each past has still to be read
    state : of the reader, for n texts
    written : of the grammar, for n texts
    pasts : list of n int64 arrays, the words so far
    """

    logits: np.ndarray
    state: object
    written: dict
    pasts: list


def read(reader, grammar, prompt_ids, steps):
    """The Start of one text after a prompt, with `steps` to go; parameters as `sample`."""
    written = grammar.start(1, 0)
    for word in prompt_ids[1:]:
        written = grammar.update(written, np.array([word]))
    written["left"][:] = steps
    if "clock" in written:
        written["clock"][:] = 0  # a line begins where the prompt ends
    return Start(*_told(reader, prompt_ids, reader.initial_state(1)), written, [np.asarray(prompt_ids)])


def join(reader, starts):
    """One Start of several."""
    return Start(
        None if starts[0].logits is None else np.concatenate([s.logits for s in starts]),
        reader.join([s.state for s in starts]),
        {k: np.concatenate([s.written[k] for s in starts]) for k in starts[0].written},
        [past for s in starts for past in s.pasts],
    )


def _told(reader, ids, state):
    """Logits float32 (1, vocab_sz) and the reader's state after some words of one text."""
    with torch.inference_mode():
        for part in torch.from_numpy(ids)[None].to(reader.device).split(WORDS_READ, dim=1):
            logits, state = reader(part, state)
    return logits[:, -1].float().cpu().numpy(), state


class _Texts:
    """Texts that are written side by side by one stepper."""

    def __init__(self, grammar, start, rows, table, seeds, steps, steps_per_quarter, cadence, repeats, until=None):
        self.grammar, self.written, self.table, self.draws = (
            grammar,
            grammar.take(start.written, rows),
            table,
            Draws(seeds),
        )
        self.least_left = -1 if until is None else steps - until  # to go, where a text is left off
        self.steps, self.n, self.ended, self.left = steps, len(seeds), [None] * len(seeds), [None] * len(seeds)
        self.pasts = [start.pasts[row] for row in rows]
        self.words, self.clocks = (np.zeros((self.n, WORDS_AHEAD), dtype=np.int64) for _ in range(2))
        self.rows, self.going, self.n_written = np.arange(self.n), np.ones(self.n, dtype=bool), 0
        self.cadence = cadence
        self.recent = Recent(grammar.struck, table, steps_per_quarter) if (table[:, 5] > 1).any() else None
        follow_repeats = repeats is not None and table[:, 7].any()
        self.repeat_model = repeats.model if follow_repeats else None
        self.repeat_finder = RepeatFinder(repeats.table, start.pasts, rows) if follow_repeats else None

    def write(self, stepper, logits, on_step, stop):
        """Until all have ended."""
        for _ in self.advance(stepper, logits):
            if stop.is_set():
                break
            if on_step:
                on_step(int(self.written["left"][self.going].max()))

    def advance(self, stepper, logits):
        """A word for each text, again and again, until all have ended."""
        while True:
            mask = self.grammar.allowed(self.written)
            self.grammar.bend(logits, mask, self.written)
            if self.repeat_model:
                self.repeat_model.adjust_logits(logits, mask, self.repeat_finder, self.table[:, 7], self.table[:, 0])
            ids = choose(logits, mask, self.table, self.draws.next(), self._bias())
            self._note(ids)
            over = self.going & ((ids == self.grammar.eos) | (self.written["left"] <= self.least_left))
            if over.any():
                self._end(over, stepper)
                if not self.going.any():
                    return
                if LEAVE * (~self.going).sum() >= len(ids):
                    rows = self.going.nonzero()[0]
                    ids = ids[rows]
                    self._take(rows)
                    stepper.take(rows)
            yield
            logits = stepper.step(ids)

    def _bias(self):
        """What is added to the logits, or None."""
        recent, close = (
            self.recent and self.recent.bias,
            self.cadence and self.cadence.bias(self.words, self.n_written, self.written["left"]),
        )
        return close if recent is None else recent if close is None else recent + close

    def _note(self, ids):
        """Add a word to each."""
        if self.n_written == self.words.shape[1]:
            self.words, self.clocks = (np.pad(a, ((0, 0), (0, a.shape[1]))) for a in (self.words, self.clocks))
        clock = self.steps - self.written["left"]
        self.words[:, self.n_written], self.clocks[:, self.n_written] = ids, clock
        self.n_written += 1
        self.written = self.grammar.update(self.written, ids)
        if self.recent:
            self.recent.follow(self.words, self.clocks, self.n_written, clock)
        if self.repeat_finder:
            self.repeat_finder.append(ids)

    def _end(self, over, stepper):
        """Keep the texts that have ended, and where those are that were left off."""
        for at in over.nonzero()[0]:
            text, row = self.words[at, : self.n_written].tolist(), self.rows[at]
            self.ended[row] = text[:-1] if text[-1] == self.grammar.eos else text
            if self.least_left >= 0:
                self.left[row] = Start(
                    None,
                    stepper.state(at),
                    self.grammar.take(self.written, np.array([at])),
                    [np.concatenate([self.pasts[row], text])],
                )
        self.going &= ~over

    def _take(self, rows):
        """Go on with some."""
        self.written = self.grammar.take(self.written, rows)
        self.words, self.clocks, self.rows, self.going = (
            a[rows] for a in (self.words, self.clocks, self.rows, self.going)
        )
        self.table = self.table[rows]
        self.draws.take(rows)
        if self.recent:
            self.recent.take(rows)
        if self.repeat_finder:
            self.repeat_finder.take(rows)
