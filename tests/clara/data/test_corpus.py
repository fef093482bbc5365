"""A prepared folder as it comes into memory; the folder is made by hand in conftest."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from clara.data.corpus import MANIFEST_COLUMNS, Corpus
from clara.errors import NoData, UnknownToken


def change_manifest(folder, change):
    """Rewrite a folder's manifest as `change` gives it back."""
    path = folder / "manifest.csv"
    change(pd.read_csv(path, keep_default_na=False)).to_csv(path, index=False)


def test_accepted_pieces_alone(corpus_folder):
    corpus = Corpus.load(corpus_folder)
    assert corpus.manifest["piece"].tolist() == [f"bach/{i}" for i in range(7)]
    assert list(corpus.manifest.columns) == MANIFEST_COLUMNS
    assert (corpus.encoding.name, corpus.encoding.n_keys) == ("notewise", 88)
    assert corpus.about == "by hand"


def test_numbers_are_numbers_with_refused_files_in_the_manifest(corpus_folder):
    manifest = Corpus.load(corpus_folder).manifest
    assert manifest["notes"].sum() == 28
    assert manifest["tokens"].dtype.kind in "if" and manifest["quarters"].dtype.kind == "f"


def test_rows_of_each_split_in_order(corpus_folder):
    corpus = Corpus.load(corpus_folder)
    assert corpus.rows("train")["piece"].tolist() == ["bach/0", "bach/2", "bach/4", "bach/5", "bach/6"]
    assert corpus.rows("valid")["piece"].tolist() == ["bach/1"]
    assert corpus.rows("test")["piece"].tolist() == ["bach/3"]


def test_ids_are_the_words_between_begin_and_end(corpus_folder):
    corpus = Corpus.load(corpus_folder)
    ids = corpus.ids("train")
    assert all(piece.dtype == np.int16 for piece in ids)
    for piece, (_, row) in zip(ids, corpus.rows("train").iterrows(), strict=True):
        words = (corpus_folder / f"{row['piece']}.txt").read_text().split()
        assert corpus.tokens(row["piece"]) == words and len(words) == int(row["tokens"])
        assert corpus.vocab.to_tokens(piece) == ["xxbos", *words, "xxeos"]


def test_quarters(corpus_folder):
    quarters = Corpus.load(corpus_folder).quarters("train")
    assert quarters.dtype == float
    assert quarters == pytest.approx([(40 + i) / 12 for i in (0, 2, 4, 5, 6)], abs=1e-4)


def test_fingerprint_tells_pieces_contents_split_and_encoding(corpus_folder):
    corpus = Corpus.load(corpus_folder)
    assert corpus.fingerprint == Corpus.load(corpus_folder).fingerprint
    assert len(corpus.fingerprint) == 16
    others = {corpus.fingerprint}
    for column, value in (("piece", "bach/x"), ("hash", "0" * 64), ("split", "test")):
        manifest = corpus.manifest.copy()
        manifest.loc[6, column] = value
        others.add(replace(corpus, manifest=manifest).fingerprint)
    others.add(replace(corpus, encoding=type(corpus.encoding)(12, 62)).fingerprint)
    others.add(replace(corpus, manifest=corpus.manifest[:-1]).fingerprint)
    assert len(others) == 6


def test_fingerprint_ignores_time_signatures(corpus_folder):
    corpus = Corpus.load(corpus_folder)
    manifest = corpus.manifest.assign(time_signatures="0 2/4")
    assert replace(corpus, manifest=manifest).fingerprint == corpus.fingerprint


def test_time_signatures(corpus_folder):
    corpus = Corpus.load(corpus_folder)
    assert corpus.time_signatures("train") == [((0, 4, 4),), *(((-i, 3, 4),) for i in (2, 4, 5, 6))]
    assert corpus.time_signatures("valid") == [((-1, 3, 4),)]


def test_time_signatures_that_are_none_are_named_with_their_piece(corpus_folder):
    change_manifest(corpus_folder, lambda m: m.replace("-3 3/4", "waltz"))
    corpus = Corpus.load(corpus_folder)
    assert len(corpus.time_signatures("train")) == 5
    with pytest.raises(NoData, match="manifest.csv: bach/3: 'waltz' is no step.*; prepare the folder again"):
        corpus.time_signatures("test")


@pytest.mark.parametrize("missing", ["manifest.csv", "corpus.json"])
def test_a_folder_that_was_not_prepared(corpus_folder, missing):
    (corpus_folder / missing).unlink()
    with pytest.raises(NoData, match=f"no {missing}; prepare it with clara prepare"):
        Corpus.load(corpus_folder)


def test_no_folder(tmp_path):
    with pytest.raises(NoData, match="nowhere: no manifest.csv and no corpus.json"):
        Corpus.load(tmp_path / "nowhere")


def test_nothing_accepted(corpus_folder):
    change_manifest(corpus_folder, lambda m: m[m["reason"] != ""])
    with pytest.raises(NoData, match="not one piece"):
        Corpus.load(corpus_folder)


def test_an_empty_split(corpus_folder):
    change_manifest(corpus_folder, lambda m: m[m["split"] != "valid"])
    with pytest.raises(NoData, match=r"no piece in the valid split \(6 in all\)"):
        Corpus.load(corpus_folder).rows("valid")


def test_a_piece_named_like_a_missing_value(corpus_folder):
    (corpus_folder / "bach/6.txt").rename(corpus_folder / "NA.txt")
    change_manifest(corpus_folder, lambda m: m.replace("bach/6", "NA"))
    assert Corpus.load(corpus_folder).manifest["piece"].tolist()[-1] == "NA"
    assert len(Corpus.load(corpus_folder).ids("train")) == 5


def test_a_text_of_another_encoding_is_named(corpus_folder):
    settings = json.loads((corpus_folder / "corpus.json").read_text())
    settings["encoding"]["n_keys"] = 38
    (corpus_folder / "corpus.json").write_text(json.dumps(settings))
    with pytest.raises(UnknownToken, match="'p1'"):
        Corpus.load(corpus_folder).ids("train")


def test_a_manifest_of_another_version_is_named(corpus_folder):
    change_manifest(corpus_folder, lambda m: m.rename(columns={"tokens": "words"}))
    with pytest.raises(NoData, match="manifest.csv: no column tokens; prepare the folder again"):
        Corpus.load(corpus_folder)
