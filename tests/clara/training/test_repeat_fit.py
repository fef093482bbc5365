"""The command that fits a match model to a run that was trained without."""

import pytest
import tiny

from clara.checkpoints.checkpoint import Checkpoint
from clara.data.corpus import Corpus
from clara.encodings.notewise import Notewise
from clara.repeats.candidates import score_pieces
from clara.repeats.finder import TranspositionTable
from clara.training import repeat_fit as match_fit


@pytest.fixture
def run_and_corpus(tmp_path):
    """Return a run without a repeat model, and a corpus whose pieces repeat themselves."""
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
    pieces = score_pieces(
        checkpoint.inference_model(),
        loaded.ids("test"),
        TranspositionTable(checkpoint.vocab, checkpoint.encoding),
        checkpoint.vocab.pad_id,
    )
    found = sum(checkpoint.repeat_model().nats(t).sum() for t in pieces) / loaded.quarters("test").sum()
    assert checkpoint.info["figures"]["test_nats_per_quarter_with_repeats"] == pytest.approx(found, abs=1e-3)
    assert "with repeats" in (run / "README.md").read_text() and "with repeats" in capsys.readouterr().out


def test_the_command_refuses_another_vocabulary(tmp_path, run_and_corpus):
    tiny.checkpoint(Notewise(4)).save(tmp_path / "other")
    assert tiny.leave(match_fit.main, [tmp_path / "other", run_and_corpus[1]]) == 2


def test_the_command_refuses_a_corpus_that_holds_nothing_out(tmp_path, run_and_corpus, capsys):
    lone = tiny.corpus(tmp_path / "lone", [tiny.tune(0)])
    assert tiny.leave(match_fit.main, [run_and_corpus[0], lone]) == 2
    assert "no valid pieces" in capsys.readouterr().err
