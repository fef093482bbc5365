"""Encode collections of music as a corpus of text.

Usage: clara prepare SOURCE… --out FOLDER

Each piece becomes a text in its own key. manifest.csv says what became of each file. Works, not
files, are split into train, valid and test. A second run reads only what changed. Each file is
read in a worker process with limits of time and memory, so that a hostile file harms nothing but
itself. With --cluster the work runs on the machines of a Ray cluster.
"""

import os
import sys
from collections import Counter
from pathlib import Path

from clara import cli
from clara.encodings import ENCODINGS
from clara.music.keys import TONICS
from clara.wording import count_of

EXAMPLES = """
clara prepare my_midis/ --out data/mine
clara prepare songs/ --encoding chamber --exclude anonymous --max-grid-error 0.45 --out data/songs
"""
LARGE_VOCABULARY = 40_000  # tokens; above this the output layer takes most of the training time
MAX_LISTED_REFUSALS = 10
ALWAYS_SHOWN_LOSSES = 3  # the first loss counts are printed even if they are 0


def parser() -> cli.Parser:
    """Return the command line parser."""
    p = cli.Parser(__doc__, EXAMPLES)
    _add_music_flags(p.add_argument_group("music").add_argument)
    _add_text_flags(p.add_argument_group("text").add_argument)
    _add_run_flags(p.add_argument_group("run").add_argument)
    return p


def _add_music_flags(add):
    """Add the flags that choose files and say how to read them."""
    add(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="Folder of music (the first folder level names the composer), a single file, or music21:bach.",
    )
    add("--exclude", nargs="*", default=[], metavar="COMPOSER", help="Composers (folders) to leave out.")
    add(
        "--solo-track",
        metavar="TRACK",
        help="For --encoding chamber: the solo's track, by its name or its number among the tracks with notes "
        "(default: found by programs and track names).",
    )
    add("--sustain", action="store_true", help="Lengthen notes while the sustain pedal is down.")
    add(
        "--max-grid-error",
        type=cli.within(0, 1),
        metavar="SHARE",
        help="Refuse pieces with a larger share of onsets off the grid; performed music has 0.45 or more "
        "(default: accept all).",
    )
    add_performed_flag(add)
    add_split_flags(add)


def add_performed_flag(add) -> None:
    """Add the flag --performed."""
    add(
        "--performed",
        choices=["auto", "yes", "no"],
        default="auto",
        help="Which MIDI files were played without a metronome, so that their beats are found; auto takes those whose "
        "onsets fit no beat grid.",
    )


def add_split_flags(add) -> None:
    """Add the flags --group-by, --valid-share and --no-test."""
    add(
        "--group-by",
        default="music",
        choices=["music", "folder"],
        help="Which files are one work, and so fall on one side of the split; music compares their melodies, folder "
        "also takes all files of a folder as one work, for performances that the music does not reveal.",
    )
    add(
        "--valid-share",
        type=cli.within(0, 0.5),
        default=0.05,
        metavar="SHARE",
        help="Share of the works that validate, at least one work unless 0; it is not trained on.",
    )
    add("--no-test", action="store_true", help="Hold out no test works; train on them, too.")


def _add_text_flags(add):
    """Add the flags of the encoding."""
    add(
        "--encoding",
        default="notewise",
        choices=list(ENCODINGS),
        help="Encoding of music as text; chamber and quartet are notewise with a part for each player.",
    )
    add(
        "--steps-per-quarter",
        type=cli.within(1, 96, int),
        metavar="N",
        help="Grid, in steps per quarter note; 12 holds triplets and sixteenths, 4 only sixteenths "
        "(default: the encoding's own).",
    )
    add("--keys", type=int, default=88, choices=[88, 62, 38], help="Range, in piano keys.")
    add("--holds", action="store_true", help="For --encoding chordwise: also write the notes that keep sounding.")
    add(
        "--max-vocab",
        type=cli.at_least(100),
        metavar="N",
        help="For --encoding chordwise: largest number of tokens in the vocabulary; the rarest chords are replaced "
        "by the nearest remaining ones (default: no limit).",
    )
    add(
        "--to-key",
        choices=TONICS,
        metavar="KEY",
        help="Move every piece to this major key, and minor pieces to its relative minor: "
        + ", ".join(TONICS)
        + " (default: leave keys as they are).",
    )


