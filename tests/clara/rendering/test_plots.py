"""Piano rolls, maps and training curves."""

import numpy as np
import pytest
import tiny
from examples import HANDWRITTEN, OTHER_THEME, THEME, bars_to_notes, handwritten, up
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_hex
from PIL import Image

from clara.form.plan import EXACT
from clara.music.notes import COMMON_TIME, build_notes
from clara.rendering.form_strip import FormStrip
from clara.rendering.plots import PART_COLOURS, PROMPT_COLOURS, plot_confusion, plot_history, plot_piano_roll

pytestmark = pytest.mark.slow

HISTORY = [
    {"epoch": e, "train_loss": 3 / e, "valid_loss": 4 / e, "nats_per_quarter": n}
    for e, n in ((1, 9.0), (2, 7.25), (3, 8.0))
]


def axes_of(figure, name):
    """Return the axes with a name: form, roll or windows."""
    [axes] = [axes for axes in figure.axes if axes.get_label() == name]
    return axes


def bars(figure):
    """Return (left, right, pitch, colour) of every note drawn."""
    axes, found = axes_of(figure, "roll"), []
    for collection in (c for c in axes.collections if isinstance(c, PatchCollection)):
        for path in collection.get_paths():
            (left, low), (right, high) = path.vertices.min(0), path.vertices.max(0)
            found.append((left, right, (low + high) / 2, to_hex(collection.get_facecolor()[0]).upper()))
    return sorted(found)


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_a_bar_per_note(name):
    notes = handwritten(name)
    found = np.array([bar[:3] for bar in bars(plot_piano_roll(notes))])
    expected = np.c_[notes.start / 12, notes.end / 12, notes.pitch]
    np.testing.assert_allclose(found, expected[np.lexsort(expected.T[::-1])], atol=1e-9)


def test_everything_is_in_view():
    notes = handwritten("range edges")
    axes = axes_of(plot_piano_roll(notes), "roll")
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left <= 0 and right >= notes.quarters and low < 21 and high > 108


def test_parts_and_prompt_have_colours_of_their_own():
    notes, _ = build_notes([0] * 4 + [24] * 4, [12] * 4 + [36] * 4, [60, 65, 72, 77, 62, 67, 74, 79], [0, 1, 2, 3] * 2)
    colours = [colour for *_, colour in bars(plot_piano_roll(notes, prompt_quarters=2))]
    assert colours == [*PROMPT_COLOURS, *PART_COLOURS]


def key_names(figure):
    """Return the label of each labelled MIDI pitch."""
    axes = axes_of(figure, "roll")
    return {int(at): label.get_text() for at, label in zip(axes.get_yticks(), axes.get_yticklabels())}


def test_octaves_are_labelled():
    assert key_names(plot_piano_roll(handwritten("range edges"))) == {12 * n + 12: f"C{n}" for n in range(1, 9)}


def test_all_white_keys_of_a_narrow_range_are_labelled():
    notes = build_notes([0, 0], [12, 12], [60, 66])[0]
    assert key_names(plot_piano_roll(notes)) == {
        57: "A3",
        59: "B3",
        60: "C4",
        62: "D4",
        64: "E4",
        65: "F4",
        67: "G4",
        69: "A4",
    }


def held(quarters, time_signatures=COMMON_TIME):
    """Return a single note."""
    return build_notes([0], [12 * quarters], [60], time_signatures=time_signatures)[0]


def bar_numbers(figure):
    """Return (quarter, number) of each bar label above the roll."""
    above = axes_of(figure, "roll").child_axes[0]
    return list(zip(above.get_xticks().tolist(), [label.get_text() for label in above.get_xticklabels()]))


@pytest.mark.parametrize(
    "time_signatures, numbers",
    [
        (((0, 4, 4),), [(0, "1"), (4, "2"), (8, "3")]),
        (((0, 3, 4),), [(0, "1"), (3, "2"), (6, "3"), (9, "4")]),
        (((0, 6, 8), (72, 2, 2)), [(0, "1"), (3, "2"), (6, "3"), (10, "4")]),
        (((-36, 4, 4),), [(1, "1"), (5, "2"), (9, "3")]),
        (((0, 1, 4), (12, 4, 4)), [(0, "1"), (1, "2"), (5, "3"), (9, "4")]),
        (((-12, 64, 4),), [(0, "1")]),
    ],
    ids=["common time", "three four", "a change", "cropped within a bar", "an upbeat as a bar", "no bar begins here"],
)
def test_bars_are_numbered(time_signatures, numbers):
    assert bar_numbers(plot_piano_roll(held(11, time_signatures))) == numbers


@pytest.mark.parametrize("quarters", [1, 16, 63, 250, 3000])
def test_labels_of_quarters_and_bars_do_not_crowd(quarters):
    figure = plot_piano_roll(held(quarters))
    below, numbers = axes_of(figure, "roll").get_xticks(), bar_numbers(figure)
    assert below.tolist()[: len(numbers)] == [at for at, _ in numbers]
    assert all(int(number) == at / 4 + 1 for at, number in numbers)
    assert 1 <= len(numbers) <= 2 * figure.get_figwidth()
    assert axes_of(figure, "roll").get_xlabel() == "quarter notes"


