"""How much matches must count for while composing: what is counted, how gains are found, the command."""

import json

import numpy as np
import pytest
import tiny

from clara.checkpoint import CONFIG, Checkpoint, repeats_hash
from clara.data.corpus import Corpus
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab
from clara.errors import CheckpointMismatch, NoData
from clara.repeats.finder import TranspositionTable
from clara.repeats.model import LENGTHS, RepeatModel
from clara.training import repeat_strength as match_gains
from clara.training.repeat_strength import LEAST, WIDEST, coming_again, excerpts, find_gains

ENCODING = Notewise()
VOCAB = Vocab.from_encoding(ENCODING)
FORMS = TranspositionTable(VOCAB, ENCODING)
LINES = np.tile([0.8, 1.0], (2, len(LENGTHS), 1))
MUSIC = np.array([0.18, 0.10])


def words(*keys):
    """Each key for a quarter, as ids."""
    return VOCAB.to_ids([w for k in keys for w in (f"p{k}", "wait12", f"endp{k}")])


TUNE = (40, 47, 44, 52, 41, 50, 46)


def test_what_comes_again_is_counted_by_key():
    new, again, moved = words(*TUNE), words(*TUNE, 20, *TUNE), words(*TUNE, 20, *(k + 3 for k in TUNE))
    n, long = len(again), 3 * len(TUNE) - LEAST + 1
    assert coming_again([new], FORMS).tolist() == [0, 0]
    assert coming_again([again], FORMS) == pytest.approx([long / n, 0], abs=1e-9)
    assert coming_again([moved], FORMS) == pytest.approx([0, long / n], abs=1e-9)
    assert coming_again([again, moved, new], FORMS).tolist() == [0, 0]
    assert coming_again([again, new, again], FORMS) == pytest.approx([long / n, 0])


class Composer:
    """A generator of which as much comes again as its gains make of `plain`."""

    def __init__(self, plain, model=None):
        self.repeats, self.plain = (model or RepeatModel(LINES), FORMS), np.array(plain)

    def again(self, i):
        return self.plain * self.repeats[0].gains ** 2.5


def found_by(composer, monkeypatch, rounds=6):
    monkeypatch.setattr(match_gains, "coming_again", lambda share, forms: share)
    told = []
    return find_gains(composer, MUSIC, composer.again, rounds, told.append), told


@pytest.mark.parametrize("plain", [[0.11, 0.095], [0.3, 0.05], [0.18, 0.10]])
def test_gains_bring_back_as_much_as_in_music(plain, monkeypatch):
    composer = Composer(plain)
    (gains, found), told = found_by(composer, monkeypatch)
    assert found == pytest.approx(MUSIC, rel=1e-3)
    assert gains == pytest.approx((MUSIC / plain) ** (1 / 2.5), rel=1e-3)
    assert composer.repeats[0].gains.tolist() == gains.tolist() and (composer.repeats[0].lines == LINES).all()
    assert len(told) == 6 and "18.0 and 10.0 %" in told[0]


def test_those_that_came_nearest_are_kept_and_the_search_begins_at_those_there_are(monkeypatch):
    composer = Composer([0.11, 0.095], RepeatModel(LINES, np.array([1.2, 1.0])))
    shares = iter([np.array([0.17, 0.11]), np.array([0.30, 0.30]), np.array([0.05, 0.01])])
    composer.again = lambda i: next(shares)
    (gains, found), _ = found_by(composer, monkeypatch, rounds=3)
    assert gains.tolist() == [1.2, 1.0] and found.tolist() == [0.17, 0.11]


def test_gains_stay_within_bounds_where_nothing_comes_again(monkeypatch):
    (gains, _), _ = found_by(Composer([0.0, 5.0]), monkeypatch, rounds=9)
    assert gains[0] == WIDEST and gains[1] >= 1 / WIDEST


def test_music_in_which_nothing_comes_again_says_nothing_of_gains(monkeypatch):
    monkeypatch.setattr(match_gains, "coming_again", lambda share, forms: share)
    composer = Composer([0.11, 0.04])
    gains, _ = find_gains(composer, np.array([0.18, 0.0]), composer.again, 6, lambda _: None)
    assert gains[0] > 1.2 and gains[1] == 1


@pytest.fixture
def run_and_corpus(tmp_path):
    """A run with a match model, and a corpus of its vocabulary."""
    run = tiny.checkpoint()
    run.info["match"] = RepeatModel(LINES).told
    run.save(tmp_path / "run")
    return tmp_path / "run", tiny.corpus(tmp_path)


def test_excerpts_are_not_of_test_pieces_and_as_long_as_asked(run_and_corpus):
    corpus = Corpus.load(run_and_corpus[1])
    text = {
        split: [" ".join(corpus.tokens(piece)) for piece in corpus.rows(split)["piece"]]
        for split in ("train", "valid", "test")
    }
    found = excerpts(corpus, 6, 60, np.random.default_rng(0))
    assert len(found) == 60 and len({tuple(ids) for ids in found}) > 20
    middles = [
        " ".join(corpus.vocab.to_tokens(ids)[8:-8]) for ids in found
    ]  # at its edges notes begin and end that the piece holds
    assert all(sum(ENCODING.token_steps(corpus.vocab.to_tokens(ids))) <= 6 * 12 for ids in found)
    assert all(any(m in t for t in text["train"] + text["valid"]) and m not in text["test"][0] for m in middles)
    assert any(m in text["valid"][0] for m in middles)
    with pytest.raises(NoData, match="--quarters asks for less"):
        excerpts(corpus, 1000, 1, np.random.default_rng(0))


def test_the_command_keeps_gains_and_leaves_the_weights(run_and_corpus, capsys):
    run, corpus = run_and_corpus
    weights, before = (run / "model.safetensors").read_bytes(), repeats_hash(run)
    flags = [run, corpus, "--pieces", 6, "--rounds", 3, "--quarters", 8]
    assert tiny.leave(match_gains.main, flags) == 0
    told = capsys.readouterr().out
    assert told.count("comes again in the same key") == 3 and "kept" in told
    gains = Checkpoint.load(run).repeat_model().gains
    assert (run / "model.safetensors").read_bytes() == weights
    assert f"kept {gains[0]:.2f} and {gains[1]:.2f}" in told
    assert (repeats_hash(run) == before) == (gains == 1).all()


def test_what_the_command_refuses(tmp_path, run_and_corpus, capsys):
    run, corpus = run_and_corpus
    tiny.checkpoint().save(tmp_path / "without")
    tiny.checkpoint(Notewise(4)).save(tmp_path / "other")
    for flags, told in (
        ([tmp_path / "without", corpus], "no match model"),
        ([tmp_path / "other", corpus], "different words"),
        ([run, corpus, "--quarters", 1000], "no piece to learn from lasts 1000 quarters"),
    ):
        assert tiny.leave(match_gains.main, flags) == 2
        assert told in capsys.readouterr().err


def test_a_hash_of_what_is_no_config(tmp_path):
    tiny.checkpoint().save(tmp_path)
    assert repeats_hash(tmp_path) is None
    for broken in ("{", "[]"):
        (tmp_path / CONFIG).write_text(broken)
        with pytest.raises(CheckpointMismatch, match=CONFIG):
            repeats_hash(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps({"match": {"lines": 1}}))
    assert len(repeats_hash(tmp_path)) == 16
