"""Requests and connections that mean no good: named answers, security headers, and limits."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny
import uvicorn
from starlette.testclient import TestClient

from clara.music import limited_reader
from clara.music.limited_reader import LimitedReader
from clara.music.midi import to_symusic_score
from clara_app.web import connections, prompts
from clara_app.web.connections import LimitedProtocol
from clara_app.web.jobs import JobQueue
from clara_app.web.pieces import Piece
from clara_app.web.server import make_app

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client():
    with TestClient(make_app(hosts=["testserver"], warm=False), raise_server_exceptions=False) as client:
        yield client


def compose_body(**changes):
    return json.dumps({"model": "notewise", "quarters": 12, "candidates": 1} | changes)


BODIES = {
    "nothing": b"",
    "nested": b"[" * 500_000,
    "nested objects": b'{"model":' * 100_000,
    "not UTF-8": b"\xff\xfe{}",
    "a lone surrogate": b'{"model": "\\ud800"}',
    "a NUL in a name": b'{"model": "\\u0000"}',
    "a model that is a list": compose_body(model=["notewise"]).encode(),
    "a model that is an object": compose_body(model={}).encode(),
    "a number of a thousand digits": b'{"model": "notewise", "quarters": ' + b"9" * 1000 + b"}",
    "a seed of a thousand digits": b'{"model": "notewise", "seed": ' + b"9" * 1000 + b"}",
    "a number of ten thousand digits": b'{"model": "notewise", "quarters": ' + b"9" * 10_000 + b"}",
    "NaN": b'{"model": "notewise", "quarters": NaN}',
    "infinity": b'{"model": "notewise", "quarters": Infinity}',
    "a composer that is a formula": compose_body(composer="bach - 9 critic * (").encode(),
    "a key of braces": compose_body(key="{0.__class__}").encode(),
    "advanced settings that are nested": compose_body(advanced={"temperature": {}}).encode(),
    "search that is a text": compose_body(search="yes").encode(),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_malformed_body_has_a_named_answer(client, body):
    answer = client.post("/compose", content=body)
    assert answer.status_code == 400 and answer.json()["error"]


KEY_PRESSES = {
    "a text": {"qpm": 100, "key_presses": "C4"},
    "texts": {"qpm": 100, "key_presses": [["C4", "0", "1"]]},
    "pairs": {"qpm": 100, "key_presses": [[60, 0]]},
    "mixed": {"qpm": 100, "key_presses": [[60, 0, 1], 5]},
    "nested": {"qpm": 100, "key_presses": [[[60], [0], [1]]]},
    "huge": {"qpm": 100, "key_presses": [[60, 0, 10**300]]},
    "longer than a float": {"qpm": 100, "key_presses": [[60, 0, 10**400]]},
    "true": {"qpm": True, "key_presses": [[60, 0, 1]]},
    "half an hour": {"key_presses": [[60, 0, 1], [60, 1801, 1802]]},
    "velocities": {"key_presses": [[60, 0, 1, "loud"]]},
    "five numbers": {"key_presses": [[60, 0, 1, 64, 64]]},
}


@pytest.mark.parametrize("payload", KEY_PRESSES.values(), ids=KEY_PRESSES)
def test_malformed_key_presses_have_a_named_answer(client, payload):
    answer = client.post("/prompts/played", content=json.dumps(payload))
    assert answer.status_code in (400, 413) and answer.json()["error"]


NAMES = ["a$b$c.mid", "$\\frac{.mid", "a\0b.mid", "a\x1b[31m.mid", "é" * 300 + ".mid", "%ED%A0%80.mid", "a\nb.mid"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_file_can_be_drawn_and_printed(client, name):
    from urllib.parse import quote

    midi = to_symusic_score(tiny.tune(5)).dumps_midi()
    answer = client.post("/prompts/upload", content=midi, headers={"x-file-name": quote(name)})
    assert answer.status_code == 200 and answer.json()["title"].isprintable()
    for kind in ("png", "musicxml", "svg"):
        assert client.get(f"/pieces/{answer.json()['id']}.{kind}").status_code == 200, kind


ORIGINS = {
    "http://testserver": 200,
    "http://TESTSERVER": 200,
    "http://evil.example": 403,
    "http://evil.example//testserver": 403,
    "http://evil.example/testserver": 403,
    "//testserver": 403,
    "testserver": 403,
    "null": 403,
    "": 403,
    "http://[testserver": 403,
    "http://testserver@evil.example": 403,
    "http://testserver:1": 403,
    "file://testserver": 403,
}


@pytest.mark.parametrize("origin, status", ORIGINS.items())
def test_an_origin_is_parsed(client, origin, status):
    assert client.post("/prompts/example/chorale", headers={"origin": origin}).status_code == status


def test_every_answer_has_the_security_headers(client, monkeypatch):
    monkeypatch.setattr(client.app.state.page.library, "get", lambda _: 1 / 0)
    answers = {
        200: client.get("/"),
        400: client.post("/compose", content="{"),
        403: client.post("/compose", headers={"origin": "http://evil.example"}),
        404: client.get("/nowhere"),
        405: client.get("/compose"),
        500: client.get("/pieces/x.mid"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" in client.get("/", headers={"host": "evil.example"}).headers


def test_the_beginnings_that_nobody_uses_are_limited(client, monkeypatch):
    monkeypatch.setattr("clara_app.web.library.MAX_UNUSED_BEGINNINGS", 2)
    library = client.app.state.page.library
    used = library.add_beginning(Piece(tiny.tune(1), ""), "file")
    library.add_request({}, used)
    ids = [library.add_beginning(Piece(tiny.tune(i), ""), "file") for i in range(4)]
    assert [library.facts(piece_id) is not None for piece_id in [used, *ids]] == [True, False, False, True, True]


def test_rendered_files_are_limited_in_bytes(client, monkeypatch):
    page = client.app.state.page
    names = [page.library.add_beginning(Piece(tiny.tune(i), ""), "file") for i in range(4)]
    monkeypatch.setattr("clara_app.web.rendering.MAX_RENDERED_BYTES", 1)
    paths = [page.files.get(name, "mid") for name in names]
    assert len(page.files) == 1 and paths[-1][0].is_file() and not paths[0][0].exists()


def test_a_job_whose_events_are_read_no_further_is_stopped(monkeypatch):
    monkeypatch.setattr("clara_app.web.jobs.UNREAD_SECONDS", 0.1)

    async def main():
        jobs = JobQueue()
        job = jobs.submit(lambda job, send: job.stop.wait(10))
        events = jobs.events(job)
        await anext(events)
        await asyncio.sleep(0.5)  # the client reads nothing more
        stopped = job.stop.is_set()
        await events.aclose()
        jobs.close()
        return stopped

    assert asyncio.run(main())


async def slow_app(scope, receive, send):
    """Answer with more bytes than the buffers of a connection hold."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(1000):
        await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
    await send({"type": "http.response.body"})


