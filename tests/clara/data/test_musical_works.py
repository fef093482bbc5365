"""Which files are the same work."""

import dataclasses

import numpy as np
import pytest
from examples import midi_bytes, note_sequences, off, on, tempo, track
from hypothesis import given
from hypothesis import strategies as st

from clara.data import musical_works
from clara.data.musical_works import chord_line, compute_fingerprint, compute_lines, group_works
from clara.music.midi import describe_midi, read_midi, to_symusic_score
from clara.music.notes import build_notes, crop, transpose


def melody(seed, n=80, lowest=40):
    """Return a random line of quarters over octaves of bass notes."""
    pitch = lowest + np.random.default_rng(seed).integers(12, 36, n)
    start = 12 * np.arange(n)
    return build_notes(np.r_[start, start], np.r_[start, start] + 12, np.r_[pitch, np.full(n, lowest)])[0]


def fingerprints(*seeds):
    return [compute_fingerprint(melody(s)) for s in seeds]


@given(note_sequences(lowest=40, highest=90, min_notes=1), st.integers(-12, 12), st.integers(1, 4), st.integers(0, 50))
def test_fingerprint_does_not_change_with_key_tempo_grid_or_place(notes, semitones, stretch, later):
    start, end = (stretch * c + later for c in (notes.start, notes.end))
    moved = build_notes(start, end, notes.pitch + semitones, steps_per_quarter=24, qpm=50)[0]
    assert (compute_fingerprint(moved) == compute_fingerprint(notes)).all()


def test_fingerprint_hears_the_top_line_alone():
    notes = melody(1)
    line = build_notes(notes.start, notes.end, notes.pitch)[0]
    top = line.pitch > 40
    alone = build_notes(line.start[top], line.end[top], line.pitch[top])[0]
    assert (compute_fingerprint(alone) == compute_fingerprint(notes)).all()
    assert len(compute_fingerprint(notes)) == 80 - 6


def test_fingerprint_is_sorted_runs_of_six_intervals():
    scale = build_notes(np.arange(8) * 12, np.arange(1, 9) * 12, [60, 62, 64, 65, 67, 69, 71, 72])[0]
    intervals = [2, 2, 1, 2, 2, 2, 1]
    runs = [sum((x + 128) << 8 * i for i, x in enumerate(intervals[at : at + 6])) for at in (0, 1)]
    assert compute_fingerprint(scale).tolist() == sorted(runs)


@pytest.mark.parametrize("n", [0, 1, 2, 6])
def test_short_lines_are_one_run(n):
    prints = [
        compute_fingerprint(build_notes(np.arange(n), np.arange(n) + 1, 60 + step * np.arange(n))[0]) for step in (1, 2)
    ]
    assert [len(f) for f in prints] == [1, 1]
    assert (prints[0] != prints[1]).all() == (n > 1)


