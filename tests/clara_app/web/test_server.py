"""Requests to the page."""

import io
import json
import re
import zipfile

import numpy as np
import pytest
import tiny
from starlette.testclient import TestClient
from symusic import Score

from clara.checkpoints.checkpoint import weights_hash
from clara.music.midi import read_midi, to_symusic_score
from clara.music.notes import build_notes
from clara.music.performed_midi import read_performed_midi
from clara.sampling.settings import piece_seeds
from clara_app.web.edits import EDITED
from clara_app.web.pieces import Piece
from clara_app.web.server import make_app

pytestmark = pytest.mark.slow

REQUEST = {"model": "notewise", "quarters": 12, "candidates": 6, "seed": 3, "randomness": 40}


@pytest.fixture(scope="module")
def client():
    with TestClient(make_app(hosts=["testserver"], warm=False)) as client:
        yield client


def read_midi_bytes(data):
    """Return the number of notes of a MIDI file."""
    return Score.from_midi(data).note_num()


def compose(client, **changes):
    answer = client.post("/compose", content=json.dumps(REQUEST | changes))
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture(scope="module")
def events(client):
    return compose(client)


def test_the_page_loads_nothing_from_other_sites(client):
    for path in (
        "/",
        "/static/page.css",
        "/static/page.js",
        "/static/roll.js",
        "/static/keyboard.js",
        "/static/help.html",
        "/static/icon.svg",
    ):
        answer = client.get(path)
        assert answer.status_code == 200 and "default-src 'self'" in answer.headers["content-security-policy"]
        assert not re.findall(r"""(?:src|href|url|import|from)\s*[=(]?\s*["']?(?:https?:)?//""", answer.text), path


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/server.py",
        "/static/..%2f..%2fsetup.cfg",
        "/pieces/nobody.mid",
        "/pieces/nobody/1.svg",
        "/pieces/x.exe",
        "/pieces/../../setup.cfg",
        "/nowhere",
    ],
)
def test_other_files_are_not_served(client, path):
    assert client.get(path).status_code == 404


def test_candidates_come_in_scored_batches(events):
    assert events[0].keys() == {"request", "position"} and events[-1] == {"done": True, "stopped": False}
    parts = [e["candidates"] for e in events if "candidates" in e]
    assert [len(p) for p in parts] == [4, 2]
    pieces = [p for part in parts for p in part]
    assert [p["seed"] for p in pieces] == piece_seeds(3, 6) and len({p["id"] for p in pieces}) == 6
    for p in pieces:
        assert p["quarters"] <= 12 and p["notes"] and all(len(n) == 4 for n in p["notes"])
        assert (
            isinstance(p["total"], float)
            and p["total"] == p["scores"]["critic"]
            and len(p["window_log_odds"]) in (1, 2)
            and len(p["verdicts"]) in (2, 3)
            and len(p["details"]) == 3
        )
    progress = [e["progress"] for e in events if "progress" in e]
    assert progress == sorted(progress) and 0 < progress[-1] <= 1


def test_the_same_seed_gives_the_same_pieces(client, events):
    def pieces(events):
        return [(p["notes"], p["total"]) for e in events for p in e.get("candidates", [])]

    again = compose(client)
    assert [w for w, _ in pieces(again)] == [w for w, _ in pieces(events)]


def test_every_download_is_the_piece(client, events, tmp_path):
    piece = next(e for e in events if "candidates" in e)["candidates"][0]
    got = {kind: client.get(f"/pieces/{piece['id']}.{kind}") for kind in ("mid", "wav", "musicxml", "png", "svg")}
    assert all(a.status_code == 200 for a in got.values())
    (tmp_path / "x.mid").write_bytes(got["mid"].content)
    notes, _ = read_midi(tmp_path / "x.mid")
    assert [[s / 12, p] for s, p in zip(notes.start, notes.pitch)] == [
        [round(n[0] * 12) / 12, n[2]] for n in piece["notes"]
    ]
    assert got["wav"].content[:4] == b"RIFF" and got["png"].content[1:4] == b"PNG"
    assert "<score-partwise" in got["musicxml"].text and "<svg" in got["svg"].text
    pages = int(got["svg"].headers["x-pages"])
    assert client.get(f"/pieces/{piece['id']}/{pages}.svg").status_code == 200
    assert (
        client.get(f"/pieces/{piece['id']}/{pages + 1}.svg").status_code
        == client.get(f"/pieces/{piece['id']}/0.svg").status_code
        == 404
    )


