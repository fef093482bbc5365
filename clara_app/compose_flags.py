"""The flags of the command that composes, and the request that they describe."""

import os
import time
from argparse import ArgumentTypeError, BooleanOptionalAction, Namespace
from typing import TYPE_CHECKING, Any

from clara import cli
from clara_app import defaults
from critic.defaults import DEFAULT_RANKING

if TYPE_CHECKING:
    from clara_app.compose_request import ComposeRequest

# They say what is written, and where; the music comes from the replayed run.
FLAGS_BESIDE_REPLAY = ("replay", "out", "audio", "no_pictures", "continuation_only", "threads")


def add_flags(parser: cli.Parser) -> None:
    """Add all flags to a parser, in groups."""
    _add_music_flags(parser.add_argument_group("music").add_argument)
    _add_ranking_flags(parser.add_argument_group("ranking and search").add_argument)
    _add_sampling_flags(parser.add_argument_group("sampling").add_argument)
    _add_constraint_flags(parser.add_argument_group("constraints").add_argument)
    _add_output_flags(parser.add_argument_group("audio and page").add_argument)
    _add_run_flags(parser.add_argument_group("run").add_argument)


def _add_music_flags(add):
    add(
        "-n",
        type=cli.at_least(1),
        default=defaults.DEFAULT_N,
        metavar="N",
        help="Number of pieces to compose; --top of them are kept.",
    )
    add("--top", type=cli.at_least(1), default=defaults.DEFAULT_TOP, metavar="N", help="Number of best pieces to keep.")
    add(
        "--quarters",
        type=cli.above(0),
        default=defaults.DEFAULT_QUARTERS,
        metavar="X",
        help="Length of the composed music in quarter notes, after the prompt.",
    )
    add(
        "--bars",
        type=cli.above(0),
        metavar="N",
        help="Length of the composed music in bars, instead of --quarters.",
    )
    add(
        "--time-signature",
        type=_time_signature,
        metavar="N/D",
        help="Time signature such as 3/4 or 6/8 (default: that of the prompt or the fixed melody, or else the model's "
        "choice: 4/4 if it follows no plans).",
    )
    add(
        "--form",
        metavar="LETTERS",
        help='Sections that return: AABA for four sections of eight bars, or "A8 B16 A\'8" with numbers of bars and a '
        "varied return. Sets the length unless --bars does. For models that follow plans.",
    )
    add(
        "--form-of",
        type=cli.file_path,
        metavar="FILE",
        help="Piece whose form the new music has: the same bars return, and phrases begin in the same bars.",
    )
    add(
        "--plan",
        type=cli.file_path,
        metavar="FILE",
        help="Plan that the pieces follow bar by bar, such as the .plan.csv beside a composed piece. Clara composes "
        "what it leaves open. Sets the length.",
    )
    add(
        "--no-ending",
        action="store_true",
        help="Leave the end open (default: a model that follows plans ends on a held tonic chord).",
    )
    add(
        "--prompt",
        type=cli.file_path,
        metavar="FILE",
        help="Music to continue: a MIDI file, a score, a text, or a piece from music21 such as music21:bach/bwv66.6.",
    )
    add(
        "--prompt-quarters",
        type=cli.above(0),
        metavar="X",
        help="Where the prompt ends, in quarter notes from its beginning; later notes are left out, and rests before "
        "it count (default: at the end of its last note).",
    )
    add(
        "--fill",
        type=_quarter_range,
        metavar="FROM:TO",
        help="Replace the prompt between these quarter notes, and keep the rest of it.",
    )
    add(
        "--fill-candidates",
        type=cli.at_least(1),
        default=defaults.DEFAULT_FILL_CANDIDATES,
        metavar="N",
        help="Number of fillings to compose for --fill; the most likely are kept.",
    )
    add(
        "--performed",
        choices=defaults.PERFORMED_CHOICES,
        default="auto",
        help="Whether a MIDI prompt was played without a metronome, so that Clara finds its beats and bars; auto finds "
        "them if its onsets fit no beat grid.",
    )
    add(
        "--qpm",
        type=cli.within(10, 400),
        metavar="X",
        help="Tempo in quarter notes per minute (default: that of the prompt, or 110).",
    )


