"""How far onsets lie from a grid, against figures worked out by hand."""

import numpy as np
import pytest
from examples import midi_bytes, off, on, track

from clara.data.onset_grid import MIN_ONSETS, PERFORMED_MISFIT, check_grid, grid_misfit, measure_grid_error, read_onsets
from clara.data.sources import find_pieces
from clara.errors import NoNotes, OffGrid
from clara.music.midi import describe_midi

RNG = np.random.default_rng(5)
BEATS = np.repeat(np.arange(50), 4)


def score(*fractions, n=200, ticks_per_quarter=480):
    """Onsets at fractions of a quarter, four of them in each of many quarters, rounded to ticks."""
    inside = RNG.choice(fractions, n)
    return np.sort(np.floor((BEATS[:n] + inside) * ticks_per_quarter + 0.5).astype(int))


def performed(n=200, ticks_per_quarter=480):
    """Onsets anywhere."""
    return np.sort(RNG.integers(0, 50 * ticks_per_quarter, n))


def is_performed(onsets, ticks_per_quarter):
    return grid_misfit(onsets, ticks_per_quarter) > PERFORMED_MISFIT


@pytest.mark.parametrize(
    ("onsets", "steps", "share", "mean"),
    [
        ([0, 240, 480, 720], 4, 0, 0),
        ([0, 160, 320, 480], 4, 2 / 4, (1 / 3 + 1 / 3) / 4),  # triplets: a third of a step from the nearest
        ([0, 160, 320, 480], 12, 0, 0),
        ([0, 12, 480, 960 - 12], 4, 0, 0.05),  # a tenth of a step is not farther than that
        ([0, 13, 480, 960 - 13], 4, 2 / 4, 2 * 13 / 120 / 4),
        ([0, 60, 480, 540, 960], 4, 2 / 5, 2 * 0.5 / 5),  # 32nds fall between two steps
        ([0, 20, 40], 12, 1 / 3, 0.5 / 3),
    ],
)
def test_by_hand(onsets, steps, share, mean):
    error = measure_grid_error(onsets, 480, steps)
    assert (error.share, error.mean_steps, error.shift_steps) == (pytest.approx(share), pytest.approx(mean), 0)


def test_against_fractions():
    ticks = performed(n=500, ticks_per_quarter=384)
    distance = np.abs(ticks * 12 / 384 - np.round(ticks * 12 / 384))
    error = measure_grid_error(ticks, 384, 12)
    assert (error.share, error.mean_steps) == (pytest.approx((distance > 0.1).mean()), pytest.approx(distance.mean()))
    assert error.share == pytest.approx(0.8, abs=0.06) and error.mean_steps == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("ticks_per_quarter", [24, 48, 96, 100, 128, 480, 1024])
def test_no_onset_is_off_by_what_its_file_cannot_tell(ticks_per_quarter):
    onsets = score(0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, ticks_per_quarter=ticks_per_quarter)
    assert measure_grid_error(onsets, ticks_per_quarter, 12).share == 0


def test_a_shift_of_the_whole_piece_is_measured_and_removed():
    onsets = np.r_[0, score(0, 1 / 4, 1 / 3, 1 / 2) + 15]
    error = measure_grid_error(onsets, 480, 12)
    assert (error.share, error.shift_steps) == (pytest.approx(1 / 201), 15 / 40)
    assert measure_grid_error(performed(), 480, 12).shift_steps == 0


@pytest.mark.parametrize(
    "fractions",
    [
        (0, 1 / 2),
        (0, 1 / 3, 2 / 3),
        (0, 1 / 4, 1 / 3, 5 / 6),
        (0, 1 / 8, 3 / 8, 1 / 4),
        (0, 1 / 16, 5 / 16),
        (0, 1 / 5, 3 / 5),
        (0, 2 / 7, 3 / 7),
        (0, 1 / 24, 1 / 8, 1 / 3),
        (0, 1 / 9, 4 / 9),
    ],
    ids=[
        "8ths",
        "triplets",
        "16ths+triplets",
        "32nds",
        "64ths",
        "quintuplets",
        "septuplets",
        "32nd-triplets",
        "nonuplets",
    ],
)
@pytest.mark.parametrize("ticks_per_quarter", [120, 384, 480])
def test_scores_are_not_taken_for_performed(fractions, ticks_per_quarter):
    onsets = score(*fractions, ticks_per_quarter=ticks_per_quarter)
    assert grid_misfit(onsets, ticks_per_quarter) == 0


