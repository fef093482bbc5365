"""fastai DataLoaders of music: from a corpus, from a folder of music, and what they show."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from clara.data.corpus import Corpus
from clara.data.dataloaders import MusicDataLoaders
from clara.data.piece_loader import PieceDataLoader
from clara.data.stream_loader import StreamDataLoader
from clara.encodings.vocab import SHIFTS, transposition_tables
from clara.errors import BadMusicFile, BadSetting, CheckpointMismatch, NoData
from clara.music.midi import write_midi


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus.load(tiny.corpus(tmp_path_factory.mktemp("dataloaders")))


@pytest.fixture
def dls(corpus):
    return MusicDataLoaders.from_corpus(corpus, bs=4, seq_len=16, device="cpu")


@pytest.fixture
def shown(monkeypatch):
    """Collect what is displayed in a notebook: a list of HTML strings."""
    import IPython.display

    pages = []
    monkeypatch.setattr(IPython.display, "display", lambda html: pages.append(html.data))
    return pages


def batches(loader):
    return [(x.tolist(), y.tolist()) for x, y in loader]


def test_a_small_valid_split_is_read_in_few_streams(corpus_folder, monkeypatch):
    corpus = Corpus.load(corpus_folder)
    words = sum(map(len, corpus.ids("valid")))
    for least, streams in ((words + 1, 1), (words // 2, 2), (words // 5, 4)):
        monkeypatch.setattr("clara.data.dataloaders.MIN_VALID_STREAM_TOKENS", least)
        dls = MusicDataLoaders.from_corpus(corpus, bs=4, seq_len=10, device="cpu")
        assert dls.valid.bs == streams
        assert dls.train.bs == 4


def test_dataloaders_train_in_keys_and_validate_as_written(corpus_folder):
    corpus = Corpus.load(corpus_folder)
    dls = MusicDataLoaders.from_corpus(corpus, bs=1, seq_len=1000, device="cpu", seed=5)
    assert dls.valid_split == "valid"
    [(x, y)] = dls.valid
    assert [*x[0].tolist(), y[0, -1].item()] == corpus.ids("valid")[0].tolist()
    arguments = [corpus.ids("train"), 1, 1000, "cpu", transposition_tables(corpus.vocab, corpus.encoding, SHIFTS), 5]
    assert batches(dls.train) == batches(StreamDataLoader(*arguments))
    assert dls.train.n_tokens == sum(map(len, corpus.ids("train")))


def test_where_nothing_is_held_out_train_stands_in(corpus_folder):
    path = corpus_folder / "manifest.csv"
    manifest = pd.read_csv(path, keep_default_na=False)
    manifest[manifest["split"] != "valid"].to_csv(path, index=False)
    corpus = Corpus.load(corpus_folder)
    dls = MusicDataLoaders.from_corpus(corpus, bs=1, seq_len=1000, device="cpu")
    assert dls.valid_split == "train"
    [(x, _)] = dls.valid
    assert x[0].tolist() == np.concatenate(corpus.ids("train"))[:-1].tolist()


def test_no_training_piece(corpus_folder):
    path = corpus_folder / "manifest.csv"
    manifest = pd.read_csv(path, keep_default_na=False)
    manifest[manifest["split"] != "train"].to_csv(path, index=False)
    with pytest.raises(NoData, match="no piece in the train split"):
        MusicDataLoaders.from_corpus(corpus_folder, bs=1, seq_len=10)


def test_each_pass_draws_new_keys_and_a_new_order(dls):
    passes = [batches(dls.train) for _ in range(3)]
    assert passes[0] != passes[1] != passes[2] != passes[0]
    assert dls.train.epoch == 3
    dls.train.epoch = 1
    assert batches(dls.train) == passes[1]
    assert batches(dls.valid) == batches(dls.valid)


def test_a_pass_that_is_broken_off_does_not_count(dls):
    x, y = dls.one_batch()
    assert x.shape == y.shape == (4, 16) and torch.equal(x[:, 1:], y[:, :-1])
    for _ in dls.train:
        break
    assert dls.train.epoch == 0 and torch.equal(dls.one_batch()[0], x)


def test_they_are_fastais(dls, corpus):
    assert dls.train is dls[0] and dls.valid is dls[1] and len(dls) == 2
    assert dls.vocab == corpus.vocab and dls.encoding is corpus.encoding and dls.n_inp == 1
    assert (
        dls.train_ds is dls.train.items
        and [piece.name for piece in dls.valid_ds] == corpus.rows("valid")["piece"].tolist()
    )
    assert dls.device == torch.device("cpu") and dls.to("cpu") is dls
    assert dls.tokens_per_quarter == dls.valid.n_tokens / corpus.quarters("valid").sum()


def test_new_ones_of_another_size(dls):
    other = dls.new(bs=2, seq_len=8)
    assert other.one_batch()[0].shape == (2, 8) and dls.one_batch()[0].shape == (4, 16)
    assert other.vocab == dls.vocab and other.tokens_per_quarter == dls.tokens_per_quarter
    assert batches(dls.train.new()) == batches(dls.train)
    as_written = dls.train.new(shuffle=False)
    assert batches(as_written) == batches(as_written)


def test_from_a_folder_of_music(tmp_path, monkeypatch, corpus):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    music = corpus.folder.parent / "music"
    dls = MusicDataLoaders.from_folder(music, workers=1, bs=4, seq_len=16, device="cpu")
    assert len(dls.train.items) == 4 and dls.encoding.name == "notewise"
    assert dls.corpus.folder.is_relative_to(tmp_path / "cache")
    expected = MusicDataLoaders.from_corpus(corpus, bs=4, seq_len=16, device="cpu")
    assert batches(dls.train) == batches(expected.train)
    again = MusicDataLoaders.from_folder(dls.corpus.folder, bs=4, seq_len=16, device="cpu")  # it is prepared already
    assert batches(again.train) == batches(expected.train.new())


def test_from_a_folder_to_a_folder(tmp_path, corpus):
    music, prepared = corpus.folder.parent / "music", tmp_path / "prepared"
    dls = MusicDataLoaders.from_folder(music, "framewise", prepared=prepared, workers=1, device="cpu")
    assert dls.corpus.folder == prepared and (prepared / "manifest.csv").is_file()
    assert dls.encoding.name == "framewise"
    with pytest.raises(BadSetting, match="prepared is framewise text, not notewise"):
        MusicDataLoaders.from_folder(prepared)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_music(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoData, match=name):
        MusicDataLoaders.from_folder(tmp_path / name)


def test_no_such_encoding(tmp_path):
    with pytest.raises(BadSetting, match="no encoding 'morse'; there are: notewise"):
        MusicDataLoaders.from_folder(tmp_path, "morse")


def test_a_replayed_corpus_of_another_vocabulary(corpus, corpus_folder):
    settings = corpus_folder / "corpus.json"
    settings.write_text(settings.read_text().replace("88", "62"))
    with pytest.raises(CheckpointMismatch, match="its vocabulary is not that of"):
        MusicDataLoaders.from_corpus(corpus, replay_corpus=corpus_folder)


def test_a_replayed_corpus(corpus):
    dls = MusicDataLoaders.from_corpus(corpus, device="cpu", replay_corpus=corpus, replay_share=0.5)
    n_own = sum(map(len, corpus.ids("train")))
    assert dls.train.n_tokens == 2 * n_own and len(dls.train.items) == 4


def test_other_music_to_predict_for(dls, tmp_path):
    notes = tiny.tune(0)
    write_midi(notes, tmp_path / "a.mid")
    tokens = dls.encoding.encode(notes)[0]
    items = [notes, tmp_path / "a.mid", str(tmp_path / "a.mid"), " ".join(tokens), tokens]
    loader = dls.test_dl(items, with_labels=True)
    assert isinstance(loader, PieceDataLoader)
    assert [piece.ids.tolist() for piece in loader.items] == [loader.items[0].ids.tolist()] * 5
    assert dls.decode(loader.items[0].ids) == notes
    assert dls.encode(loader.items[0]) is loader.items[0]
    with pytest.raises(BadMusicFile, match="nowhere.mid"):
        dls.test_dl([tmp_path / "nowhere.mid"])


def test_pieces_are_read_whole_and_padded_at_the_end(dls):
    short, long = dls.encode("p40 wait2 endp40"), dls.encode(["p40", *["wait1"] * 9, "endp40"])
    [(x, y)] = dls.test_dl([short, long])
    pad = dls.vocab.pad_id
    assert x.shape == y.shape == (2, 12)
    assert x[0].tolist() == [*short.ids.tolist(), *[pad] * 7] and y[0].tolist() == [*short.ids[1:].tolist(), *[pad] * 8]
    assert x[1].tolist() == long.ids[:-1].tolist() and y[1].tolist() == long.ids[1:].tolist()


def test_long_pieces_come_in_smaller_batches(dls, monkeypatch):
    pieces = [dls.encode(["wait1"] * n) for n in (8, 8, 8, 30, 8)]
    monkeypatch.setattr("clara.data.piece_loader.MAX_LOGITS", 32 * len(dls.vocab))
    assert [len(x) for x, _ in dls.test_dl(pieces)] == [3, 1, 1]
    monkeypatch.setattr("clara.data.piece_loader.MAX_LOGITS", 1)
    assert [len(x) for x, _ in dls.test_dl(pieces)] == [1] * 5
    monkeypatch.undo()
    assert [len(x) for x, _ in dls.test_dl(pieces, bs=2)] == [2, 2, 1]


@pytest.mark.parametrize("sheet_music", [False, True])
def test_a_batch_shows_excerpts_of_the_coming_epoch(dls, shown, sheet_music):
    dls.show_batch(max_n=2, sheet_music=sheet_music)
    [page] = shown
    names = [piece.name for piece in dls.train.epoch_pieces(2)]
    assert page.count("<svg") >= 2 and all(name in page for name in names) and dls.train.epoch == 0
    dls.show_batch(dls.one_batch(), max_n=1)
    assert "stream 1" in shown[1]


def test_the_shown_pieces_are_those_of_the_epoch(dls):
    [first] = dls.train.epoch_pieces(1)
    x, _ = dls.train.new(bs=1, seq_len=len(first)).one_batch()
    assert x[0].tolist() == first.ids.tolist()


def test_empty_ones_encode_music(dls):
    empty = MusicDataLoaders.empty(dls.vocab, dls.encoding)
    assert len(empty.train.items) == len(empty.valid.items) == 0 and empty.tokens_per_quarter is None
    assert len(empty.test_dl([tiny.tune(0)])) == 1