def _add_ranking_flags(add):
    add(
        "--rank-by",
        metavar="SCORES",
        help="Score or weighted sum of scores to rank by; critic, composer:NAME, novelty, likelihood, "
        "longest_copied_run, density_likelihood, note_density, rest_ratio, a sum such as 'critic - 0.1 "
        f"longest_copied_run', or none to keep the pieces as they come (default: {DEFAULT_RANKING}).",
    )
    add(
        "--critic",
        type=cli.folder_path,
        metavar="FOLDER",
        help="Folder of a critic, as clara critic writes it (default: MODEL-critic if it learned from this model's "
        "weights; otherwise the pretrained critic).",
    )
    add(
        "--search",
        action=BooleanOptionalAction,
        help="Compose in blocks and continue candidates in proportion to the odds that a person wrote them, or to "
        "what --rank-by says; each kept piece has an opening of its own "
        "(default: on if there is a ranking and -n is above --top).",
    )
    add(
        "--candidates-per-beam",
        type=cli.at_least(1),
        default=defaults.DEFAULT_CANDIDATES_PER_BEAM,
        metavar="N",
        help="Factor for the number of candidates of a search, which are this times -n in each block; more sound more "
        "human and take longer.",
    )


def _add_sampling_flags(add):
    add(
        "--temperature",
        type=cli.number_range,
        default=f"{defaults.MIN_TEMPERATURE}:{defaults.MAX_TEMPERATURE}",
        metavar="X[:Y]",
        help="Sampling temperature; lower is more predictable; a range X:Y spreads the pieces over it.",
    )
    add(
        "--top-k",
        type=cli.at_least(0),
        default=0,
        metavar="K",
        help="Sample only from the K most likely tokens; 0 for all.",
    )
    add(
        "--top-p",
        type=cli.within(1e-6, 1),
        default=defaults.TOP_P,
        metavar="P",
        help="Sample only from the most likely tokens whose probabilities add up to P; 1 for all.",
    )
    add(
        "--min-p",
        type=cli.within(0, 1),
        default=0.0,
        metavar="P",
        help="Sample only from tokens at least P times as likely as the most likely one; 0 for all.",
    )
    add(
        "--random-freq",
        type=cli.within(0, 1),
        default=1.0,
        metavar="F",
        help="Share of tokens to sample; the others are the most likely token. The original Clara used 0.5 with "
        "--top-k 3.",
    )
    add(
        "--repetition-penalty",
        type=cli.at_least(1, float),
        default=1.0,
        metavar="X",
        help="Factor by which recent notes lose odds; 1 for no penalty.",
    )
    add(
        "--repetition-quarters",
        type=cli.above(0),
        default=4.0,
        metavar="X",
        help="How far back --repetition-penalty looks, in quarter notes.",
    )
    add(
        "--repeat-strength",
        type=cli.at_least(0, float),
        default=1.0,
        metavar="X",
        help="Weight of the repeat model, which makes passages return in the same or another key; 1 as fitted to "
        "human music, 0 for the network alone; for models that follow no plans.",
    )
    add(
        "--seed",
        type=cli.at_least(0),
        metavar="N",
        help="Random seed; each piece gets one of its own from it (default: from the clock).",
    )


def _add_constraint_flags(add):
    add("--key", metavar="KEY", help="Stay in a major or harmonic minor scale: C, F# major, Bb minor, Am or a (minor).")
    add(
        "--range",
        nargs="+",
        default=[],
        metavar="[PART:]LOW-HIGH",
        help="Pitch range, such as C2-C6, or v:G3-A7 for one part.",
    )
    add("--max-notes", type=cli.at_least(1), metavar="K", help="Largest number of notes that sound at once.")
    add(
        "--cadence",
        action="store_true",
        help="Prefer the tonic chord at the end; for models that follow no plans, as the others end on it by default.",
    )
    add(
        "--fixed-melody",
        type=cli.file_path,
        metavar="FILE",
        help="Melody to compose an accompaniment for; it stays as it is and sets the length.",
    )
    add(
        "--fixed-melody-part",
        metavar="PART",
        help="Part that plays the fixed melody: p for the piano, v for the solo (default: the solo if there is one).",
    )


def _add_output_flags(add):
    add(
        "--audio",
        choices=defaults.AUDIO_FORMATS,
        default="wav",
        help="Format of the audio files; none also leaves the page without audio.",
    )
    add("--no-audio", dest="audio", action="store_const", const=defaults.NO_AUDIO, help="The same as --audio none.")
    add(
        "--soundfont",
        type=cli.file_path,
        metavar="FILE.SF2",
        help="Soundfont to render with (default: the one that pretty_midi installs).",
    )
    add(
        "--flat",
        action="store_true",
        help="Play all notes equally loud, at one tempo and without pedal (default: the pieces are performed, in audio "
        "and in MIDI; a MIDI prompt that carries expression keeps it).",
    )
    add(
        "--spread-chords",
        action="store_true",
        help="Spread chords and hands by a few milliseconds in the MIDI files, too (default: only in audio, so that "
        "notes in MIDI stay at their places in the score).",
    )
    add(
        "--mix-human",
        nargs="?",
        type=cli.folder_path,
        const=defaults.INSTALLED_MUSIC,
        metavar="FOLDER",
        help="Make the page a blind test with as many human excerpts, from a folder of MIDI files (without FOLDER: "
        "from music21); all are performed alike, or flat with --flat.",
    )
    add(
        "--continuation-only",
        action="store_true",
        help="Write the pieces without the prompt (default: the prompt and its continuation).",
    )
    add("--no-pictures", action="store_true", help="Write no PNG pictures of the piano rolls.")


