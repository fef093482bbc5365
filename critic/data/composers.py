"""TODO."""

import numpy as np

from clara.errors import BadSetting
from critic.data.table import COLUMNS, MIN_SOUNDING_SHARE, CorpusPieces

EXTRA_SPLIT = "extra"  # split of what is learned from only, and excerpts there at most


MAX_EXTRA_OF_PIECE = 14


MAX_EXTRA_OF_COMPOSER = 900


def composer_excerpts(corpus, n_composers, quarters, test=0.2, valid=0.1, seed=0, on_composer=None, extra_corpora=()):
    """Excerpts of the composers with most works, end to end; each composer's works are split.

    Works that the corpus holds out are test works here too.

    Parameters
    ----------
    corpus : clara.data.corpus.Corpus
    n_composers : int
    quarters : length of each excerpt
    test, valid : shares of the works of each composer
    seed : of the split, and of which excerpts of `more` are taken
    on_composer : function(), called after each composer
    extra_corpora : list of Corpus of the same encoding, of whose music by the same composers come excerpts of the split `more`, if they are of no work of valid or test

    Returns
    -------
    DataFrame, `COLUMNS`; `settings` is "unseen" for pieces that no generator was trained on

    Raises
    ------
    BadSetting
        If a corpus of `more` is of another encoding.
    NoData
        If corpora have no fingerprints to tell works by.
    """
    import pandas as pd

    pieces, rng, rows = CorpusPieces(corpus), np.random.default_rng(seed), []
    table = pieces.rows[pieces.rows["quarters"] >= quarters]
    named = table[~table["composer"].isin(("anonymous", "traditional"))]
    most = named.groupby("composer")["work"].nunique().sort_values(ascending=False, kind="stable").index[:n_composers]
    for composer in most:
        of_composer = table[table["composer"] == composer]
        held = sorted(set(of_composer["work"][of_composer["split"] != "train"]))
        works = rng.permutation(sorted(set(of_composer["work"]) - set(held))).tolist()
        n_works = len(held) + len(works)
        n_more = max(1, round(test * n_works) - len(held))
        split = dict.fromkeys(held + works[:n_more], "test") | dict.fromkeys(
            works[n_more : n_more + max(1, round(valid * n_works))], "valid"
        )
        for i, told in of_composer.iterrows():
            pieces.split[i] = split.get(told["work"], "train")
            rows += _end_to_end(pieces, i, quarters, "unseen" if told["split"] != "train" else "")
        if on_composer:
            on_composer()
    found = pd.DataFrame(rows, columns=COLUMNS)
    if extra_corpora:
        found = pd.concat([found, _more(pieces, extra_corpora, list(most), quarters, found, rng)], ignore_index=True)
    return found


def _end_to_end(pieces, i, quarters, settings=""):
    """Rows of all excerpts of a piece, labelled by composer, that are not mostly silence at their end."""
    from clara.music.notes import crop

    step, rows = pieces.corpus.encoding.steps_per_quarter, []
    for at in range(0, int(pieces.rows["quarters"][i]) - quarters + 1, quarters):
        here = crop(pieces.notes(i), at * step, (at + quarters) * step)
        if len(here):
            row, left = pieces.row(pieces.rows["composer"][i], i, at, here, settings)
            rows += [row] if left >= MIN_SOUNDING_SHARE * quarters else []
    return rows


def _more(pieces, extra_corpora, of, quarters, found, rng):
    """Excerpts of other corpora by the same composers, to learn from only; a work that `found` has, too, keeps its number, one that is held out there stays out."""
    import pandas as pd

    from clara.data.fingerprints import load_fingerprints
    from clara.data.musical_works import group_works

    corpora = [pieces.corpus, *extra_corpora]
    for corpus in extra_corpora:
        if corpus.encoding.settings != pieces.corpus.encoding.settings:
            raise BadSetting(f"{corpus.folder} and {pieces.corpus.folder} are of different encodings")
    work = np.split(
        group_works(
            [runs for corpus in corpora for runs in load_fingerprints(corpus.folder, corpus.manifest["piece"])]
        ),
        np.cumsum([len(c.manifest) for c in corpora])[:-1],
    )
    judged = found.drop_duplicates("piece").set_index("piece")
    known = {w: judged.loc[piece] for w, piece in zip(work[0].tolist(), pieces.rows["piece"]) if piece in judged.index}
    fresh, tables = int(pieces.rows["work"].max()) + 1, []
    for corpus, own in zip(extra_corpora, work[1:]):
        here, rows = CorpusPieces(corpus, pieces.vocab), []
        for i in np.flatnonzero(here.rows["composer"].isin(of)):
            same = known.get(own[i])
            if same is None or same["split"] == "train":
                here.rows.loc[i, "work"] = fresh + own[i] if same is None else same["work"]
                here.split[i] = EXTRA_SPLIT
                some = _end_to_end(here, i, quarters)
                rows += [some[k] for k in sorted(rng.permutation(len(some))[:MAX_EXTRA_OF_PIECE])]
        tables.append(pd.DataFrame(rows, columns=COLUMNS))
    return (
        pd.concat(tables)
        .sample(frac=1, random_state=int(rng.integers(2**31)))
        .groupby("label")
        .head(MAX_EXTRA_OF_COMPOSER)
        .sort_index()
    )
