"""Compose new music.

Usage: python generate.py [--prompt my.mid]

Leaves a folder under output/ with MIDI, sound, text and a picture of each piece, and
index.html to listen to them.
"""

import os
import signal
import sys
import time
from argparse import BooleanOptionalAction
from pathlib import Path

from clara import cli
from clara.shipped_models import shipped_models_folder
from critic.defaults import DEFAULT_RANKING, DEFAULT_RANKING_AFTER_PROMPT, default_ranking

SHIPPED = shipped_models_folder()
COMPOSER = "notewise-large"  # of what is shipped
BATCH_SIZE = 256  # pieces at a time
PRECISIONS = ("auto", "int8", "float32")
SETTINGS = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "random_freq",
    "repetition_penalty",
    "repetition_quarters",
    "repeat_strength",
)
ASKED = ("key", "range", "max_notes", "cadence", "fixed_melody", "fixed_melody_part", "fill", "candidates")
NO_RANKING = NO_AUDIO = "none"
AUDIO_FORMATS = ("wav", "flac", "mp3", NO_AUDIO)
SEARCH_VERSION = 6  # the way of searching; another may find other pieces by the same seed
INSTALLED_MUSIC = "music21:"  # of --mix-human without a folder
REPLAYED = (
    "model",
    "adapter",
    "prompt",
    "prompt_quarters",
    "n",
    "top",
    "rank_by",
    "critic",
    "search",
    "candidates_per_beam",
    "quarters",
    "seed",
    "qpm",
    "precision",
    "flat",
    "soundfont",
    "mix_human",
    *SETTINGS,
    *ASKED,
)
EXAMPLES = """
python generate.py --prompt my.mid --prompt-quarters 32     # go on from your own music
python generate.py -n 256 --top 4 --key "E minor" --seed 7  # four of 256 in a key, and the same again tomorrow
python generate.py --json --out here                        # for a program: the ranking on stdout
"""
LATER = {
    "adapter": None,
    "precision": "float32",
    "key": None,
    "range": [],
    "max_notes": None,
    "cadence": False,
    "fixed_melody": None,
    "fixed_melody_part": None,
    "fill": None,
    "candidates": 64,
    "top": None,
    "rank_by": NO_RANKING,
    "critic": None,
    "search": False,
    "candidates_per_beam": 1,
    "search_version": None,
    "repeats": None,
    "flat": True,
    "soundfont": None,
    "mix_human": None,
}  # unknown to older runs


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music("-n", type=cli.at_least(1), default=64, metavar="N", help="how many; pieces to choose from")
    music("--top", type=cli.at_least(1), default=8, metavar="N", help="how many are the best; they are kept")
    music(
        "--rank-by",
        metavar="SCORES",
        help="what makes them best; critic, composer:NAME, novelty, likelihood, longest_copied_run, note_density, rest_ratio, a sum as critic - 0.1 longest_copied_run, or none; "
        f"without it {DEFAULT_RANKING}, after a prompt {DEFAULT_RANKING_AFTER_PROMPT}",
    )
    music(
        "--critic",
        metavar="FOLDER",
        help="another critic than the one that comes with Clara, as critic.train leaves it",
    )
    music(
        "--search",
        action=BooleanOptionalAction,
        help="compose in blocks and go on only from the best of them, each piece from a beginning of its own; without either so where there is something to choose",
    )
    music(
        "--candidates-per-beam",
        type=cli.at_least(1),
        default=2,
        metavar="N",
        help="texts that a search writes for each of -n in each block; 1 is quicker; with more, pieces are harder to tell from human music",
    )
    music("--quarters", type=cli.above(0), default=64.0, metavar="X", help="length in quarter notes; after the prompt")
    music("--prompt", metavar="FILE", help="music to go on from: MIDI, a text, or music21:bach/bwv66.6")
    music("--prompt-quarters", type=cli.above(0), metavar="X", help="take only the prompt's first X quarter notes")
    music("--qpm", type=cli.within(10, 400), metavar="X", help="tempo; without it the prompt's, or 110")
    freedom = p.add_argument_group("freedom").add_argument
    freedom(
        "--temperature",
        type=cli.number_range,
        default="0.85:1.1",
        metavar="X[:Y]",
        help="0.8 is tame, 1.2 is wild; from X to Y each piece has one of its own, and what ranks them chooses",
    )
    freedom("--top-k", type=cli.at_least(0), default=0, metavar="K", help="only the K likeliest words; 0 for all")
    freedom(
        "--top-p",
        type=cli.within(1e-6, 1),
        default=0.98,
        metavar="P",
        help="only the likeliest words that together have probability P",
    )
    freedom(
        "--min-p",
        type=cli.within(0, 1),
        default=0.0,
        metavar="P",
        help="only words at least P times as likely as the likeliest",
    )
    freedom(
        "--random-freq",
        type=cli.within(0, 1),
        default=1.0,
        metavar="F",
        help="how often to draw instead of taking the likeliest word; Clara's own rule: 0.5 with --top-k 3",
    )
    freedom(
        "--repetition-penalty",
        type=cli.at_least(1, float),
        default=1.0,
        metavar="X",
        help="by how much notes that came lately lose odds; 1 for none",
    )
    freedom("--repetition-quarters", type=cli.above(0), default=4.0, metavar="X", help="how long ago is lately")
    freedom(
        "--repeat-strength",
        type=cli.at_least(0, float),
        default=1.0,
        metavar="X",
        help="how much of a piece comes again later in it, in the same key or another; 1 as in music, 0 as the net alone has it",
    )
    freedom(
        "--seed",
        type=cli.at_least(0),
        metavar="N",
        help="of what is left to chance; each next piece takes the next, without it by the clock",
    )
    asked = p.add_argument_group("what the notes must keep to").add_argument
    asked("--key", metavar="KEY", help="a scale, major or harmonic minor: C, F# major, Bb minor, Am")
    asked("--range", nargs="+", default=[], metavar="[PART:]LOW-HIGH", help="pitches, as C2-C6 or v:G3-A7 for one part")
    asked("--max-notes", type=cli.at_least(1), metavar="K", help="that sound at once")
    asked("--fixed-melody", metavar="FILE", help="a tune to compose around: it stands as it is, and gives the length")
    asked(
        "--fixed-melody-part",
        metavar="PART",
        help="who plays it: p for the piano, v for a solo; without it the solo where there is one",
    )
    asked("--cadence", action="store_true", help="prefer the tonic chord at the close")
    asked(
        "--fill", metavar="FROM:TO", help="compose these quarters of the prompt anew, between what stands around them"
    )
    asked(
        "--candidates",
        type=cli.at_least(1),
        default=64,
        metavar="N",
        help="fillings of which the -n likeliest are kept",
    )
    sound = p.add_argument_group("sound and page").add_argument
    sound("--soundfont", metavar="FILE.SF2", help="another than the one that pretty_midi installs")
    sound("--flat", action="store_true", help="every note alike, no accents on beats")
    sound(
        "--audio",
        choices=AUDIO_FORMATS,
        default="wav",
        help="form of the audio files beside the page; of none the page is silent, too",
    )
    sound("--no-audio", dest="audio", action="store_const", const=NO_AUDIO, help="the same as --audio none")
    sound(
        "--mix-human",
        nargs="?",
        const=INSTALLED_MUSIC,
        metavar="FOLDER",
        help="a blind test: as many human excerpts, from a folder of MIDI or of what music21 installs; all flat",
    )
    run = p.add_argument_group("run").add_argument
    run(
        "--model",
        metavar="MODEL",
        help=f"run folder or shipped model; it composes, without it pretrained/{COMPOSER} or the one that --adapter was trained for",
    )
    run("--adapter", metavar="FILE", help="a style file that train.py --adapter made from this model")
    run("--out", metavar="FOLDER", help="folder to write; new or empty, without it output/<time>")
    run(
        "--threads",
        type=cli.at_least(1),
        default=os.cpu_count() or 1,
        metavar="N",
        help="CPU threads; each composes its share of the pieces",
    )
    run(
        "--precision",
        default="auto",
        choices=PRECISIONS,
        help="of the net's numbers; auto takes what this machine was found to be faster with",
    )
    run("--no-pictures", action="store_true", help="no piano rolls as PNG")
    run("--replay", metavar="RUN.JSON", help="make the pieces of an earlier run again")
    cli.add_json_flag(run)
    return p


