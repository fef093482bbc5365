"""The sampler: it writes many texts at once with a recurrent model.

The prompt is read once, in parallel over its tokens, and its state is copied for all texts. Each step then runs the
model for one token per text. Each text has its own length and random generator, and finished texts leave the batch, so
a text does not depend on the others.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
import torch

from clara.form.context import ContextReader, ContextTracker
from clara.form.ending import Endings
from clara.form.opening import Openings
from clara.form.plan import Plan
from clara.form.returns import keep_returns
from clara.models import InferenceModel
from clara.repeats.finder import RepeatFinder
from clara.repeats.model import Repeats
from clara.sampling.grammars.base import UNLIMITED_STEPS, Grammar
from clara.sampling.logit_biases import Cadence, RepetitionPenalty
from clara.sampling.settings import SamplingSettings
from clara.sampling.steppers import Stepper
from clara.sampling.token_choice import (
    REPEAT_STRENGTH,
    REPETITION_PENALTY,
    TEMPERATURE,
    choose_tokens,
    settings_table,
)

NUMBERS_PER_DRAW = 256  # random number pairs drawn at a time per text
TOKENS_PER_BLOCK = 1024  # the token buffer grows by so many at first
MIN_TEXTS_PER_THREAD = 8
PROMPT_TOKENS_PER_READ = 2048  # bounds the memory that a prompt's logits take
MAX_ENDED_SHARE = 1 / 16  # of a batch; then the ended texts leave it


class RandomNumbers:
    """Uniform random numbers for texts that each have their own generator.

    Parameters
    ----------
    seeds : sequence of n
        Each as `numpy.random.default_rng` takes it.
    """

    def __init__(self, seeds):
        self.generators = [np.random.default_rng(seed) for seed in seeds]
        self.position = NUMBERS_PER_DRAW

    def next(self):
        """Return two numbers for each text, float64 (n, 2)."""
        if self.position == NUMBERS_PER_DRAW:
            self.numbers = np.stack([g.random((NUMBERS_PER_DRAW, 2)) for g in self.generators], axis=1)
            self.position = 0
        self.position += 1
        return self.numbers[self.position - 1]

    def take(self, rows):
        """Keep only the texts in `rows`."""
        self.generators = [self.generators[i] for i in rows]
        self.numbers = np.ascontiguousarray(self.numbers[:, rows])


@dataclass
class BatchState:
    """The states of n texts, from which other texts continue.

    Attributes
    ----------
    logits : float32 array (n, vocab_sz) or None
        Of the next token; None if the model has still to read the last token of each text.
    model_state : Any
        The model's state of the n texts.
    grammar_state : dict
        The grammar's state of the n texts.
    past_ids : list of n int64 arrays
        The tokens of each text so far.
    steps_written : int64 array (n,)
        Grid steps from the end of the prompt to the end of each text.
    plans : list of n Plans or None
        What each text follows; None for a model that follows no plans.
    """

    logits: np.ndarray | None
    model_state: Any
    grammar_state: dict[str, np.ndarray]
    past_ids: list[np.ndarray]
    steps_written: np.ndarray
    plans: list[Plan] | None = None


@dataclass(frozen=True)
class Sampler:
    """A model with everything that decides which texts it writes, except for their settings and seeds.

    Attributes
    ----------
    model : InferenceModel
        Reads the prompt.
    make_stepper : callable
        From `clara.sampling.steppers.stepper_factory`.
    grammar : Grammar
    steps_per_quarter : int
        Grid steps per quarter note.
    cadence : Cadence, optional
    repeats : Repeats, optional
    contexts : ContextReader, optional
        For a model that follows plans.
    pitches : int64 array (n_tones,), optional
        MIDI number of each tone, if texts begin on the chord of their plans.
    has_ending : bool
        Whether they also close at the end of their plans.
    threads : int
        The largest number of threads; each writes its share of the texts.
    on_step : callable, optional
        Called now and then with the number of grid steps that are left in the text with the most to write.
    stop : threading.Event, optional
        Ends the work early when it is set.
    """

    model: InferenceModel
    make_stepper: Callable[[], Stepper]
    grammar: Grammar
    steps_per_quarter: int
    cadence: Cadence | None = None
    repeats: Repeats | None = None
    contexts: ContextReader | None = None
    pitches: np.ndarray | None = None
    has_ending: bool = False
    threads: int = 1
    on_step: Callable[[int], Any] | None = None
    stop: Event | None = None

    def sample(
        self,
        prompts: Sequence[np.ndarray],
        n_steps: int | np.ndarray,
        settings: SamplingSettings | Sequence[SamplingSettings],
        seeds: Sequence[int],
        prompt_of_text: np.ndarray | None = None,
        plans: Sequence[Plan] | None = None,
    ) -> list[list[int] | None]:
        """Write one text per seed.

        Parameters
        ----------
        prompts : sequence of int64 arrays
            The tokens of each prompt, xxbos first.
        n_steps : int or int64 array (n,)
            Grid steps to write after the prompt, for all texts or for each.
        settings : SamplingSettings or sequence of SamplingSettings
            For all texts, or one for each.
        seeds : sequence of n ints
        prompt_of_text : int64 array (n,), optional
            Which prompt each text continues; by default the first.
        plans : sequence of n Plans, optional
            What each text follows from the beginning of its prompt, for a model that follows plans.

        Returns
        -------
        list of n lists of token ids, without prompt and xxeos; None for a text that `stop` cut off
        """
        rows = np.zeros(len(seeds), dtype=np.int64) if prompt_of_text is None else prompt_of_text
        if plans is not None:
            prompts, rows = [prompts[row] for row in rows.tolist()], np.arange(len(seeds))
        start = self.read_prompts(prompts, plans)
        return self.write(start, rows, n_steps, settings_table(settings, len(seeds)), seeds)[0]

    def stream(
        self, prompt: np.ndarray, n_steps: int, settings: SamplingSettings, seed: int, plan: Plan | None = None
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Write one text token by token; parameters as of `sample`.

        Yields
        ------
        ids : int64 array (n_tokens,)
            The text so far; the last time without its xxeos.
        steps_passed : int
            Grid steps written.
        """
        start = self.read_prompts([prompt], None if plan is None else [plan])
        row = np.zeros(1, dtype=np.int64)
        stepper = self.make_stepper()
        stepper.begin(start.model_state, row)
        batch = _Batch(self, start, row, np.array([n_steps]), settings_table(settings, 1), [seed])
        for _ in batch.write_tokens(stepper, start.logits):
            steps_left = int(batch.grammar_state["steps_left"][0])
            yield batch.ids[0, : batch.n_written], n_steps - steps_left
        yield np.array(batch.texts[0], dtype=np.int64), n_steps

    def read_prompts(self, prompts: Sequence[np.ndarray], plans: Sequence[Plan] | None = None) -> BatchState:
        """Return the state of one text after each prompt; equal prompts with equal context are read once.

        Parameters
        ----------
        prompts : sequence of n int64 arrays
        plans : sequence of n Plans, optional
            As of `sample`.
        """
        read: dict[bytes, tuple] = {}
        states = []
        for i, prompt in enumerate(prompts):
            inputs = np.asarray(prompt)
            if plans is not None and self.contexts:
                inputs = self.contexts.add_to(prompt, plans[i])
            key = inputs.tobytes()
            if key not in read:
                read[key] = (*self._read(inputs), self._read_grammar(prompt))
            logits, model_state, grammar_state = read[key]
            plan = None if plans is None else [plans[i]]
            past_ids, steps_written = [np.asarray(prompt)], np.zeros(1, dtype=np.int64)
            states.append(BatchState(logits, model_state, grammar_state, past_ids, steps_written, plan))
        return self.join(states)

    def _read(self, inputs):
        """Return the logits after a prompt, (1, vocab_sz), and the model's state."""
        model_state = self.model.initial_state(1)
        tensor = torch.from_numpy(inputs)[None].to(self.model.device)
        with torch.inference_mode():
            for part in tensor.split(PROMPT_TOKENS_PER_READ, dim=1):
                logits, model_state = self.model(part, model_state)
        return logits[:, -1].float().cpu().numpy(), model_state

    def _read_grammar(self, prompt):
        """Return the grammar's state after a prompt."""
        state = self.grammar.start(1, 0)
        for token in prompt[1:]:
            state = self.grammar.update(state, np.array([token]))
        for name in ("steps_passed", "melody_written", "is_melody"):
            if name in state:
                state[name][:] = 0  # a fixed melody starts where the prompt ends, even if the prompt holds its notes
        return state

    def join(self, states: Sequence[BatchState]) -> BatchState:
        """Return one state with the texts of several states."""
        logits = [s.logits for s in states if s.logits is not None]
        names = states[0].grammar_state
        return BatchState(
            np.concatenate(logits) if logits else None,
            self.model.join([s.model_state for s in states]),
            {name: np.concatenate([s.grammar_state[name] for s in states]) for name in names},
            [ids for s in states for ids in s.past_ids],
            np.concatenate([s.steps_written for s in states]),
            None if states[0].plans is None else [plan for s in states for plan in s.plans or ()],
        )

    def write(
        self,
        start: BatchState,
        rows: np.ndarray,
        n_steps: int | np.ndarray,
        table: np.ndarray,
        seeds: Sequence,
        until: int | np.ndarray | None = None,
    ) -> tuple[list[list[int] | None], BatchState | None]:
        """Write one text per seed, each continuing one of several texts.

        Parameters
        ----------
        start : BatchState
        rows : int64 array (n,)
            Which text of `start` each of the n texts continues.
        n_steps : int or int64 array (n,)
            Grid steps between the prompt and the end of the texts, for all or for each.
        table : float64 array (n, 8)
            From `settings_table`.
        seeds : sequence of n
        until : int or int64 array (n,), optional
            Grid steps after the prompt where the texts are interrupted, for all or for each. A text with a larger
            number than its `n_steps` goes on to its end, as all do by default.

        Returns
        -------
        texts : list of n lists of token ids
            What was written, without xxeos; None for a text that `stop` cut off.
        end : BatchState or None
            The interrupted texts, in their order; None if none was interrupted.
        """
        stop = self.stop or Event()
        n_steps = np.broadcast_to(np.asarray(n_steps, dtype=np.int64), len(seeds))
        until = n_steps + 1 if until is None else np.broadcast_to(np.asarray(until, dtype=np.int64), len(seeds))

        def write_group(group, on_step=None):
            stepper = self.make_stepper()
            group_rows = rows[group]
            stepper.begin(start.model_state, group_rows)
            group_seeds = [seeds[i] for i in group]
            batch = _Batch(self, start, group_rows, n_steps[group], table[group], group_seeds, until[group])
            if start.logits is None:
                logits = stepper.step(np.array([start.past_ids[row][-1] for row in group_rows]), batch.context_rows())
            else:
                logits = start.logits[group_rows]
            batch.write(stepper, logits, on_step, stop)
            return batch

        n_groups = max(1, min(self.threads, len(seeds) // MIN_TEXTS_PER_THREAD))
        groups = np.array_split(np.arange(len(seeds)), n_groups)
        with ThreadPoolExecutor(n_groups) as pool:
            others = [pool.submit(write_group, group) for group in groups[1:]]
            batches = [write_group(groups[0], self.on_step), *(other.result() for other in others)]
        texts = [text for batch in batches for text in batch.texts]
        ends = [end for batch in batches for end in batch.ends if end is not None]
        return texts, self.join(ends) if ends else None


class _Batch:
    """Texts that one stepper writes side by side.

    Attributes
    ----------
    texts : list of n lists of token ids
        Each text that has ended, without xxeos, else None.
    ends : list of n BatchStates
        Each text that was interrupted, else None.
    """

    def __init__(self, sampler, start, rows, n_steps, table, seeds, until=None):
        n = len(seeds)
        self.texts = [None] * n
        self.ends = [None] * n
        self.grammar = sampler.grammar
        self.cadence = sampler.cadence
        self.past_ids = [start.past_ids[row] for row in rows]
        self.plans = None if start.plans is None else [start.plans[row] for row in rows]

        # The texts that are still in the batch, one row each.
        self.index_of_row = np.arange(n)
        self.is_going = np.ones(n, dtype=bool)
        self.n_steps = n_steps
        self.min_steps_left = np.full(n, -1) if until is None else np.maximum(n_steps - until, -1)
        self.table = table
        self.random_numbers = RandomNumbers(seeds)
        self.grammar_state = self.grammar.take(start.grammar_state, rows)
        self.grammar_state["steps_left"] = n_steps - start.steps_written[rows]
        self.n_written = 0
        self.ids = np.zeros((n, TOKENS_PER_BLOCK), dtype=np.int64)
        self.steps = np.zeros((n, TOKENS_PER_BLOCK), dtype=np.int64)  # the grid step of each token

        self.repetition_penalty = None
        if (table[:, REPETITION_PENALTY] > 1).any():
            self.repetition_penalty = RepetitionPenalty(self.grammar.onset_tones, table, sampler.steps_per_quarter)
        self.repeat_model = self.repeat_finder = None
        if sampler.repeats and table[:, REPEAT_STRENGTH].any():
            self.repeat_model = sampler.repeats.model
            self.repeat_finder = RepeatFinder(sampler.repeats.table, start.past_ids, rows)
        self.context, self.edges = None, []
        if self.plans:
            self.context = ContextTracker(sampler.contexts, start.past_ids, rows, self.plans)
            if sampler.pitches is not None:
                edges = [Openings, Endings] if sampler.has_ending else [Openings]
                self.edges = [edge(self.plans, sampler.pitches) for edge in edges]

    def write(self, stepper, logits, on_step, stop):
        """Write until all texts have ended or `stop` is set."""
        for _ in self.write_tokens(stepper, logits):
            if stop.is_set():
                break
            if on_step:
                on_step(int(self.grammar_state["steps_left"][self.is_going].max()))

    def write_tokens(self, stepper, logits):
        """Write one token of each text per iteration, until all texts have ended."""
        while True:
            allowed = self.grammar.allowed(self.grammar_state)
            if self.context:
                keep_returns(allowed, self.context.follower)
                for edge in self.edges:
                    edge.keep(allowed, self.context.follower)
            self.grammar.adjust_logits(logits, allowed, self.grammar_state)
            if self.repeat_model:
                strengths, temperatures = self.table[:, REPEAT_STRENGTH], self.table[:, TEMPERATURE]
                self.repeat_model.adjust_logits(logits, allowed, self.repeat_finder, strengths, temperatures)
            ids = choose_tokens(logits, allowed, self.table, self.random_numbers.next(), self._compute_bias())
            self._append(ids)
            is_over = (ids == self.grammar.eos) | (self.grammar_state["steps_left"] <= self.min_steps_left)
            has_ended = self.is_going & is_over
            if has_ended.any():
                self._end(has_ended, stepper)
                if not self.is_going.any():
                    return
                if (~self.is_going).sum() >= MAX_ENDED_SHARE * len(ids):
                    rows = self.is_going.nonzero()[0]
                    ids = ids[rows]
                    self._take(rows)
                    stepper.take(rows)
            yield
            logits = stepper.step(ids, self.context_rows())

    def context_rows(self):
        """Return the context of the newest token of each text as rows of the model's table, or None."""
        return self.context.rows() if self.context else None

    def _compute_bias(self):
        """Return what to add to the logits, or None."""
        penalty = self.repetition_penalty.bias if self.repetition_penalty else None
        cadence = None
        if self.cadence:
            is_end = self.min_steps_left < 0  # of texts that go on to their end
            steps_left = np.where(is_end, self.grammar_state["steps_left"], UNLIMITED_STEPS)
            cadence = self.cadence.compute_bias(self.ids, self.n_written, steps_left)
        if penalty is None or cadence is None:
            return cadence if penalty is None else penalty
        return penalty + cadence

    def _append(self, ids):
        """Add one token to each text."""
        if self.n_written == self.ids.shape[1]:
            self.ids = np.pad(self.ids, ((0, 0), (0, self.n_written)))
            self.steps = np.pad(self.steps, ((0, 0), (0, self.n_written)))
        now = self.n_steps - self.grammar_state["steps_left"]
        self.ids[:, self.n_written] = ids
        self.steps[:, self.n_written] = now
        self.n_written += 1
        self.grammar_state = self.grammar.update(self.grammar_state, ids)
        if self.repetition_penalty:
            self.repetition_penalty.update(self.ids, self.steps, self.n_written, now)
        if self.repeat_finder:
            self.repeat_finder.append(ids)
        if self.context:
            self.context.append(ids)

    def _end(self, has_ended, stepper):
        """Store the texts that have ended, and the states of interrupted texts."""
        for row in has_ended.nonzero()[0]:
            ids = self.ids[row, : self.n_written].tolist()
            index = self.index_of_row[row]
            self.texts[index] = ids[:-1] if ids[-1] == self.grammar.eos else ids
            if self.min_steps_left[row] >= 0:
                grammar_state = self.grammar.take(self.grammar_state, np.array([row]))
                self.ends[index] = BatchState(
                    None,
                    stepper.state_of(row),
                    grammar_state,
                    [np.concatenate([self.past_ids[index], ids])],
                    self.n_steps[row] - grammar_state["steps_left"],
                    None if self.plans is None else [self.plans[index]],
                )
        self.is_going &= ~has_ended

    def _take(self, rows):
        """Keep only the texts in `rows`."""
        self.grammar_state = self.grammar.take(self.grammar_state, rows)
        self.ids = self.ids[rows]
        self.steps = self.steps[rows]
        self.index_of_row = self.index_of_row[rows]
        self.is_going = self.is_going[rows]
        self.n_steps = self.n_steps[rows]
        self.min_steps_left = self.min_steps_left[rows]
        self.table = self.table[rows]
        self.random_numbers.take(rows)
        if self.repetition_penalty:
            self.repetition_penalty.take(rows)
        if self.repeat_finder:
            self.repeat_finder.take(rows)
        if self.context:
            self.context.take(rows)
        for edge in self.edges:
            edge.take(rows)
