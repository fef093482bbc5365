"""Write a corpus: encode pieces over worker processes, group works, split, and write the manifest."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from clara import cli, encodings
from clara.data import workers
from clara.data.corpus import MANIFEST, MANIFEST_COLUMNS, SETTINGS, VOCABULARY, read_manifest, read_settings
from clara.data.fingerprints import FINGERPRINTS, FingerprintFile, load_fingerprints, write_fingerprints
from clara.data.musical_works import group_works
from clara.data.piece_encoding import ReadSettings, encode_piece, refused_row
from clara.data.sources import Piece
from clara.data.splits import DEFAULT_SPLIT, SplitSettings, assign_splits
from clara.data.vocabulary import write_vocabulary
from clara.data.workers import WorkerSettings
from clara.errors import NoData
from clara.files import make_folder, path_inside, write_atomically

PER_RUN_SETTINGS = {"about", *asdict(DEFAULT_SPLIT)}  # they change no text


def prepare_corpus(
    pieces: Sequence[Piece],
    folder: str | Path,
    encoding_settings: dict,
    *,
    read_settings: ReadSettings | None = None,
    max_vocab: int | None = None,
    about: str = "",
    split_settings: SplitSettings = DEFAULT_SPLIT,
    worker_settings: WorkerSettings | None = None,
) -> tuple[pd.DataFrame, bool]:
    """Encode pieces into a folder and write its manifest.

    Parameters
    ----------
    pieces : sequence of clara.data.sources.Piece
    folder : str or Path
        Folder to make, or to update from an earlier run.
    encoding_settings : dict
        For `clara.encodings.make_encoding`.
    read_settings : ReadSettings
        How pieces are read (default: `ReadSettings()`).
    max_vocab : int or None
        Largest number of tokens in an open vocabulary (default: no limit).
    about : str
        Description and licences of the music.
    split_settings : SplitSettings
        How files are grouped as works, and works are split.
    worker_settings : WorkerSettings
        Processes and limits (default: `WorkerSettings()`).

    Returns
    -------
    manifest : DataFrame
        A row per piece, with the columns `clara.data.corpus.MANIFEST_COLUMNS`.
    interrupted : bool
        True if Ctrl-C came before the last piece; finished pieces are kept.

    Raises
    ------
    CannotWrite
        If the folder cannot be written.
    BadSetting
        If the cluster cannot be reached.
    """
    folder = Path(make_folder(folder))
    encoding = encodings.make_encoding(encoding_settings)
    read_settings = read_settings or ReadSettings()
    settings = {"encoding": encoding.settings, "about": about, "max_vocab": max_vocab}
    settings |= asdict(read_settings) | asdict(split_settings)
    # With a vocabulary limit the texts on disk were rewritten, and which chords are rare may have changed.
    earlier_rows = {} if max_vocab else _read_earlier_rows(folder, settings)
    earlier_names = _read_earlier_names(folder)
    task = partial(encode_piece, folder=folder, encoding=encoding, settings=read_settings)
    rows, interrupted = _encode_all(pieces, folder, task, earlier_rows, worker_settings)
    accepted = [row for row in rows if not row["reason"]]
    with cli.show_status("finding works"):
        _add_works_and_splits(accepted, folder, split_settings)
    _write_vocabulary(accepted, folder, encoding, max_vocab)
    manifest = pd.DataFrame(rows, columns=MANIFEST_COLUMNS).convert_dtypes()
    manifest.attrs["aligned"] = [row["piece"] for row in accepted if row.get("aligned")]
    write_atomically(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")
    write_atomically(folder / MANIFEST, manifest.to_csv(index=False))
    if not interrupted:
        for name in earlier_names - {row["piece"] for row in accepted}:
            path_inside(folder, f"{name}.txt").unlink(missing_ok=True)
    return manifest, interrupted


def _add_works_and_splits(rows, folder, settings):
    """Add the work number and the split to the rows of accepted pieces."""
    fingerprints = load_fingerprints(folder, [row["piece"] for row in rows])
    folders = [str(Path(row["source"]).parent) for row in rows] if settings.group_by == "folder" else None
    works = group_works(fingerprints, folders)
    for row, work, split in zip(rows, works, assign_splits(fingerprints, works, settings)):
        row.update(work=work, split=split)


def _write_vocabulary(rows, folder, encoding, max_vocab):
    """Write an open vocabulary and add the number of replaced tokens to the rows."""
    if not encoding.open_vocabulary or not rows:
        (folder / VOCABULARY).unlink(missing_ok=True)  # from an earlier run in another encoding
        return
    with cli.show_status("counting tokens"):
        replaced = write_vocabulary(folder, [row["piece"] for row in rows], encoding, max_vocab)
    for row in rows:
        row["replaced"] = replaced[row["piece"]]


def _read_earlier_names(folder):
    """Return the names of the pieces that an earlier run with any settings wrote."""
    if not (folder / MANIFEST).is_file():
        return set()
    try:
        manifest = read_manifest(folder)
    except NoData:  # broken, or of another version: everything is encoded again
        return set()
    return set(manifest.loc[manifest["reason"] == "", "piece"])


def _read_earlier_rows(folder, settings):
    """Return the rows of accepted pieces of an earlier run with the same settings, by piece name."""
    if not all((folder / name).is_file() for name in (MANIFEST, SETTINGS, FINGERPRINTS)):
        return {}
    try:
        earlier = read_settings(folder)
        fingerprints = FingerprintFile(folder / FINGERPRINTS)
        rows = read_manifest(folder).to_dict("records")
    except NoData:  # broken, or of another version: everything is encoded again
        return {}
    earlier_settings = earlier.model_dump() | {"encoding": earlier.encoding.to_dict()}
    if any(earlier_settings.get(key) != settings[key] for key in settings.keys() - PER_RUN_SETTINGS):
        return {}
    return {row["piece"]: row for row in rows if row["piece"] in fingerprints}


def _encode_all(pieces, folder, task, earlier_rows, worker_settings):
    """Encode over processes; return the rows in the order of pieces, and whether Ctrl-C came."""
    rows = {}
    interrupted = False
    earlier_fingerprints = FingerprintFile(folder / FINGERPRINTS) if earlier_rows else None
    jobs = ((piece, earlier_rows.get(piece.name)) for piece in pieces)
    with (
        write_fingerprints(folder / FINGERPRINTS) as add_fingerprint,
        contextlib.closing(workers.process_pieces(jobs, task, worker_settings)) as outcomes,
        tqdm(total=len(pieces), unit=" files", disable=None, desc="encoding") as bar,
    ):
        try:
            for (piece, _), result, reason in outcomes:
                row = result or refused_row(piece, reason)
                if not row["reason"]:
                    runs = row.pop("fingerprint", None)
                    add_fingerprint(piece.name, earlier_fingerprints[piece.name] if runs is None else runs)
                rows[piece.name] = row
                bar.update()
        except KeyboardInterrupt:
            interrupted = True
            for name in earlier_rows.keys() - rows.keys():
                add_fingerprint(name, earlier_fingerprints[name])
    known_rows = {**earlier_rows, **rows} if interrupted else rows
    return [known_rows[piece.name] for piece in pieces if piece.name in known_rows], interrupted
