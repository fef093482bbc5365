"""One call of a `Generator`, converted and checked: what to compose, and how its texts become music."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, TypedDict

import numpy as np

from clara.encodings.base import Encoding
from clara.encodings.vocab import BOS, Vocab
from clara.errors import BadSetting, NoNotes
from clara.generation.arguments import (
    Key,
    Prompt,
    add_key,
    convert_fixed_melody,
    convert_key,
    convert_length,
    convert_prompt,
    convert_qpm,
)
from clara.generation.sample import Sample
from clara.music.notes import COMMON_TIME, NoteSequence, crop, select
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
    key: Key
    qpm: float | None
    constraints: Constraints
    cadence: bool
    fixed_melody: Prompt
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
    n_steps : int
        Grid steps to compose after the prompt.
    qpm : float
    time_signatures : tuple
        Those of the prompt, or else of the fixed melody.
    """

    encoding: Encoding
    vocab: Vocab
    sampler: Sampler
    prompt: NoteSequence | None
    prompt_tokens: list[str]
    prompt_end: int
    n_steps: int
    qpm: float
    time_signatures: tuple = COMMON_TIME

    @classmethod
    def from_arguments(
        cls,
        generator: Any,
        quarters: float | None,
        prompt: Prompt,
        *,
        prompt_quarters: float | None = None,
        bars: float | None = None,
        key: Key = None,
        qpm: float | None = None,
        constraints: Constraints = DEFAULT_CONSTRAINTS,
        cadence: bool = False,
        fixed_melody: Prompt = None,
        threads: int = 1,
        on_step: Callable[[int], Any] | None = None,
        stop: Event | None = None,
    ) -> "GenerationRequest":
        """Return a request to a `Generator`; converts and checks the arguments of `Generator.generate`."""
        encoding = generator.encoding
        notes = convert_prompt(prompt, encoding)
        prompt_end = notes.n_steps if notes else 0
        if notes and prompt_quarters is not None:
            prompt_end = convert_length(prompt_quarters, None, None, encoding.steps_per_quarter)
            if prompt_end > notes.n_steps + MAX_FINAL_REST_QUARTERS * encoding.steps_per_quarter:
                raise BadSetting(
                    f"the last note of the prompt ends at quarter {notes.quarters:g}: end it at quarter "
                    f"{notes.quarters + MAX_FINAL_REST_QUARTERS:g} at the latest, not {prompt_quarters:g}"
                )
            notes = crop(notes, 0, prompt_end)
            if not len(notes):
                raise NoNotes(f"the prompt has no notes before quarter {prompt_quarters:g}")
        melody = convert_fixed_melody(fixed_melody, encoding)
        n_steps = melody.n_steps if melody else convert_length(quarters, bars, notes, encoding.steps_per_quarter)
        tonic_and_mode = convert_key(key)
        grammar = make_grammar(encoding, generator.vocab, add_key(constraints, tonic_and_mode), melody)
        cadence_bias = None
        if cadence:
            pitch, _ = encoding.pitch_and_part(np.arange(encoding.n_tones))
            cadence_bias = Cadence(grammar.onset_tones, pitch % 12, encoding.steps_per_quarter, tonic_and_mode)
        sampler = Sampler(
            generator.model,
            generator.make_stepper,
            grammar,
            encoding.steps_per_quarter,
            cadence_bias,
            generator.repeats,
            threads,
            on_step,
            stop,
        )
        tokens = tokenize_until(notes, prompt_end, encoding, generator.tokenize) if notes else []
        qpm = convert_qpm(qpm, notes)
        source = notes or melody
        time_signatures = source.time_signatures if source else COMMON_TIME
        return cls(encoding, generator.vocab, sampler, notes, tokens, prompt_end, n_steps, qpm, time_signatures)

    @property
    def prompt_ids(self) -> np.ndarray:
        """Return the token ids of the prompt, xxbos first."""
        return self.vocab.to_ids([BOS, *self.prompt_tokens])

    @property
    def prompt_steps(self) -> int:
        """Return the number of grid steps in the text of the prompt."""
        return sum(self.encoding.token_steps(self.prompt_tokens))

    def to_notes(self, ids: Sequence[int]) -> NoteSequence:
        """Return the prompt and the composed tokens as notes.

        Tokens hold no time signatures, so those of the request are kept.
        """
        tokens = self.prompt_tokens + self.vocab.to_tokens(ids)
        notes, losses = self.encoding.decode(tokens, qpm=self.qpm)
        assert not losses, f"the grammar allowed a text that loses {losses}"
        return replace(notes, time_signatures=self.time_signatures)

    def to_sample(self, ids: Sequence[int], seed: int, settings: SamplingSettings) -> Sample:
        """Return the prompt and the composed tokens as a Sample."""
        tokens = self.prompt_tokens + self.vocab.to_tokens(ids)
        prompt_quarters = self.prompt_end / self.encoding.steps_per_quarter
        return Sample(tokens, self.to_notes(ids), len(self.prompt_tokens), prompt_quarters, seed, settings)

    def stream(self, seed: int, settings: SamplingSettings) -> Iterator[NoteSequence]:
        """Compose one piece, and yield the notes that have become final; see `Generator.stream`."""
        prompt_steps = self.prompt_steps
        yielded, last_step = set(), 0
        for ids, step in self.sampler.stream(self.prompt_ids, self.n_steps, settings, seed):
            is_over = len(ids) == 0 or step == self.n_steps
            if step == last_step and not is_over:
                continue
            last_step = step
            notes, _ = self.encoding.decode(self.prompt_tokens + self.vocab.to_tokens(ids), qpm=self.qpm)
            notes = replace(notes, time_signatures=self.time_signatures)
            is_final = notes.end > prompt_steps
            if step < self.n_steps:
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
