"""The page's server, made with Starlette; only this machine can reach it by default.

No request names a path: static files come from one folder, and pieces have random ids that nobody can guess. Whoever
can reach the page sees its library.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from clara.checkpoints.checkpoint import follows_plans
from clara.errors import BadSetting, ClaraError, TooLong
from clara.music.notes import describe_losses
from clara_app.composer import Composer
from clara_app.web import prompts
from clara_app.web.composing import compose_candidates, drafts_of_search, notes_payload, warm_up
from clara_app.web.edits import EDITED, edit_piece, key_sound
from clara_app.web.export import MAX_ENGRAVED, MAX_EXPORTED, to_playlist, to_zip
from clara_app.web.hearing import Hearing
from clara_app.web.jobs import JobQueue, QueueFull
from clara_app.web.library import DONE, FAILED, INTERRUPTED, RUNNING, STOPPED, Library
from clara_app.web.pieces import Piece
from clara_app.web.rendering import MEDIA_TYPES, RenderedFiles
from clara_app.web.requests import (
    EditBody,
    IdsBody,
    KeyPressBody,
    SearchBody,
    StarBody,
    offered_models,
    parse_body,
    parse_request,
)
from critic.own_critic import find_own_critic, own_critic_folder

STATIC = Path(__file__).resolve().parent / "static"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
MAX_JSON_BYTES = 1 << 20
MAX_UPLOADS = 16  # at the same time; two are read and the others wait
BODY_SECONDS = 60.0  # for the body of a request to arrive
MAX_TITLE = 200  # characters
PREFERRED_MODEL = "notewise"
PROGRESS_STEP = 0.01  # smallest progress that is sent
EXPORTS = {"html": to_playlist, "zip": to_zip}
EXPORT_TYPES = {"html": "text/html; charset=utf-8", "zip": "application/zip"}
GONE = {"error": "that piece is no longer here"}
ERROR_STATUS = {QueueFull: 503, TooLong: 413, ClaraError: 400}


class Page:
    """The state behind the routes.

    Parameters
    ----------
    folders : sequence of path
        Run folders of models to offer beside the shipped ones.
    adapters : sequence of path
        Adapter files to offer as models.
    threads : int
        Number of threads that compose.
    n_workers : int
        Number of requests to compose for at the same time.
    soundfont : path, optional
    library : path, optional
        Folder of the library (default: a temporary one).
    """

    def __init__(
        self,
        folders: Sequence[str | Path] = (),
        adapters: Sequence[str | Path] = (),
        threads: int = 1,
        n_workers: int = 1,
        soundfont: str | Path | None = None,
        library: str | Path | None = None,
    ) -> None:
        self.models = offered_models(folders, adapters)
        self.follows_plans = {name: _follows_plans(model.folder) for name, model in self.models.items()}
        self.n_uploads = 0  # that are being read or wait for it
        self.composers = {
            name: Composer(str(model.folder), model.adapter, critic=_own_critic(model.folder), threads=threads)
            for name, model in self.models.items()
        }
        self._temporary = tempfile.TemporaryDirectory(prefix="clara-library-")
        self.library = Library(library or self._temporary.name)
        self.jobs = JobQueue(n_workers)
        self.files = RenderedFiles(self.library, soundfont)

    @property
    def preferred_model(self) -> str:
        """Return the name of the model that is selected at first."""
        return PREFERRED_MODEL if PREFERRED_MODEL in self.models else next(iter(self.models))

    def composer_names(self) -> list[str]:
        """Return the composers that a piece may resemble; an empty list until a model is loaded."""
        for composer in self.composers.values():
            if composer.is_loaded:
                return list(composer.scoring_models.composer_classifier.classes)
        return []

    def compose(self, request, job, send):
        """Compose for a request, in a thread of the queue; pieces are on disk before the page hears of them."""
        begin = time.monotonic()
        try:
            self._compose(request, job, send)
        except BaseException as e:
            self.library.end_request(job.id, FAILED, str(e) if isinstance(e, ClaraError) else type(e).__name__)
            raise
        state = STOPPED if job.stop.is_set() else DONE
        self.library.end_request(job.id, state, seconds=round(time.monotonic() - begin, 2))

    def _compose(self, request, job, send):
        composer = self.composers[request.compose.model]
        send({"state": "composing"})
        last_share = 0.0

        def on_progress(share):
            nonlocal last_share
            if share - last_share >= PROGRESS_STEP:
                last_share = share
                send({"progress": round(share, 3)})

        drafts = drafts_of_search(request.compose)
        for part, on_share in ((drafts, None), (request.compose, on_progress)):
            if part is None:
                continue
            for candidates in compose_candidates(
                composer, part, request.title, request.prompt, on_share, job.stop, request.change
            ):
                send({"candidates": self._keep_candidates(candidates, request, job.id)})

    def _keep_candidates(self, candidates, request, request_id):
        """Keep candidates of a request; return them as the page draws them."""
        title = self.models[request.compose.model].title
        kept, cards = [], []
        for candidate in candidates:
            piece = candidate.piece
            card = {
                "total": candidate.total,
                "scores": candidate.scores,
                "verdicts": candidate.verdicts,
                "details": candidate.details,
                "request": request_id,
                **_drawing(piece),
            }
            scored = {name: card[name] for name in ("scores", "verdicts", "details")}
            facts = {"model": title, **scored, **_listed_facts(card)}
            words = [facts["model"], facts["key"], facts["time_signatures"], *candidate.verdicts]
            kept.append((piece, candidate.total, facts, " ".join(words)))
            cards.append(card | facts | {"starred": False})
        ids = self.library.add_composed(request_id, kept)
        return [{"id": piece_id, **card} for piece_id, card in zip(ids, cards)]

    def card(self, piece_id):
        """Return a beginning or piece of the library as the page draws it, or None."""
        piece, facts = self.library.get(piece_id), self.library.facts(piece_id)
        if piece is None or facts is None:
            return None
        return {
            "id": piece_id,
            "losses": "",
            "beats": "",
            **_drawing(piece),
            **facts,
            "starred": bool(facts["starred"]),
        }

    def keep_version(self, piece_id, rows):
        """Keep an edited version of a piece; return it as the page draws it, or None if the piece is not here."""
        piece, facts = self.library.get(piece_id), self.library.facts(piece_id)
        if piece is None or facts is None:
            return None
        edited = edit_piece(piece, rows)
        listed = {"verdicts": [EDITED], "details": [], "scores": {}, **_listed_facts(_drawing(edited))}
        if "model" in facts:
            listed["model"] = facts["model"]
        words = f"{listed['key']} {listed['time_signatures']} {EDITED}"
        version_id = self.library.add_version(piece_id, edited, listed, words)
        return version_id and self.card(version_id)

    def kept_events(self, request_id):
        """Return the events of a request that runs no more, as the library holds them; None if there is none."""
        request = self.library.request(request_id)
        if request is None:
            return None
        cards = [self.card(piece_id) for piece_id in self.library.best_of(request_id)]
        state = INTERRUPTED if request["state"] == RUNNING else request["state"]
        end = {"done": True, "state": state, "n_pieces": request["n_pieces"]}
        if request["state"] == FAILED:
            end = {"error": request["error"]}
        return [{"request": request_id, "position": 0}, {"candidates": [card for card in cards if card]}, end]

    def export(self, ids, kind):
        """Return pieces as one file."""
        found = [(self.library.get(piece_id), self.library.facts(piece_id)) for piece_id in ids]
        is_engraved = kind == "html" and len(ids) <= MAX_ENGRAVED  # a zip holds MusicXML
        sheets = [self._sheets(piece_id) if is_engraved else () for piece_id in ids]
        pieces = [(piece, facts, pages) for (piece, facts), pages in zip(found, sheets) if piece and facts]
        if not pieces:
            raise BadSetting("these pieces are no longer here")
        return EXPORTS[kind](pieces, self.files.soundfont)

    def _sheets(self, piece_id):
        """Return the pages of a piece's sheet music; none if there is too much for it."""
        try:
            return [path.read_bytes() for path in self.files.get(piece_id, "svg") or ()]
        except ClaraError:
            return []

    def keep_prompt(self, notes, title, source, losses=None, played=None, beats=""):
        """Keep a beginning, and how it is played if it carries expression; return it as the page draws it."""
        piece = Piece(notes, title, played_prompt=played)
        drawing = _drawing(piece)
        facts = {"verdicts": [], "details": [], **_listed_facts(drawing)}
        words = f"{facts['key']} {facts['time_signatures']}"
        return {
            "id": self.library.add_beginning(piece, source, facts, words),
            **drawing,
            **facts,
            "source": source,
            "losses": describe_losses(losses or Counter()),
            "beats": beats,
        }

    def close(self):
        """Stop the jobs, close the library and remove the rendered files."""
        self.jobs.close()
        self.library.close()
        self.files.close()
        self._temporary.cleanup()


