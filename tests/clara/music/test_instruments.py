"""Roles of tracks by name and program, parts of an ensemble, solo parts in the violin's range."""

import re
from collections import Counter

import pytest
from examples import midi_bytes, off, on, program, rows, track

from clara.errors import WrongEnsemble
from clara.music.instruments import ENSEMBLES, INSTRUMENTS, assign_parts, move_into_range, track_role
from clara.music.midi import read_midi
from clara.music.notes import build_notes


@pytest.mark.parametrize(
    "name, number, expected",
    [
        ("Voice", 68, "solo"),
        ("SingstimmeVoice", 0, "solo"),
        ("ChantVoice", 68, "solo"),
        ("chant:", 22, "solo"),
        ("", 40, "solo"),
        ("Staff_violin:", 0, "solo"),
        ("Violoncello", 0, "solo"),
        ("Flöte", 0, "solo"),
        ("", 68, "solo"),
        ("Piano", 0, "piano"),
        ("KlavierPiano", 0, "piano"),
        ("upper:", 0, "piano"),
        ("RH:", 0, "piano"),
        ("pianoDown:", 1, "piano"),
        ("up:VoiceI", 0, "piano"),
        ("Harpsichord", 6, "piano"),
        ("", 46, "piano"),
        ("organ", 0, "piano"),
        ("", 19, "piano"),
        ("", 0, "unknown"),
        (":mel", 0, "unknown"),
        ("Guitarre", 24, "unknown"),
        ("", 118, "unknown"),
    ],
)
def test_role(name, number, expected):
    assert track_role(name, number) == expected


def tracks(*players, lines=()):
    """Return tracks (name, program, check_monophonic); `lines` are the indices of the monophonic ones."""
    return [(name, number, lambda i=i: i in lines) for i, (name, number) in enumerate(players)]


@pytest.mark.parametrize(
    "players, lines, parts",
    [
        ([("Voice", 68), ("Piano", 0), ("Piano", 0)], [], [1, 0, 0]),
        ([("up", 0), ("down", 0), ("flute", 0)], [], [0, 0, 1]),
        ([("", 68), ("", 0), ("", 0)], [], [1, 0, 0]),
        ([(":mel", 0), ("upper:", 0), ("lower:", 0)], [0], [1, 0, 0]),  # not the piano's, and a line
        ([("", 0), ("", 0), ("", 0)], [0], [1, 0, 0]),  # a line above two staves
    ],
)
def test_the_solo_is_recognized(players, lines, parts):
    assert assign_parts(tracks(*players, lines=lines), "chamber") == parts


@pytest.mark.parametrize(
    "players, lines, reason",
    [
        ([("Piano", 0), ("Piano", 0)], [], "no solo part"),
        ([("", 0), ("", 0), ("", 0)], [], "no solo part"),  # no line on top
        ([("", 0), ("", 0)], [0], "no solo part"),  # two hands, as likely
        ([("", 0), ("", 0)], [0], "clara prepare --solo-track"),
        ([("Soprano", 52), ("Alto", 52), ("Piano", 0)], [], "2 solo parts"),
        ([("Voice", 68)], [], "no piano part"),
        ([("Voice", 68), ("Guitarre", 24)], [], "neither piano nor solo: Guitarre, program 24"),
    ],
)
def test_other_music_is_not_chamber_music(players, lines, reason):
    with pytest.raises(WrongEnsemble, match=reason):
        assign_parts(tracks(*players, lines=lines), "chamber")


@pytest.mark.parametrize("solo_track", ["2", 2, "alto", "ALTO "])
def test_the_solo_track_can_be_given(solo_track):
    assert assign_parts(tracks(("Soprano", 52), ("Alto", 52), ("Piano", 0)), "chamber", solo_track) == [0, 1, 0]


@pytest.mark.parametrize("solo_track", ["0", "4", "flute", "-1"])
def test_a_track_that_is_not_there(solo_track):
    with pytest.raises(WrongEnsemble, match=re.escape(f"no track {solo_track!r} among 3: soprano, alto, piano")):
        assign_parts(tracks(("Soprano", 52), ("Alto", 52), ("Piano", 0)), "chamber", solo_track)


QUARTET = [("Violin 1", 40), ("Violin 2", 40), ("Viola", 41), ("Violoncello", 42)]


def test_a_quartet_has_a_part_for_each():
    assert assign_parts(tracks(*QUARTET), "quartet") == [0, 1, 2, 3]
    assert assign_parts(tracks(*QUARTET, ("", 42)), "quartet") == [0, 1, 2, 3, 3]  # the cello's other staff


@pytest.mark.parametrize(
    "players, reason", [(QUARTET[:3], "no cello part"), ([*QUARTET, ("Piano", 0)], "no part for Piano, program 0")]
)
def test_no_quartet(players, reason):
    with pytest.raises(WrongEnsemble, match=reason):
        assign_parts(tracks(*players), "quartet")


def solo(*pitches):
    """Return a solo line over a piano note."""
    n = len(pitches)
    return build_notes([0, *range(n)], [n, *range(1, n + 1)], [40, *pitches], [0] + [1] * n)[0]


@pytest.mark.parametrize(
    "pitches, expected, losses",
    [
        ([55, 103], [55, 103], {}),
        ([54, 60], [66, 72], {"moved": 2}),
        ([38, 50], [62, 74], {"moved": 2}),  # a bass goes up two octaves, as little as will do
        ([104, 90], [92, 78], {"moved": 2}),
        ([50, 100], [62, 100], {"moved": 2, "folded": 1}),  # too wide: what then lies outside goes back by itself
        ([38, 100], [62, 100], {"moved": 2, "folded": 1}),
    ],
)
def test_solo_parts_come_into_the_violins_range(pitches, expected, losses):
    notes, lost = move_into_range(solo(*pitches))
    assert [p for p, part in zip(notes.pitch, notes.part) if part] == expected
    assert notes.pitch[notes.part == 0].tolist() == [40] and lost == losses


def test_parts_of_a_file_and_its_reason():
    piano, bass = (
        track(program(0, 0), on(0, 60), off(480, 60)),
        track(program(0, 43, 1), on(0, 36, channel=1), off(480, 36, 1)),
    )
    notes, losses = read_midi(midi_bytes(piano, bass), ensemble="chamber")
    assert (rows(notes), notes.part.tolist(), losses) == ([(0, 12, 60), (0, 12, 60)], [0, 1], Counter(moved=1))
    with pytest.raises(WrongEnsemble, match="^MIDI bytes: no solo part"):
        read_midi(midi_bytes(piano), ensemble="chamber")


def test_a_file_that_names_nothing_has_its_solo_on_the_line_above_two_staves():
    line = track(on(0, 72), off(480, 72), on(0, 74), off(480, 74))
    hand = track(on(0, 48), on(0, 52), off(480, 48), off(0, 52))
    assert read_midi(midi_bytes(line, hand, hand), ensemble="chamber")[0].part.tolist().count(1) == 2
    with pytest.raises(WrongEnsemble, match="no solo part"):
        read_midi(midi_bytes(hand, line, hand), ensemble="chamber")


def test_every_part_of_every_ensemble_has_its_instrument():
    assert all(prefix in INSTRUMENTS for prefixes in ENSEMBLES.values() for prefix in prefixes)
    assert {len(set(prefixes)) - len(prefixes) for prefixes in ENSEMBLES.values()} == {0}
