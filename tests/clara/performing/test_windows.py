"""Windows around beats, and the networks that read them."""

import numpy as np
import tiny

from clara.performing.passages import PerformedPiece
from clara.performing.performer import expect
from clara.performing.settings import WindowTraining
from clara.performing.window_network import N_COLUMNS, WindowNetwork, WindowRows, train_window_network
from clara.performing.windows import beat_windows, compare_to_piece, note_columns, slot_columns

QUICK = WindowTraining(width=8, input_dropout=0.0, dropout=0.0, epochs=30, batch_rows=64, lr=0.01)


def piece(seed):
    notes = tiny.tune(seed, n_notes=120)
    return PerformedPiece.from_expression(f"{seed}.mid", notes, tiny.expression(notes, seed))


PIECES = [piece(seed) for seed in range(4)]


def test_windows_hold_neighbours_and_means():
    score = PIECES[0].score
    windows, n = beat_windows(score), score.beat.shape[1]
    np.testing.assert_array_equal(windows[1:, n : 2 * n], score.beat[:-1])
    np.testing.assert_allclose(windows[10, 3 * n : 4 * n], score.beat[6:15].mean(0), atol=1e-5)


def test_rows_have_their_own_columns_and_those_of_their_beat():
    score = PIECES[0].score
    windows = beat_windows(score)
    notes, slots = note_columns(score, windows), slot_columns(score, windows)
    assert [notes.shape[1], windows.shape[1], slots.shape[1]] == list(N_COLUMNS.values())
    np.testing.assert_array_equal(notes[7, -windows.shape[1] :], windows[score.beat_of_note[7]])
    np.testing.assert_array_equal(note_columns(score, windows, np.array([7, 3])), notes[[7, 3]])


def test_a_piece_is_compared_with_itself():
    values = np.array([[1.0, 5.0], [3.0, 5.0]])
    np.testing.assert_allclose(compare_to_piece(values), [[-1, 0], [1, 0]])


def test_high_notes_become_loud_and_a_seed_decides():
    rows = WindowRows(PIECES[:3])
    network, again = (train_window_network(rows, QUICK, seed=1) for _ in range(2))
    velocity, tempo, pedal = network(PIECES[3].score)
    assert np.corrcoef(velocity.detach().numpy(), PIECES[3].performance.velocity)[0, 1] > 0.8
    assert len(tempo) == len(PIECES[3].score.beats) and len(pedal) == len(PIECES[3].score.slot)
    assert all((a == b).all() for a, b in zip(network.state_dict().values(), again.state_dict().values()))


def test_both_kinds_of_networks_have_equal_weight():
    performer, score = tiny.performer(), PIECES[0].score
    window = WindowNetwork(8).eval()
    window.velocity.linear.bias.data.fill_(1.0)
    alone, both = expect(performer.networks, score), expect(performer.networks, score, [window])
    velocity = window(score)[0].detach().numpy()
    np.testing.assert_allclose(both.velocity, (alone.velocity + velocity) / 2, atol=1e-5)
    assert both.velocity_mean == alone.velocity_mean
