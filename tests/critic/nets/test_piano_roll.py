"""The net that reads piano rolls, by itself and as one voice of a blend."""

import json

import numpy as np
import pytest
import tiny
import torch

from clara.checkpoint import CONFIG, VOCAB, WEIGHTS
from clara.encodings.notewise import Notewise
from clara.errors import BadSetting, CheckpointMismatch, TooShort
from clara.music.notes import build_notes, crop, transpose
from critic import ComposerClassifier, Critic
from critic.ensemble import blend
from critic.nets import inputs as reading
from critic.nets import piano_roll as rolls_module
from critic.nets.piano_roll import COLUMN, HEARD, KEYS, LOWEST, SPAN, PianoRollNet, collate_rolls, roll


@pytest.fixture(scope="module")
def rolls():
    return tiny.roll_classifier()


@pytest.fixture(scope="module")
def blended(rolls):
    return Critic.blended([(tiny.classifier(), 0.75), (rolls, 0.5)])


def test_a_roll_tells_onsets_and_what_sounds():
    notes = build_notes([0, 3, 3, 6], [3, 6, 9, 12], [60, 60, 21, 108])[0]
    told = roll(notes, 12)
    assert told.shape == (2, KEYS, 12) and told.dtype == np.uint8
    assert {(k + LOWEST, s) for k, s in zip(*told[0].nonzero())} == {(60, 0), (60, 3), (21, 3), (108, 6)}
    assert told[1].sum() == 3 + 3 + 6 + 6 and told[1, 60 - LOWEST].tolist() == [1] * 6 + [0] * 6


def test_a_roll_ends_where_it_is_told_and_folds_what_no_piano_has():
    notes = build_notes([0, 0, 20], [40, 8, 24], [60, 12, 64])[0]
    told = roll(notes, 10)
    assert told.shape == (2, KEYS, 10) and told[1, 60 - LOWEST].all() and told[0].sum() == 2
    low = told[0, :24].nonzero()[0]
    assert low.tolist() == [(12 - LOWEST) % 12]


def test_a_batch_is_moved_in_keys_as_notes_are():
    notes = crop(tiny.tune(3, n_notes=40), 0, 96)
    moved, n_steps = collate_rolls([(notes, 96), (notes, 96)], np.array([5, -4]))
    assert n_steps == [96, 96]
    for row, shift in zip(moved, (5, -4)):
        assert np.array_equal(row.numpy(), roll(transpose(notes, shift)[0], 96))


@pytest.mark.parametrize(
    "quarters, window, spans",
    [(32, 8, [(0, 10), (0, 14), (2, 16), (6, 16)]), (32, 32, [(0, 16)]), (9, 8, [(0, 5)]), (8, 32, [(0, 4)])],
)
def test_a_window_is_judged_by_what_is_around_it(quarters, window, spans):
    assert SPAN == 32 and COLUMN == 2
    assert PianoRollNet(2, 12, window, [2, 2, 2, 2]).spans(quarters * 12) == spans


@pytest.mark.parametrize("bf16, apart", [(False, 1e-5), (True, 5e-3)])
def test_fused_norms_change_nothing(bf16, apart, monkeypatch):
    monkeypatch.setattr(rolls_module, "has_fast_bfloat16", lambda: bf16)
    torch.manual_seed(0)
    net = PianoRollNet(2, 12, 8, [4, 6, 8, 10])
    pieces = collate_rolls([(crop(tiny.tune(i, n_notes=90), 0, n), n) for i, n in enumerate((384, 300))])
    for _ in range(3):
        net.train()(*pieces)  # norms learn means and deviations
    with torch.inference_mode():
        before = net.eval()(*pieces)
        net.fuse()
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
        assert {c.weight.dtype for c in net.convolutions} == {torch.bfloat16 if bf16 else torch.float32}
        assert torch.allclose(net(*pieces), before, atol=apart) and before.std() > 10 * apart


def test_a_piece_is_judged_in_two_keys(rolls):
    """What is said of a piece is the mean of what the net hears in the keys that it is moved to."""
    pieces = [crop(tiny.tune(i, n_notes=90), 0, 384) for i in range(3)]
    told = rolls.score(pieces)
    assert len(HEARD) == 2 and 0 not in HEARD
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rolls_module, "HEARD", (0,))
        moved = [rolls.score([transpose(p, shift)[0] for p in pieces]) for shift in HEARD]
        assert np.abs(moved[0] - rolls.score(pieces)).max() > 1e-4  # strides
    assert told == pytest.approx(np.mean(moved, axis=0), abs=1e-5)


def test_the_same_to_the_last_bit_on_any_number_of_threads(blended):
    pieces, before, told = [tiny.tune(i, n_notes=40 + 25 * i) for i in range(7)], torch.get_num_threads(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading.TextReading, "together", 300)
        patch.setattr(reading.RollReading, "together", 600)
        assert len(list(blended.voices[0][0]._batches([blended._words(p, 0) for p in pieces]))) > 2
        for threads in (1, 3):
            torch.set_num_threads(threads)
            told.append(blended.score(pieces))
            assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert told[0].tolist() == told[1].tolist()


@pytest.mark.parametrize("steps_per_quarter", [4, 12])
def test_columns_are_two_quarters_on_every_grid(steps_per_quarter):
    net = PianoRollNet(2, steps_per_quarter, 8, [3, 3, 3, 3]).eval()
    x = torch.zeros(1, 2, KEYS, 32 * steps_per_quarter)
    for convolution in net.convolutions:
        x = convolution(x) if x.shape[1] == convolution.in_channels else x
    assert x.shape[3] == 32 / COLUMN
    assert net(torch.zeros(1, 2, KEYS, 32 * steps_per_quarter), [32 * steps_per_quarter]).shape == (4, 2)


