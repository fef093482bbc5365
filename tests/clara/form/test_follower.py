"""What the follower of a plan offers, by hand and on pieces that return note for note."""

import numpy as np
import pytest
from examples import bars_to_notes, note_sequences, pieces_with_form, up
from hypothesis import given
from hypothesis import strategies as st

from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab
from clara.form.extraction import extract_plan
from clara.form.follower import (
    BAR,
    FOLLOWED,
    INITIAL_ROOM,
    NONE,
    OFFER,
    ONSET_NOW,
    ONSET_WAIT,
    PLACE,
    PlanFollower,
    TokenEvents,
)
from clara.form.plan import EXACT, TRANSPOSED
from clara.music.notes import NoteSequence, build_notes
from clara.repeats.outer_voices import VoiceTokens

ENCODING = Notewise(12, 88)
VOCAB = Vocab.from_encoding(ENCODING)
EVENTS = TokenEvents.from_voice_tokens(VoiceTokens(VOCAB, ENCODING))
SHORT = [(0, 60), (12, 64)]


def to_ids(notes, encoding=ENCODING, vocab=VOCAB):
    """Return the token ids of a piece, xxbos first."""
    return vocab.to_ids(["xxbos", *encoding.encode(notes)[0]])


def follow(ids, plan, events=EVENTS):
    """Return the reports after each token of one text."""
    return PlanFollower(events, [plan]).append_many(ids[None])[0]


def offers(ids, plan):
    """Return the offered tokens; "" for none."""
    return [VOCAB.tokens[offer] if offer != NONE else "" for offer in follow(ids, plan)[:, OFFER]]


def test_an_exact_bar_by_hand():
    notes = bars_to_notes(SHORT, SHORT)
    ids, plan = to_ids(notes), extract_plan(notes)
    bar = ["p40", "wait6", "endp40", "wait6", "p44", "wait6", "endp44"]
    assert VOCAB.to_tokens(ids) == ["xxbos", *bar, "wait24", "wait6", *bar]
    assert offers(ids, plan) == [*[""] * 9, *bar, ""]
    reports = follow(ids, plan)
    assert reports[:, BAR].tolist() == [0] * 9 + [1] * 8
    assert reports[:9, PLACE].tolist() == [0, 0, 6, 6, 12, 12, 18, 18, 42] and reports[9, PLACE] == 0
    assert reports[:, FOLLOWED].tolist() == [0] * 10 + list(range(1, 8))


def test_when_notes_begin_in_the_source():
    notes = bars_to_notes(SHORT, SHORT)
    reports = follow(to_ids(notes), extract_plan(notes))[9:]  # from the second barline on
    assert reports[:, ONSET_WAIT].tolist() == [12, 12, 6, 6, NONE, NONE, NONE, NONE]
    assert reports[:, ONSET_NOW].tolist() == [1, 1, 0, 0, 1, 1, 0, 0]


def test_a_transposed_bar_is_offered_in_its_key():
    notes = bars_to_notes(SHORT, up(SHORT, 5))
    assert offers(to_ids(notes), extract_plan(notes))[9:12] == ["p45", "wait6", "endp45"]


def test_a_silent_or_new_bar_offers_nothing():
    notes = bars_to_notes(SHORT, [], [(0, 50), (7, 50), (20, 50)])
    assert set(offers(to_ids(notes), extract_plan(notes))) == {""}


def test_another_event_than_offered():
    """After a wrong note, what comes later in the source is still offered, but no release of what does not sound."""
    notes = bars_to_notes(SHORT, SHORT)
    plan = extract_plan(notes)
    ids = to_ids(notes)[:10]
    tokens = VOCAB.to_tokens(ids)
    assert offers(VOCAB.to_ids([*tokens, "p50"]), plan)[-1] == "wait12"  # p40 is below, so it can come no more
    assert offers(VOCAB.to_ids([*tokens, "p30"]), plan)[-1] == "p40"
    assert offers(VOCAB.to_ids([*tokens, "p50", "wait12"]), plan)[-1] == "p44"
    assert follow(VOCAB.to_ids([*tokens, "p50"]), plan)[-1, FOLLOWED] == 0


def test_a_source_that_has_not_begun_offers_nothing():
    """In short bars, the barline after the next one is in sight, but its source may be the bar between."""
    bar = [(0, 60), (6, 62)]
    notes = bars_to_notes(bar, bar, bar, bar, bar_steps=18, time_signatures=((0, 3, 8), (36, 2, 8)))
    plan = extract_plan(notes)
    assert plan.begin.tolist() == [0, 18, 36, 48, 60, 72]
    plan.source[:] = [-1, 0, 0, 2, -1]
    # Nothing is due in bars 1 and 2, as bar 0 is empty, and bar 2 has not begun.
    assert offers(VOCAB.to_ids(["xxbos", "wait18", "p40", "wait6", "endp40", "wait6"]), plan)[-1] == ""


def test_an_upbeat():
    notes = NoteSequence.from_notes([(0, 12, 60), (12, 12, 62), (60, 12, 62)], time_signatures=((-36, 4, 4),))
    reports = follow(to_ids(notes), extract_plan(notes))
    assert reports[0, [BAR, PLACE]].tolist() == [0, 36] and reports[2, [BAR, PLACE]].tolist() == [1, 0]


