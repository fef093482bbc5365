"""Requests to the page and what they get. Starlette, on this machine alone unless told otherwise.

Nothing that is asked for is ever a path: files of the page are read once when it starts, pieces have names that nobody guesses.
"""

import asyncio
import json
import re
from collections import OrderedDict
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Lock
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from clara.errors import BadSetting, ClaraError, TooLong
from clara_app.web import prompts
from clara_app.web.composing import Composer, describe
from clara_app.web.jobs import Busy, Jobs
from clara_app.web.piece_store import Piece, Shelf
from clara_app.web.rendering import KINDS, render
from clara_app.web.requests import Wish, models

STATIC = Path(__file__).resolve().parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
MOST_BODY = 1 << 20  # bytes of JSON
RENDERED = 16  # files kept, of some megabytes
PREFERRED = "notewise"


class Page:
    """The state behind the routes.

    Parameters
    ----------
    folders : of models of one's own
    threads : of composing
    at_once : jobs side by side
    soundfont : path, or None
    """

    def __init__(self, folders=(), threads=1, at_once=1, soundfont=None):
        self.models = models(folders)
        self.composers = {name: Composer(folder, threads) for name, (_, folder) in self.models.items()}
        self.shelf, self.jobs, self.soundfont = Shelf(), Jobs(at_once), soundfont
        self.rendered, self.lock, self.rendering = OrderedDict(), Lock(), Lock()
        self.files = {p.name: (p.read_bytes(), TYPES[p.suffix]) for p in STATIC.iterdir() if p.suffix in TYPES}

    def file_of(self, name, kind):
        """A piece as a file, a list of its pages, or None; what was rendered lately is kept."""
        piece = self.shelf.get(name)
        if piece is None:
            return None
        with self.lock:
            if (name, kind) in self.rendered:
                self.rendered.move_to_end((name, kind))
                return self.rendered[name, kind]
        with self.rendering:  # music21 and verovio are not made for threads
            data = render(piece, kind, self.soundfont)
        with self.lock:
            self.rendered[name, kind] = data
            while len(self.rendered) > RENDERED:
                self.rendered.popitem(last=False)
        return data

    def compose(self, wish, job, tell):
        """One wish, in a thread of the queue."""
        before = self.shelf.get(wish.prompt) if wish.prompt else None
        if wish.prompt and before is None:
            raise BadSetting("that prompt is no longer here; choose it again")
        composer = self.composers[wish.model]
        tell({"state": "composing"})
        steps = _Steps(tell)
        title = f"Clara, after {before.title}" if before else "Clara"
        for candidates in composer.candidates(wish, before.notes if before else None, title, steps, job.stop):
            tell({"candidates": [self._shown(c) for c in candidates]})

    def _shown(self, candidate):
        """A candidate as the page draws it; from now on it is on the shelf."""
        piece = candidate.piece
        return {
            "id": self.shelf.put(piece),
            "total": candidate.total,
            "scores": candidate.scores,
            "told": candidate.told,
            "words": candidate.words,
            "seed": candidate.seed,
            "prompt_quarters": piece.prompt_quarters,
            "curve": piece.curve,
            "window_quarters": piece.window_quarters,
            "instruments": list(piece.notes.instruments),
            **describe(piece.notes),
        }

    def keep(self, notes, title, losses=None):
        """A prompt on the shelf, as the page draws it."""
        return {
            "id": self.shelf.put(Piece(notes, title)),
            "title": title,
            "losses": dict(losses or {}),
            **describe(notes),
        }


class _Steps:
    """Tells progress, but not too often."""

    def __init__(self, tell):
        self.tell, self.told = tell, 0.0

    def __call__(self, share):
        if share - self.told >= 0.01:
            self.told = share
            self.tell({"progress": round(share, 3)})


def _failing(handler):
    """A route whose errors are told as JSON."""

    async def answer(request):
        try:
            return await handler(request)
        except Busy as e:
            return JSONResponse({"error": str(e)}, 503)
        except TooLong as e:
            return JSONResponse({"error": str(e)}, 413)
        except ClaraError as e:
            return JSONResponse({"error": str(e)}, 400)

    return answer


