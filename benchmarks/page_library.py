"""Measure how fast the page opens a large library, and whether reloads and kills lose pieces.

python benchmarks/page_library.py [--pieces 10000] [--disturbances 100]

Chromium opens the page of a server whose library is full, and the time counts from the click to the rows, as well as
from the address to the page that shows where to start. Then it composes with another library. At random moments
the page is loaded again or the server gets SIGKILL and is started again. A piece is lost if it stood on the page once
and the server knows it no more.
"""

import contextlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np
import record
from playwright.sync_api import Error, sync_playwright

from clara.music.notes import build_notes
from clara_app.web.library import Library
from clara_app.web.pieces import Piece

PER_REQUEST = 8
ROUNDS = 10
START_SECONDS = 120
SEED = 0
KEYS = ("C major", "E minor", "F major", "A minor")
COMPOSERS = ("Schubert", "Chopin", "Bach", "Mozart")


def main():
    """Measure and save the result."""
    p = record.argument_parser(__doc__)
    p.add_argument("--pieces", type=int, default=10_000, help="Number of pieces in the full library")
    p.add_argument("--disturbances", type=int, default=100, help="Number of reloads and kills together")
    args = p.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as full, tempfile.TemporaryDirectory() as disturbed, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        fill_library(full, args.pieces)
        row = {"pieces": args.pieces, **time_library(browser, full), **disturb(browser, disturbed, args.disturbances)}
        browser.close()
    print(row)
    record.save("page_library", [row], rounds=ROUNDS, seed=SEED)


def fill_library(folder, n_pieces):
    """Write a library of random pieces of eight bars."""
    library = Library(folder)
    rng = np.random.default_rng(SEED)
    for first in range(0, n_pieces, PER_REQUEST):
        request_id = library.add_request({})
        library.add_composed(request_id, [random_piece(rng, first + i) for i in range(PER_REQUEST)])
        library.end_request(request_id, "done")
    library.close()


def random_piece(rng, seed):
    """Return a piece of random notes, its total, its facts and its words."""
    start = np.sort(rng.integers(0, 8 * 48, 120))
    notes, _ = build_notes(start, start + 12, rng.integers(40, 90, 120))
    key, composer = KEYS[seed % len(KEYS)], COMPOSERS[seed % len(COMPOSERS)]
    verdicts = ["Sounds human: likely", f"Reminds of {composer}"]
    facts = {"verdicts": verdicts, "details": [], "scores": {}, "seconds": 17.5, "quarters": 32.0}
    facts |= {"time_signatures": "4/4", "model": "Piano", "n_bars": 8, "key": key}
    return Piece(notes, "Clara", seed=seed), float(rng.normal()), facts, " ".join([key, "Piano", *verdicts])


def time_library(browser, folder):
    """Return the medians of the seconds to show the page, to open the library and to search it."""
    with serving(folder) as (address, _):
        times = {"page_seconds": [], "open_seconds": [], "search_seconds": []}
        for _ in range(ROUNDS):
            page = browser.new_page()
            start = time.perf_counter()
            page.goto(address)
            page.wait_for_selector("#model option", state="attached")
            times["page_seconds"].append(time.perf_counter() - start)
            start = time.perf_counter()
            page.click("#show-library")
            page.wait_for_selector("#rows li:nth-child(50)")
            times["open_seconds"].append(time.perf_counter() - start)
            start = time.perf_counter()
            with page.expect_response("**/library/search") as answer:
                page.fill("#words", "schubert 4/4")
            answer.value.finished()
            times["search_seconds"].append(time.perf_counter() - start)
            page.close()
    return {name: round(statistics.median(values), 3) for name, values in times.items()}


def disturb(browser, folder, n_disturbances):
    """Compose, reload and kill at random; return how many pieces were seen and how many of them are lost."""
    rng = random.Random(SEED)
    seen, counts = set(), {"reloads": 0, "kills": 0}
    port = free_port()
    server = start_server(folder, port)
    page = browser.new_page()
    page.set_default_timeout(START_SECONDS * 1000)
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_selector("#model option", state="attached")
    page.select_option("#length", "bars 4")
    while sum(counts.values()) < n_disturbances:
        with contextlib.suppress(Error):  # the button is disabled while a request runs
            page.click("#compose", timeout=500)
        end = time.perf_counter() + rng.uniform(0, 4)
        while time.perf_counter() < end:
            seen |= shown_ids(page)
            time.sleep(0.05)
        if rng.random() < 0.5:
            page.reload()
            counts["reloads"] += 1
        else:
            server.send_signal(signal.SIGKILL)
            server.wait()
            seen |= shown_ids(page)
            server = start_server(folder, port)
            page.wait_for_selector("#away", state="hidden")
            counts["kills"] += 1
        print(counts, len(seen), flush=True)
    lost = [piece_id for piece_id in seen if not is_known(port, piece_id)]
    server.terminate()
    server.wait()
    page.close()
    return {**counts, "pieces_seen": len(seen), "pieces_lost": len(lost)}


def shown_ids(page):
    """Return the ids of the pieces on the page."""
    return set(page.locator("#pieces article").evaluate_all("all => all.map(one => one.dataset.id)"))


def is_known(port, piece_id):
    """Return whether the server has a piece."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/cards/{piece_id}") as answer:
            return answer.status == 200
    except urllib.error.HTTPError:
        return False


@contextlib.contextmanager
def serving(folder):
    """Give the address and the process of a server."""
    port = free_port()
    server = start_server(folder, port)
    yield f"http://127.0.0.1:{port}", server
    server.terminate()
    server.wait()


def start_server(folder, port):
    """Start the page in a process of its own, and wait until it listens."""
    command = [sys.executable, str(record.REPOSITORY / "app.py"), "--port", str(port), "--library", str(folder)]
    server = subprocess.Popen([*command, "--no-browser"], stdout=subprocess.DEVNULL)
    end = time.perf_counter() + START_SECONDS
    while time.perf_counter() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return server
        time.sleep(0.1)
    raise SystemExit("the server does not start")


def free_port():
    """Return a port that nobody listens at."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


if __name__ == "__main__":
    main()
