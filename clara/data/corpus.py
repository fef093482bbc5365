"""A prepared corpus on disk: texts, their manifest, and how they were encoded.

A folder that `data_prep.prepare` wrote holds `<composer>/<piece>.txt` (the words of one
piece in its own key, control words left out), `manifest.csv` (a row per source file,
`MANIFEST_COLUMNS`), `corpus.json` (the encoding's settings, what the music is and its
licences) and, where the encoding's vocabulary is open, `vocab.txt`.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clara import encodings
from clara.encodings.vocab import Vocab
from clara.errors import NoData, UnknownToken

MANIFEST, SETTINGS, VOCABULARY = "manifest.csv", "corpus.json", "vocab.txt"
SPLITS = ("train", "valid", "test")
LOSS_COUNTS = ["cut", "merged", "folded", "moved", "dropped", "mended", "shortened", "replaced"]
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
    *LOSS_COUNTS,
    "reason",
]


def read_manifest(folder):
    """The manifest of a prepared folder; counts of refused files are 0."""
    numbers = ["work", "notes", "quarters", "tokens", *LOSS_COUNTS]
    table = pd.read_csv(
        Path(folder) / MANIFEST,
        keep_default_na=False,
        na_values={c: [""] for c in numbers},
        dtype={c: str for c in MANIFEST_COLUMNS if c not in numbers},
    )
    table = table.reindex(columns=MANIFEST_COLUMNS)  # an older version of Clara wrote fewer
    table[numbers] = table[numbers].fillna(0)
    return table.astype({c: int for c in numbers if c != "quarters"} | {"quarters": float})


@dataclass
class Corpus:
    """A prepared folder, read into memory.

    Attributes
    ----------
    folder : Path
    encoding : the encoding of its texts
    vocab : Vocab of that encoding, of an open one that of these texts
    manifest : DataFrame of the accepted pieces, `MANIFEST_COLUMNS`
    """

    folder: Path
    encoding: object
    vocab: Vocab
    manifest: pd.DataFrame

    @classmethod
    def load(cls, folder):
        """Read a folder's manifest and settings.

        Raises
        ------
        NoData
            If the folder was not prepared, or no piece of it was accepted.
        """
        folder = Path(folder)
        missing = [n for n in (MANIFEST, SETTINGS) if not (folder / n).is_file()]
        if missing:
            raise NoData(
                f"{folder}: no {' and no '.join(missing)}; prepare it with "
                f"python -m data_prep.prepare SOURCE --out {folder}"
            )
        encoding = encodings.make_encoding(json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["encoding"])
        manifest = read_manifest(folder)
        manifest = manifest[manifest["reason"] == ""].reset_index(drop=True)
        if manifest.empty:
            raise NoData(f"{folder}: not one piece of it was accepted; see {folder / MANIFEST}")
        if encoding.open_vocabulary and not (folder / VOCABULARY).is_file():
            raise NoData(f"{folder}: no {VOCABULARY}; prepare it again")
        vocab = Vocab.load(folder / VOCABULARY) if encoding.open_vocabulary else Vocab.from_encoding(encoding)
        return cls(folder, encoding, vocab, manifest)

    def rows(self, split):
        """The manifest's rows of one split, in the manifest's order.

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

    def tokens(self, piece):
        """The words of a piece, without control words."""
        return (self.folder / f"{piece}.txt").read_text(encoding="utf-8").split()

    def ids(self, split):
        """Each piece of a split as xxbos … xxeos: a list of arrays of `vocab.dtype`."""
        vocab = self.vocab
        return [
            np.array([vocab.bos_id, *self._ids(p), vocab.eos_id], dtype=vocab.dtype) for p in self.rows(split)["piece"]
        ]

    def _ids(self, piece):
        """Ids of the words of a piece."""
        try:
            return self.vocab.to_ids(self.tokens(piece))
        except UnknownToken as e:
            raise UnknownToken(f"{self.folder / piece}.txt: {e}") from e

    def quarters(self, split):
        """Quarter notes of each piece of a split, float array."""
        return self.rows(split)["quarters"].to_numpy(dtype=float)

    @property
    def about(self):
        """What the corpus is and under which licences, as told to `data_prep.prepare --about`."""
        return json.loads((self.folder / SETTINGS).read_text(encoding="utf-8"))["about"]

    @property
    def fingerprint(self):
        """A short hash of the pieces, their contents, their split and the encoding."""
        told = self.manifest[["piece", "hash", "split"]].to_csv(index=False)
        told += json.dumps(self.encoding.settings, sort_keys=True)
        told += " ".join(self.vocab.tokens) if self.encoding.open_vocabulary else ""
        return hashlib.sha256(told.encode()).hexdigest()[:16]
