"""The learner of a notebook: fastai's methods, predictions by piece, export, and what it refuses."""

import numpy as np
import pytest
import tiny
import torch
from fastai.callback.core import Callback
from fastai.interpret import Interpretation

from clara.checkpoints.checkpoint import CONFIG, WEIGHTS, Checkpoint
from clara.checkpoints.shipped_models import MissingModel
from clara.data.corpus import Corpus
from clara.data.dataloaders import MusicDataLoaders
from clara.encodings.notewise import Chamber, Notewise
from clara.errors import BadSetting, CheckpointMismatch
from clara.generation.generator import Generator
from clara.models.likelihood import nats_per_piece
from clara.music.midi import write_midi
from clara.training.callbacks import HISTORY
from clara.training.learner import find_lr, load_learner, music_learner
from clara.training.model_cards import CARD

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus.load(tiny.corpus(tmp_path_factory.mktemp("learner")))


@pytest.fixture
def dls(corpus):
    return MusicDataLoaders.from_corpus(corpus, bs=4, seq_len=16, device="cpu")


def new_learner(dls, folder, **settings):
    torch.manual_seed(0)
    return music_learner(dls, **{"config": tiny.SIZES, "path": folder, "log": lambda _: None} | settings)


@pytest.fixture
def learn(dls, tmp_path):
    made = new_learner(dls, tmp_path)
    with made.no_bar():
        yield made


@pytest.fixture
def shown(monkeypatch):
    """Collect what is displayed in a notebook: a list of HTML strings."""
    import IPython.display

    pages = []
    monkeypatch.setattr(IPython.display, "display", lambda html: pages.append(html.data))
    return pages


class FirstBatches(Callback):
    """Keep the first batch of each epoch."""

    def before_fit(self):
        self.seen = []

    def before_batch(self):
        if self.training and self.iter == 0:
            self.seen.append(self.x.tolist())


def weights_of(learn):
    return torch.cat([p.detach().flatten() for p in learn.model.parameters()])


def test_one_cycle_sees_each_epoch_in_other_keys_and_order(learn):
    noted = FirstBatches()
    learn.fit_one_cycle(3, 1e-2, cbs=noted)
    assert len(noted.seen) == 3
    assert noted.seen[0] != noted.seen[1] != noted.seen[2] != noted.seen[0]


def test_a_second_fit_goes_on_with_new_keys(learn):
    first, second = FirstBatches(), FirstBatches()
    learn.fit(2, 1e-2, cbs=first)
    learn.fit(2, 1e-2, cbs=second)
    assert len({str(seen) for seen in first.seen + second.seen}) == 4


@pytest.mark.parametrize("train", [lambda learn: learn.fit_one_cycle(4, 5e-2), lambda learn: learn.fine_tune(3, 5e-2)])
def test_training_lowers_the_loss(learn, train):
    before = learn.validate()
    train(learn)
    loss, nats_per_quarter = learn.validate()
    assert loss < 0.99 * before[0]
    # fastai weighs windows alike, the last of which is shorter
    assert nats_per_quarter == pytest.approx(loss * learn.dls.tokens_per_quarter, rel=1e-2)


def test_the_learning_rate_finder_leaves_the_weights(learn, tmp_path):
    before = weights_of(learn)
    assert 0 < learn.lr_find(num_it=20, show_plot=False).valley < 10
    assert torch.equal(weights_of(learn), before)
    assert find_lr(learn, tmp_path / "lr.png") > 0 and (tmp_path / "lr.png").is_file()
    assert torch.equal(weights_of(learn), before)


def test_the_model_is_an_ordinary_module(learn):
    learn.model.reset()
    logits, *_ = learn.model.eval()(learn.dls.one_batch()[0])
    assert isinstance(learn.model, torch.nn.Module) and logits.shape == (4, 16, len(learn.dls.vocab))


