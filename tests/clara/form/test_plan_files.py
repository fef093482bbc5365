"""Plan files: round trip, by hand, and everything that can be wrong with one."""

import re

import numpy as np
import pytest
from examples import open_plan, pieces_with_form, plans, same_plan
from hypothesis import given
from hypothesis import strategies as st

from clara.errors import BadPlan, CannotWrite
from clara.form.extraction import extract_plan
from clara.form.plan import EXACT, MAX_BARS, NEW, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED
from clara.form.plan_files import HEADER, MAX_BYTES, format_plan, parse_plan, read_plan, write_plan

BY_HAND = """\
Clara plan 1
home: A minor
steps per quarter: 12

bar, time signature,                  relation,        key,     chord, density, register, texture, phrase
0,   3/4 lasting 1/2 upbeat 1/4,      new,             A minor, Am,    3,       C4,       1,       starts
1,   3/4,                             transposed 0 +5, C major, F,     3,       F4,       1,       continues
2,   3/4,                             varied 1,        ,        Bb,    ,        Bb-1,     0,
3,   2/4,                             silent
4,   ,                                exact 0
5,   6/8,                             rhythm 4,        ,        ,      8,       G9,       5,       starts
"""


@given(plans())
def test_round_trip(plan):
    assert same_plan(parse_plan(format_plan(plan)), plan)


@given(pieces_with_form())
def test_round_trip_of_plans_of_pieces(notes):
    plan = extract_plan(notes)
    assert same_plan(parse_plan(format_plan(plan)), plan)


def test_round_trip_through_a_file(tmp_path):
    plan = open_plan([(NEW, UNKNOWN), (EXACT, 0)])
    write_plan(plan, tmp_path / "plan.csv")
    assert same_plan(read_plan(tmp_path / "plan.csv"), plan)


def test_every_column_by_hand():
    plan = parse_plan(BY_HAND)
    assert plan.relation.tolist() == [NEW, TRANSPOSED, VARIED, SILENT, EXACT, RHYTHM]
    assert plan.source.tolist() == [UNKNOWN, 0, 1, UNKNOWN, 0, 4]
    assert plan.shift.tolist() == [0, 5, 0, 0, 0, 0]
    assert plan.begin.tolist() == [-12, 12, 48, 84, 108, 132, 168]
    assert plan.time_signatures == ((-12, 3, 4), (84, 2, 4), (132, 6, 8))
    assert plan.key.tolist() == [21, 0, -1, -1, -1, -1]
    assert plan.chord.tolist() == [21, 5, 10, -1, -1, -1]
    assert plan.density.tolist() == [3, 3, -1, -1, -1, 8]
    assert plan.register.tolist() == [60, 65, 10, -1, -1, 127]
    assert plan.texture.tolist() == [1, 1, 0, -1, -1, 5]
    assert plan.phrase.tolist() == [1, 0, -1, -1, -1, 1]
    assert (plan.home, plan.steps_per_quarter) == (21, 12)


def test_a_plan_may_leave_everything_open():
    plan = parse_plan(table("1, 3/4", "2", "3, 4/4"))
    assert plan.relation.tolist() == plan.source.tolist() == plan.key.tolist() == [UNKNOWN] * 3
    assert plan.time_signatures == ((0, 3, 4), (72, 4, 4)) and plan.home == UNKNOWN


def test_how_it_is_written():
    plan = open_plan([(NEW, UNKNOWN), (TRANSPOSED, 0, -3)], key=[9, 21], chord=[9, 21], phrase=[1, 0], home=9)
    assert format_plan(plan).splitlines() == [
        "Clara plan 1",
        "home: A major",
        "steps per quarter: 12",
        "",
        "bar, time signature, relation,        key,     chord, density, register, texture, phrase",
        "1,   4/4,            new,             A major, A,     ,        ,         ,        starts",
        "2,   4/4,            transposed 1 -3, A minor, Am,    ,        ,         ,        continues",
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(" ", "  "),
        lambda text: "# mine\n\n" + text.replace("2,   3/4", "# and here\n2,   3/4"),
        lambda text: re.sub("(?m)$", ",,", text),
        lambda text: text.replace("Bb", "A#").replace("A minor", "a").replace("C4", "60"),
        lambda text: text.replace("exact", "EXACT").replace("Silent", "silent"),
    ],
)
def test_what_editors_and_tables_change_does_not_matter(change):
    changed = change(BY_HAND)
    assert changed != BY_HAND and same_plan(parse_plan(changed), parse_plan(BY_HAND))


