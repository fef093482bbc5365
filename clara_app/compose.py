"""Compose new music.

Usage: python generate.py [--prompt my.mid]

Writes a folder under output/ with MIDI, audio, text and a picture of each piece, and index.html to listen to them.
"""

import sys
import time
from pathlib import Path

from clara import cli
from clara.wording import count_of
from clara_app.compose_flags import add_flags, check_combinations, request_from_flags
from clara_app.defaults import NO_AUDIO
from clara_app.progress import ProgressBars, stop_on_interrupt

EXAMPLES = """
python generate.py --prompt my.mid --prompt-quarters 32     # continue your own music
python generate.py -n 256 --top 4 --key "E minor" --seed 7  # the best four of 256 in a key, the same each time
python generate.py --json --out here                        # for a program: the ranking on stdout
"""


def parser() -> cli.Parser:
    """Return the command line's parser."""
    p = cli.Parser(__doc__, EXAMPLES)
    add_flags(p)
    return p


def main(argv: list[str] | None = None) -> int:
    """Compose, rank, write and report; return the exit status."""
    args = parser().parse_args(argv)
    check_combinations(parser().given_flags(argv))
    with cli.json_output(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Compose, rank, write and report; fill in the answer."""
    began = time.perf_counter()
    with cli.show_status("loading"):
        import torch  # heavy imports wait, so that --help is quick

        from clara.files import make_empty_folder
        from clara_app.composer import Composer
    torch.set_num_threads(1)  # the composer's own threads share the pieces
    request, playback = _read_request(args)
    composer = Composer(
        request.model, request.adapter, request.precision, request.critic, args.threads, scoring_threads=args.threads
    )
    _check_continuation(args, request)
    prepared = composer.prepare(request)
    _report_prompt(prepared)
    _check_playback(prepared, playback, args.audio)
    _report_performer(request)
    humans = _choose_human_excerpts(prepared, playback, composer)
    folder = make_empty_folder(args.out or Path("output", time.strftime("%Y%m%d-%H%M%S")))
    loaded = time.perf_counter()
    with stop_on_interrupt() as stop, ProgressBars() as bars:
        result = composer.compose(prepared, bars.update, stop)
    if prepared.ranking and result.pieces and not any(piece.scores for piece in result.pieces):
        print("not ranked: the pieces are silent or too short to be scored", file=sys.stderr)
    ranked = time.perf_counter()
    rows = _write(args, folder, composer, prepared, playback, result, humans[: len(result.pieces)])
    answer |= {
        "folder": folder,
        "page": folder / "index.html",
        "composed": result.n_composed,
        "interrupted": result.interrupted,
        "seed": request.seed,
        "pieces": rows,
    }
    _report(request, result, loaded - began, time.perf_counter() - ranked, folder)
    return cli.INTERRUPTED if result.interrupted else 0


def _read_request(args):
    """Return the request and the playback settings, from the flags or from --replay."""
    from clara_app.replay import PATHS, PlaybackSettings, read_run

    if args.replay:
        # paths that are named now take precedence: earlier files may be gone, or not be trusted
        return read_run(args.replay, {name: getattr(args, name) for name in PATHS})
    return request_from_flags(args), PlaybackSettings(args.soundfont, args.mix_human)


def _check_continuation(args, request):
    """Raise BadSetting for --continuation-only without a continuation."""
    from clara.errors import BadSetting

    if args.continuation_only and (request.prompt is None or request.fill):
        raise BadSetting("--continuation-only needs a prompt to continue (--prompt), and excludes --fill")


def _report_prompt(prepared):
    """Print what was read of the prompt; warn if it was performed and stays as it is."""
    from clara.data.onset_grid import PERFORMED_MISFIT
    from clara.music.bars import describe_time_signatures
    from clara.music.notes import describe_losses

    if prepared.prompt is None:
        return
    n_quarters = prepared.request.prompt_quarters or prepared.prompt.quarters
    rest = n_quarters - prepared.prompt.quarters
    ending = f", the last {rest:g} of them rests" if rest > 0 else ""
    losses = f"; {describe_losses(prepared.prompt_losses)}" if prepared.prompt_losses else ""
    length = count_of(float(n_quarters), "quarter") + ending
    signatures = describe_time_signatures(prepared.prompt.time_signatures)
    print(f"prompt: {count_of(len(prepared.prompt), 'note')}, {length}, in {signatures}{losses}")
    if prepared.prompt_alignment is not None:
        print(
            f"prompt: performed (misfit {prepared.prompt_misfit:.2f} with any beat grid; 1 is chance); its beats were "
            f"found: {prepared.prompt_alignment.describe()}; --performed no takes its ticks as they are"
        )
    elif prepared.prompt_misfit > PERFORMED_MISFIT:
        print(
            f"warning: the prompt follows no beat grid (misfit {prepared.prompt_misfit:.2f}; 1 is chance, scores are "
            f"below {PERFORMED_MISFIT:g}): it was performed, and its onsets are rounded to wrong steps; find its beats "
            "with --performed auto, or take a score",
            file=sys.stderr,
        )


def _report_performer(request):
    """Warn if the pieces should be performed and there is no performer."""
    from clara.performing.playing import performer_problem

    problem = None if request.flat else performer_problem()
    if problem:
        print(f"warning: not performed, accents on the beats instead: {problem}", file=sys.stderr)


def _check_playback(prepared, playback, audio):
    """Raise BadSetting or TooLong if the page or its audio cannot be made."""
    from clara.encodings.prompts import DEFAULT_QPM
    from clara.errors import BadSetting
    from clara.rendering.audio import check_audio_settings, check_seconds

    request, prompt = prepared.request, prepared.prompt
    if playback.mix_human and (request.prompt or request.constraints.fixed_melody):
        raise BadSetting(
            "--mix-human excludes --prompt and --fixed-melody, by which listeners would recognize the composed pieces"
        )
    if audio != NO_AUDIO:
        check_audio_settings(audio, playback.soundfont)
        prompt_quarters = 0 if prompt is None else prompt.quarters
        qpm = request.qpm or (DEFAULT_QPM if prompt is None else prompt.qpm)
        check_seconds(prompt_quarters + (0 if request.fill else prepared.quarters), qpm)


def _choose_human_excerpts(prepared, playback, composer):
    """Return the excerpts for a blind test; an empty list without --mix-human."""
    if not playback.mix_human:
        return []
    from clara.rendering.blind_test import human_excerpts

    request = prepared.request
    n = min(request.n, request.top)
    excerpts, skipped = human_excerpts(
        composer.generator, playback.mix_human, n, prepared.quarters, request.qpm, request.seed
    )
    reasons = "".join(f", {count} skipped ({reason})" for reason, count in skipped.items())
    print(f"human excerpts: {len(excerpts)} of {n}{reasons}")
    return excerpts


def _write(args, folder, composer, prepared, playback, result, humans):
    """Write the output folder; return the rows of ranking.csv."""
    from dataclasses import replace

    from tqdm import tqdm

    from clara.rendering.output_folder import RenderSettings, write_playlist
    from clara_app.replay import run_record

    # precision "auto" became the faster one, which a replay must use
    request = replace(prepared.request, precision=composer.generator.precision)
    audio_format = None if args.audio == NO_AUDIO else args.audio
    samples = [piece.sample for piece in result.pieces]
    if args.continuation_only:
        samples = [sample.without_prompt() for sample in samples]
    with tqdm(total=len(result.pieces) + len(humans), unit=" pieces", disable=None, desc="writing", leave=False) as bar:
        return write_playlist(
            samples,
            folder,
            run_record(request, playback),
            [piece.scores for piece in result.pieces],
            RenderSettings(audio_format, playback.soundfont, request.flat, not args.no_pictures, request.spread_chords),
            humans,
            composer.score([excerpt.notes for excerpt in humans], prepared),
            bar.update,
        )


def _report(request, result, load_seconds, write_seconds, folder):
    """Print what was composed and how long it took."""
    if request.search:
        how = f"a search with {count_of(request.n * request.candidates_per_beam, 'candidate')}"
    else:
        how = f"{result.n_tokens / result.compose_seconds:,.0f} tokens/s"
    print(
        f"{count_of(result.n_composed, 'piece')}, {count_of(result.n_tokens, 'token')}; "
        f"loaded in {load_seconds:.1f} s, "
        f"composed in {result.compose_seconds:.1f} s ({how}), ranked in {result.rank_seconds:.1f} s, "
        f"written in {write_seconds:.1f} s\nlisten: {folder / 'index.html'}"
    )
    if result.interrupted:
        if request.search:
            finished = f"{count_of(result.n_composed, 'piece')} of the searches that had ended"
        else:
            finished = f"{result.n_composed} of {count_of(request.n, 'piece')} were finished"
        print(f"interrupted: {finished}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
