"""Encode collections of music as a corpus of text: python -m data_prep.encode SOURCE… --out FOLDER

Each piece becomes a text in its own key; `manifest.csv` tells what became of each file;
works, not files, are split into train, valid and test. Run again, it reads only what
changed. Each file is read in a worker process with a time limit, so that one hostile
file costs itself alone.
"""

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from concurrent.futures import TimeoutError, as_completed
from pathlib import Path

from clara import cli

FINGERPRINTS = "fingerprints.npz"
CHUNK = 16  # files handed to a worker at a time
LOSS_COLUMNS = {"cut": ["cut"], "merged": ["merged"], "folded": ["folded"],
                "dropped": ["drums", "grace", "unread", "dropped"], "mended": ["unended"]}


def arguments(argv=None):
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m data_prep.encode", description=__doc__.split("\n\n")[0],
                                formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("sources", nargs="+", metavar="SOURCE",
                   help="folder of MIDI files and scores (first folder level: composer), a file, or music21:bach")
    p.add_argument("--out", required=True, metavar="FOLDER", help="where the corpus goes")
    text = p.add_argument_group("text")
    text.add_argument("--encoding", default="notewise", choices=["notewise"], help="how music is spelled")
    text.add_argument("--steps-per-quarter", type=cli.within(1, 96, int), default=12, metavar="N",
                      help="grid; 12 holds triplets and sixteenths, 4 sixteenths only")
    text.add_argument("--keys", type=int, default=88, choices=[88, 62, 38], help="range, piano keys")
    text.add_argument("--sustain", action="store_true", help="lengthen notes under the sustain pedal")
    p.add_argument("--about", default="", metavar="TEXT",
                   help="what this is and its licences, for the cards of models trained on it")
    run = p.add_argument_group("run")
    run.add_argument("--exclude", nargs="*", default=[], metavar="COMPOSER", help="folders to leave out")
    run.add_argument("--workers", type=cli.at_least(1), default=os.cpu_count(), metavar="N",
                     help="processes")
    run.add_argument("--timeout", type=cli.above(0), default=60.0, metavar="SECONDS", help="limit per file")
    return p.parse_args(argv)


def main(argv=None):
    """Parse, encode, report."""
    args = arguments(argv)
    from clara.errors import NoData  # heavy imports wait for --help
    from data_prep import corpora

    settings = {"encoding": args.encoding, "steps_per_quarter": args.steps_per_quarter, "n_keys": args.keys}
    pieces = corpora.expand(args.sources, args.exclude)
    manifest, interrupted = encode_corpus(pieces, args.out, settings, sustain=args.sustain,
                                          about=args.about, workers=args.workers, timeout_seconds=args.timeout)
    report(manifest, args.out)
    if interrupted:
        print(f"interrupted: {len(manifest)} of {len(pieces)} files done; run again for the rest",
              file=sys.stderr)
        return cli.INTERRUPTED
    if not (manifest["reason"] == "").any():
        raise NoData(f"{', '.join(args.sources)}: not one of {len(manifest)} files was accepted; "
                     f"{args.out}/manifest.csv says why")
    return 0


def encode_corpus(pieces, out, settings, *, sustain=False, about="", workers=1, timeout_seconds=60.0):
    """Encode pieces into a folder and write its manifest.

    Parameters
    ----------
    pieces : list of `data_prep.corpora.Piece`
    out : folder to make or update
    settings : of the encoding, for `clara.encodings.make`
    sustain : lengthen notes under the pedal
    about : what the music is and its licences
    workers : processes
    timeout_seconds : per file

    Returns
    -------
    manifest : DataFrame, a row per piece, columns `clara.corpus.MANIFEST_COLUMNS`
    interrupted : True if Ctrl-C ended it before the last piece; what was done stands

    Raises
    ------
    CannotWrite
        If the folder cannot be written.
    """
    import pandas as pd

    from clara import encodings
    from clara.corpus import MANIFEST, MANIFEST_COLUMNS, SETTINGS
    from clara.files import make_folder, write_whole
    from data_prep.works import group_works, save_fingerprints, split_of

    out = make_folder(out)
    told = {"encoding": encodings.make(settings).settings, "sustain": sustain, "about": about}
    before, written = _earlier_rows(out, told), _written(out)
    rows, interrupted = _encode_all(pieces, out, settings, sustain, before, workers, timeout_seconds)
    accepted = [r for r in rows if not r["reason"]]
    fingerprints = [r["fingerprint"] for r in accepted]
    works = group_works(fingerprints)
    for row, work, side in zip(accepted, works, split_of(fingerprints, works)):
        row.update(work=work, split=side)
    manifest = pd.DataFrame(rows, columns=MANIFEST_COLUMNS).convert_dtypes()
    save_fingerprints(out / FINGERPRINTS, {r["piece"]: r["fingerprint"] for r in accepted})
    write_whole(out / SETTINGS, json.dumps(told, indent=1) + "\n")
    write_whole(out / MANIFEST, manifest.to_csv(index=False))
    if not interrupted:
        for gone in written - {r["piece"] for r in accepted}:
            (out / f"{gone}.txt").unlink(missing_ok=True)
    return manifest, interrupted


def _written(out):
    """Names of the pieces that an earlier run with any settings wrote."""
    from clara.corpus import MANIFEST, read_manifest

    return set(read_manifest(out).query("reason == ''")["piece"]) if (out / MANIFEST).is_file() else set()


