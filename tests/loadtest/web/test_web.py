"""loadtest/web/web.py: the web view over HTTP, as a browser or a script asks for it."""

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import msgspec
import pytest
import trio

from loadtest.web import web
from loadtest.web.downloads import Download
from loadtest.web.web import BODY_BYTES_MAX, LoginNeeded, access_for, load_pages, serve_web
from loadtest.web.web_access import Access, Login
from runtime.http_server import listen
from tests.support.http import Answer, fetch
from tests.support.steered_run import SteeredRun

DOWNLOADS = {"run.json": Download("application/json", "everything", msgspec.json.encode)}
LOGIN = Login("ada", "correct horse")


@dataclass
class View:
    run: SteeredRun
    access: Access
    port: int

    async def post(self, path: str, body: bytes = b"", token: str | None = None) -> Answer:
        """As the page does it."""
        head = (
            f"Origin: http://127.0.0.1:{self.port}\r\nX-Parvis-Token: {self.access.token if token is None else token}\r\n"
            f"Content-Length: {len(body)}\r\n"
        )
        return await fetch(self.port, path, method="POST", head=head, body=body)


async def serve(nursery: trio.Nursery, access: Access) -> View:
    sock, run = listen("127.0.0.1", 0), SteeredRun()
    port = sock.getsockname()[1]
    nursery.start_soon(partial(serve_web, sock, run, access, DOWNLOADS, wait_end=trio.sleep_forever))
    return View(run, access, port)


@pytest.fixture
async def view(nursery: trio.Nursery) -> View:
    return await serve(nursery, access_for("127.0.0.1", None))


@pytest.fixture
async def closed(nursery: trio.Nursery) -> View:
    return await serve(nursery, access_for("127.0.0.1", LOGIN))


