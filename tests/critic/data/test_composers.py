"""Excerpts by composer."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
import tiny

from clara.data.corpus import Corpus
from clara.encodings.notewise import Notewise
from clara.errors import BadSetting, NoData
from clara.music.notes import transpose
from critic import excerpts
from critic.data import composers
from critic.data.composers import ComposerExcerptSettings, composer_excerpts
from critic.data.table import read_excerpts

QUARTERS = 8
SETTINGS = ComposerExcerptSettings(1, QUARTERS)


def test_composers_are_split_by_work(corpus):
    table = composer_excerpts(corpus, SETTINGS)
    assert (table.groupby("work")["split"].nunique() == 1).all()
    assert set(table["split"]) == {"train", "valid", "test"}
    held_out = set(corpus.manifest["piece"][corpus.manifest["split"] != "train"])
    assert held_out <= set(table["piece"][table["split"] == "test"])
    assert set(table["piece"][table["settings"] == "unseen"]) == held_out


@pytest.fixture(scope="module")
def extra(corpus, tmp_path_factory):
    """Return a corpus with one transposed piece of test, valid and train and two new ones, and the train piece."""
    piece_of_split = composer_excerpts(corpus, SETTINGS).drop_duplicates("piece").set_index("split")["piece"]
    known = []
    for split in ("test", "valid", "train"):
        tokens = corpus.tokens(piece_of_split[split].iloc[0])
        known.append(transpose(corpus.encoding.decode(tokens)[0], -2)[0])
    folder = tiny.corpus(tmp_path_factory.mktemp("extra"), [*known, tiny.riff(100), tiny.riff(101, 60)])
    return Corpus.load(folder), piece_of_split["train"].iloc[0]


def test_extra_music_has_a_split_of_its_own_and_no_held_out_work(corpus, extra, monkeypatch):
    extra_corpus, train_piece = extra
    plain = composer_excerpts(corpus, SETTINGS)
    table = composer_excerpts(corpus, SETTINGS, [extra_corpus])
    rows = table[table["split"] == "extra"]
    pd.testing.assert_frame_equal(table[table["split"] != "extra"], plain)
    assert set(rows["piece"]) == {"nobody/2", "nobody/3", "nobody/4"}  # neither 0, which is test, nor 1, which is valid
    works = dict(zip(rows["piece"], rows["work"]))
    assert works["nobody/2"] == plain["work"][plain["piece"] == train_piece].iloc[0]
    assert not {works["nobody/3"], works["nobody/4"]} & set(plain["work"]) and works["nobody/3"] != works["nobody/4"]
    assert (rows["piece"] == "nobody/3").sum() > 3

    def extra_rows():
        return composer_excerpts(corpus, SETTINGS, [extra_corpus]).query("split == 'extra'")

    monkeypatch.setattr(composers, "MAX_EXTRA_OF_PIECE", 3)
    assert (extra_rows()["piece"].value_counts() <= 3).all()
    monkeypatch.setattr(composers, "MAX_EXTRA_OF_COMPOSER", 5)
    assert len(extra_rows()) == 5


def test_extra_music_of_another_encoding_or_without_fingerprints_is_refused(corpus, extra, tmp_path, capsys):
    argv = [corpus.folder, "--quarters", QUARTERS, "--out", tmp_path / "out"]
    assert tiny.leave(excerpts.main, [*argv, "--models", "m", "--extra-corpora", extra[0].folder]) == 2
    assert "--extra-corpora goes with --composers" in capsys.readouterr().err
    shutil.copytree(extra[0].folder, tmp_path / "bare")
    (tmp_path / "bare" / "fingerprints.bin").unlink()
    with pytest.raises(NoData, match=r"bare: no fingerprints\.bin"):
        composer_excerpts(corpus, SETTINGS, [Corpus.load(tmp_path / "bare")])
    coarse = replace(extra[0], encoding=Notewise(4))
    with pytest.raises(BadSetting, match="different encodings"):
        composer_excerpts(corpus, SETTINGS, [coarse])
    assert tiny.leave(excerpts.main, [*argv, "--composers", 2, "--extra-corpora", extra[0].folder]) == 0
    assert (read_excerpts(tmp_path / "out")[0]["split"] == "extra").any()
