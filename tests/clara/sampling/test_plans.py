"""Texts that follow plans: copies, endings, lengths and searches, with an untrained model."""

from dataclasses import replace

import numpy as np
import pytest
import tiny

from clara.form.bars import split_into_bars
from clara.form.context import ContextTracker
from clara.form.ending import Endings
from clara.form.opening import Openings
from clara.form.plan import EXACT, NEW, TRANSPOSED, UNKNOWN, Plan
from clara.music.notes import crop
from clara.sampling.engine import Sampler
from clara.sampling.grammars import make_grammar
from clara.sampling.search import SearchSettings, search
from clara.sampling.settings import SamplingSettings
from clara.sampling.steppers import FloatStepper, stepper_factory

BAR = 48
MODEL = tiny.plan_follower()
ENCODING, VOCAB, CONTEXTS = MODEL.encoding, MODEL.vocab, MODEL.context_reader()
NETWORK = MODEL.inference_model()
PITCHES = ENCODING.pitch_and_part(np.arange(ENCODING.n_tones))[0]
BOS = np.array([VOCAB.bos_id])
SETTINGS = SamplingSettings(temperature=0.7)


def make_plan(*bars, home=UNKNOWN, length=BAR):
    """Return a plan in bars of 48 steps; each bar is (relation, source, shift)."""
    relation, source, shift = np.array(bars).T
    n = len(bars)
    unknown = np.full(n, UNKNOWN)
    attributes = dict.fromkeys(("key", "chord", "density", "register", "texture", "phrase"), unknown)
    metre = {"numerator": np.full(n, 4), "denominator": np.full(n, 4)}
    begin = np.arange(n + 1) * length
    return Plan(begin=begin, relation=relation, source=source, shift=shift, home=home, **metre, **attributes)


def new(n):
    return [(NEW, UNKNOWN, 0)] * n


def make_sampler(ends=False, make_stepper=None):
    return Sampler(
        NETWORK,
        make_stepper or (lambda: FloatStepper(NETWORK)),
        make_grammar(ENCODING, VOCAB),
        ENCODING.steps_per_quarter,
        contexts=CONTEXTS,
        pitches=PITCHES,
        has_ending=ends,
    )


def compose(plans, seeds, ends=False, prompts=(BOS,), **more):
    n_steps = np.array([plan.n_steps for plan in plans])
    texts = make_sampler(ends, **more).sample(list(prompts), n_steps, SETTINGS, seeds, plans=plans)
    return [ENCODING.decode(VOCAB.to_tokens(text))[0] for text in texts]


def notes_of_bar(notes, plan, bar):
    inside = (notes.start >= plan.begin[bar]) & (notes.start < plan.begin[bar + 1])
    return sorted(zip((notes.start[inside] - plan.begin[bar]).tolist(), notes.pitch[inside].tolist()))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_exact_and_transposed_bars_are_copies(precision):
    plan = make_plan(*new(2), (EXACT, 0, 0), (TRANSPOSED, 1, 3), (EXACT, 1, 0), (EXACT, 3, 0))
    make_stepper = stepper_factory(NETWORK, precision)[0]
    for notes in compose([plan] * 6, range(6), make_stepper=make_stepper):
        bars = [notes_of_bar(notes, plan, bar) for bar in range(6)]
        assert bars[2] == bars[0]
        assert bars[3] == bars[5] == [(onset, pitch + 3) for onset, pitch in bars[1] if pitch + 3 <= 108]
        assert bars[4] == bars[1]


def test_pieces_of_different_lengths_side_by_side():
    plans = [make_plan(*new(3)), make_plan(*new(4), length=36), make_plan(*new(1))]
    together = compose(plans, [1, 2, 3])
    assert [notes.n_steps for notes in together] == [144, 144, 48]
    alone = [compose([plan], [seed])[0] for plan, seed in zip(plans, [1, 2, 3])]
    assert together == alone


@pytest.mark.parametrize("home", [0, 9 + 12])
def test_endings_are_the_tonic_chord_over_its_root(home):
    plan = make_plan(*new(3), home=home)
    tonic = home % 12
    chord = {tonic, (tonic + (4 if home < 12 else 3)) % 12, (tonic + 7) % 12}
    for notes in compose([plan] * 16, range(16), ends=True):
        sounding = crop(notes, 2 * BAR, 3 * BAR)
        assert 0 in sounding.start
        assert set((sounding.pitch[sounding.end > 0] % 12).tolist()) <= chord
        assert sounding.pitch.min() % 12 == tonic
        assert notes.n_steps == 3 * BAR