def test_a_byte_order_mark_does_not_matter(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + BY_HAND.encode())
    assert same_plan(read_plan(tmp_path / "a.csv"), parse_plan(BY_HAND))


def table(*rows, head="Clara plan 1"):
    """Return the text of a plan with these lines for its bars."""
    return "\n".join([head, ", ".join(HEADER), *rows])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1, 4/4, exact 1"], "plan: bar 1: returns to itself; write `new`"),
        (["1, 4/4, new", "2,, exact 2"], "bar 2: returns to itself; name an earlier bar"),
        (["1, 4/4, new", "2,, exact 3", "3,, new"], "bar 2: returns to bar 3, which comes later; name an earlier bar"),
        (["1, 4/4, new", "2,, varied 9"], "bar 2: returns to bar 9, but the last bar is 2; name an earlier bar"),
        (["1, 4/4, new", "2,, rhythm 0"], "bar 2: returns to bar 0, but the first bar is 1; name an earlier bar"),
        (["1, 4/4, new", "2,, rhythm 99999999999999"], "bar 2: 'rhythm 99999999999999' is incomplete or says too much"),
        (["1, 4/4, new", "2,, transposed 1 +0"], "bar 2: transposed by 0; write 1 to 127 semitones"),
        (["1, 4/4, new", "2,, transposed 1 +128"], "bar 2: transposed by 128; write 1 to 127 semitones"),
        (["1, 4/4, new", "2,, transposed 1"], "bar 2: 'transposed 1' is incomplete"),
        (["1, 4/4, new 1"], "bar 1: 'new 1' is incomplete or says too much; write new, silent, exact N"),
        (["1, 4/4, like 1"], "bar 1: 'like 1' is no relation; write new"),
        (["1, , new"], "bar 1: the time signature is missing; the first bar needs one"),
        (["1, 7/64, new"], "bar 1: a bar of 7/64 lasts 5.25 steps, and a quarter has 12; choose a time signature"),
        (["1, 0/4, new"], "bar 1: '0/4' is no time signature"),
        (["1, waltz, new"], "bar 1: 'waltz' is no time signature"),
        (["1, 3/4 long, new"], "bar 1: '3/4 long' is no time signature; write it like 3/4, or 3/4 lasting 1/4"),
        (["1, 3/4 lasting 4/4, new"], "bar 1: '4/4' is no part of the bar"),
        (["1, 3/4 lasting 1/0, new"], "bar 1: '1/0' is no part of the bar"),
        (["1, 3/4 lasting 1/64, new"], "bar 1: '1/64' is no part of the bar on the grid of 12 steps"),
        (["1, 3/4, new", "2, 3/4 upbeat 1/4, new"], "bar 2: an upbeat is possible in the first bar only"),
        (["0, 3/4, new"], "plan: the number 0 is for a first bar with an upbeat"),
        (["1, 3/4 upbeat 1/4, new"], "plan: the number 0 is for a first bar with an upbeat"),
        (["0, 3/4 upbeat 1/4, exact 0"], "bar 0: returns to itself; write `new`"),
        (["2, 3/4, new"], "bar 1: its line begins with '2'; number the bars from 1 on"),
        (["1, 3/4, new, H major"], "bar 1: 'H major' is not a key"),
        (["1, 3/4, new,, Cdim"], "bar 1: 'Cdim' is not a key"),
        (["1, 3/4, new,,, 9"], "bar 1: density is '9'; write a whole number from 0 to 8"),
        (["1, 3/4, new,,, -1"], "bar 1: density is '-1'; write a whole number from 0 to 8"),
        (["1, 3/4, new,,,, X"], "bar 1: 'X' is not a pitch"),
        (["1, 3/4, new,,,, B9"], "bar 1: B9 is out of range; write a pitch from C-1 to G9"),
        (["1, 3/4, new,,,, Cb-1"], "bar 1: Cb-1 is out of range"),
        (["1, 3/4, new,,,,, 6"], "bar 1: texture is '6'; write a whole number from 0 to 5"),
        (["1, 3/4, new,,,,,, ends"], "bar 1: phrase is 'ends'; write continues or starts, or leave it empty"),
        (["1, 3/4, new,,,,,,, more"], "bar 1: more cells than the 9 columns; leave out 'more'"),
        (["1, 3/4, new", "3,, new"], "bar 2: its line begins with '3'; number the bars from 1 on"),
        ([], "the plan has no bars"),
        ([f"{i}, 4/4, new" for i in range(1, MAX_BARS + 2)], "the plan has 2,001 bars, and at most 2,000 are possible"),
    ],
)
def test_a_bad_bar_is_named(rows, message):
    with pytest.raises(BadPlan, match=re.escape(message)):
        parse_plan(table(*rows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a plan, whose first line is `Clara plan 1`"),
        ("{}", "not a plan"),
        ("Clara plan", "not a plan"),
        ("Clara plan 2\nanything", "a plan of version 2; this Clara reads version 1 only"),
        ("Clara plan 1", "the table must begin with the line `bar, time signature"),
        ("Clara plan 1\nbar, relation\n1, new", "the table must begin with"),
        (table("1, 4/4, new", head="Clara plan 1\nkey: C"), "'key: C' is no entry of a plan"),
        (table("1, 4/4, new", head="Clara plan 1\nhome: H"), "'H' is not a key"),
        (table("1, 4/4, new", head="Clara plan 1\nsteps per quarter: 0"), "steps per quarter is '0'; write a whole"),
        (table("1, 4/4, new", head="Clara plan 1\nsteps per quarter:"), "the steps per quarter are missing"),
    ],
)
def test_other_files_are_refused(text, message):
    with pytest.raises(BadPlan, match=re.escape(f"plan: {message}")):
        parse_plan(text)