def test_predictions_are_those_of_each_piece_alone(learn, corpus):
    inputs, preds, targets, decoded, losses = learn.get_preds(with_input=True, with_decoded=True, with_loss=True)
    pieces = corpus.ids("valid")
    network = learn.to_checkpoint().inference_model()
    costs = nats_per_piece(network, pieces, corpus.vocab.pad_id)
    assert len(preds) == len(targets) == len(inputs) == len(decoded) == len(losses) == len(pieces)
    for i, ids in enumerate(pieces):
        assert inputs[i].tolist() == ids[:-1].tolist() and targets[i].tolist() == ids[1:].tolist()
        assert preds[i].shape == (len(ids) - 1, len(corpus.vocab))
        torch.testing.assert_close(preds[i].sum(-1), torch.ones(len(ids) - 1))
        assert torch.equal(preds[i].argmax(-1), decoded[i])
        assert losses[i] == pytest.approx(costs[i].item() / (len(ids) - 1), rel=1e-4)


def test_predictions_do_not_depend_on_the_batch(learn):
    pieces = [learn.dls.encode(tiny.tune(seed, n)) for seed, n in enumerate((5, 40, 12, 25))]
    together = learn.get_preds(dl=learn.dls.test_dl(pieces), with_loss=True)
    alone = [learn.get_preds(dl=learn.dls.test_dl([piece]), with_loss=True) for piece in pieces]
    for i, (preds, targets, losses) in enumerate(alone):
        torch.testing.assert_close(together[0][i], preds[0], rtol=1e-4, atol=1e-6)
        assert torch.equal(together[1][i], targets[0])
        assert together[2][i] == pytest.approx(losses.item(), rel=1e-4)


def test_predictions_of_train_and_without_what_is_not_wanted(learn, corpus):
    preds, targets, losses = learn.get_preds(0, with_preds=False, with_targs=False, with_loss=True)
    assert preds is None and targets is None and losses.shape == (len(corpus.ids("train")),)
    assert learn.dls.train.epoch == 0
    [logits, _] = learn.get_preds(act=lambda x: x)
    torch.testing.assert_close(logits[0].softmax(-1), learn.get_preds()[0][0])
    with pytest.raises(BadSetting, match="get_preds takes a loader from"):
        learn.get_preds(dl=[learn.dls.one_batch()])


def test_validating_other_music(learn):
    pieces = learn.dls.test_dl([tiny.tune(1), tiny.tune(2, 12)])
    loss, nats_per_quarter = learn.validate(dl=pieces)
    _, _, losses = learn.get_preds(dl=pieces, with_loss=True)
    n = torch.tensor([len(piece) - 1 for piece in pieces.items])
    assert loss == pytest.approx(((losses * n).sum() / n.sum()).item(), rel=1e-4)


def test_the_interpretation_lists_the_pieces_with_the_highest_loss(learn, shown):
    interpretation = Interpretation.from_learner(learn, ds_idx=0)
    losses, which, pieces = interpretation.top_losses(2, items=True)
    assert losses[0] >= losses[1] and len(pieces) == 2
    assert [piece.name for piece in pieces] == [learn.dls.train.items[i].name for i in which]
    _, _, all_losses = learn.get_preds(0, with_loss=True)
    assert losses.tolist() == pytest.approx(all_losses.sort(descending=True)[0][:2].tolist())
    interpretation.plot_top_losses(2)
    assert f"{pieces[0].name}: {losses[0]:.3f} nats per token" in shown[0] and shown[0].count("<svg") == 2
    interpretation.plot_top_losses(1)
    assert shown[1].count("<svg") == 1
    interpretation.show_results([0, 1])
    assert shown[2].count("predicted") == 2


def test_results_are_shown(learn, shown):
    learn.show_results(max_n=1)
    assert "nats per token" in shown[0] and "predicted" in shown[0] and "<svg" in shown[0]


def test_it_composes_and_continues(learn, tmp_path):
    pieces = learn.generate(2, bars=2, seed=3)
    assert [piece.notes for piece in pieces] == [
        piece.notes for piece in Generator(learn.to_checkpoint()).generate(2, 8, seed=3)
    ]
    prompt = tiny.tune(0, 8)
    write_midi(prompt, tmp_path / "prompt.mid")
    for music in (prompt, str(tmp_path / "prompt.mid"), tmp_path / "prompt.mid"):
        sample = learn.predict(music, quarters=2)
        assert sample.prompt_quarters == prompt.quarters and sample.notes.quarters > prompt.quarters