def _add_run_flags(add):
    """Add the flags of the run."""
    add("--out", required=True, metavar="FOLDER", help="Folder to write; the folder of an earlier run is updated.")
    add(
        "--about",
        default="",
        metavar="TEXT",
        help="Description and licences of the music, for the cards of models trained on it.",
    )
    add_worker_flags(add)
    add(
        "--cluster",
        metavar="ADDRESS",
        help="ray or ray://host:port: use all CPUs of a Ray cluster; sources and --out must lie on storage "
        "that all its machines see under the same paths (default: this machine).",
    )
    cli.add_json_flag(add)


def add_worker_flags(add) -> None:
    """Add the flags --workers, --timeout and --memory."""
    add("--workers", type=cli.at_least(1), default=os.cpu_count(), metavar="N", help="Number of worker processes.")
    add("--timeout", type=cli.above(0), default=60.0, metavar="SECONDS", help="Time limit for one file, in seconds.")
    add("--memory", type=cli.at_least(64), default=2048, metavar="MIB", help="Memory limit for one file, in MiB.")


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, encode, report; return the exit status."""
    args = parser().parse_args(argv)
    with cli.json_output(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Encode, report, and fill the answer of --json."""
    with cli.show_status("loading"):  # heavy imports come after --help
        from clara.data.corpus_writer import prepare_corpus
        from clara.data.piece_encoding import ReadSettings
        from clara.data.sources import find_pieces
        from clara.data.splits import SplitSettings
        from clara.data.workers import WorkerSettings
    from clara.errors import NoData

    encoding_settings = _encoding_settings(args)
    with cli.show_status("looking for music"):
        pieces = find_pieces(args.sources, args.exclude)
    manifest, interrupted = prepare_corpus(
        pieces,
        args.out,
        encoding_settings,
        read_settings=ReadSettings(args.sustain, args.solo_track, args.to_key, args.max_grid_error, args.performed),
        max_vocab=args.max_vocab,
        about=args.about,
        split_settings=SplitSettings(args.group_by, args.valid_share, not args.no_test),
        worker_settings=WorkerSettings(args.workers, args.timeout, args.memory, args.cluster),
    )
    print_report(manifest, args.out)
    report_aligned(manifest)
    _warn_of_performed(manifest)
    answer |= {"folder": args.out, "interrupted": interrupted} | summarize_manifest(manifest, args.out)
    if interrupted:
        print(f"interrupted: {len(manifest)} of {len(pieces)} files done; run again for the rest", file=sys.stderr)
        return cli.INTERRUPTED
    if not answer["accepted"]:
        raise NoData(
            f"{', '.join(args.sources)}: not one of {len(manifest)} files was accepted; "
            f"{args.out}/manifest.csv says why"
        )
    return 0


def _encoding_settings(args):
    """Return the encoding's settings; raise BadSetting for flags that do not apply to it."""
    from clara.errors import BadSetting

    settings = {"encoding": args.encoding, "n_keys": args.keys}
    if args.steps_per_quarter:
        settings["steps_per_quarter"] = args.steps_per_quarter
    if args.holds:
        settings["holds"] = True
    misplaced = {
        "holds": args.holds and args.encoding != "chordwise",
        "max-vocab": args.max_vocab and not ENCODINGS[args.encoding].open_vocabulary,
        "solo-track": args.solo_track and args.encoding != "chamber",
    }
    for flag, is_misplaced in misplaced.items():
        if is_misplaced:
            raise BadSetting(f"--{flag} does not go with --encoding {args.encoding}")
    return settings


def report_aligned(manifest):
    """Print how many pieces were performed and have been aligned."""
    aligned = manifest.attrs.get("aligned", [])
    if aligned:
        print(
            f"{count_of(len(aligned), 'piece')} of {len(manifest):,} followed no beat grid, so the beats were found: "
            f"{', '.join(aligned[:3])}{', …' if len(aligned) > 3 else ''}; --performed no takes their ticks as they are"
        )


