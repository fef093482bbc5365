"""An epoch holds every piece once, in one of its keys, cut into windows."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clara.data.stream_loader import MIN_WINDOW, StreamDataLoader, fitting_shifts
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import SHIFTS, Vocab, transposition_tables
from clara.music.notes import build_notes, transpose
from clara.training.distributed import World

ENCODING = Notewise(4, 38)  # MIDI numbers 45-82
VOCAB = Vocab.from_encoding(ENCODING)
TABLES = transposition_tables(VOCAB, ENCODING, SHIFTS)


def scale(lowest, highest, n):
    """Return a scale of n notes between two MIDI numbers; the tests recognise pieces by their length."""
    pitch = np.linspace(lowest, highest, n).round().astype(int)
    return build_notes(np.arange(n), np.arange(n) + 1, pitch, steps_per_quarter=4)[0]


def ids_of(notes):
    return np.array([VOCAB.bos_id, *VOCAB.to_ids(ENCODING.encode(notes)[0]), VOCAB.eos_id], dtype=np.int16)


# all 12 keys; 4 keys (35 semitones of 38); 1 key; all 12, each in one way alone
NOTES = [scale(60, 70, 5), scale(46, 80, 9), scale(45, 82, 7), scale(50, 76, 11)]
N_KEYS = [12, 4, 1, 12]
PIECES = [ids_of(n) for n in NOTES]


def loader(bs=1, seq_len=5, seed=0, epoch=0, tables=TABLES, pieces=PIECES):
    made = StreamDataLoader(pieces, bs, seq_len, tables=tables, seed=seed)
    made.epoch = epoch
    return made


def batches(made):
    return [(x.tolist(), y.tolist()) for x, y in made]


def pieces_of(made):
    """Return the pieces of a one-stream epoch as {index: ids}, and their order."""
    windows = list(made)
    stream = torch.cat([x for x, _ in windows] + [windows[-1][1][:, -1:]], dim=1)[0].numpy()
    parts = np.split(stream, np.flatnonzero(stream == VOCAB.bos_id)[1:])
    order = [[len(p) for p in PIECES].index(len(part)) for part in parts]
    return dict(zip(order, parts)), order


def shift_of(i, ids):
    """Return by how many semitones piece i was transposed to give ids."""
    [shift] = [s for s, table in zip(SHIFTS, TABLES) if (table[PIECES[i]] == ids).all()]
    return shift


def test_the_pieces_differ_in_length():
    assert len({len(p) for p in PIECES}) == len(PIECES)


@pytest.mark.parametrize("epoch", range(6))
def test_an_epoch_holds_every_piece_once_in_a_key_that_fits(epoch):
    found, order = pieces_of(loader(seq_len=1000, epoch=epoch))
    assert sorted(order) == list(range(len(PIECES)))
    for i, ids in found.items():
        moved, losses = transpose(NOTES[i], shift_of(i, ids))
        assert not +losses and (ids == ids_of(moved)).all()


@pytest.mark.parametrize("first", [0, 12, 24])
def test_twelve_epochs_go_through_all_fitting_keys_each_before_any_again(first):
    shifts = [[] for _ in PIECES]
    for epoch in range(first, first + 12):
        for i, ids in pieces_of(loader(seq_len=1000, epoch=epoch))[0].items():
            shifts[i].append(shift_of(i, ids))
    for shifts_of_piece, n_keys in zip(shifts, N_KEYS):
        assert len({s % 12 for s in shifts_of_piece}) == n_keys
        for lap in range(0, 12, n_keys):
            assert len(set(shifts_of_piece[lap : lap + n_keys])) == n_keys


@pytest.mark.parametrize("notes, n_keys", list(zip(NOTES, N_KEYS)))
def test_fitting_shifts_are_the_smallest_of_each_key_that_fits(notes, n_keys):
    shifts = [SHIFTS[i] for i in fitting_shifts(ids_of(notes), TABLES)]
    fits = [s for s in SHIFTS if notes.pitch.min() + s >= 45 and notes.pitch.max() + s <= 82]
    assert 0 in shifts and len(shifts) == n_keys
    assert set(shifts) <= set(fits) and {s % 12 for s in shifts} == {s % 12 for s in fits}
    assert all(abs(s) <= min(abs(f) for f in fits if (f - s) % 12 == 0) for s in shifts)


@given(st.sampled_from(range(len(NOTES))), st.sampled_from(range(len(SHIFTS))))
def test_a_table_has_a_hole_exactly_where_notes_would_leave_the_range(i, at):
    pitch = NOTES[i].pitch + SHIFTS[at]
    moved = TABLES[at][PIECES[i]]
    assert (moved >= 0).all() == (pitch.min() >= 45 and pitch.max() <= 82)
    if (moved >= 0).all():
        assert (moved == ids_of(transpose(NOTES[i], SHIFTS[at])[0])).all()


def test_seed_and_epoch_alone_decide():
    made = loader(bs=2, epoch=0)
    history = []
    for _ in range(4):  # each pass is an epoch
        history.append(batches(made))
    made.epoch = 3
    assert history[3] == batches(loader(bs=2, epoch=3)) == batches(made)
    assert history[0] != history[1]
    assert history[3] != batches(loader(bs=2, epoch=3, seed=1))


def test_pieces_are_shuffled():
    assert len({tuple(pieces_of(loader(seq_len=1000, epoch=e))[1]) for e in range(10)}) > 3


@given(st.integers(1, 70), st.integers(2, 80), st.integers(0, 5))
def test_targets_are_the_next_tokens_and_windows_continue(bs, seq_len, epoch):
    made = loader(bs, seq_len, epoch=epoch)
    windows = list(made)
    assert len(windows) == len(made) >= 1
    for x, y in windows:
        assert x.dtype == y.dtype == torch.int64 and x.shape == y.shape
        assert x.shape[0] == made.bs <= bs and MIN_WINDOW <= x.shape[1] <= seq_len
        assert (x[:, 1:] == y[:, :-1]).all()
    for (_, y), (x, _) in pairwise(windows):
        assert (x[:, 0] == y[:, -1]).all()
    assert all(x.shape[1] == seq_len for x, _ in windows[:-1])


@given(st.integers(1, 70), st.integers(2, 80))
def test_streams_follow_each_other_and_little_is_left_over(bs, seq_len):
    made = loader(bs, seq_len, tables=None)
    streams = torch.cat([x for x, _ in made], dim=1)
    whole = np.concatenate(PIECES)
    columns = (len(whole) - 1) // made.bs
    assert columns - streams.shape[1] < MIN_WINDOW
    for i, stream in enumerate(streams.numpy()):
        assert (stream == whole[i * columns :][: len(stream)]).all()


def test_without_tables_order_and_keys_stay():
    assert batches(loader(tables=None, epoch=0)) == batches(loader(tables=None, epoch=7, seed=3))
    assert pieces_of(loader(seq_len=1000, tables=None))[1] == [0, 1, 2, 3]


def test_the_smallest_corpus():
    made = loader(bs=64, seq_len=64, tables=None, pieces=[np.array([VOCAB.bos_id, 9, VOCAB.eos_id], dtype=np.int16)])
    assert batches(made) == [([[VOCAB.bos_id, 9]], [[9, VOCAB.eos_id]])]


def test_replayed_pieces_are_drawn_anew_and_fill_their_share():
    replayed = [ids_of(scale(50, 70, n)) for n in range(20, 40)]
    mixed = StreamDataLoader(PIECES, 2, 16, tables=TABLES, replay_pieces=replayed, replay_share=0.4)
    n_own = sum(map(len, PIECES))
    assert mixed.n_tokens == n_own + int(n_own * 0.4 / 0.6) and len(mixed.dataset) == len(PIECES)
    streams = []
    for epoch in range(2):
        mixed.epoch = epoch
        stream = mixed._epoch_stream()
        assert len(stream) == mixed.n_tokens
        assert (stream == VOCAB.eos_id).sum() >= len(PIECES)  # own pieces whole
        streams.append(sorted(stream.tolist()))
    assert streams[0] != streams[1]
    first = torch.cat([x for x, _ in mixed], dim=1)
    mixed.epoch = 1
    assert torch.equal(torch.cat([x for x, _ in mixed], dim=1), first)


def test_no_more_pieces_are_replayed_than_there_are():
    mixed = StreamDataLoader(PIECES[:1], 1, 16, tables=TABLES, replay_pieces=PIECES[:1], replay_share=0.9)
    assert mixed.n_tokens == 2 * len(PIECES[0]) == len(mixed._epoch_stream())


def test_processes_share_the_streams():
    worlds = [World(rank, 2) for rank in range(2)]
    whole = [x for x, _ in StreamDataLoader(PIECES, 4, 5, tables=TABLES)]
    shares = [[x for x, _ in StreamDataLoader(PIECES, 4, 5, tables=TABLES, world=world)] for world in worlds]
    assert all(torch.equal(torch.cat(parts), x) for x, *parts in zip(whole, *shares))
    few = (sum(map(len, PIECES[:1])) - 1) // MIN_WINDOW  # there are no more streams than the tokens allow
    assert [
        loader.rows for loader in (StreamDataLoader(PIECES[:1], 1000, 5, world=World(r, few)) for r in range(few))
    ] == [slice(r, r + 1) for r in range(few)]
