"""An ensemble: the weighted sum of its members, on disk and in use."""

import json

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from clara.checkpoints.checkpoint import CONFIG, VOCAB, WEIGHTS
from clara.encodings.notewise import Notewise
from clara.errors import BadSetting, CheckpointMismatch, TooShort
from clara.music.notes import crop
from critic import Critic
from critic.calibration import NO_CALIBRATION
from critic.ensemble import MAX_LATER_LOG_ODDS, fit_ensemble
from critic.members import MEMBERS
from critic.members.ensemble import Ensemble
from critic.members.piano_roll import PianoRollMember
from critic.members.text import TextMember


@pytest.fixture(scope="module")
def critic():
    return Critic(Ensemble([(tiny.member(), 0.75), (tiny.member("piano_roll"), 0.5)]))


def test_it_is_the_weighted_sum_of_its_members():
    weights = [0.25, 0.5, 0.75, 1.0]
    members = [tiny.member(member_type) for member_type in MEMBERS]
    pieces = [tiny.tune(i) for i in range(3)]
    critic = Critic(Ensemble(list(zip(members, weights))))
    each = [Critic(member).window_log_odds(pieces) for member in members]
    for whole, *parts in zip(critic.window_log_odds(pieces), *each):
        assert whole == pytest.approx(sum(w * part for w, part in zip(weights, parts)), abs=1e-4)
    assert np.exp(critic.log_probs(pieces)).sum(1) == pytest.approx(np.ones(3), abs=1e-5)


def test_scores_do_not_depend_on_the_other_pieces(critic):
    pieces = [tiny.tune(i, n_notes=30 + 20 * i) for i in range(6)]
    scores = critic.score(pieces)
    assert critic.score(pieces[::-1])[::-1] == pytest.approx(scores, abs=1e-4)
    assert [critic.score([piece])[0] for piece in pieces] == pytest.approx(scores.tolist(), abs=1e-4)


def test_threads_change_nothing(critic, monkeypatch):
    monkeypatch.setattr(TextMember, "max_batch_size", 300)
    monkeypatch.setattr(PianoRollMember, "max_batch_size", 600)
    pieces, before, scores = [tiny.tune(i, n_notes=40 + 25 * i) for i in range(7)], torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        scores.append(critic.score(pieces).tolist())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert scores[0] == scores[1]


def test_a_piece_that_is_too_short(critic):
    with pytest.raises(TooShort):
        critic.score([crop(tiny.tune(0), 0, 12)])


def test_to_disk_and_back(critic, tmp_path):
    pieces = [tiny.tune(i) for i in range(3)]
    critic.save(tmp_path)
    again = Critic.load(tmp_path)
    assert again.score(pieces) == pytest.approx(critic.score(pieces), abs=0.02)
    assert (again.classes, again.window_quarters) == (critic.classes, critic.window_quarters)
    assert [(type(member), weight) for member, weight in again.members] == [(TextMember, 0.75), (PianoRollMember, 0.5)]


@pytest.mark.parametrize(
    "path",
    [CONFIG, f"1-text/{WEIGHTS}", f"2-piano-roll/{CONFIG}", f"2-piano-roll/{WEIGHTS}", f"2-piano-roll/{VOCAB}"],
)
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe"])
def test_a_broken_folder(critic, tmp_path, path, content):
    critic.save(tmp_path)
    (tmp_path / path).unlink()
    if content is not None:
        (tmp_path / path).write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=str(tmp_path)):
        Critic.load(tmp_path)


@pytest.mark.parametrize("members", [None, [], 3, [{"folder": "1-text"}], [{"folder": "nowhere", "weight": 1}]])
def test_a_broken_list_of_members(critic, tmp_path, members):
    critic.save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"members": members}))
    with pytest.raises(CheckpointMismatch, match=str(tmp_path)):
        Critic.load(tmp_path)


@pytest.mark.parametrize(
    "other",
    [{"window_quarters": 4.0}, {"classes": ["human", "generated"]}, {"encoding": Notewise(4)}],
    ids=["windows", "classes", "grid"],
)
def test_members_that_do_not_match(other):
    with pytest.raises(BadSetting):
        Ensemble([(tiny.member("piano_roll"), 1.0), (tiny.member(**other), 1.0)])


