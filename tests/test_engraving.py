"""Sheet music: the notes that were given stand in it, and verovio draws it."""

import numpy as np
import pytest
from music21 import converter

from clara.engraving import notes_to_stream, to_musicxml, to_svg
from clara.errors import NoNotes
from clara.notes import mend


def melody(part=0):
    """A bar of quarters over a held fifth."""
    return mend([0, 12, 24, 36, 0, 0], [12, 24, 36, 48, 48, 48], [72, 74, 76, 77, 48, 55], [part] * 4 + [0] * 2)[0]


def pitches(score):
    """MIDI numbers of all written notes, ties counted once, ascending."""
    return sorted(p.midi for n in score.stripTies().flatten().notes for p in n.pitches)


def test_piano_has_two_staves_and_solo_three():
    assert len(notes_to_stream(melody()).parts) == 2
    assert len(notes_to_stream(melody(part=1)).parts) == 3


@pytest.mark.parametrize("part", [0, 1])
def test_every_note_is_written_once(part):
    notes = melody(part)
    assert pitches(notes_to_stream(notes)) == sorted(notes.pitch.tolist())


def test_onsets_and_tempo_survive_musicxml():
    score = converter.parseData(to_musicxml(melody()), format="musicxml")
    right = score.parts[0].flatten().notes
    assert [float(n.offset) for n in right] == [0, 1, 2, 3]
    assert score.metronomeMarkBoundaries()[0][2].number == 120


def test_triplets_and_odd_steps_are_put_on_what_can_be_written():
    notes, _ = mend([0, 4, 8, 17], [4, 8, 12, 18], [60, 62, 64, 65])
    onsets = [float(n.offset) for n in notes_to_stream(notes).parts[0].flatten().notes]
    assert np.allclose(onsets, [0, 1 / 3, 2 / 3, 3 / 2])  # 17/12 lies midway, the sixteenth takes it


def test_verovio_draws_each_note():
    assert to_svg(melody()).count('class="notehead"') == len(melody())


def test_one_staff_may_be_empty():
    assert "<svg" in to_svg(mend([0], [12], [90])[0])


def test_no_notes():
    with pytest.raises(NoNotes):
        to_musicxml(mend([], [], [])[0])


def test_a_quartet_has_a_staff_for_each_player():
    notes = mend([0, 0, 0, 0], [12] * 4, [76, 67, 60, 48], [0, 1, 2, 3], instruments=("va", "vb", "w", "c"))[0]
    staves = list(notes_to_stream(notes).parts)
    assert [staff.recurse().notes[0].pitch.midi for staff in staves] == [76, 67, 60, 48]
    assert [staff.recurse().getElementsByClass("Clef")[0].sign for staff in staves] == ["G", "G", "C", "F"]
