"""Which of the allowed words is taken."""

import numpy as np
import pytest
import torch

from clara.errors import BadSetting
from clara.sampling.strategies import Settings, choose, top_k, top_p, with_temperature

VOCAB_SZ = 9
RULES = [Settings(), Settings(temperature=0.3), Settings(temperature=3.0), Settings(top_k=3), Settings(top_p=0.5),
         Settings(random_freq=0.5), Settings(0.9, 4, 0.8, 0.7)]


def logits(bs=1, seed=0):
    return torch.randn(bs, VOCAB_SZ, generator=torch.Generator().manual_seed(seed)) * 2


def uniform(bs, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((bs, 2)))


def some_allowed(bs, seed=0):
    allowed = torch.rand(bs, VOCAB_SZ, generator=torch.Generator().manual_seed(seed)) < 0.4
    allowed[torch.arange(bs), torch.arange(bs) % VOCAB_SZ] = True
    return allowed


def every(bs=1):
    return torch.ones(bs, VOCAB_SZ, dtype=torch.bool)


def frequencies(settings, allowed, n=40_000):
    """How often each word is taken for one row of logits."""
    ids = choose(logits().expand(n, -1), allowed.expand(n, -1), settings, uniform(n))
    return torch.bincount(ids, minlength=VOCAB_SZ) / n


@pytest.mark.parametrize("settings", RULES)
def test_one_allowed_word_per_row(settings):
    allowed = some_allowed(500)
    ids = choose(logits(500), allowed, settings, uniform(500))
    assert ids.shape == (500,) and ids.dtype == torch.int64
    assert allowed[torch.arange(500), ids].all()


@pytest.mark.parametrize("settings", RULES)
def test_the_draws_decide(settings):
    same = [choose(logits(200), every(200), settings, uniform(200, seed)) for seed in (1, 1, 2)]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


@pytest.mark.parametrize("settings", RULES)
def test_rows_do_not_mix(settings):
    whole = choose(logits(50), some_allowed(50), settings, uniform(50))
    alone = [choose(logits(50)[i:i + 1], some_allowed(50)[i:i + 1], settings, uniform(50)[i:i + 1]) for i in range(50)]
    assert torch.equal(whole, torch.cat(alone))


@pytest.mark.parametrize("settings", RULES)
@pytest.mark.parametrize("draw", [0.0, 1 - 2**-53])
def test_extreme_draws_stay_inside(settings, draw):
    allowed = some_allowed(300)
    ids = choose(logits(300), allowed, settings, torch.full((300, 2), draw, dtype=torch.float64))
    assert allowed[torch.arange(300), ids].all()


@pytest.mark.parametrize("settings", RULES)
def test_a_word_of_no_weight_is_taken_where_it_is_the_only_one(settings):
    steep = torch.tensor([[0.0, 300.0, -300.0, 1.0]])
    only = torch.tensor([[False, False, True, False]])
    assert choose(steep, only, settings, uniform(1)).tolist() == [2]


def test_frequencies_are_the_softmax():
    expected = logits()[0].softmax(0)
    spread = (expected * (1 - expected) / 40_000).sqrt()
    assert ((frequencies(Settings(), every()) - expected).abs() < 5 * spread).all()


def test_frequencies_of_what_is_allowed():
    allowed = some_allowed(1)
    expected = (logits()[0] / 0.7).masked_fill(~allowed[0], -torch.inf).softmax(0)
    spread = (expected * (1 - expected) / 40_000).sqrt()
    assert ((frequencies(Settings(temperature=0.7), allowed) - expected).abs() <= 5 * spread).all()


def test_random_freq_is_how_often_it_draws():
    expected = 0.25 * logits()[0].softmax(0)
    expected[logits()[0].argmax()] += 0.75
    spread = (expected * (1 - expected) / 40_000).sqrt()
    assert ((frequencies(Settings(random_freq=0.25), every()) - expected).abs() < 5 * spread).all()