def test_32nds_follow_a_beat_though_12_steps_do_not_hold_them():
    onsets = score(0, 1 / 8, 1 / 4, 3 / 8)
    assert measure_grid_error(onsets, 480, 12).share > 0.3 and not is_performed(onsets, 480)


@pytest.mark.parametrize("ticks_per_quarter", [24, 96, 220, 480, 960])
def test_performed_music_is_known(ticks_per_quarter):
    assert 0.7 < grid_misfit(performed(n=400, ticks_per_quarter=ticks_per_quarter), ticks_per_quarter) < 1.2
    assert is_performed(performed(ticks_per_quarter=ticks_per_quarter), ticks_per_quarter)


def test_moved_by_a_little_is_a_score_and_by_more_is_performed():
    onsets = score(0, 1 / 4, 1 / 3, 1 / 2)
    assert not is_performed(np.abs(onsets + RNG.normal(0, 4, 200).round().astype(int)), 480)
    assert is_performed(np.abs(onsets + RNG.normal(0, 12, 200).round().astype(int)), 480)


@pytest.mark.parametrize("ticks_per_quarter", [1, 2, 5, 12])
def test_ticks_too_coarse_to_tell(ticks_per_quarter):
    assert grid_misfit(performed(ticks_per_quarter=ticks_per_quarter), ticks_per_quarter) == 0


def test_too_few_onsets_to_tell():
    assert grid_misfit(performed()[: MIN_ONSETS - 1], 480) == 0


@pytest.fixture
def swung(tmp_path):
    """Return a piece with two of three onsets a fifth of a quarter after its beats."""
    (tmp_path / "a.mid").write_bytes(
        midi_bytes(track(*[x for delay in (0, 96, 336) * 4 for x in (on(delay, 60), off(48, 60))]))
    )
    return find_pieces([str(tmp_path / "a.mid")])[0]


def test_check_grid(swung):
    onsets, ticks_per_quarter = read_onsets(swung)
    share = measure_grid_error(onsets, ticks_per_quarter, 12).share
    assert share > 0.5
    check_grid(swung, 12, share)
    with pytest.raises(OffGrid, match=f"a.mid: {100 * share:.0f} % of onsets lie off the 12-step grid"):
        check_grid(swung, 12, share - 0.01)
    check_grid(swung, 20, 0)


def test_a_score_is_measured_too():
    [piece] = [p for p in find_pieces(["music21:bach"]) if p.name == "bach/bwv66.6"]
    onsets, ticks_per_quarter = read_onsets(piece)
    assert measure_grid_error(onsets, ticks_per_quarter, 4).share == 0
    check_grid(piece, 4, 0)


def test_describe_midi(tmp_path):
    notes = on(7, 60), off(100, 60), on(3, 62), off(5, 62)
    name = b"\0\xff\x03\x06Fl\xf6te "  # Latin-1
    drums = track(on(1, 36, channel=9), off(9, 36, channel=9))
    description = describe_midi(midi_bytes(track(name, b"\0\xc0\x49", *notes), track(*notes), drums, division=96))
    assert sorted(description.onset_ticks.tolist()) == [7, 7, 110, 110] and description.ticks_per_quarter == 96
    assert description.tracks[0][1] == 73 and len(description.tracks) == 2 and not description.has_time_signature
    assert describe_midi(midi_bytes(track(b"\0\xff\x58\4\3\2\x18\x08", *notes))).has_time_signature
    with pytest.raises(NoNotes):
        describe_midi(midi_bytes(drums))