def test_several_parts_have_a_legend():
    quartet = build_notes([0] * 4, [12] * 4, [76, 67, 60, 48], [0, 1, 2, 3], instruments=("va", "vb", "w", "c"))[0]
    legend = plot_piano_roll(quartet).legends[0]
    assert [t.get_text() for t in legend.texts] == ["Violin I", "Violin II", "Viola", "Cello"]
    assert [to_hex(patch.get_facecolor()).upper() for patch in legend.legend_handles] == list(PART_COLOURS)
    solo = build_notes([0, 0], [12, 12], [76, 60], [1, 0])[0]
    assert [t.get_text() for t in plot_piano_roll(solo).legends[0].texts] == ["Piano", "Violin"]
    assert not plot_piano_roll(handwritten("one note")).legends


def test_log_odds_are_below_the_roll_on_the_same_time_axis():
    figure = plot_piano_roll(held(29), window_log_odds=np.float32([0.5, -1.5, 2.0, -0.25]), window_quarters=8)
    roll, below = axes_of(figure, "roll"), axes_of(figure, "windows")
    columns = below.patches
    assert [c.get_height() for c in columns] == [0.5, -1.5, 2.0, -0.25]
    assert [c.get_x() for c in columns] == [0, 8, 16, 24]
    assert [c.get_x() + c.get_width() for c in columns] == [8, 16, 24, 29]
    up, down = PART_COLOURS[:2]
    assert [to_hex(c.get_facecolor()).upper() for c in columns] == [up, down, up, down]
    assert roll.get_xlim() == below.get_xlim() == (0, 29)
    assert below.get_xlabel() == "quarter notes" and not roll.get_xlabel()


def test_the_last_window_reaches_the_end():
    below = axes_of(plot_piano_roll(held(19), window_log_odds=[1.0, 2.0]), "windows")
    assert [c.get_x() + c.get_width() for c in below.patches] == [8, 19]


def test_the_form_is_above_the_roll_on_the_same_time_axis():
    notes = bars_to_notes(*[THEME, OTHER_THEME] * 4, *[up(OTHER_THEME, 3)] * 4, THEME, duration=12)
    figure = plot_piano_roll(notes)
    form, roll = axes_of(figure, "form"), axes_of(figure, "roll")
    strip = FormStrip.from_notes(notes)
    labels = [text.get_text() for text in form.texts]
    assert labels[: len(strip.sections)] == [section.name for section in strip.sections]
    assert labels.count("=") == (strip.relation == EXACT).sum() and "^" in labels and strip.keys[0][1] in labels
    assert form.get_xlim() == roll.get_xlim() == (0, 52)
    assert form.get_position().y0 > roll.get_position().y0
    cells = [collection.get_paths()[0].get_extents() for collection in form.collections[len(strip.sections) :]]
    assert [(cell.x0, cell.x1) for cell in cells] == [(4 * bar, 4 * bar + 4) for bar in range(13)]


def test_one_bar_has_no_form():
    assert [axes.get_label() for axes in plot_piano_roll(held(4)).axes] == ["roll"]
    assert [axes.get_label() for axes in plot_piano_roll(build_notes([], [], [])[0]).axes] == ["roll"]


def test_nothing_is_cut_off():
    notes = build_notes([0] * 4, [96] * 4, [60, 65, 72, 77], [0, 1, 2, 3], instruments=("va", "vb", "w", "c"))[0]
    figure = plot_piano_roll(
        notes, title="a title that is far too long for so small a picture " * 2, window_log_odds=[1.0]
    )
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()


def test_a_confusion_matrix_shows_counts(tmp_path):
    axes = plot_confusion(np.array([[3, 1], [0, 4]]), ["a", "b"], tmp_path / "confusion.png", "a title").axes[0]
    assert sorted(t.get_text() for t in axes.texts) == ["1", "3", "4"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert (tmp_path / "confusion.png").is_file()


@pytest.mark.parametrize(
    "notes",
    [
        tiny.tune(0),
        build_notes([], [], [])[0],
        handwritten("one note"),
        build_notes([0, 12_000], [12, 12_012], [60, 60])[0],
    ],
    ids=["tune", "no notes", "one note", "a thousand quarters"],
)
def test_png_decodes(tmp_path, notes):
    plot_piano_roll(notes, tmp_path / "a.png", prompt_quarters=1.0, title="A & B")
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.format == "PNG"
        assert 400 < image.width < 3000 and 300 < image.height < 800
        assert len(image.convert("RGB").getcolors(1 << 24)) > 1


def test_history_curves(tmp_path):
    axes = plot_history(HISTORY, tmp_path / "loss.png").axes[0]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in axes.lines}
    assert drawn == {"train": [3.0, 1.5, 1.0], "valid": [4.0, 2.0, 4 / 3]}
    assert [line.get_xdata().tolist() for line in axes.lines] == [[1, 2, 3]] * 2
    assert axes.get_title() == "best: 7.25 nats per quarter note, epoch 2"
    with Image.open(tmp_path / "loss.png") as image:
        image.load()
        assert image.format == "PNG"


def test_history_without_valid_loss():
    axes = plot_history([{k: v for k, v in row.items() if k != "valid_loss"} for row in HISTORY]).axes[0]
    assert {line.get_label(): line.get_ydata().tolist() for line in axes.lines} == {"valid": [9.0, 7.25, 8.0]}
    assert axes.get_ylabel() == "nats per quarter note"


def test_history_of_one_epoch(tmp_path):
    plot_history(HISTORY[:1], tmp_path / "loss.png")
    assert (tmp_path / "loss.png").is_file()
