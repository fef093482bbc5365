"""`python -m data_prep.inspect`, run here on small folders of music."""

import os
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import tiny
from examples import SOURCES, bars_to_notes, melody, midi_bytes, off, on, track

from clara.cli import INTERRUPTED
from clara.data import workers
from clara.data.sources import Piece
from clara.errors import CannotWrite, NoData
from clara.music.midi import write_midi
from clara.music.notes import build_notes, transpose
from clara.music.scores import corpus_paths, read_score
from data_prep import collection_summary, inspect, inspection_page
from data_prep.collection_summary import COLUMNS, build_table
from data_prep.inspection_page import PLOTS
from data_prep.piece_statistics import measure_piece

pytestmark = pytest.mark.slow


@pytest.fixture
def inspect_into(tmp_path, monkeypatch):
    """Return a function that inspects into tmp_path/seen and returns (status, inspect.csv by piece)."""

    def inspect_(*arguments, plots=()):
        monkeypatch.setattr(inspection_page, "PLOTS", {name: PLOTS[name] for name in plots})
        shutil.rmtree(tmp_path / "seen", ignore_errors=True)
        status = inspect.main([*map(str, arguments), "--out", str(tmp_path / "seen"), "--workers", "1"])
        table = pd.read_csv(tmp_path / "seen/inspect.csv", keep_default_na=False)
        return status, table.set_index("piece", drop=False)

    return inspect_


def write_onsets(path, ticks, division=480):
    """Return a MIDI file of notes at these ticks, in a random walk of keys."""
    deltas = np.diff(np.sort(ticks), prepend=0)
    keys = np.random.default_rng(int(ticks.sum())).integers(50, 80, len(ticks))
    notes = [on(int(delta), int(key)) + off(0, int(key)) for delta, key in zip(deltas, keys)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(midi_bytes(track(*notes), division=division))


@pytest.fixture
def grids(tmp_path):
    """Return a folder of one performed piece and three written ones."""
    rng = np.random.default_rng(1)
    quarters = 480 * np.arange(60)
    write_onsets(tmp_path / "grids/b/performed.mid", rng.integers(0, 480 * 60, 200))
    write_onsets(tmp_path / "grids/b/triplets.mid", np.r_[quarters, quarters + 160, quarters + 240])
    write_onsets(tmp_path / "grids/b/32nds.mid", np.r_[quarters, quarters + 60, quarters + 180])
    write_onsets(tmp_path / "grids/b/shifted.mid", np.r_[quarters, quarters + 240] + 17)
    return tmp_path / "grids"


def test_a_row_per_piece_by_hand(tmp_path, inspect_into):
    notes = build_notes(
        [0, 0, 12, 48, 60],
        [24, 12, 24, 60, 72],
        [20, 64, 67, 90, 108],
        steps_per_quarter=12,
        qpm=90,
        time_signatures=((0, 3, 4), (36, 2, 4)),
    )[0]
    (tmp_path / "x").mkdir()
    write_midi(notes, tmp_path / "x/a.mid")
    status, table = inspect_into(tmp_path / "x/a.mid")
    assert status == 0 and list(table.columns) == COLUMNS
    row = table.loc["unknown/a"].to_dict()
    by_hand = {
        "notes": 5,
        "quarters": 6,
        "seconds": 4,
        "qpm": 90,
        "lowest_pitch": 20,
        "highest_pitch": 108,
        "composer": "unknown",
        "polyphony": (24 + 12 + 12 + 12 + 12) / 48,
        "max_polyphony": 2,
        "time_signature": "3/4",
        "time_signatures": "3/4 2/4",
        "has_time_signature": True,
        "bars": 3,
        "form": "A3",
        "tracks": 1,
        "instruments": "Piano",
        "off_grid_4": 0,
        "off_grid_12": 0,
        "grid_misfit": 0,
        "outside_88_keys": 0.2,
        "outside_62_keys": 0.4,
        "outside_38_keys": 0.6,
        "performed": False,
        "reason": "",
        "cut": 0,
    }
    assert {k: row[k] for k in by_hand} == by_hand


def test_performed_music_is_flagged_and_written_music_is_not(grids, inspect_into, capsys):
    _, table = inspect_into(grids)
    assert set(table.query("performed").index) == {"b/performed"}
    assert table.loc["b/performed", "off_grid_12"] > 0.7 and table.loc["b/triplets", "off_grid_12"] == 0
    assert table.loc["b/32nds", "off_grid_12"] == pytest.approx(2 / 3, abs=1e-4)
    assert table.loc["b/shifted", ["off_grid_12", "grid_shift_12"]].tolist() == [0, 17 / 40]
    printed = capsys.readouterr().out
    assert "follow no beat grid: 1;" in printed and "b/performed: 83 % of onsets off 12 steps" in printed
    assert "finds the beats of the performed pieces (1), or leaves them out with --max-grid-error" in printed


def test_max_grid_error_refuses(grids, inspect_into, capsys):
    _, table = inspect_into(grids, "--max-grid-error", "0.7")
    assert set(table.query("reason != ''").index) == {"b/performed"}
    assert re.search(
        r"OffGrid: .*performed.mid: 83 % of onsets lie off the 12-step grid", table.loc["b/performed", "reason"]
    )
    assert "refused: 1 OffGrid" in capsys.readouterr().out
    _, table = inspect_into(grids, "--max-grid-error", "0.1", "--steps-per-quarter", "8")
    assert set(table.query("reason == ''").index) == {"b/32nds", "b/shifted"}


@pytest.mark.parametrize(("fractions", "steps"), [((0, 1 / 4, 1 / 2), 4), ((0, 1 / 3, 1 / 2), 12)])
def test_advice(tmp_path, inspect_into, capsys, fractions, steps):
    write_onsets(tmp_path / "m/a.mid", np.concatenate([480 * np.arange(40) + int(480 * f) for f in fractions]))
    inspect_into(tmp_path / "m")
    assert f"Use --steps-per-quarter {steps}: {steps} steps hold 100.0 %" in capsys.readouterr().out


def test_advice_for_performances(tmp_path, inspect_into, capsys):
    write_onsets(tmp_path / "m/a.mid", np.random.default_rng(2).integers(0, 30000, 300))
    inspect_into(tmp_path / "m")
    assert "1 of 1 pieces were performed without regard to the beat" in capsys.readouterr().out


def test_duplicates(music, inspect_into, capsys):
    write_midi(transpose(melody(1), -4)[0], music / "chopin/in another key.mid")
    os.link(music / "bach/1.mid", music / "chopin/copy.mid")
    _, table = inspect_into(music)
    assert table["work"].nunique() == 5
    assert table.loc["chopin/in another key", "work"] == table.loc["bach/2", "work"]
    assert dict(table.loc[table["same_file_as"] != "", "same_file_as"]) == {"chopin/copy": "bach/1"}
    printed = capsys.readouterr().out
    assert "bach/2 = chopin/in another key" in printed and "copies byte for byte: 1" in printed


def test_refused_files_have_reasons(music, inspect_into, capsys):
    (music / "bach/text.mid").write_bytes(b"not MIDI")
    (music / "bach/drums.mid").write_bytes(midi_bytes(track(on(0, 36, channel=9), off(9, 36, channel=9))))
    status, table = inspect_into(music)
    assert status == 0 and set(table.query("reason == ''").index) == set(SOURCES)
    assert table.loc["bach/text", "reason"].startswith("BadMusicFile: ")
    assert table.loc["bach/drums", "reason"].startswith("NoNotes: ")
    printed = capsys.readouterr().out
    assert (
        "5 of 7 files" in printed
        and "1 BadMusicFile" in printed
        and "1 NoNotes" in printed
        and "BadMusicFile: " in printed
    )


def test_nothing_but_refused_files(tmp_path, inspect_into, capsys):
    (tmp_path / "bad.mid").write_bytes(b"not MIDI")
    with pytest.raises(NoData, match="not one of 1 files was accepted"):
        inspect_into(tmp_path / "bad.mid")
    assert "none of 1 files" in capsys.readouterr().out
    assert "BadMusicFile" in (tmp_path / "seen/inspect.csv").read_text()
    assert "<img" not in (tmp_path / "seen/index.html").read_text()


def test_an_empty_folder(tmp_path, inspect_into):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoData, match="no music in this folder"):
        inspect_into(tmp_path / "empty")
    assert not (tmp_path / "seen").exists()


