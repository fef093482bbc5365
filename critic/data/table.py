"""TODO."""

import json
from pathlib import Path

import numpy as np

from clara.encodings.vocab import tokenize
from clara.errors import NoData

HUMAN, GENERATED = "human", "generated"  # labels of a critic's excerpts

EXCERPTS_FILE = "excerpts.csv"


SETTINGS_FILE = "excerpts.json"


COLUMNS = ["label", "split", "work", "composer", "piece", "from_quarter", "settings", "tokens"]


SEAM_QUARTERS = 4


PROMPT_QUARTERS = 16  # quarters: of a prompt, cut off after it, cut off at the end


ENDING_QUARTERS = 4


OPENING_SHARE = 0.2  # share of excerpts that begin with their piece


JUDGE_SHARE = (
    0.3  # share of the training works that is kept for a second opinion; the same works whatever else is left to chance
)


JUDGE_SEED = 0


MIN_SOUNDING_SHARE = 0.5  # of an excerpt's quarters must be left when silence at its end is gone


def read_excerpts(folder):
    """The table of a folder, with `words` as lists, and how it was made.

    Raises
    ------
    NoData
        If there are none.
    """
    import pandas as pd  # heavy imports wait for --help

    folder = Path(folder)
    missing = [n for n in (EXCERPTS_FILE, SETTINGS_FILE) if not (folder / n).is_file()]
    if missing:
        raise NoData(f"{folder}: no {' and no '.join(missing)}; make them with python -m critic.excerpts")
    table = pd.read_csv(folder / EXCERPTS_FILE, keep_default_na=False)
    return table.assign(tokens=table["tokens"].str.split()), json.loads(
        (folder / SETTINGS_FILE).read_text(encoding="utf-8")
    )


class CorpusPieces:
    """The pieces of a corpus as notes, which split of a classifier each belongs to, and the vocabulary that excerpts are spelled in."""

    def __init__(self, corpus, vocab=None):
        self.vocab = vocab or corpus.vocab
        self.corpus, self.rows = corpus, corpus.manifest.reset_index(drop=True)
        rng = np.random.default_rng(JUDGE_SEED)
        works = np.unique(self.rows["work"][self.rows["split"] == "train"])
        others = set(rng.permutation(works)[: round(JUDGE_SHARE * len(works))].tolist())
        self.split = [
            "judge" if s == "train" and w in others else s for s, w in zip(self.rows["split"], self.rows["work"])
        ]
        self._notes = {}

    def notes(self, i):
        """Piece i as notes."""
        if i not in self._notes:
            self._notes[i] = self.corpus.encoding.decode(self.corpus.tokens(self.rows["piece"][i]))[0]
        return self._notes[i]

    def places(self, split, quarters, n, rng):
        """N pairs of a piece of a split, longer ones oftener, and the quarter where an excerpt may begin; 0 or past a prompt."""
        enough = [
            i for i, s in enumerate(self.split) if s == split and self.rows["quarters"][i] >= SEAM_QUARTERS + quarters
        ]
        if not enough:
            raise NoData(
                f"{self.corpus.folder}: no piece of the {split} split lasts {SEAM_QUARTERS + quarters} quarters"
            )
        room = np.array([self.rows["quarters"][i] for i in enough])
        for i in rng.choice(enough, n, p=np.sqrt(room) / np.sqrt(room).sum()):
            last = int(self.rows["quarters"][i] - SEAM_QUARTERS - quarters)
            begins = last < PROMPT_QUARTERS or rng.random() < OPENING_SHARE
            yield int(i), 0 if begins else int(rng.integers(PROMPT_QUARTERS, last + 1))

    def row(self, label, i, at, notes, settings=""):
        """A row of the table, or None where there is too little left."""
        encoding = self.corpus.encoding
        words = tokenize(notes, encoding, self.vocab)[0]
        told = self.rows.iloc[i]
        return dict(
            zip(
                COLUMNS,
                (label, self.split[i], told["work"], told["composer"], told["piece"], at, settings, " ".join(words)),
            )
        ), sum(encoding.token_steps(words)) / encoding.steps_per_quarter