def test_a_score_for_each_piece_the_same_in_any_company(rolls, blended):
    pieces = [tiny.tune(i, n_notes=30 + 20 * i) for i in range(6)]
    for critic in (rolls, blended):
        scores = critic.score(pieces)
        assert (
            scores.dtype == np.float32
            and scores.shape == (6,)
            and np.isfinite(scores).all()
            and len(set(scores.tolist())) == 6
        )
        assert critic.score(pieces[::-1])[::-1] == pytest.approx(scores, abs=1e-4)
        assert [critic.score([p])[0] for p in pieces] == pytest.approx(scores.tolist(), abs=1e-4)


def test_a_blend_is_the_weighted_sum_of_its_voices(blended):
    pieces = [tiny.tune(i) for i in range(3)]
    (text, a), (rolls, b) = blended.voices
    for whole, one, other in zip(
        blended.window_log_odds(pieces), text.window_log_odds(pieces), rolls.window_log_odds(pieces)
    ):
        assert whole == pytest.approx(a * one + b * other, abs=1e-4)
    assert np.exp(blended.log_probs(pieces)).sum(1) == pytest.approx(np.ones(3), abs=1e-5)


def test_what_cannot_be_judged_is_told_by_a_blend_too(blended):
    with pytest.raises(TooShort):
        blended.score([crop(tiny.tune(0), 0, 12)])


def test_to_disk_and_back(rolls, blended, tmp_path):
    pieces = [tiny.tune(i) for i in range(3)]
    for name, critic in (("rolls", rolls), ("blend", blended)):
        critic.save(tmp_path / name)
        again = Critic.load(tmp_path / name)
        assert again.score(pieces) == pytest.approx(critic.score(pieces), abs=0.02)
        assert (again.kind, again.classes, again.window_quarters) == (
            critic.kind,
            critic.classes,
            critic.window_quarters,
        )
    assert [w for _, w in Critic.load(tmp_path / "blend").voices] == [0.75, 0.5]


@pytest.mark.parametrize(
    "path", [CONFIG, f"1-tuned/{WEIGHTS}", f"2-rolls/{CONFIG}", f"2-rolls/{WEIGHTS}", f"2-rolls/{VOCAB}"]
)
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe"])
def test_a_broken_blend(blended, tmp_path, path, content):
    blended.save(tmp_path)
    (tmp_path / path).unlink()
    if content is not None:
        (tmp_path / path).write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=str(tmp_path)):
        Critic.load(tmp_path)


@pytest.mark.parametrize("voices", [None, [], 3, [{"folder": "1-tuned"}], [{"folder": "nowhere", "weight": 1}]])
def test_a_blend_of_nothing(blended, tmp_path, voices):
    blended.save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"voices": voices}))
    with pytest.raises(CheckpointMismatch, match=str(tmp_path)):
        Critic.load(tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        tiny.classifier(window_quarters=4.0),
        tiny.classifier(classes=["human", "generated"]),
        tiny.classifier(encoding=Notewise(4)),
    ],
    ids=["windows", "classes", "grid"],
)
def test_what_differs_cannot_be_blended(rolls, other):
    with pytest.raises(BadSetting):
        Critic.blended([(rolls, 1.0), (other, 1.0)])


def test_weights_are_what_costs_least(monkeypatch):
    """One voice knows, one guesses, one is always wrong: the first alone is listened to."""
    import pandas as pd

    rng, composers = np.random.default_rng(0), ["bach", "satie"]
    table = pd.DataFrame({"split": "valid", "label": rng.choice(composers, 400), "tokens": [["p40"]] * 400})
    truth = np.array([composers.index(label) for label in table["label"]])
    right = np.where(rng.random(400) < 0.8, truth, 1 - truth)
    voices = [tiny.roll_classifier(classes=composers) for _ in range(3)]
    for voice, odds in zip(voices, (2 * right - 1, rng.normal(size=400), 1 - 2 * right)):
        told = np.stack([-np.logaddexp(0, odds), -np.logaddexp(0, -odds)], 1).astype(np.float32)
        monkeypatch.setattr(voice, "curves", lambda _, told=told: list(told[:, None]))
    found = blend(voices, table)
    knows, guesses, wrong = (w for _, w in found.voices)
    assert isinstance(found, ComposerClassifier)
    assert knows == pytest.approx(np.log(4), abs=0.4)  # where a voice is right four times of five, its odds are four
    assert guesses < 0.2 and wrong == 0
    best, *least = (w for _, w in blend(voices, table, least=0.25).voices)
    assert best > knows - 0.1 and min(least) == 0.25
    one, other = (w for _, w in blend([voices[0], voices[0]], table, even=True).voices)
    assert one == other == pytest.approx(knows / 2, abs=0.05)
    loud = np.stack([-np.logaddexp(0, 12 * right - 6), -np.logaddexp(0, 6 - 12 * right)], 1).astype(np.float32)
    monkeypatch.setattr(voices[1], "curves", lambda _: list(loud[:, None]))
    one, other = (w for _, w in blend(voices[:2], table, even=True).voices)
    assert one == other == pytest.approx(knows / 7, abs=0.05)  # who is six times as sure has six times as much to say