def _add_run_flags(add):
    add(
        "--model",
        type=cli.folder_path,
        metavar="MODEL",
        help="Run folder, or name of a shipped model "
        f"(default: {defaults.DEFAULT_MODEL}, or the model that --adapter was trained for).",
    )
    add(
        "--adapter",
        type=cli.file_path,
        metavar="FILE",
        help="Adapter file that train.py --adapter wrote for this model.",
    )
    add(
        "--out",
        type=cli.folder_path,
        metavar="FOLDER",
        help="Folder to write, new or empty (default: output/ and the time).",
    )
    add(
        "--threads",
        type=cli.at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="Number of CPU threads; each composes its share of the pieces.",
    )
    add(
        "--precision",
        default="auto",
        choices=defaults.PRECISIONS,
        help="Number format of the network's weights; auto measures which one is faster on this machine.",
    )
    add(
        "--replay",
        type=cli.file_path,
        metavar="RUN.JSON",
        help="Compose the pieces of an earlier run again, from its run.json.",
    )
    cli.add_json_flag(add)


def _time_signature(text):
    """Return the text of a time signature; an argparse type."""
    from clara.errors import BadSetting
    from clara.music.bars import parse_time_signature

    try:
        parse_time_signature(text)
    except BadSetting as e:
        raise ArgumentTypeError(str(e)) from None
    return text


def _quarter_range(text):
    """Return FROM:TO as two numbers; an argparse type."""
    try:
        start, end = map(float, text.split(":"))
    except ValueError:
        raise ArgumentTypeError(f"must be two numbers of quarter notes, FROM:TO, not {text}") from None
    return start, end


def check_combinations(given: dict[str, Any]) -> None:
    """Raise BadSetting for flags that others leave without effect.

    Parameters
    ----------
    given : dict
        The flags on the command line, from `clara.cli.Parser.given_flags`.
    """
    from clara.errors import BadSetting

    for name in ("bars", "form", "form_of", "plan"):
        if name in given and "quarters" in given:
            raise BadSetting(f"{_flag(name)} and --quarters both set the length: leave one out")
    if "replay" in given:
        from clara_app.replay import PATHS  # slow to import

        fixed = [name for name in given if name not in (*PATHS, *FLAGS_BESIDE_REPLAY)]
        if fixed:
            flags = ", ".join(map(_flag, fixed))
            raise BadSetting(f"{flags} cannot change what --replay composes again: leave out the one or the other")


def _flag(name):
    """Return a flag as it is typed."""
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


def request_from_flags(args: Namespace) -> "ComposeRequest":
    """Return the ComposeRequest that parsed flags describe."""
    from clara.sampling.settings import SamplingSettings
    from clara_app.compose_request import ComposeRequest, MusicalConstraints
    from clara_app.composer import model_for_adapter
    from critic.own_critic import find_own_critic

    min_temperature, max_temperature = args.temperature
    settings = SamplingSettings(
        temperature=min_temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        min_p=args.min_p,
        random_freq=args.random_freq,
        repetition_penalty=args.repetition_penalty,
        repetition_quarters=args.repetition_quarters,
        repeat_strength=args.repeat_strength,
    )
    constraints = MusicalConstraints(
        key=args.key,
        ranges=tuple(args.range),
        max_notes=args.max_notes,
        cadence=args.cadence,
        fixed_melody=args.fixed_melody,
        fixed_melody_part=args.fixed_melody_part,
    )
    model = args.model or model_for_adapter(args.adapter)
    is_ranked = args.rank_by != defaults.NO_RANKING and not args.fill
    return ComposeRequest(
        model=model,
        adapter=args.adapter,
        precision=args.precision,
        n=args.n,
        top=args.top,
        quarters=args.quarters,
        prompt=args.prompt,
        form=args.form,
        form_of=args.form_of,
        plan=args.plan,
        ending=not args.no_ending,
        bars=args.bars,
        time_signature=args.time_signature,
        prompt_quarters=args.prompt_quarters,
        performed=args.performed,
        qpm=args.qpm,
        seed=int(time.time()) % 1_000_000 if args.seed is None else args.seed,
        settings=settings,
        max_temperature=max_temperature,
        constraints=constraints,
        rank_by=args.rank_by,
        critic=args.critic or (find_own_critic(model) if is_ranked else None),
        search=args.search,
        candidates_per_beam=args.candidates_per_beam,
        fill=args.fill,
        fill_candidates=args.fill_candidates,
        flat=args.flat,
        spread_chords=args.spread_chords,
    )
