"""One call of a `Generator`, converted and checked: what to compose, and how its texts become music."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, TypedDict

import numpy as np

from clara.encodings.base import Encoding
from clara.encodings.vocab import BOS, Vocab
from clara.errors import BadSetting, NoNotes
from clara.form.forms import Form
from clara.form.plan import UNKNOWN, Plan
from clara.generation.arguments import (
    Key,
    Prompt,
    TimeSignature,
    add_key,
    convert_fixed_melody,
    convert_key,
    convert_key_signatures,
    convert_length,
    convert_played_prompt,
    convert_prompt,
    convert_qpm,
    convert_time_signature,
)
from clara.generation.planning import PieceLength, Planning, PlanSettings
from clara.generation.sample import Sample
from clara.music.key_signatures import signature_of_key
from clara.music.notes import COMMON_TIME, NoteSequence, crop, select
from clara.performing.playing import PlayedPrompt
from clara.sampling.constraints import DEFAULT_CONSTRAINTS, Constraints
from clara.sampling.engine import Sampler
from clara.sampling.grammars import make_grammar
from clara.sampling.logit_biases import Cadence
from clara.sampling.settings import SamplingSettings

MAX_FINAL_REST_QUARTERS = 64  # of a prompt, after its last note


class GenerationOptions(TypedDict, total=False):
    """The keyword arguments that the methods of `Generator` share; see `Generator.generate`."""

    prompt_quarters: float | None
    bars: float | None
    time_signature: TimeSignature
    key: Key
    qpm: float | None
    constraints: Constraints
    cadence: bool
    fixed_melody: Prompt
    plan: Plan | str | Path | None
    form: Form | str | None
    ending: bool
    threads: int
    on_step: Callable[[int], Any] | None
    stop: Event | None


@dataclass(frozen=True)
class GenerationRequest:
    """What to compose.

    Attributes
    ----------
    encoding : Encoding
    vocab : Vocab
    sampler : Sampler
    prompt : NoteSequence or None
    prompt_tokens : list of str
        Empty without a prompt.
    prompt_end : int
        Grid step at which the prompt ends; 0 without a prompt.
    length : PieceLength
        What to compose after the prompt.
    qpm : float
    time_signatures : tuple
        Those of the prompt, or else of the fixed melody, or else what was asked for.
    key_signatures : tuple
        That of the key that was asked for, or else those of the prompt or the fixed melody; empty without any.
    planning : Planning or None
        How pieces are planned; None for a model that follows no plans.
    played_prompt : PlayedPrompt or None
        How the prompt is played, if it is a MIDI file that carries expression.
    """

    encoding: Encoding
    vocab: Vocab
    sampler: Sampler
    prompt: NoteSequence | None
    prompt_tokens: list[str]
    prompt_end: int
    length: PieceLength
    qpm: float
    time_signatures: tuple = COMMON_TIME
    key_signatures: tuple = ()
    planning: Planning | None = None
    played_prompt: PlayedPrompt | None = None

    @classmethod
    def from_arguments(
        cls,
        generator: Any,
        quarters: float | None,
        prompt: Prompt,
        *,
        prompt_quarters: float | None = None,
        bars: float | None = None,
        time_signature: TimeSignature = None,
        key: Key = None,
        qpm: float | None = None,
        constraints: Constraints = DEFAULT_CONSTRAINTS,
        cadence: bool = False,
        fixed_melody: Prompt = None,
        plan: Plan | str | Path | None = None,
        form: Form | str | None = None,
        ending: bool = True,
        threads: int = 1,
        on_step: Callable[[int], Any] | None = None,
        stop: Event | None = None,
    ) -> "GenerationRequest":
        """Return a request to a `Generator`; converts and checks the arguments of `Generator.generate`."""
        encoding = generator.encoding
        notes = convert_prompt(prompt, encoding, time_signature)
        prompt_end = notes.n_steps if notes else 0
        if notes and prompt_quarters is not None:
            prompt_end = convert_length(prompt_quarters, None, COMMON_TIME, encoding.steps_per_quarter)
            if prompt_end > notes.n_steps + MAX_FINAL_REST_QUARTERS * encoding.steps_per_quarter:
                raise BadSetting(
                    f"the last note of the prompt ends at quarter {notes.quarters:g}: end it at quarter "
                    f"{notes.quarters + MAX_FINAL_REST_QUARTERS:g} at the latest, not {prompt_quarters:g}"
                )
            notes = crop(notes, 0, prompt_end)
            if not len(notes):
                raise NoNotes(f"the prompt has no notes before quarter {prompt_quarters:g}")
        melody = convert_fixed_melody(fixed_melody, encoding)
        source = notes or melody
        signature = convert_time_signature(time_signature, source, encoding.steps_per_quarter)
        time_signatures = source.time_signatures if source else ((0, *(signature or (4, 4))),)
        n_steps = convert_length(quarters, bars, time_signatures, encoding.steps_per_quarter)
        length = PieceLength(melody.n_steps if melody else n_steps, None if bars is None else max(1, round(bars)))
        tonic_and_mode = convert_key(key)
        grammar = make_grammar(encoding, generator.vocab, add_key(constraints, tonic_and_mode), melody)
        if melody and (plan is not None or form is not None):
            raise BadSetting("a fixed melody has a form of its own; leave out the plan or the form")
        planning = None
        plan_settings = PlanSettings.from_arguments(plan, form, ending)
        if generator.contexts:
            home = None if tonic_and_mode is None else tonic_and_mode[0] + (0 if tonic_and_mode[1] else 12)
            planning = Planning(plan_settings, generator.planner, signature, home, is_open=melody is not None)
        elif plan is not None or form is not None:
            raise BadSetting("this model follows no plans; leave out the plan or the form, or choose another model")
        has_ending = planning is not None and ending and not melody
        cadence_bias = None
        if cadence and not has_ending:
            pitch, _ = encoding.pitch_and_part(np.arange(encoding.n_tones))
            cadence_bias = Cadence(grammar.onset_tones, pitch % 12, encoding.steps_per_quarter, tonic_and_mode)
        sampler = Sampler(
            generator.model,
            generator.make_stepper,
            grammar,
            encoding.steps_per_quarter,
            cadence_bias,
            generator.repeats,
            generator.contexts,
            encoding.pitch_and_part(np.arange(encoding.n_tones))[0] if planning and not melody else None,
            has_ending,
            threads,
            on_step,
            stop,
        )
        tokens = tokenize_until(notes, prompt_end, encoding, generator.tokenize) if notes else []
        return cls(
            encoding,
            generator.vocab,
            sampler,
            notes,
            tokens,
            prompt_end,
            length,
            convert_qpm(qpm, notes),
            time_signatures,
            convert_key_signatures(tonic_and_mode, source),
            planning,
            convert_played_prompt(prompt, encoding, prompt_end / encoding.steps_per_quarter),
        )

    def plan(self, seeds: Sequence[int]) -> tuple[list[Plan] | None, np.ndarray]:
        """Return the plan of each of n pieces, or None, and the grid steps to compose after the prompt, int64 (n,)."""
        if self.planning is None:
            return None, np.full(len(seeds), self.length.n_steps)
        plans, ends = self.planning.plan_pieces(seeds, self)
        return plans, ends - self.prompt_end

    @property
    def prompt_ids(self) -> np.ndarray:
        """Return the token ids of the prompt, xxbos first."""
        return self.vocab.to_ids([BOS, *self.prompt_tokens])

    @property
    def prompt_steps(self) -> int:
        """Return the number of grid steps in the text of the prompt."""
        return sum(self.encoding.token_steps(self.prompt_tokens))

    def to_notes(self, ids: Sequence[int], plan: Plan | None = None) -> NoteSequence:
        """Return the prompt and the composed tokens as notes, with the signatures of the request or the plan."""
        tokens = self.prompt_tokens + self.vocab.to_tokens(ids)
        notes, losses = self.encoding.decode(tokens, qpm=self.qpm)
        assert not losses, f"the grammar allowed a text that loses {losses}"
        return self._with_signatures(notes, plan)

    def _with_signatures(self, notes, plan):
        """Return notes with the time signatures of the plan, and the key signature of the request or the plan."""
        key_signatures = self.key_signatures
        if plan is not None and not key_signatures and plan.home != UNKNOWN:
            key_signatures = ((0, signature_of_key(plan.home % 12, plan.home < 12)),)
        time_signatures = self.time_signatures if plan is None else plan.time_signatures
        return replace(notes, time_signatures=time_signatures, key_signatures=key_signatures)

    def to_sample(self, ids: Sequence[int], seed: int, settings: SamplingSettings, plan: Plan | None = None) -> Sample:
        """Return the prompt and the composed tokens as a Sample, with the plan of its bars."""
        tokens = self.prompt_tokens + self.vocab.to_tokens(ids)
        prompt_quarters = self.prompt_end / self.encoding.steps_per_quarter
        notes = self.to_notes(ids, plan)
        followed = None if self.planning is None or self.planning.is_open else self._first_bars(plan, tokens)
        return Sample(
            tokens, notes, len(self.prompt_tokens), prompt_quarters, seed, settings, followed, self.played_prompt
        )

    def _first_bars(self, plan, tokens):
        """Return a plan without the bars after the end of a text: one without an ending goes on beyond its piece."""
        end = sum(self.encoding.token_steps(tokens))
        return plan.first(int(np.searchsorted(plan.begin[:-1], end)))

    def stream(self, seed: int, settings: SamplingSettings) -> Iterator[NoteSequence]:
        """Compose one piece, and yield the notes that have become final; see `Generator.stream`."""
        prompt_steps = self.prompt_steps
        plans, (n_steps,) = self.plan([seed])
        plan = plans[0] if plans else None
        yielded, last_step = set(), 0
        for ids, step in self.sampler.stream(self.prompt_ids, n_steps, settings, seed, plan):
            is_over = len(ids) == 0 or step == n_steps
            if step == last_step and not is_over:
                continue
            last_step = step
            notes, _ = self.encoding.decode(self.prompt_tokens + self.vocab.to_tokens(ids), qpm=self.qpm)
            notes = self._with_signatures(notes, plan)
            is_final = notes.end > prompt_steps
            if step < n_steps:
                is_final &= notes.end < prompt_steps + step
            new = [i for i in is_final.nonzero()[0] if _identity(notes, i) not in yielded]
            yielded |= {_identity(notes, i) for i in new}
            if new:
                yield select(notes, np.isin(np.arange(len(notes)), new))


def tokenize_until(notes: NoteSequence, end: int, encoding: Encoding, tokenize: Callable) -> list[str]:
    """Return the tokens of notes and of the rest between the last one and a grid step.

    Parameters
    ----------
    notes : NoteSequence, not empty
        On the grid of the encoding; none ends after `end`.
    end : int
        Grid step.
    encoding : Encoding
    tokenize : callable
        Takes a NoteSequence and returns tokens and losses.
    """
    if end <= notes.n_steps:
        return tokenize(notes)[0]
    # The rest before a further note, without that note, is the rest that is wanted.
    further = {"start": end, "duration": 1, "pitch": notes.pitch[-1], "part": notes.part[-1]}
    tokens = tokenize(
        replace(notes, **{name: np.append(getattr(notes, name), value) for name, value in further.items()})
    )[0]
    step = 0
    for i, token in enumerate(tokens):
        token_steps = encoding.token_steps([token])[0]
        if step >= end and (token_steps or encoding.onset_tones(token)):
            return tokens[:i]
        step += token_steps
    return tokens


def _identity(notes, i):
    """Return the start, pitch and part, which identify a note."""
    return int(notes.start[i]), int(notes.pitch[i]), int(notes.part[i])