def test_pieces_are_performed_unless_asked(client, events, tmp_path):
    for name, found in (("performed", events), ("flat", compose(client, flat=True))):
        piece = next(e for e in found if "candidates" in e)["candidates"][0]
        (tmp_path / f"{name}.mid").write_bytes(client.get(f"/pieces/{piece['id']}.mid").content)
        times = client.get(f"/pieces/{piece['id']}.json").json()
        assert times[0] == [0, 0] and times[-1][0] == pytest.approx(piece["quarters"])
        assert (len(times) == 2) == (name == "flat")
    notes, expression = read_performed_midi(tmp_path / "performed.mid")
    flat_notes, flat = read_performed_midi(tmp_path / "flat.mid")
    assert notes == flat_notes and flat.is_flat and not expression.is_flat


def test_an_upload_keeps_its_expression(client, tmp_path):
    notes = tiny.tune(5)
    expression = tiny.expression(notes)
    data = to_symusic_score(notes, expression=expression).dumps_midi()
    read = client.post("/prompts/upload", content=data, headers={"x-file-name": "x.mid"}).json()
    (tmp_path / "same.mid").write_bytes(client.get(f"/pieces/{read['id']}.mid").content)
    assert read_performed_midi(tmp_path / "same.mid")[1].velocity.tolist() == expression.velocity.tolist()
    found = compose(client, prompt=read["id"], prompt_quarters=8, candidates=1)
    piece = next(e for e in found if "candidates" in e)["candidates"][0]
    (tmp_path / "longer.mid").write_bytes(client.get(f"/pieces/{piece['id']}.mid").content)
    longer, played = read_performed_midi(tmp_path / "longer.mid", steps_per_quarter=12)
    n_kept = int((longer.start < 8 * 12).sum())
    assert n_kept and played.velocity[:n_kept].tolist() == expression.velocity[:n_kept].tolist()


def test_a_range_of_the_audio(client, events):
    url = f"/pieces/{next(e for e in events if 'candidates' in e)['candidates'][0]['id']}.wav"
    whole = client.get(url).content
    part = client.get(url, headers={"range": "bytes=100-199"})
    assert (
        part.status_code == 206
        and part.content == whole[100:200]
        and part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    )
    assert client.get(url, headers={"range": "bytes=100-"}).content == whole[100:]
    assert client.get(url, headers={"range": "bytes=-5"}).content == whole[-5:]
    status = {odd: client.get(url, headers={"range": odd}).status_code for odd in ("bytes=5-2", "lines=1-2")}
    assert status == {"bytes=5-2": 400, "lines=1-2": 400}
    assert client.get(url, headers={"range": "bytes=999999999-"}).status_code == 416


def test_a_prompt_is_continued(client):
    notes = tiny.tune(5)
    read = client.post(
        "/prompts/upload",
        content=to_symusic_score(notes).dumps_midi(),
        headers={"x-file-name": "m%C3%BCsic%2F..%2Fx.mid"},
    ).json()
    assert len(read["notes"]) == len(notes) and read["losses"] == ""
    pieces = [
        p for e in compose(client, prompt=read["id"], prompt_quarters=8, candidates=2) for p in e.get("candidates", [])
    ]
    for piece in pieces:
        given = [n for n in piece["notes"] if n[0] < 8]
        assert piece["prompt_quarters"] == 8 and [n[::2] for n in given] == [n[::2] for n in read["notes"] if n[0] < 8]
    (onward,) = (p for e in compose(client, prompt=pieces[0]["id"], candidates=1) for p in e.get("candidates", []))
    assert onward["prompt_quarters"] == pytest.approx(pieces[0]["quarters"])


