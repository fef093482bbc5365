"""A prepared corpus on disk: texts, their manifest, and the settings of the encoding.

`clara.data.corpus_writer.prepare_corpus` writes such a folder. It holds

- `<composer>/<piece>.txt`: the tokens of one piece in its own key, without control tokens;
- `manifest.csv`: a row for each source file, with the columns `MANIFEST_COLUMNS`;
- `corpus.json`: the settings of the encoding, a description of the music and its licences;
- `vocab.txt`: the vocabulary, if the encoding has an open one.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ConfigDict

from clara import encodings
from clara.encodings.base import Encoding
from clara.encodings.settings import EncodingSettings
from clara.encodings.vocab import Vocab
from clara.errors import BadSetting, ClaraError, NoData, UnknownToken
from clara.files import check_name, path_inside
from clara.music.bars import parse_time_signatures
from clara.records import Record, read_record

MANIFEST, SETTINGS, VOCABULARY = "manifest.csv", "corpus.json", "vocab.txt"
SPLITS = ("train", "valid", "test")
# notes that were changed or lost on the way from the file to the text, by reason
LOSS_COUNTS = ["cut", "merged", "folded", "moved", "dropped", "lost", "mended", "shortened", "replaced"]
TEXT_COLUMNS = ["piece", "composer", "source", "hash", "split", "time_signatures", "reason"]
NUMBER_COLUMNS = ["work", "notes", "quarters", "tokens", "grid_misfit", *LOSS_COUNTS]
MANIFEST_COLUMNS = [
    "piece",
    "composer",
    "source",
    "hash",
    "split",
    "work",
    "notes",
    "quarters",
    "tokens",
    "grid_misfit",
    *LOSS_COUNTS,
    "time_signatures",  # as `clara.music.bars.format_time_signatures` writes them, in steps of the encoding's grid
    "reason",
]


class CorpusSettings(Record):
    """The content of corpus.json.

    Attributes
    ----------
    encoding : EncodingSettings
    about : str
        Description and licences of the music.
    """

    model_config = ConfigDict(extra="allow")  # how the pieces were read

    encoding: EncodingSettings
    about: str = ""


def read_settings(folder: str | Path) -> CorpusSettings:
    """Read corpus.json of a prepared folder; raise NoData if it is broken."""
    return read_record(Path(folder) / SETTINGS, CorpusSettings, NoData)


def read_manifest(folder: str | Path) -> pd.DataFrame:
    """Read the manifest of a prepared folder.

    Returns
    -------
    DataFrame
        One row for each source file, with the columns `MANIFEST_COLUMNS`. The counts of refused files are 0.

    Raises
    ------
    NoData
        If it is broken, or another version of Clara wrote it, with other columns.
    OutsideFolder
        If the name of a piece leads out of the folder.
    """
    path = Path(folder) / MANIFEST
    try:
        table = pd.read_csv(
            path,
            keep_default_na=False,
            na_values={column: [""] for column in NUMBER_COLUMNS},
            dtype=dict.fromkeys(TEXT_COLUMNS, str),
        )
        missing = [column for column in MANIFEST_COLUMNS if column not in table]
        if missing:
            raise NoData(f"{path}: no column {', '.join(missing)}; prepare the folder again")
        table[NUMBER_COLUMNS] = table[NUMBER_COLUMNS].fillna(0)
        dtypes = dict.fromkeys(NUMBER_COLUMNS, int) | {"quarters": float, "grid_misfit": float}
        if not np.isfinite(table[NUMBER_COLUMNS].to_numpy(dtype=float)).all():
            raise ValueError("a number is infinite")
        table = table[MANIFEST_COLUMNS].astype(dtypes)
    except (ValueError, TypeError, OverflowError, OSError) as e:  # pandas raises ValueError for broken text, too
        raise NoData(f"{path}: broken ({str(e)[:120]}); prepare the folder again") from e
    for name in table["piece"]:
        check_name(name, path)
    return table


@dataclass
class Corpus:
    """A prepared folder; texts are read when they are needed.

    Attributes
    ----------
    folder : Path
    encoding : Encoding
        The encoding of its texts.
    vocab : Vocab
        The vocabulary of the encoding, or of these texts if the encoding has an open vocabulary.
    manifest : DataFrame
        The accepted pieces, with the columns `MANIFEST_COLUMNS`.

    Examples
    --------
    >>> corpus = Corpus.load("data/notewise-12")  # doctest: +SKIP
    >>> [len(ids) for ids in corpus.ids("valid")]  # doctest: +SKIP
    [1204, 867]
    """

    folder: Path
    encoding: Encoding
    vocab: Vocab
    manifest: pd.DataFrame

    @classmethod
    def load(cls, folder: str | Path) -> "Corpus":
        """Read the manifest and the settings of a prepared folder.

        Raises
        ------
        NoData
            If the folder was not prepared, or none of its pieces was accepted.
        """
        folder = Path(folder)
        missing = [name for name in (MANIFEST, SETTINGS) if not (folder / name).is_file()]
        if missing:
            raise NoData(
                f"{folder}: no {' and no '.join(missing)}; prepare it with clara prepare SOURCE --out {folder}"
            )
        try:
            encoding = encodings.make_encoding(read_settings(folder).encoding.to_dict())
        except BadSetting as e:
            raise NoData(f"{folder / SETTINGS}: {e}") from e
        manifest = read_manifest(folder)
        manifest = manifest[manifest["reason"] == ""].reset_index(drop=True)
        if manifest.empty:
            raise NoData(f"{folder}: not one piece of it was accepted; see {folder / MANIFEST}")
        if not encoding.open_vocabulary:
            return cls(folder, encoding, Vocab.from_encoding(encoding), manifest)
        if not (folder / VOCABULARY).is_file():
            raise NoData(f"{folder}: no {VOCABULARY}; prepare it again")
        try:
            vocab = Vocab.load(folder / VOCABULARY)
        except (ClaraError, UnicodeDecodeError) as e:
            raise NoData(f"{folder / VOCABULARY}: {e}") from e
        return cls(folder, encoding, vocab, manifest)

    def rows(self, split: str) -> pd.DataFrame:
        """Return the manifest's rows of one split, in the manifest's order.

        Raises
        ------
        NoData
            If the split is empty.
        """
        rows = self.manifest[self.manifest["split"] == split]
        if rows.empty:
            raise NoData(
                f"{self.folder}: no piece in the {split} split ({len(self.manifest)} in all); more pieces are needed"
            )
        return rows

    def has_split(self, split: str) -> bool:
        """Return whether a split holds at least one piece."""
        return bool((self.manifest["split"] == split).any())

    def tokens(self, piece: str) -> list[str]:
        """Return the tokens of a piece, without control tokens.

        Raises
        ------
        OutsideFolder
            If the name leads out of the folder.
        NoData
            If the text is missing, not in UTF-8, or empty as after a power failure.
        """
        path = path_inside(self.folder, f"{piece}.txt")
        try:
            tokens = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as e:
            raise NoData(f"{path}: cannot be read ({e}); prepare the folder again") from e
        if not tokens:
            raise NoData(f"{path}: empty; prepare the folder again")
        return tokens

    def ids(self, split: str) -> list[np.ndarray]:
        """Return the token ids of each piece of a split, from xxbos to xxeos: arrays of `vocab.dtype`.

        Raises
        ------
        NoData
            If the split is empty.
        UnknownToken
            If a text holds a token that the vocabulary does not have; the message names the file.
        """
        return [self._piece_ids(piece) for piece in self.rows(split)["piece"]]

    def _piece_ids(self, piece):
        """Return the token ids of one piece, from xxbos to xxeos."""
        vocab = self.vocab
        try:
            ids = vocab.to_ids(self.tokens(piece))
        except UnknownToken as e:
            raise UnknownToken(f"{self.folder / piece}.txt: {e}") from e
        return np.array([vocab.bos_id, *ids, vocab.eos_id], dtype=vocab.dtype)

    def quarters(self, split: str) -> np.ndarray:
        """Return the length of each piece of a split in quarter notes, float array of shape (n,)."""
        return self.rows(split)["quarters"].to_numpy(dtype=float)

    def time_signatures(self, split: str) -> list[tuple]:
        """Return the time signatures of each piece of a split.

        Returns
        -------
        list of tuples of (step, numerator, denominator)
            As of a `NoteSequence` on the grid of the encoding.

        Raises
        ------
        NoData
            If the split is empty, or the manifest holds something else.
        """
        rows = self.rows(split)
        return [self._parse_time_signatures(*row) for row in zip(rows["piece"], rows["time_signatures"])]

    def _parse_time_signatures(self, piece, text):
        try:
            return parse_time_signatures(text)
        except BadSetting as e:
            raise NoData(f"{self.folder / MANIFEST}: {piece}: {e}; prepare the folder again") from e

    @property
    def about(self) -> str:
        """Return the description of the music and its licences, as given to `clara prepare --about`."""
        return read_settings(self.folder).about

    @property
    def fingerprint(self) -> str:
        """Return a hash of the pieces, their contents, their split and the encoding: 16 hexadecimal digits."""
        text = self.manifest[["piece", "hash", "split"]].to_csv(index=False)
        text += json.dumps(self.encoding.settings, sort_keys=True)
        text += " ".join(self.vocab.tokens) if self.encoding.open_vocabulary else ""
        return hashlib.sha256(text.encode()).hexdigest()[:16]
