"""Excerpts of human, corrupted and generated music."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tiny

from clara.encodings.notewise import Notewise
from clara.errors import BadSetting
from clara_app.compose_request import default_settings
from clara_app.defaults import MAX_TEMPERATURE, MIN_TEMPERATURE
from critic.data import human_vs_generated
from critic.data.human_vs_generated import (
    CONTINUATIONS_PER_PROMPT,
    USUAL_TEMPERATURES,
    CriticExcerptSettings,
    human_and_generated_excerpts,
)
from critic.data.table import COLUMNS, ENDING_QUARTERS, OPENING_SHARE, PROMPT_QUARTERS, SEAM_QUARTERS

pytestmark = pytest.mark.slow

QUARTERS = 8


@pytest.fixture(scope="module")
def table(models, corpus):
    """Excerpts that are all sampled with random settings; some of both classes are openings with this seed."""
    settings = CriticExcerptSettings({"train": 16, "judge": 8, "valid": 8, "test": 8}, QUARTERS, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(human_vs_generated, "USUAL_SHARE", 0.0)
        return human_and_generated_excerpts(models[:1], corpus, settings)


def test_both_classes_are_alike_in_number_length_and_place(table, corpus):
    assert list(table.columns) == COLUMNS
    assert table.groupby(["split", "label"]).size().unstack().to_dict("list") == {
        "generated": [8, 8, 16, 8],
        "human": [8, 8, 16, 8],
    }
    for tokens in table["tokens"]:
        notes, losses = corpus.encoding.decode(tokens.split())
        assert not losses and len(notes) and notes.quarters <= QUARTERS
    places = table.groupby("label")["from_quarter"]
    assert set(table["from_quarter"][table["from_quarter"] < PROMPT_QUARTERS]) <= {0}
    assert places.min().to_dict() == {"generated": 0, "human": 0} and (places.max() > PROMPT_QUARTERS).all()
    assert 0 < OPENING_SHARE < 1 and SEAM_QUARTERS > 0 and ENDING_QUARTERS > 0


def test_a_work_is_in_one_split(table):
    assert (table.groupby("work")["split"].nunique() == 1).all()


def test_a_human_excerpt_is_part_of_its_piece(table, corpus):
    row = table[table["label"] == "human"].iloc[3]
    piece = corpus.encoding.decode(corpus.tokens(row["piece"]))[0]
    excerpt = corpus.encoding.decode(row["tokens"].split())[0]
    first = (row["from_quarter"] + SEAM_QUARTERS) * 12
    known = set(zip((piece.start - first).tolist(), piece.pitch.tolist()))
    later = excerpt.start > 0
    assert set(zip(excerpt.start[later].tolist(), excerpt.pitch[later].tolist())) <= known


def test_several_models_take_turns_in_any_number_of_processes(models, corpus):
    settings = CriticExcerptSettings({"train": 32, "valid": 16}, QUARTERS, seed=2)
    first, *others = (
        human_and_generated_excerpts(models, corpus, settings, workers, device)
        for workers, device in ((1, "cpu"), (3, "cpu"), (2, "cpu:0"))
    )  # the last one spawns processes, as for a GPU
    for other in others:
        pd.testing.assert_frame_equal(first, other)
    names = [json.loads(s).get("model") for s in first["settings"] if s and "corruption" not in s]
    turns = (0, 1, 0, 1, 0)  # three prompts of train, two of valid
    assert names == [models[i].name for i in turns for _ in range(CONTINUATIONS_PER_PROMPT)]
    assert settings.n_prompts == len(turns)


def test_a_model_that_follows_plans_composes_excerpts(corpus, tmp_path):
    tiny.plan_follower().save(tmp_path / "planned")
    settings = CriticExcerptSettings({"train": 32}, QUARTERS, seed=2)
    table = human_and_generated_excerpts([tmp_path / "planned"], corpus, settings)
    assert not any("repeat_strength" in text for text in table["settings"])
    assert (table["label"] == "generated").sum() == 32


def test_models_of_another_encoding_are_refused(models, corpus, tmp_path):
    tiny.checkpoint(encoding=Notewise(4)).save(tmp_path / "coarse")
    with pytest.raises(BadSetting, match="different encodings"):
        human_and_generated_excerpts(
            [models[0], tmp_path / "coarse"], corpus, CriticExcerptSettings({"train": 8}, QUARTERS)
        )


def test_a_quarter_of_what_is_not_human_is_corrupted(models, corpus):
    table = human_and_generated_excerpts(models[:1], corpus, CriticExcerptSettings({"train": 32}, QUARTERS, seed=2))
    corrupted = table["settings"].str.contains("corruption")
    assert corrupted.sum() == 8 and (table["label"] == "generated").sum() == 32 == (table["label"] == "human").sum()
    assert (table["label"][corrupted] == "generated").all()


def test_settings_are_spread(table):
    generated = table[table["label"] == "generated"]
    assert generated["settings"].nunique() > 5 and (table["settings"][table["label"] == "human"] == "").all()


def test_half_are_sampled_as_composing_does_by_default():
    lowest, highest = USUAL_TEMPERATURES[0], USUAL_TEMPERATURES[-1]
    assert (lowest, highest) == (MIN_TEMPERATURE, MAX_TEMPERATURE)
    default, rng = default_settings(), np.random.default_rng(0)
    settings = [human_vs_generated._random_settings(rng, True) for _ in range(400)]
    is_usual = [
        lowest <= s.temperature <= highest and s == replace(default, temperature=s.temperature) for s in settings
    ]
    assert 0.5 < np.mean(is_usual) < 0.65  # some of the random ones are usual by chance


def test_the_corruptions_and_their_share_can_be_chosen(models, corpus):
    settings = CriticExcerptSettings(
        {"train": 32}, QUARTERS, seed=2, corruptions=("reversed", "voice of another piece"), corrupted_share=0.5
    )
    table = human_and_generated_excerpts(models[:1], corpus, settings)
    names = [json.loads(text)["corruption"] for text in table["settings"] if "corruption" in text]
    assert len(names) == 16 and set(names) == {"reversed", "voice of another piece"} and settings.n_prompts == 2
    with pytest.raises(BadSetting, match="no corruption"):
        human_and_generated_excerpts(models[:1], corpus, replace(settings, corruptions=("noise",)))


def test_other_models_of_any_encoding_compose_their_share(models, corpus, tmp_path):
    tiny.checkpoint(encoding=Notewise(4)).save(tmp_path / "coarse")
    tiny.checkpoint(seed=5).save(tmp_path / "untrained")
    settings = CriticExcerptSettings({"train": 64}, QUARTERS, seed=2, other_share=0.5)
    others = [tmp_path / "coarse", tmp_path / "untrained"]
    table = human_and_generated_excerpts(models[:1], corpus, settings, other_models=others)
    names = pd.Series([json.loads(text).get("model") for text in table["settings"] if "model" in text])
    assert names.value_counts().to_dict() == {models[0].name: 24, "coarse": 16, "untrained": 8}
    for tokens in table["tokens"]:
        assert not corpus.encoding.decode(tokens.split())[1]
    turns = [human_vs_generated._model_in_turn(i, 2, 1, 0.25) for i in range(8)]
    assert turns == [0, 1, 0, 2, 1, 0, 1, 2]
