"""A model on disk: what was saved comes back, what does not agree is named."""

import json

import pytest
import tiny
import torch
from safetensors.torch import load_file

from clara.checkpoints.checkpoint import CONFIG, VOCAB, WEIGHTS, Checkpoint, repeats_hash, versions, weights_hash
from clara.checkpoints.shipped_models import MissingModel, shipped_models_folder
from clara.encodings.notewise import Notewise
from clara.errors import CannotWrite, CheckpointMismatch


@pytest.fixture
def folder(tmp_path):
    tiny.checkpoint().save(tmp_path / "model")
    return tmp_path / "model"


def change_config(folder, **changes):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))


def change_words(folder, change):
    words = (folder / VOCAB).read_text().splitlines()
    (folder / VOCAB).write_text("".join(f"{w}\n" for w in change(words)))


def without(folder, key):
    config = json.loads((folder / CONFIG).read_text())
    del config[key]
    (folder / CONFIG).write_text(json.dumps(config))


def test_round_trip(folder):
    saved, found = tiny.checkpoint(), Checkpoint.load(folder)
    assert (found.arch, found.sizes, found.vocab, found.info) == (saved.arch, saved.sizes, saved.vocab, saved.info)
    assert found.encoding.settings == saved.encoding.settings
    assert found.n_parameters == saved.n_parameters
    assert found.tensors.keys() == saved.tensors.keys()
    for name, tensor in saved.tensors.items():
        assert torch.equal(found.tensors[name], tensor.half()), name


def test_saving_what_was_loaded_changes_nothing(folder, tmp_path):
    Checkpoint.load(folder).save(tmp_path / "again")
    for name in (WEIGHTS, VOCAB, CONFIG):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_single_precision_on_request(tmp_path):
    saved = tiny.checkpoint()
    saved.save(tmp_path, precision=torch.float32)
    found = Checkpoint.load(tmp_path)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in saved.tensors.items())


def test_reader_reads_in_single_precision(folder):
    reader = Checkpoint.load(folder).inference_model()
    logits, _ = reader(torch.tensor([[1, 5, 9]]), reader.initial_state(1))
    assert logits.shape == (1, 3, 203) and logits.dtype == torch.float32


@pytest.mark.parametrize("encoding", [Notewise(4, 38), Notewise(12, 62, ("p", "v"))])
def test_the_encoding_comes_back(tmp_path, encoding):
    tiny.checkpoint(encoding).save(tmp_path)
    assert Checkpoint.load(tmp_path).encoding.settings == encoding.settings


def test_nothing_is_pickled(folder):
    assert sorted(p.name for p in folder.iterdir()) == sorted([WEIGHTS, VOCAB, CONFIG])
    assert load_file(folder / WEIGHTS).keys() == tiny.weights().keys()
    assert json.loads((folder / CONFIG).read_text())["format"] == 1
    assert (folder / VOCAB).read_text().splitlines() == list(tiny.checkpoint().vocab.tokens)


def test_saving_over_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CannotWrite, match="file"):
        tiny.checkpoint().save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", [WEIGHTS, VOCAB, CONFIG])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointMismatch, match=f"model: .*{name} missing"):
        Checkpoint.load(folder)


def test_a_shipped_model_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Checkpoint.load("notewise").encoding.name == "notewise"
    assert weights_hash("notewise") == weights_hash(shipped_models_folder() / "notewise")


def test_missing_folder(tmp_path):
    with pytest.raises(MissingModel, match="nowhere.*notewise"):
        Checkpoint.load(tmp_path / "nowhere")


