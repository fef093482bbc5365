"""The listening page: its content, and that no other script can run in it."""

import base64
import re
from hashlib import sha256

import pytest
import tiny

from clara.music.notes import build_notes
from clara.rendering.form_strip import LEGEND
from clara.rendering.listening_page import PageEntry, PageSound, describe_score, render_page


def entry(**more):
    return PageEntry(tiny.tune(0), 0.0, {"notes": 40}, {}, b"MThd", "01.mid", **more)


@pytest.mark.parametrize(
    "name, value, meaning",
    [
        ("critic", 1.2, "human, 77 %"),
        ("critic", -1.2, "generated, 77 %"),
        ("critic", 0.0, "50 %"),
        ("critic", 900.0, "above 99 %"),
        ("composer:chopin", -0.7, "50 %"),
        ("composer:chopin", -50.0, "below 1 %"),
        ("novelty", -1.0, "37 points"),
        ("likelihood", -5.25, "5.25 nats"),
        ("longest_copied_run", 9.0, "has 9"),
        ("density_likelihood", 0.0, "100 %"),
        ("note_density", 2.0, "4.0 notes"),
        ("rest_ratio", 0.125, "in 12.5 % of"),
        ("rest_ratio", 0.0, "in 0.0 % of"),
        ("total", 1.0, "ranked by"),
        ("a new one", 3.0, ""),
    ],
)
def test_scores_are_described(name, value, meaning):
    assert meaning in describe_score(name, value) and bool(meaning) == bool(describe_score(name, value))


def test_every_score_has_a_description():
    from critic.scores import SCORES

    assert all(describe_score(name, -0.5) for name in SCORES)


def test_only_its_own_script_runs():
    text = render_page([entry()], {"model": "<script>x()</script>"})
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert f"script-src 'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'" in text
    assert "default-src 'none'" in text and "$" not in re.sub(r"\$\{", "", text)


def test_names_are_escaped():
    evil = "\"'><img src=x onerror=y()>"
    one = entry(
        links={evil: evil},
        sound=PageSound("wav", None, evil),
        author="human",
        title=evil,
    )
    text = render_page(
        [one, entry(author="machine")], {"model": evil, "prompt": evil, "settings": {evil: evil}, "range": [evil]}
    )
    assert "<img" not in text and "onerror" in text and evil not in text


def test_all_rolls_of_a_blind_test_are_equally_long():
    short = tiny.tune(1, n_notes=20)
    entries = [entry(author="human"), PageEntry(short, 0.0, {}, {}, b"", "02.mid", author="machine")]
    widths = re.findall(r'viewBox="0 0 (\d+) ', render_page(entries, {}))
    assert widths == [str(tiny.tune(0).n_steps)] * 2 and short.n_steps < tiny.tune(0).n_steps


def test_several_colours_have_a_legend():
    both = build_notes([0, 0, 12], [12, 12, 24], [60, 72, 64], [0, 1, 0])[0]
    text = render_page([PageEntry(both, 1.0, {}, {}, b"", "01.mid")], {})
    assert re.findall(r"<i class=(\w+)></i>(\w+)", text) == [
        ("part0", "Piano"),
        ("part1", "Violin"),
        ("prompt", "prompt"),
    ]
    assert 'class="key"' not in render_page([entry()], {})


def test_the_form_is_above_the_roll_unless_it_would_tell_people_from_machines():
    page = render_page([entry()], {})
    assert page.index('<svg class="strip"') < page.index('<div class="roll"') and LEGEND in page
    blind = render_page([entry(author="human"), entry(author="machine")], {})
    assert '<svg class="strip"' not in blind and LEGEND not in blind
