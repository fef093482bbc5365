"""The folder that composing leaves."""

import json
from html.parser import HTMLParser

import pandas as pd
import pytest
import tiny

from clara.encodings.notewise import Notewise
from clara.errors import CannotWrite
from clara.generator import Sample
from clara.midi import read_midi
from clara.notes import mend
from clara.playlist import write_playlist

ENCODING = Notewise()
RUN = {"model": "models/<b>&", "prompt": "a \"<script>alert(1)</script>\".mid", "seed": 4,
       "settings": {"temperature": 0.9, "top_k": 3}}


def sample(seed):
    notes = tiny.tune(seed, n_notes=12)
    return Sample(ENCODING.encode(notes)[0], notes, 0, 0.0, seed)


def samples(n):
    return [sample(s) for s in range(4, 4 + n)]


class Page(HTMLParser):
    """What a browser would load from a page, and which tags it holds."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("playlist")
    write_playlist(samples(2), folder, RUN)
    return folder


def test_every_file_of_every_piece(folder):
    pieces = [f"{n}.{suffix}" for n in ("01", "02") for suffix in ("mid", "txt", "png", "wav")]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*pieces, "ranking.csv", "run.json", "index.html"])
    assert all(p.stat().st_size for p in folder.iterdir())


def test_midi_and_text_are_the_piece(folder):
    for name, piece in zip(("01", "02"), samples(2)):
        assert read_midi(folder / f"{name}.mid")[0] == piece.notes
        assert (folder / f"{name}.txt").read_text() == " ".join(piece.words) + "\n"


def test_ranking_has_a_row_per_piece(folder):
    rows = pd.read_csv(folder / "ranking.csv")
    assert rows["rank"].tolist() == [1, 2]
    assert rows["file"].tolist() == ["01.mid", "02.mid"]
    assert rows["seed"].tolist() == [4, 5]
    assert rows["notes"].tolist() == [len(s.notes) for s in samples(2)]
    assert rows["words"].tolist() == [len(s.words) for s in samples(2)]
    assert rows["quarters"].tolist() == [round(s.notes.quarters, 3) for s in samples(2)]
    assert rows["seconds"].tolist() == [round(s.notes.seconds, 1) for s in samples(2)]
    assert rows["temperature"].tolist() == [0.9, 0.9] and rows["top_k"].tolist() == [3, 3]


def test_rows_given_back_are_those_written(tmp_path):
    rows = write_playlist(samples(1), tmp_path, RUN, audio=False)
    assert pd.read_csv(tmp_path / "ranking.csv").to_dict("records") == rows


def test_run_json_is_the_run(folder):
    assert json.loads((folder / "run.json").read_text()) == RUN


def test_page_holds_each_piece_and_nothing_from_elsewhere(folder):
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    assert page.tags.count("article") == page.tags.count("audio") == page.tags.count("img") == 2
    wanted = {f"{n}.{suffix}" for n in ("01", "02") for suffix in ("mid", "txt", "png", "wav")}
    assert set(page.links) == wanted | {"run.json", "ranking.csv"}
    assert all((folder / link).is_file() for link in page.links)


def test_page_escapes_what_people_named(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "b"} & set(page.tags)
    assert RUN["prompt"] in page.text and RUN["model"] in page.text
    assert "<script>" not in text


def test_without_audio(tmp_path):
    write_playlist(samples(1), tmp_path, RUN, audio=False)
    assert not list(tmp_path.glob("*.wav"))
    assert "audio" not in Page((tmp_path / "index.html").read_text()).tags


def test_without_pictures(tmp_path):
    write_playlist(samples(1), tmp_path, RUN, pictures=False)
    assert not list(tmp_path.glob("*.png"))
    assert "img" not in Page((tmp_path / "index.html").read_text()).tags


def test_a_hundred_pieces_sort_by_name(tmp_path):
    told = []
    write_playlist(samples(1) * 100, tmp_path, RUN, audio=False, pictures=False, on_piece=lambda: told.append(1))
    names = sorted(p.name for p in tmp_path.glob("*.mid"))
    assert names[0] == "001.mid" and names[-1] == "100.mid" and len(names) == len(told) == 100


def test_a_piece_without_notes(tmp_path):
    """A few quarters of silence are a piece that the grammar allows."""
    silent = Sample(["wait12"], mend([], [], [])[0], 0, 0.0, 1)
    row, = write_playlist([silent], tmp_path, RUN)
    assert row["notes"] == 0 and row["seconds"] == 0
    assert {p.name for p in tmp_path.iterdir()} >= {"01.mid", "01.txt", "01.png", "index.html"}


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CannotWrite, match="01.mid"):
        write_playlist(samples(1), tmp_path / "nowhere", RUN, audio=False)
