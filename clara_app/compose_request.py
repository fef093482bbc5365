"""What to compose: the settings that the command line and the page share, checked in one place."""

from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from pathlib import Path

from clara.errors import BadSetting
from clara.form.forms import parse_form
from clara.music.bars import parse_time_signature
from clara.music.keys import parse_key, parse_pitch, scale_pitch_classes
from clara.music.notes import NoteSequence
from clara.sampling.constraints import DEFAULT_CONSTRAINTS, Constraints
from clara.sampling.settings import SamplingSettings
from clara_app import defaults
from critic.defaults import DEFAULT_RANKING


def default_settings() -> SamplingSettings:
    """Return the sampling settings of a request that names none."""
    return SamplingSettings(temperature=defaults.MIN_TEMPERATURE, top_p=defaults.TOP_P)


@dataclass(frozen=True)
class MusicalConstraints:
    """What the composed notes must satisfy, in a musician's words.

    Attributes
    ----------
    key : str, optional
        Key whose scale the notes stay in, such as "E minor".
    ranges : tuple of str
        Pitch ranges such as "C2-C6", or "v:G3-A7" for one part.
    max_notes : int, optional
        Largest number of notes that sound at once.
    cadence : bool
        Whether to prefer the tonic chord at the end.
    fixed_melody : str or NoteSequence, optional
        Melody, as a music file or as notes, that stays as it is while the rest is composed.
    fixed_melody_part : str, optional
        Prefix of the part that plays the fixed melody.
    """

    key: str | None = None
    ranges: tuple[str, ...] = ()
    max_notes: int | None = None
    cadence: bool = False
    fixed_melody: str | NoteSequence | None = None
    fixed_melody_part: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "ranges", tuple(self.ranges))
        if self.fixed_melody_part and not self.fixed_melody:
            raise BadSetting("fixed_melody_part needs a fixed melody (--fixed-melody)")

    @property
    def tonic_and_mode(self) -> tuple[int, bool] | None:
        """Return the key as (pitch class of the tonic, whether it is major), or None."""
        return parse_key(self.key) if self.key else None

    def for_encoding(self, encoding) -> Constraints:
        """Return the constraints in the form that a grammar takes.

        Raises
        ------
        BadSetting
            If the key or a range cannot be read, or the encoding has no such part.
        """
        key = self.tonic_and_mode
        return replace(
            DEFAULT_CONSTRAINTS,
            pitch_classes=scale_pitch_classes(*key) if key else None,
            ranges=self._ranges_of_parts(encoding.prefixes),
            max_notes=self.max_notes,
        )

    def _ranges_of_parts(self, prefixes):
        """Return {part index: (lowest pitch, highest pitch)}."""
        ranges = {}
        for text in self.ranges:
            prefix, _, pitches = text.rpartition(":")
            low, dash, high = pitches.partition("-")
            if not dash or prefix not in ("", *prefixes):
                raise BadSetting(
                    f"--range {text}: write LOW-HIGH or PART:LOW-HIGH, where PART is one of {', '.join(prefixes)}"
                )
            parts = [prefixes.index(prefix)] if prefix else range(len(prefixes))
            for part in parts:
                ranges[part] = parse_pitch(low), parse_pitch(high)
        return ranges