def _drawing(piece):
    """Return what the page draws of a piece."""
    return {
        "title": piece.title,
        "seed": piece.seed,
        "prompt_quarters": piece.prompt_quarters,
        "window_log_odds": piece.window_log_odds,
        "window_quarters": piece.window_quarters,
        "instruments": list(piece.notes.instruments),
        **notes_payload(piece.notes, piece.plan),
    }


def _listed_facts(drawing):
    """Return what the library's list shows of a piece."""
    key = drawing["form"]["keys"][0][1] if drawing["form"] and drawing["form"]["keys"] else ""
    facts = {name: drawing[name] for name in ("seconds", "quarters", "time_signatures")}
    return facts | {"n_bars": len(drawing["bars"]), "key": key}


def _own_critic(folder):
    """Return the folder of a model's own critic or None; of a broken one as well, and composing says what is wrong."""
    try:
        return find_own_critic(folder)
    except ClaraError:
        return str(own_critic_folder(folder))


def _follows_plans(folder):
    """Return whether a model follows plans; what is wrong with a broken one is said when it shall compose."""
    try:
        return follows_plans(folder)
    except ClaraError:
        return False


async def _read_body(request, max_bytes):
    """Return the body; raise an error once it exceeds the limit of bytes or seconds, since Starlette has none."""
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > max_bytes:
                    raise TooLong(f"more than {max_bytes >> 20} MiB")
    except TimeoutError as e:
        raise HTTPException(408) from e
    return bytes(data)