def test_editions_are_one_work_and_strangers_are_not():
    piece, other = melody(1), melody(2)
    halved = build_notes(piece.start // 2, piece.end // 2, piece.pitch)[0]
    editions = [piece, other, transpose(piece, 5)[0], halved, crop(piece, 0, 480), transpose(other, -3)[0]]
    works = group_works([[compute_fingerprint(e)] for e in editions])
    assert works[0] == works[2] == works[3] == works[4]
    assert works[1] == works[5] != works[0]


def related(n, seed=0):
    """Fingerprints over few runs: strangers that share some, editions, parts, wholes and repeats."""
    random = np.random.default_rng(seed)
    pieces = [np.unique(random.integers(0, 9000, random.integers(20, 120)) ** 4) for _ in range(n)]
    for piece in pieces[: n // 4]:
        pieces += [piece[random.random(len(piece)) < random.choice([0.3, 0.6, 0.95])], np.union1d(piece, pieces[-1])]
    return [pieces[i] for i in random.integers(0, len(pieces), 2 * n) if len(pieces[i])]


def works_by_all_pairs(prints):
    """Compare everything with everything and return the partition, as a set of sets of indices."""
    groups = [{i} for i in range(len(prints))]
    for i, a in enumerate(prints):
        for j, b in enumerate(prints[:i]):
            if groups[i] is not groups[j] and len(np.intersect1d(a, b)) / min(len(a), len(b)) >= 0.5:
                groups[i] |= groups[j]
                for k in groups[j]:
                    groups[k] = groups[i]
    return {frozenset(g) for g in groups}


@pytest.mark.parametrize("seed", range(4))
def test_the_index_finds_what_comparing_all_pairs_finds(seed):
    prints = related(60, seed)
    numbers = group_works([[runs] for runs in prints])
    found = {frozenset(np.flatnonzero(numbers == k).tolist()) for k in range(numbers.max() + 1)}
    assert found == works_by_all_pairs(prints)


def test_a_sketch_of_the_runs_finds_editions_and_parts(monkeypatch):
    random = np.random.default_rng(0)
    wholes = [np.unique(random.integers(0, 2**48, 600)) for _ in range(50)]
    parts = [w[:300] for w in wholes] + [w[random.random(len(w)) < 0.8] for w in wholes] + [w[5:10] for w in wholes]
    monkeypatch.setattr(musical_works, "MAX_RUNS", 6000)  # of some 70,000
    numbers = group_works([[runs] for runs in wholes + parts])
    assert (numbers[:150] == np.tile(np.arange(50), 3)).all()
    assert (numbers[150:] == np.arange(50)).sum() < 50  # what is lost: a few notes in a long piece


def test_movements_meet_in_the_whole():
    whole = melody(1)
    first, second = crop(whole, 0, 480), crop(whole, 480, 960)
    apart = group_works([[compute_fingerprint(p)] for p in (first, second, melody(3))])
    together = group_works([[compute_fingerprint(p)] for p in (first, melody(3), second, whole)])
    assert len(set(apart)) == 3
    assert together[0] == together[2] == together[3] != together[1]


def test_a_few_changed_notes_leave_the_work():
    piece = melody(4)
    pitch = piece.pitch.copy()
    pitch[[21, 91]] += 1  # the line's notes stand after the bass's
    changed = build_notes(piece.start, piece.end, pitch)[0]
    assert (compute_fingerprint(changed) != compute_fingerprint(piece)).any()
    assert (
        len(set(group_works([[runs] for runs in [*map(compute_fingerprint, (piece, changed)), *fingerprints(5)]]))) == 2
    )


def test_real_pieces_differ_and_meet_their_transpositions(real_midi):
    pieces = [read_midi(path)[0] for path in real_midi.values()]
    works = group_works([[compute_fingerprint(p)] for p in [*pieces, *(transpose(p, 2)[0] for p in pieces)]])
    assert len(set(works)) == len(pieces)
    assert (works[: len(pieces)] == works[len(pieces) :]).all()


@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_any_number_of_files(n):
    works = group_works([[runs] for runs in fingerprints(*range(n))])
    assert sorted(works) == list(range(n))


TICKS = 480  # of a quarter, half a second long


def chords(seed, n=40, n_voices=4):
    """Return the onsets in ticks and the pitches of a tune in chords, two a second, highest voice last."""
    random = np.random.default_rng(seed)
    top = 60 + random.integers(0, 20, n)
    voices = np.array([top - 12 * i - random.integers(1, 9, n) for i in range(n_voices - 1, 0, -1)] + [top])
    return np.tile(np.arange(n) * TICKS, n_voices), voices.ravel()


def performed(onsets, pitches, seed, qpm=120.0):
    """Return the MIDI file of a performance in which each note comes 0 to 60 ticks late."""
    late = np.random.default_rng(seed).integers(0, 61, len(onsets))
    notes = build_notes(onsets + late, onsets + late + 300, pitches, steps_per_quarter=TICKS, qpm=qpm)[0]
    return to_symusic_score(notes).dumps_midi()


def lines_of(data):
    return compute_lines(read_midi(data)[0], describe_midi(data))


@pytest.mark.parametrize("qpm", [40.0, 60.0, 120.0, 200.0])
def test_performances_with_spread_chords_are_one_work(qpm):
    tunes = [chords(seed) for seed in range(40)]
    files = [performed(*tune, seed, qpm) for seed in (1, 2, 3) for tune in tunes]
    works = group_works([lines_of(data) for data in files]).reshape(3, 40)
    assert (works == works[0]).all() and len(set(works[0])) == 40


def test_a_performance_is_the_work_of_its_score():
    onsets, pitches = chords(1)
    score = build_notes(onsets // 40, onsets // 40 + 8, pitches)[0]
    works = group_works(
        [compute_lines(score), lines_of(performed(onsets, pitches, 1)), lines_of(performed(*chords(2), 1))]
    )
    assert works[0] == works[1] != works[2]


def test_the_line_of_chords_ignores_which_note_comes_first():
    """Three chords of two notes, 30 ms apart, then two single notes 70 ms apart."""
    seconds = np.array([0, 0.03, 0.53, 0.5, 1.0, 1.03, 2.0, 2.07])
    line = chord_line(seconds, np.array([60, 72, 62, 74, 76, 50, 77, 79]), width=0.065)
    assert line.tolist() == [sum((x + 128) << 8 * i for i, x in enumerate([2, 2, 1, 2]))]


def test_tempo_changes_count_for_what_a_chord_is():
    """The same ticks are far apart at a slow tempo and close at a fast one."""
    data = midi_bytes(
        track(tempo(0, 2_000_000), *(on(30, 60 + i) + off(30, 60 + i) for i in range(3)), tempo(0, 100_000))
    )
    seconds = describe_midi(data).onset_seconds
    np.testing.assert_allclose(seconds, [0.125, 0.375, 0.625])


def test_arrangements_with_the_same_melody_track_are_one_work():
    melody_notes, other = melody(1), melody(2)
    is_bass = melody_notes.pitch == 40
    parts = [
        dataclasses.replace(
            build_notes(
                np.r_[melody_notes.start[~is_bass], melody_notes.start[is_bass]],
                np.r_[melody_notes.end[~is_bass], melody_notes.end[is_bass]],
                np.r_[melody_notes.pitch[~is_bass], 80 + np.random.default_rng(seed).integers(0, 20, is_bass.sum())],
                np.r_[np.zeros((~is_bass).sum(), int), np.ones(is_bass.sum(), int)],
            )[0],
            instruments=("p", "v"),
        )
        for seed in (1, 2)
    ]
    files = []
    for notes in [*parts, other]:
        score = to_symusic_score(notes)
        score.tracks[0].name = "Melody"
        files.append(score.dumps_midi())
    works = group_works([lines_of(data) for data in files])
    assert works[0] == works[1] != works[2]


def test_files_of_a_folder_are_one_work_on_request():
    lines = [[runs] for runs in fingerprints(1, 2, 3, 4, 2)]
    assert len(set(group_works(lines))) == 4
    works = group_works(lines, ["a", "a", "b", "c", "c"])
    assert works[0] == works[1] == works[3] == works[4] != works[2]  # the second and the last are one tune
