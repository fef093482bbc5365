"""Excerpts by composer, to train a composer classifier on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clara.errors import BadSetting
from clara.music.notes import crop
from critic.data.table import COLUMNS, CorpusPieces

EXTRA_SPLIT = "extra"  # excerpts to learn from and never to evaluate with
MAX_EXTRA_OF_PIECE = 14
MAX_EXTRA_OF_COMPOSER = 900
UNNAMED = ("anonymous", "traditional")  # composers that are none


@dataclass(frozen=True)
class ComposerExcerptSettings:
    """Which excerpts a composer classifier is trained on.

    Attributes
    ----------
    n_composers : int
        The composers with the most works in the corpus.
    quarters : int
        Length of an excerpt.
    test_share, valid_share : float
        Share of each composer's works.
    seed : int
        Random seed of the split, and of the choice of extra excerpts.
    """

    n_composers: int
    quarters: int = 32
    test_share: float = 0.2
    valid_share: float = 0.1
    seed: int = 0


def composer_excerpts(
    corpus, settings: ComposerExcerptSettings, extra_corpora: Sequence = (), on_composer: Callable | None = None
):
    """Return consecutive excerpts of the composers with the most works, split by work.

    Works that the corpus holds out are test works here, too.

    Parameters
    ----------
    corpus : clara.data.corpus.Corpus
    settings : ComposerExcerptSettings
    extra_corpora : sequence of Corpus
        Other music by the same composers, in the same encoding. Its excerpts have the split `extra`; works that are in
        valid or test are left out.
    on_composer : function(), optional
        Called after each composer.

    Returns
    -------
    DataFrame
        With `critic.data.table.COLUMNS`; `settings` is "unseen" for pieces that no generator was trained on.

    Raises
    ------
    BadSetting
        If an extra corpus has another encoding.
    NoData
        If a corpus has no fingerprints, which identify works.
    """
    import pandas as pd

    pieces = CorpusPieces(corpus)
    rng = np.random.default_rng(settings.seed)
    long_enough = pieces.manifest[pieces.manifest["quarters"] >= settings.quarters]
    composers = _composers_with_most_works(long_enough, settings.n_composers)
    rows = []
    for composer in composers:
        of_composer = long_enough[long_enough["composer"] == composer]
        split_of_work = _split_works(of_composer, settings, rng)
        for piece, row in of_composer.iterrows():
            pieces.splits[piece] = split_of_work.get(row["work"], "train")
            is_unseen = row["split"] != "train"
            rows += _consecutive_rows(pieces, piece, settings.quarters, "unseen" if is_unseen else "")
        if on_composer:
            on_composer()
    table = pd.DataFrame(rows, columns=COLUMNS)
    if extra_corpora:
        extra = _extra_excerpts(pieces, extra_corpora, composers, settings.quarters, table, rng)
        table = pd.concat([table, extra], ignore_index=True)
    return table


def _composers_with_most_works(manifest, n_composers):
    """Return the names of the composers with the most works, most first."""
    named = manifest[~manifest["composer"].isin(UNNAMED)]
    n_works = named.groupby("composer")["work"].nunique()
    return n_works.sort_values(ascending=False, kind="stable").index[:n_composers].tolist()


def _split_works(of_composer, settings, rng):
    """Return the split of each test and valid work of a composer; all other works are for training."""
    held_out = sorted(set(of_composer["work"][of_composer["split"] != "train"]))
    works = rng.permutation(sorted(set(of_composer["work"]) - set(held_out))).tolist()
    n_works = len(held_out) + len(works)
    n_test = max(1, round(settings.test_share * n_works) - len(held_out))
    n_valid = max(1, round(settings.valid_share * n_works))
    test = held_out + works[:n_test]
    valid = works[n_test : n_test + n_valid]
    return dict.fromkeys(test, "test") | dict.fromkeys(valid, "valid")


def _consecutive_rows(pieces, piece, quarters, settings=""):
    """Return the rows of all excerpts of a piece, end to end, labelled by composer."""
    steps_per_quarter = pieces.corpus.encoding.steps_per_quarter
    composer = pieces.manifest["composer"][piece]
    rows = []
    for first in range(0, int(pieces.manifest["quarters"][piece]) - quarters + 1, quarters):
        notes = crop(pieces.notes(piece), first * steps_per_quarter, (first + quarters) * steps_per_quarter)
        row = pieces.make_row(composer, piece, first, notes, quarters, settings) if len(notes) else None
        if row is not None:
            rows.append(row)
    return rows


def _extra_excerpts(pieces, extra_corpora, composers, quarters, table, rng):
    """Return a limited number of excerpts of other corpora by the same composers.

    A work that is in the table keeps its number. It is left out if it is in valid or test there.
    """
    import pandas as pd

    works, extra_works = _group_works(pieces.corpus, extra_corpora)
    rows_of_pieces = table.drop_duplicates("piece").set_index("piece")
    row_of_work = {
        work: rows_of_pieces.loc[name]
        for work, name in zip(works, pieces.manifest["piece"])
        if name in rows_of_pieces.index
    }
    first_new_work = int(pieces.manifest["work"].max()) + 1
    tables = []
    for corpus, works_of_corpus in zip(extra_corpora, extra_works):
        extra = CorpusPieces(corpus, pieces.vocab)
        rows = []
        for piece in np.flatnonzero(extra.manifest["composer"].isin(composers)):
            work = works_of_corpus[piece]
            known = row_of_work.get(work)
            if known is not None and known["split"] != "train":
                continue
            extra.manifest.loc[piece, "work"] = first_new_work + work if known is None else known["work"]
            extra.splits[piece] = EXTRA_SPLIT
            of_piece = _consecutive_rows(extra, piece, quarters)
            chosen = sorted(rng.permutation(len(of_piece))[:MAX_EXTRA_OF_PIECE])
            rows += [of_piece[i] for i in chosen]
        tables.append(pd.DataFrame(rows, columns=COLUMNS))
    shuffled = pd.concat(tables).sample(frac=1, random_state=int(rng.integers(2**31)))
    return shuffled.groupby("label").head(MAX_EXTRA_OF_COMPOSER).sort_index()


def _group_works(corpus, extra_corpora):
    """Return the work of each piece of a corpus, and those of each extra corpus, numbered in common."""
    from clara.data.fingerprints import load_fingerprints
    from clara.data.musical_works import group_works

    for extra in extra_corpora:
        if extra.encoding.settings != corpus.encoding.settings:
            raise BadSetting(f"{extra.folder} and {corpus.folder} have different encodings")
    fingerprints = []
    for one in (corpus, *extra_corpora):
        fingerprints += load_fingerprints(one.folder, one.manifest["piece"])
    ends = np.cumsum([len(one.manifest) for one in (corpus, *extra_corpora)])
    works, *extra_works = np.split(group_works(fingerprints), ends[:-1])
    return works.tolist(), extra_works