def test_an_export_is_a_run_folder_that_loads_again(learn, tmp_path, corpus):
    learn.fit_one_cycle(2, 1e-2)
    folder = learn.export("mine")
    assert folder == tmp_path / "mine"
    names = {path.name for path in folder.iterdir()}
    assert names == {WEIGHTS, CONFIG, CARD, HISTORY, "vocab.txt", "loss.png"}
    assert len(Generator.load(folder).generate(1, 2)) == 1
    figures = Checkpoint.load(folder).info["figures"]
    assert figures["epochs"] == 2 and figures["valid_nats_per_quarter"] > 0
    card = (folder / CARD).read_text()
    assert "made by a test" in card and "music_learner" in card
    loaded = load_learner(folder)
    with loaded.no_bar():
        [preds], _ = loaded.get_preds(dl=loaded.dls.test_dl([tiny.tune(9)]))
        [expected], _ = learn.get_preds(dl=learn.dls.test_dl([tiny.tune(9)]))
    torch.testing.assert_close(preds, expected, rtol=1e-2, atol=1e-4)  # half precision on disk
    again = loaded.export(tmp_path / "again")
    assert (again / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert Checkpoint.load(again).info["figures"] == figures


def test_a_loaded_learner_goes_on_with_music(learn, tmp_path, dls):
    folder = learn.export("mine", fit_repeats=False)
    loaded = load_learner(folder, dls, path=tmp_path)
    with loaded.no_bar():
        loaded.fit(1, 1e-2)
    assert "repeats" not in Checkpoint.load(folder).info


def test_pretrained_weights_are_the_start(dls, tmp_path):
    start = tiny.checkpoint(n_layers=2)
    start.save(tmp_path / "start")
    learn = new_learner(dls, tmp_path, pretrained=tmp_path / "start", config=None, drop_mult=0.5)
    tensors = learn.to_checkpoint().tensors
    assert all(torch.equal(tensors[name], start.tensors[name].half().float()) for name in tensors)
    assert learn.sizes == start.sizes


def test_random_weights_are_announced(dls, tmp_path):
    messages = []
    new_learner(dls, tmp_path, log=messages.append)
    assert len(messages) == 1 and messages[0].startswith("starting from random weights")


@pytest.mark.parametrize("encoding", [Chamber(), Notewise(4, 88), Notewise(12, 62)])
def test_a_pretrained_model_of_another_vocabulary(dls, tmp_path, encoding):
    tiny.checkpoint(encoding).save(tmp_path / "other")
    message = f"other reads {encoding.name} text.*the data is notewise.*adapt_vocab"
    with pytest.raises(CheckpointMismatch, match=message):
        new_learner(dls, tmp_path, pretrained=tmp_path / "other")
    messages = []
    new_learner(dls, tmp_path, pretrained=tmp_path / "other", adapt_vocab=True, log=messages.append)
    assert "tokens keep their weights" in messages[0]


def test_a_pretrained_model_of_another_architecture(dls, tmp_path):
    tiny.checkpoint().save(tmp_path / "other")
    with pytest.raises(CheckpointMismatch, match="other: its architecture is awd_lstm, not lstm"):
        new_learner(dls, tmp_path, arch="lstm", pretrained=tmp_path / "other")


def test_a_pretrained_model_that_is_missing(dls, tmp_path):
    with pytest.raises(MissingModel, match="nowhere"):
        new_learner(dls, tmp_path, pretrained="nowhere")
    with pytest.raises(MissingModel, match="nowhere"):
        load_learner("nowhere")


def test_a_setting_that_the_architecture_does_not_have(dls, tmp_path):
    with pytest.raises(BadSetting, match="n_heads is no setting of awd_lstm; there are emb_sz"):
        new_learner(dls, tmp_path, config={"n_heads": 8})


@pytest.mark.parametrize("arch", ["lstm", "wavenet"])
def test_every_architecture(dls, tmp_path, arch):
    learn = new_learner(dls, tmp_path, arch=arch)
    with learn.no_bar():
        learn.fit_one_cycle(1, 1e-2)
        preds, targets = learn.get_preds()
    assert np.isfinite(preds[0].numpy()).all() and len(preds[0]) == len(targets[0])
    assert len(learn.generate(1, quarters=2)) == 1
