"""The polyphonic benchmark: its text, and that no feature reveals what comes later."""

import sys

import numpy as np
import pytest
import torch
from examples import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import frame_model
import polyphonic
from frame_model import (
    FRAME_END,
    LAGS,
    N_KEYS,
    N_LEVELS,
    N_SOURCES,
    PIECE_START,
    SIMILARITY_DECAY,
    FrameNet,
    FrameText,
    find_similar_passages,
    fitting_shifts,
    repeated_share,
)

from clara.encodings.framewise import Framewise
from clara.music.notes import build_notes

pytestmark = pytest.mark.slow

SMALL = (8, 12, 2, 0.1, 0.1, 0.1, 0.0, 0.1, 0.1)


def roll(seed, n=30):
    """Return a random roll in the middle of the keyboard, with silent frames."""
    keys = np.random.default_rng(seed).random((n, N_KEYS)) < 0.04
    keys[:, :30] = keys[:, 60:] = False
    return keys


def net(seed=0):
    torch.manual_seed(seed)
    model = FrameNet(*SMALL)
    for p in model.parameters():  # those that begin at zero as well
        torch.nn.init.normal_(p, std=0.3)
    return model.eval()


@torch.no_grad()
def logits(model, rolls):
    text = FrameText.from_rolls([rolls], [0])
    model.reset()
    return text.tokens, model(text.tokens[None], *text.context(text.tokens[None], text.frame[None]))[0]


def test_the_words_are_framewise_text():
    keys = roll(1)
    frame, key = np.nonzero(keys)
    found = Framewise().encode(build_notes(frame, frame + 1, key + 21, steps_per_quarter=4)[0])[0]
    names = [f"p{k + 1}" for k in range(N_KEYS)] + ["frame"]
    words = FrameText.from_rolls([keys[: frame.max() + 1]], [0]).tokens.tolist()
    assert words[0] == PIECE_START and [names[w] for w in words[1:]] == found


def test_no_feature_reveals_what_comes_later():
    keys, model = roll(2), net()
    words, before = logits(model, keys)
    ends = np.flatnonzero(words.numpy() == FRAME_END)
    for at in (3, 12, 29):
        other = keys.copy()
        other[at:] = roll(3)[at:]
        other_words, after = logits(model, other)
        known = ends[at - 1] + 1  # words up to the end of the frame before
        assert torch.equal(words[:known], other_words[:known]) and not torch.equal(words, other_words[: len(words)])
        torch.testing.assert_close(before[:known], after[:known], atol=1e-5, rtol=1e-5)


def test_within_a_frame_only_what_was_named():
    keys, model = roll(4), net()
    at = int(np.flatnonzero(keys.sum(1) > 2)[0])
    first, *_, last = np.flatnonzero(keys[at])
    other = keys.copy()
    other[at, last] = False
    words, before = logits(model, keys)
    _, after = logits(model, other)
    begin = np.flatnonzero(words.numpy() == FRAME_END)[at - 1] if at else 0
    torch.testing.assert_close(before[: begin + 2], after[: begin + 2], atol=1e-5, rtol=1e-5)
    assert words[begin + 1] == first


def test_words_that_cannot_follow_are_impossible():
    words, found = logits(net(), roll(5))
    chances = found.softmax(-1)
    for word, chance in zip(words.tolist(), chances):
        low = word + 1 if word < N_KEYS else 0
        assert chance[:low].sum() == 0 and chance[FRAME_END + 1 :].sum() == 0


def test_earlier_frames_are_those_of_the_piece():
    rolls = [roll(6, 20), roll(7, 70)]
    text = FrameText.from_rolls(rolls, [0, 2])
    moved = np.roll(rolls[1], 2, axis=1)
    for i, lag in enumerate(LAGS):
        for f in (0, 1, 19, 69):
            found = text.rolls[text.sources[i, 20 + f]].numpy()
            assert (found == (moved[f - lag] if f >= lag else 0)).all()
    assert text.beat[20].item() == 0 and text.shift[20].item() == 2 + frame_model.MAX_SHIFT


def test_similar_passages_by_hand():
    keys = roll(10, 24)
    keys[12:20] = keys[2:10]  # 12 follows 2 … as 11 does not
    after, level = find_similar_passages(keys)
    for f in range(1, 24):
        runs = [next((k for k in range(j + 1) if (keys[j - k] != keys[f - 1 - k]).any()), j + 1) for j in range(f - 1)]
        best = max(runs, default=0)
        assert after[0, f] == (max(j for j, r in enumerate(runs) if r == best) + 1 if best else -1)
        assert level[0, f] == (min(N_LEVELS - 1, int(np.log2(best) + 1)) if best else 0)
        likes = [
            sum(SIMILARITY_DECAY**k * alike(keys[j - k], keys[f - 1 - k]) for k in range(j + 1)) for j in range(f - 1)
        ]
        if after[1, f] >= 0:
            assert likes[after[1, f] - 1] > max(likes) - 0.02
    assert (after[:, 14:21] == np.arange(4, 11)).all()
    assert (after < np.arange(24)).all() and after[:, 0].max() == -1


