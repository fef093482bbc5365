"""Encode collections of music as a corpus of text: python -m data_prep.prepare SOURCE… --out FOLDER

Each piece becomes a text in its own key; manifest.csv tells what became of each file;
works, not files, are split into train, valid and test. Run again, it reads only what
changed. Each file is read in a worker process with limits of time and memory, so that one
hostile file costs itself alone; with --cluster, on the machines of a Ray cluster.
"""

import contextlib
import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path

from clara import cli
from clara.encodings import ENCODINGS
from clara.music.keys import TONICS

EXAMPLES = """
python -m data_prep.prepare my_midis/ --out data/mine
python -m data_prep.prepare songs/ --encoding chamber --exclude anonymous --max-grid-error 0.45 --out data/songs
"""
FINGERPRINTS = "fingerprints.bin"
LARGE_VOCABULARY = 40_000  # words; the output layer then takes most of the time


def parser():
    """The command line."""
    p = cli.Parser(__doc__, EXAMPLES)
    music = p.add_argument_group("music").add_argument
    music(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="folder of music (first folder level: composer), a file, or music21:bach",
    )
    music("--exclude", nargs="*", default=[], metavar="COMPOSER", help="folders to leave out")
    music(
        "--solo-track",
        metavar="TRACK",
        help="chamber: the solo's track, by its name or its number among the tracks with notes; "
        "without it by programs and names",
    )
    music("--sustain", action="store_true", help="lengthen notes under the sustain pedal")
    music(
        "--max-grid-error",
        type=cli.within(0, 1),
        metavar="SHARE",
        help="refuse pieces with more of their onsets off the grid; performed music has 0.45 and more",
    )
    text = p.add_argument_group("text").add_argument
    text(
        "--encoding",
        default="notewise",
        choices=list(ENCODINGS),
        help="how music is spelled; chamber and quartet are notewise with a part for each player",
    )
    text(
        "--steps-per-quarter",
        type=cli.within(1, 96, int),
        metavar="N",
        help="the grid; 12 holds triplets and sixteenths, 4 sixteenths only, without it the encoding's own",
    )
    text("--keys", type=int, default=88, choices=[88, 62, 38], help="range, piano keys")
    text("--holds", action="store_true", help="chordwise: also write the notes that go on sounding")
    text(
        "--max-vocab",
        type=cli.at_least(100),
        metavar="N",
        help="chordwise: words at most; the rarest chords become the nearest kept ones",
    )
    text(
        "--to-key",
        choices=TONICS,
        metavar="KEY",
        help="move every piece to this major key, minor ones to its relative minor: " + ", ".join(TONICS),
    )
    run = p.add_argument_group("run").add_argument
    run("--out", required=True, metavar="FOLDER", help="folder to write; of an earlier run it is brought up to date")
    run(
        "--about",
        default="",
        metavar="TEXT",
        help="what this is and its licences, for the cards of models trained on it",
    )
    run(
        "--workers",
        type=cli.at_least(1),
        default=os.cpu_count(),
        metavar="N",
        help="processes; each reads files of its own",
    )
    run("--timeout", type=cli.above(0), default=60.0, metavar="SECONDS", help="limit for one file")
    run("--memory", type=cli.at_least(64), default=2048, metavar="MB", help="limit for one file")
    run(
        "--cluster",
        metavar="ADDRESS",
        help="ray or ray://host:port: work on all CPUs of a Ray cluster; sources and --out must be on storage "
        "that all its machines see alike",
    )
    cli.add_json_flag(run)
    return p


def main(argv=None):
    """Parse, encode, report."""
    args = parser().parse_args(argv)
    with cli.json_output(args.json) as answer:
        return _run(args, answer)


def _run(args, answer):
    """Encode, report; fills the answer in."""
    with cli.show_status("loading"):
        from data_prep import sources  # heavy imports wait for --help
        from data_prep.piece_encoding import ReadSettings
    from clara.errors import NoData

    reading = ReadSettings(args.sustain, args.solo_track, args.to_key, args.max_grid_error)
    settings = _settings(args)
    with cli.show_status("looking for music"):
        pieces = sources.find_pieces(args.sources, args.exclude)
    manifest, interrupted = prepare_corpus(
        pieces,
        args.out,
        settings,
        reading=reading,
        max_vocab=args.max_vocab,
        about=args.about,
        workers=args.workers,
        timeout_seconds=args.timeout,
        memory_mb=args.memory,
        cluster=args.cluster,
    )
    print_report(manifest, args.out)
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


