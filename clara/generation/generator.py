"""Compose with a trained model."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from threading import Event
from typing import Any, Unpack

import numpy as np

from clara.checkpoints.adapter import Adapter
from clara.checkpoints.checkpoint import Checkpoint
from clara.checkpoints.shipped_models import find_model
from clara.encodings.vocab import tokenize
from clara.errors import BadSetting
from clara.form.context import KEY
from clara.form.forms import Form
from clara.form.plan import Plan
from clara.form.planner import Planner
from clara.generation.arguments import (
    Key,
    Prompt,
    Settings,
    TimeSignature,
    add_key,
    convert_key,
    convert_seeds,
    convert_settings,
)
from clara.generation.infilling import fill_gap
from clara.generation.request import GenerationOptions, GenerationRequest
from clara.generation.sample import Sample
from clara.models.context import emphasize
from clara.music.notes import NoteSequence, crop
from clara.sampling.constraints import DEFAULT_CONSTRAINTS, Constraints
from clara.sampling.grammars import GRAMMARS, Grammar, NotewiseGrammar, make_grammar
from clara.sampling.search import SearchSettings, search
from clara.sampling.settings import SamplingSettings
from clara.sampling.steppers import stepper_factory

__all__ = ["Generator", "Sample"]

# Composed music drifts from its plan, because it continues its own wrong notes. So the keys of a plan count more than
# in reading; see docs/form.md.
KEY_EMPHASIS = 2.0


class Generator:
    """A model that is ready to compose.

    Parameters
    ----------
    checkpoint : Checkpoint
    precision : str
        Of the model's numbers, one of `clara.sampling.steppers.PRECISIONS`.
    device : str or torch.device
        A GPU pays for many pieces at once.

    Attributes
    ----------
    encoding : Encoding
    vocab : Vocab
    model : InferenceModel
    repeats : Repeats or None
    contexts : ContextReader or None
        For a model that follows plans.
    precision : str
        ``"int8"`` or ``"float32"``.

    Examples
    --------
    >>> generator = Generator.load("notewise")
    >>> [piece] = generator.generate(1, quarters=8, key="E minor", settings={"temperature": 0.9})
    >>> piece.write_midi("piece.mid")  # doctest: +SKIP
    """

    def __init__(self, checkpoint: Checkpoint, precision: str = "auto", device="cpu"):
        self.encoding = checkpoint.encoding
        self.vocab = checkpoint.vocab
        self.repeats = checkpoint.repeats()
        self.contexts = checkpoint.context_reader()
        if self.contexts:
            keys = self.contexts.layout.rows_of(KEY)
            table = emphasize(checkpoint.tensors["output_context.weight"].float(), keys, KEY_EMPHASIS)
            checkpoint = replace(checkpoint, tensors=checkpoint.tensors | {"output_context.weight": table})
        self.model = checkpoint.inference_model().to(device)
        self.make_stepper, self.precision = stepper_factory(self.model, precision)

    @classmethod
    def load(
        cls, model: str | Path, adapter: str | Path | None = None, precision: str = "auto", device="cpu"
    ) -> "Generator":
        """Load a model from a run folder or by the name of a shipped model.

        Parameters
        ----------
        model : str or Path
            A run folder, or a name such as ``"notewise"``.
        adapter : str or Path, optional
            An adapter file that was trained for this model.
        precision, device
            See `Generator`.

        Raises
        ------
        MissingModel
            If there is no such model.
        CheckpointMismatch
            If the folder is broken, or the adapter belongs to another model.
        BadSetting
            If the precision does not suit the model.
        """
        folder = find_model(model)
        checkpoint = Checkpoint.load(folder)
        if adapter:
            checkpoint = Adapter.load(adapter).apply_to(checkpoint, folder)
        return cls(checkpoint, precision, device)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, precision: str = "auto", device="cpu") -> "Generator":
        """Return a generator with the model of a checkpoint; see `Generator` for the parameters."""
        return cls(checkpoint, precision, device)

    def generate(
        self,
        n: int = 8,
        quarters: float | None = None,
        prompt: Prompt = None,
        settings: Settings = None,
        *,
        prompt_quarters: float | None = None,
        bars: float | None = None,
        time_signature: TimeSignature = None,
        key: Key = None,
        seed: int = 0,
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
    ) -> list[Sample]:
        """Compose n pieces in one batch.

        Parameters
        ----------
        n : int
            Number of pieces, at least 1.
        quarters : float, optional
            Length of the composed music after the prompt, in quarter notes (default: 64).
        prompt : str, Path or NoteSequence, optional
            Music to continue: a MIDI file, a score, a text file of the encoding, ``music21:NAME``, text of the
            encoding, or notes on any grid.
        settings : SamplingSettings, dict or list of these, optional
            How freely to sample, for all pieces or for each (default: as the model predicts).
        prompt_quarters : float, optional
            Where the prompt ends, in quarter notes from its beginning: later notes are left out, and rests before it
            count (default: at the end of its last note).
        bars : float, optional
            The length in bars, instead of `quarters`.
        time_signature : str or (int, int), optional
            Such as ``"3/4"`` (default: the prompt's, else that of the piece's plan, else 4/4).
        key : str or (int, bool), optional
            Such as ``"E minor"``, or tonic (0 is C) and whether it is major. Restricts the notes to its scale, and is
            the key of the cadence.
        seed : int
            Random seed. Each piece gets one of its own, `Sample.seed`; the first piece gets `seed`.
        qpm : float, optional
            Tempo in quarter notes per minute (default: the prompt's, or 110).
        constraints : Constraints
            Limits on ranges, on durations and on the number of notes at once.
        cadence : bool
            Whether to prefer notes of the tonic chord in the last two quarters. Without a key, the key of each piece
            is estimated.
        fixed_melody : str, Path or NoteSequence, optional
            A melody that every piece holds from the end of the prompt on. It gives the length of the pieces, whatever
            `quarters` is. Only for notewise, chamber and quartet models.
        plan : Plan, str or Path, optional
            What every piece follows from the beginning of its prompt, or the file of a plan; it gives the length of the
            pieces, and what it leaves open is composed (default: a plan of its own for each piece). Only for models
            that follow plans, which compose whole bars: as many as come nearest to `quarters`.
        form : Form or str, optional
            Which bars return to which, such as ``"AABA"``; see `clara.form.forms`. Only for models that follow plans.
        ending : bool
            Whether pieces come to an end; for models that follow plans.
        threads : int
            Largest number of threads.
        on_step : callable, optional
            Called with the number of grid steps that are left, for a progress bar.
        stop : threading.Event, optional
            Ends the work early when it is set.

        Returns
        -------
        list of Sample
            Only the finished pieces if `stop` was set.

        Raises
        ------
        BadSetting
            If an argument is out of its range or of the wrong kind, or the constraints leave no note.
        BadMusicFile, NoNotes, UnknownToken
            If the prompt cannot be read or holds no notes.
        """
        seeds = convert_seeds(seed, n)
        settings_of_piece = self._convert_settings(settings, n)
        request = GenerationRequest.from_arguments(
            self,
            quarters,
            prompt,
            prompt_quarters=prompt_quarters,
            bars=bars,
            time_signature=time_signature,
            key=key,
            qpm=qpm,
            constraints=constraints,
            cadence=cadence,
            fixed_melody=fixed_melody,
            plan=plan,
            form=form,
            ending=ending,
            threads=threads,
            on_step=on_step,
            stop=stop,
        )
        plans, n_steps = request.plan(seeds)
        texts = request.sampler.sample([request.prompt_ids], n_steps, settings_of_piece, seeds, plans=plans)
        return [
            request.to_sample(ids, seed, piece_settings, plan)
            for ids, seed, piece_settings, plan in zip(texts, seeds, settings_of_piece, plans or [None] * n)
            if ids is not None
        ]

    def continue_each(
        self,
        prompts: Sequence[Prompt],
        quarters: float,
        settings: Settings,
        seeds: Sequence[int],
        constraints: Constraints = DEFAULT_CONSTRAINTS,
        ending: bool = True,
        threads: int = 1,
    ) -> list[Sample]:
        """Continue each of several prompts once, all in one batch.

        Each piece is the one that `generate` makes of its prompt, settings and seed.

        Parameters
        ----------
        prompts : sequence of n prompts
            As in `generate`, None among them; an object that occurs several times is read once.
        seeds : sequence of n ints
        quarters, settings, constraints, ending, threads
            See `generate`.

        Returns
        -------
        list of n Samples

        Raises
        ------
        BadSetting
            If there are not as many seeds as prompts; and as `generate`.
        """
        if not len(prompts) == len(seeds) > 0:
            raise BadSetting(
                f"prompts and seeds must be as many, and at least one, not {len(prompts)} and {len(seeds)}"
            )
        settings_of_piece = self._convert_settings(settings, len(seeds))
        distinct_prompts = {id(prompt): prompt for prompt in prompts}
        requests = [
            GenerationRequest.from_arguments(
                self, quarters, prompt, constraints=constraints, ending=ending, threads=threads
            )
            for prompt in distinct_prompts.values()
        ]
        row_of_prompt = {prompt_id: row for row, prompt_id in enumerate(distinct_prompts)}
        rows = np.array([row_of_prompt[id(prompt)] for prompt in prompts])
        plans, n_steps = _plan_each(requests, rows, np.asarray(seeds))
        texts = requests[0].sampler.sample(
            [request.prompt_ids for request in requests],
            n_steps,
            settings_of_piece,
            seeds,
            rows,
            plans,
        )
        return [
            requests[row].to_sample(ids, seed, piece_settings, plan)
            for row, ids, seed, piece_settings, plan in zip(
                rows, texts, seeds, settings_of_piece, plans or [None] * len(seeds)
            )
        ]

    def search(
        self,
        rate: Callable[[list[NoteSequence]], Sequence[float]],
        n: int = 64,
        quarters: float | None = None,
        prompt: Prompt = None,
        settings: Settings = None,
        *,
        search_settings: SearchSettings | None = None,
        seed: int = 0,
        **options: Unpack[GenerationOptions],
    ) -> list[Sample]:
        """Compose in blocks and continue candidates whose rating rises more often; see `clara.sampling.search`.

        Parameters
        ----------
        rate : callable
            Takes a list of NoteSequences, what each candidate has composed so far, and returns a log-weight for each:
            a candidate whose number is higher by 1 is drawn e times as often.
        n : int
            Each block writes n times `search_settings.candidates_per_beam` candidates.
        settings : SamplingSettings, dict or list of these, optional
            For all candidates, or for each.
        search_settings : SearchSettings, optional
        quarters, prompt, seed, **options
            As in `generate`: prompt_quarters, bars, time_signature, key, qpm, constraints, cadence, fixed_melody, plan,
            form, ending, threads, on_step and stop.

        Returns
        -------
        list of Sample
            The piece of each search, those rated highest first, each with an opening of its own. As many as
            `search_settings.top`, but not more than candidates. Empty if `stop` was set.

        Raises
        ------
        BadSetting, BadMusicFile, NoNotes, UnknownToken
            As `generate`.
        """
        search_settings = search_settings or SearchSettings()
        convert_seeds(seed, n)
        n_candidates = n * search_settings.candidates_per_beam
        seeds = convert_seeds(seed, n_candidates)
        settings_of_candidate = self._convert_settings(settings, n_candidates)
        request = GenerationRequest.from_arguments(self, quarters, prompt, **options)
        first_step = request.prompt_steps

        def rate_texts(texts):
            pieces = []
            for ids in texts:
                # Notes that still sound have no end yet, which counts as a loss.
                notes, _ = self.encoding.decode(request.prompt_tokens + self.vocab.to_tokens(ids))
                pieces.append(crop(notes, first_step, max(first_step, notes.n_steps)) if first_step else notes)
            return rate(pieces)

        plans, n_steps = request.plan(seeds)
        results = search(
            request.sampler,
            request.prompt_ids,
            n_steps,
            settings_of_candidate,
            seeds,
            rate_texts,
            search_settings,
            plans,
        )
        return [
            request.to_sample(ids, seeds[i], settings_of_candidate[i], plans[first] if plans else None)
            for ids, i, first in results
        ]

    def stream(
        self,
        quarters: float | None = None,
        prompt: Prompt = None,
        settings: Settings = None,
        *,
        seed: int = 0,
        **options: Unpack[GenerationOptions],
    ) -> Iterator[NoteSequence]:
        """Compose one piece note by note: the piece that `generate` makes of the same arguments.

        Parameters
        ----------
        quarters, prompt, settings, seed, **options
            As in `generate`: prompt_quarters, bars, time_signature, key, qpm, constraints, cadence, fixed_melody, plan,
            form and ending.

        Yields
        ------
        NoteSequence
            The notes that have become final since the last time, never empty. Their steps count from the start of the
            prompt.

        Raises
        ------
        BadSetting, BadMusicFile, NoNotes, UnknownToken
            As `generate`.
        """
        [seed] = convert_seeds(seed, 1)
        [settings] = self._convert_settings(settings, 1)
        return GenerationRequest.from_arguments(self, quarters, prompt, **options).stream(seed, settings)

    def fill(
        self,
        piece: Prompt,
        start: float,
        end: float,
        n: int = 64,
        settings: Settings = None,
        *,
        hold: NoteSequence | None = None,
        is_ranked: bool = True,
        key: Key = None,
        seed: int = 0,
        constraints: Constraints = DEFAULT_CONSTRAINTS,
        threads: int = 1,
    ) -> list[tuple[Sample, float]]:
        """Fill a gap in a piece with new music that leads from one side to the other; see `clara.generation.infilling`.

        Parameters
        ----------
        piece : str, Path or NoteSequence
            As the prompt of `generate`.
        start, end : float
            The gap, in quarter notes. Notes that start in it are dropped. A note that sounds into it ends where the
            filling ends it.
        n : int
            Number of fillings.
        hold : NoteSequence, optional
            Notes on the grid of the encoding, such as the melody of the piece; every filling has the ones that start
            in the gap. Only for models whose text can hold a fixed melody.
        is_ranked : bool
            Whether to rank the fillings, which takes about as long as composing them; without it they are in the order
            of their seeds, and their numbers are NaN.
        settings, key, seed, constraints, threads
            See `generate`.

        Returns
        -------
        list of (Sample, float)
            Whole pieces, and minus the log-probability of the music right after the gap in nats; the best first.

        Raises
        ------
        BadSetting
            If the gap does not lie within the piece; and as `generate`.
        BadMusicFile, NoNotes, UnknownToken
            If the piece cannot be read or holds no notes.
        """
        seeds = convert_seeds(seed, n)
        settings_of_piece = self._convert_settings(settings, n)
        request = GenerationRequest.from_arguments(self, None, piece, key=key, constraints=constraints, threads=threads)
        make_grammar_with = partial(make_grammar, self.encoding, self.vocab, add_key(constraints, convert_key(key)))
        return fill_gap(
            request, start, end, settings_of_piece, seeds, self.tokenize, hold, make_grammar_with, is_ranked
        )

    @property
    def holds_notes(self) -> bool:
        """Return whether its text can hold a fixed melody."""
        return GRAMMARS[self.encoding.grammar] is NotewiseGrammar

    def _convert_settings(self, settings: Settings, n: int) -> list[SamplingSettings]:
        """Return the checked settings of n pieces."""
        converted = convert_settings(settings, n)
        if self.contexts and any(one.repeat_strength != 1 for one in converted):
            raise BadSetting("a model that follows plans has no repeat model; leave out the repeat strength")
        return converted

    @cached_property
    def planner(self) -> Planner:
        """Return the shipped planner, which composes the plans of pieces."""
        return Planner.load()

    def grammar(
        self, constraints: Constraints = DEFAULT_CONSTRAINTS, fixed_melody: NoteSequence | None = None
    ) -> Grammar:
        """Return the grammar of the model's text under constraints; raise BadSetting if they leave no note."""
        return make_grammar(self.encoding, self.vocab, constraints, fixed_melody)

    def tokenize(self, notes: NoteSequence) -> tuple[list[str], Counter]:
        """Return notes as tokens of the model's vocabulary.

        Parameters
        ----------
        notes : NoteSequence
            On the grid of the encoding.

        Returns
        -------
        tokens : list of str
        losses : Counter
            What the encoding lost, and under `replaced` how many tokens of an open vocabulary were unknown to the
            model and were replaced by the nearest known token.
        """
        return tokenize(notes, self.encoding, self.vocab)


def _plan_each(requests, rows, seeds):
    """Return the plan of each piece, or None, and its grid steps after the prompt.

    Parameters
    ----------
    requests : list of GenerationRequest
        Of one generator.
    rows, seeds : int arrays (n,)
        The request and the seed of each piece. Pieces of one request are planned together.
    """
    plans: list[Plan | None] = [None] * len(seeds)
    n_steps = np.zeros(len(seeds), dtype=np.int64)
    for row, request in enumerate(requests):
        pieces = np.flatnonzero(rows == row)
        plans_of_request, n_steps[pieces] = request.plan(seeds[pieces].tolist())
        for piece, plan in zip(pieces, plans_of_request or ()):
            plans[piece] = plan
    has_plans = requests[0].planning is not None
    return (plans if has_plans else None), n_steps