@pytest.mark.parametrize("model", ["chordwise", "chamber"])
def test_the_other_models(client, model):
    read = client.post("/prompts/example/chorale").json()
    pieces = [p for e in compose(client, model=model, prompt=read["id"], candidates=2) for p in e.get("candidates", [])]
    assert len(pieces) == 2 and all(p["total"] is not None for p in pieces)
    if model == "chamber":
        assert pieces[0]["instruments"] == ["p", "v"]


def test_a_key_a_composer_and_a_search(client):
    pieces = [
        p
        for e in compose(client, key="C major", composer="chopin", search=True, cadence=True)
        for p in e.get("candidates", [])
    ]
    assert len(pieces) == 4 + 6 and {n[2] % 12 for p in pieces for n in p["notes"]} <= {0, 2, 4, 5, 7, 9, 11}
    assert all(
        p["total"] == pytest.approx(p["scores"]["critic"] + p["scores"]["composer:chopin"], abs=2e-4) for p in pieces
    )


def test_bars_are_composed_again(client):
    read = client.post("/prompts/example/prelude").json()
    found = compose(client, prompt=read["id"], fill=[4, 8], candidates=4)
    alternatives = [piece for event in found for piece in event.get("candidates", [])]
    assert len(alternatives) == 4 and all(piece["title"] == read["title"] for piece in alternatives)

    def around(piece):
        return [note[::2] for note in piece["notes"] if not 4 <= note[0] < 8]

    for piece in alternatives:
        assert around(piece) == around(read) and piece["quarters"] == read["quarters"]
        assert any(4 <= note[0] < 8 for note in piece["notes"]) and piece["verdicts"][0].startswith("Sounds human")
    for fill in ([8, 4], [-1, 4], [0, 1e6]):
        body = json.dumps(REQUEST | {"prompt": read["id"], "fill": fill})
        assert client.post("/compose", content=body).status_code == 400
    assert client.post("/compose", content=json.dumps(REQUEST | {"fill": [0, 4]})).status_code == 400


def test_an_edited_piece_is_a_version_of_its_own(client):
    piece = next(event for event in compose(client, candidates=1) if "candidates" in event)["candidates"][0]
    first, *others = piece["notes"]
    moved = [first[0], first[1], first[2] + 1, first[3]]
    answer = client.post(f"/pieces/{piece['id']}/versions", content=json.dumps({"notes": [moved, *others]}))
    version = answer.json()
    assert answer.status_code == 200 and version["id"] != piece["id"] and version["version_of"] == piece["id"]
    assert moved in version["notes"] and first not in version["notes"]
    assert version["verdicts"] == [EDITED] and version["time_signatures"] == piece["time_signatures"]
    assert client.get(f"/cards/{piece['id']}").json()["notes"] == piece["notes"]
    found = client.post("/library/search", content=json.dumps({"words": EDITED})).json()["pieces"]
    assert version["id"] in [row["id"] for row in found]
    assert read_midi_bytes(client.get(f"/pieces/{version['id']}.mid").content) == len(version["notes"])


@pytest.mark.parametrize(
    "notes",
    [
        [],
        [[0, 1, 60]],
        [[0, 1, 20, 0]],
        [[0, 1, 60.5, 0]],
        [[-1, 1, 60, 0]],
        [[0, 0, 60, 0]],
        [[0, 1e9, 60, 0]],
        [[0, 1, 60, 7]],
        [["0", 1, 60, 0]],
        "notes",
    ],
)
def test_notes_that_no_piece_can_have(client, events, notes):
    piece = next(event for event in events if "candidates" in event)["candidates"][0]
    answer = client.post(f"/pieces/{piece['id']}/versions", content=json.dumps({"notes": notes}))
    assert answer.status_code == 400 and answer.json()["error"]


