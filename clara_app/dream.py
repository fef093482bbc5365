"""Change a piece step by step until it sounds like another composer.

Usage: clara dream PIECE --towards COMPOSER

Bars are composed again, one or two at a time, as long as the composer classifier hears more of the wanted composer, the
critic still hears a person, and enough of the piece stays. Several composers are a path from one to the next; novelty
stands for none that is known. The folder holds the piece on its way as MIDI files, a page to listen to them,
dream.csv, and a plot of how the probability rises as notes change.
"""

import sys
import time
from pathlib import Path

from clara import cli
from clara_app.defaults import AUDIO_FORMATS, DEFAULT_MODEL, NO_AUDIO, PERFORMED_CHOICES

EXAMPLES = """
clara dream minuet.mid --towards chopin                    # at most half of its notes change
clara dream minuet.mid --towards chopin --strength 0.25    # nearer to the original
clara dream music21:bach/bwv66.6 --towards beethoven liszt # first towards the one, from there to the other
clara dream minuet.mid --towards novelty --out odd         # towards no known composer
"""
STATIONS = 4  # of the way to a composer that are written, the last one among them
PLOT, TABLE = "dream.png", "dream.csv"
ORIGINAL = "original"


def parser() -> cli.Parser:
    """Return the parser of the command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    add = p.add_argument_group("music").add_argument
    add("piece", metavar="PIECE", help="MIDI, MusicXML, Humdrum or ABC file, text of the encoding, or music21:NAME.")
    add(
        "--towards",
        nargs="+",
        required=True,
        metavar="COMPOSER",
        help="Composers whom the classifier knows, or novelty; several are a path.",
    )
    add(
        "--quarters",
        type=cli.above(0),
        metavar="X",
        help="Length of the piece, from its beginning, in quarters (default: all).",
    )
    add(
        "--performed",
        choices=PERFORMED_CHOICES,
        default="auto",
        help="Whether a MIDI file was played without a metronome, so that its beats are found.",
    )
    add = p.add_argument_group("dream").add_argument
    add(
        "--strength",
        type=cli.within(0.01, 1),
        default=0.5,
        metavar="SHARE",
        help="Largest share of the notes that may change on the way to a composer.",
    )
    add(
        "--enough",
        type=cli.within(0.01, 1),
        default=0.9,
        metavar="P",
        help="Probability of the composer at which the dream ends.",
    )
    add("--steps", type=cli.at_least(1), metavar="N", help="Most steps to a composer (default: six for each bar).")
    add("--proposals", type=cli.at_least(1), default=8, metavar="N", help="Number of new versions of a bar in a step.")
    add("--seed", type=cli.at_least(0), default=0, metavar="N", help="Random seed; each gives another dream.")
    add = p.add_argument_group("models").add_argument
    add("--model", default=DEFAULT_MODEL, metavar="MODEL", help="Run folder or pretrained model that composes bars.")
    add("--classifier", metavar="FOLDER", help="Composer classifier (default: the shipped one of the encoding).")
    add("--critic", metavar="FOLDER", help="Critic (default: the one in MODEL-critic, or the shipped one).")
    add = p.add_argument_group("run").add_argument
    add("--audio", choices=AUDIO_FORMATS, default="wav", help="Format of the audio files.")
    add("--out", metavar="FOLDER", help="Folder to write; new or empty (default: output/<time>).")
    add("--threads", type=cli.at_least(1), default=1, metavar="N", help="Number of CPU threads.")
    cli.add_json_flag(add)
    return p


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    args = parser().parse_args(argv)
    with cli.json_output(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Dream from composer to composer, write the folder and print a line for each piece; fill in the answer."""
    with cli.show_status("loading"):
        import torch

        from clara.encodings.prompts import read_prompt
        from clara.files import make_empty_folder
        from clara.generation.generator import Generator
        from clara_app.progress import ProgressBars, stop_on_interrupt
        from critic.dream import Dreamer, DreamSettings
        from critic.own_critic import find_own_critic
        from critic.scores import ScoringModels
    torch.set_num_threads(args.threads)
    generator = Generator.load(args.model)
    encoding = generator.encoding
    critic = args.critic or find_own_critic(args.model)
    models = ScoringModels(encoding.name, critic_folder=critic, composer_folder=args.classifier)
    dreamers = [(name.lower(), Dreamer(generator, models, name.lower())) for name in args.towards]
    piece, _ = read_prompt(args.piece, encoding, args.quarters, performed=args.performed)
    settings = DreamSettings(args.strength, args.enough, args.proposals, args.steps, args.seed)
    folder = make_empty_folder(args.out or Path("output", time.strftime("%Y%m%d-%H%M%S")))
    paths = []
    with stop_on_interrupt() as stop, ProgressBars() as bars:
        for name, dreamer in dreamers:
            states = []
            for state in dreamer.dream(piece, settings, lambda share, name=name: bars.update(f"towards {name}", share)):
                states.append(state)
                if stop.is_set():
                    break
            paths.append((name, states))
            piece = states[-1].notes
            if stop.is_set():
                break
    rows = _write(args, folder, generator, paths)
    for row in rows:
        kept = "" if row["towards"] == ORIGINAL else f", {row['kept']:.0%} of the notes kept"
        print(f"{row['file']}  {row['about']}, critic {row['critic']:+.1f}{kept}")
    print(folder / "index.html")
    answer |= {"folder": folder, "page": folder / "index.html", "interrupted": stop.is_set(), "pieces": rows}
    if stop.is_set():
        print("interrupted: what was reached is kept", file=sys.stderr)
    return cli.INTERRUPTED if stop.is_set() else 0