async def _body(request, most):
    """The body, as long as it is no longer than so many bytes."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise TooLong(f"more than {most >> 20} MiB")
    return bytes(data)


async def _json(request):
    try:
        return json.loads(await _body(request, MOST_BODY))
    except ValueError as e:
        raise BadSetting("not JSON") from e


def _range(told, size):
    """The first and the last byte that a Range header asks for; None for all, as for what is more than one range or none."""
    asked = re.fullmatch(r"bytes=(\d{1,18})-(\d{0,18})", told)
    first, last = (int(asked[1]), min(int(asked[2] or size), size - 1)) if asked else (None, None)
    return (first, last) if asked and first <= last else (None, None)


def _routes(page):
    async def file(request):
        found = page.files.get(request.path_params.get("name", "index.html"))
        return Response(found[0], media_type=found[1]) if found else Response("not here", 404)

    async def about(request):
        composers = await run_in_threadpool(
            lambda: {name: c.composers for name, c in page.composers.items() if "judges" in vars(c)}
        )
        return JSONResponse(
            {
                "models": [{"name": n, "title": t} for n, (t, _) in page.models.items()],
                "preferred": PREFERRED if PREFERRED in page.models else next(iter(page.models)),
                "examples": [{"name": n, "title": t} for n, (t, *_) in prompts.EXAMPLES.items()],
                "composers": next(iter(composers.values()), []),
                "endings": prompts.ENDINGS,
            }
        )

    async def upload(request):
        name = unquote(request.headers.get("x-file-name", ""))[:200]
        data = await _body(request, prompts.MOST_BYTES)
        notes, losses = await run_in_threadpool(prompts.upload, name, data)
        return JSONResponse(page.keep(notes, Path(name).stem or "music", losses))

    async def example(request):
        name = request.path_params["name"]
        notes = await run_in_threadpool(prompts.example, name)
        return JSONResponse(page.keep(notes, prompts.EXAMPLES[name][0]))

    async def played(request):
        told = await _json(request)
        qpm = told.get("qpm") if isinstance(told, dict) else None
        if not isinstance(qpm, (int, float)) or not 10 <= qpm <= 400:
            raise BadSetting("qpm must be from 10 to 400")
        return JSONResponse(page.keep(prompts.played(told.get("strokes"), qpm), "what you played"))

    async def compose(request):
        wish = Wish.of(await _json(request), page.models)
        job = page.jobs.submit(lambda job, tell: page.compose(wish, job, tell))

        async def lines():
            async for event in page.jobs.events(job):
                yield json.dumps(event) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def piece(request):
        kind = request.path_params["kind"]
        if kind not in KINDS:
            return Response("not here", 404)
        pages = await run_in_threadpool(page.file_of, request.path_params["name"], kind)
        number = request.path_params.get("page", 1)
        if pages is None or not 1 <= number <= len(pages):
            return JSONResponse({"error": "that piece is no longer here"}, 404)
        data, headers = (
            pages[number - 1],
            {"cache-control": "private, max-age=3600", "accept-ranges": "bytes", "x-pages": str(len(pages))},
        )
        first, last = _range(request.headers.get("range", ""), len(data))
        if first is None:
            return Response(data, media_type=KINDS[kind], headers=headers)
        headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
        return Response(data[first : last + 1], 206, headers, KINDS[kind])

    return [
        Route("/", file),
        Route("/static/{name}", file),
        Route("/about", about),
        Route("/prompts/upload", _failing(upload), methods=["POST"]),
        Route("/prompts/played", _failing(played), methods=["POST"]),
        Route("/prompts/example/{name}", _failing(example), methods=["POST"]),
        Route("/compose", _failing(compose), methods=["POST"]),
        Route("/pieces/{name}.{kind}", _failing(piece)),
        Route("/pieces/{name}/{page:int}.{kind}", _failing(piece)),
    ]


class _Guard:
    """Headers that keep a page to itself, and no requests from other sites."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").split(b"//")[-1]
        if scope["method"] == "POST" and origin and origin != headers.get(b"host"):
            return await Response("not from another site", 403)(scope, receive, send)

        async def guarded(message):
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        return await self.app(scope, receive, guarded)


def make_app(folders=(), *, hosts=("127.0.0.1", "localhost"), threads=1, at_once=1, soundfont=None, warm=True):
    """The application.

    Parameters
    ----------
    folders : run folders of models to offer beside those that come with Clara
    hosts : names under which it may be called
    threads : of composing
    at_once : wishes composed side by side
    soundfont : path, or None for the installed one
    warm : load the preferred model at once

    Returns
    -------
    Starlette
    """
    page = Page(folders, threads, at_once, soundfont)

    @asynccontextmanager
    async def lifespan(app):
        if warm:
            loading = asyncio.get_running_loop().run_in_executor(page.jobs.pool, page.composers[PREFERRED].warm)
            loading.add_done_callback(lambda done: done.exception())
        yield
        page.jobs.close()

    app = Starlette(
        routes=_routes(page),
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)), Middleware(_Guard)],
        lifespan=lifespan,
    )
    app.state.page = page
    return app