@pytest.mark.parametrize("settings", [Settings(top_k=1), Settings(random_freq=0.0), Settings(temperature=1e-4),
                                      Settings(top_p=1e-6)])
def test_no_freedom_is_the_likeliest_allowed_word(settings):
    allowed = some_allowed(200)
    expected = logits(200).masked_fill(~allowed, -torch.inf).argmax(1)
    assert torch.equal(choose(logits(200), allowed, settings, uniform(200)), expected)


@pytest.mark.parametrize("temperature", [1e-30, 1e-40, 1e-300])
def test_absurdly_low_temperature_is_the_likeliest_allowed_word(temperature):
    allowed = some_allowed(50)
    expected = logits(50).masked_fill(~allowed, -torch.inf).argmax(1)
    assert torch.equal(choose(logits(50), allowed, Settings(temperature), uniform(50)), expected)


def test_absurdly_high_temperature_is_an_even_draw():
    ids = choose(logits().expand(9_000, -1), every().expand(9_000, -1), Settings(1e300), uniform(9_000))
    assert (torch.bincount(ids, minlength=VOCAB_SZ) - 1_000).abs().max() < 160


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_broken_logits_stay_inside_the_mask(broken):
    allowed = some_allowed(20)
    allowed[:, 0] = False
    allowed[:, 5] = True
    ids = choose(torch.full((20, VOCAB_SZ), broken), allowed, Settings(), uniform(20))
    assert allowed[torch.arange(20), ids].all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_scales_the_distances(temperature):
    found, before = with_temperature(logits(), temperature)[0], logits()[0]
    torch.testing.assert_close((found - found[0]).float(), (before - before[0]) / temperature)


@pytest.mark.parametrize("k", [1, 2, 5, VOCAB_SZ - 1])
def test_top_k_keeps_the_k_likeliest_as_they_are(k):
    kept = top_k(logits(20), k)
    for row, before in zip(kept, logits(20)):
        likeliest = set(before.argsort(descending=True)[:k].tolist())
        assert set(row.isfinite().nonzero()[:, 0].tolist()) == likeliest
        assert torch.equal(row[row.isfinite()], before[row.isfinite()])


@pytest.mark.parametrize("k", [0, VOCAB_SZ, VOCAB_SZ + 5])
def test_top_k_that_rules_out_nothing(k):
    assert torch.equal(top_k(logits(), k), logits())


def test_top_k_brings_nothing_back():
    ruled_out = logits(20).masked_fill(~some_allowed(20), -torch.inf)
    assert (top_k(ruled_out, 7).isfinite() <= some_allowed(20)).all()


@pytest.mark.parametrize("p", [1e-6, 0.2, 0.5, 0.9, 0.999])
def test_top_p_keeps_the_fewest_that_reach_p(p):
    for row, before in zip(top_p(logits(50), p), logits(50)):
        reached, kept = 0.0, set()
        for i in before.argsort(descending=True).tolist():
            if reached >= p:
                break
            kept.add(i)
            reached += float(before.softmax(0)[i])
        assert set(row.isfinite().nonzero()[:, 0].tolist()) == kept


def test_top_p_of_one_rules_out_nothing():
    assert torch.equal(top_p(logits(), 1.0), logits())


def test_top_p_counts_what_temperature_made():
    """A flat distribution keeps more words at the same p than a steep one."""
    flat, steep = (set(frequencies(Settings(t, top_p=0.9), every(), 2000).nonzero()[:, 0].tolist()) for t in (3.0, 0.2))
    assert steep < flat


@pytest.mark.parametrize("name, value", [
    ("temperature", 0.0), ("temperature", -1.0), ("temperature", float("nan")), ("temperature", float("inf")),
    ("top_k", -1), ("top_p", 0.0), ("top_p", 1.5), ("top_p", float("nan")),
    ("random_freq", -0.1), ("random_freq", 1.1), ("random_freq", float("nan"))])
def test_settings_out_of_range(name, value):
    with pytest.raises(BadSetting, match=f"{name} must be .*, not {value}"):
        Settings(**{name: value})