def test_keys_of_the_piano(client):
    answer = client.get("/keys/60.wav")
    assert answer.status_code == 200 and answer.content[:4] == b"RIFF"
    assert client.get("/keys/5.wav").status_code == 400
    assert client.post("/pieces/nothing/versions", content='{"notes": [[0, 1, 60, 0]]}').status_code == 404


def test_a_range_and_a_number_of_notes_at_once(client):
    pieces = [
        piece
        for event in compose(client, range="C4-C6", max_notes=1, candidates=2, advanced={"top_k": 5})
        for piece in event.get("candidates", [])
    ]
    assert {60 <= note[2] <= 84 for piece in pieces for note in piece["notes"]} == {True}
    for piece in pieces:
        starts = [note[0] for note in piece["notes"]]
        assert len(set(starts)) == len(starts)
    assert "write LOW-HIGH" in compose(client, range="high")[-1]["error"]


def test_the_library_is_searched_and_exported(client, events):
    ids = [piece["id"] for event in events for piece in event.get("candidates", [])][:2]
    found = client.post("/library/search", content=json.dumps({"words": "piano sounds human", "limit": 2})).json()
    assert found["n_found"] >= 6 and len(found["pieces"]) == 2 and found["pieces"][0]["source"] == "composed"
    page = client.get(f"/library/export.html?ids={','.join(ids)}")
    assert page.headers["content-disposition"].endswith('"clara.html"') and page.text.count("<article") == 2
    assert page.text.count('alt="Sheet music of piece 1, page 1"') == 1
    names = zipfile.ZipFile(io.BytesIO(client.get(f"/library/export.zip?ids={ids[0]}").content)).namelist()
    assert names == ["index.html", "01.mid", "01.wav", "01.musicxml"]
    assert client.get("/library/export.exe?ids=x").status_code == 404
    assert client.get("/library/export.zip?ids=nobody").status_code == 400
    assert client.get(f"/library/export.zip?ids={',' * 200}").status_code == 413
    assert client.post("/library/star", content=json.dumps({"id": "nobody", "starred": True})).status_code == 404
    assert client.post("/library/search", content=json.dumps({"order": "x"})).status_code == 400


def test_a_request_is_kept(client, events):
    request_id = events[0]["request"]
    kept = client.get(f"/requests/{request_id}").json()
    assert kept["settings"]["seed"] == 3 and (kept["state"], kept["n_pieces"]) == ("done", 6)
    again = [json.loads(line) for line in client.get(f"/requests/{request_id}/events").text.splitlines()]
    before = {p["id"]: p for e in events for p in e.get("candidates", [])}
    after = {p["id"]: p for e in again for p in e.get("candidates", [])}
    assert before.keys() == after.keys()
    for piece_id, piece in before.items():
        assert {name: after[piece_id][name] for name in piece} == piece
    assert client.get("/requests/nobody").status_code == client.get("/requests/nobody/events").status_code == 404
    assert client.get("/cards/nobody").status_code == 404
    assert client.post(f"/requests/{request_id}/stop").json() == {"stopped": False}


def test_key_presses_become_a_prompt(client):
    answer = client.post(
        "/prompts/played", content=json.dumps({"key_presses": [[60, 0, 0.5], [62, 0.5, 1]], "qpm": 120})
    ).json()
    assert [n[:3] for n in answer["notes"]] == [[0, 1, 60], [1, 1, 62]]


def test_key_presses_without_a_tempo_are_put_on_their_beats(client):
    """Play a scale unevenly, at 75 per minute."""
    begins = 3 + 0.8 * np.arange(8) + np.random.default_rng(1).normal(0, 0.03, 8)
    presses = [[60 + i, begin, begin + 0.6, 50 + 5 * i] for i, begin in enumerate(begins.tolist())]
    answer = client.post("/prompts/played", content=json.dumps({"key_presses": presses})).json()
    assert [n[0] for n in answer["notes"]] == list(range(8)) and "about 7" in answer["beats"]


