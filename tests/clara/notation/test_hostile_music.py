"""Music that no one should write down is written down anyway, or refused by name, and quickly."""

from xml.etree import ElementTree

import numpy as np
import pytest

from clara.errors import NoNotes, TooLong
from clara.music.notes import build_notes
from clara.rendering.engraving import MAX_MEASURES, to_musicxml, to_svg, to_svgs


def music(start, end, pitch, *rest, **settings):
    """Return notes from columns in any order."""
    return build_notes(start, end, pitch, *rest, **settings)[0]


def random_music(n, n_steps, longest, **settings):
    """Return notes that begin anywhere, last as long as they like, and overlap."""
    rng = np.random.default_rng(n)
    start = rng.integers(0, n_steps, n)
    return music(start, start + rng.integers(1, longest, n), rng.integers(0, 128, n), **settings)


HARMLESS = {
    "one note": music([0], [12], [60]),
    "a note after a thousand bars": music([48_000], [48_012], [60]),
    "all pitches at once": music([0] * 128, [12] * 128, np.arange(128)),
    "one pitch that overlaps itself in two parts": music([0, 6], [24, 30], [60, 60], [0, 1]),
    "a part without an instrument": music([0, 12], [12, 24], [60, 62], [0, 5]),
    "a grid of sevenths": random_music(60, 100, 9, steps_per_quarter=7),
    "a fine grid": random_music(60, 4000, 300, steps_per_quarter=500),
    "time signatures that no one reads": random_music(
        30, 90, 9, time_signatures=((-7, 64, 64), (5, 1, 64), (7, 63, 64))
    ),
    "a signature in each quarter": random_music(30, 90, 9, time_signatures=tuple((i, 1 + i % 7, 8) for i in range(90))),
    "seven flats, then seven sharps": random_music(60, 200, 9, key_signatures=((0, -7), (100, 7), (10**6, 0))),
    "a tempo of nothing": music([0], [12], [60], qpm=1e-9),
    "an endless tempo": music([0], [12], [60], qpm=float("inf")),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_odd_music_is_written(name):
    notes = HARMLESS[name]
    root = ElementTree.fromstring(to_musicxml(notes, 'a <title> & "\x00\x0b'))
    tied = [tie for tie in root.iter("tie") if tie.get("type") == "stop"]
    coarse = notes.steps_per_quarter in (7, 500)  # rounded to 12 steps per quarter
    assert coarse or len(list(root.iter("pitch"))) - len(tied) == len(notes)
    assert "<svg" in to_svg(notes)


def test_dense_music_is_written_but_not_drawn():
    notes = random_music(5000, 48, 12)
    assert to_musicxml(notes).count("<note>") > 5000
    with pytest.raises(TooLong, match="note heads in measure 1 are too many for sheet music"):
        to_svgs(notes)


def test_long_music_is_written_but_not_drawn():
    start = np.arange(MAX_MEASURES + 1) * 48
    with pytest.raises(TooLong, match=f"{MAX_MEASURES + 1:,} measures are too many"):
        to_svg(music(start, start + 12, [60] * len(start)))


def test_endless_music_is_refused():
    with pytest.raises(TooLong, match="too long for a score"):
        to_musicxml(music([2**25], [2**25 + 12], [60]))


def test_silence_is_refused():
    with pytest.raises(NoNotes):
        to_musicxml(music([], [], []))
