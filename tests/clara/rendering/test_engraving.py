"""Sheet music: it holds every note, and verovio draws it."""

import base64
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import numpy as np
import pytest
import verovio
from music21 import converter
from symusic import Score

from clara.errors import BadSetting, NoNotes
from clara.music.notes import build_notes
from clara.music.scores import read_score
from clara.rendering.engraving import to_musicxml, to_svg, to_svgs

pytestmark = pytest.mark.slow


def melody(part=0):
    """Return a bar of quarters over a held fifth."""
    return build_notes([0, 12, 24, 36, 0, 0], [12, 24, 36, 48, 48, 48], [72, 74, 76, 77, 48, 55], [part] * 4 + [0] * 2)[
        0
    ]


def notes_to_music21(notes):
    """Return the sheet music of notes as music21 reads it."""
    return converter.parseData(to_musicxml(notes), format="musicxml")


def pitches(score):
    """Return the ascending MIDI pitches of all written notes; tied notes count once."""
    return sorted(p.midi for n in score.stripTies().flatten().notes for p in n.pitches)


def test_piano_has_two_staves_and_solo_three():
    assert len(notes_to_music21(melody()).parts) == 2
    assert len(notes_to_music21(melody(part=1)).parts) == 3


@pytest.mark.parametrize("part", [0, 1])
def test_every_note_is_written_once(part):
    notes = melody(part)
    assert pitches(notes_to_music21(notes)) == sorted(notes.pitch.tolist())


def test_onsets_and_tempo_survive_musicxml():
    score = converter.parseData(to_musicxml(melody()), format="musicxml")
    right = score.parts[0].flatten().notes
    assert [float(n.offset) for n in right] == [0, 1, 2, 3]
    assert score.metronomeMarkBoundaries()[0][2].number == 120


def test_verovio_draws_each_note():
    assert to_svg(melody()).count('class="notehead"') == len(melody())


def test_verovio_keeps_time_where_rests_are_hidden():
    """Triplets of a lower voice that sounds rarely, under held notes of the upper one."""
    upper = [(0, 48, 76), (48, 96, 77), (96, 144, 76)]
    lower = [(8, 12, 62), (52, 56, 64), (56, 60, 62), (100, 104, 60)]
    start, end, pitch = zip(*upper, *lower, *((bar, bar + 48, 43) for bar in (0, 48, 96)))
    notes, _ = build_notes(start, end, pitch)
    text = to_musicxml(notes)
    assert 'print-object="no"><rest' in text
    toolkit = verovio.toolkit()
    toolkit.loadData(text)
    columns = Score.from_midi(base64.b64decode(toolkit.renderToMIDI()))
    played = [note for track in columns.tracks for note in track.notes]
    rows = sorted((round(note.time * 12 / columns.ticks_per_quarter), note.pitch) for note in played)
    assert rows == sorted(zip(notes.start.tolist(), notes.pitch.tolist()))


def test_the_pages_together_hold_all_notes():
    rng = np.random.default_rng(0)
    notes, _ = build_notes(np.arange(600) * 6, np.arange(600) * 6 + 6, rng.integers(60, 80, 600))
    pages = to_svgs(notes, "A long piece")
    assert len(pages) > 1
    assert sum(page.count('class="notehead"') for page in pages) == len(notes)
    assert [page.count("A long piece") for page in pages] == [1] + [0] * (len(pages) - 1)
    assert to_svg(notes, page=2).count('class="notehead"') == pages[1].count('class="notehead"')
    assert all(len(ElementTree.fromstring(page)) for page in pages)


@pytest.mark.parametrize("page", [0, 2])
def test_a_missing_page_is_refused(page):
    with pytest.raises(BadSetting, match=f"no page {page} of 1"):
        to_svg(melody(), page=page)


def test_notes_of_the_key_have_no_accidental():
    pitch = 62 + np.tile([0, 2, 4, 5, 7, 9, 11, 12, 7, 4], 8)  # D major
    notes, _ = build_notes(np.arange(80) * 12, np.arange(80) * 12 + 12, pitch)
    assert to_musicxml(notes).count("<accidental") == 0