def test_files_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(BadPlan, match="nowhere.csv: cannot be read"):
        read_plan(tmp_path / "nowhere.csv")
    with pytest.raises(BadPlan, match="cannot be read"):
        read_plan(tmp_path)
    (tmp_path / "a.mid").write_bytes(b"MThd\x00\x00\x00\x06\x00\x01\xff\xff")
    with pytest.raises(BadPlan, match="a.mid: not a plan, as it is no text in UTF-8"):
        read_plan(tmp_path / "a.mid")
    (tmp_path / "long.csv").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(BadPlan, match="larger than 1 MiB"):
        read_plan(tmp_path / "long.csv")
    with pytest.raises(CannotWrite):
        write_plan(open_plan([(NEW, UNKNOWN)]), tmp_path / "no folder" / "a.csv")


def test_the_longest_plan_fits_into_a_file():
    n = MAX_BARS
    columns = {"key": [13] * n, "chord": [13] * n, "density": [8] * n, "register": [13] * n, "phrase": [0] * n}
    plan = open_plan([(NEW, UNKNOWN), *[(TRANSPOSED, 0, -127)] * (n - 1)], texture=[5] * n, **columns)
    assert len(format_plan(plan)) < MAX_BYTES / 4


@given(st.text(max_size=200) | st.text(alphabet=" ,\n0123456789newxact/+-#:").map(lambda text: table(text)))
def test_hostile_text_is_refused_in_one_line(text):
    try:
        plan = parse_plan(text)
    except BadPlan as e:
        assert "\n" not in str(e) and len(str(e)) < 400
    else:
        assert (plan.source < np.arange(len(plan))).all()


@given(plans(), st.data())
def test_a_changed_character_is_refused_or_makes_another_plan(plan, data):
    text = format_plan(plan)
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + data.draw(st.characters(codec="utf-8")) + text[place + 1 :]
    try:
        other = parse_plan(changed)
    except BadPlan:
        return
    assert (other.source < np.arange(len(other))).all() and (np.diff(other.begin) > 0).all()
    assert same_plan(parse_plan(format_plan(other)), other)
