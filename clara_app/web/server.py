"""The page's server, made with Starlette; only this machine can reach it by default.

No request names a path: static files come from one folder, and pieces have random ids that nobody can guess.
"""

import asyncio
import json
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
from clara_app.web.composing import compose_candidates, notes_payload, warm_up
from clara_app.web.jobs import JobQueue, QueueFull
from clara_app.web.piece_store import Piece, PieceStore
from clara_app.web.rendering import MEDIA_TYPES, RenderedFiles
from clara_app.web.requests import KeyPressBody, offered_models, parse_body, parse_request
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
ERROR_STATUS = {QueueFull: 503, TooLong: 413, ClaraError: 400}


class Page:
    """The state behind the routes.

    Parameters
    ----------
    folders : sequence of path
        Run folders of models to offer beside the shipped ones.
    threads : int
        Number of threads that compose.
    n_workers : int
        Number of requests to compose for at the same time.
    soundfont : path, optional
    """

    def __init__(
        self,
        folders: Sequence[str | Path] = (),
        threads: int = 1,
        n_workers: int = 1,
        soundfont: str | Path | None = None,
    ) -> None:
        self.models = offered_models(folders)
        self.follows_plans = {name: _follows_plans(folder) for name, (_, folder) in self.models.items()}
        self.n_uploads = 0  # that are being read or wait for it
        self.composers = {
            name: Composer(str(folder), critic=_own_critic(folder), threads=threads)
            for name, (_, folder) in self.models.items()
        }
        self.store = PieceStore()
        self.jobs = JobQueue(n_workers)
        self.files = RenderedFiles(self.store, soundfont)

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
        """Compose for a request, in a thread of the queue."""
        composer = self.composers[request.compose.model]
        send({"state": "composing"})
        last_share = 0.0

        def on_progress(share):
            nonlocal last_share
            if share - last_share >= PROGRESS_STEP:
                last_share = share
                send({"progress": round(share, 3)})

        batches = compose_candidates(composer, request.compose, request.title, request.prompt, on_progress, job.stop)
        for candidates in batches:
            send({"candidates": [self._keep_candidate(candidate) for candidate in candidates]})

    def _keep_candidate(self, candidate):
        """Store a candidate; return it as the page draws it."""
        piece = candidate.piece
        return {
            "id": self.store.add(piece),
            "total": candidate.total,
            "scores": candidate.scores,
            "descriptions": candidate.descriptions,
            "text": candidate.text,
            "seed": candidate.seed,
            "prompt_quarters": piece.prompt_quarters,
            "window_log_odds": piece.window_log_odds,
            "window_quarters": piece.window_quarters,
            "instruments": list(piece.notes.instruments),
            **notes_payload(piece.notes, piece.plan),
        }

    def keep_prompt(self, notes, title, losses=None, played=None, beats=""):
        """Store a prompt, and how it is played if it carries expression; return it as the page draws it."""
        return {
            "id": self.store.add(Piece(notes, title, played_prompt=played)),
            "title": title,
            "losses": describe_losses(losses or Counter()),
            "beats": beats,
            **notes_payload(notes),
        }

    def close(self):
        """Stop the jobs and remove the rendered files."""
        self.jobs.close()
        self.files.close()


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
                {"name": name, "title": title, "follows_plans": page.follows_plans[name]}
                for name, (title, _) in page.models.items()
            ],
            "preferred": page.preferred_model,
            "examples": [{"name": name, "title": example.title} for name, example in prompts.EXAMPLES.items()],
            "composers": await run_in_threadpool(page.composer_names),
            "suffixes": prompts.SUFFIXES,
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
    return JSONResponse(page.keep_prompt(upload.notes, title, upload.losses, upload.played, upload.beats))


async def _post_example(request):
    name = request.path_params["name"]
    notes = await run_in_threadpool(prompts.load_example, name)
    return JSONResponse(request.app.state.page.keep_prompt(notes, prompts.EXAMPLES[name].title))


async def _post_key_presses(request):
    body = parse_body(await _read_json(request), KeyPressBody)
    page, title = request.app.state.page, "what you played"
    if body.qpm is not None:
        notes = prompts.quantize_key_presses(body.key_presses, body.qpm, body.time_signature)
        return JSONResponse(page.keep_prompt(notes, title))
    upload = await run_in_threadpool(prompts.hear_key_presses, body.key_presses)
    return JSONResponse(page.keep_prompt(upload.notes, title, upload.losses, upload.played, upload.beats))


async def _post_compose(request):
    page = request.app.state.page
    page_request = parse_request(await _read_json(request), page.models, page.store.get)
    job = page.jobs.submit(lambda job, send: page.compose(page_request, job, send))

    async def event_lines():
        async for event in page.jobs.events(job):
            yield json.dumps(event) + "\n"

    return StreamingResponse(event_lines(), media_type="application/x-ndjson")


async def _get_piece(request):
    kind = request.path_params["kind"]
    if kind not in MEDIA_TYPES:
        raise HTTPException(404)
    paths = await run_in_threadpool(request.app.state.page.files.get, request.path_params["id"], kind)
    number = request.path_params.get("page", 1)
    if paths is None or not 1 <= number <= len(paths):
        return JSONResponse({"error": "that piece is no longer here"}, 404)
    headers = {"cache-control": "private, max-age=3600", "x-pages": str(len(paths))}
    return FileResponse(paths[number - 1], headers=headers, media_type=MEDIA_TYPES[kind])


ROUTES = [
    Route("/", _get_index),
    Route("/about", _get_about),
    Route("/prompts/upload", _post_upload, methods=["POST"]),
    Route("/prompts/played", _post_key_presses, methods=["POST"]),
    Route("/prompts/example/{name}", _post_example, methods=["POST"]),
    Route("/compose", _post_compose, methods=["POST"]),
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
    hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    threads: int = 1,
    n_workers: int = 1,
    soundfont: str | Path | None = None,
    warm: bool = True,
) -> Starlette:
    """Return the application.

    Parameters
    ----------
    folders : sequence of path
        Run folders of models to offer beside the shipped ones.
    hosts : sequence of str
        Host names that requests may use.
    threads : int
        Number of threads that compose.
    n_workers : int
        Number of requests to compose for at the same time.
    soundfont : path, optional
        Default: the one that pretty_midi installs.
    warm : bool
        Whether to load the preferred model at the start.
    """
    page = Page(folders, threads, n_workers, soundfont)

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