def test_bars_that_last_no_step_are_passed_over():
    notes = NoteSequence.from_notes([(0, 6, 60), (6, 6, 60)], time_signatures=((-1, 1, 32),))
    plan = extract_plan(notes)
    reports = follow(to_ids(notes), plan)
    bars = np.searchsorted(plan.begin, [0, 0, 6, 6, 6, 12], "right") - 1
    assert reports[:6, BAR].tolist() == np.minimum(bars, len(plan) - 1).tolist()


def test_music_after_the_plan_stays_in_its_last_bar():
    plan = extract_plan(bars_to_notes(SHORT, SHORT))
    reports = follow(VOCAB.to_ids(["xxbos", *["wait24"] * 6]), plan)
    assert reports[-1, [BAR, PLACE, OFFER]].tolist() == [1, 96, NONE]


@st.composite
def returning_pieces(draw, kinds=("exact", "exact", "new")):
    """Pieces of bars that end before the barline, so that an exact bar is the same tokens."""
    note = st.tuples(st.integers(0, 40), st.integers(1, 6), st.integers(50, 70))
    bars = [draw(st.lists(note, min_size=1, max_size=5))]
    for _ in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(kinds))
        bar = draw(st.lists(note, min_size=1, max_size=5)) if kind == "new" else draw(st.sampled_from(bars))
        by = draw(st.integers(-4, 4)) if kind == "transposed" else 0
        bars.append([(onset, duration, pitch + by) for onset, duration, pitch in bar])
    rows = [
        (48 * i + onset, 48 * i + onset + length, pitch) for i, bar in enumerate(bars) for onset, length, pitch in bar
    ]
    return build_notes(*np.array(rows).T)[0]


def same_durations(notes, plan):
    """Return whether each bar has the durations of its source, bool (n_bars,)."""
    bar = np.searchsorted(plan.begin, notes.start, "right") - 1
    return [
        notes.duration[bar == i].tolist() == notes.duration[bar == source].tolist()
        for i, source in enumerate(plan.source)
    ]


@given(returning_pieces(("exact", "exact", "transposed", "new")))
def test_returning_bars_offer_the_tokens_that_come(notes):
    plan = extract_plan(notes)
    ids = to_ids(notes)
    reports = follow(ids, plan)
    is_copy = np.isin(plan.relation, (EXACT, TRANSPOSED)) & same_durations(notes, plan)
    for i in range(len(ids) - 1):
        bar = reports[i, BAR]
        stays = reports[i + 1, BAR] == bar
        if is_copy[bar] and stays and reports[i + 1, PLACE] + plan.begin[bar] <= last_event(notes, plan, bar):
            assert reports[i, OFFER] == ids[i + 1]


def last_event(notes, plan, bar):
    """Return the step of the last release in a bar whose notes end in it."""
    inside = (notes.start >= plan.begin[bar]) & (notes.start < plan.begin[bar + 1])
    return notes.end[inside].max()


@given(pieces_with_form() | note_sequences(min_notes=1), st.integers(0, 60))
def test_token_by_token_equals_at_once(notes, n_past):
    plan, ids = extract_plan(notes), to_ids(notes)
    expected = follow(ids, plan)
    follower = PlanFollower(EVENTS, [plan, plan])
    follower.catch_up(1, ids[:n_past])
    if n_past:
        assert (follower.reports[1] == expected[: len(ids)][min(n_past, len(ids)) - 1]).all()
    follower.take(np.array([1, 0, 1]))
    for i in range(n_past, len(ids)):
        follower.append(np.array([ids[i], ids[i - n_past], ids[i]]))
        assert (follower.reports[[0, 2]] == expected[i]).all()
        assert (follower.reports[1] == expected[i - n_past]).all()


def test_long_texts_get_room():
    notes = bars_to_notes(*[[(onset, 60) for onset in range(0, 48, 2)]] * 40, duration=1)
    ids, plan = to_ids(notes), extract_plan(notes)
    assert 2 * len(notes) > INITIAL_ROOM
    reports = follow(ids, plan)
    follower = PlanFollower(EVENTS, [plan])
    follower.catch_up(0, ids[:1500])
    for token in ids[1500:]:
        follower.append(np.array([token]))
    assert (follower.reports[0] == reports[-1]).all()
    exact = reports[:-1, BAR] > 0
    assert (reports[:-1][exact, OFFER] == ids[1:][exact]).all()


@pytest.mark.parametrize(("by", "expected"), [(0, "v1"), (1, "v2"), (-1, "")])
def test_no_tone_moves_into_another_part(by, expected):
    encoding = Notewise(12, 88, ("p", "v"))
    vocab = Vocab.from_encoding(encoding)
    notes = NoteSequence.from_notes([(0, 6, 21, 1), (48, 6, 60, 0)])
    plan = extract_plan(notes)
    plan.source[1], plan.shift[1], plan.relation[1] = 0, by, TRANSPOSED
    events = TokenEvents.from_voice_tokens(VoiceTokens(vocab, encoding))
    ids = vocab.to_ids(["xxbos", "v1", "wait6", "endv1", "wait24", "wait18"])
    offer = follow(ids, plan, events)[-1, OFFER]
    assert (vocab.tokens[offer] if offer != NONE else "") == expected
