"""Run Clara from one command: `clara SUBCOMMAND [flags]`, or `python -m clara_app`."""

import difflib
import importlib
import sys

import clara
from clara import cli
from clara.errors import BadSetting

# subcommand: (module with `main(argv)`, what it does)
SUBCOMMANDS = {
    "compose": ("clara_app.compose", "Compose new music and keep the best pieces."),
    "train": ("clara_app.train", "Train or fine-tune a model on your own music."),
    "tune": ("clara_app.tune", "Search for the recipe that learns most in a given time."),
    "critic": ("critic.build", "Train a critic for a model of your own."),
    "train-planner": ("clara_app.train_planner", "Train a planner, which composes the form of pieces."),
    "perform": ("clara_app.perform", "Give a score dynamics, tempo and pedal."),
    "train-performer": ("clara_app.train_performer", "Train a performer on your own performed MIDI files."),
    "dream": ("clara_app.dream", "Change a piece until it sounds like another composer."),
    "rank": ("critic.ranking", "Rank pieces, best first."),
    "prepare": ("data_prep.prepare", "Encode a folder of music as text to train on."),
    "inspect": ("data_prep.inspect", "Show what a folder of music holds."),
    "export": ("clara.export", "Export a model to ONNX."),
    "serve": ("clara_app.serve", "Compose in the browser."),
}


def usage() -> str:
    """Return the help text of the `clara` command."""
    width = max(map(len, SUBCOMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in SUBCOMMANDS.items()]
    return "\n".join(
        [
            "Clara: train on your own music, compose, and keep the best.",
            "",
            "usage: clara COMMAND [flags]",
            "       clara --version",
            "",
            "commands:",
            *lines,
            "",
            "`clara COMMAND --help` lists the flags of a command.",
        ]
    )


def find_subcommand(name: str) -> str:
    """Return the name of the module that runs a subcommand.

    Raises
    ------
    BadSetting
        If there is no such subcommand; the message names the nearest one.
    """
    if name in SUBCOMMANDS:
        return SUBCOMMANDS[name][0]
    nearest = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"the commands are {', '.join(SUBCOMMANDS)}"
    raise BadSetting(f"clara {name}: unknown command; {hint}")


def main(argv: list[str] | None = None) -> int | None:
    """Run a subcommand and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        print(f"clara {clara.__version__}")
        return 0
    name, *flags = arguments
    module = importlib.import_module(find_subcommand(name))
    sys.argv = [f"clara {name}", *flags]  # the parser's program name, and the command that run folders record
    return module.main(flags)


def run():
    """Run the `clara` command and exit with its status."""
    cli.run(main)


if __name__ == "__main__":
    run()
