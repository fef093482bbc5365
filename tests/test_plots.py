"""Piano rolls and training curves."""

import numpy as np
import pytest
import tiny
from conftest import HANDWRITTEN, handwritten
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_hex
from PIL import Image

from clara.notes import mend
from clara.plots import PART_COLOURS, PROMPT_COLOURS, plot_history, plot_piano_roll

HISTORY = [{"epoch": e, "train_loss": 3 / e, "valid_loss": 4 / e, "nats_per_quarter": n}
           for e, n in ((1, 9.0), (2, 7.25), (3, 8.0))]


def bars(figure):
    """(left, right, pitch, colour) of every note drawn."""
    axes, found = figure.axes[0], []
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
    axes = plot_piano_roll(notes).axes[0]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left <= 0 and right >= notes.quarters and low < 21 and high > 108


def test_parts_and_prompt_have_colours_of_their_own():
    notes, _ = mend([0] * 4 + [24] * 4, [12] * 4 + [36] * 4, [60, 65, 72, 77, 62, 67, 74, 79], [0, 1, 2, 3] * 2)
    colours = [colour for *_, colour in bars(plot_piano_roll(notes, prompt_quarters=2))]
    assert colours == [*PROMPT_COLOURS, *PART_COLOURS]


def test_octaves_are_named():
    labels = [t.get_text() for t in plot_piano_roll(handwritten("range edges")).axes[0].get_yticklabels()]
    assert labels == ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8"]


@pytest.mark.parametrize("notes", [tiny.tune(0), mend([], [], [])[0], handwritten("one note"),
                                   mend([0, 12_000], [12, 12_012], [60, 60])[0]],
                         ids=["tune", "no notes", "one note", "a thousand quarters"])
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


def test_history_of_one_epoch(tmp_path):
    plot_history(HISTORY[:1], tmp_path / "loss.png")
    assert (tmp_path / "loss.png").is_file()