def alike(a, b):
    """Keys in both over keys in either."""
    return (a & b).sum() / (a | b).sum() if (a | b).any() else 1.0


def test_the_next_key_of_each_earlier_frame():
    text = FrameText.from_rolls([roll(11)], [3])
    found = text.context(text.tokens[None], text.frame[None])[1][0]
    assert found.shape == (len(text.tokens), N_SOURCES)
    for i, (word, frame) in enumerate(zip(text.tokens.tolist(), text.frame.tolist())):
        for source in range(N_SOURCES):
            keys = np.flatnonzero(text.rolls[text.sources[source, frame]])
            later = keys[keys > (word if word < N_KEYS else -1)]
            assert found[i, source] == (later[0] if len(later) else FRAME_END)


def test_frames_that_came_before():
    a, b = roll(1, 2)
    assert repeated_share([np.stack([a, b, a, a]), np.stack([a, b])]) == pytest.approx(2 / 6)


def test_keys_that_fit():
    keys = np.zeros((2, N_KEYS), dtype=bool)
    keys[0, 3] = keys[1, 84] = True
    assert fitting_shifts(keys) == [-3, -2, -1, 0, 1, 2, 3]
    assert len(fitting_shifts(roll(1))) == 12 and len(fitting_shifts(np.zeros((2, N_KEYS), dtype=bool))) == 12


def test_the_cost_of_a_frame_is_that_of_its_words(monkeypatch):
    monkeypatch.setattr(polyphonic, "EVAL_TOKENS", 7)  # windows carry the state
    model, rolls = net(), [roll(8, 9), roll(9, 30)]
    by_hand = 0.0
    for r in rolls:
        words, found = logits(model, r)
        by_hand -= found.log_softmax(-1)[:-1].gather(1, words[1:, None]).sum().item()
    assert polyphonic.nats_per_frame(model, rolls) == pytest.approx(by_hand / 39, rel=0.02)  # there in bfloat16
    alone = np.zeros((4, N_KEYS), dtype=bool)
    alone[0, 0] = alone[1, N_KEYS - 1] = True  # fits no other key
    assert polyphonic.nats_per_frame(model, [alone], all_keys=True) == pytest.approx(
        polyphonic.nats_per_frame(model, [alone]), rel=1e-6
    )


def test_dynamic_evaluation(monkeypatch):
    monkeypatch.setattr(polyphonic, "DYNAMIC_TOKENS", 10)
    model, rolls = net(), [np.tile(roll(12, 6), (12, 1)), roll(13, 20)]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    sizes = polyphonic.gradient_sizes(model, rolls)
    still = polyphonic.evaluate_dynamically(model, rolls, sizes, 0.0)
    assert still == pytest.approx(polyphonic.nats_per_frame(model, rolls), rel=0.02)
    assert (
        polyphonic.evaluate_dynamically(model, rolls, sizes, 0.02) < still - 0.1
    )  # the first piece comes round again and again
    assert all(torch.equal(v, before[k]) for k, v in model.named_parameters())
    alone = [
        polyphonic.evaluate_dynamically(model, [r], sizes, 0.02) * len(r) for r in rolls
    ]  # no piece learns from another
    assert polyphonic.evaluate_dynamically(model, rolls, sizes, 0.02) * 92 == pytest.approx(sum(alone), rel=1e-5)


def test_it_learns():
    keys = np.zeros((64, N_KEYS), dtype=bool)
    keys[np.arange(64), 40 + np.arange(64) % 4 * 3] = True
    sets = {"train": [keys] * 4, "valid": [keys], "test": [keys]}
    recipe = (
        polyphonic.BASE_RECIPE
        | dict(zip(polyphonic.NET_ARGUMENTS, SMALL))
        | {"epochs": 30, "bs": 2, "bptt": 20, "lr": 2e-2, "average": 0.9}
    )
    printed = []
    model, found = polyphonic.train(sets, recipe, 0, log=lambda line, **_: printed.append(line))
    assert len(printed) == 30 and found["valid"] < 1.5
    assert polyphonic.nats_per_frame(model, sets["valid"]) == pytest.approx(found["valid"], abs=2e-3)