async def _read_json(request):
    data = await _read_body(request, MAX_JSON_BYTES)
    try:
        return from_json(data, allow_inf_nan=False)  # unlike Python's, it bounds nesting and refuses lone surrogates
    except ValueError as e:
        raise BadSetting(f"the request is not JSON ({e})") from e


def _respond_to_error(_, error):
    """Return the message of a ClaraError as JSON."""
    status = next(code for kind, code in ERROR_STATUS.items() if isinstance(error, kind))
    return JSONResponse({"error": str(error)}, status)


async def _answer_nobody(*_):
    """Answer a client that has left."""
    return Response(status_code=400)


def _printable(text):
    """Return a text without control characters, as titles of pictures and sheet music need it."""
    return "".join(character for character in text if character.isprintable())


async def _get_index(_):
    return FileResponse(STATIC / "index.html")


async def _get_about(request):
    page = request.app.state.page
    return JSONResponse(
        {
            "models": [
                {"name": name, "title": model.title, "follows_plans": page.follows_plans[name]}
                for name, model in page.models.items()
            ],
            "preferred": page.preferred_model,
            "examples": [{"name": name, "title": example.title} for name, example in prompts.EXAMPLES.items()],
            "composers": await run_in_threadpool(page.composer_names),
            "suffixes": prompts.SUFFIXES,
            "timings": await run_in_threadpool(page.library.timings),
        }
    )


async def _post_upload(request):
    name = _printable(unquote(request.headers.get("x-file-name", "")))[-MAX_TITLE:]
    page = request.app.state.page
    if page.n_uploads >= MAX_UPLOADS:  # each waits in a thread, and other requests need threads too
        raise QueueFull(f"{page.n_uploads} other files are being read; please come back in a minute")
    page.n_uploads += 1
    try:
        data = await _read_body(request, prompts.MAX_BYTES)
        upload = await run_in_threadpool(prompts.open_upload, name, data)
    finally:
        page.n_uploads -= 1
    title = Path(name).stem or "music"
    return JSONResponse(page.keep_prompt(upload.notes, title, "file", upload.losses, upload.played, upload.beats))


