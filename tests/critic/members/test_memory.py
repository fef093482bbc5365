"""Members that remember what they have read give the same scores as members that read everything."""

import numpy as np
import pytest
import tiny

from clara.music.notes import crop, rebuild_notes, select
from critic import Critic
from critic.members import MEMBERS
from critic.members.ensemble import Ensemble
from critic.members.memory import Memory, content_key
from critic.nets.inputs import Text

QUARTERS = 12  # steps in one


def fork(stem, quarters, seed):
    """Return the first quarters of a piece, followed by music of its own."""
    end = quarters * QUARTERS
    begin, rest = crop(stem, 0, end), tiny.tune(seed, n_notes=200)
    columns = zip((begin.start, begin.end, begin.pitch, begin.part), (rest.start, rest.end, rest.pitch, rest.part))
    shifts = (end, end, 0, 0)
    return rebuild_notes(begin, *(np.concatenate([a, b + shift]) for (a, b), shift in zip(columns, shifts)))[0]


def growing_texts(encoding):
    """Yield what a search scores after each block: pieces that share a beginning and end in the middle of notes."""
    pieces = [tiny.tune(0, n_notes=200), tiny.tune(1, n_notes=200)]
    for quarters in (8, 10, 17, 33, 36, 50):
        if quarters == 17:
            pieces = [fork(pieces[0], 13, seed) for seed in range(2, 5)] + [pieces[1]]
        if quarters == 36:
            pieces = [fork(pieces[2], 33, 5), fork(pieces[2], 33, 6), *pieces]
        yield [encoding.encode(crop(piece, 0, quarters * QUARTERS))[0] for piece in pieces]


@pytest.fixture(params=[*MEMBERS, "ensemble"])
def model(request):
    if request.param == "ensemble":
        return Ensemble([(tiny.member(name, window_quarters=8.0), 0.5) for name in MEMBERS])
    return tiny.member(request.param, window_quarters=8.0)


def test_growing_texts_and_forks_have_the_same_scores(model):
    remembering = model.remembering()
    for texts in growing_texts(model.settings.encoding):
        at_once, step_by_step = model.window_log_probs(texts), remembering.window_log_probs(texts)
        for a, b in zip(at_once, step_by_step, strict=True):
            assert b == pytest.approx(a, abs=1e-4)


def test_a_text_that_was_changed_is_read_anew(model):
    remembering, encoding = model.remembering(), model.settings.encoding
    notes = tiny.tune(7, n_notes=150)
    changed = select(notes, np.arange(len(notes)) != 40)
    texts = [encoding.encode(piece)[0] for piece in (notes, changed)]
    before, after = (remembering.window_log_probs([text])[0] for text in texts)
    assert after == pytest.approx(model.window_log_probs(texts[1:])[0], abs=1e-4)
    assert np.abs(before - after).max() > 1e-5


@pytest.mark.parametrize("member_type", MEMBERS)
def test_what_is_complete_is_not_read_again(member_type):
    member = tiny.member(member_type, window_quarters=8.0)
    remembering, encoding = member.remembering(), member.settings.encoding
    texts = [Text(encoding.encode(crop(tiny.tune(0, 300), 0, n * QUARTERS))[0], encoding) for n in (40, 42)]
    remembering.window_log_probs(texts[:1])
    whole, rest = (m.size(m.prepare(texts[1])) for m in (member, remembering))
    assert member.memory is None and remembering.memory is not None
    assert rest <= {"piano_roll": whole / 4, "text": whole}.get(member_type, 1)
    assert remembering.size(remembering.prepare(texts[0])) < whole or member_type == "text"


def test_a_critic_remembers():
    critic = Critic(tiny.member("piano_roll"))
    remembering = critic.remembering()
    pieces = [crop(tiny.tune(0, 100), 0, quarters * QUARTERS) for quarters in (16, 18)]
    assert isinstance(remembering, Critic) and len(remembering.model.memory) == 0
    assert [remembering.score([piece])[0] for piece in pieces] == pytest.approx(critic.score(pieces), abs=1e-4)
    assert len(remembering.model.memory) > 0 and critic.model.memory is None


def test_a_memory_forgets_what_was_not_used_for_longest():
    memory = Memory(max_parts=2)
    memory.put(b"a", 1)
    memory.put(b"b", 2)
    assert memory.get(b"a") == 1
    memory.put(b"c", 3)
    assert [memory.get(key) for key in (b"a", b"b", b"c")] == [1, None, 3] and len(memory) == 2


def test_keys_tell_apart_where_arrays_end():
    one, two = np.arange(1), np.arange(2)
    keys = {content_key(one, two), content_key(two, one), content_key(one, one), content_key(two, two)}
    assert len(keys) == 4 and content_key(one, two) == content_key(one.copy(), two.copy())