def _settings(args):
    """The encoding's settings that the flags tell; raises BadSetting for flags that are not its."""
    from clara.errors import BadSetting

    settings = {"encoding": args.encoding, "n_keys": args.keys}
    if args.steps_per_quarter:
        settings["steps_per_quarter"] = args.steps_per_quarter
    if args.holds:
        settings["holds"] = True
    meant = {
        "holds": args.holds and args.encoding != "chordwise",
        "max-vocab": args.max_vocab and not ENCODINGS[args.encoding].open_vocabulary,
        "solo-track": args.solo_track and args.encoding != "chamber",
    }
    for flag, wrong in meant.items():
        if wrong:
            raise BadSetting(f"--{flag} does not go with --encoding {args.encoding}")
    return settings


def prepare_corpus(pieces, out, settings, *, reading=None, max_vocab=None, about="", **how):
    """Encode pieces into a folder and write its manifest.

    Parameters
    ----------
    pieces : list of `data_prep.sources.Piece`
    out : folder to make or update
    settings : of the encoding, for `clara.encodings.make_encoding`
    reading : data_prep.piece_encoding.ReadSettings, or None for the plain one
    max_vocab : words at most in an open vocabulary, or None
    about : what the music is and its licences
    how : workers, timeout_seconds, memory_mb, cluster, as of `data_prep.workers.process_pieces`

    Returns
    -------
    manifest : DataFrame, a row per piece, columns `clara.data.corpus.MANIFEST_COLUMNS`
    interrupted : True if Ctrl-C ended it before the last piece; what was done stands

    Raises
    ------
    CannotWrite
        If the folder cannot be written.
    BadSetting
        If there is no such cluster.
    """
    import pandas as pd

    from clara import encodings
    from clara.data.corpus import MANIFEST, MANIFEST_COLUMNS, SETTINGS, VOCABULARY
    from clara.files import make_folder, write_atomically
    from data_prep.piece_encoding import ReadSettings, encode_piece
    from data_prep.vocabulary import write_vocabulary

    out = make_folder(out)
    encoding = encodings.make_encoding(settings)
    reading = reading or ReadSettings()
    told = {"encoding": encoding.settings, "about": about, "max_vocab": max_vocab, **asdict(reading)}
    # With a limit the texts on disk are no longer the pieces' own, and what is rare has changed.
    before, written = {} if max_vocab else _earlier_rows(out, told), _written(out)
    task = partial(encode_piece, out=out, encoding=encoding, reading=reading)
    rows, interrupted = _encode_all(pieces, out, task, before, how)
    accepted = [r for r in rows if not r["reason"]]
    with cli.show_status("finding works"):
        _split(accepted, out)
    if encoding.open_vocabulary and accepted:
        with cli.show_status("counting words"):
            replaced = write_vocabulary(out, [r["piece"] for r in accepted], encoding, max_vocab)
        for row in accepted:
            row["replaced"] = replaced[row["piece"]]
    else:
        (out / VOCABULARY).unlink(missing_ok=True)  # of an earlier run in another encoding
    manifest = pd.DataFrame(rows, columns=MANIFEST_COLUMNS).convert_dtypes()
    write_atomically(out / SETTINGS, json.dumps(told, indent=1) + "\n")
    write_atomically(out / MANIFEST, manifest.to_csv(index=False))
    if not interrupted:
        for gone in written - {r["piece"] for r in accepted}:
            (out / f"{gone}.txt").unlink(missing_ok=True)
    return manifest, interrupted


def load_fingerprints(folder, pieces):
    """The fingerprints of some pieces of a prepared folder, a sequence of int64 arrays as `data_prep.musical_works.compute_fingerprint` gives them; raises NoData where it has none."""
    from clara.errors import NoData
    from data_prep.fingerprints import FingerprintFile

    if not (Path(folder) / FINGERPRINTS).is_file():
        raise NoData(f"{folder}: no {FINGERPRINTS}; prepare it again")
    return FingerprintFile(Path(folder) / FINGERPRINTS).select(list(pieces))


def _split(accepted, out):
    """Tell the rows of accepted pieces their works, and the split that each work falls on."""
    from data_prep.musical_works import assign_splits, group_works

    fingerprints = load_fingerprints(out, [r["piece"] for r in accepted])
    works = group_works(fingerprints)
    for row, work, side in zip(accepted, works, assign_splits(fingerprints, works)):
        row.update(work=work, split=side)


def _written(out):
    """Names of the pieces that an earlier run with any settings wrote."""
    from clara.data.corpus import MANIFEST, read_manifest

    return set(read_manifest(out).query("reason == ''")["piece"]) if (out / MANIFEST).is_file() else set()


