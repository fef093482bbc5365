"""The contract of every encoding in the registry; then what is notewise's own.

A new entry in `ENCODINGS` is tested by the first part as it stands.
"""

from collections import Counter
from dataclasses import replace

import pytest
from examples import HANDWRITTEN, handwritten, note_sequences, rows
from gridwise import Gridwise
from hypothesis import given, settings
from hypothesis import strategies as st

from clara.encodings import ENCODINGS, make_encoding
from clara.encodings.base import RANGES
from clara.encodings.chordwise import Chordwise
from clara.encodings.notewise import Notewise
from clara.encodings.vocab import Vocab, transposition_tables
from clara.errors import BadSetting, UnknownToken
from clara.music.midi import read_midi
from clara.music.notes import build_notes, crop, fold_octaves, transpose

pytestmark = pytest.mark.slow


def built():
    """Yield every encoding at both grids in every range, chordwise with holds, and the documentation's."""
    for name, kind in (ENCODINGS | {"gridwise": Gridwise}).items():
        for steps_per_quarter in (12, 4):
            for n_keys in RANGES:
                yield pytest.param(kind(steps_per_quarter, n_keys), id=f"{name}-{steps_per_quarter}-{n_keys}")
    for steps_per_quarter in (12, 4):
        yield pytest.param(Chordwise(steps_per_quarter, holds=True), id=f"chordwise-{steps_per_quarter}-holds")


every_encoding = pytest.mark.parametrize("encoding", list(built()))
few_examples = settings(max_examples=20)  # of each encoding; there are many


def drawn(data, encoding, **kwargs):
    """Random notes in an encoding's range."""
    bounds = {k: getattr(encoding, k) for k in ("lowest", "highest") if hasattr(encoding, k)}
    return data.draw(note_sequences(encoding.steps_per_quarter, **bounds, **kwargs))


def assert_round_trip(encoding, notes):
    """Assert that decoding restores the notes, or that encoding counted its losses."""
    tokens, losses = encoding.encode(notes)
    back, mended = encoding.decode(tokens)
    assert not mended
    assert losses or back == notes
    assert encoding.encode(replace(back, time_signatures=notes.time_signatures)) == (tokens, Counter())


def some_tokens(encoding):
    """Return all tokens of a closed vocabulary, or the fixed ones of an open vocabulary and those of some music."""
    seen = [w for name in HANDWRITTEN for w in encoding.encode(handwritten(name, encoding.steps_per_quarter))[0]]
    return sorted({*encoding.tokens, *seen}) if encoding.open_vocabulary else encoding.tokens


@every_encoding
@few_examples
@given(data=st.data())
def test_random_notes_come_back(encoding, data):
    assert_round_trip(encoding, drawn(data, encoding))


@every_encoding
@pytest.mark.parametrize("name", HANDWRITTEN)
def test_handwritten_music_comes_back(encoding, name):
    assert_round_trip(encoding, handwritten(name, encoding.steps_per_quarter))


@every_encoding
def test_real_music_comes_back(encoding, real_midi):
    for path in real_midi.values():
        assert_round_trip(encoding, read_midi(path, steps_per_quarter=encoding.steps_per_quarter)[0])


@every_encoding
def test_no_notes_are_no_tokens(encoding):
    nothing = build_notes([], [], [], steps_per_quarter=encoding.steps_per_quarter)[0]
    assert encoding.encode(nothing) == ([], Counter())
    assert encoding.decode([]) == (nothing, Counter())


@every_encoding
def test_tokens_are_distinct_plain_and_hold_all_that_is_written(encoding):
    assert len(set(encoding.tokens)) == len(encoding.tokens)
    assert all(w and w == w.strip() and len(w.split()) == 1 and not w.startswith("xx") for w in some_tokens(encoding))
    for name in HANDWRITTEN:
        tokens, _ = encoding.encode(handwritten(name, encoding.steps_per_quarter))
        assert tokens and set(tokens) <= set(some_tokens(encoding))


@every_encoding
def test_settings_build_it_again(encoding, monkeypatch):
    monkeypatch.setitem(ENCODINGS, encoding.name, type(encoding))
    again = make_encoding(encoding.settings)
    assert type(again) is type(encoding)
    assert (again.settings, again.tokens) == (encoding.settings, encoding.tokens)


