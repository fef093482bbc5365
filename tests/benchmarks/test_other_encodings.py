"""The other encodings that are compared with ours lose nothing either."""

import pytest
from examples import HANDWRITTEN, handwritten, note_sequences
from hypothesis import given

from benchmarks import other_encodings
from clara.encodings.chordwise import Chordwise
from clara.encodings.vocab import Vocab
from clara.music.notes import build_notes, transpose

WAYS = [
    other_encodings.EndsLast(),
    other_encodings.Descending(),
    other_encodings.Barred(),
    other_encodings.Durations(),
    other_encodings.BarredDurations(),
    other_encodings.SpelledChords(12, frozenset({"p1", "p1+p5", "~p1+p5", "~p1"})),
]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: type(way).__name__)


@every_way
@given(notes=note_sequences())
def test_nothing_is_lost(way, notes):
    words, losses = way.encode(notes)
    assert way.decode(words)[0] == notes and not losses
    assert set(words) <= set(Vocab.from_encoding(way).tokens)


@every_way
@pytest.mark.parametrize("name", HANDWRITTEN)
def test_words_moved_are_the_notes_moved(way, name):
    notes = handwritten(name)
    for shift in (-1, 1) if name == "range edges" else (-5, 6):
        there, _ = transpose(notes, shift)
        if there.pitch.min() >= way.lowest and there.pitch.max() <= way.highest:
            assert [way.transpose_token(w, shift) for w in way.encode(notes)[0]] == way.encode(there)[0]


@pytest.mark.parametrize(
    "way, text",
    [
        (WAYS[0], "p40 wait12 p40 endp40 wait12 endp40"),
        (WAYS[1], "p44 p40 wait12 endp44 endp40 p40 wait12 endp40"),
        (WAYS[2], "bar p40 p44 wait12 bar endp40 endp44 p40 wait12 bar endp40"),
        (WAYS[3], "p40 d12 p44 d12 wait12 p40 d12"),
        (WAYS[4], "bar p40 d12 p44 d12 wait12 bar p40 d12"),
        (WAYS[5], "p40+p44 " + "/~p40 /~p44 end " * 11 + "p40 " + "~p40 " * 11),
    ],
)
def test_by_hand(way, text):
    pitches = [60, 60] if way is WAYS[0] else [60, 64, 60]
    starts = [0, 12] if way is WAYS[0] else [0, 0, 12]
    notes = build_notes(starts, [s + 12 for s in starts], pitches, time_signatures=((0, 1, 4),))[0]
    assert way.encode(notes)[0] == text.split()


def test_barlines_follow_changes_of_the_time_signature():
    notes = build_notes([0], [100], [60], time_signatures=((0, 3, 4), (36, 2, 4), (60, 5, 32)))[0]
    assert other_encodings.barlines(notes) == [0, 36, 60, 68, 75, 83, 90, 98]


def test_shapes_are_chords_in_their_lowest_place():
    assert WAYS[5].shape("~p40+p44") == "~p1+p5" and WAYS[5].shape("rest3") == "rest3"
    assert Chordwise(holds=True).mark_codes("~p1+p5")
