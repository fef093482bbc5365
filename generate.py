"""Compose new music: python generate.py [--prompt my.mid]

Leaves a folder under output/ with MIDI, WAV, text and a picture of each piece, and
index.html to listen to them.
"""

import argparse
import sys
import time
from pathlib import Path

from clara import cli

ROOT = Path(__file__).resolve().parent
SETTINGS = ("temperature", "top_k", "top_p", "random_freq")
REPLAYED = ("model", "style", "prompt", "prompt_quarters", "n", "quarters", "seed", "qpm", *SETTINGS)


def parser():
    """The command line."""
    p = argparse.ArgumentParser(prog="generate.py", description=__doc__.split("\n\n")[0],
                                epilog=__doc__.split("\n\n")[1],
                                formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    music = p.add_argument_group("music").add_argument
    music("-n", type=cli.at_least(1), default=8, metavar="N", help="pieces")
    music("--quarters", type=cli.above(0), default=64.0, metavar="X", help="length in quarter notes, after the prompt")
    music("--prompt", metavar="FILE", help="music to go on from: MIDI, a text, or music21:bach/bwv66.6")
    music("--prompt-quarters", type=cli.above(0), metavar="X", help="take only the prompt's first X quarter notes")
    music("--qpm", type=cli.within(10, 400), metavar="X", help="tempo; without it the prompt's, or 110")
    freedom = p.add_argument_group("freedom").add_argument
    freedom("--temperature", type=cli.above(0), default=0.95, metavar="X",
            help="0.8 is tame, 1.1 is wild")
    freedom("--top-k", type=cli.at_least(0), default=0, metavar="K", help="only the K likeliest words; 0 for all")
    freedom("--top-p", type=cli.within(1e-6, 1), default=0.98, metavar="P",
            help="only the likeliest words that together have probability P")
    freedom("--random-freq", type=cli.within(0, 1), default=1.0, metavar="F",
            help="how often to draw instead of taking the likeliest word; Clara's own rule: 0.5 with --top-k 3")
    freedom("--seed", type=cli.at_least(0), metavar="N", help="of the first piece; without it by chance")
    run = p.add_argument_group("run").add_argument
    run("--model", default=str(ROOT / "pretrained" / "notewise"), metavar="FOLDER", help="run folder or shipped model")
    run("--style", metavar="FILE", help="a style file that train.py --light made from this model")
    run("--out", metavar="FOLDER", help="without it output/<time>")
    run("--threads", type=cli.at_least(1), metavar="N",
        help="CPU threads; without it half of those torch would take, as one held up by other work holds up all")
    run("--no-audio", action="store_true", help="no WAV files")
    run("--replay", metavar="RUN.JSON", help="make the pieces of an earlier run again")
    return p


def main(argv=None):
    """Parse, compose, write, report."""
    args = parser().parse_args(argv)
    began = time.perf_counter()
    import torch  # heavy imports wait for --help
    from tqdm import tqdm

    from clara.files import new_folder
    from clara.generator import Generator, read_prompt
    from clara.playlist import write_playlist
    from clara.sampling.strategies import Settings

    if args.replay:
        _replay(args)
    torch.set_num_threads(args.threads or max(1, torch.get_num_threads() // 2))
    if args.seed is None:
        args.seed = int(time.time()) % 1_000_000
    generator = Generator.load(args.model, args.style)
    prompt = None
    if args.prompt:
        prompt, losses = read_prompt(args.prompt, generator.encoding, args.prompt_quarters)
        losses += generator.prompt_words(prompt)[1]
        print(f"prompt: {len(prompt)} notes, {prompt.quarters:g} quarters"
              + "".join(f", {n} {what}" for what, n in losses.items()))
    settings = Settings(**{k: getattr(args, k) for k in SETTINGS})
    out = new_folder(args.out or Path("output", time.strftime("%Y%m%d-%H%M%S")))
    steps = round(args.quarters * generator.encoding.steps_per_quarter)
    loaded = time.perf_counter()
    with tqdm(total=steps, unit=" steps", disable=None, desc="composing", leave=False) as bar:
        samples = generator.generate(args.n, args.quarters, prompt, settings, args.seed, args.qpm,
                                     on_step=lambda left: bar.update(steps - left - bar.n))
    composed = time.perf_counter()
    with tqdm(total=args.n, unit=" pieces", disable=None, desc="writing", leave=False) as bar:
        write_playlist(samples, out, _record(args, settings), audio=not args.no_audio, on_piece=bar.update)
    words = sum(len(s.words) - s.prompt_words for s in samples)
    print(f"{args.n} pieces, {words:,} words; loaded in {loaded - began:.1f} s, composed in {composed - loaded:.1f} s "
          f"({words / (composed - loaded):,.0f} words/s), written in {time.perf_counter() - composed:.1f} s\n"
          f"listen: {out / 'index.html'}")


def _replay(args):
    """Put the settings of an earlier run.json into args."""
    import json

    from clara.checkpoint import weights_hash
    from clara.errors import BadSetting, CheckpointMismatch

    try:
        run = {"style": None} | json.loads(Path(args.replay).read_text(encoding="utf-8"))  # older ones know no styles
        for name in REPLAYED:
            setattr(args, name, run["settings"][name] if name in SETTINGS else run[name])
        weights = run["weights"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise BadSetting(f"--replay {args.replay}: not the run.json of an earlier run ({e})") from e
    if weights_hash(args.model) != weights:
        raise CheckpointMismatch(f"--replay {args.replay}: made with weights {weights}, {args.model} holds others now")


def _record(args, settings):
    """What run.json keeps."""
    from dataclasses import asdict

    from clara.checkpoint import versions, weights_hash

    return {name: getattr(args, name) for name in REPLAYED if name not in SETTINGS} | {
        "settings": asdict(settings), "weights": weights_hash(args.model), "versions": versions(),
        "command": " ".join(sys.argv)}


if __name__ == "__main__":
    cli.run(main)
