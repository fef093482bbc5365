"""Training on made-up pieces: what is true of their clusters, and that a network learns it."""

import numpy as np

from clara.listening.network import BeatNetwork
from clara.listening.training import IGNORED, TrainingPiece, draw_batches, losses, make_example, train_network
from clara.listening.truth import places_in_beats, read_written_notes, written_beats
from clara.music.midi import write_midi
from clara.music.notes import NoteSequence


def read(tmp_path, signature=(3, 4), gaps=(12, 6, 6)):
    start = np.append(0, np.cumsum(np.tile(gaps, 60)))[:-1]
    notes = [(int(s), 4, 60 + i % 12) for i, s in enumerate(start)]
    write_midi(NoteSequence.from_notes(notes, time_signatures=((0, *signature),)), tmp_path / "a.mid")
    return TrainingPiece(read_written_notes(tmp_path / "a.mid"), True)


def test_beats_of_upbeats_and_compound_time():
    beats, length, compound, downbeat, bar = written_beats([(0, 3, 4), (6, 6, 8), (9, 5, 4)], 14)
    assert beats.tolist() == [0, 1, 2, 3, 4, 5, 6, 7.5, 9, 10, 11, 12, 13]
    assert compound.tolist() == [False] * 6 + [True] * 2 + [False] * 5
    assert np.flatnonzero(downbeat).tolist() == [0, 3, 6, 8]
    assert bar.tolist() == [3] * 6 + [2] * 2 + [0] * 5 and length[6] == 1.5


def test_examples_know_steps_and_downbeats(tmp_path):
    piece = read(tmp_path)
    example = make_example(piece, np.random.default_rng(0))
    assert example.place[:6].tolist() == [0, 0, 6, 0, 0, 6]
    assert example.downbeat[:8].tolist() == [1, 0, 0, 0, 1, 0, 0, 0]
    assert set(example.bar.tolist()) == {3} and len(set(example.period.tolist())) <= 2
    compound = read(tmp_path, (6, 8), (6, 6, 6))
    beat, step = places_in_beats(compound.written, np.array([0.0, 0.5, 1.0, 1.5]))
    assert beat.tolist() == [0, 0, 0, 1] and step.tolist() == [0, 6, 12, 0]


def test_a_network_learns(tmp_path):
    pieces = [read(tmp_path)] * 4
    batch = next(iter(draw_batches(pieces, np.random.default_rng(0))))
    assert (batch[1] != IGNORED).any()
    first = losses(BeatNetwork(8), batch)[0].item()
    log = []
    network, figures = train_network(pieces, pieces, n_batches=20, width=8, log=log.append)
    assert losses(network, batch)[0].item() < 0.86 * first and len(figures) == 5 and log