def _warn_of_performed(manifest):
    """Warn of accepted pieces that follow no beat grid."""
    from clara.data.onset_grid import SUGGESTED_MAX_GRID_ERROR, describe_performed

    performed = describe_performed(manifest.loc[manifest["reason"] == "", "grid_misfit"].tolist())
    if performed:
        print(
            f"warning: {performed}; leave them out with --max-grid-error {SUGGESTED_MAX_GRID_ERROR}, or find their "
            "beats with --performed auto (clara inspect lists them)",
            file=sys.stderr,
        )


def summarize_manifest(manifest, folder: str | Path) -> dict:
    """Return counts of what was accepted, split, lost and refused.

    Parameters
    ----------
    manifest : DataFrame
        From `clara.data.corpus_writer.prepare_corpus`.
    folder : str or Path
        Folder of the corpus.

    Returns
    -------
    dict
        With `files`, `accepted`, `notes`, `quarters`, `tokens`, `works`; the dicts `split`, `lost`
        and `refused` by name; and `vocabulary`, the number of tokens, or None if the encoding
        alone determines the vocabulary.
    """
    from clara.data.corpus import LOSS_COUNTS, VOCABULARY

    accepted = manifest[manifest["reason"] == ""]
    refusal_kinds = Counter(reason.split(":")[0] for reason in manifest["reason"] if reason)
    vocabulary = Path(folder) / VOCABULARY
    return {
        "files": len(manifest),
        "accepted": len(accepted),
        "notes": int(accepted["notes"].sum()),
        "quarters": float(accepted["quarters"].sum()),
        "tokens": int(accepted["tokens"].sum()),
        "works": int(accepted["work"].nunique()),
        "split": {split: int(n) for split, n in accepted["split"].value_counts().items()},
        "lost": {column: int(accepted[column].sum()) for column in LOSS_COUNTS},
        "refused": dict(refusal_kinds),
        "vocabulary": len(vocabulary.read_text(encoding="utf-8").splitlines()) if vocabulary.is_file() else None,
    }


def print_report(manifest, folder: str | Path) -> None:
    """Print what was accepted, split, lost and refused.

    Parameters
    ----------
    manifest : DataFrame
        From `clara.data.corpus_writer.prepare_corpus`.
    folder : str or Path
        Folder of the corpus.
    """
    summary = summarize_manifest(manifest, folder)
    print(
        f"{count_of(summary['accepted'], 'piece')}, {count_of(summary['notes'], 'note')}, "
        f"{count_of(round(summary['quarters']), 'quarter')}, "
        f"{count_of(summary['tokens'], 'token')} in {folder}"
    )
    if summary["accepted"]:
        splits = ", ".join(f"{split} {n}" for split, n in summary["split"].items())
        print(f"split: {splits} ({count_of(summary['works'], 'work')})")
        losses = [
            f"{name} {n:,}" for i, (name, n) in enumerate(summary["lost"].items()) if n or i < ALWAYS_SHOWN_LOSSES
        ]
        print("notes " + ", ".join(losses))
    if summary["vocabulary"] is not None:
        hint = "; --max-vocab would keep the model small" if summary["vocabulary"] > LARGE_VOCABULARY else ""
        print(f"vocabulary: {count_of(summary['vocabulary'], 'token')}{hint}")
    _print_refused(manifest, summary)


def _print_refused(manifest, summary):
    """Print the refused files, the first few by name."""
    refused = manifest[manifest["reason"] != ""]
    if not len(refused):
        return
    print("refused: " + ", ".join(f"{n} {reason}" for reason, n in summary["refused"].items()))
    for _, row in refused.head(MAX_LISTED_REFUSALS).iterrows():
        print(f"  {row['source']}: {row['reason']}")
    if len(refused) > MAX_LISTED_REFUSALS:
        print(f"  and {len(refused) - MAX_LISTED_REFUSALS} more, see manifest.csv")


if __name__ == "__main__":
    cli.run(main)