@pytest.mark.parametrize(
    "path, body",
    [
        ("/compose", "{"),
        ("/compose", "[]"),
        ("/compose", '{"model": "none"}'),
        ("/compose", '{"model": "notewise", "quarters": 1e99}'),
        ("/prompts/played", "{}"),
        ("/prompts/played", "[]"),
        ("/prompts/played", '{"key_presses": [], "qpm": 100}'),
        ("/prompts/upload", "hello"),
        ("/prompts/example/none", ""),
    ],
)
def test_bad_requests_are_refused_with_a_reason(client, path, body):
    answer = client.post(path, content=body)
    assert answer.status_code == 400 and answer.json()["error"]


def test_too_large(client):
    assert client.post("/prompts/upload", content=bytes(5 << 20), headers={"x-file-name": "x.mid"}).status_code == 413
    assert client.post("/compose", content=b" " * (2 << 20)).status_code == 413


def test_a_missing_prompt_and_an_unknown_composer(client):
    answer = client.post("/compose", content=json.dumps(REQUEST | {"prompt": "gone"}))
    assert answer.status_code == 400 and "no longer here" in answer.json()["error"]
    assert "composer:nobody" in compose(client, composer="nobody")[-1]["error"]


def test_names_are_not_markup(client):
    read = client.post(
        "/prompts/upload",
        content=to_symusic_score(tiny.tune(5)).dumps_midi(),
        headers={"x-file-name": "<img src=x>.mid"},
    ).json()
    assert read["title"] == "<img src=x>"  # the page writes it as text
    svg = client.get(f"/pieces/{read['id']}.svg")
    assert "<img" not in svg.text and svg.headers["content-type"].startswith("image/svg")


def test_other_sites_and_host_names_are_refused(client):
    assert (
        client.post("/compose", content=json.dumps(REQUEST), headers={"origin": "http://evil.example"}).status_code
        == 403
    )
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert client.post("/prompts/example/chorale", headers={"origin": "http://testserver"}).status_code == 200


def test_rendered_files_are_limited(client, monkeypatch):
    monkeypatch.setattr("clara_app.web.rendering.MAX_RENDERED", 2)
    page = client.app.state.page
    names = [page.library.add_beginning(Piece(tiny.tune(i), ""), "file") for i in range(4)]
    assert all(page.files.get(n, "mid") for n in names) and len(page.files) == 2


def test_the_form_of_a_prompt(client):
    pitch = [60, 64, 67, 72] * 2 + [65, 62, 59, 55] + [60, 64, 67, 72]
    start = np.arange(16) * 12
    data = to_symusic_score(build_notes(start, start + 12, pitch)[0]).dumps_midi()
    form = client.post("/prompts/upload", content=data, headers={"x-file-name": "x.mid"}).json()["form"]
    assert form["relations"] == ["new", "exact", "rhythm", "exact"] and form["bars"] == [0, 4, 8, 12, 16]
    assert form["sections"] == [[0, 16, "A", 0]] and form["keys"] == [[0, "C major"]]
    assert form["hints"][3] == "Bar 4: exact, as bar 2" and form["description"].startswith("Form: A, 4 bars.")