@pytest.mark.parametrize(
    "time_signatures, shown, bars",
    [
        (((0, 3, 4),), ["3/4"], [0, 3, 6, 9]),
        (((0, 6, 8), (72, 2, 2)), ["6/8", "2/2"], [0, 3, 6, 10]),
        (((0, 2, 2),), ["2/2"], [0, 4, 8]),
        (((-12, 4, 4),), ["4/4"], [0, 3, 7]),
        (((0, 64, 4),), ["4/4"], [0, 4, 8]),
        (((0, 1, 32),), ["4/4"], [0, 4, 8]),
        (((0, 4, 3),), ["4/4"], [0, 4, 8]),
        (((-24, 3, 4),), ["3/4"], [0, 1, 4, 7, 10]),
        (((-24, 3, 4), (48, 2, 4)), ["3/4", "2/4"], [0, 1, 4, 6, 8, 10]),
        (((-12, 3, 8), (6, 2, 4)), ["3/8", "2/4"], [0, 0.5, 2.5, 4.5, 6.5, 8.5, 10.5]),
        (((0, 3, 4), (48, 4, 4)), ["3/4", "1/4", "4/4"], [0, 3, 4, 8]),
        (((0, 3, 4), (40, 2, 4)), ["3/4", "2/4"], [0, 3, 6, 8, 10]),
        (((0, 3, 4), (400, 2, 4)), ["3/4"], [0, 3, 6, 9]),
    ],
)
def test_bars_follow_the_time_signatures(time_signatures, shown, bars):
    notes, _ = build_notes(np.arange(11) * 12, np.arange(11) * 12 + 12, [60] * 11, time_signatures=time_signatures)
    for staff in notes_to_music21(notes).parts:
        measures = list(staff.getElementsByClass("Measure"))
        assert [m.timeSignature.ratioString for m in measures if m.timeSignature] == shown
        assert [m.offset for m in measures] == bars
    assert to_svg(notes).count('class="notehead"') >= len(notes)


@pytest.mark.parametrize(
    "time_signatures", [((-24, 3, 4),), ((-24, 3, 4), (48, 2, 4)), ((0, 3, 4), (36, 6, 8), (108, 2, 2))]
)
def test_upbeats_and_changes_survive_musicxml(time_signatures, tmp_path):
    notes, _ = build_notes(
        np.arange(24) * 12, np.arange(24) * 12 + 12, 50 + np.arange(24), time_signatures=time_signatures
    )
    (tmp_path / "a.musicxml").write_text(to_musicxml(notes))
    again, losses = read_score(tmp_path / "a.musicxml")
    assert again == notes and again.time_signatures == time_signatures and not losses


@pytest.mark.parametrize("key_signatures", [((0, -4),), ((0, 5), (48, -2))])
def test_key_signatures_survive_musicxml(key_signatures, tmp_path):
    start = np.arange(8) * 12
    notes, _ = build_notes(start, start + 12, 60 + np.arange(8), key_signatures=key_signatures)
    (tmp_path / "a.musicxml").write_text(to_musicxml(notes))
    assert read_score(tmp_path / "a.musicxml")[0].key_signatures == key_signatures


def test_a_key_changes_at_the_nearest_barline(tmp_path):
    start = np.arange(12) * 12
    notes, _ = build_notes(start, start + 12, 60 + np.arange(12), key_signatures=((0, 0), (54, 3), (140, 1)))
    (tmp_path / "a.musicxml").write_text(to_musicxml(notes))
    assert read_score(tmp_path / "a.musicxml")[0].key_signatures == ((0, 0), (48, 3), (96, 1))


def test_one_staff_may_be_empty():
    assert "<svg" in to_svg(build_notes([0], [12], [90])[0])


def test_no_notes():
    with pytest.raises(NoNotes):
        to_musicxml(build_notes([], [], [])[0])


def test_a_quartet_has_a_staff_for_each_player():
    notes = build_notes([0, 0, 0, 0], [12] * 4, [76, 67, 60, 48], [0, 1, 2, 3], instruments=("va", "vb", "w", "c"))[0]
    staves = list(notes_to_music21(notes).parts)
    assert [staff.recurse().notes[0].pitch.midi for staff in staves] == [76, 67, 60, 48]
    assert [staff.recurse().getElementsByClass("Clef")[0].sign for staff in staves] == ["G", "G", "C", "F"]


def test_any_thread_may_engrave():
    notes = melody()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        found = [pool.submit(to_svg, notes).result() for pool in (one, other)]
    assert len({*found, to_svg(notes)}) == 1 or all(
        svg.count("<use") == to_svg(notes).count("<use") > 5 for svg in found
    )