class Watcher:
    """Somebody who reads the stream of events."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._said = b""

    async def wait_for(self, *wanted: bytes) -> None:
        """Read on until all of it has been said."""
        with trio.fail_after(30):
            while not all(each in self._said for each in wanted):
                chunk = await self._stream.receive_some(65536)
                assert chunk, f"the stream ended: {self._said!r}"
                self._said += chunk

    async def wait_end(self) -> None:
        with trio.fail_after(30):
            while await self._stream.receive_some(65536):
                pass


@asynccontextmanager
async def watcher(port: int) -> AsyncIterator[Watcher]:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        yield Watcher(stream)


# --- looking ----------------------------------------------------------------------------------------


async def test_the_page_names_only_files_that_are_served_and_holds_the_token(view: View) -> None:
    page = await fetch(view.port, "/")
    assert page.status == 200
    assert f'content="{view.access.token}"'.encode() in page.body
    named = re.findall(r'(?:src|href)="(/[^"]+)"', page.body.decode())
    assert {"/static/live.js", "/static/live.css", "/static/charts.js"} <= set(named)
    for path in named:
        assert (await fetch(view.port, path)).status == 200, f"{path}: run make charts"


async def test_events_tell_the_past_and_go_on(view: View) -> None:
    view.run.start(100, 10.0)
    view.run.advance(5)
    async with watcher(view.port) as one, watcher(view.port) as other:
        for each in (one, other):
            await each.wait_for(b"event: past", b'"at":[1,2,3,4,5]', b"event: standing", b"event: tables", b"event: log")
        view.run.advance()
        for each in (one, other):
            await each.wait_for(b"event: moment", b'"at":6')


async def test_too_many_watchers_are_told_so(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WATCHERS_MAX", 0)
    answer = await fetch(view.port, "/events")
    assert (answer.status, answer.body) == (503, b"0 pages watch this run already: close one of them.\n")


async def test_words_say_what_can_be_drawn_counted_and_taken(view: View) -> None:
    words = json.loads((await fetch(view.port, "/words.json")).body)
    assert "deliver" in [chart["id"] for chart in words["charts"]]
    assert words["counts"]["deliveries"] == "event frames received, by readers and auditors"
    assert "lost" in words["violations"]
    assert words["downloads"] == [{"name": "run.json", "about": "everything"}]


async def test_the_run_so_far_can_be_taken_away(view: View) -> None:
    view.run.start(100, 10.0)
    view.run.advance(3)
    answer = await fetch(view.port, "/data/run.json")
    assert answer.headers["content-disposition"] == 'attachment; filename="run.json"'
    assert len(json.loads(answer.body)["moments"]) == 3
    missing = await fetch(view.port, "/data/run.exe")
    assert (missing.status, missing.body) == (404, b"There is no such file; there are run.json.\n")


@pytest.mark.parametrize("path", ["/", "/events-not", "/words.json", "/static/live.js", "/static/none.js", "/data/none"])
async def test_every_answer_is_fenced_in(view: View, path: str) -> None:
    headers = (await fetch(view.port, path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


@pytest.mark.parametrize("path", ["/static/..%2fweb.py", "/static/%2e%2e/web.py", "/docs", "/openapi.json", "/data/..%2fx"])
async def test_there_is_nothing_else(view: View, path: str) -> None:
    assert (await fetch(view.port, path)).status == 404


def test_no_page_holds_inline_script_or_writes_markup() -> None:
    pages = load_pages()
    assert not re.search(rb"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", pages["live.html"][0])
    for name, (text, _) in pages.items():
        if name.endswith(".js") and not name.startswith("uPlot"):
            assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text), name


# --- steering -----------------------------------------------------------------------------------------


async def test_start_edit_and_stop_reach_the_run(view: View) -> None:
    assert (await view.post("/start", b'{"users": 300, "spawn_per_s": 50}')).status == 204
    assert (view.run.standing.phase, view.run.standing.users, view.run.standing.spawn_per_s) == ("spawning", 300, 50.0)
    assert (await view.post("/edit", b'{"users": 10, "spawn_per_s": 0.5}')).status == 204
    assert (view.run.standing.users, view.run.standing.spawn_per_s) == (10, 0.5)
    assert (await view.post("/stop")).status == 204
    assert view.run.standing.phase == "ended"


async def test_what_cannot_be_done_now_is_told_in_the_runs_words(view: View) -> None:
    answer = await view.post("/stop")
    assert (answer.status, answer.body) == (409, b"the run is ready: there is nothing to stop\n")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"many", b"[]", b"{}", b'{"users": 1}', b'{"users": -1, "spawn_per_s": 1}', b'{"users": 1.5, "spawn_per_s": 1}',
        b'{"users": 1, "spawn_per_s": 0}', b'{"users": 1e9, "spawn_per_s": 1}', b'{"users": 1, "spawn_per_s": NaN}',
        b'{"users": 1, "spawn_per_s": 1, "sudo": true}', b'{"users": 1, "spawn_per_s": 1e999}',
    ],
)  # fmt: skip
async def test_a_wish_that_is_none_is_refused_in_a_sentence(view: View, body: bytes) -> None:
    answer = await view.post("/start", body)
    assert answer.status == 400
    assert answer.body.startswith(b"This is no number of users and rate: ")
    assert view.run.standing.phase == "ready"


async def test_a_wish_without_end_is_refused(view: View) -> None:
    assert (await view.post("/start", b" " * (BODY_BYTES_MAX + 1))).status == 413


@pytest.mark.parametrize("path", ["/start", "/edit", "/stop"])
async def test_no_other_page_steers(view: View, path: str) -> None:
    body = b'{"users": 1, "spawn_per_s": 1}'
    assert (await view.post(path, body, token="guessed")).status == 403
    foreign = f"Origin: http://evil.example\r\nX-Parvis-Token: {view.access.token}\r\nContent-Length: {len(body)}\r\n"
    assert (await fetch(view.port, path, method="POST", head=foreign, body=body)).status == 403
    assert view.run.standing.phase == "ready"


async def test_a_foreign_name_for_this_machine_is_refused(view: View) -> None:
    answer = await fetch(view.port, "/", host="evil.example")
    assert answer.status == 403
    assert view.access.token.encode() not in answer.body


# --- login -----------------------------------------------------------------------------------------------


def basic(text: str) -> str:
    return f"Authorization: Basic {b64encode(text.encode()).decode()}\r\n"


async def test_with_a_login_nothing_is_shown_without_it(closed: View) -> None:
    for path in ("/", "/events", "/data/run.json", "/static/live.js"):
        answer = await fetch(closed.port, path)
        assert (answer.status, answer.body) == (401, b"This page asks for a login.\n")
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert (await fetch(closed.port, "/", head=basic("ada:correct horse"))).status == 200


async def test_wrong_logins_are_answered_one_after_another(closed: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WRONG_LOGIN_S", 0.05)
    monkeypatch.setattr(web, "WRONG_LOGINS_WAITING_MAX", 2)
    statuses = []

    async def guess() -> None:
        statuses.append((await fetch(closed.port, "/", head=basic("ada:guess"))).status)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(guess)
    assert set(statuses) == {401, 429}
    assert (await fetch(closed.port, "/", head=basic("ada:correct horse"))).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "load.example", "::"])
def test_others_are_let_in_with_a_login_only(host: str) -> None:
    with pytest.raises(LoginNeeded, match="PARVIS_LOADTEST_LOGIN=user:password"):
        access_for(host, None)
    assert access_for(host, LOGIN).login == LOGIN


# --- its end --------------------------------------------------------------------------------------------------


async def test_watchers_do_not_keep_it_from_ending() -> None:
    end = trio.Event()
    sock, run = listen("127.0.0.1", 0), SteeredRun()
    port = sock.getsockname()[1]
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_web, sock, run, access_for("127.0.0.1", None), DOWNLOADS, wait_end=end.wait))
            async with watcher(port) as watching:
                await watching.wait_for(b"event: past")
                end.set()
                await watching.wait_end()
