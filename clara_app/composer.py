"""Compose and rank: from a request to ranked pieces, for the command line and the page."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from threading import Event

import numpy as np
import torch

from clara.checkpoints.adapter import Adapter
from clara.checkpoints.checkpoint import weights_hash
from clara.checkpoints.shipped_models import find_model, shipped_model_names
from clara.data.onset_grid import file_misfit
from clara.encodings.notewise import Notewise
from clara.encodings.prompts import read_fixed_melody, read_prompt, to_fixed_melody
from clara.errors import BadSetting
from clara.form.forms import Form, expand_form, form_of, parse_form
from clara.form.plan import MAX_BARS, Plan
from clara.form.plan_files import read_plan
from clara.generation.arguments import convert_length, convert_time_signature, fit_to_encoding
from clara.generation.generator import Generator
from clara.generation.planning import fit_plan
from clara.generation.sample import Sample
from clara.listening.alignment import Alignment, align_if_performed
from clara.music.bars import parse_time_signature
from clara.music.notes import COMMON_TIME, NoteSequence, crop
from clara.music.read import read_music
from clara.performing.playing import PlayedPrompt, read_played_prompt
from clara.sampling.constraints import Constraints
from clara.sampling.search import SearchSettings
from clara.sampling.settings import SEED_STRIDE, piece_seeds, spread_temperatures
from clara.wording import count_of
from clara_app.compose_request import ComposeRequest
from clara_app.defaults import DEFAULT_MODEL
from critic.ranking import rank_pieces, total_scores
from critic.scores import ScoringModels, parse_ranking

BATCH_SIZE = 256  # pieces to compose at a time, which bounds memory


@dataclass(frozen=True)
class PreparedRequest:
    """A request whose files have been read and whose constraints have been checked.

    Attributes
    ----------
    request : ComposeRequest
    prompt : NoteSequence, optional
        The prompt on the model's grid.
    prompt_losses : Counter
        What reading and tokenizing the prompt lost, by kind.
    prompt_misfit : float
        How badly a beat grid fits the prompt's file, see `clara.data.onset_grid.grid_misfit`.
    constraints : Constraints
    fixed_melody : NoteSequence, optional
    quarters : float
        Length of the composed music in quarter notes; if the model chooses a time signature, that of 4/4.
    plan : Plan, optional
        The plan to follow, on the model's grid.
    form : Form, optional
        The form of the pieces.
    ranking : function, optional
        From `critic.scores.parse_ranking`; None if the pieces are not ranked by scores.
    played_prompt : PlayedPrompt, optional
        How the prompt is played, if it carries expression.
    prompt_alignment : Alignment, optional
        The beats that were found in the prompt, if it was performed.
    """

    request: ComposeRequest
    prompt: NoteSequence | None
    prompt_losses: Counter
    prompt_misfit: float
    constraints: Constraints
    fixed_melody: NoteSequence | None
    quarters: float
    plan: Plan | None
    form: Form | None
    ranking: Callable | None
    played_prompt: PlayedPrompt | None = None
    prompt_alignment: Alignment | None = None


@dataclass(frozen=True)
class ScoredSample:
    """A composed piece and its scores.

    Attributes
    ----------
    sample : Sample
    scores : dict of str to float
        Each score by name, and `total`; empty if the piece was not or cannot be scored.
    """

    sample: Sample
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Composition:
    """The result of a request.

    Attributes
    ----------
    pieces : list of ScoredSample
        The best pieces, best first.
    n_composed : int
        Number of pieces that were composed and ranked.
    n_tokens : int
        Number of tokens in these, without the prompt.
    interrupted : bool
        Whether `stop` was set before the end.
    compose_seconds, rank_seconds : float
    """

    pieces: list[ScoredSample]
    n_composed: int
    n_tokens: int
    interrupted: bool
    compose_seconds: float
    rank_seconds: float


class Composer:
    """A generator with the models that score its pieces, each loaded once, on first use.

    Parameters
    ----------
    model : str
        Run folder, or name of a shipped model.
    adapter : str, optional
        Adapter file that was trained for this model.
    precision : str
        Precision of inference: "auto", "int8" or "float32".
    critic : str, optional
        Folder of another critic than the shipped one; `critic.own_critic.find_own_critic` finds that of a model.
    threads : int
        Number of threads that compose; each composes its share of the pieces.
    scoring_threads : int, optional
        Number of threads that torch may use while pieces are scored (default: torch's own setting).

    Examples
    --------
    >>> composer = Composer("notewise")
    >>> prepared = composer.prepare(ComposeRequest("notewise", n=16, top=2, quarters=16))  # doctest: +SKIP
    >>> best = composer.compose(prepared).pieces[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        adapter: str | None = None,
        precision: str = "auto",
        critic: str | None = None,
        threads: int = 1,
        scoring_threads: int | None = None,
    ) -> None:
        self.folder = find_model(model)
        self.adapter = adapter
        self.precision = precision
        self.critic_folder = critic
        self.threads = threads
        self.scoring_threads = scoring_threads

    @cached_property
    def generator(self) -> Generator:
        """Load and return the generator."""
        return Generator.load(self.folder, self.adapter, self.precision)

    @cached_property
    def scoring_models(self) -> ScoringModels:
        """Return the models that the scores share."""
        encoding = "chordwise" if self.generator.encoding.name == "chordwise" else "notewise"
        return ScoringModels(encoding, critic_folder=self.critic_folder)

    @property
    def is_loaded(self) -> bool:
        """Return whether the generator and the scoring models are loaded."""
        return "scoring_models" in self.__dict__

    def prepare(self, request: ComposeRequest) -> PreparedRequest:
        """Read the files of a request and check its constraints against the model.

        Raises
        ------
        BadMusicFile, NoNotes, UnknownToken
            If the prompt, the fixed melody or the piece whose form is asked for cannot be read.
        BadPlan
            If the plan cannot be read.
        BadSetting
            If no music satisfies the constraints, or the ranking names an unknown score. If the prompt has another
            time signature, or the model's grid cannot hold it. If the form is too long, or the model follows no plans.
        CheckpointMismatch, MissingModel
            If a model, the planner or the critic cannot be loaded.
        """
        self._check_planner(request)
        constraints = request.constraints.for_encoding(self.generator.encoding)
        fixed_melody = self._read_fixed_melody(request)
        self.generator.grammar(constraints, fixed_melody)  # raises BadSetting if no token is left
        prompt, losses = self._read_prompt(request)
        plan, form = self._read_plan(request, prompt), self._read_form(request)
        quarters = self._length_in_quarters(request, prompt, fixed_melody, plan, form)
        misfit, alignment = 0.0, None
        if isinstance(request.prompt, str):
            misfit = file_misfit(request.prompt)
            alignment = align_if_performed(request.prompt, request.performed)
        ranking = self._parse_ranking(request)
        played_prompt = self._read_played_prompt(request, prompt)
        return PreparedRequest(
            request,
            prompt,
            losses,
            misfit,
            constraints,
            fixed_melody,
            quarters,
            plan,
            form,
            ranking,
            played_prompt,
            alignment,
        )

    def _check_planner(self, request):
        """Raise an error if a request needs plans and the model follows none, or the planner is missing."""
        if self.generator.contexts:
            _ = self.generator.planner
        elif request.form_flags:
            raise BadSetting(
                f"{request.form_flags[0]}: the model {self.folder.name} follows no plans; leave it out, or choose a "
                "model that does (--model)"
            )

    def _read_plan(self, request, prompt):
        """Return the plan to follow on the model's grid, or None."""
        if request.plan is None:
            return None
        steps_per_quarter = self.generator.encoding.steps_per_quarter
        return fit_plan(read_plan(request.plan), steps_per_quarter, _prompt_end(request, prompt, steps_per_quarter))

    def _read_form(self, request):
        """Return the form of the pieces, or None."""
        if request.form is not None:
            form = expand_form(parse_form(request.form))
        elif request.form_of is not None:
            is_notes = isinstance(request.form_of, NoteSequence)
            form = form_of(request.form_of if is_notes else read_music(request.form_of))
        else:
            return None
        if len(form) > MAX_BARS:
            raise BadSetting(
                f"the form has {len(form):,} bars, but a piece at most {MAX_BARS:,}; choose a shorter form"
            )
        if request.bars is not None and len(form) > max(1, round(request.bars)):
            raise BadSetting(
                f"the form has {count_of(len(form), 'bar')}, but the piece only {request.bars:g}; use --bars "
                f"{len(form)} or a shorter form"
            )
        return form

    def _length_in_quarters(self, request, prompt, fixed_melody, plan, form):
        """Check the time signature, and return the length of the composed music in quarter notes."""
        steps_per_quarter = self.generator.encoding.steps_per_quarter
        if plan is not None:
            return (plan.n_steps - _prompt_end(request, prompt, steps_per_quarter)) / steps_per_quarter
        asked = request.time_signature or (form and form.time_signature)
        signature = convert_time_signature(asked, prompt or fixed_melody, steps_per_quarter)
        if fixed_melody:
            return fixed_melody.quarters
        bars = len(form) if form and request.bars is None else request.bars
        quarters = request.quarters if bars is None else None
        time_signatures = ((0, *signature),) if signature else COMMON_TIME
        return convert_length(quarters, bars, time_signatures, steps_per_quarter) / steps_per_quarter

    def _read_fixed_melody(self, request):
        melody, part = request.constraints.fixed_melody, request.constraints.fixed_melody_part
        encoding = self.generator.encoding
        if melody is None:
            return None
        if isinstance(melody, NoteSequence):
            fitted, _ = fit_to_encoding(melody, Notewise(encoding.steps_per_quarter, encoding.n_keys))
            return to_fixed_melody(fitted, encoding, part)[0]
        return read_fixed_melody(melody, encoding, part, time_signature=_parse_time_signature(request))[0]

    def _read_prompt(self, request):
        """Return the prompt on the model's grid, or None, and what was lost."""
        if request.prompt is None:
            return None, Counter()
        encoding = self.generator.encoding
        if isinstance(request.prompt, NoteSequence):
            notes, losses = fit_to_encoding(_first_quarters(request.prompt, request.prompt_quarters), encoding)
        else:
            signature = _parse_time_signature(request)
            notes, losses = read_prompt(
                request.prompt,
                encoding,
                request.prompt_quarters,
                time_signature=signature,
                performed=request.performed,
            )
        return notes, losses + self.generator.tokenize(notes)[1]

    def _read_played_prompt(self, request, prompt):
        """Return how a MIDI prompt is played, or None if it carries no expression."""
        if request.flat or request.prompt is None or isinstance(request.prompt, NoteSequence):
            return None
        encoding = self.generator.encoding
        played = read_played_prompt(request.prompt, encoding.steps_per_quarter, encoding.ensemble, request.performed)
        if played is None:
            return None
        begin, end = request.fill or (request.prompt_quarters or prompt.quarters, np.inf)
        return PlayedPrompt(*played, begin, end)

    def _parse_ranking(self, request):
        if not request.is_ranked:
            return None
        if self.critic_folder:
            self._check_critic()
        return parse_ranking(request.rank_by, self.scoring_models)

    def _check_critic(self):
        """Raise an error before composing if a critic cannot be loaded, or reads another encoding.

        An encoding without a shipped critic is also judged by critics that read notewise text.
        """
        critic, own = self.scoring_models.critic.encoding, self.generator.encoding
        is_coarser = critic.steps_per_quarter < own.steps_per_quarter
        if is_coarser or critic.name not in (own.name, self.scoring_models.encoding):
            raise BadSetting(
                f"{self.critic_folder}: this critic reads {_describe_encoding(critic)}, but the model "
                f"{self.folder.name} composes {_describe_encoding(own)}; choose a critic that was trained for this "
                "model (clara critic trains one)"
            )

    def compose(
        self,
        prepared: PreparedRequest,
        on_progress: Callable[[str, float], None] | None = None,
        stop: Event | None = None,
    ) -> Composition:
        """Compose the pieces of a request and keep the best.

        Parameters
        ----------
        prepared : PreparedRequest
        on_progress : function(stage, share), optional
            Called with "composing" or "ranking", and the share of that stage that is done, from 0 to 1.
        stop : threading.Event, optional
            Ends composing early; the pieces that were finished are ranked.
        """
        began = time.perf_counter()
        samples = [sample for batch in self.sample(prepared, None, on_progress, stop) for sample in batch]
        composed = time.perf_counter()
        pieces = self.rank(samples, prepared, on_progress)
        return Composition(
            pieces[: prepared.request.top],
            n_composed=len(samples),
            n_tokens=sum(len(sample.tokens) - sample.prompt_tokens for sample in samples),
            interrupted=stop is not None and stop.is_set(),
            compose_seconds=composed - began,
            rank_seconds=time.perf_counter() - composed,
        )

    def sample(
        self,
        prepared: PreparedRequest,
        batch_sizes: Sequence[int] | None = None,
        on_progress: Callable[[str, float], None] | None = None,
        stop: Event | None = None,
    ) -> Iterator[list[Sample]]:
        """Compose the pieces of a request without ranking them.

        Parameters
        ----------
        batch_sizes : sequence of int, optional
            Number of pieces to compose at a time; their sum is `n` of the request (default: `BATCH_SIZE` each).
        prepared, on_progress, stop
            As for `compose`.

        Yields
        ------
        list of Sample
            The pieces of a batch; of a search, the best ones.
        """
        for samples in self._sample_batches(prepared, batch_sizes, on_progress, stop):
            yield [replace(sample, played_prompt=prepared.played_prompt) for sample in samples]

    def _sample_batches(self, prepared, batch_sizes, on_progress, stop):
        """Yield the pieces of a request in batches."""
        request = prepared.request
        if request.fill:
            yield self._fill(prepared)
            return
        n_done = 0
        for n in batch_sizes or _split(request.n, BATCH_SIZE):
            samples = self._sample_batch(prepared, n, n_done, on_progress, stop)
            if samples:
                yield samples
            if stop and stop.is_set():
                return
            n_done += n

    def _sample_batch(self, prepared, n, n_done, on_progress, stop):
        """Compose n pieces, or search."""
        request = prepared.request
        candidates_each = request.candidates_per_beam if request.search else 1
        seed = request.seed + SEED_STRIDE * candidates_each * n_done
        n_steps = round(prepared.quarters * self.generator.encoding.steps_per_quarter)

        def on_step(steps_left):
            share = max(0, 1 - steps_left / n_steps)  # a plan may be longer than the length that was asked for
            on_progress("composing", (n_done + n * share) / request.n)

        options = {
            "quarters": request.quarters if request.bars is None else None,
            "bars": request.bars,
            "time_signature": request.time_signature,
            "prompt": prepared.prompt,
            "prompt_quarters": request.prompt_quarters if prepared.prompt else None,
            "settings": _settings_of_batch(request, seed, candidates_each * n),
            "seed": seed,
            "qpm": request.qpm,
            "constraints": prepared.constraints,
            "cadence": request.constraints.cadence,
            "key": request.constraints.tonic_and_mode,
            "fixed_melody": prepared.fixed_melody,
            "plan": prepared.plan,
            "form": prepared.form,
            "ending": request.ending,
            "threads": self.threads,
            "on_step": on_step if on_progress else None,
            "stop": stop,
        }
        if not request.search:
            return self.generator.generate(n, **options)
        search_settings = SearchSettings(top=request.top, candidates_per_beam=request.candidates_per_beam)
        return self.generator.search(
            partial(self._total_scores, prepared), n, search_settings=search_settings, **options
        )

    def _fill(self, prepared):
        """Return the most likely fillings of the gap, most likely first."""
        request = prepared.request
        fillings = self.generator.fill(
            prepared.prompt,
            *request.fill,
            n=max(request.n, request.fill_candidates),
            settings=request.settings,
            seed=request.seed,
            constraints=prepared.constraints,
            threads=self.threads,
        )
        return [sample for sample, _ in fillings[: request.n]]

    def _total_scores(self, prepared, pieces):
        """Return what the search maximizes."""
        with _torch_threads(self.scoring_threads):
            return total_scores(pieces, prepared.ranking)

    def rank(
        self,
        samples: Sequence[Sample],
        prepared: PreparedRequest,
        on_progress: Callable[[str, float], None] | None = None,
    ) -> list[ScoredSample]:
        """Score pieces and return them best first; without a ranking, as they come."""
        if prepared.ranking is None:
            return [ScoredSample(sample) for sample in samples]
        order, scores = self._rank_notes([sample.composed() for sample in samples], prepared, on_progress)
        return [ScoredSample(samples[i], scores[i]) for i in order]

    def score(self, pieces: Sequence[NoteSequence], prepared: PreparedRequest) -> list[dict[str, float]]:
        """Return the scores of each piece by name; empty dicts if there is no ranking or a piece cannot be scored."""
        if prepared.ranking is None or not pieces:
            return [{} for _ in pieces]
        return self._rank_notes(pieces, prepared, None)[1]

    def _rank_notes(self, pieces, prepared, on_progress):
        n_done = 0

        def on_pieces(n):
            nonlocal n_done
            n_done += n
            if on_progress:
                on_progress("ranking", n_done / len(pieces))

        with _torch_threads(self.scoring_threads):
            return rank_pieces(pieces, prepared.ranking, on_pieces)


def model_for_adapter(adapter: str | None) -> str:
    """Return the name of the shipped model that an adapter was trained for, or the default model."""
    base = Adapter.load(adapter).info.get("base") if adapter else None
    if base:
        for name in shipped_model_names():
            if weights_hash(find_model(name)) == base:
                return name
    return DEFAULT_MODEL


def _describe_encoding(encoding):
    """Return an encoding's name and grid in words."""
    return f"{encoding.name} text with {encoding.steps_per_quarter} steps per quarter"


def _parse_time_signature(request):
    """Return the time signature of a request as two numbers, or None."""
    return None if request.time_signature is None else parse_time_signature(request.time_signature)


def _prompt_end(request, prompt, steps_per_quarter):
    """Return the grid step at which the prompt ends; 0 without a prompt."""
    if prompt is None:
        return 0
    return prompt.n_steps if request.prompt_quarters is None else round(request.prompt_quarters * steps_per_quarter)


def _settings_of_batch(request, seed, n):
    """Return the sampling settings of n pieces, with temperatures spread over the requested range."""
    highest = request.max_temperature or request.settings.temperature
    return spread_temperatures(request.settings, highest, piece_seeds(seed, n))


def _split(n, size):
    """Return the sizes of batches of at most `size`."""
    return [min(size, n - first) for first in range(0, n, size)]


def _first_quarters(notes, quarters):
    """Return the notes of the first quarters; all of them if quarters is None."""
    return notes if quarters is None else crop(notes, 0, round(quarters * notes.steps_per_quarter))


@contextlib.contextmanager
def _torch_threads(n):
    """Let torch use n threads for a while; with None, leave its setting."""
    before = torch.get_num_threads()
    if n:
        torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
