"""The listening page in a browser: playing, voting, narrow windows, dark mode, and no network."""

import shutil
import time
from dataclasses import replace

import pytest
import tiny

from clara.encodings.notewise import Notewise
from clara.generation.generator import Sample
from clara.rendering.blind_test import HumanExcerpt
from clara.rendering.output_folder import RenderSettings, write_playlist

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")]
LONG = "a-name-without-any-place-to-break-it-at-" * 5
RUN = {"model": LONG, "seed": 4, "settings": {"temperature": 0.9}}


def sample(seed):
    notes = replace(tiny.tune(seed), qpm=90.0)
    return Sample(Notewise().encode(notes)[0], notes, 0, 0.0, seed)


@pytest.fixture(scope="module")
def ranked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranked")
    scores = [
        {"critic": 1.2, "longest_copied_run": 7.0, "total": 0.5},
        {"critic": -0.4, "longest_copied_run": 3.0, "total": -0.7},
    ]
    write_playlist([sample(0), sample(1)], folder, RUN, scores, render=RenderSettings(pictures=False))
    return folder / "index.html"


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blind")
    humans = [HumanExcerpt(f"Somebody, opus {i} {LONG}", sample(i).tokens, sample(i).notes) for i in (7, 8)]
    scores = [{"critic": s, "total": s} for s in (1.0, -1.0)]
    write_playlist(
        [sample(0), sample(1)],
        folder,
        RUN,
        scores,
        render=RenderSettings(pictures=False),
        excerpts=humans,
        excerpt_scores=scores,
    )
    return folder / "index.html"


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Return a function that opens a page; afterwards check that there were no errors and no requests."""
    asked, wrong, contexts = [], [], []

    def open_page(path, width=1000, **more):
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900}, **more))
        page = contexts[-1].new_page()
        page.on("request", lambda r: asked.append(r.url))
        page.on("console", lambda m: wrong.append(m.text))
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.goto(path.as_uri())
        return page

    open_page.wrong = wrong
    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
    assert asked and all(url.startswith(("file:", "data:")) for url in asked)


def until(page, holds, seconds=30):
    """Wait for a JavaScript condition; the page's policy refuses the script that Playwright waits with."""
    end = time.monotonic() + seconds
    while not page.evaluate(holds):
        assert time.monotonic() < end, holds
        page.wait_for_timeout(50)


def piece(page, n):
    return page.locator(".piece").nth(n)