def _earlier_rows(out, told):
    """Rows of accepted pieces of an earlier run with the same settings, by piece name."""
    from clara.corpus import MANIFEST, SETTINGS, read_manifest
    from data_prep.works import load_fingerprints

    if not all((out / name).is_file() for name in (MANIFEST, SETTINGS, FINGERPRINTS)):
        return {}
    earlier = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    if any(earlier.get(k) != told[k] for k in ("encoding", "sustain")):
        return {}
    rows = read_manifest(out).to_dict("records")
    known = load_fingerprints(out / FINGERPRINTS)
    return {r["piece"]: r | {"fingerprint": known[r["piece"]]} for r in rows if r["piece"] in known}


def _encode_all(pieces, out, settings, sustain, before, workers, timeout_seconds):
    """Encode over processes; returns (rows in the order of pieces, interrupted)."""
    from pebble import ProcessPool
    from tqdm import tqdm

    rows, interrupted = {}, False
    bar = tqdm(total=len(pieces), unit=" files", disable=None, desc="encoding")
    chunks = [pieces[i:i + CHUNK] for i in range(0, len(pieces), CHUNK)]
    with ProcessPool(max_workers=workers) as pool:
        def submit(chunk):
            earlier = [before.get(p.name) for p in chunk]
            return pool.schedule(encode_pieces, args=[chunk, out, settings, sustain, earlier],
                                 timeout=timeout_seconds * len(chunk))
        try:
            waiting = {submit(c): c for c in chunks}
            while waiting:
                again = []
                for future in as_completed(waiting):
                    chunk = waiting[future]
                    try:
                        done = future.result()
                    except Exception as e:  # noqa: BLE001 - whatever a library did in the worker
                        if len(chunk) > 1:  # one of them took the worker down: each on its own
                            again += [[p] for p in chunk]
                            continue
                        done = [_refusal(chunk[0], _death(e))]
                    rows.update((r["piece"], r) for r in done)
                    bar.update(len(done))
                waiting = {submit(c): c for c in again}
        except KeyboardInterrupt:
            interrupted = True
            pool.stop()
    bar.close()
    told = {**before, **rows} if interrupted else rows
    return [told[p.name] for p in pieces if p.name in told], interrupted


def _death(error):
    """Why a worker did not come back, in the manifest's words."""
    return "Timeout" if isinstance(error, TimeoutError) else f"WorkerDied: {type(error).__name__}"


def encode_pieces(pieces, out, settings, sustain, earlier):
    """Encode some pieces in this process; a list of manifest rows with `fingerprint`."""
    from clara import encodings

    encoding = encodings.make(settings)
    return [_encode_piece(p, Path(out), encoding, sustain, e) for p, e in zip(pieces, earlier)]


def _encode_piece(piece, out, encoding, sustain, earlier):
    """Write one piece's text unless it stands there already; its manifest row."""
    from clara.errors import ClaraError
    from clara.files import make_folder, write_whole
    from data_prep.corpora import read_piece
    from data_prep.works import FINGERPRINT_GRID, fingerprint

    try:
        digest = hashlib.sha256(piece.path.read_bytes()).hexdigest()
        path = out / f"{piece.name}.txt"
        if earlier and earlier["hash"] == digest and path.is_file():
            return earlier | {"composer": piece.composer, "source": str(piece.path)}
        notes, losses = read_piece(piece, steps_per_quarter=encoding.steps_per_quarter, sustain=sustain)
        words, more = encoding.encode(notes)
        same_grid = encoding.steps_per_quarter == FINGERPRINT_GRID
        heard = notes if same_grid else read_piece(piece, steps_per_quarter=FINGERPRINT_GRID)[0]
        make_folder(path.parent)
        write_whole(path, " ".join(words) + "\n")
    except (ClaraError, OSError) as e:
        return _refusal(piece, f"{type(e).__name__}: {e}")
    losses += more
    told = {column: sum(losses[n] for n in names) for column, names in LOSS_COLUMNS.items()}
    return {"piece": piece.name, "composer": piece.composer, "source": str(piece.path), "hash": digest,
            "notes": len(notes), "quarters": round(notes.quarters, 4), "words": len(words),
            "reason": "", "fingerprint": fingerprint(heard)} | told


def _refusal(piece, reason):
    """The manifest row of a piece that was not taken."""
    return {"piece": piece.name, "composer": piece.composer, "source": str(piece.path), "reason": reason}


def report(manifest, out):
    """Print what was accepted, split, lost and refused."""
    taken = manifest[manifest["reason"] == ""]
    refused = manifest[manifest["reason"] != ""]
    print(f"{len(taken):,} pieces, {int(taken['notes'].sum()):,} notes, {taken['quarters'].sum():,.0f} quarters, "
          f"{int(taken['words'].sum()):,} words in {out}")
    if len(taken):
        print("split: " + ", ".join(f"{side} {n}" for side, n in taken["split"].value_counts().items())
              + f" ({taken['work'].nunique():,} works)")
        lost = {c: int(taken[c].sum()) for c in LOSS_COLUMNS}
        print("notes " + ", ".join(f"{c} {n:,}" for c, n in lost.items()))
    if len(refused):
        reasons = Counter(r.split(":")[0] for r in refused["reason"])
        print("refused: " + ", ".join(f"{n} {reason}" for reason, n in reasons.items()))
        for _, row in refused.head(10).iterrows():
            print(f"  {row['source']}: {row['reason']}")
        if len(refused) > 10:
            print(f"  and {len(refused) - 10} more, see manifest.csv")


if __name__ == "__main__":
    cli.run(main)
