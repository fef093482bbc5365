"""The command that fits a match model to a run that was trained without."""

import numpy as np
import pytest
import tiny

from clara.checkpoint import Checkpoint
from clara.data.corpus import Corpus
from clara.encodings.notewise import Notewise
from clara.repeats.finder import TranspositionTable
from clara.repeats.model import LENGTHS, RepeatModel, read
from clara.training import repeat_fit as match_fit
from clara.training.run import train


@pytest.fixture
def run_and_corpus(tmp_path):
    """A run that was trained without, and a corpus whose pieces repeat themselves."""
    folder = tiny.corpus(tmp_path)
    run = tiny.checkpoint()
    run.info = {
        "training": {
            "command": "train.py",
            "commit": None,
            "date": "2018-01-01",
            "arguments": {"seed": 0},
            "data": {"about": "", "pieces": 1, "quarters": 1.0, "tokens": 1, "fingerprint": "0"},
        },
        "versions": {},
        "figures": {"epochs": 1},
    }
    run.save(tmp_path / "run")
    return tmp_path / "run", folder


def test_the_command_fits_one_to_a_run(run_and_corpus, capsys):
    run, corpus = run_and_corpus
    weights = (run / "model.safetensors").read_bytes()
    assert tiny.leave(match_fit.main, [run, corpus]) == 0
    checkpoint, loaded = Checkpoint.load(run), Corpus.load(corpus)
    assert (run / "model.safetensors").read_bytes() == weights
    told = read(
        checkpoint.inference_model(),
        loaded.ids("test"),
        TranspositionTable(checkpoint.vocab, checkpoint.encoding),
        checkpoint.vocab.pad_id,
    )
    found = sum(checkpoint.repeat_model().nats(t).sum() for t in told) / loaded.quarters("test").sum()
    assert checkpoint.info["figures"]["test_nats_per_quarter_with_match"] == pytest.approx(found, abs=1e-3)
    assert "with match" in (run / "README.md").read_text() and "with match" in capsys.readouterr().out


def test_gains_stay_as_they_were(run_and_corpus):
    """They were found by composing, and the lines by reading."""
    run, corpus = run_and_corpus
    start = Checkpoint.load(run)
    start.info["match"] = RepeatModel(np.tile([1.0, 0.0], (2, len(LENGTHS), 1)), np.array([1.3, 1.1])).told
    start.save(run)
    assert tiny.leave(match_fit.main, [run, corpus]) == 0
    found = Checkpoint.load(run).repeat_model()
    assert found.gains.tolist() == [1.3, 1.1] and (found.lines != [1.0, 0.0]).any()
    trained = run.parent / "trained"
    train(tiny.arguments(corpus, trained, "--pretrained", run, "--epochs", 1))
    assert Checkpoint.load(trained).repeat_model().gains.tolist() == [1.3, 1.1]


def test_the_command_refuses_another_vocabulary(tmp_path, run_and_corpus):
    tiny.checkpoint(Notewise(4)).save(tmp_path / "other")
    assert tiny.leave(match_fit.main, [tmp_path / "other", run_and_corpus[1]]) == 2


def test_the_command_refuses_a_corpus_that_holds_nothing_out(tmp_path, run_and_corpus, capsys):
    lone = tiny.corpus(tmp_path / "lone", [tiny.tune(0)])
    assert tiny.leave(match_fit.main, [run_and_corpus[0], lone]) == 2
    assert "no valid pieces" in capsys.readouterr().err