def test_names_that_are_no_utf8(tmp_path, inspect_into, capsys):
    name = os.fsdecode(b"m/m\xfcller/gr\xfc\xdfe <&$x$>.mid")
    write_onsets(tmp_path / name, 480 * np.arange(20))
    (tmp_path / os.fsdecode(b"m/bad\xff.mid")).write_bytes(b"no")
    _, table = inspect_into(tmp_path / "m")
    assert set(table.index) == {"m%FCller/gr%FC%DFe <&$x$>", "unknown/bad%FF"}
    assert "bad%FF.mid" in capsys.readouterr().out
    assert "<&" not in (tmp_path / "seen/index.html").read_text()


def test_a_score_of_music21s_corpus(inspect_into):
    _, table = inspect_into("music21:ciconia")
    [row] = table.to_dict("records")
    assert (row["composer"], row["off_grid_12"], row["performed"], row["reason"]) == ("ciconia", 0, False, "")


def test_a_score_and_its_midi_look_alike(tmp_path):
    [path] = [p for p in corpus_paths("bach") if p.stem == "bwv66.6"]
    write_midi(read_score(path)[0], tmp_path / "a.mid")
    score, midi = (measure_piece(Piece("bach/a", "bach", p)) for p in (path, tmp_path / "a.mid"))
    for name in ("notes", "quarters", "lowest_pitch", "highest_pitch", "polyphony", "off_grid_4", "grid_misfit"):
        assert score[name] == midi[name]