@pytest.mark.parametrize("model", ["notewise", "chordwise", "chamber"])
@pytest.mark.parametrize("time_signatures", [((0, 3, 4),), ((0, 2, 4),), ((-24, 3, 4),)])
def test_the_time_signature_of_a_prompt_survives(client, model, time_signatures):
    start = np.arange(12) * 12
    notes = build_notes(start, start + 12, 60 + np.arange(12), time_signatures=time_signatures)[0]
    data = to_symusic_score(notes).dumps_midi()
    read = client.post("/prompts/upload", content=data, headers={"x-file-name": "x.mid"}).json()
    first, second = read["bars"][:2]
    assert read["time_signatures"] == "/".join(map(str, time_signatures[0][1:]))
    numerator = time_signatures[0][1]
    assert (first, second) == ((1, 4) if time_signatures[0][0] else (0, numerator))
    events = compose(client, model=model, prompt=read["id"], bars=4, candidates=1)
    (piece,) = (p for e in events for p in e.get("candidates", []))
    assert 0 <= 12 + 4 * numerator - piece["quarters"] < 3 and piece["bars"][:2] == [first, second]
    musicxml = client.get(f"/pieces/{piece['id']}.musicxml").text
    assert set(re.findall(r"<beats>(\d+)</beats>", musicxml)) == {str(numerator)}
    midi = read_midi(client.get(f"/pieces/{piece['id']}.mid").content, steps_per_quarter=12)[0]
    assert midi.time_signatures == time_signatures


def test_pieces_in_a_chosen_time_signature(client):
    events = compose(client, bars=4, candidates=2, time_signature="6/8")
    for piece in (p for e in events for p in e.get("candidates", [])):
        first, *others = piece["bars"][:4]  # later than 0 after an upbeat
        assert piece["time_signatures"] == "6/8" and 0 <= first < 3
        assert [bar - first for bar in others] == [3, 6, 9][: len(others)]


def test_played_notes_have_the_time_signature_in_which_they_were_played(client):
    payload = {"key_presses": [[60, 0, 0.5], [62, 2, 2.5]], "qpm": 120, "time_signature": "3/4"}
    played = client.post("/prompts/played", content=json.dumps(payload)).json()
    assert played["time_signatures"] == "3/4" and played["bars"] == [0, 3]
    wrong = client.post("/prompts/played", content=json.dumps(payload | {"time_signature": "waltz"}))
    assert wrong.status_code == 400 and "is no time signature" in wrong.json()["error"]
    refused = compose(client, prompt=played["id"], bars=4, candidates=1, time_signature="4/4")
    assert "is in 3/4, not in 4/4" in refused[-1]["error"]


def test_a_model_that_follows_plans(tmp_path):
    tiny.plan_follower().save(tmp_path / "planned")
    (tmp_path / "broken").mkdir()
    with TestClient(make_app([tmp_path / "planned", tmp_path / "broken"], hosts=["testserver"], warm=False)) as client:
        models = {model["name"]: model["follows_plans"] for model in client.get("/about").json()["models"]}
        assert (models["planned"], models["broken"], models["chordwise"]) == (True, False, False)
        client.app.state.page.composers["planned"].generator.planner = tiny.planner()
        request = {"model": "planned", "form": "A4 B4 A4", "ending": False, "candidates": 2}
        answer = client.post("/compose", content=json.dumps(request))
        events = [json.loads(line) for line in answer.text.splitlines()]
        pieces = [piece for event in events for piece in event.get("candidates", [])]
        assert len(pieces) == 2
        for piece in pieces:
            assert piece["form"]["relations"][8:] == ["exact"] * 4
        refused = client.post("/compose", content=json.dumps(request | {"model": "chordwise"}))
        assert "follows no plans" in json.loads(refused.text.splitlines()[-1])["error"]


def test_a_models_own_critic(tmp_path):
    for name in ("mine", "other"):
        tiny.checkpoint().save(tmp_path / name)
        (tmp_path / f"{name}-critic").mkdir()
    critic = tiny.classifier("descriptors")
    critic.model.info = {"training": {"excerpts": {"models": {"mine": weights_hash(tmp_path / "mine")}}}}
    critic.save(tmp_path / "mine-critic")
    (tmp_path / "other-critic" / "config.json").write_text("{")
    with TestClient(make_app([tmp_path / "mine", tmp_path / "other"], hosts=["testserver"], warm=False)) as client:
        composers = client.app.state.page.composers
        assert composers["mine"].critic_folder == str(tmp_path / "mine-critic")
        assert composers["notewise"].critic_folder is None
        refused = client.post("/compose", content=json.dumps({"model": "other", "candidates": 2}))
        assert "other-critic" in json.loads(refused.text.splitlines()[-1])["error"]


