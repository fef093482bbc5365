"""The page, used as a person uses it: with Debian's chromium."""

import contextlib
import json
import re
import shutil
import socket
import threading
import time
from dataclasses import replace

import pytest
import tiny

from clara.music.midi import read_midi, write_midi

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
SECONDS = 60


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def served(app, port):
    """Serve an application in a thread."""
    import uvicorn

    config = uvicorn.Config(app, "127.0.0.1", port, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield
    server.should_exit = True
    thread.join(SECONDS)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    from clara_app.web.server import make_app

    port = free_port()
    folder = tmp_path_factory.mktemp("models") / "planned"
    tiny.plan_follower().save(folder)
    app = make_app([folder])
    app.state.page.composers["planned"].generator.planner = tiny.planner()
    with served(app, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    page = open_page(browser, address)
    yield page
    assert not page.problems, page.problems
    page.context.close()


def open_page(browser, address, **how):
    """Open the page in its own context and record errors and requests to other sites."""
    page = browser.new_context(**how).new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.problems = []
    page.on("pageerror", lambda e: page.problems.append(str(e)))
    page.on(
        "console",
        lambda m: page.problems.append(m.text) if m.type == "error" and "status of 400" not in m.text else None,
    )
    page.on(
        "request", lambda r: page.problems.append(r.url) if not r.url.startswith((address, "blob:", "data:")) else None
    )
    page.goto(address)
    page.wait_for_selector("#composer option:nth-child(5)", state="attached")
    return page


def wait_until(holds):
    """Wait until a condition holds; the page's security policy forbids Playwright's own way."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def compose(page):
    page.select_option("#length", "bars 4")
    return compose_quickly(page)


def percentages(page):
    """Return the critic's probabilities of the pieces, from the top of the page."""
    details = page.locator("#pieces .details li:first-child").all_text_contents()
    return [int(text.split()[-2]) for text in details]


def test_upload_compose_play_download(page, tmp_path):
    notes = tiny.tune(7, n_notes=60)
    write_midi(notes, tmp_path / "mine.mid")
    page.check("[value=file]")
    page.set_input_files("#file", tmp_path / "mine.mid")
    page.wait_for_selector("#prompt svg")
    assert page.locator("#prompt-roll .prompt").count() == len(notes)
    assert page.locator("#prompt-roll rect.form0").count() > 0 and page.locator("#prompt-roll rect.new").count() > 0
    assert "Form: A" in page.locator("#prompt-roll svg").get_attribute("aria-label")
    page.fill("#prompt-quarters", "8")
    pieces = compose(page)
    assert pieces.count() == 8 and percentages(page) == sorted(percentages(page), reverse=True)
    first = pieces.first
    assert first.locator(".prompt").count() == (notes.start < 96).sum() and first.locator(".part0").count() > 0
    assert "Sounds human: " in first.locator(".verdicts").inner_text() and first.locator("polyline").count() == 1
    first.locator("summary").click()
    assert "probability that a human wrote it" in first.locator(".details").inner_text()
    first.locator(".play").click()
    wait_until(lambda: seconds_played(page) > 0.3)
    assert first.locator(".playhead").get_attribute("visibility") == "visible"
    with page.expect_download() as download:
        first.get_by_text("MIDI", exact=True).click()
    download.value.save_as(tmp_path / "got.mid")
    got, _ = read_midi(tmp_path / "got.mid")
    assert len(got) == first.locator(".prompt").count() + first.locator(".part0").count()
    for kind in ("WAV", "FLAC", "MusicXML", "PNG"):
        with page.expect_download() as download:
            first.get_by_text(kind, exact=True).click()
        assert download.value.path().stat().st_size > 1000
    first.get_by_text("Sheet music").click()
    wait_until(lambda: first.locator(".score img").evaluate("i => i.naturalWidth") > 0)


def seconds_played(page):
    return page.evaluate("document.getElementById('sound').currentTime")


def is_paused(page):
    return page.evaluate("document.getElementById('sound').paused")


def test_one_player(page):
    """Click to seek, loop bars with the mouse, space bar and arrow keys."""
    page.select_option("#length", "bars 8")
    page.select_option("#quality", "quick")
    page.click("#compose")
    page.wait_for_selector("#stop", state="hidden")
    first, second = page.locator("#pieces article").nth(0), page.locator("#pieces article").nth(1)
    first.locator(".play").click()
    wait_until(lambda: seconds_played(page) > 0.2)
    second.locator(".play").click()
    assert first.locator(".play").inner_text() == "Play"
    wait_until(lambda: second.locator(".play").inner_text() == "Pause")
    box = second.locator(".roll svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    wait_until(lambda: page.inner_text("#player-place").startswith(("bar 4 ", "bar 5 ")))
    page.click("#player summary")
    page.select_option("#hearing", "flat")
    page.select_option("#only", "left")
    page.fill("#semitones", "-2")
    page.locator("#semitones").blur()
    wait_until(lambda: page.evaluate("document.getElementById('sound').src").endswith("?flat=1&semitones=-2&only=left"))
    wait_until(lambda: seconds_played(page) > 0.5 and not is_paused(page))
    page.focus("#pieces")
    page.keyboard.press("Space")
    wait_until(lambda: is_paused(page))
    before = page.inner_text("#player-place")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: page.inner_text("#player-place") > before)
    page.keyboard.press("ArrowLeft")
    wait_until(lambda: page.inner_text("#player-place") <= before)
    box = second.locator(".roll svg").bounding_box()
    for move, share in ((page.mouse.down, 0.3), (page.mouse.up, 0.42)):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
        move()
    assert page.is_checked("#loop-on") and page.input_value("#loop-first") in "23"
    page.fill("#loop-first", "2")
    page.fill("#loop-last", "2")
    page.locator("#loop-last").blur()
    places = set()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        places.add(page.inner_text("#player-place").split()[1])
        time.sleep(0.05)
    assert places <= {"2", "3"} and not is_paused(page)
    for button in ("#bars-vary", "#bars-again"):
        before = page.locator("#pieces article").first.get_attribute("data-id")
        with page.expect_response("**/compose"):
            page.click(button)
        page.wait_for_selector("#stop", state="hidden")
        assert "4 pieces composed" in page.inner_text("#status") and page.locator("#pieces article").count() == 4
        assert page.locator("#pieces article").first.get_attribute("data-id") != before
    page.locator("#pieces summary").first.click()
    page.locator("#pieces .again").first.click()
    wait_until(lambda: "in the player" in page.inner_text("#status"))
    assert (page.input_value("#loop-first"), page.input_value("#loop-last")) == ("2", "2")
    assert page.is_checked("#loop-on") and page.input_value("#seed") != ""
    page.click("#show-library")
    page.click("#compose")
    wait_until(lambda: page.locator("#pieces article").count() == 8)
    assert page.is_visible("#pieces")


def test_a_tune_is_harmonised_and_a_form_is_taken_over(page):
    page.check("[value=example]")
    page.wait_for_selector("#prompt svg")
    page.fill("#prompt-quarters", "8")
    page.select_option("#use", "tune")
    assert page.is_disabled("#length") and page.is_hidden("#ending")
    assert "with the tune" in compose_quickly(page).first.locator("h2").inner_text()
    page.select_option("#use", "form")
    assert page.is_disabled("#length") and page.is_visible("#ending")
    assert "in the form of" in compose_quickly(page).first.locator("h2").inner_text()
    page.select_option("#model", "chordwise")
    assert page.input_value("#use") == "continue" and page.is_enabled("#length")


def compose_quickly(page):
    page.select_option("#quality", "quick")
    page.click("#compose")
    page.wait_for_selector("#stop", state="hidden")
    assert "bad" not in (page.get_attribute("#status", "class") or ""), page.inner_text("#status")
    return page.locator("article")


def test_the_latest_request_counts(page):
    def late(route):
        answer = route.fetch()
        page.wait_for_timeout(1500)
        route.fulfill(response=answer)

    page.route("**/prompts/example/chorale", late)
    page.check("[value=example]")  # the chorale is the first
    page.select_option("#example", "prelude")
    page.wait_for_selector("#prompt svg")
    few = page.locator("#prompt-roll .prompt").count()
    page.wait_for_timeout(3000)
    assert page.locator("#prompt-roll .prompt").count() == few


def test_continue_from_here(page):
    compose(page)
    page.locator(".continue").first.click()
    assert page.is_checked("[value=piece]") and page.locator("#prompt-roll .prompt").count() > 0
    pieces = compose(page)
    assert pieces.first.locator(".prompt").count() > 0


def test_a_bad_file_is_reported_and_the_page_stays_usable(page, tmp_path):
    (tmp_path / "not music.mid").write_bytes(b"hello")
    page.check("[value=file]")
    page.set_input_files("#file", tmp_path / "not music.mid")
    wait_until(lambda: "not music.mid" in page.inner_text("#status"))
    assert "bad" in page.get_attribute("#status", "class")
    page.click("#compose")  # never from nothing, unless that is chosen
    wait_until(lambda: "choose a file" in page.inner_text("#status"))
    assert page.locator("article").count() == 0
    page.check("[value=none]")
    assert compose(page).count() == 8


def test_with_the_keyboard_alone(page):
    page.focus("[value=none]")
    page.keyboard.press("ArrowLeft")
    if not page.is_checked("[value=play]"):
        page.check("[value=play]")
    for key in "adg":
        page.keyboard.down(key)
        page.wait_for_timeout(150)
        page.keyboard.up(key)
    page.wait_for_selector("#prompt svg")
    assert page.locator("#prompt-roll .prompt").count() == 3
    page.select_option("#length", "bars 4")
    page.select_option("#quality", "quick")
    page.focus("#compose")
    page.keyboard.press("Enter")
    page.wait_for_selector("article:nth-child(8)")


FAKE_MIDI = """
const input = { name: "Stage piano" };
navigator.requestMIDIAccess = async () => ({ inputs: new Map([["1", input]]) });
window.sendMidi = (...data) => input.onmidimessage({ data });
"""


def test_a_midi_keyboard(page):
    """Twelve even notes become quarters in a beginning of their own tempo, and are there when Compose is pressed."""
    page.add_init_script(FAKE_MIDI)
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    page.check("[value=play]")
    page.click("#connect-midi")
    wait_until(lambda: "Stage piano" in page.inner_text("#status"))
    for pitch in [60, 62, 64, 65, 67, 69, 71, 72, 71, 69, 67, 64]:
        page.evaluate("pitch => sendMidi(0x90, pitch, 90)", pitch)
        page.wait_for_timeout(400)
        page.evaluate("pitch => sendMidi(0x90, pitch, 0)", pitch)  # a press without velocity is a release
        page.wait_for_timeout(100)
    page.evaluate("sendMidi(0xb0, 64, 127)")  # other messages do not matter
    page.select_option("#length", "bars 4")
    page.select_option("#quality", "quick")
    page.click("#compose")
    page.wait_for_selector("article:nth-child(8)")
    assert page.locator("#prompt-roll .prompt").count() == 12
    assert page.inner_text("#prompt-length") in ("of 12 quarter notes", "of 13 quarter notes")
    assert page.locator("article").first.locator(".prompt").count() == 12
    page.click("#prompt-show-score")
    page.wait_for_selector("#prompt-score img")


def test_notes_are_edited(page):
    article = compose(page).first
    article.locator(".edit").click()
    editor = article.locator(".editor")
    n_notes = editor.locator(".roll rect[class^=part]").count()
    about = editor.locator(".about")
    assert about.inner_text() == f"{n_notes} notes" and editor.locator("[data-do=save]").is_disabled()
    page.keyboard.press(".")
    before = about.inner_text()
    page.keyboard.press("Shift+ArrowUp")
    pitch, octave = re.match(r"(\D+)(\d)", before).groups()
    assert about.inner_text().startswith(f"{pitch}{int(octave) + 1}, ")
    for key in "zyz":  # a note that moved onto another one would become one with it
        page.keyboard.press(f"Control+{key}")
    page.keyboard.press(".")
    page.keyboard.press("n")
    assert editor.locator(".roll rect[class^=part]").count() == n_notes + 1
    page.keyboard.press("Delete")
    editor.locator(".tool").select_option("draw")
    box = editor.locator("svg").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 20, steps=3)
    page.mouse.up()
    drawn = about.inner_text()
    assert float(drawn.split()[-2]) > 1
    editor.locator("[data-do=listen]").click()
    assert editor.locator("[data-do=listen]").inner_text() == "Stop"
    before = article.get_attribute("data-id")
    page.reload()
    article = page.locator(f"article[data-id='{before}']")
    article.locator(".edit").click()  # the draft is kept
    box = editor.locator("svg").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 30, steps=3)
    page.mouse.up()
    assert about.inner_text() == f"{n_notes + 1} of {n_notes + 1} notes selected"
    editor.locator("[data-do=save]").click()
    version = page.locator("#pieces article").first
    version.get_by_text("Edited by you").wait_for()
    assert version.locator(".roll rect[class^=part]").count() == n_notes + 1
    assert page.locator(".editor").count() == 0
    version.locator(".before").click()
    assert page.locator(f"article[data-id='{before}'] .edit").evaluate("button => button === document.activeElement")