@pytest.fixture
def port(monkeypatch):
    """Serve in a thread, with short limits."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.5)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    config = uvicorn.Config(slow_app, port=0, http=LimitedProtocol, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def is_closed(connection, seconds):
    """Return whether the server closes a connection within some seconds; what it sends is not read."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n"])
def test_a_connection_without_a_request_is_closed(port, sent):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sent)
        assert is_closed(connection, 5)


def test_the_connections_are_limited(port):
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(8)]
        time.sleep(0.2)
        assert sum(is_closed(connection, 0.02) for connection in opened) >= 3


def test_a_client_that_reads_nothing_is_dropped(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(2)
        received = 0
        with contextlib.suppress(ConnectionError):
            connection.settimeout(5)
            while data := connection.recv(1 << 20):
                received += len(data)
        assert received < 500 << 20


def test_uploads_wait_for_two_processes_and_not_without_end(client, monkeypatch):
    data = to_symusic_score(tiny.tune(5)).dumps_midi()
    started = []
    real = limited_reader._Process
    monkeypatch.setattr(prompts, "READER", LimitedReader(n_processes=2))
    monkeypatch.setattr(limited_reader, "_Process", lambda mb: started.append(real(mb)) or started[-1])

    def upload(_):
        return client.post("/prompts/upload", content=data, headers={"x-file-name": "x.mid"}).status_code

    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(upload, range(12))) == {200}
    assert len(started) <= 2
    monkeypatch.setattr("clara_app.web.server.MAX_UPLOADS", 0)
    assert upload(0) == 503
