"""Bar classes, structureness, phrases and endings of small handwritten pieces."""

import sys

import numpy as np
import pytest
from examples import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import form
from bars import (
    EXACT,
    NEW,
    RHYTHM,
    SILENT,
    TRANSPOSED,
    VARIED,
    classify_bars,
    harmony_similarity,
    pairwise_jaccard,
    split_evenly,
    split_into_bars,
)
from phrases import describe_ending, first_full_bar, is_melody, melody_pauses, phrase_starts, returning_runs
from structureness import structureness, threshold

from clara.music.midi import write_midi
from clara.music.notes import NoteSequence, build_notes

QUARTER = 12
BAR = 4 * QUARTER
THEME = [(0, 60), (12, 64), (24, 67), (36, 72)]
OTHER_THEME = [(0, 65), (6, 69), (18, 72), (30, 77)]


def piece(*bars, time_signatures=((0, 4, 4),), bar_steps=BAR, duration=6):
    """Return a piece from lists of (onset, pitch), one for each bar."""
    start, pitch = np.array([(i * bar_steps + onset, pitch) for i, bar in enumerate(bars) for onset, pitch in bar]).T
    return build_notes(start, start + duration, pitch, time_signatures=time_signatures)[0]


def up(bar, semitones):
    """Return a bar in another key."""
    return [(onset, pitch + semitones) for onset, pitch in bar]


def kinds(*bars):
    """Return the class of each bar of a piece."""
    return classify_bars(split_into_bars(piece(*bars))).kind.tolist()


def test_each_class_by_hand():
    varied = [*THEME[:3], (36, 71)]  # three of five pairs are common
    same_rhythm = [(0, 50), (12, 57), (24, 51), (36, 60)]
    assert kinds(THEME, THEME, varied, up(THEME, 3), same_rhythm, OTHER_THEME) == [
        NEW,
        EXACT,
        VARIED,
        TRANSPOSED,
        RHYTHM,
        NEW,
    ]


def test_limits_of_the_classes():
    half = [(0, 60), (12, 64), (24, 50), (36, 51)]  # two of six pairs
    assert kinds(THEME, half) == [NEW, RHYTHM]
    assert kinds(THEME, THEME[:2]) == [NEW, VARIED]  # two of four pairs
    four_of_five = [(onset, 40) for onset in (0, 12, 24, 36, 42)]
    assert kinds(THEME, four_of_five) == [NEW, RHYTHM]
    assert kinds(THEME, [(0, 40), (12, 41), (24, 45)]) == [NEW, NEW]  # three of four onsets
    assert kinds(THEME, [], THEME) == [NEW, SILENT, EXACT]


def test_shares_leave_out_the_first_bar_and_silence():
    classes = classify_bars(split_into_bars(piece(THEME, THEME, [], OTHER_THEME)))
    assert classes.shares().tolist() == [0.5, 0, 0, 0, 0.5]
    assert classes.first(2).shares().tolist() == [1, 0, 0, 0, 0]


def test_sources_keep_their_distance():
    classes = classify_bars(split_into_bars(piece(THEME, OTHER_THEME, THEME, THEME, OTHER_THEME)))
    assert classes.source.tolist() == [-1, -1, 0, 2, 1]
    # bar 4 could return to 0, 1 or 3; it follows bar 3, which returns over three bars
    classes = classify_bars(split_into_bars(piece(OTHER_THEME, THEME, up(THEME, 1), OTHER_THEME, THEME, THEME)))
    assert classes.source[3:].tolist() == [0, 1, 4]
    assert classes.exact_distances.tolist() == [3, 3, 1]


def test_bars_follow_the_time_signatures():
    notes = piece(*[[(0, 60)]] * 20, bar_steps=QUARTER, time_signatures=((0, 3, 4), (72, 2, 4), (120, 6, 8)))
    bars = split_into_bars(notes)
    assert bars.begin.tolist() == [0, 36, 72, 96, 120, 156, 192, 228, 264][: len(bars) + 1]
    assert (bars.begin[bars.bar] + bars.onset == notes.start).all()
    assert len(split_evenly(notes, 48)) == 5


def test_silent_bars_before_the_music_are_left_out():
    bars = split_into_bars(piece([], [], THEME, THEME))
    assert len(bars) == 2 and bars.begin[0] == 2 * BAR
    assert first_full_bar(bars) == 0
    assert first_full_bar(split_into_bars(piece([(36, 60)], THEME))) == 1


def test_jaccard_by_hand():
    jaccard = pairwise_jaccard(np.array([0, 0, 0, 1, 1]), np.array([5, 6, 6, 6, 7]), 3)
    np.testing.assert_allclose(jaccard, [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]])