def log_probs_of(odds):
    """Log-probabilities of two classes, one window a piece."""
    return list(np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], 1).astype(np.float32)[:, None])


def weights_of(ensemble):
    return [weight for _, weight in ensemble.members]


def test_weights_have_the_lowest_loss(monkeypatch):
    """One member is right, one guesses, one is always wrong: the first alone counts."""
    rng, composers = np.random.default_rng(0), ["bach", "satie"]
    table = pd.DataFrame({"split": "valid", "label": rng.choice(composers, 400), "tokens": [["p40"]] * 400})
    labels = np.array([composers.index(label) for label in table["label"]])
    right = np.where(rng.random(400) < 0.8, labels, 1 - labels)
    members = [tiny.member("piano_roll", classes=composers) for _ in range(3)]
    for member, odds in zip(members, (2 * right - 1, rng.normal(size=400), 1 - 2 * right)):
        result = log_probs_of(odds)
        monkeypatch.setattr(member, "window_log_probs", lambda _, result=result: result)
    knows, guesses, wrong = weights_of(fit_ensemble(members, table))
    assert knows == pytest.approx(np.log(4), abs=0.4)  # a member that is right four times of five has odds of four
    assert guesses < 0.2 and wrong == 0
    best, *others = weights_of(fit_ensemble(members, table, min_weight=0.25))
    assert best > knows - 0.1 and min(others) == 0.25
    one, other = weights_of(fit_ensemble([members[0], members[0]], table, equal_weights=True))
    assert one == other == pytest.approx(knows / 2, abs=0.05)
    confident = log_probs_of(12 * right - 6)
    monkeypatch.setattr(members[1], "window_log_probs", lambda _: confident)
    one, other = weights_of(fit_ensemble(members[:2], table, equal_weights=True))
    assert one == other == pytest.approx(knows / 7, abs=0.05)  # a member six times as confident counts six times


def test_a_member_gives_no_window_more_than_its_limit(tmp_path):
    """A limit that nothing reaches changes nothing, a low one is what all windows have."""
    pieces, member = [tiny.tune(i) for i in range(2)], tiny.member("descriptors")
    free = Critic(Ensemble([(member, 0.5)])).window_log_odds(pieces)
    highest = max(odds.max() for odds in free)
    low = float(np.median(np.concatenate(free)))
    for limit in (2 * float(highest), low / 0.5):
        limited = Critic(Ensemble([(member, 0.5)], max_log_odds=[limit]))
        for a, b in zip(free, limited.window_log_odds(pieces)):
            assert b == pytest.approx(np.minimum(a, 0.5 * limit), abs=1e-4)
    limited.save(tmp_path)
    again = Critic.load(tmp_path)
    assert again.model.max_log_odds == again.remembering().model.max_log_odds == [low / 0.5]


def test_the_limits_of_a_critic_are_the_medians_of_human_windows(monkeypatch):
    """What a member takes for far more than human counts as much as a human window that is not unusual."""
    classes = ["generated", "human"]
    table = pd.DataFrame({"split": "valid", "label": ["human"] * 5 + ["generated"] * 5, "tokens": [["p40"]] * 10})
    monkeypatch.setattr("critic.ensemble.calibrate", lambda ensemble, table: NO_CALIBRATION)
    member = tiny.member("descriptors", classes=classes)
    odds = log_probs_of(np.array([1.0, 2, 3, 4, 50, -1, -2, -3, -4, 60]))
    monkeypatch.setattr(member, "window_log_probs", lambda _: odds)
    first = fit_ensemble([member], table)
    assert first.max_log_odds == pytest.approx([3.0], abs=1e-3)
    second = fit_ensemble([member], table, add_to=first)
    assert second.max_log_odds == [*first.max_log_odds, MAX_LATER_LOG_ODDS] and len(second.members) == 2
    composers = table.assign(label=["bach"] * 5 + ["satie"] * 5)
    composer = tiny.member("descriptors", classes=["bach", "satie"])
    monkeypatch.setattr(composer, "window_log_probs", lambda _: odds)
    assert fit_ensemble([composer], composers).max_log_odds == [np.inf]
