"""The web view of a run: its page, a stream of what happens, three buttons, and the data.

    GET  /                 the page, with the token that its buttons need
    GET  /static/<file>    its scripts and styles
    GET  /words.json       names of charts, counts and files
    GET  /events           what happens, as it happens (`loadtest/web/board.py`)
    GET  /data/<file>      the run so far: json, csv, html, hlog
    POST /start /edit      {"users": 5000, "spawn_per_s": 250}
    POST /stop

Every request first passes `Access`: who may look, who may steer.
"""

import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Annotated, Final

import msgspec
import trio
from fastapi import FastAPI, Request, Response
from msgspec import Meta, Struct
from starlette.datastructures import MutableHeaders
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loadtest.figures.messages import COUNTS, VIOLATIONS
from loadtest.master.steering import NotNow, Steered
from loadtest.reports.timeline import CHARTS
from loadtest.web.board import Board
from loadtest.web.downloads import Download
from loadtest.web.web_access import Access, Login, Refusal, is_loopback
from runtime.http_headers import fence
from runtime.http_server import serve_app

# More would be a mistake: each costs the master the writing of some kilobytes a second.
WATCHERS_MAX: Final = 64
BODY_BYTES_MAX: Final = 1024
USERS_MAX: Final = 10_000_000
# A wrong login is answered so slowly, one after another: whoever guesses gets one guess a second.
WRONG_LOGIN_S: Final = 1.0
WRONG_LOGINS_WAITING_MAX: Final = 16
_TOKEN_MARK: Final = "{{token}}"
_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}



class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """How many users, and how fast they come or go."""

    users: Annotated[int, Meta(ge=0, le=USERS_MAX)]
    spawn_per_s: Annotated[float, Meta(gt=0, le=USERS_MAX)]


def access_for(host: str, login: Login | None) -> Access:
    """The rules of a view that listens on `host`; raises `LoginNeeded` when others could reach it without a login."""
    if login is None and not is_loopback(host):
        raise LoginNeeded(host)
    return Access(secrets.token_urlsafe(32), login)


class LoginNeeded(ValueError):
    """Others can reach the view, and it would let everybody steer."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"the web view on {host} could be reached by others: give it a login in the environment, "
            "PARVIS_LOADTEST_LOGIN=user:password, or leave it on 127.0.0.1"
        )


async def serve_web(
    sock: socket.socket,
    run: Steered,
    access: Access,
    downloads: Mapping[str, Download],
    *,
    wait_end: Callable[[], Awaitable[None]],
) -> None:
    """Serve the view of `run` on `sock` (from `runtime.http_server.listen`, owned from here on) until `wait_end` returns."""
    board = Board(run)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(board.run)
        await serve_app(Fence(make_app(run, board, access, downloads), access), sock, wait_drain=wait_end)
        nursery.cancel_scope.cancel()


def load_pages() -> Mapping[str, tuple[bytes, str]]:
    """Every file of loadtest/pages by name, with its media type, read once: nothing is served by path."""
    found = {}
    for folder in (files("loadtest").joinpath("pages"), files("loadtest").joinpath("pages", "build")):
        for file in folder.iterdir() if folder.is_dir() else ():
            suffix = "." + file.name.rpartition(".")[2]
            if suffix in _MEDIA_TYPES:
                found[file.name] = (file.read_bytes(), _MEDIA_TYPES[suffix])
    return found


def make_app(run: Steered, board: Board, access: Access, downloads: Mapping[str, Download]) -> FastAPI:
    """The application behind the fence."""
    pages = load_pages()
    app = FastAPI(title="parvis loadtest", openapi_url=None, docs_url=None, redoc_url=None)

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        text = pages["live.html"][0].decode().replace(_TOKEN_MARK, access.token)
        return Response(text, media_type=_MEDIA_TYPES[".html"])

    @app.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def static(name: str) -> Response:
        if name not in pages:
            return _sentence(404, "There is no such file.")
        body, media_type = pages[name]
        return Response(body, media_type=media_type)

    @app.get("/words.json")
    async def words() -> Response:
        """What never changes while a run lasts: which charts there are, what is counted, what can be taken away."""
        offered = [{"name": name, "about": download.about} for name, download in downloads.items()]
        said = {"charts": CHARTS, "counts": COUNTS, "violations": VIOLATIONS, "downloads": offered}
        return Response(msgspec.json.encode(said), media_type="application/json")

    @app.get("/events")
    async def events() -> Response:
        if board.watchers >= WATCHERS_MAX:
            return _sentence(503, f"{WATCHERS_MAX} pages watch this run already: close one of them.")
        return StreamingResponse(board.watch(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @app.get("/data/{name}")
    async def data(name: str) -> Response:
        if name not in downloads:
            return _sentence(404, f"There is no such file; there are {', '.join(downloads)}.")
        download = downloads[name]
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        # A report of a long run takes a second to make: the run's own loop does not wait for it.
        made = await trio.to_thread.run_sync(download.made_of, run.record())
        return Response(made, media_type=download.media_type, headers=headers)

    @app.post("/start")
    async def start(request: Request) -> Response:
        return await _steer(request, run.start)

    @app.post("/edit")
    async def edit(request: Request) -> Response:
        return await _steer(request, run.edit)

    @app.post("/stop")
    async def stop() -> Response:
        return _done(run.stop)

    return app


async def _steer(request: Request, act: Callable[[int, float], None]) -> Response:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return _sentence(413, f"A wish of more than {BODY_BYTES_MAX} bytes is none.")
    try:
        wanted = msgspec.json.decode(body, type=Wanted)
    except msgspec.DecodeError as error:
        # Of the numbers this is also a `ValidationError`, which names the field and the bound.
        return _sentence(400, f"This is no number of users and rate: {error}.")
    return _done(lambda: act(wanted.users, wanted.spawn_per_s))


def _done(act: Callable[[], None]) -> Response:
    try:
        act()
    except NotNow as refusal:
        return _sentence(409, str(refusal))
    return Response(status_code=204)


def _sentence(status: int, text: str) -> Response:
    return Response(text + "\n", status_code=status, media_type="text/plain; charset=utf-8")


class Fence:
    """What every request passes and every answer carries."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._headers = fence("'self'")
        self._wrong_logins = trio.CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_fenced(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._access.refuse(scope["method"], headers)
        if refusal is None:
            await self._app(scope, receive, send_fenced)
        else:
            answer = await self._answer(refusal, tried="authorization" in headers)
            await answer(scope, receive, send_fenced)

    async def _answer(self, refusal: Refusal, *, tried: bool) -> Response:
        answer = _sentence(refusal.status, refusal.sentence)
        if refusal.status != 401:
            return answer
        if tried:
            if self._wrong_logins.statistics().tasks_waiting >= WRONG_LOGINS_WAITING_MAX:
                return _sentence(429, "Too many wrong logins: wait a minute.")
            async with self._wrong_logins:
                await trio.sleep(WRONG_LOGIN_S)
        answer.headers["WWW-Authenticate"] = 'Basic realm="parvis loadtest", charset="UTF-8"'
        return answer