def test_harmony_is_the_same_in_another_key():
    notes = piece(THEME, up(THEME, 5), [(0, 60), (0, 61), (0, 62)])
    similarity = harmony_similarity(notes, split_into_bars(notes))
    assert similarity[0, 1] == pytest.approx(1) and similarity[0, 2] < 0.7


def random_bars(n, seed=0):
    """Return bars that resemble each other by chance only."""
    rng = np.random.default_rng(seed)
    return [[(int(onset), int(rng.integers(40, 90))) for onset in rng.choice(48, 6, False)] for _ in range(n)]


def indicators(bars):
    notes = piece(*bars)
    return structureness(harmony_similarity(notes, split_into_bars(notes)))


def test_returning_sections_have_more_structure_than_noise():
    section = random_bars(16)
    with_form = indicators(section + section)
    without = indicators(random_bars(32, 1))
    assert with_form["over 15"] == pytest.approx(0.5, abs=0.03)  # half of the rows, half of the cells
    assert without["over 15"] < 0.2
    assert set(indicators(random_bars(6))) == {"3 to 8"}


def test_fitness_of_a_piece_that_repeats_four_bars():
    similarity = np.tile(np.eye(4), (3, 3))
    # twelve rows in three paths of four cells; the first one is the segment itself
    score, cover = (12 - 4) / 12, (12 - 4) / 12
    assert structureness(similarity)["3 to 8"] == pytest.approx(2 * score * cover / (score + cover))


def test_threshold_keeps_the_diagonal():
    matrix = threshold(np.full((4, 4), 0.5) + np.eye(4) * 0.5)
    assert (matrix.diagonal() == 1).all() and matrix.min() >= -2


def test_returning_runs_by_hand():
    labels = np.array([0, 1, 2, 0, 1, 5, 0])
    assert returning_runs((labels[:, None] == labels) * 1.0).tolist() == [0, 0, 0, 2, 0, 0, 1]


def test_phrases_start_after_long_notes():
    scale = [[(0, 60 + i), (6, 62 + i), (12, 64 + i), (24, 65 + i), (36, 67 + i)] for i in (0, 3, 1)]
    rest = [(0, 72)]
    notes = piece(*[*scale, rest] * 4)
    assert phrase_starts(notes, split_into_bars(notes)).tolist()[:3] == [4, 8, 12]
    pauses = melody_pauses(notes, np.arange(0, 16 * BAR, BAR))
    assert set(np.flatnonzero(pauses > 2)) >= {4, 8, 12}


def test_the_melody_is_what_nothing_sounds_above():
    notes = NoteSequence.from_notes([(0, 24, 72), (0, 12, 60), (12, 12, 64), (24, 12, 55)])
    assert notes.pitch[is_melody(notes)].tolist() == [72, 55]


C_MAJOR = [(0, 60), (12, 64), (24, 65), (36, 67)]
DOMINANT = [(0, 55), (0, 59), (0, 62), (24, 65)]


@pytest.mark.parametrize(
    "last, tonic, cadence",
    [
        ([(0, 48), (0, 64), (0, 67)], True, True),
        ([(0, 48), (0, 64), (0, 69)], False, False),
        ([(0, 55), (0, 64), (0, 72)], False, False),
        ([(0, 55), (24, 48), (24, 64)], True, True),
    ],
)
def test_endings_by_hand(last, tonic, cadence):
    notes = piece(*[C_MAJOR] * 8, DOMINANT, last, duration=12)
    ending = describe_ending(notes, split_into_bars(notes))
    assert (ending["tonic"], ending["cadence"]) == (tonic, cadence)
    assert ending["same_key"] and ending["same_tonic"]


def test_an_ending_without_dominant_or_in_another_key():
    plain = [[(0, 60), (12, 64), (24, 67)]] * 10
    notes = piece(*plain, duration=12)
    ending = describe_ending(notes, split_into_bars(notes))
    assert ending["tonic"] and not ending["cadence"]
    notes = piece(*plain, *(up(bar, 6) for bar in plain), duration=12)
    ending = describe_ending(notes, split_into_bars(notes))
    assert ending["tonic"] and not ending["same_key"]


def test_rows_of_a_folder(tmp_path):
    bars = random_bars(8) * 2
    for i in range(3):
        write_midi(piece(*(up(bar, i) for bar in bars)), tmp_path / f"{i}.mid")
    forms = [form.measure_form(notes) for notes in form.read_folder(tmp_path)]
    opening, whole = form.class_rows("x", forms)
    assert opening["bars"] == 45 and opening["exact"] == pytest.approx(100 * 8 / 15, abs=0.1) and whole["pieces"] == 3
    distances = form.distance_row("x", forms)
    assert distances["d8"] == 100 and distances["multiples_of_4"] == 100
    assert [row["scale"] for row in form.structure_rows("x", forms)] == ["3 to 8"]
    assert form.phrase_rows("x", forms)[0]["literal"] == 100
    assert form.ending_row("x", forms)["pieces"] == 3
