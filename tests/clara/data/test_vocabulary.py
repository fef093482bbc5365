"""A corpus with an open vocabulary: every word in every key; a limit, and what it costs."""

import json

import numpy as np
import pytest
import tiny

from clara.data.corpus import Corpus
from clara.data.corpus_writer import prepare_corpus
from clara.data.sources import find_pieces
from clara.data.stream_loader import fitting_shifts
from clara.encodings.vocab import CONTROL_TOKENS, SHIFTS, transposition_tables
from clara.errors import BadSetting, NoData

pytestmark = pytest.mark.slow


def prepared(folder, name="chordwise", **more):
    """Prepare a corpus of six tunes in an encoding."""
    source = folder / "music"
    if not source.exists():
        tiny.corpus(folder)
    out = folder / name
    prepare_corpus(find_pieces([str(source)]), out, {"encoding": name}, **more)
    return Corpus.load(out)


@pytest.mark.parametrize("name", ["chordwise", "melodywise"])
def test_every_piece_trains_in_all_twelve_keys(tmp_path, name):
    corpus = prepared(tmp_path, name)
    tables = transposition_tables(corpus.vocab, corpus.encoding, SHIFTS)
    for split in ("train", "valid", "test"):
        for ids in corpus.ids(split):
            assert len(fitting_shifts(ids, tables)) == 12
    assert set(corpus.encoding.tokens) <= set(corpus.vocab.tokens)


def test_no_word_without_use(tmp_path):
    corpus = prepared(tmp_path, "melodywise")
    words = {w for piece in corpus.manifest["piece"] for w in corpus.tokens(piece)}
    moved = {corpus.encoding.transpose_token(w, s) for w in words for s in SHIFTS}
    assert words < set(corpus.vocab.tokens) - set(CONTROL_TOKENS) < moved


def test_a_limit_replaces_the_rarest_by_the_nearest_and_counts(tmp_path):
    whole, limited = prepared(tmp_path / "a"), prepared(tmp_path / "b", max_vocab=220)
    assert len(whole.vocab) > 300 and len(limited.vocab) <= 220
    n = 0
    for piece in whole.manifest["piece"]:
        pairs = list(zip(whole.tokens(piece), limited.tokens(piece), strict=True))
        changed = [a != b for a, b in pairs]
        assert limited.manifest.set_index("piece").loc[piece, "replaced"] == sum(changed)
        assert all(b in limited.vocab.id_of for _, b in pairs) and not any(
            a in limited.vocab.id_of for a, b in pairs if a != b
        )
        n += sum(changed)
    assert n > 10 and not whole.manifest["replaced"].any()
    tables = transposition_tables(limited.vocab, limited.encoding, SHIFTS)
    assert all(len(fitting_shifts(ids, tables)) == 12 for ids in limited.ids("train"))


def test_a_limit_holds_when_run_again(tmp_path):
    first = prepared(tmp_path, max_vocab=300)
    texts = [first.tokens(p) for p in first.manifest["piece"]]
    again = prepared(tmp_path, max_vocab=300)
    assert [again.tokens(p) for p in again.manifest["piece"]] == texts
    assert again.manifest["replaced"].tolist() == first.manifest["replaced"].tolist()
    assert prepared(tmp_path).manifest["replaced"].sum() == 0  # without it the texts are the pieces' own again


def test_a_limit_without_room(tmp_path):
    with pytest.raises(BadSetting, match="--max-vocab 100 has no room"):
        prepared(tmp_path, max_vocab=100)


def test_large_vocabularies_have_wider_ids(tmp_path):
    corpus = prepared(tmp_path)
    assert corpus.vocab.dtype == corpus.ids("train")[0].dtype == np.int16
    many = type(corpus.vocab)([*CONTROL_TOKENS, *(f"w{i}" for i in range(2**15))])
    assert many.dtype == np.int32 and many.to_ids(["w32767"]).tolist() == [32770]


def test_the_fingerprint_knows_the_vocabulary(tmp_path):
    assert prepared(tmp_path).fingerprint != prepared(tmp_path, max_vocab=300).fingerprint


def test_without_its_vocabulary_a_corpus_is_not_one(tmp_path):
    folder = prepared(tmp_path).folder
    (folder / "vocab.txt").unlink()
    with pytest.raises(NoData, match="no vocab.txt; prepare it again"):
        Corpus.load(folder)


def test_settings_are_written(tmp_path):
    settings = json.loads((prepared(tmp_path, max_vocab=300).folder / "corpus.json").read_text())
    assert settings["max_vocab"] == 300 and settings["encoding"]["holds"] is False
