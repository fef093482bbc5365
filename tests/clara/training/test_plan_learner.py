"""The learner of a model that follows plans: what a notebook does with it."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from fastai.interpret import Interpretation

from clara.checkpoints.checkpoint import Checkpoint
from clara.data.corpus import Corpus
from clara.data.dataloaders import MusicDataLoaders
from clara.encodings.notewise import Chamber
from clara.form.context import PLACE_COLUMN
from clara.models.likelihood import nats_per_piece
from clara.training.learner import load_learner, music_learner


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus.load(tiny.corpus(tmp_path_factory.mktemp("learner")))


@pytest.fixture
def dls(corpus):
    return MusicDataLoaders.from_corpus(corpus, bs=4, seq_len=16, device="cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny.plan_follower().save(folder)
    return folder


def new_learner(dls, folder, **settings):
    torch.manual_seed(0)
    return music_learner(dls, path=folder, log=lambda _: None, **settings)


@pytest.fixture
def learn(dls, base, tmp_path):
    made = new_learner(dls, tmp_path, pretrained=base)
    with made.no_bar(), made.no_logging():
        yield made


def test_predictions_know_the_plan_of_each_piece(learn, corpus):
    inputs, preds, targets, losses = learn.get_preds(with_input=True, with_loss=True)
    checkpoint = learn.to_checkpoint()
    pieces = learn.dls.valid.by_piece().items
    contexts = learn.dls.contexts
    read = [np.column_stack([piece.ids, contexts.to_rows(piece.context)]) for piece in pieces]
    nats = nats_per_piece(checkpoint.inference_model(), read, corpus.vocab.pad_id)
    for i, piece in enumerate(pieces):
        assert inputs[i].tolist() == piece.ids[:-1].tolist()
        assert preds[i].shape == (len(targets[i]), len(corpus.vocab))
        assert losses[i] == pytest.approx(nats[i].item() / len(targets[i]), rel=1e-4)


def test_bars_of_other_music_follow_its_time_signature(learn):
    notes = replace(tiny.tune(9), time_signatures=((0, 3, 4),))
    [piece] = learn.dls.test_dl([notes]).items
    assert 24 <= piece.context[:, PLACE_COLUMN].max() < 36


def test_replayed_pieces_keep_their_time_signatures(tmp_path, corpus, base):
    in_three = replace(tiny.tune(0), time_signatures=((0, 3, 4),))
    replay = tiny.corpus(tmp_path, [in_three])
    dls = MusicDataLoaders.from_corpus(corpus, bs=4, seq_len=16, device="cpu", replay_corpus=replay)
    new_learner(dls, tmp_path, pretrained=base)
    [piece] = dls.train.replay_pieces
    assert 24 <= piece.context[:, PLACE_COLUMN].max() < 36


def test_it_is_shown(learn, monkeypatch):
    import IPython.display

    pages = []
    monkeypatch.setattr(IPython.display, "display", lambda html: pages.append(html.data))
    learn.dls.show_batch(learn.dls.one_batch(), max_n=2)
    learn.show_results(max_n=1)
    interpretation = Interpretation.from_learner(learn)
    interpretation.show_results([0])
    interpretation.plot_top_losses(1)
    assert len(pages) == 4


def test_fine_tuning_moves_all_weights_alike(dls, base, tmp_path):
    """Without a flag what a model knows of plans is kept; with it, these weights learn faster."""
    start = Checkpoint.load(base).tensors["context.weight"].float()
    moves = []
    for follow_plans in (None, True):
        learn = new_learner(dls, tmp_path, pretrained=base, follow_plans=follow_plans)
        torch.testing.assert_close(learn.to_checkpoint().tensors["context.weight"], start)
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, 1e-4)
        moves.append((learn.to_checkpoint().tensors["context.weight"] - start).abs().max())
    assert moves[0] < moves[1] / 5


def test_it_is_fine_tuned_exported_and_loaded_again(learn, tmp_path):
    learn.fine_tune(1, 1e-3)
    config = Checkpoint.load(learn.export("run"))
    assert config.sizes["context_rows"] == learn.dls.contexts.n_rows
    loaded = load_learner(tmp_path / "run")
    with loaded.no_bar():
        [preds], _ = loaded.get_preds(dl=loaded.dls.test_dl([tiny.tune(9)]))
        [expected], _ = learn.get_preds(dl=learn.dls.test_dl([tiny.tune(9)]))
    torch.testing.assert_close(preds, expected, rtol=1e-2, atol=1e-4)  # half precision on disk


def test_it_composes_from_a_prompt(learn):
    prompt = tiny.tune(0, 8)
    for sample in learn.generate(2, prompt=prompt, bars=2):
        assert sample.notes.quarters > prompt.quarters
        assert sample.plan is not None


@pytest.mark.parametrize("settings", [{"arch": "lstm"}, {"arch": "awd_lstm"}])
def test_another_model_reads_the_tokens_of_the_same_loaders(learn, dls, tmp_path, settings):
    with_config = {"config": {"emb_sz": 8, "n_hid": 12, "n_layers": 1}} | settings
    other = new_learner(dls, tmp_path, **with_config)
    with other.no_bar(), other.no_logging():
        other.fit(1, 1e-3)
        assert len(other.get_preds()[0]) == 1
    assert "context_rows" not in other.to_checkpoint().sizes


def test_a_model_can_be_trained_to_follow_no_plans(dls, base, tmp_path):
    learn = new_learner(dls, tmp_path, pretrained=base, follow_plans=False)
    checkpoint = learn.to_checkpoint()
    assert "context_rows" not in checkpoint.sizes and "context.weight" not in checkpoint.tensors
    checkpoint.save(tmp_path / "plain")
    assert Checkpoint.load(tmp_path / "plain").context_reader() is None


def test_a_model_of_another_vocabulary_goes_on_following_plans(dls, tmp_path):
    tiny.plan_follower(encoding=Chamber()).save(tmp_path / "chamber")
    learn = new_learner(dls, tmp_path, pretrained=tmp_path / "chamber", adapt_vocab=True)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
    learn.to_checkpoint().save(tmp_path / "run")
    assert Checkpoint.load(tmp_path / "run").sizes["context_rows"] == dls.contexts.n_rows


def test_an_encoding_without_plans_keeps_the_other_weights(tmp_path, base):
    from clara.data.corpus_writer import prepare_corpus
    from clara.data.sources import find_pieces

    music = tiny.corpus(tmp_path).parent / "music"
    prepare_corpus(find_pieces([str(music)]), tmp_path / "chordwise", {"encoding": "chordwise"})
    dls = MusicDataLoaders.from_corpus(tmp_path / "chordwise", bs=4, seq_len=16, device="cpu")
    learn = new_learner(dls, tmp_path, pretrained=base, adapt_vocab=True)
    assert "context_rows" not in learn.sizes
