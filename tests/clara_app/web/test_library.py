"""The library on disk."""

import contextlib
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest
import tiny

from clara.errors import BadSetting, CannotWrite
from clara.form.extraction import extract_plan
from clara.performing.playing import PlayedPrompt
from clara_app.web.library import DONE, FILE, Library
from clara_app.web.pieces import Piece, decode_piece, encode_piece


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path)
    yield library
    library.close()


def piece(seed=0, title="tune"):
    return Piece(tiny.tune(seed), title, seed=seed)


def add_request(library, n=3, words="", first_seed=0):
    request = library.add_request({"model": "notewise", "seed": first_seed})
    pieces = [(piece(first_seed + i), float(i), {"key": "C major"}, words) for i in range(n)]
    ids = library.add_composed(request, pieces)
    library.end_request(request, "done")
    return request, ids


def test_a_piece_survives_as_it_is():
    notes = tiny.tune(3)
    expression = tiny.expression(notes)
    played = PlayedPrompt(notes, expression, np.inf)
    before = Piece(notes, "mine", 4.0, [0.5, -1.0], 8.0, extract_plan(notes), 7, False, played)
    after = decode_piece(encode_piece(before))
    assert after.notes == notes and after.notes.time_signatures == notes.time_signatures
    assert (after.title, after.prompt_quarters, after.window_log_odds, after.seed) == ("mine", 4.0, [0.5, -1.0], 7)
    assert after.played_prompt.begin == np.inf and vars(after.plan).keys() == vars(before.plan).keys()
    for name, value in vars(before.plan).items():
        assert np.array_equal(getattr(after.plan, name), value), name
    for name in ("velocity", "tempo_quarters", "tempo_qpm", "pedal_quarters"):
        assert np.array_equal(getattr(after.expression, name), getattr(before.expression, name)), name


def test_everything_is_there_when_the_library_is_opened_again(tmp_path):
    library = Library(tmp_path)
    beginning = library.add_beginning(piece(9, "my own"), "file")
    request, ids = add_request(library)
    library.star(ids[0], True)
    library.close()
    again = Library(tmp_path)
    assert again.get(beginning).notes == tiny.tune(9) and again.facts(beginning)["source"] == "file"
    assert again.best_of(request) == ids[::-1]
    assert [again.get(i).notes for i in ids] == [tiny.tune(k) for k in range(3)]
    assert again.facts(ids[0])["starred"] and again.request(request)["settings"]["model"] == "notewise"
    again.close()


def test_search(library):
    _, first = add_request(library, 10, "Schubert minor")
    _, second = add_request(library, 2, "Chopin major", 100)

    def found(**how):
        return [row["id"] for row in library.search(**how)[1]]

    assert found(words="SCHUBERT min") == first[:1:-1]  # the best eight
    assert found(words="schubert", every=True) == first[::-1] and found(words="schubert chopin") == []
    assert found(limit=2) == second[::-1] and library.search(limit=2)[0] == 10
    assert found(order="best", limit=1) == first[-1:]
    library.star(first[0], True)
    assert found(starred=True) == first[:1] and first[0] in found()
    with pytest.raises(BadSetting, match="order must be one of"):
        library.search(order="total; DROP TABLE pieces")
    assert found(words="'; DROP TABLE pieces; --") == []


def test_pieces_of_a_request_are_listed_by_rank_whenever_they_came(library):
    request = library.add_request({})
    (good,) = library.add_composed(request, [(piece(1), 2.0, {}, "")])
    (bad,) = library.add_composed(request, [(piece(2), 1.0, {}, "")])
    (unscored,) = library.add_composed(request, [(piece(3), None, {}, "")])
    assert [row["id"] for row in library.search()[1]] == [good, bad, unscored]


def test_a_deleted_piece_can_be_brought_back_until_the_library_is_opened_again(tmp_path):
    library = Library(tmp_path)
    _, (a, b, c) = add_request(library)
    assert library.delete([a, b]) == 2 and [row["id"] for row in library.search()[1]] == [c]
    library.delete([a], deleted=False)
    library.close()
    again = Library(tmp_path)
    assert again.get(a) and again.get(c) and again.get(b) is None and again.facts(b) is None
    again.close()


KILLED = """
import sys, tiny
from clara_app.web.library import Library
from clara_app.web.pieces import Piece
library = Library(sys.argv[1])
request = library.add_request({})
for i in range(10_000):
    (piece_id,) = library.add_composed(request, [(Piece(tiny.tune(0), "", seed=i), float(i), {}, "")])
    print(piece_id, flush=True)
"""


def test_a_kill_loses_nothing_that_the_page_was_told(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    lines = [process.stdout.readline().strip() for _ in range(20)]
    process.kill()
    lines += process.communicate()[0].split()
    library = Library(tmp_path)
    assert all(library.get(piece_id) for piece_id in lines)
    ((request,),) = library._rows("SELECT request FROM pieces LIMIT 1")[:1]
    assert library.request(request)["state"] == "interrupted"
    library.close()


def test_many_threads(library):
    request = library.add_request({})
    threads = [
        threading.Thread(target=library.add_composed, args=(request, [(piece(i), float(i), {}, "")])) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(library) == 8
    assert [library.get(i).seed for i in library.best_of(request)] == [7, 6, 5, 4, 3, 2, 1, 0]


def test_a_file_that_is_no_library_is_refused(tmp_path):
    (tmp_path / FILE).write_bytes(b"not a database, but long enough to be taken for one " * 100)
    with pytest.raises(BadSetting, match="no library"):
        Library(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="cannot be opened"):
        Library(tmp_path / "file")


def test_a_broken_entry_is_named(library):
    _, (first, *_) = add_request(library)
    library._cache.clear()
    library._database.execute("UPDATE contents SET piece = ? WHERE id = ?", (b"junk", first))
    with pytest.raises(BadSetting, match=first):
        library.get(first)


@pytest.mark.parametrize("has_seconds", [False, True])
def test_a_library_of_an_earlier_version(tmp_path, has_seconds):
    Library(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as database:
        database.execute("PRAGMA user_version = 1")
        if not has_seconds:
            database.execute("ALTER TABLE requests DROP COLUMN seconds")
    with contextlib.closing(Library(tmp_path)) as library:
        library.end_request(library.add_request({"model": "notewise"}), DONE, seconds=1.5)
        assert [row["seconds"] for row in library.timings()] == [1.5]