class Images(HTMLParser):
    """The images of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.found.append(dict(attrs))


def test_the_page_holds_every_plot_and_needs_no_network(music, inspect_into, tmp_path):
    inspect_into(music, plots=PLOTS)
    page = (tmp_path / "seen/index.html").read_text()
    images = Images(page).found
    assert [i["src"] for i in images] == list(PLOTS) and all(len(i["alt"]) > 20 for i in images)
    for image in images:
        assert (tmp_path / "seen" / image["src"]).read_bytes().startswith(b"\x89PNG")
    assert {p.name for p in (tmp_path / "seen").iterdir()} == {*PLOTS, "index.html", "inspect.csv"}
    assert "://" not in page


def test_the_form_of_few_pieces_is_printed(tmp_path, inspect_into, capsys):
    rng = np.random.default_rng(0)
    theme, other = ([[(6 * i, int(p)) for i, p in enumerate(rng.integers(50, 80, 8))] for _ in range(8)] for _ in "ab")
    (tmp_path / "x").mkdir()
    write_midi(bars_to_notes(*theme, *theme, *other, *theme), tmp_path / "x/rondo.mid")
    _, table = inspect_into(tmp_path / "x")
    assert table.loc["unknown/rondo", ["bars", "form"]].tolist() == [32, "A8 A8 B8 A8"]
    printed = capsys.readouterr().out
    assert "unknown/rondo: A8 A8 B8 A8" in printed
    letters, signs = (line.replace("|", "").split()[-1] for line in printed.partition("B8 A8\n")[2].splitlines()[:2])
    assert letters == "A" * 16 + "B" * 8 + "A" * 8 and signs[8:16] == signs[24:] == "=" * 8
    page = (tmp_path / "seen/index.html").read_text()
    assert "<h3>unknown/rondo</h3><p>A8 A8 B8 A8</p><svg" in page and page.count('class="exact"') == 16


def test_the_form_of_many_pieces_is_not_printed(tmp_path, inspect_into, capsys):
    (tmp_path / "x").mkdir()
    for seed in range(inspect.MAX_LISTED + 1):
        write_midi(melody(seed), tmp_path / f"x/{seed}.mid")
    inspect_into(tmp_path / "x")
    assert "form (" not in capsys.readouterr().out
    assert (tmp_path / "seen/index.html").read_text().count('<svg class="strip"') == inspect.MAX_LISTED + 1


def test_nothing_is_overwritten(music, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/inspect.csv").write_text("mine")
    with pytest.raises(CannotWrite, match="not empty"):
        inspect.main([str(music), "--out", str(tmp_path / "mine")])
    assert (tmp_path / "mine/inspect.csv").read_text() == "mine"


def test_without_out_a_folder_named_by_the_time(music, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inspection_page, "PLOTS", {})
    assert inspect.main([str(music), "--workers", "1"]) == 0
    [folder] = (tmp_path / "output").iterdir()
    assert folder.name.startswith("inspect-") and (folder / "index.html").is_file()


def test_the_order_in_which_pieces_come_back_changes_nothing(music):
    rows = [measure_piece(Piece(name, name.split("/")[0], music / f"{name}.mid")) for name in SOURCES]
    drop = ["notes_per_key", "onset_positions", "form_strip"]
    pd.testing.assert_frame_equal(build_table(rows).drop(columns=drop), build_table(rows[::-1]).drop(columns=drop))


def test_a_file_that_takes_too_long_is_refused(music, inspect_into, monkeypatch):
    def process_pieces(pieces, task, settings):
        for piece in pieces:
            yield (piece, None, "Timeout") if piece.name == "bach/1" else (piece, task(piece), "")

    monkeypatch.setattr(workers, "process_pieces", process_pieces)
    _, table = inspect_into(music)
    assert dict(table.loc[table["reason"] != "", "reason"]) == {"bach/1": "Timeout"}


def test_interrupted_it_shows_what_it_has_seen(music, inspect_into, monkeypatch, capsys):
    def process_pieces(pieces, task, settings):
        yield pieces[0], task(pieces[0]), ""
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "process_pieces", process_pieces)
    status, table = inspect_into(music)
    assert status == INTERRUPTED and len(table) == 1 and "1 of 5 files done" in capsys.readouterr().err


def test_pooled_counts_every_note_alike():
    table = pd.DataFrame({"off_grid_4": [0.0, 1.0], "notes": [30, 10]})
    assert collection_summary.weighted_mean(table, "off_grid_4") == 0.25


def test_for_a_program(music, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inspection_page, "PLOTS", {})
    (music / "bach/text.mid").write_bytes(b"not MIDI")
    status, answer = tiny.answer(inspect.main, [music, "--out", tmp_path / "seen", "--workers", 1], capsys)
    assert status == 0 and (answer["files"], answer["accepted"], answer["interrupted"], answer["folder"]) == (
        6,
        5,
        False,
        str(tmp_path / "seen"),
    )
    rows = {row["piece"]: row for row in answer["pieces"]}
    assert set(rows) == {*SOURCES, "bach/text"} and list(rows["bach/1"]) == COLUMNS
    assert (
        rows["bach/text"]["notes"] is None
        and "BadMusicFile" in rows["bach/text"]["reason"]
        and rows["bach/1"]["notes"] > 10
    )
    assert answer["advice"].startswith("Use --steps-per-quarter") and answer["performed"] == answer["duplicates"] == []