@dataclass(frozen=True)
class ComposeRequest:
    """Everything that determines the composed pieces.

    Attributes
    ----------
    model : str
        Run folder, or name of a shipped model.
    adapter : str, optional
        Adapter file that was trained for this model.
    precision : str
        Precision of inference: "auto", "int8" or "float32".
    n : int
        Number of pieces to compose and choose from.
    top : int
        Number of best pieces to keep.
    quarters : float
        Length of the composed music in quarter notes, after the prompt.
    bars : float, optional
        Length in bars, in place of `quarters`.
    time_signature : str, optional
        Such as "3/4" (default: that of the prompt or the fixed melody, or else the model's choice).
    form : str, optional
        Sections that return, such as "AABA"; it sets the length if `bars` does not.
    form_of : str or NoteSequence, optional
        Music whose form the pieces have: a file, `music21:NAME`, or notes; it sets the length if `bars` does not.
    plan : str, optional
        File of the plan that every piece follows from the beginning of its prompt; it sets the length.
    ending : bool
        Whether pieces come to an end, if the model follows plans.
    prompt : str or NoteSequence, optional
        Music to continue: a file, `music21:NAME`, or notes on any grid.
    prompt_quarters : float, optional
        Where the prompt ends, in quarter notes from its beginning (default: at the end of its last note).
    performed : str
        Whether a MIDI prompt was performed, so that its beats must be found: "auto", "yes" or "no".
    qpm : float, optional
        Tempo in quarter notes per minute (default: that of the prompt, or 110).
    seed : int
        Random seed; each piece gets one of its own from it, see `clara.sampling.settings.piece_seeds`.
    settings : SamplingSettings
        Sampling settings; the temperature is the lowest of the batch.
    max_temperature : float, optional
        Highest temperature of the batch (default: the same as the lowest).
    constraints : MusicalConstraints
    rank_by : str, optional
        Ranking expression, or "none" to keep the pieces unranked (default: critic).
    critic : str, optional
        Folder of another critic than the shipped one.
    search : bool, optional
        Whether to search in blocks (default: if there is a ranking and more pieces than are kept).
    candidates_per_beam : int
        A search writes this times `n` candidates in each block.
    fill : (float, float), optional
        Start and end, in quarter notes, of the passage of the prompt to replace.
    fill_candidates : int
        Number of fillings to choose the most likely from.
    flat : bool
        Whether the pieces are played with one velocity, one tempo and no pedal, and not performed.
    spread_chords : bool
        Whether MIDI files hold the few milliseconds by which a performance spreads chords, as the audio does.

    Raises
    ------
    BadSetting
        If a value is out of its range, or two of them exclude each other.
    """

    model: str = defaults.DEFAULT_MODEL
    adapter: str | None = None
    precision: str = "auto"
    n: int = defaults.DEFAULT_N
    top: int = defaults.DEFAULT_TOP
    quarters: float = defaults.DEFAULT_QUARTERS
    bars: float | None = None
    time_signature: str | None = None
    form: str | None = None
    form_of: str | NoteSequence | None = None
    plan: str | None = None
    ending: bool = True
    prompt: str | NoteSequence | None = None
    prompt_quarters: float | None = None
    performed: str = "auto"
    qpm: float | None = None
    seed: int = 0
    settings: SamplingSettings = field(default_factory=default_settings)
    max_temperature: float | None = None
    constraints: MusicalConstraints = MusicalConstraints()
    rank_by: str | None = None
    critic: str | None = None
    search: bool | None = None
    candidates_per_beam: int = defaults.DEFAULT_CANDIDATES_PER_BEAM
    fill: tuple[float, float] | None = None
    fill_candidates: int = defaults.DEFAULT_FILL_CANDIDATES
    flat: bool = False
    spread_chords: bool = False

    def __post_init__(self):
        self._check_ranges()
        self._check_combinations()
        if self.rank_by is None:
            object.__setattr__(self, "rank_by", DEFAULT_RANKING)
        if self.search is None:
            object.__setattr__(self, "search", self.is_ranked and self.n > self.top)

    def _check_ranges(self):
        for name in ("n", "top", "candidates_per_beam", "fill_candidates"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("quarters", "bars", "prompt_quarters", "qpm"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise BadSetting(f"{name} must be above 0, not {value}")
        if self.time_signature is not None:
            parse_time_signature(self.time_signature)
        if self.form is not None:
            parse_form(self.form)
        if self.seed < 0:
            raise BadSetting(f"seed must be at least 0, not {self.seed}")
        if self.performed not in defaults.PERFORMED_CHOICES:
            raise BadSetting(
                f"performed must be one of {', '.join(defaults.PERFORMED_CHOICES)}, not {self.performed!r}"
            )
        if self.precision not in defaults.PRECISIONS:
            raise BadSetting(f"precision must be one of {', '.join(defaults.PRECISIONS)}, not {self.precision!r}")

    def _check_combinations(self):
        self._check_form()
        if self.flat and self.spread_chords:
            raise BadSetting("--flat and --spread-chords exclude each other, as a performance spreads chords")
        if self.fill and (self.prompt is None or self.constraints.fixed_melody or self.constraints.cadence):
            raise BadSetting(
                "fill (--fill) needs a prompt with a gap (--prompt), and excludes --fixed-melody and --cadence"
            )
        if self.search and not self.is_ranked:
            raise BadSetting("search (--search) needs scores to rank by (--rank-by), and excludes --fill")

    def _check_form(self):
        """Raise BadSetting if the form is given twice, or where it has no effect."""
        flags = self.form_flags
        forms = [flag for flag in flags if flag != "--no-ending"]
        if len(forms) > 1:
            raise BadSetting(f"{' and '.join(forms)} each set the form: leave out all but one")
        for other, is_given in (("--fill", self.fill), ("--fixed-melody", self.constraints.fixed_melody)):
            if flags and is_given:
                raise BadSetting(f"{flags[0]} and {other} exclude each other, as other music sets the form and the end")
        if self.prompt is not None and (self.form or self.form_of):
            raise BadSetting(f"{forms[0]} is for new pieces: leave out the prompt (--prompt), or give a plan (--plan)")
        for other, value in (("--bars", self.bars), ("--time-signature", self.time_signature)):
            if self.plan is not None and value is not None:
                raise BadSetting(f"--plan and {other} exclude each other, as a plan sets bars and time signatures")

    @property
    def form_flags(self) -> list[str]:
        """Return the given flags that only models that follow plans understand."""
        is_given = {
            "--form": self.form is not None,
            "--form-of": self.form_of is not None,
            "--plan": self.plan is not None,
            "--no-ending": not self.ending,
        }
        return [flag for flag, given in is_given.items() if given]

    @property
    def is_ranked(self) -> bool:
        """Return whether scores rank the pieces; fillings are ordered by their likelihood instead."""
        return self.rank_by != defaults.NO_RANKING and not self.fill

    def to_dict(self) -> dict:
        """Return the request as JSON can hold it, with the constraints beside the other fields."""
        names = {"prompt": _name_of(self.prompt), "form_of": _name_of(self.form_of)}
        constraints = asdict(self.constraints) | {"fixed_melody": _name_of(self.constraints.fixed_melody)}
        others = {name: value for name, value in asdict(self).items() if name != "constraints"}
        return others | names | constraints

    @classmethod
    def from_dict(cls, values: dict) -> "ComposeRequest":
        """Build a request from what `to_dict` returned; other keys are ignored.

        Raises
        ------
        KeyError
            If a field is missing.
        BadSetting
            If a value is out of its range.
        """
        own = {f.name: values[f.name] for f in fields(cls) if f.name not in ("settings", "constraints", "fill")}
        settings = SamplingSettings(**{f.name: values["settings"][f.name] for f in fields(SamplingSettings)})
        constraints = MusicalConstraints(**{f.name: values[f.name] for f in fields(MusicalConstraints)})
        fill = tuple(values["fill"]) if values["fill"] else None
        return cls(**own, settings=settings, constraints=constraints, fill=fill)


def _name_of(music):
    """Return the name of music that was given as a file; notes have none."""
    return music if music is None or isinstance(music, (str, Path)) else "notes"