def test_bars_are_varied_or_kept_while_the_rest_is_composed_again(client):
    read = client.post("/prompts/example/prelude").json()

    def change(how, begin, end):
        found = compose(client, prompt=read["id"], fill=[begin, end], candidates=1, change=how)
        return [piece for event in found for piece in event.get("candidates", [])]

    def starts(piece, holds):
        return [note[::2] for note in piece["notes"] if holds(note[0])]

    for piece in change("vary", 4, 12):
        is_kept = lambda start: not 4 <= start < 12 or start % 4 < 2  # noqa: E731
        assert starts(piece, is_kept) == starts(read, is_kept) and piece["notes"] != read["notes"]
    for begin, end in ((8, 12), (0, 12)):
        for piece in change("keep", begin, end):
            is_kept = lambda start: begin <= start < end  # noqa: E731, B023
            assert starts(piece, is_kept) == starts(read, is_kept) and piece["notes"] != read["notes"]
            assert piece["quarters"] <= read["quarters"]
    assert len(change("again", 12, 16)) == 1  # to the end of the piece
    body = json.dumps(REQUEST | {"prompt": read["id"], "fill": [0, 4], "change": "shuffle"})
    assert client.post("/compose", content=body).status_code == 400


def test_a_tune_is_harmonised(client):
    read = client.post("/prompts/example/sonata").json()
    found = compose(client, prompt=read["id"], prompt_quarters=8, use="tune", candidates=2)
    pieces = [piece for event in found for piece in event.get("candidates", [])]
    tune = {(note[0], note[2]) for note in read["notes"] if note[0] < 8}
    for piece in pieces:
        assert tune < {(note[0], note[2]) for note in piece["notes"]} and piece["quarters"] <= 9
        assert piece["title"].startswith("Clara, with the tune Mozart")
    for changes in ({"prompt": None}, {"fill": [0, 4]}):
        body = json.dumps(REQUEST | {"prompt": read["id"], "use": "tune"} | changes)
        assert client.post("/compose", content=body).status_code == 400


def test_a_piece_lends_its_form(client):
    read = client.post("/prompts/example/chorale").json()
    found = compose(client, prompt=read["id"], use="form", candidates=2)
    pieces = [piece for event in found for piece in event.get("candidates", [])]
    assert len(pieces) == 2 and all(
        abs(len(piece["bars"]) - len(read["bars"])) <= 1
        for piece in pieces  # the chorale begins with an upbeat
    )
    assert pieces[0]["title"].startswith("Clara, in the form of Bach") and pieces[0]["prompt_quarters"] == 0


def test_a_piece_is_heard_flat_transposed_or_without_a_hand(client, events):
    piece = next(event for event in events if "candidates" in event)["candidates"][0]

    def notes(query):
        answer = client.get(f"/pieces/{piece['id']}.mid?{query}")
        assert answer.status_code == 200, answer.text
        return sorted((n.time, n.pitch) for track in Score.from_midi(answer.content).tracks for n in track.notes)

    everything = notes("")
    assert notes("semitones=-3") == [(time, pitch - 3) for time, pitch in everything]
    assert sorted(notes("only=right") + notes("only=left")) == everything == notes("only=p")
    times = [client.get(f"/pieces/{piece['id']}.json{query}").json() for query in ("", "?flat=1")]
    assert len(times[0]) > len(times[1]) == 2
    for query in ("semitones=13", "semitones=up", "only=foot"):
        assert client.get(f"/pieces/{piece['id']}.wav?{query}").status_code == 400
