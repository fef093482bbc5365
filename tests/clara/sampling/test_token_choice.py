"""Choosing tokens: frequencies, temperature, top-k, top-p, min-p, greedy steps and biases."""

import numpy as np
import pytest
import torch

from clara.sampling.settings import SamplingSettings
from clara.sampling.token_choice import MAX_SELECTION, choose_tokens, settings_table

pytestmark = pytest.mark.slow

VOCAB_SZ = 9
SETTINGS_TO_TEST = [
    SamplingSettings(),
    SamplingSettings(temperature=0.3),
    SamplingSettings(temperature=3.0),
    SamplingSettings(top_k=3),
    SamplingSettings(top_p=0.5),
    SamplingSettings(random_freq=0.5),
    SamplingSettings(min_p=0.2),
    SamplingSettings(0.9, 4, 0.8, 0.05, 0.7),
]


def choose(logits, allowed, settings, draws, bias=None):
    """Call `choose_tokens` with tensors."""
    arrays = [np.ascontiguousarray(t.numpy()) for t in (logits.float(), allowed.to(torch.uint8))]
    ids = choose_tokens(
        *arrays,
        settings_table(settings, len(logits)),
        np.ascontiguousarray(draws.numpy()),
        None if bias is None else np.ascontiguousarray(bias.numpy()),
    )
    return torch.from_numpy(ids)


def possible(settings, row):
    """Return the tokens that evenly spread random numbers lead to, for one row of logits."""
    draws = torch.stack([(torch.arange(20_000).double() + 0.5) / 20_000, torch.zeros(20_000).double()], 1)
    return set(choose(row.expand(20_000, -1), torch.ones(20_000, len(row)), settings, draws).tolist())


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


@pytest.mark.parametrize("settings", SETTINGS_TO_TEST)
def test_one_allowed_word_per_row(settings):
    allowed = some_allowed(500)
    ids = choose(logits(500), allowed, settings, uniform(500))
    assert ids.shape == (500,) and ids.dtype == torch.int64
    assert allowed[torch.arange(500), ids].all()


@pytest.mark.parametrize("settings", SETTINGS_TO_TEST)
def test_the_draws_decide(settings):
    same = [choose(logits(200), every(200), settings, uniform(200, seed)) for seed in (1, 1, 2)]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


@pytest.mark.parametrize("settings", SETTINGS_TO_TEST)
def test_rows_do_not_mix(settings):
    whole = choose(logits(50), some_allowed(50), settings, uniform(50))
    alone = [
        choose(logits(50)[i : i + 1], some_allowed(50)[i : i + 1], settings, uniform(50)[i : i + 1]) for i in range(50)
    ]
    assert torch.equal(whole, torch.cat(alone))


@pytest.mark.parametrize("settings", SETTINGS_TO_TEST)
@pytest.mark.parametrize("draw", [0.0, 1 - 2**-53])
def test_extreme_draws_stay_inside(settings, draw):
    allowed = some_allowed(300)
    ids = choose(logits(300), allowed, settings, torch.full((300, 2), draw, dtype=torch.float64))
    assert allowed[torch.arange(300), ids].all()


@pytest.mark.parametrize("settings", SETTINGS_TO_TEST)
def test_a_word_of_no_weight_is_taken_where_it_is_the_only_one(settings):
    steep = torch.tensor([[0.0, 300.0, -300.0, 1.0]])
    only = torch.tensor([[False, False, True, False]])
    assert choose(steep, only, settings, uniform(1)).tolist() == [2]


def test_frequencies_are_the_softmax():
    expected = logits()[0].softmax(0)
    standard_error = (expected * (1 - expected) / 40_000).sqrt()
    assert ((frequencies(SamplingSettings(), every()) - expected).abs() < 5 * standard_error).all()


def test_frequencies_of_what_is_allowed():
    allowed = some_allowed(1)
    expected = (logits()[0] / 0.7).masked_fill(~allowed[0], -torch.inf).softmax(0)
    standard_error = (expected * (1 - expected) / 40_000).sqrt()
    assert ((frequencies(SamplingSettings(temperature=0.7), allowed) - expected).abs() <= 5 * standard_error).all()


def test_random_freq_is_how_often_it_draws():
    expected = 0.25 * logits()[0].softmax(0)
    expected[logits()[0].argmax()] += 0.75
    standard_error = (expected * (1 - expected) / 40_000).sqrt()
    assert ((frequencies(SamplingSettings(random_freq=0.25), every()) - expected).abs() < 5 * standard_error).all()


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(top_k=1),
        SamplingSettings(random_freq=0.0),
        SamplingSettings(temperature=1e-4),
        SamplingSettings(top_p=1e-6),
    ],
)
def test_no_freedom_is_the_likeliest_allowed_word(settings):
    allowed = some_allowed(200)
    expected = logits(200).masked_fill(~allowed, -torch.inf).argmax(1)
    assert torch.equal(choose(logits(200), allowed, settings, uniform(200)), expected)