@pytest.mark.parametrize("chord", [7, 2 + 12], ids=["G major", "D minor"])
def test_openings_are_the_first_chord_over_its_root(chord):
    plan = replace(make_plan(*new(2)), chord=np.array([chord, UNKNOWN]))
    root = chord % 12
    triad = {root, (root + (4 if chord < 12 else 3)) % 12, (root + 7) % 12}
    for notes in compose([plan] * 16, range(16)):
        first = notes.pitch[notes.start == notes.start[0]]
        assert first.min() % 12 == root
        assert set((first % 12).tolist()) <= triad
    unplanned = compose([make_plan(*new(2))] * 16, range(16))
    assert any(notes.pitch[notes.start == notes.start[0]].min() % 12 != root for notes in unplanned)


def test_what_continues_a_prompt_is_no_opening():
    plan = replace(make_plan(*new(2)), chord=np.array([1, 1]))
    prompt = np.array(VOCAB.to_ids(["xxbos", *ENCODING.encode(tiny.tune(3, n_notes=4))[0]]))
    allowed = [np.ones((1, len(VOCAB)), dtype=np.uint8) for _ in range(2)]
    for tokens, past in zip(allowed, (BOS, prompt)):
        follower = ContextTracker(CONTEXTS, [past], np.zeros(1, dtype=np.int64), [plan]).follower
        Openings([plan], PITCHES).keep(tokens, follower)
    assert not allowed[0].all() and allowed[1].all()


def test_without_a_home_key_the_ending_is_free():
    free = compose([make_plan(*new(2))] * 4, range(4), ends=True)
    assert free == compose([make_plan(*new(2))] * 4, range(4), ends=False)


@pytest.mark.parametrize("n_bars, wait", [(1, 6), (2, 24)], ids=["in the last bar", "before it"])
def test_a_text_with_no_way_to_close_stays_whole(n_bars, wait):
    """The only token that the grammar allows is one that the ending forbids; so it stays allowed."""
    plan = make_plan(*new(n_bars), home=0, length=12)
    follower = ContextTracker(CONTEXTS, [BOS], np.zeros(1, dtype=np.int64), [plan]).follower
    only_wait = np.zeros((1, len(VOCAB)), dtype=np.uint8)
    only_wait[0, VOCAB.id_of[f"wait{wait}"]] = 1
    allowed = only_wait.copy()
    Endings([plan], PITCHES).keep(allowed, follower)
    assert (allowed == only_wait).all()
    everything = np.ones_like(allowed)
    Endings([plan], PITCHES).keep(everything, follower)
    assert not everything[0, VOCAB.id_of[f"wait{wait}"]]


def test_a_prompt_is_read_with_its_plan():
    prompt = tiny.tune(3, n_notes=12)
    tokens = ENCODING.encode(prompt)[0]
    ids = VOCAB.to_ids(["xxbos", *tokens])
    n_bars = -(-prompt.n_steps // BAR)
    plan = make_plan(*new(n_bars + 1), (EXACT, 0, 0))
    n_steps = plan.n_steps - sum(ENCODING.token_steps(tokens))
    [text] = make_sampler().sample([ids], n_steps, SETTINGS, [1], plans=[plan])
    notes = ENCODING.decode(tokens + VOCAB.to_tokens(text))[0]
    assert notes_of_bar(notes, plan, n_bars + 1) == notes_of_bar(notes, plan, 0)


def test_a_search_goes_on_with_the_plan_of_what_it_continues():
    plans = [make_plan(*new(1), (EXACT, 0, 0), (EXACT, 0, 0), home=i) for i in range(6)]
    plans[3] = replace(plans[3], begin=plans[3].begin * 3 // 4)
    n_steps = np.array([plan.n_steps for plan in plans])
    settings = SearchSettings(top=2, first_block_quarters=2, block_quarters=2)
    results = search(
        make_sampler(), BOS, n_steps, SETTINGS, range(6), lambda texts: [len(t) for t in texts], settings, plans
    )
    assert len(results) == 2
    for text, _, first in results:
        notes = ENCODING.decode(VOCAB.to_tokens(text))[0]
        assert notes.n_steps == plans[first].n_steps
        bars = [notes_of_bar(notes, plans[first], bar) for bar in range(3)]
        assert bars[0] == bars[1] == bars[2]


def test_bars_are_those_of_the_plan():
    plan = make_plan(*new(3), length=36)
    [notes] = compose([plan], [1])
    notes = replace(notes, time_signatures=((0, 3, 4),))
    assert len(split_into_bars(notes)) == 3
