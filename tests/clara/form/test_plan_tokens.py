from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clara.errors import BadSetting
from clara.form.plan import EXACT, NEW, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED, Plan
from clara.form.plan_tokens import (
    DENSITY,
    DISTANCE,
    KEY,
    MAX_SHIFT,
    REGISTER,
    REGISTER_SEMITONES,
    RELATION,
    SAME,
    SHIFT,
    TIME_SIGNATURE,
    PlanRows,
    absolute_keys,
    check_relations,
    feature_sizes,
    nearest_signature,
    relative_keys,
)

SIGNATURES = [(4, 4), (3, 4), (6, 8)]


@st.composite
def plans(draw):
    """Plans whose bars return as they can, in any time signatures."""
    n = draw(st.integers(1, 12))
    relation, source, shift = [], [], []
    for bar in range(n):
        sounding = [b for b in range(bar) if relation[b] != SILENT]
        kinds = (EXACT, VARIED, TRANSPOSED, RHYTHM, NEW, SILENT) if sounding else (NEW, SILENT)
        relation.append(draw(st.sampled_from(kinds)))
        returns = relation[-1] not in (NEW, SILENT)
        source.append(draw(st.sampled_from(sounding)) if returns else UNKNOWN)
        interval = st.integers(-MAX_SHIFT, MAX_SHIFT).filter(bool)
        shift.append(draw(interval) if relation[-1] == TRANSPOSED else 0)

    def column(lowest, highest):
        return np.array(draw(st.lists(st.integers(lowest, highest), min_size=n, max_size=n)))

    silent = np.array(relation) == SILENT
    pairs = draw(st.lists(st.sampled_from(SIGNATURES), min_size=n, max_size=n))
    numerator, denominator = np.array(pairs).T
    begin = np.cumsum([0, *(numerator * 48 // denominator)])
    return Plan(
        begin=begin,
        numerator=numerator,
        denominator=denominator,
        relation=np.array(relation),
        source=np.array(source),
        shift=np.array(shift),
        key=column(UNKNOWN, 23),
        chord=np.where(silent, UNKNOWN, column(0, 23)),
        density=np.where(silent, UNKNOWN, column(0, 8)),
        register=np.where(silent, UNKNOWN, column(21, 108)),
        texture=np.where(silent, UNKNOWN, column(0, 5)),
        phrase=column(UNKNOWN, 1),
        home=draw(st.integers(0, 23)),
    )


def first_copy(plan):
    """Return the first bar that is note for note as each bar."""
    first = np.arange(len(plan))
    for bar in np.flatnonzero(plan.relation == EXACT):
        first[bar] = first[plan.source[bar]]
    return first


@given(st.lists(plans(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_plan_is_spelled_without_loss(some):
    rows = PlanRows.from_plans(some, SIGNATURES)
    for row, plan in enumerate(some):
        n = len(plan)
        values = rows.values[row, :n]
        np.testing.assert_array_equal(values[:, RELATION], plan.relation)
        pairs = [SIGNATURES[i] for i in values[:, TIME_SIGNATURE]]
        assert pairs == list(zip(plan.numerator, plan.denominator))
        np.testing.assert_array_equal(absolute_keys(values[:, KEY], plan.home), plan.key)
        np.testing.assert_array_equal(values[:, DENSITY], plan.density)
        known = plan.register != UNKNOWN
        np.testing.assert_array_equal(values[known, REGISTER], plan.register[known] // REGISTER_SEMITONES)
        returns = plan.source != UNKNOWN
        np.testing.assert_array_equal(values[:, DISTANCE] > 0, returns)
        source = np.arange(n) - values[:, DISTANCE]
        copy = first_copy(plan)
        np.testing.assert_array_equal(copy[source[returns]], copy[plan.source[returns]])
        transposed = plan.relation == TRANSPOSED
        np.testing.assert_array_equal(values[transposed, SHIFT] - MAX_SHIFT, plan.shift[transposed])


@given(plans())
@settings(max_examples=60, deadline=None)
def test_what_is_spelled_is_possible(plan):
    rows = PlanRows.from_plans([plan], SIGNATURES)
    n, zeros = len(plan), np.zeros(len(plan), dtype=int)
    values, bars = rows.values[0, :n], np.arange(n)
    returns = values[:, DISTANCE] > 0
    assert rows.can_return(bars, zeros)[returns].all()
    is_same = values[:, SAME] == 1
    assert rows.can_be_same(bars, zeros)[is_same].all()
    candidates = rows.candidates(bars, zeros, n)
    other = returns & ~is_same
    assert candidates[bars[other], (bars - values[:, DISTANCE])[other]].all()
    assert not candidates[np.triu_indices(n)].any()


@given(plans(), st.integers(-11, 11))
@settings(max_examples=30, deadline=None)
def test_the_tonic_of_the_home_key_does_not_count(plan, semitones):
    moved = replace(plan.transpose(semitones), register=plan.register)
    before, after = PlanRows.from_plans([plan, moved], SIGNATURES).values
    np.testing.assert_array_equal(before, after)


@given(plans())
@settings(max_examples=30, deadline=None)
def test_features_stay_within_their_sizes_and_look_back_only(plan):
    rows = PlanRows.from_plans([plan], SIGNATURES)
    n = len(plan)
    features = rows.features(0, n)[0]
    assert (features >= 0).all() and (features < np.array(feature_sizes(len(SIGNATURES)))).all()
    last = {name: value[:-1] for name, value in vars(plan).items() if isinstance(value, np.ndarray)}
    if n > 1:
        changed = replace(plan, **last | {"begin": plan.begin[:-1]})
        shorter = PlanRows.from_plans([changed], SIGNATURES)
        shorter.n_bars[:] = n
        np.testing.assert_array_equal(shorter.features(0, n - 1)[0], features[:-1])


def test_the_source_is_the_newest_copy_or_at_the_same_distance():
    relation = np.array([NEW, NEW, EXACT, EXACT, EXACT, EXACT])
    source = np.array([-1, -1, 0, 0, 0, 1])
    plan = _plan(relation, source)
    values = PlanRows.from_plans([plan], SIGNATURES).values[0]
    assert values[:, DISTANCE].tolist() == [UNKNOWN, UNKNOWN, 2, 1, 1, 4]
    assert values[:, SAME].tolist() == [UNKNOWN, UNKNOWN, 0, 0, 1, 0]


def _plan(relation, source, **columns):
    n = len(relation)
    unknown = np.full(n, UNKNOWN)
    attributes = dict.fromkeys(("key", "chord", "density", "register", "texture", "phrase"), unknown)
    bars = {"begin": np.arange(n + 1) * 48, "numerator": np.full(n, 4), "denominator": np.full(n, 4)}
    said = {"relation": relation, "source": source, "shift": np.zeros(n, dtype=int)}
    return Plan(**bars | said | attributes | columns)


@pytest.mark.parametrize(
    "relation, source, shift, message",
    [
        ([NEW, EXACT], [-1, 1], [0, 0], "bar 2: exact, but its source is not an earlier bar"),
        ([EXACT, NEW], [-1, -1], [0, 0], "bar 1: exact"),
        ([SILENT, VARIED], [-1, 0], [0, 0], "bar 2: varied.*bar 1, is silent"),
        ([NEW, TRANSPOSED], [-1, 0], [0, 0], "bar 2: transposed by 0"),
        ([NEW, 9], [-1, 0], [0, 0], "bar 2: relation 9"),
    ],
)
def test_impossible_returns_are_named(relation, source, shift, message):
    with pytest.raises(BadSetting, match=message):
        check_relations(_plan(np.array(relation), np.array(source), shift=np.array(shift)))


def test_far_intervals_keep_their_pitch_class():
    plan = _plan(np.array([NEW, TRANSPOSED]), np.array([-1, 0]), shift=np.array([0, -75]))
    (values,) = PlanRows.from_plans([plan], SIGNATURES).values[:, 1]
    assert values[SHIFT] - MAX_SHIFT == -51


@given(st.integers(-1, 23), st.integers(0, 23))
def test_relative_keys_come_back(key, home):
    keys = np.array([key])
    assert absolute_keys(relative_keys(keys, home), home)[0] == key
    assert relative_keys(np.array([home]), home)[0] in (0, 12)


def test_unknown_time_signatures_count_as_the_nearest_in_length():
    assert nearest_signature((3, 4), SIGNATURES) == 1
    assert nearest_signature((2, 2), SIGNATURES) == 0
    assert nearest_signature((6, 16), SIGNATURES) in (1, 2)
    assert nearest_signature((12, 16), SIGNATURES) == 2