@every_encoding
@few_examples
@given(data=st.data())
def test_a_text_as_one_string_with_control_tokens_reads_the_same(encoding, data):
    tokens, _ = encoding.encode(drawn(data, encoding, min_notes=1))
    assert encoding.decode(" ".join(["xxbos", *tokens, "xxeos", "xxpad"])) == encoding.decode(tokens)
    assert encoding.decode(tokens, qpm=77.0)[0].qpm == 77.0


@every_encoding
@few_examples
@given(data=st.data())
def test_any_tokens_decode_to_notes_that_encode_to_a_fixed_text(encoding, data):
    tokens = data.draw(st.lists(st.sampled_from(some_tokens(encoding)), max_size=60))
    once, _ = encoding.encode(encoding.decode(tokens)[0])
    assert encoding.encode(encoding.decode(once)[0])[0] == once


@every_encoding
@few_examples
@given(data=st.data())
def test_ids_moved_by_table_are_the_notes_moved_then_encoded(encoding, data):
    middle = (getattr(encoding, "lowest", 21) + getattr(encoding, "highest", 108)) // 2
    notes = data.draw(note_sequences(encoding.steps_per_quarter, middle - 12, middle + 12, min_notes=1))
    shifts = range(-6, 6)  # all twelve keys
    tokens = encoding.encode(notes)[0]
    vocab = Vocab.from_encoding(encoding, {encoding.transpose_token(w, s) for w in tokens for s in shifts})
    ids = vocab.to_ids(tokens)
    for shift, table in zip(shifts, transposition_tables(vocab, encoding, shifts)):
        assert vocab.to_tokens(table[ids]) == encoding.encode(transpose(notes, shift)[0])[0]


@every_encoding
def test_unknown_tokens_are_named_with_their_place(encoding):
    with pytest.raises(UnknownToken, match="token 2 .*'nonsense'"):
        encoding.decode([some_tokens(encoding)[0], "nonsense"])


@every_encoding
def test_notes_of_another_grid_are_refused(encoding):
    with pytest.raises(BadSetting, match="5 steps per quarter"):
        encoding.encode(handwritten("chord", 5))


@every_encoding
def test_steps_of_the_tokens_add_up_to_the_length(encoding):
    notes = handwritten("chord", encoding.steps_per_quarter)
    assert sum(encoding.token_steps(encoding.encode(notes)[0])) == notes.n_steps


@every_encoding
def test_a_text_begins_at_step_0_so_that_barlines_stay_where_they_are(encoding):
    tokens = encoding.encode(handwritten("rests", encoding.steps_per_quarter))[0]
    first = next(i for i, token in enumerate(tokens) if encoding.onset_tones(token))
    assert sum(encoding.token_steps(tokens[:first])) == 7


@every_encoding
def test_the_nearest_of_a_vocabulary_is_the_token_itself_where_it_is_held(encoding):
    if encoding.open_vocabulary:
        tokens = encoding.encode(handwritten("two voices", encoding.steps_per_quarter))[0]
        assert encoding.nearest_tokens(tokens, some_tokens(encoding)) == tokens


def test_an_unknown_encoding_is_refused():
    with pytest.raises(BadSetting, match="no encoding 'morse'; there are: .*notewise"):
        make_encoding({"encoding": "morse"})


notewise_ranges = pytest.mark.parametrize("steps_per_quarter, n_keys", [(s, k) for s in (12, 4) for k in RANGES])


@notewise_ranges
@given(data=st.data())
def test_notewise_loses_nothing_in_its_range(steps_per_quarter, n_keys, data):
    encoding = Notewise(steps_per_quarter, n_keys)
    notes = drawn(data, encoding)
    tokens, losses = encoding.encode(notes)
    assert not losses and encoding.decode(tokens) == (notes, Counter())


@notewise_ranges
@given(data=st.data())
def test_notewise_folds_what_lies_outside_and_counts(steps_per_quarter, n_keys, data):
    encoding = Notewise(steps_per_quarter, n_keys)
    notes = data.draw(note_sequences(steps_per_quarter, 0, 127))
    tokens, losses = encoding.encode(notes)
    assert (encoding.decode(tokens)[0], losses) == fold_octaves(notes, *RANGES[n_keys])


