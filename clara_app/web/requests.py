"""Check a request of the page and turn it into a `ComposeRequest`."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import ConfigDict, Field, ValidationError, model_validator

from clara.checkpoints.shipped_models import find_model, shipped_model_names
from clara.errors import BadSetting
from clara.form.forms import parse_form
from clara.music.bars import parse_time_signature
from clara.music.notes import crop
from clara.records import Record, describe
from clara.sampling.settings import SamplingSettings
from clara_app.compose_request import ComposeRequest, MusicalConstraints
from clara_app.composer import model_for_adapter
from clara_app.defaults import NO_RANKING
from clara_app.web.changes import AGAIN
from clara_app.web.pieces import Piece
from critic.defaults import DEFAULT_RANKING

MODEL_TITLES = {
    "notewise": "Piano",
    "notewise-large": "Piano, larger model: better and slower",
    "chordwise": "Piano, in chords",
    "chamber": "Violin and piano",
}
# The slider sets temperature and top-p together; in the middle they are those of the command line.
RANDOMNESS = (0, 50, 100)
TEMPERATURE = (0.7, 0.875, 1.25)
TOP_P = (0.9, 0.98, 1.0)

QUARTERS_RANGE = (8, 256)
MAX_BARS = 64
N_CANDIDATES_RANGE = (1, 256)
QPM_RANGE = (20, 300)
MAX_SEED = 2**31 - 1
MAX_TOP_K = 1000
QUARTERS_PER_BAR = 4  # by which the last bar may be longer than its notes
MAX_NOTES_AT_ONCE = 20
MAX_PROMPT_QUARTERS = 512

MAX_SIGNATURE_LETTERS = 5
DEFAULT_SIGNATURE = "4/4"
CONTINUE, TUNE, FORM = "continue", "tune", "form"
TITLES = {CONTINUE: "Clara, after {}", TUNE: "Clara, with the tune {}", FORM: "Clara, in the form of {}"}

Text = Annotated[str, Field(min_length=1, max_length=100)]
Setting = Annotated[float, Field(ge=0, le=10)] | None


@dataclass(frozen=True)
class PageRequest:
    """A request of the page.

    Attributes
    ----------
    compose : ComposeRequest
        Its `model` is a name that the page offers.
    title : str
        Title of the composed pieces.
    prompt : Piece, optional
    change : str
        What happens to the passage that the request names; one of `clara_app.web.changes.CHANGES`.
    """

    compose: ComposeRequest
    title: str
    prompt: Piece | None = None
    change: str = AGAIN


class OfferedModel(NamedTuple):
    """A model that the page offers: its title, its run folder, and the adapter file that changes it, if any."""

    title: str
    folder: Path
    adapter: str | None = None


def offered_models(folders: Sequence[str | Path] = (), adapters: Sequence[str | Path] = ()) -> dict[str, OfferedModel]:
    """Return the models that the page offers by name: the shipped ones, these run folders, and these adapters.

    Parameters
    ----------
    folders : sequence of path
        Run folders.
    adapters : sequence of path
        Adapter files for shipped models.

    Raises
    ------
    CheckpointMismatch
        If a file is no adapter.
    """
    shipped_names = shipped_model_names()
    models = {
        name: OfferedModel(title, find_model(name)) for name, title in MODEL_TITLES.items() if name in shipped_names
    }
    models |= {Path(folder).name: OfferedModel(Path(folder).name, Path(folder)) for folder in folders}
    for adapter in adapters:
        path, base = Path(adapter), model_for_adapter(str(adapter))
        name = path.absolute().parent.name if path.stem == "adapter" else path.stem  # as train.py names it
        models[f"{name} ({base})"] = OfferedModel(f"{name}, an adapter of {base}", find_model(base), str(adapter))
    return models


def sampling_settings(randomness: float, advanced: dict | None = None) -> SamplingSettings:
    """Return the sampling settings of a place on the slider.

    Parameters
    ----------
    randomness : float
        From 0, the most predictable, to 100.
    advanced : dict, optional
        Settings by name that override the slider.
    """
    settings = SamplingSettings(
        temperature=float(np.interp(randomness, RANDOMNESS, TEMPERATURE)),
        top_p=float(np.interp(randomness, RANDOMNESS, TOP_P)),
    )
    overrides = {name: value for name, value in (advanced or {}).items() if value is not None}
    return replace(settings, **overrides)


class Body(Record):
    """What the page sends as JSON; an empty text stands for a value that is left out."""

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values):
        return {name: v for name, v in values.items() if v not in ("", None)} if isinstance(values, dict) else values


class AdvancedBody(Body):
    """Sampling settings that override the slider."""

    model_config = ConfigDict(extra="forbid")

    temperature: Setting = None
    top_k: Annotated[int, Field(ge=0, le=MAX_TOP_K)] | None = None
    top_p: Setting = None
    min_p: Setting = None
    repetition_penalty: Setting = None
    repeat_strength: Setting = None


class ComposeBody(Body):
    """A request to compose."""

    model: Text
    candidates: Annotated[float, Field(ge=N_CANDIDATES_RANGE[0], le=N_CANDIDATES_RANGE[1])] = 32
    quarters: Annotated[float, Field(ge=QUARTERS_RANGE[0], le=QUARTERS_RANGE[1])] = 32.0
    bars: Annotated[float, Field(ge=1, le=MAX_BARS)] | None = None  # in place of quarters
    time_signature: Annotated[str, Field(max_length=MAX_SIGNATURE_LETTERS)] | None = None
    prompt: Text | None = None
    prompt_quarters: Annotated[float, Field(ge=1, le=MAX_PROMPT_QUARTERS)] = MAX_PROMPT_QUARTERS
    qpm: Annotated[float, Field(ge=QPM_RANGE[0], le=QPM_RANGE[1])] | None = None
    seed: Annotated[float, Field(ge=0, le=MAX_SEED)] = 0
    randomness: Annotated[float, Field(ge=0, le=100)] = 50
    key: Text | None = None
    composer: Annotated[Text, Field(pattern=r"^[\w .'-]+$")] | None = None
    rank_by: Text | None = None  # scores, such as critic + 0.5 novelty
    cadence: bool = False
    fill: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None  # quarters of the prompt to replace
    use: Literal["continue", "tune", "form"] = CONTINUE  # of the prompt: go on, accompany it, or compose in its form
    change: Literal["again", "vary", "keep"] = AGAIN  # of that passage
    max_notes: Annotated[int, Field(ge=1, le=MAX_NOTES_AT_ONCE)] | None = None
    range: Text | None = None  # such as C2-C6
    form: Text | None = None  # sets the length in place of quarters
    ending: bool = True
    search: bool = False
    flat: bool = False
    advanced: AdvancedBody = AdvancedBody()


class KeyPressBody(Body):
    """Notes played on the keyboard of the page; `clara_app.web.prompts` checks each of them."""

    qpm: Annotated[float, Field(ge=QPM_RANGE[0], le=QPM_RANGE[1])] | None = None  # None: the beats are found
    time_signature: Annotated[str, Field(max_length=MAX_SIGNATURE_LETTERS)] = "4/4"
    key_presses: list[Annotated[list[float], Field(min_length=3, max_length=4)]] = []


class SearchBody(Body):
    """A search in the library; see `clara_app.web.library.Library.search`."""

    words: Annotated[str, Field(max_length=200)] = ""
    starred: bool = False
    every: bool = False
    beginnings: bool = False
    order: Text = "newest"
    offset: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class EditBody(Body):
    """The notes of an edited piece: rows of start, duration, pitch and part, times in quarter notes."""

    notes: list[Annotated[list[float], Field(min_length=4, max_length=4)]]


class StarBody(Body):
    """A piece that gets a star or loses it."""

    id: Text
    starred: bool


class IdsBody(Body):
    """Pieces to delete, or to bring back."""

    ids: Annotated[list[Text], Field(max_length=1000)]
    undo: bool = False


B = TypeVar("B", bound=Body)


def parse_body(payload: object, schema: type[B]) -> B:
    """Return what the page sent, by its schema; raise BadSetting for a wrong or missing value, with its name."""
    try:
        return schema.model_validate(payload)
    except ValidationError as e:
        raise BadSetting(describe(e)) from e


def parse_request(payload: object, models: Collection[str], find_piece: Callable[[str], Piece | None]) -> PageRequest:
    """Check what the page sent.

    Parameters
    ----------
    payload : object
        The decoded JSON.
    models : collection of str
        Names of the models that the page offers.
    find_piece : function
        Returns the piece with an id, or None.

    Raises
    ------
    BadSetting
        If a value is missing or out of its range, with its name.
    """
    body = parse_body(payload, ComposeBody)
    if body.model not in models:
        raise BadSetting(f"model must be one of {', '.join(models)}, not {body.model!r}")
    prompt = _prompt(body, find_piece)
    fill = _fill(body, prompt)
    n = int(body.candidates)
    ranking = body.rank_by or DEFAULT_RANKING
    is_ranked = ranking != NO_RANKING
    is_continued = body.use == CONTINUE
    if not is_continued and (prompt is None or fill):
        raise BadSetting("choose the piece whose tune or form is meant")
    used = {body.use: _first_notes(prompt, body.prompt_quarters)} if prompt and not is_continued else {}
    request = ComposeRequest(
        model=body.model,
        n=n,
        top=ComposeRequest.top if body.search and is_ranked else n,
        quarters=body.quarters,
        bars=_limited_bars(body, prompt) if is_continued else None,
        time_signature=body.time_signature,
        form=_limited_form(body) if is_continued else None,
        form_of=used.get(FORM),
        ending=body.ending or TUNE in used,
        prompt=prompt.notes if prompt and is_continued else None,
        prompt_quarters=_prompt_end(body, prompt) if is_continued and not fill else None,
        fill=fill,
        qpm=body.qpm,
        seed=int(body.seed),
        settings=sampling_settings(body.randomness, body.advanced.model_dump()),
        constraints=MusicalConstraints(
            key=body.key,
            cadence=body.cadence,
            max_notes=body.max_notes,
            ranges=(body.range,) if body.range else (),
            fixed_melody=used.get(TUNE),
        ),
        rank_by=ranking + (f" + composer:{body.composer}" if body.composer and is_ranked else ""),
        search=body.search and is_ranked,
        candidates_per_beam=1,
        flat=body.flat,
    )
    _ = request.constraints.tonic_and_mode  # raises BadSetting for an unknown key
    title = "Clara" if prompt is None else prompt.title if fill else TITLES[body.use].format(prompt.title)
    return PageRequest(request, title, prompt if is_continued else None, body.change)


def _first_notes(prompt, quarters):
    """Return the first quarters of a piece; raise BadSetting if the page composes no piece as long."""
    notes = crop(prompt.notes, 0, round(quarters * prompt.notes.steps_per_quarter))
    if notes.quarters > QUARTERS_RANGE[1]:
        raise BadSetting(
            f"{notes.quarters:g} quarter notes of {prompt.title} are too many; use the first {QUARTERS_RANGE[1]}"
        )
    return notes


def _limited_bars(body, prompt):
    """Return the length in bars, not longer than the largest number of quarter notes."""
    if body.bars is None:
        return None
    signature = parse_time_signature(body.time_signature or DEFAULT_SIGNATURE)
    signatures = prompt.notes.time_signatures if prompt else ((0, *signature),)
    return min(body.bars, _max_bars(signatures))


def _limited_form(body):
    """Return the form; raise BadSetting if it is none, or longer than the page composes."""
    if body.form is None:
        return None
    n_bars = parse_form(body.form)[-1].end
    max_bars = min(MAX_BARS, int(_max_bars([(0, *parse_time_signature(body.time_signature or DEFAULT_SIGNATURE))])))
    if n_bars > max_bars:
        raise BadSetting(
            f"the form has {n_bars:,} bars; this page composes at most {max_bars}, so shorten its sections"
        )
    return body.form


def _max_bars(time_signatures):
    """Return the number of bars, a float, that the largest number of quarter notes holds."""
    return QUARTERS_RANGE[1] / max(4 * numerator / denominator for _, numerator, denominator in time_signatures)


def _prompt_end(body, prompt):
    """Return where the prompt ends in quarter notes, or None if it ends with its last note."""
    is_shorter = prompt is not None and body.prompt_quarters < prompt.notes.quarters
    return body.prompt_quarters if is_shorter else None


def _fill(body, prompt):
    """Return the passage of the prompt to replace, in quarter notes, or None."""
    if body.fill is None:
        return None
    begin, end = body.fill
    if prompt is None or not 0 <= begin < end <= prompt.notes.quarters + QUARTERS_PER_BAR:
        raise BadSetting("fill must be two places inside the piece to change, in quarter notes, the first one first")
    return begin, min(end, prompt.notes.quarters)


def _prompt(body, find_piece):
    """Return the piece to continue, or None."""
    if body.prompt is None:
        return None
    piece = find_piece(body.prompt)
    if piece is None:
        raise BadSetting("the prompt is no longer here; choose it again")
    return piece