def _earlier_rows(out, told):
    """Rows of accepted pieces of an earlier run with the same settings, by piece name."""
    from clara.data.corpus import MANIFEST, SETTINGS, read_manifest
    from data_prep.fingerprints import FingerprintFile

    if not all((out / name).is_file() for name in (MANIFEST, SETTINGS, FINGERPRINTS)):
        return {}
    earlier = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    if any(earlier.get(k) != told[k] for k in told.keys() - {"about"}):
        return {}
    known = FingerprintFile(out / FINGERPRINTS)
    return {r["piece"]: r for r in read_manifest(out).to_dict("records") if r["piece"] in known}


def _encode_all(pieces, out, task, before, how):
    """Encode over processes; returns (rows in the order of pieces, interrupted)."""
    from tqdm import tqdm

    from data_prep.fingerprints import FingerprintFile, write_fingerprints
    from data_prep.piece_encoding import refused_row
    from data_prep.workers import process_pieces

    rows, interrupted = {}, False
    known = FingerprintFile(out / FINGERPRINTS) if before else None
    jobs = ((piece, before.get(piece.name)) for piece in pieces)
    with (
        write_fingerprints(out / FINGERPRINTS) as keep,
        contextlib.closing(process_pieces(jobs, task, **how)) as done,
        tqdm(total=len(pieces), unit=" files", disable=None, desc="encoding") as bar,
    ):
        try:
            for (piece, _), row, reason in done:
                row = row or refused_row(piece, reason)
                if not row["reason"]:
                    runs = row.pop("fingerprint", None)
                    keep(piece.name, known[piece.name] if runs is None else runs)
                rows[piece.name] = row
                bar.update()
        except KeyboardInterrupt:
            interrupted = True
            for name in before.keys() - rows.keys():
                keep(name, known[name])
    told = {**before, **rows} if interrupted else rows
    return [told[p.name] for p in pieces if p.name in told], interrupted


def summarize_manifest(manifest, out):
    """What was accepted, split, lost and refused, in numbers.

    Parameters
    ----------
    manifest : as `prepare_corpus` gives it
    out : its folder

    Returns
    -------
    dict with `files`, `accepted`, `notes`, `quarters`, `tokens`, `works`, and by name `split`, `lost` and `refused`;
    `vocabulary` is None where the encoding decides it
    """
    from clara.data.corpus import LOSS_COUNTS, VOCABULARY

    taken, path = manifest[manifest["reason"] == ""], Path(out) / VOCABULARY
    reasons = Counter(r.split(":")[0] for r in manifest["reason"] if r)
    return {
        "files": len(manifest),
        "accepted": len(taken),
        "notes": int(taken["notes"].sum()),
        "quarters": float(taken["quarters"].sum()),
        "tokens": int(taken["tokens"].sum()),
        "works": int(taken["work"].nunique()),
        "split": {side: int(n) for side, n in taken["split"].value_counts().items()},
        "lost": {c: int(taken[c].sum()) for c in LOSS_COUNTS},
        "refused": dict(reasons),
        "vocabulary": len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else None,
    }


def print_report(manifest, out):
    """Print what was accepted, split, lost and refused."""
    from clara.data.corpus import LOSS_COUNTS

    told, refused = summarize_manifest(manifest, out), manifest[manifest["reason"] != ""]
    print(
        f"{told['accepted']:,} pieces, {told['notes']:,} notes, {told['quarters']:,.0f} quarters, {told['tokens']:,} tokens in {out}"
    )
    if told["accepted"]:
        print("split: " + ", ".join(f"{side} {n}" for side, n in told["split"].items()) + f" ({told['works']:,} works)")
        print("notes " + ", ".join(f"{c} {n:,}" for c, n in told["lost"].items() if n or c in LOSS_COUNTS[:3]))
    if told["vocabulary"] is not None:
        print(
            f"vocabulary: {told['vocabulary']:,} words"
            + "; --max-vocab would keep the net small" * (told["vocabulary"] > LARGE_VOCABULARY)
        )
    if len(refused):
        print("refused: " + ", ".join(f"{n} {reason}" for reason, n in told["refused"].items()))
        for _, row in refused.head(10).iterrows():
            print(f"  {row['source']}: {row['reason']}")
        if len(refused) > 10:
            print(f"  and {len(refused) - 10} more, see manifest.csv")


if __name__ == "__main__":
    from data_prep import prepare  # noqa: PLW0406 - other machines know a task by its module, and not by __main__

    cli.run(prepare.main)
