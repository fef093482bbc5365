"""ABC macros: static ones, ones that hold for all notes, and limits."""

import pytest

from clara.errors import TooLong
from clara.music.abc_macros import MAX_CHARACTERS, expand_macros
from clara.music.scores import read_score


def expand(macros, music):
    """Return the music of a tune with its macros expanded."""
    fields = "".join(f"m:{macro}\n" for macro in macros)
    return expand_macros(f"X:1\n{fields}K:C\n{music}", "a.abc").partition("K:C\n")[2]


@pytest.mark.parametrize(
    "macros, music, expected",
    [
        (["~G2 = {A}G{F}G"], "~G2 G2 ~G3", "{A}G{F}G G2 ~G3"),
        (["~n2=(3o/n/m/ n"], "~c2 ~B,2 ~g'2", "(3d/c/B/ c (3C/B,/A,/ B, (3a'/g'/f'/ g'"),
        (["n$ = nhz"], "c$", "cDa'"),
        (["~a = b", "~a2 = c d"], "~a2 ~a", "c d b"),
        (["a = aa"], "a", "aa"),
        (["~n = n!trill!"], "~c", "c!trill!"),
        (["~G=x"], "~G\nw: ~G\n%%text ~G\n", "x\nw: ~G\n%%text ~G\n"),
        (["!turn!c = B/c/", "!turn!n=n/o/"], "!turn!c !turn!e", "B/c/ e/f/"),
        (["= x", "~G ="], "~G x", "~G x"),
    ],
)
def test_expansion(macros, music, expected):
    assert expand(macros, music) == expected


def test_a_tune_with_macros_is_read(tmp_path):
    (tmp_path / "a.abc").write_text("m:~n2 = n/o/n\nX:1\nM:4/4\nL:1/4\nm:!turn!c = B/c/\nK:C\n~G2 !turn!c|\n")
    notes, losses = read_score(tmp_path / "a.abc")
    assert notes.pitch.tolist() == [67, 69, 67, 71, 72] and not losses
    assert notes.start.tolist() == [0, 6, 12, 24, 30]


def test_limits():
    with pytest.raises(TooLong, match="a.abc: more than 100 macros"):
        expand([f"~{i} = c" for i in range(101)], "c")
    with pytest.raises(TooLong, match="characters when its macros are expanded"):
        expand(["c = " + "d" * 200], "c" * (MAX_CHARACTERS // 100))