async def _post_example(request):
    name = request.path_params["name"]
    notes = await run_in_threadpool(prompts.load_example, name)
    return JSONResponse(request.app.state.page.keep_prompt(notes, prompts.EXAMPLES[name].title, "example"))


async def _post_key_presses(request):
    body = parse_body(await _read_json(request), KeyPressBody)
    page, title = request.app.state.page, "what you played"
    if body.qpm is not None:
        notes = prompts.quantize_key_presses(body.key_presses, body.qpm, body.time_signature)
        return JSONResponse(page.keep_prompt(notes, title, "played"))
    upload = await run_in_threadpool(prompts.hear_key_presses, body.key_presses)
    return JSONResponse(page.keep_prompt(upload.notes, title, "played", upload.losses, upload.played, upload.beats))


async def _post_compose(request):
    page = request.app.state.page
    settings = await _read_json(request)
    page_request = parse_request(settings, page.models, page.library.get)
    page.jobs.check_room()
    beginning = settings.get("prompt") or None
    request_id = await run_in_threadpool(page.library.add_request, settings, beginning)
    job = page.jobs.submit(lambda job, send: page.compose(page_request, job, send), request_id)
    return _stream(page.jobs.events(job))


async def _get_events(request):
    """Send the events of a request from the first one on, whether it runs or is kept."""
    page, request_id = request.app.state.page, request.path_params["id"]
    job = page.jobs.jobs.get(request_id)
    if job:
        return _stream(page.jobs.events(job))
    events = await run_in_threadpool(page.kept_events, request_id)
    return JSONResponse(GONE, 404) if events is None else _stream(_each(events))


async def _each(events):
    for event in events:
        yield event


def _stream(events):
    """Return events as lines of JSON."""

    async def lines():
        async for event in events:
            yield json.dumps(event) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


async def _post_stop(request):
    job = request.app.state.page.jobs.jobs.get(request.path_params["id"])
    if job:
        job.stop.set()
    return JSONResponse({"stopped": job is not None})


async def _get_request(request):
    found = await run_in_threadpool(request.app.state.page.library.request, request.path_params["id"])
    return JSONResponse(found or {"error": "that request is no longer here"}, 200 if found else 404)


async def _get_card(request):
    card = await run_in_threadpool(request.app.state.page.card, request.path_params["id"])
    return JSONResponse(card or GONE, 200 if card else 404)


async def _post_version(request):
    body = parse_body(await _read_json(request), EditBody)
    page, piece_id = request.app.state.page, request.path_params["id"]
    card = await run_in_threadpool(page.keep_version, piece_id, body.notes)
    return JSONResponse(card or GONE, 200 if card else 404)


async def _get_key_sound(request):
    soundfont = request.app.state.page.files.soundfont
    sound = await run_in_threadpool(key_sound, request.path_params["pitch"], soundfont)
    return Response(sound, headers={"cache-control": "private, max-age=86400"}, media_type=MEDIA_TYPES["wav"])


async def _post_search(request):
    body = parse_body(await _read_json(request), SearchBody)
    n_found, rows = await run_in_threadpool(request.app.state.page.library.search, **body.model_dump())
    return JSONResponse({"n_found": n_found, "pieces": rows})


async def _post_star(request):
    body = parse_body(await _read_json(request), StarBody)
    found = await run_in_threadpool(request.app.state.page.library.star, body.id, body.starred)
    return JSONResponse({"starred": body.starred} if found else GONE, 200 if found else 404)


async def _post_delete(request):
    body = parse_body(await _read_json(request), IdsBody)
    n_deleted = await run_in_threadpool(request.app.state.page.library.delete, body.ids, not body.undo)
    return JSONResponse({"n_deleted": n_deleted})


async def _get_export(request):
    kind, ids = request.path_params["kind"], request.query_params.get("ids", "").split(",")
    if kind not in EXPORTS:
        raise HTTPException(404)
    if len(ids) > MAX_EXPORTED:
        raise TooLong(f"{len(ids)} pieces; at most {MAX_EXPORTED} can be exported at once")
    data = await run_in_threadpool(request.app.state.page.export, ids, kind)
    headers = {"content-disposition": f'attachment; filename="clara.{kind}"'}
    return Response(data, headers=headers, media_type=EXPORT_TYPES[kind])


