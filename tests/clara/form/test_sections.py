"""Letters of sections, on plans and pieces whose form is known."""

import numpy as np
import pytest
from examples import bars_to_notes, open_plan, pieces_with_form, plans, up
from hypothesis import given

from clara.form.extraction import extract_plan
from clara.form.plan import EXACT, NEW, RHYTHM, SILENT, TRANSPOSED, UNKNOWN, VARIED
from clara.form.sections import find_sections, trace_origins


def plan_of(form, phrase=None):
    """Return a plan from words: `.` is new, a number is an exact return to that bar, with a prime a varied one."""
    rows = []
    for word in form.split():
        kind = VARIED if word.endswith("'") else EXACT
        rows.append((NEW, UNKNOWN) if word == "." else (kind, int(word.rstrip("'"))))
    return open_plan(rows, **({"phrase": phrase} if phrase else {}))


def sections(plan):
    """Return the sections of a plan, such as `A8 B4 A'8`."""
    return " ".join(f"{section.name}{section.end - section.begin}" for section in find_sections(plan))


def returning(first, n):
    """Return words for n bars that return to consecutive ones."""
    return " ".join(str(first + i) for i in range(n))


NEW4, NEW8 = " .".join([""] * 5).strip(), " .".join([""] * 9).strip()


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (NEW8, "A8"),
        (f"{NEW8} {returning(0, 8)}", "A8 A8"),
        (f"{NEW8} {returning(0, 8)} {NEW8} {returning(8, 8)}", "A8 A8 B8 A8"),
        (f"{NEW8} {NEW8} {returning(0, 8)}", "A8 B8 A8"),
        (f"{NEW8} {NEW8} {returning(0, 16)}", "A16 A16"),
        # a part that returns alone divides the whole
        (f"{NEW8} {NEW8} {returning(0, 16)} {returning(8, 8)}", "A8 B8 A8 B8 B8"),
        # a repeat after four bars is a repeat, a variation after four bars is the second half of a period
        (f"{NEW4} {returning(0, 4)} {NEW4}", "A4 A4 B4"),
        (f"{NEW4} 0' 1' 2' 3' {NEW8} {returning(0, 8)}", "A8 B8 A8"),
        # bars that differ inside a return do not end it
        (f"{NEW8} 0 1 . 3 4 5 . 7 {NEW4}", "A8 A8 B4"),
        (f"{NEW8} 0 1 . . 4 5 . 7 {NEW4}", "A8 A'8 B4"),
        # few new bars after a return belong to it
        (f"{NEW8} 0 1 2 3 4 5 . . {returning(0, 8)}", "A8 A8 A8"),
        (f"{NEW8} 0 1 2 3 . . {returning(0, 8)}", "A8 A'6 A8"),
        (f"{NEW8} {returning(0, 3)} {NEW8}", "A19"),
    ],
)
def test_forms(form, expected):
    assert sections(plan_of(form)) == expected


def test_a_varied_section_has_a_prime():
    varied = " ".join(f"{bar}'" for bar in range(8))
    assert sections(plan_of(f"{NEW8} {varied} {returning(0, 8)}")) == "A8 A'8 A8"
    assert sections(plan_of(f"{NEW8} {varied} {returning(8, 8)}")) == "A8 A'8 A'8"


def test_a_transposed_section_keeps_its_letter():
    rows = [(NEW, UNKNOWN)] * 8 + [(TRANSPOSED, bar, 7) for bar in range(8)]
    assert sections(open_plan(rows)) == "A8 A8"


def test_a_common_rhythm_is_no_return():
    rows = [(NEW, UNKNOWN)] * 8 + [(RHYTHM, bar) for bar in range(8)]
    assert sections(open_plan(rows)) == "A16"


def test_a_return_begins_with_its_phrase():
    """The first bars of the return are new, but the phrase starts there."""
    form = f"{NEW8} . . 2 3 4 5 6 7"
    starts = [int(bar in (0, 8)) for bar in range(16)]
    assert sections(plan_of(form, starts)) == "A8 A8"
    assert sections(plan_of(form)) == "A10 A'6"


def test_a_varied_return_has_a_prime():
    assert sections(plan_of(f"{NEW4} {returning(0, 4)} {NEW4} 0' 1' 2' 3'")) == "A4 A4 B4 A'4"


def test_more_sections_than_letters():
    """Thirty sections of four bars, each of which returns alone."""
    order = [*range(30), *range(29, -1, -1)]
    rows = [
        (NEW, UNKNOWN) if i < 30 else (EXACT, 4 * section + bar) for i, section in enumerate(order) for bar in range(4)
    ]
    letters = [section.letter for section in find_sections(open_plan(rows))]
    assert letters[:2] == ["A", "B"] and letters[25:30] == ["Z", "AA", "AB", "AC", "AD"]
    assert letters[30:] == letters[:30][::-1]


def test_origins():
    rows = [(NEW, -1), (VARIED, 0), (EXACT, 1), (TRANSPOSED, 2, 3), (RHYTHM, 3), (SILENT, -1), (EXACT, 0)]
    origin, version = trace_origins(open_plan(rows))
    assert origin.tolist() == [0, 0, 0, 0, 4, 5, 0] and version.tolist() == [0, 1, 1, 1, 4, 5, 0]


def test_a_real_rondo():
    rng = np.random.default_rng(0)
    a, b, c = (
        [[(int(t), int(rng.integers(50, 80))) for t in sorted(rng.choice(48, 5, False))] for _ in range(8)]
        for _ in "abc"
    )
    notes = bars_to_notes(*a, *b, *a, *[up(bar, 5) for bar in c], *a)
    assert sections(extract_plan(notes)) == "A8 B8 A8 C8 A8"


@given(plans(max_bars=40) | pieces_with_form(n_bars=30).map(extract_plan))
def test_sections_hold_every_bar_once(plan):
    found = find_sections(plan)
    assert found[0].begin == 0 and found[-1].end == len(plan) and found[0].letter == "A"
    assert all(section.end == after.begin for section, after in zip(found, found[1:]))
    assert all(section.end > section.begin for section in found)
    seen = []
    for section in found:
        if section.letter not in seen:
            assert not section.is_varied
            seen.append(section.letter)
    assert seen == sorted(seen, key=lambda letter: (len(letter), letter))
    assert find_sections(plan) == found