@pytest.mark.parametrize("temperature", [1e-30, 1e-40, 1e-300])
def test_absurdly_low_temperature_is_the_likeliest_allowed_word(temperature):
    allowed = some_allowed(50)
    expected = logits(50).masked_fill(~allowed, -torch.inf).argmax(1)
    assert torch.equal(choose(logits(50), allowed, SamplingSettings(temperature), uniform(50)), expected)


def test_absurdly_high_temperature_is_an_even_draw():
    ids = choose(logits().expand(9_000, -1), every().expand(9_000, -1), SamplingSettings(1e300), uniform(9_000))
    assert (torch.bincount(ids, minlength=VOCAB_SZ) - 1_000).abs().max() < 160


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_broken_logits_stay_inside_the_mask(broken):
    allowed = some_allowed(20)
    allowed[:, 0] = False
    allowed[:, 5] = True
    ids = choose(torch.full((20, VOCAB_SZ), broken), allowed, SamplingSettings(), uniform(20))
    assert allowed[torch.arange(20), ids].all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_scales_the_distances(temperature):
    expected = (logits()[0] / temperature).softmax(0)
    standard_error = (expected * (1 - expected) / 40_000).sqrt()
    assert ((frequencies(SamplingSettings(temperature), every()) - expected).abs() < 5 * standard_error + 1e-9).all()


@pytest.mark.parametrize("k", [1, 2, 5, VOCAB_SZ - 1])
def test_top_k_keeps_the_k_likeliest(k):
    for row in logits(20) / 4:
        assert possible(SamplingSettings(top_k=k), row) == set(row.argsort(descending=True)[:k].tolist())


@pytest.mark.parametrize("k", [0, VOCAB_SZ, VOCAB_SZ + 5])
def test_top_k_that_rules_out_nothing(k):
    assert possible(SamplingSettings(top_k=k), logits()[0] / 4) == set(range(VOCAB_SZ))


@pytest.mark.parametrize("p", [1e-6, 0.2, 0.5, 0.9, 0.999])
def test_top_p_keeps_the_fewest_that_reach_p(p):
    for row in logits(50) / 4:
        reached, kept = 0.0, set()
        for i in row.argsort(descending=True).tolist():
            if reached >= p:
                break
            kept.add(i)
            reached += float(row.softmax(0)[i])
        assert possible(SamplingSettings(top_p=p), row) == kept


def test_top_p_of_a_large_vocabulary_is_that_of_a_small_one():
    """Which is sorted instead of searched."""
    row = torch.randn(3 * MAX_SELECTION, generator=torch.Generator().manual_seed(0)) * 2.2
    order = row.argsort(descending=True)
    before = row[order].softmax(0).cumsum(0) - row[order].softmax(0)
    drawn = possible(SamplingSettings(top_p=0.8), row)
    assert drawn == set(order[before < 0.8].tolist()) and len(drawn) > 5


@pytest.mark.parametrize("p", [0.05, 0.3, 1.0])
def test_min_p_keeps_what_is_likely_beside_the_likeliest(p):
    for row in logits(20) / 4:
        chance = row.softmax(0)
        assert possible(SamplingSettings(min_p=p), row) == set((chance >= p * chance.max()).nonzero()[:, 0].tolist())


def test_a_bias_is_added_to_the_logits():
    row, bias = logits()[0], torch.linspace(-1, 1, VOCAB_SZ)
    expected = (row + bias).softmax(0)
    ids = choose(row.expand(40_000, -1), every(40_000), SamplingSettings(), uniform(40_000), bias.expand(40_000, -1))
    standard_error = (expected * (1 - expected) / 40_000).sqrt()
    assert ((torch.bincount(ids, minlength=VOCAB_SZ) / 40_000 - expected).abs() < 5 * standard_error).all()


def test_each_text_may_have_settings_of_its_own():
    several = [SETTINGS_TO_TEST[i % len(SETTINGS_TO_TEST)] for i in range(60)]
    together = choose(logits(60), some_allowed(60), several, uniform(60))
    for i, settings in enumerate(several):
        assert (
            together[i]
            == choose(logits(60)[i : i + 1], some_allowed(60)[i : i + 1], settings, uniform(60)[i : i + 1])[0]
        )


def test_top_p_counts_what_temperature_made():
    """A flat distribution keeps more words at the same p than a steep one."""
    flat, steep = (
        set(frequencies(SamplingSettings(t, top_p=0.9), every(), 2000).nonzero()[:, 0].tolist()) for t in (3.0, 0.2)
    )
    assert steep < flat