BREAKS = {
    "one word less": (lambda f: change_words(f, lambda w: w[:-1]), [VOCAB, CONFIG]),
    "one word more": (lambda f: change_words(f, lambda w: [*w, "wait999"]), [VOCAB, CONFIG]),
    "words in another order": (lambda f: change_words(f, lambda w: [*w[:-2], w[-1], w[-2]]), [VOCAB, CONFIG]),
    "another word": (lambda f: change_words(f, lambda w: [*w[:-1], "wait999"]), [VOCAB, CONFIG]),
    "another encoding": (lambda f: change_config(f, encoding=Notewise(4, 88).settings), [VOCAB, CONFIG]),
    "weights of another width": (lambda f: change_config(f, sizes=tiny.SIZES | {"emb_sz": 9}), [WEIGHTS, CONFIG]),
    "weights of a billion layers": (
        lambda f: change_config(f, sizes=tiny.SIZES | {"n_layers": 10**9}),
        [WEIGHTS, CONFIG],
    ),
    "contexts of another size": (lambda f: plan_follower(f, context_rows=7), [CONFIG, "7 rows of contexts"]),
    "contexts of another architecture": (lambda f: plan_follower(f, arch="lstm"), [CONFIG, "rows of contexts"]),
    "sizes that are no dict": (lambda f: change_config(f, sizes=[8]), [CONFIG]),
    "weights of more layers": (lambda f: change_config(f, sizes=tiny.SIZES | {"n_layers": 2}), [WEIGHTS, CONFIG]),
    "no embedding": (lambda f: drop_weight(f, "embedding.weight"), [WEIGHTS, VOCAB]),
    "no bias": (lambda f: drop_weight(f, "output.bias"), [WEIGHTS, CONFIG]),
    "weights of other words": (lambda f: other_weights(f, Notewise(4, 38)), [WEIGHTS, VOCAB]),
    "truncated weights": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-100]), [WEIGHTS]),
    "empty weights": (lambda f: (f / WEIGHTS).write_bytes(b""), [WEIGHTS]),
    "truncated config": (lambda f: (f / CONFIG).write_text((f / CONFIG).read_text()[:-20]), [CONFIG]),
    "config that is no dict": (lambda f: (f / CONFIG).write_text("[1]"), [CONFIG]),
    "config without encoding": (lambda f: without(f, "encoding"), [CONFIG]),
    "config without sizes": (lambda f: without(f, "sizes"), [CONFIG]),
    "sizes that lack one": (lambda f: change_config(f, sizes={"emb_sz": 8}), [CONFIG]),
    "unknown architecture": (lambda f: change_config(f, arch="transformer"), [CONFIG]),
    "unknown encoding": (lambda f: change_config(f, encoding={"encoding": "abc"}), [CONFIG]),
    "another format": (lambda f: change_config(f, format=99), [CONFIG, "99"]),
    "no format": (lambda f: without(f, "format"), [CONFIG]),
    "words not in UTF-8": (lambda f: (f / VOCAB).write_bytes(b"\xff\xfe"), [VOCAB]),
    "a word twice": (lambda f: change_words(f, lambda w: [*w[:-1], w[0]]), [VOCAB]),
    "no words": (lambda f: (f / VOCAB).write_text(""), [VOCAB]),
}


def plan_follower(folder, arch="awd_lstm", **sizes):
    checkpoint = tiny.plan_follower()
    checkpoint.save(folder)
    change_config(folder, arch=arch, sizes=checkpoint.sizes | sizes)


def drop_weight(folder, name):
    checkpoint = tiny.checkpoint()
    del checkpoint.tensors[name]
    n_parameters = json.loads((folder / CONFIG).read_text())["n_parameters"]
    checkpoint.save(folder)
    change_config(folder, n_parameters=n_parameters)


def other_weights(folder, encoding):
    other = tiny.checkpoint(encoding)
    other.save(folder.with_name("other"))
    (folder / WEIGHTS).write_bytes((folder.with_name("other") / WEIGHTS).read_bytes())


@pytest.mark.parametrize("what", BREAKS)
def test_what_does_not_agree_is_named(folder, what):
    spoil, named = BREAKS[what]
    spoil(folder)
    with pytest.raises(CheckpointMismatch) as e:
        Checkpoint.load(folder)
    message = str(e.value)
    assert str(folder) in message and "\n" not in message
    assert [n for n in named if n not in message] == []


def test_hash_tells_weights_apart(folder, tmp_path):
    tiny.checkpoint(seed=1).save(tmp_path / "other")
    tiny.checkpoint().save(tmp_path / "same")
    assert weights_hash(folder) == weights_hash(tmp_path / "same") != weights_hash(tmp_path / "other")


def test_a_hash_of_what_is_no_config(tmp_path):
    tiny.checkpoint().save(tmp_path)
    assert repeats_hash(tmp_path) is None
    for broken in ("{", "[]"):
        (tmp_path / CONFIG).write_text(broken)
        with pytest.raises(CheckpointMismatch, match=CONFIG):
            repeats_hash(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps({"repeats": {"calibration": 1}}))
    assert len(repeats_hash(tmp_path)) == 16


def test_versions_are_those_installed():
    assert versions()["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"python", "fastai", "numpy", "symusic", "music21"} <= versions().keys()
