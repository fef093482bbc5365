"""Training: it learns, it goes on where it stopped, and it reads what teaches."""

import numpy as np
import pytest
import tiny

from clara.errors import BadSetting, NoData
from clara.music.expression import Expression
from clara.music.midi import write_midi
from clara.performing.network import MARKED
from clara.performing.passages import PerformedPiece, cut_passages, join_scores, join_targets
from clara.performing.reading import read_performances
from clara.performing.settings import PerformerTraining, WindowTraining
from clara.performing.training import train_performer

TINY = PerformerTraining(
    note_width=8,
    n_units=8,
    n_layers=1,
    hidden=8,
    kernel=3,
    n_blocks=1,
    slot_width=8,
    n_members=1,
    epochs=4,
    dropout=0.0,
    windows=WindowTraining(n_members=1, width=8, epochs=2),
)


def piece(seed):
    notes = tiny.tune(seed, n_notes=120)
    return PerformedPiece.from_expression(f"{seed}.mid", notes, tiny.expression(notes, seed))


PIECES = [piece(seed) for seed in range(4)]


def test_high_notes_become_loud():
    settings = PerformerTraining(**vars(TINY) | {"epochs": 30, "lr": 0.01})
    performer = train_performer(PIECES[:3], PIECES[3:], settings, log=lambda line: None)
    assert performer.info["training"]["history"][-1]["velocity_r"] > 0.8
    expected = performer.expect(PIECES[3].score)
    assert np.corrcoef(expected.velocity, PIECES[3].performance.velocity)[0, 1] > 0.8
    assert expected.velocity_mean == pytest.approx(PIECES[3].performance.velocity.mean(), abs=8)


def test_an_interrupted_training_ends_as_if_nothing_had_happened(tmp_path):
    class Interruption(Exception):
        pass

    def stop_after_two(line):
        if "epoch 2" in line:
            raise Interruption

    whole = train_performer(PIECES[:3], PIECES[3:], TINY, log=lambda line: None)
    with pytest.raises(Interruption):
        train_performer(PIECES[:3], PIECES[3:], TINY, log=stop_after_two, state_folder=tmp_path)
    resumed = train_performer(PIECES[:3], PIECES[3:], TINY, log=lambda line: None, state_folder=tmp_path)
    first, second = (p.networks[0].state_dict() for p in (whole, resumed))
    assert all((first[name] == second[name]).all() for name in first)
    other = PerformerTraining(**vars(TINY) | {"lr": 0.5})
    with pytest.raises(BadSetting, match="other settings"):
        train_performer(PIECES[:3], PIECES[3:], other, log=lambda line: None, state_folder=tmp_path)


def test_recurrent_networks_of_a_performer_are_kept():
    known = tiny.performer()
    performer = train_performer(PIECES[:3], PIECES[3:], TINY, log=lambda line: None, recurrent=known)
    assert performer.networks == known.networks and len(performer.windows) == 1
    assert performer.windows[0] is not known.windows[0] and not performer.info["training"]["history"]


def test_passages_cover_each_beat_once_and_keep_their_notes():
    passages = cut_passages(PIECES, 16, np.random.default_rng(0))
    assert sum(p.end - p.begin for p in passages) == sum(len(piece.score.beats) for piece in PIECES)
    scores = join_scores([(p.piece.score, p.begin, p.end) for p in passages])
    targets = join_targets(passages)
    assert len(scores.note) == len(targets.velocity) == sum(len(piece.notes) for piece in PIECES)
    assert len(scores.slot) == len(targets.pedal)
    assert targets.tempo_weight.sum() == pytest.approx(len(passages))
    room = scores.beat.shape[1]
    assert (scores.beat_of_note % room < scores.n_beats[scores.beat_of_note // room]).all()


def test_nothing_to_learn_from():
    with pytest.raises(NoData, match="needs both"):
        train_performer([], PIECES, TINY)


def write_folder(folder, n):
    for seed in range(n):
        notes = tiny.tune(seed, n_notes=60)
        write_midi(notes, folder / f"{seed}.mid", expression=tiny.expression(notes, seed))


def test_a_folder_is_read_and_what_does_not_teach_is_counted(tmp_path):
    write_folder(tmp_path, 5)
    write_midi(tiny.tune(7), tmp_path / "flat.mid")
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    (tmp_path / "recorded.mid").write_bytes(tiny.performed_midi())
    (tmp_path / "score.abc").write_text("X:1\nK:C\nCDEF|\n")
    lines = []
    pieces = read_performances(tmp_path, log=lines.append)
    assert len(pieces.train) + len(pieces.valid) + len(pieces.test) == 5
    assert pieces.valid and pieces.test
    assert dict(pieces.left_out) == {
        "played flat": 1,
        "BadMusicFile": 1,
        "follow no beat grid": 1,
        "scores, not MIDI": 1,
    }
    assert len(lines) == 1 and "broken.mid" in lines[0]


def test_splits_that_are_given(tmp_path):
    write_folder(tmp_path, 3)
    pieces = read_performances(tmp_path, {"0.mid": "train", "1.mid": "valid"})
    assert [p.name for p in (*pieces.train, *pieces.valid)] == ["0.mid", "1.mid"]
    assert pieces.left_out["in no split"] == 1


def test_a_folder_that_teaches_nothing(tmp_path):
    write_midi(tiny.tune(7), tmp_path / "flat.mid")
    with pytest.raises(NoData, match="1 played flat"):
        read_performances(tmp_path)


def test_scores_with_dynamic_marks_teach_but_do_not_measure(tmp_path):
    write_folder(tmp_path, 2)
    for name in ("marked.mid", "held.mid"):
        notes = tiny.tune(8, n_notes=60)
        write_midi(notes, tmp_path / name, expression=Expression(40 + notes.pitch % 7, [0.0], [90.0]))
    splits = {"0.mid": "train", "marked.mid": "train", "1.mid": "valid", "held.mid": "test"}
    pieces = read_performances(tmp_path, splits)
    assert [p.performance.has_tempo_curve for p in pieces.train] == [True, False]
    assert pieces.left_out["held out, with dynamic marks only"] == 1
    targets = join_targets(cut_passages(pieces.train[1:], 16, np.random.default_rng(0)))
    assert set(targets.velocity_kind.tolist()) == {MARKED}
    assert not targets.tempo_weight.any() and not targets.piece_weight.any()
    performer = train_performer(pieces.train, pieces.valid, TINY, log=lambda line: None)
    assert performer.info["training"]["pieces"] == 2 and performer.info["training"]["played"] == 1