def _write(args, folder, generator, paths):
    """Write the stations as a playlist, the table and the plot; return the rows of the table."""
    import pandas as pd

    from clara.files import write_atomically
    from clara.rendering.output_folder import RenderSettings, write_playlist

    stations = [(ORIGINAL, paths[0][0], paths[0][1][0])]
    for name, states in paths:
        stations += [(name, name, states[i]) for i in _spread(len(states))]
    run = {
        "about": f"{args.piece}: the original, then on its way towards {', then '.join(name for name, _ in paths)}.",
        "piece": args.piece,
        "model": args.model,
        "towards": [name for name, _ in paths],
        "strength": args.strength,
        "seed": args.seed,
        "command": " ".join(sys.argv),
    }
    samples = [_to_sample(generator, state.notes, args.seed) for _, _, state in stations]
    scores = [{_score_name(wanted): state.wanted, "critic": state.log_odds} for _, wanted, state in stations]
    audio = None if args.audio == NO_AUDIO else args.audio
    written = write_playlist(samples, folder, run, scores, RenderSettings(audio_format=audio))
    rows = [
        {
            "file": row["file"],
            "towards": towards,
            "wanted": round(state.wanted, 4),
            "critic": round(state.log_odds, 4),
            "kept": round(state.kept, 4),
            "about": _describe(wanted, state),
        }
        for row, (towards, wanted, state) in zip(written, stations)
    ]
    write_atomically(folder / TABLE, pd.DataFrame(rows).to_csv(index=False))
    _plot(paths, folder / PLOT)
    return rows


def _spread(n_states):
    """Return at most STATIONS of the states after the first, evenly spread; the last is among them."""
    n_changes = n_states - 1
    n = min(STATIONS, n_changes)
    return [round(n_changes * (i + 1) / n) for i in range(n)]


def _score_name(wanted):
    """Return the name of the score that is wanted."""
    from critic.dream import NOVELTY

    return wanted if wanted == NOVELTY else f"composer:{wanted}"


def _describe(wanted, state):
    """Return how far a piece is, in words."""
    from math import exp

    from critic.dream import NOVELTY

    return f"novelty {state.wanted:.2f}" if wanted == NOVELTY else f"{wanted} {exp(state.wanted):.0%}"


def _to_sample(generator, notes, seed):
    """Return notes as a piece that a playlist takes; all have the same seed, so that they are performed alike."""
    from clara.generation.sample import Sample

    return Sample(generator.tokenize(notes)[0], notes, 0, 0.0, seed)


def _plot(paths, path):
    """Draw the probability of each wanted composer against the share of notes that have changed."""
    import numpy as np

    from clara.rendering.plots import new_figure

    figure, ax = new_figure(7, 4)
    for name, states in paths:
        changed = [1 - state.kept for state in states]
        ax.plot(changed, np.exp([state.wanted for state in states]), marker="o", ms=4, label=f"towards {name}")
    ax.set(xlabel="share of the notes changed", ylabel="probability by the classifier", ylim=(0, 1))
    ax.legend()
    ax.grid(lw=0.5)
    figure.savefig(path)


if __name__ == "__main__":
    cli.run(main)
