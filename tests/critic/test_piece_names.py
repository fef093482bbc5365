"""Readable names of corpus pieces."""

import pytest

from critic.piece_names import readable_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("chopin/mutopia-Chop-28-15", "Chopin, op. 28 no. 15"),
        ("chopin/chopin-first-editions-028-1-bh-004", "Chopin, op. 28 no. 4"),
        ("chopin/chopin-first-editions-018-1-bh", "Chopin, op. 18"),
        ("chopin/chpn_op25_e12", "Chopin, op. 25 no. 12"),
        ("beethoven/mutopia-LVB_Sonate_31no2_1", "Beethoven, sonate 31 no. 2 1"),
        ("schumann/mutopia-SchumannOp15No06", "Schumann, op. 15 no. 6"),
        ("mozart/mutopia-k153", "Mozart, K. 153"),
        ("bach/mutopia-bwv855b", "Bach, BWV 855b"),
        ("haydn/mutopia-hob-xvi-28-ii-menuetto", "Haydn, Hob. XVI 28 II menuetto"),
        ("unicki/nifc-pl-wnifc-6022-n-003-unicki-polonez", "Unicki, polonez"),
        (
            "smietanski/nifc-pl-wtm-r-2008-001-smietanski-emil-wladyslaw-mazourkas-op-2-nr-3",
            "Smietanski, mazourkas op. 2 no. 3",
        ),
        ("chopin/chopin-first-editions", "Chopin, first editions"),
        ("bach/", "Bach"),
        ("my tune", "my tune"),
        ("?", "?"),
    ],
)
def test_names_are_readable(name, shown):
    assert readable_name(name) == shown