def test_sheet_music_is_printed_alone(page):
    """The dialog of the browser sees the pages of one score, and nothing else of the page."""
    page.evaluate("window.print = () => {}")
    compose(page)
    page.locator(".show-score").first.click()
    page.locator(".score button").first.click()
    page.wait_for_selector("body.printing #sheet img", state="attached")
    page.emulate_media(media="print")
    assert page.locator("#sheet img").first.is_visible() and not page.locator("header").first.is_visible()
    n_pages = page.locator("#sheet img").count()
    printed = page.pdf(format="A4")  # tells the page that it was printed
    assert len(re.findall(rb"/Type ?/Page\b", printed)) == n_pages
    page.emulate_media(media="screen")
    assert page.locator("#sheet").count() == 0 and page.locator("header").first.is_visible()


def test_two_at_once(browser, address):
    pages = [open_page(browser, address) for _ in range(2)]
    for page in pages:
        page.select_option("#length", "bars 4")
        page.select_option("#quality", "better")
        page.click("#compose")
    for page in pages:
        page.wait_for_selector("#stop", state="hidden")
        assert page.locator("article").count() == 8 and not page.problems
    assert len({page.locator("article").first.get_attribute("data-id") for page in pages}) == 2
    for page in pages:
        page.context.close()


def test_stopping_leaves_the_page_ready(page):
    page.select_option("#length", "bars 32")
    page.click("#request summary")
    page.select_option("#candidates", "128")
    page.click("#compose")
    page.wait_for_selector("article")
    page.click("#stop")
    page.wait_for_selector("#stop", state="hidden")
    assert "stopped early" in page.inner_text("#status")
    page.select_option("#candidates", "")
    assert compose(page).count() == 8


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off(browser, address, scheme):
    page = open_page(browser, address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    compose(page)
    page.check("[value=play]")
    page.click("#show-library")
    page.wait_for_selector("#rows li")
    page.click("#show-new")
    page.locator("article h2, article li, #status, #rows .open").evaluate_all(
        f"all => all.forEach(one => one.textContent = '{'long_name_of_a_piece' * 5}')"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ink, paper = (page.evaluate(f"getComputedStyle(document.body).{c}") for c in ("color", "backgroundColor"))
    brightness = [sum(map(int, c[c.index("(") + 1 : -1].split(",")[:3])) for c in (ink, paper)]
    assert (brightness[0] < brightness[1]) == (scheme == "light") and abs(brightness[0] - brightness[1]) > 400
    assert not page.problems
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, address, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def findings():
        violations = axe.run(page).response["violations"]
        return [(found["id"], [node["target"] for node in found["nodes"]]) for found in violations]

    page = open_page(browser, address, viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    compose(page)
    for source in ("example", "file", "play"):
        page.check(f"[value={source}]")
    page.click("#request summary")
    page.locator("#pieces summary").first.click()
    page.click("#pieces article:first-child .show-score")
    page.wait_for_selector(".score img")
    page.click("#pieces article:nth-child(2) .edit")
    page.locator("#pieces .play").first.click()
    page.click("#player summary")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert findings() == []
    page.click("#show-library")
    page.click("#rows li:first-child .open")
    page.wait_for_selector("#rows article svg")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert findings() == []
    page.goto(f"{address}/static/help.html")
    assert findings() == []
    page.context.close()


def test_a_time_signature_is_chosen_or_that_of_the_prompt(page, tmp_path):
    page.select_option("#time-signature", "3/4")
    pieces = compose(page)
    assert pieces.first.locator(".roll svg text").get_by_text("3/4", exact=True).count() == 1
    waltz = replace(tiny.tune(7, n_notes=60), time_signatures=((0, 6, 8),))
    write_midi(waltz, tmp_path / "jig.mid")
    page.check("[value=file]")
    page.set_input_files("#file", tmp_path / "jig.mid")
    page.wait_for_selector("#prompt svg")
    assert page.is_disabled("#time-signature")
    assert page.locator("#time-signature option:checked").inner_text() == "as the prompt (6/8)"
    page.check("[value=none]")
    assert page.is_enabled("#time-signature") and page.input_value("#time-signature") == ""


def test_a_length_in_quarter_notes(page):
    compose(page)
    page.select_option("#length", "quarters 16")
    with page.expect_request("**/compose") as request:
        page.click("#compose")
    sent = json.loads(request.value.post_data)
    assert sent["quarters"] == 16 and "bars" not in sent


def test_a_form_for_a_model_that_follows_plans(page):
    page.select_option("#model", "chordwise")
    assert page.is_disabled("#form") and "follows no plans" in page.inner_text("#form-note")
    assert page.is_hidden("#ending")
    page.select_option("#model", "planned")
    page.fill("#form", "A2 B2 A")
    assert page.is_disabled("#length") and page.is_checked("#ending")
    page.uncheck("#ending")
    page.select_option("#quality", "quick")
    with page.expect_request("**/compose") as request:
        page.click("#compose")
    sent = json.loads(request.value.post_data)
    assert (sent["form"], sent["ending"], sent["cadence"]) == ("A2 B2 A", False, False)
    assert "bars" not in sent and "quarters" not in sent
    page.wait_for_selector("#stop", state="hidden")
    assert page.locator("article").count() == 8
    page.check("[value=example]")
    page.wait_for_selector("#prompt svg")
    assert page.is_disabled("#form") and "without a prompt" in page.inner_text("#form-note")


def test_everything_survives_a_reload(page):
    page.check("[value=example]")
    page.wait_for_selector("#prompt svg")
    page.select_option("#key", "E minor")
    page.reload()
    page.wait_for_selector("#prompt svg")
    assert page.is_checked("[value=example]") and page.input_value("#key") == "E minor"
    pieces = compose(page)
    wait_until(lambda: re.fullmatch(r"about \d+ s", page.inner_text("#seconds")))
    before = pieces.evaluate_all("all => all.map(one => one.dataset.id)")
    page.reload()
    page.wait_for_selector("#pieces article:nth-child(8)")
    assert page.locator("#pieces article").evaluate_all("all => all.map(one => one.dataset.id)") == before
    assert page.input_value("#quality") == "quick" and "8 pieces composed" in page.inner_text("#status")


def test_a_reload_while_composing_goes_on_with_the_same_request(page):
    page.select_option("#length", "bars 16")
    page.select_option("#quality", "better")
    page.click("#request summary")
    page.select_option("#candidates", "64")
    page.click("#compose")
    page.wait_for_selector("#pieces article")
    first = page.evaluate("localStorage['clara-request']")
    page.reload()
    page.wait_for_selector("#pieces article")
    page.wait_for_selector("#stop", state="hidden")
    assert page.evaluate("localStorage['clara-request']") == first and "64 " in page.inner_text("#status")


def test_the_library(page, tmp_path):
    compose(page)
    page.click("#show-library")
    page.wait_for_selector("#rows li:nth-child(8)")
    page.click("#rows li:first-child .star")
    page.wait_for_selector("#rows .star[aria-pressed=true]")
    page.check("#only-starred")
    wait_until(lambda: page.locator("#rows li").count() == 1)
    page.uncheck("#only-starred")
    wait_until(lambda: page.locator("#rows li").count() >= 8)
    page.fill("#words", "no such words")
    wait_until(lambda: page.inner_text("#library-status") == "No piece is found.")
    page.fill("#words", "piano HUMAN")
    wait_until(lambda: page.locator("#rows li").count() >= 8)
    for i in (0, 1):
        page.locator("#rows .select").nth(i).check()
    page.click("#compare")
    page.wait_for_selector("#compared article:nth-child(2) svg")
    for kind, begin in (("html", b"<!doctype html>"), ("zip", b"PK")):
        with page.expect_download() as download:
            page.click(f"#export-{kind}")
        assert download.value.path().read_bytes()[: len(begin)].lower() == begin.lower()
    n_before = page.inner_text("#library-status")
    page.click("#delete")
    wait_until(lambda: page.inner_text("#library-status") == "2 deleted.")
    page.click("#undo")
    wait_until(lambda: "pieces" in page.inner_text("#library-status"))
    page.click("#rows li:first-child .open")
    page.click("#rows article .details + p, #rows article summary")
    seed = page.inner_text("#rows article .seed").split()[1]
    page.click("#rows article .again")
    wait_until(lambda: page.input_value("#seed") != "")
    assert page.input_value("#quality") == "quick" and seed and n_before


def test_a_wrong_setting_in_a_closed_section_is_shown(page):
    page.click("#request summary")
    page.fill("#temperature", "9")
    page.click("#request summary")
    assert page.is_hidden("#temperature")
    page.click("#compose")
    wait_until(lambda: "Temperature" in page.inner_text("#status"))
    assert page.is_visible("#temperature") and page.locator("article").count() == 0


def test_the_page_goes_on_when_the_server_is_back(browser, tmp_path):
    from clara_app.web.server import make_app

    port = free_port()
    with served(make_app(library=tmp_path), port):
        page = open_page(browser, f"http://127.0.0.1:{port}")
        assert "not measured here yet" in page.inner_text("#seconds")
        before = compose(page).evaluate_all("all => all.map(one => one.dataset.id)")
    page.wait_for_selector("#away")
    page.click("#compose")
    wait_until(lambda: "away" in page.inner_text("#status"))
    assert page.locator("#pieces article").count() == 8
    with served(make_app(library=tmp_path, warm=False), port):
        page.wait_for_selector("#away", state="hidden")
        page.reload()
        page.wait_for_selector("#pieces article:nth-child(8)")
        assert page.locator("#pieces article").evaluate_all("all => all.map(one => one.dataset.id)") == before
    page.context.close()


def test_a_search_shows_drafts_at_once(page):
    page.select_option("#length", "bars 4")
    page.select_option("#quality", "best")
    page.click("#compose")
    page.wait_for_selector("#pieces article:nth-child(4)")
    assert "more follow" in page.inner_text("#status")
    page.wait_for_selector("#stop", state="hidden")
    assert "12 pieces" in page.inner_text("#status") and page.locator("#pieces article").count() == 8


def test_compose_waits_for_a_file_that_is_being_read(page, tmp_path):
    def late(route):
        answer = route.fetch()
        page.wait_for_timeout(1000)
        route.fulfill(response=answer)

    page.route("**/prompts/upload", late)
    write_midi(tiny.tune(7, n_notes=60), tmp_path / "mine.mid")
    page.check("[value=file]")
    page.set_input_files("#file", tmp_path / "mine.mid")
    page.select_option("#quality", "quick")
    page.click("#compose")
    page.wait_for_selector("article")
    assert page.locator("article").first.locator(".prompt").count() > 0


def test_a_beginning_of_the_library_is_used_again(page, tmp_path):
    write_midi(tiny.tune(7, n_notes=60), tmp_path / "my tune.mid")
    page.check("[value=file]")
    page.set_input_files("#file", tmp_path / "my tune.mid")
    page.wait_for_selector("#prompt svg")
    notes = page.locator("#prompt-roll .prompt").count()
    page.check("[value=none]")
    page.click("#show-library")
    page.select_option("#kind", "beginnings")
    page.fill("#words", "my tune")
    wait_until(lambda: page.inner_text("#library-status") == "1 beginning")
    page.click("#rows .open")
    page.click("#rows article .continue")
    page.wait_for_selector("#prompt svg")
    assert page.is_checked("[value=file]") and page.locator("#prompt-roll .prompt").count() == notes


def test_rare_settings(page):
    page.click("#request summary")
    page.fill("#max_notes", "2")
    page.fill("#range", "C4-C6")
    page.fill("#top_k", "5")
    page.fill("#rank_by", "critic + 0.5 novelty")
    with page.expect_request("**/compose") as request:
        pieces = compose(page)
    sent = json.loads(request.value.post_data)
    assert (sent["max_notes"], sent["range"], sent["advanced"]["top_k"]) == (2, "C4-C6", 5) and pieces.count() == 8
    assert sent["rank_by"] == "critic + 0.5 novelty"
    page.fill("#range", "low to high")
    page.click("#compose")
    wait_until(lambda: "Range: " in page.inner_text("#status"))