@given(note_sequences(parts=2))
def test_notewise_with_a_solo_part_loses_nothing(notes):
    encoding = Notewise(prefixes=("p", "v"))
    tokens, losses = encoding.encode(notes)
    assert not losses and encoding.decode(tokens) == (notes, Counter())
    assert make_encoding(encoding.settings).decode(tokens) == encoding.decode(tokens)


@pytest.mark.parametrize(
    "name, text",
    [
        ("one note", "p40 wait1 endp40"),
        ("chord", "p28 p32 p35 wait12 endp28 endp32 endp35 p27 p30 p35 wait12 endp27 endp30 endp35"),
        ("repeated", "p40 wait3 endp40 p40 wait3 endp40 p40 wait6 endp40 p40 wait1 endp40 p40 wait1 endp40"),
        ("range edges", "p1 p88 wait4 endp1 endp88 p2 p87 wait4 endp2 endp87 p1 p88 wait2 endp1 endp88"),
        ("rests", "wait7 p40 wait5 endp40 wait12 p42 wait1 endp42 " + "wait24 " * 8 + "wait8 p44 wait3 endp44"),
    ],
)
def test_notewise_by_hand(name, text):
    assert Notewise().encode(handwritten(name)) == (text.split(), Counter())


def test_notewise_writes_ends_then_starts_solo_then_piano():
    notes, _ = build_notes([0, 0, 0, 4, 4], [4, 4, 4, 6, 6], [60, 64, 72, 62, 70], [0, 0, 1, 0, 1])
    text = "v52 p40 p44 wait4 endv52 endp40 endp44 v50 p42 wait2 endv50 endp42"
    assert " ".join(Notewise(prefixes=("p", "v")).encode(notes)[0]) == text


@pytest.mark.parametrize(
    "text, expected, losses",
    [
        ("endp40 p42 wait3 endp42", [(0, 3, 62)], {"stray_end": 1}),
        ("p40 wait3 p40 wait2 endp40", [(0, 3, 60), (3, 2, 60)], {"restruck": 1}),
        ("p40 wait3 endp40 p42 wait20", [(0, 3, 60), (3, 20, 62)], {"unended": 1}),
        ("p40 endp40 p42 wait1 endp42", [(0, 1, 62)], {"empty": 1}),
        ("p40 p40 wait2 endp40", [(0, 2, 60)], {"restruck": 1, "empty": 1}),
        ("p40", [(0, 1, 60)], {"unended": 1}),
        ("wait5 endp40 endp40", [], {"stray_end": 2}),
    ],
)
def test_notewise_mends_and_counts(text, expected, losses):
    notes, lost = Notewise().decode(text)
    assert rows(notes) == expected and lost == losses


@given(st.lists(st.sampled_from(Notewise(4, 38).tokens), max_size=80))
def test_notewise_accounts_for_every_word(tokens):
    notes, losses = Notewise(4, 38).decode(tokens)
    starts = sum(w[0] == "p" for w in tokens)
    ends = sum(w.startswith("end") for w in tokens)
    assert len(notes) == starts - losses["empty"]
    assert ends - losses["stray_end"] == starts - losses["restruck"] - losses["unended"]


@pytest.mark.parametrize("refused", [{"n_keys": 61}, {"steps_per_quarter": 0}])
def test_notewise_refuses_settings(refused):
    with pytest.raises(BadSetting, match="must be"):
        Notewise(**refused)


def test_notewise_refuses_a_part_without_a_prefix():
    with pytest.raises(BadSetting, match="part 1 has no prefix"):
        Notewise().encode(build_notes([0], [1], [60], 1)[0])


def test_notewise_reads_a_cropped_text_as_cropped_music(real_midi):
    notes = read_midi(real_midi["bach/bwv66.6"])[0]
    cropped = crop(notes, 24, 96)
    assert 0 < len(cropped) < len(notes)
    assert Notewise().decode(Notewise().encode(cropped)[0])[0] == cropped


def test_notewise_vocabulary_size():
    assert len(Notewise(12, 88).tokens) == 2 * 88 + 24
    assert len(Notewise(4, 38, ("p", "v")).tokens) == 4 * 38 + 8
