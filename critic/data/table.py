"""Tables of excerpts: their columns, how excerpts are taken from a corpus, and how a table is read.

A folder of excerpts holds `excerpts.csv`, with one row for each excerpt, and `excerpts.json`, which says how the table
was made.

==============  ====================================================================================================
column          content
==============  ====================================================================================================
label           class: human or generated, or the composer
split           train, judge, valid, test or extra, see `critic.excerpts`
work            number of the musical work; versions of a work share it
composer        composer of the piece
piece           name of the piece in the corpus
from_quarter    position of the excerpt in its piece
settings        JSON with the sampling settings or the corruption of a generated excerpt, or empty
tokens          text of the excerpt, tokens separated by spaces
==============  ====================================================================================================
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field

from clara.encodings.settings import EncodingSettings
from clara.encodings.vocab import tokenize
from clara.errors import NoData
from clara.music.notes import NoteSequence
from clara.records import Hash, Name, Record, read_record

HUMAN, GENERATED = "human", "generated"  # the classes of a critic
EXCERPTS_FILE = "excerpts.csv"
SETTINGS_FILE = "excerpts.json"
COLUMNS = ["label", "split", "work", "composer", "piece", "from_quarter", "settings", "tokens"]
TEXT_COLUMNS = [column for column in COLUMNS if column not in ("work", "from_quarter")]
PROMPT_QUARTERS = 16  # music before an excerpt that the generator continues
SEAM_QUARTERS = 4  # cut off after the prompt, so that the seam does not give the answer
ENDING_QUARTERS = 4  # composed beyond an excerpt and cut off, as a model may prepare its ending there
OPENING_SHARE = 0.5  # of the excerpts are at the beginning of their piece
JUDGE_SHARE = 0.3  # of the training works are kept for independent judges
JUDGE_SEED = 0  # the works for judges are the same whatever the seed of the excerpts
MIN_SOUNDING_SHARE = 0.5  # of an excerpt must be left when the silence at its end is cut off


class ExcerptsRecord(Record):
    """The content of excerpts.json."""

    model_config = ConfigDict(extra="allow")  # how the excerpts were chosen

    encoding: EncodingSettings
    fingerprint: Hash
    about: str
    seed: int
    quarters: Annotated[int, Field(ge=1, le=4096)]
    models: dict[Name, Hash] = {}  # the hash of the weights of each model that composed excerpts, by its name


def read_excerpts(folder: str | Path) -> tuple[Any, dict[str, Any]]:
    """Read a folder of excerpts.

    Parameters
    ----------
    folder : path

    Returns
    -------
    table : DataFrame
        With COLUMNS; `tokens` holds lists of str.
    info : dict
        How the table was made: `encoding`, `fingerprint` and `about` of the corpus, `quarters`, `seed`, `arguments`,
        and `models`, the hash of the weights of each model that composed, by its name.

    Raises
    ------
    NoData
        If a file is missing or broken.
    """
    import pandas as pd  # heavy imports wait for --help

    folder = Path(folder)
    missing = [name for name in (EXCERPTS_FILE, SETTINGS_FILE) if not (folder / name).is_file()]
    if missing:
        raise NoData(f"{folder}: no {' and no '.join(missing)}; make excerpts with python -m critic.excerpts")
    info = read_record(folder / SETTINGS_FILE, ExcerptsRecord, NoData)
    path = folder / EXCERPTS_FILE
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype=dict.fromkeys(TEXT_COLUMNS, str))
    except (ValueError, OSError) as e:  # pandas raises ValueError for broken text, too
        raise NoData(f"{path}: broken ({str(e)[:120]}); make the excerpts again") from e
    missing = [column for column in COLUMNS if column not in table]
    if missing or table.empty:
        raise NoData(f"{path}: {'no column ' + ', '.join(missing) if missing else 'no excerpts'}; make them again")
    return table.assign(tokens=table["tokens"].str.split()), info.model_dump() | {"encoding": info.encoding.to_dict()}


def excerpts_origin(info: dict) -> dict:
    """Return what a classifier records of its excerpts: corpus, licences, seed, and the models that composed.

    Parameters
    ----------
    info : dict
        From `read_excerpts`.
    """
    return {key: info[key] for key in ("fingerprint", "about", "seed", "models")}


class CorpusPieces:
    """The pieces of a corpus as notes, with the split that each belongs to.

    Parameters
    ----------
    corpus : clara.data.corpus.Corpus
    vocab : Vocab, optional
        Vocabulary of the excerpts (default: that of the corpus).

    Attributes
    ----------
    corpus, vocab
    manifest : DataFrame
        One row for each piece.
    splits : list of str
        The split of each piece; some training works belong to the split `judge`.
    """

    def __init__(self, corpus, vocab=None) -> None:
        self.corpus = corpus
        self.vocab = vocab or corpus.vocab
        self.manifest = corpus.manifest.reset_index(drop=True)
        is_train = self.manifest["split"] == "train"
        works = np.unique(self.manifest["work"][is_train])
        n_judge = round(JUDGE_SHARE * len(works))
        judge_works = np.random.default_rng(JUDGE_SEED).permutation(works)[:n_judge]
        is_judge = is_train & self.manifest["work"].isin(judge_works)
        self.splits = self.manifest["split"].mask(is_judge, "judge").tolist()
        self._notes = {}

    def notes(self, piece: int) -> NoteSequence:
        """Return a piece by its row in the manifest."""
        if piece not in self._notes:
            tokens = self.corpus.tokens(self.manifest["piece"][piece])
            self._notes[piece] = self.corpus.encoding.decode(tokens)[0]
        return self._notes[piece]

    def sample_places(self, split: str, quarters: int, n: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
        """Draw places for excerpts; longer pieces are drawn more often.

        Parameters
        ----------
        split : str
        quarters : int
            Length of an excerpt.
        n : int
            Number of places.
        rng : numpy Generator
            The caller may draw from it between the places.

        Yields
        ------
        piece : int
        first_quarter : int
            0, or at least PROMPT_QUARTERS.

        Raises
        ------
        NoData
            If no piece of the split is long enough.
        """
        length = self.manifest["quarters"]
        min_length = SEAM_QUARTERS + quarters
        pieces = [i for i, of_piece in enumerate(self.splits) if of_piece == split and length[i] >= min_length]
        if not pieces:
            raise NoData(
                f"{self.corpus.folder}: not enough music for excerpts, as no piece of the {split} split lasts "
                f"{min_length} quarters; choose a smaller --quarters or a corpus with more pieces"
            )
        weight = np.sqrt(np.array([length[i] for i in pieces]))
        for piece in rng.choice(pieces, n, p=weight / weight.sum()):
            last = int(length[piece] - min_length)
            is_opening = last < PROMPT_QUARTERS or rng.random() < OPENING_SHARE
            yield int(piece), 0 if is_opening else int(rng.integers(PROMPT_QUARTERS, last + 1))

    def make_row(
        self, label: str, piece: int, from_quarter: int, notes: NoteSequence, quarters: int, settings: str = ""
    ) -> dict | None:
        """Return a row of the table, or None if the excerpt is mostly silence at its end.

        Parameters
        ----------
        label : str
        piece : int
            Row in the manifest.
        from_quarter : int
        notes : NoteSequence
            The excerpt.
        quarters : int
            Length of an excerpt.
        settings : str
            JSON, or empty.
        """
        encoding = self.corpus.encoding
        tokens = tokenize(notes, encoding, self.vocab)[0]
        if sum(encoding.token_steps(tokens)) < MIN_SOUNDING_SHARE * quarters * encoding.steps_per_quarter:
            return None
        row = self.manifest.iloc[piece]
        return {
            "label": label,
            "split": self.splits[piece],
            "work": row["work"],
            "composer": row["composer"],
            "piece": row["piece"],
            "from_quarter": from_quarter,
            "settings": settings,
            "tokens": " ".join(tokens),
        }
