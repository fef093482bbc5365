"""The folder that composing leaves."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import soundfile
import tiny
from symusic import Score

from clara.encodings.notewise import Notewise
from clara.errors import BadSetting, CannotWrite
from clara.generation.generator import Sample
from clara.music.midi import read_midi
from clara.music.notes import build_notes
from clara.rendering import audio
from clara.rendering import output_folder as playlist
from clara.rendering.audio import SAMPLE_RATE
from clara.rendering.blind_test import HumanExcerpt
from clara.rendering.output_folder import RenderSettings, write_playlist
from clara.sampling.settings import SamplingSettings

ENCODING = Notewise()
SILENT, NO_PICTURES = RenderSettings(audio_format=None), RenderSettings(pictures=False)
RUN = {
    "model": "models/<b>&",
    "prompt": 'a "<script>alert(1)</script>".mid',
    "seed": 4,
    "settings": {"temperature": 0.9, "top_k": 3},
}


def sample(seed):
    notes = tiny.tune(seed, n_notes=12)
    return Sample(ENCODING.encode(notes)[0], notes, 0, 0.0, seed, SamplingSettings(temperature=0.9, top_k=3))


def samples(n):
    return [sample(s) for s in range(4, 4 + n)]


def excerpts(n):
    return [HumanExcerpt(f"Somebody, op. {i}", sample(i).tokens, sample(i).notes) for i in range(50, 50 + n)]


class Page(HTMLParser):
    """The links, embedded data, tags, article attributes and text of a page."""

    def __init__(self, folder):
        super().__init__()
        self.links, self.data, self.tags, self.articles, self.text = [], [], [], [], ""
        self.raw = (folder / "index.html").read_text(encoding="utf-8")
        self.feed(self.raw)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = [v for k, v in attrs if k in ("src", "href", "action", "poster", "data")]
        self.data += [v for v in found if v.startswith("data:")]
        self.links += [v for v in found if not v.startswith("data:")]
        if tag == "article":
            self.articles.append(dict(attrs))

    def handle_data(self, data):
        self.text += data

    def held(self, kind):
        """Return the bytes of all data URLs of a media type."""
        return [base64.b64decode(url.partition(",")[2]) for url in self.data if url.startswith(f"data:{kind};base64,")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("playlist")
    write_playlist(samples(2), folder, RUN, [{"critic": 1.2, "total": 1.2}, {"critic": -0.4, "total": -0.4}])
    return folder


def test_every_file_of_every_piece(folder):
    pieces = [f"{n}.{suffix}" for n in ("01", "02") for suffix in ("mid", "txt", "png", "wav")]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*pieces, "ranking.csv", "run.json", "index.html"])
    assert all(p.stat().st_size for p in folder.iterdir())


def test_midi_and_text_are_the_piece(folder):
    for name, piece in zip(("01", "02"), samples(2)):
        assert read_midi(folder / f"{name}.mid")[0] == piece.notes
        assert (folder / f"{name}.txt").read_text() == " ".join(piece.tokens) + "\n"


def test_ranking_has_a_row_per_piece(folder):
    rows = pd.read_csv(folder / "ranking.csv")
    assert rows["rank"].tolist() == [1, 2]
    assert rows["file"].tolist() == ["01.mid", "02.mid"]
    assert rows["seed"].tolist() == [4, 5]
    assert rows["notes"].tolist() == [len(s.notes) for s in samples(2)]
    assert rows["tokens"].tolist() == [len(s.tokens) for s in samples(2)]
    assert rows["quarters"].tolist() == [round(s.notes.quarters, 3) for s in samples(2)]
    seconds = [float(s.expression.seconds_at(s.notes.quarters)) for s in samples(2)]
    assert rows["seconds"].tolist() == [round(s, 1) for s in seconds]
    assert rows["temperature"].tolist() == [0.9, 0.9] and rows["top_k"].tolist() == [3, 3]


def test_the_returned_rows_are_those_written(tmp_path):
    rows = write_playlist(samples(1), tmp_path, RUN, render=SILENT)
    assert pd.read_csv(tmp_path / "ranking.csv").to_dict("records") == rows


def test_run_json_is_the_run(folder):
    assert json.loads((folder / "run.json").read_text()) == RUN


def test_page_holds_each_piece_and_loads_nothing_else(folder):
    page = Page(folder)
    assert page.tags.count("article") == page.tags.count("audio") == page.raw.count('<div class="roll"') == 2
    wanted = {f"{n}.{suffix}" for n in ("01", "02") for suffix in ("txt", "png", "wav")}
    assert set(page.links) == wanted | {"run.json", "ranking.csv"}
    assert all((folder / link).is_file() for link in page.links)
    assert "http" not in page.raw.replace("http-equiv", "") and "@import" not in page.raw and "url(" not in page.raw


def test_page_embeds_midi_and_sound(folder):
    """The embedded MIDI and sound are those of the files."""
    page = Page(folder)
    assert page.held("audio/midi") == [(folder / f"{n}.mid").read_bytes() for n in ("01", "02")]
    for name, data in zip(("01", "02"), page.held("audio/mpeg"), strict=True):
        inside, rate = soundfile.read(io.BytesIO(data))
        outside, _ = soundfile.read(folder / f"{name}.wav")
        assert (
            rate == SAMPLE_RATE
            and inside.ndim == 1
            and len(inside) == pytest.approx(len(outside), abs=SAMPLE_RATE / 10)
        )
        assert np.corrcoef(inside[: len(outside)], outside[: len(inside)].mean(1))[0, 1] > 0.99


def test_page_describes_scores(folder):
    text = Page(folder).text
    assert "critic 1.20 log-odds human: the critic takes it for human, 77 %" in text
    assert "critic -0.40 log-odds human: the critic takes it for generated, 60 %" in text
    assert "total" not in text.partition("Settings")[0] and "best first" in text


def test_page_escapes_names(folder):
    page = Page(folder)
    assert (
        page.tags.count("script") == 1
        and "b" in page.tags
        and "alert(1)" not in page.raw.replace("&lt;script&gt;alert(1)", "")
    )
    assert RUN["prompt"] in page.text and RUN["model"] in page.text


def test_a_blind_page_hides_the_answers(tmp_path):
    """Everything that gives an answer is in an element that the style hides."""
    scores = [{"critic": s, "total": s} for s in (3.0, 2.0, 1.0)]
    rows = write_playlist(
        samples(3), tmp_path, RUN, scores, excerpts=excerpts(3), excerpt_scores=[{}, *scores[:2]], render=NO_PICTURES
    )
    page, table = Page(tmp_path), pd.read_csv(tmp_path / "ranking.csv")
    assert [a["data-author"] for a in page.articles].count("human") == 3 and len(page.articles) == 6
    before = [
        re.sub('data:[^"]+', "", article.partition('<div class="answers">')[0])
        for article in page.raw.split("<article")[1:]
    ]
    assert not any(
        word in text.partition(">")[2] for text in before for word in ("Somebody", "Clara", ".mid", "critic", "seed")
    )
    assert all(title in page.text for title in ("Somebody, op. 50.", "Somebody, op. 51.", "Somebody, op. 52."))
    assert table["file"].tolist() == ["01.mid", "02.mid", "03.mid"] == [row["file"] for row in rows]
    assert [read_midi(tmp_path / "human" / f"0{n}.mid")[0] for n in (1, 2, 3)] == [e.notes for e in excerpts(3)]
    assert {link for link in page.links if link.startswith("human")} == {
        f"human/0{n}.{s}" for n in (1, 2, 3) for s in ("txt", "wav")
    }


def test_the_seed_shuffles_a_blind_page(tmp_path):
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        write_playlist(
            samples(5),
            tmp_path / name,
            RUN | {"seed": seed},
            excerpts=excerpts(5),
            render=RenderSettings(None, pictures=False),
        )
        orders.append([a["data-author"] for a in Page(tmp_path / name).articles])
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_audio_formats(tmp_path, form):
    write_playlist(samples(1), tmp_path, RUN, render=RenderSettings(form, pictures=False))
    assert soundfile.info(tmp_path / f"01.{form}").format == form.upper()
    assert f"01.{form}" in Page(tmp_path).links and len(Page(tmp_path).held("audio/mpeg")) == 1


def test_without_mp3_the_page_plays_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(playlist, "has_mp3", lambda: False)
    write_playlist(samples(2), tmp_path, RUN, render=RenderSettings("flac", pictures=False))
    page = Page(tmp_path)
    assert not page.held("audio/mpeg") and page.links.count("01.flac") == 2 and page.tags.count("audio") == 2


def test_the_size_of_a_page_is_limited(tmp_path, monkeypatch):
    """The first sounds are embedded, the others are links."""
    monkeypatch.setattr(playlist, "EMBEDDED_BYTES", 60_000)
    write_playlist(samples(4), tmp_path, RUN, render=NO_PICTURES)
    page = Page(tmp_path)
    assert 0 < len(page.held("audio/mpeg")) < 4 and len(page.held("audio/midi")) == 4
    assert page.links.count("04.wav") == 2 and page.links.count("01.wav") == 1


def test_flat(tmp_path):
    for name, flat in (("a", False), ("b", True)):
        (tmp_path / name).mkdir()
        notes = tiny.tune(3, n_notes=60)
        write_playlist(
            [Sample(ENCODING.encode(notes)[0], notes, 0, 0.0, 3)],
            tmp_path / name,
            RUN,
            render=RenderSettings(flat=flat, pictures=False),
        )
    struck = [{n.velocity for t in Score(tmp_path / name / "01.mid").tracks for n in t.notes} for name in "ab"]
    assert len(struck[0]) > 1 == len(struck[1])
    assert (tmp_path / "a" / "01.wav").read_bytes() != (tmp_path / "b" / "01.wav").read_bytes()


def test_another_soundfont(tmp_path):
    with pytest.raises(BadSetting, match="nowhere.sf2"):
        write_playlist(samples(1), tmp_path, RUN, render=RenderSettings(soundfont=tmp_path / "nowhere.sf2"))
    (tmp_path / "my.sf2").write_bytes(audio.default_soundfont().read_bytes())
    write_playlist(samples(1), tmp_path, RUN, render=RenderSettings(soundfont=tmp_path / "my.sf2", pictures=False))
    assert (tmp_path / "01.wav").stat().st_size > 100_000


def test_without_audio(tmp_path):
    write_playlist(samples(1), tmp_path, RUN, render=SILENT)
    assert not list(tmp_path.glob("*.wav"))
    page = Page(tmp_path)
    assert not {"audio", "input"} & set(page.tags) and "svg" in page.tags


def test_without_pictures(tmp_path):
    write_playlist(samples(1), tmp_path, RUN, render=NO_PICTURES)
    assert not list(tmp_path.glob("*.png"))
    assert "01.png" not in Page(tmp_path).links


def test_a_hundred_pieces_sort_by_name(tmp_path):
    done = []
    write_playlist(
        samples(1) * 100, tmp_path, RUN, render=RenderSettings(None, pictures=False), on_piece=lambda: done.append(1)
    )
    names = sorted(p.name for p in tmp_path.glob("*.mid"))
    assert names[0] == "001.mid" and names[-1] == "100.mid" and len(names) == len(done) == 100


def test_a_piece_without_notes(tmp_path):
    """The grammar allows a piece that is a few quarters of silence."""
    silent = Sample(["wait12"], build_notes([], [], [])[0], 0, 0.0, 1)
    (row,) = write_playlist([silent], tmp_path, RUN)
    assert row["notes"] == 0 and row["seconds"] == 0
    assert {p.name for p in tmp_path.iterdir()} >= {"01.mid", "01.txt", "01.png", "index.html"}


def test_writing_into_a_missing_folder_fails(tmp_path):
    with pytest.raises(CannotWrite, match="01.mid"):
        write_playlist(samples(1), tmp_path / "nowhere", RUN, render=SILENT)