def settings_of(args):
    """How freely to sample, as `clara.sampling.settings.SamplingSettings`; of temperatures the lowest."""
    from clara.sampling.settings import SamplingSettings

    return SamplingSettings(**{k: args.temperature[0] if k == "temperature" else getattr(args, k) for k in SETTINGS})


def main(argv=None):
    """Parse, compose, write, report."""
    args = parser().parse_args(argv)
    args.rank_by = args.rank_by or default_ranking(args.prompt)
    with cli.json_output(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Compose, write, report; fills the answer in."""
    began = time.perf_counter()
    with cli.show_status("loading"):
        import torch  # heavy imports wait for --help

        from clara.encodings.prompts import read_prompt
        from clara.generator import Generator
    from tqdm import tqdm

    from clara.files import make_empty_folder
    from clara.rendering.output_folder import RenderSettings, write_playlist

    if args.replay:
        _replay(args)
    torch.set_num_threads(1)  # texts are shared among threads instead
    if args.seed is None:
        args.seed = int(time.time()) % 1_000_000
    args.model = args.model or _shipped(args.adapter)
    generator = Generator.load(args.model, args.adapter, args.precision)
    args.precision = generator.precision
    asked = _asked(args, generator)
    if args.fill:
        _gap(args)
    prompt = None
    if args.prompt:
        prompt, losses = read_prompt(args.prompt, generator.encoding, args.prompt_quarters)
        losses += generator.tokenize(prompt)[1]
        print(
            f"prompt: {len(prompt)} notes, {prompt.quarters:g} quarters"
            + "".join(f", {n} {what}" for what, n in losses.items())
        )
    settings = settings_of(args)
    judge = _judge(args, generator)
    _settle_search(args, judge)
    _settle_sound(args)
    humans = _humans(args, generator)
    out = make_empty_folder(args.out or Path("output", time.strftime("%Y%m%d-%H%M%S")))
    loaded = time.perf_counter()
    samples, interrupted = (_fill if args.fill else _compose)(generator, args, prompt, settings, asked, judge)
    composed = time.perf_counter()
    words = sum(len(s.tokens) - s.prompt_tokens for s in samples)
    torch.set_num_threads(args.threads)  # composing is over, a judge may have all
    n, (samples, scores) = len(samples), _best(samples, args, judge)
    ranked = time.perf_counter()
    humans = humans[: len(samples)]
    with tqdm(total=len(samples) + len(humans), unit=" pieces", disable=None, desc="writing", leave=False) as bar:
        rows = write_playlist(
            samples,
            out,
            _record(args, settings),
            scores,
            RenderSettings(
                None if args.audio == NO_AUDIO else args.audio, args.soundfont, args.flat, not args.no_pictures
            ),
            humans,
            _scored(humans, judge),
            bar.update,
        )
    answer |= {
        "folder": out,
        "page": out / "index.html",
        "composed": n,
        "interrupted": interrupted,
        "seed": args.seed,
        "pieces": rows,
    }
    how = (
        f"a search with {args.n * args.candidates_per_beam} texts"
        if args.search
        else f"{words / (composed - loaded):,.0f} words/s"
    )
    print(
        f"{n} pieces, {words:,} words; loaded in {loaded - began:.1f} s, composed in {composed - loaded:.1f} s ({how}), ranked in {ranked - composed:.1f} s, written in "
        f"{time.perf_counter() - ranked:.1f} s\nlisten: {out / 'index.html'}"
    )
    if interrupted:
        print(
            f"interrupted: {n} pieces of searches that had ended"
            if args.search
            else f"interrupted: {n} of {args.n} pieces were finished",
            file=sys.stderr,
        )
        return cli.INTERRUPTED
    return 0


def _compose(generator, args, prompt, settings, asked, judge):
    """The pieces, some at a time, and whether Ctrl-C ended it before all were finished."""
    from functools import partial
    from threading import Event

    from tqdm import tqdm

    from clara.sampling.search import SearchSettings
    from clara.sampling.settings import spread_temperatures

    stop, samples = Event(), []
    compose = (
        partial(generator.search, partial(_rate, judge, args.threads), search_settings=SearchSettings(top=args.top))
        if args.search
        else generator.generate
    )
    steps = (
        asked["fixed_melody"].n_steps
        if asked["fixed_melody"]
        else round(args.quarters * generator.encoding.steps_per_quarter)
    )
    batches, each = range(0, args.n, BATCH_SIZE), args.candidates_per_beam if args.search else 1
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        with tqdm(total=steps * len(batches), unit=" steps", disable=None, desc="composing", leave=False) as bar:
            for i, first in enumerate(batches):
                n, seed = each * min(BATCH_SIZE, args.n - first), args.seed + each * first
                samples += compose(
                    n,
                    args.quarters,
                    prompt,
                    spread_temperatures(settings, args.temperature[1], range(seed, seed + n)),
                    seed,
                    args.qpm,
                    **asked,
                    threads=args.threads,
                    stop=stop,
                    on_step=lambda left, i=i: bar.update((i + 1) * steps - left - bar.n),
                )
                if stop.is_set():
                    break
    finally:
        signal.signal(signal.SIGINT, before)
    return samples, stop.is_set()


def _shipped(style):
    """The shipped model that composes: the one that a style was found for where there is one."""
    from clara.adapter import Adapter
    from clara.checkpoint import weights_hash

    base = Adapter.load(style).info.get("base") if style else None
    found = (
        file.parent
        for file in sorted(SHIPPED.glob("*/model.safetensors"))
        if base and weights_hash(file.parent) == base
    )
    return str(next(found, SHIPPED / COMPOSER))


def _settle_search(args, judge):
    """Whether to search, where it was not said; raises BadSetting where --search has nothing to go by."""
    from clara.errors import BadSetting

    if args.search is None:
        args.search = judge is not None and not args.fill and args.n > args.top
    if args.search and (judge is None or args.fill):
        raise BadSetting("--search needs scores to rank by (--rank-by), and not with --fill")


def _settle_sound(args):
    """Raise BadSetting for sound that cannot be had; a blind test is flat, as accents in four would give a waltz away."""
    from clara.errors import BadSetting
    from clara.rendering.audio import check_audio_settings

    if args.mix_human and (args.prompt or args.fixed_melody):
        raise BadSetting(
            "--mix-human goes with neither --prompt nor --fixed-melody, which the composed pieces would be known by"
        )
    args.flat = args.flat or bool(args.mix_human)
    if args.audio != NO_AUDIO:
        check_audio_settings(args.audio, args.soundfont)


def _humans(args, generator):
    """The excerpts that --mix-human asks for."""
    if not args.mix_human:
        return []
    from clara.rendering.blind_test import human_excerpts

    wanted = min(args.n, args.top)
    found, passed_over = human_excerpts(generator, args.mix_human, wanted, args.quarters, args.qpm, args.seed)
    print(
        f"human excerpts: {len(found)} of {wanted}"
        + "".join(f", {n} passed over ({why})" for why, n in passed_over.items())
    )
    return found


def _scored(humans, judge):
    """Of each excerpt its scores by name."""
    from critic.ranking import rank_pieces

    return rank_pieces([e.notes for e in humans], judge)[1] if humans and judge else [{}] * len(humans)


def _rate(judge, threads, pieces):
    """What a search goes by; composing waits for it, so that a judge may have all threads."""
    import torch

    from critic.ranking import total_scores

    torch.set_num_threads(threads)
    told = total_scores(pieces, judge)
    torch.set_num_threads(1)
    return told


def _judge(args, generator):
    """What ranks, as `critic.scores.parse_ranking` gives it, or None."""
    if args.rank_by == NO_RANKING:
        return None
    from critic.scores import ScoringModels, parse_ranking

    judges = ScoringModels(
        "chordwise" if generator.encoding.name == "chordwise" else "notewise", critic_folder=args.critic
    )
    if args.critic:
        judges.critic  # noqa: B018 - a folder that is none is refused before composing
    return parse_ranking(args.rank_by, judges)


def _best(samples, args, judge):
    """The best samples, best first, and of each its scores by name; of fillings, and where nothing judges, the first."""
    if judge is None or args.fill:
        return samples[: args.top], [{}] * min(len(samples), args.top)
    from tqdm import tqdm

    from critic.ranking import rank_pieces

    with tqdm(total=len(samples), unit=" pieces", disable=None, desc="judging", leave=False) as bar:
        order, scores = rank_pieces([s.composed() for s in samples], judge, bar.update)
    if not any(scores):
        print("not ranked: too short to be judged, or silent", file=sys.stderr)
    return [samples[i] for i in order[: args.top]], [scores[i] for i in order[: args.top]]


def _fill(generator, args, prompt, settings, asked, _):
    """The likeliest fillings, and False, as Ctrl-C leaves none."""
    found = generator.fill(
        prompt, *_gap(args), max(args.n, args.candidates), settings, args.seed, asked["constraints"], args.threads
    )
    return [sample for sample, _ in found[: args.n]], False


def _gap(args):
    """--fill in quarters, from and to."""
    from clara.errors import BadSetting

    if not args.prompt or args.fixed_melody or args.cadence:
        raise BadSetting("--fill needs a --prompt to fill, and goes with neither --fixed-melody nor --cadence")
    try:
        start, end = map(float, args.fill.split(":"))
    except ValueError:
        raise BadSetting(f"--fill {args.fill}: not two numbers of quarters, FROM:TO") from None
    return start, end


def _asked(args, generator):
    """What the notes must keep to, as `Generator.generate` takes it."""
    from dataclasses import replace

    from clara.encodings.prompts import read_fixed_melody
    from clara.music.keys import parse_key, scale_pitch_classes
    from clara.sampling.grammars.base import DEFAULT_CONSTRAINTS

    key = parse_key(args.key) if args.key else None
    constraints = replace(
        DEFAULT_CONSTRAINTS,
        pitch_classes=scale_pitch_classes(*key) if key else None,
        ranges=_ranges(args.range, generator.encoding),
        max_notes=args.max_notes,
    )
    fixed_melody = (
        read_fixed_melody(args.fixed_melody, generator.encoding, args.fixed_melody_part)[0]
        if args.fixed_melody
        else None
    )
    generator.grammar(constraints, fixed_melody)  # refuses what nothing can keep to
    return {"constraints": constraints, "cadence": args.cadence, "key": key, "fixed_melody": fixed_melody}


def _ranges(told, encoding):
    """--range as `Constraints` takes it."""
    from clara.errors import BadSetting
    from clara.music.keys import parse_pitch

    ranges, parts = {}, range(len(encoding.prefixes))
    for one in told:
        part, _, pitches = one.rpartition(":")
        low, dash, high = pitches.partition("-")
        if not dash or part not in ("", *encoding.prefixes):
            raise BadSetting(
                f"--range {one}: neither LOW-HIGH nor PART:LOW-HIGH with a part of {', '.join(encoding.prefixes)}"
            )
        for i in [encoding.prefixes.index(part)] if part else parts:
            ranges[i] = parse_pitch(low), parse_pitch(high)
    return ranges


def _replay(args):
    """Put the settings of an earlier run.json into args."""
    import json

    from clara.checkpoint import repeats_hash, weights_hash
    from clara.errors import BadSetting, CheckpointMismatch

    try:
        run = LATER | json.loads(Path(args.replay).read_text(encoding="utf-8"))
        settings = (
            {name: getattr(args, name) for name in SETTINGS} | {"repeat_strength": 0.0} | run["settings"]
        )  # unknown to older runs, too
        given = args.soundfont  # the earlier one may be gone, or another be wanted
        for name in REPLAYED:
            setattr(args, name, settings[name] if name in SETTINGS else run[name])
        args.temperature = cli.number_range(str(settings["temperature"]) if "temperature" in run["settings"] else "1")
        args.soundfont = given or args.soundfont
        weights = run["weights"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise BadSetting(f"--replay {args.replay}: not the run.json of an earlier run ({e})") from e
    if args.search and run["search_version"] != SEARCH_VERSION:
        raise BadSetting(
            f"--replay {args.replay}: an earlier Clara searched otherwise; this one cannot make its pieces again"
        )
    if weights_hash(args.model) != weights:
        raise CheckpointMismatch(f"--replay {args.replay}: made with weights {weights}, {args.model} holds others now")
    if args.repeat_strength and run["repeats"] != repeats_hash(args.model):
        raise CheckpointMismatch(f"--replay {args.replay}: made when matches counted otherwise in {args.model}")


def _record(args, settings):
    """What run.json keeps."""
    from dataclasses import asdict

    from clara.checkpoint import repeats_hash, versions, weights_hash

    return {name: getattr(args, name) for name in REPLAYED if name not in SETTINGS} | {
        "settings": asdict(settings) | {"temperature": cli.format_range(args.temperature)},
        "weights": weights_hash(args.model),
        "repeats": repeats_hash(args.model),
        "versions": versions(),
        "command": " ".join(sys.argv),
        "search_version": SEARCH_VERSION,
    }


if __name__ == "__main__":
    cli.run(main)