async def _get_piece(request):
    kind = request.path_params["kind"]
    if kind not in MEDIA_TYPES:
        raise HTTPException(404)
    hearing = Hearing.from_query(request.query_params)
    paths = await run_in_threadpool(request.app.state.page.files.get, request.path_params["id"], kind, hearing)
    number = request.path_params.get("page", 1)
    if paths is None or not 1 <= number <= len(paths):
        return JSONResponse(GONE, 404)
    headers = {"cache-control": "private, max-age=3600", "x-pages": str(len(paths))}
    return FileResponse(paths[number - 1], headers=headers, media_type=MEDIA_TYPES[kind])


ROUTES = [
    Route("/", _get_index),
    Route("/about", _get_about),
    Route("/prompts/upload", _post_upload, methods=["POST"]),
    Route("/prompts/played", _post_key_presses, methods=["POST"]),
    Route("/prompts/example/{name}", _post_example, methods=["POST"]),
    Route("/compose", _post_compose, methods=["POST"]),
    Route("/requests/{id}", _get_request),
    Route("/requests/{id}/events", _get_events),
    Route("/requests/{id}/stop", _post_stop, methods=["POST"]),
    Route("/library/search", _post_search, methods=["POST"]),
    Route("/library/star", _post_star, methods=["POST"]),
    Route("/library/delete", _post_delete, methods=["POST"]),
    Route("/library/export.{kind}", _get_export),
    Route("/cards/{id}", _get_card),
    Route("/pieces/{id}/versions", _post_version, methods=["POST"]),
    Route("/keys/{pitch:int}.wav", _get_key_sound),
    Route("/pieces/{id}.{kind}", _get_piece),
    Route("/pieces/{id}/{page:int}.{kind}", _get_piece),
    Mount("/static", StaticFiles(directory=STATIC)),
]


class SecurityMiddleware:
    """Refuse requests from other sites, and let browsers load nothing from other sites, whatever the answer is."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        """Handle a request, as ASGI defines it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                response_headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    response_headers[name] = value
            await send(message)

        if scope["method"] not in ("GET", "HEAD") and not _is_same_site(Headers(scope=scope)):
            return await PlainTextResponse("not from another site", 403)(scope, receive, send_with_headers)
        return await self.app(scope, receive, send_with_headers)


def _is_same_site(headers):
    """Return whether a request comes from this page, or from a program that is no browser."""
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parsed = urlsplit(origin)
    except ValueError:
        return False
    is_plain = parsed.scheme in ("http", "https") and not (parsed.path or parsed.query or parsed.fragment)
    return is_plain and parsed.netloc.lower() == headers.get("host", "").lower() != ""


class PageApplication(Starlette):
    """Starlette with `SecurityMiddleware` around everything, answers to errors included."""

    def build_middleware_stack(self):
        """Return the application with all its layers."""
        return SecurityMiddleware(super().build_middleware_stack())


def make_app(
    folders: Sequence[str | Path] = (),
    *,
    adapters: Sequence[str | Path] = (),
    hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    threads: int = 1,
    n_workers: int = 1,
    soundfont: str | Path | None = None,
    library: str | Path | None = None,
    warm: bool = True,
) -> Starlette:
    """Return the application.

    Parameters
    ----------
    folders : sequence of path
        Run folders of models to offer beside the shipped ones.
    adapters : sequence of path
        Adapter files to offer as models.
    hosts : sequence of str
        Host names that requests may use.
    threads : int
        Number of threads that compose.
    n_workers : int
        Number of requests to compose for at the same time.
    soundfont : path, optional
        Default: the one that pretty_midi installs.
    library : path, optional
        Folder of the library (default: a temporary one).
    warm : bool
        Whether to load the preferred model at the start.
    """
    page = Page(folders, adapters, threads, n_workers, soundfont, library)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if warm:
            composer = page.composers[page.preferred_model]
            loading = asyncio.get_running_loop().run_in_executor(page.jobs.pool, warm_up, composer)
            loading.add_done_callback(lambda done: done.exception())
        yield
        page.close()

    app = PageApplication(
        routes=ROUTES,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers=dict.fromkeys(ERROR_STATUS, _respond_to_error) | {ClientDisconnect: _answer_nobody},
        lifespan=lifespan,
    )
    app.state.page = page
    return app