def background(page):
    """Return the brightness of the page's background, 0-255."""
    return (
        sum(map(int, page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)"))) / 3
    )


def vote(page, right):
    """Vote on the first pieces, correctly or not, and return who wrote each piece."""
    for n, is_right in enumerate(right):
        by = piece(page, n).get_attribute("data-author")
        piece(page, n).get_by_label("Human" if (by == "human") == is_right else "Machine").check()
    return [piece(page, n).get_attribute("data-author") for n in range(len(right))]


def test_it_plays_and_the_playhead_moves(opened, ranked):
    page = opened(ranked)
    slider = page.get_by_label("Position in piece 1")
    assert float(slider.input_value()) == 0 and page.locator("audio[controls]").count() == 0
    page.get_by_role("button", name="Play piece 1").click()
    until(page, "document.querySelector('.roll input').value > 0.3")
    page.get_by_role("button", name="Play piece 2").click()
    until(page, "document.querySelectorAll('.roll input')[1].value > 0.3")
    assert page.evaluate("[...document.querySelectorAll('audio')].map(a => a.paused)") == [True, False]
    page.get_by_role("button", name="Pause piece 2").click()
    page.get_by_role("button", name="Play piece 2").wait_for()


def test_it_starts_again_after_its_end(opened, ranked):
    page = opened(ranked)
    page.get_by_role("button", name="Play piece 1").click()
    until(page, "document.querySelector('audio').duration > 1")
    page.evaluate("const a = document.querySelector('audio'); a.currentTime = a.duration - 0.2")
    page.get_by_role("button", name="Play piece 1").wait_for()
    until(page, "document.querySelector('.roll input').value == 0")


def test_the_keyboard_is_enough(opened, ranked):
    page = opened(ranked)
    for name in ("Hide the scores", "Play piece 1"):
        page.keyboard.press("Tab")
        assert (
            page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")
            == name
        )
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Space")
    until(page, "!document.querySelector('audio').paused")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    before = float(page.get_by_label("Position in piece 1").input_value())
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert float(page.get_by_label("Position in piece 1").input_value()) > before


def test_a_click_on_the_roll_seeks(opened, ranked):
    page = opened(ranked)
    box = piece(page, 0).locator(".roll").bounding_box()
    page.get_by_role("button", name="Play piece 1").click()
    until(page, "document.querySelector('audio').currentTime > 0")
    page.get_by_role("button", name="Pause piece 1").click()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    quarters = float(page.get_by_label("Position in piece 1").get_attribute("max"))
    seconds = float(sample(0).expression.seconds_at(quarters / 2))
    assert page.evaluate("document.querySelector('audio').currentTime") == pytest.approx(seconds, rel=0.03)


def test_scores_can_be_hidden(opened, ranked):
    page = opened(ranked)
    description = piece(page, 0).get_by_text("the critic takes it for human, 77 %")
    assert description.is_visible()
    page.get_by_role("button", name="Hide the scores").click()
    assert not description.is_visible()
    page.get_by_role("button", name="Show the scores").click()
    assert description.is_visible()


def test_midi_is_saved_from_the_page_itself(opened, ranked, tmp_path):
    alone = tmp_path / "index.html"
    shutil.copy(ranked, alone)
    page = opened(alone)
    with page.expect_download() as saving:
        piece(page, 1).get_by_role("link", name="MIDI").click()
    saving.value.save_as(tmp_path / "saved.mid")
    assert saving.value.suggested_filename == "02.mid"
    assert (tmp_path / "saved.mid").read_bytes() == (ranked.parent / "02.mid").read_bytes()
    page.get_by_role("button", name="Play piece 2").click()
    until(page, "document.querySelectorAll('audio')[1].currentTime > 0.2")


def test_a_blind_test_hides_the_answers_before_the_votes(opened, blind):
    page = opened(blind)
    shown = page.locator("body").inner_text()
    assert not any(word in shown for word in ("Somebody", "composed by", "critic", ".mid", "seed 0"))
    assert page.get_by_role("button", name="Show the answers").is_disabled()
    assert page.locator("#votes").inner_text() == "0 of 4 voted"


def test_all_votes_show_the_answers(opened, blind):
    page = opened(blind)
    by = vote(page, [True, False, True, True])
    humans = sum(r for r, b in zip([True, False, True, True], by) if b == "human")
    assert page.locator("#result").inner_text().replace("\u00a0", " ") == (
        f"You were right about {humans} of 2 by humans, {3 - humans} of 2 by the machine: 3 of 4 in all, 75 %. "
        "Guessing gives 50 %. "
        "The critic was right about 1 of 2 human pieces and 1 of 2 composed ones."
    )
    assert page.evaluate("document.activeElement.id") == "result"
    for n, (writer, right) in enumerate(zip(by, (True, False, True, True))):
        answer = piece(page, n).locator(".answer").inner_text()
        assert answer.startswith(writer.title()) and ("You were right." in answer) == right
    assert piece(page, 0).locator(".scores").is_visible() and not page.get_by_text("Who wrote piece 1?").is_visible()


def test_the_answers_can_be_shown_after_some_votes(opened, blind):
    page = opened(blind)
    by = vote(page, [True, True])
    assert page.locator("#votes").inner_text() == "2 of 4 voted" and not page.locator("#result").is_visible()
    page.get_by_role("button", name="Show the answers").click()
    counts = [by.count(who) for who in ("human", "machine")]
    assert (
        f"right about {counts[0]} of {counts[0]} by humans, {counts[1]} of {counts[1]} by the machine: 2 of 2"
        in page.locator("#result").inner_text()
    )
    assert "You" not in piece(page, 3).locator(".answer").inner_text()


def test_votes_by_keyboard(opened, blind):
    page = opened(blind)
    piece(page, 0).get_by_label("Human").focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    assert piece(page, 0).get_by_label("Machine").is_checked() and page.locator("#votes").inner_text() == "1 of 4 voted"


@pytest.mark.parametrize("width", [320, 390, 1000])
def test_nothing_is_wider_than_the_window(opened, ranked, blind, width):
    for path in (ranked, blind):
        page = opened(path, width)
        if path == blind:
            vote(page, [True] * 4)
        page.locator("summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert piece(page, 0).locator(".roll").bounding_box()["width"] > 0.8 * width - 60


def test_light_and_dark(opened, ranked):
    light, dark = (opened(ranked, color_scheme=scheme) for scheme in ("light", "dark"))
    assert background(light) > 200 and background(dark) < 60


def test_without_scripts_the_browser_shows_its_own_player(opened, ranked):
    page = opened(ranked, java_script_enabled=False)
    assert page.locator("audio").first.is_visible() and not page.locator(".play").first.is_visible()


def test_a_missing_audio_file_is_reported(opened, ranked, tmp_path, monkeypatch):
    from clara.rendering import output_folder as playlist

    monkeypatch.setattr(playlist, "EMBEDDED_BYTES", 0)
    write_playlist([sample(0)], tmp_path, RUN, render=RenderSettings(pictures=False))
    page = opened(tmp_path / "index.html")
    page.get_by_role("button", name="Play piece 1").click()
    until(page, "document.querySelector('audio').currentTime > 0.2")
    (tmp_path / "01.wav").unlink()
    page = opened(tmp_path / "index.html")
    page.get_by_role("button", name="Play piece 1").click()
    page.get_by_text("Is the audio file still beside this page?").wait_for()
    assert "ERR_FILE_NOT_FOUND" in opened.wrong.pop()
