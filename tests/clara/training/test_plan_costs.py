"""The cost of held-out music under models that follow plans."""

import json

import pytest
import tiny

from clara.data.corpus import Corpus
from clara.data.dataloaders import MusicDataLoaders
from clara.errors import BadSetting
from clara.music.midi import write_midi
from clara.training.learner import music_learner
from clara.training.plan_costs import HIDDEN_COLUMNS, costs_by_knowledge


def test_what_is_known_of_a_plan_changes_the_cost(tmp_path):
    corpus = Corpus.load(tiny.corpus(tmp_path))
    costs = costs_by_knowledge(tiny.plan_follower(), corpus, "train")
    assert set(costs) == set(HIDDEN_COLUMNS)
    assert len({round(cost, 6) for cost in costs.values()}) == len(costs)
    assert all(cost > 0 for cost in costs.values())


def test_a_model_learns_to_follow_plans(tmp_path):
    """Train on an ostinato, which is easy for a model that knows the earlier bar."""
    folder = tiny.corpus(tmp_path, [tiny.ostinato(), *(tiny.tune(i) for i in range(5))])
    dls = MusicDataLoaders.from_corpus(folder, bs=2, seq_len=32, device="cpu")
    learn = music_learner(dls, config=tiny.SIZES, follow_plans=True, path=tmp_path, log=lambda line: None)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(2, 3e-3)
    checkpoint = learn.to_checkpoint()
    assert checkpoint.sizes["context_rows"] == dls.contexts.n_rows
    assert checkpoint.tensors["trust.bias"].abs().sum() > 0
    config = json.loads((learn.export("run") / "config.json").read_text())
    assert config["figures"]["valid_nats_per_quarter"] > 0
    assert config["figures"]["valid_nats_per_quarter_with_returns"] > 0
    assert "also knows which bars return" in (tmp_path / "run" / "README.md").read_text()
    assert "repeats" not in config


@pytest.mark.parametrize("arch, encoding", [("lstm", "notewise"), ("awd_lstm", "chordwise")])
def test_what_cannot_follow_plans(tmp_path, arch, encoding):
    music = tmp_path / "music" / "nobody"
    music.mkdir(parents=True)
    write_midi(tiny.tune(0), music / "tune.mid")
    dls = MusicDataLoaders.from_folder(tmp_path / "music", encoding, prepared=tmp_path / "corpus", workers=1)
    with pytest.raises(BadSetting, match="cannot follow plans"):
        music_learner(dls, arch, follow_plans=True)
