"""api/app.py: what is served, with which headers, and that there is nothing else."""

import json
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from api.app import load_assets
from api.server import run_api
from runtime.http_server import listen
from tests.support.http import fetch

STATIC = Path(__file__).resolve().parents[2] / "api" / "static"


@pytest.fixture
async def port(nursery: trio.Nursery) -> AsyncIterator[int]:
    drain = trio.Event()
    sock = listen("127.0.0.1", 0)
    port = sock.getsockname()[1]
    nursery.start_soon(partial(run_api, sock, [8001, 8002], wait_drain=drain.wait))
    yield port
    drain.set()


async def test_the_page_names_only_files_that_are_served(port: int) -> None:
    page = await fetch(port, "/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(/[^"]+)"', page.body.decode())
    assert {"/static/page.js", "/static/page.css", "/static/parvis.svg"} <= set(named)
    for path in named:
        assert (await fetch(port, path)).status == 200


async def test_a_script_is_served_as_a_script(port: int) -> None:
    script = await fetch(port, "/static/conversation.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.body == (STATIC / "conversation.js").read_bytes()


async def test_the_gateways_are_where_the_page_was_asked_from(port: int) -> None:
    config = await fetch(port, "/config.json", host="chat.example.org:80")
    assert json.loads(config.body) == {"websocket_urls": ["ws://chat.example.org:8001/", "ws://chat.example.org:8002/"]}
    policy = config.headers["content-security-policy"]
    assert "connect-src 'self' ws://chat.example.org:8001 ws://chat.example.org:8002;" in policy


async def test_health_says_that_the_process_answers(port: int) -> None:
    assert json.loads((await fetch(port, "/health")).body) == {"status": "ok"}


@pytest.mark.parametrize("path", ["/", "/config.json", "/health", "/static/page.js", "/static/none.js", "/nowhere"])
async def test_every_answer_is_fenced_in(port: int, path: str) -> None:
    headers = (await fetch(port, path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


@pytest.mark.parametrize(
    "path", ["/static/none.js", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/", "/docs", "/openapi.json", "/redoc"]
)
async def test_there_is_nothing_else(port: int, path: str) -> None:
    assert (await fetch(port, path)).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_can_be_written(port: int, method: str) -> None:
    assert (await fetch(port, "/", method=method, head="Content-Length: 0\r\n")).status == 405


async def test_a_host_that_is_none_is_refused(port: int) -> None:
    answer = await fetch(port, "/config.json", host="a;script-src *")
    assert answer.status == 400
    assert b"script-src" not in answer.body


def test_the_page_holds_no_inline_script_or_style() -> None:
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", page)


def test_the_script_writes_text_only_and_stays_readable() -> None:
    scripts = {path.name: path.read_text() for path in STATIC.glob("*.js")}
    for name, text in scripts.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text), name
    assert sum(len(text.splitlines()) for text in scripts.values()) <= 300


def test_every_asset_is_loaded_from_the_package() -> None:
    assert set(load_assets()) == {path.name for path in STATIC.iterdir()}
