"""api/server.py: the page is served until the drain."""

import json
from functools import partial

import trio

from api.server import run_api
from runtime.http_server import listen
from tests.support.http import fetch


async def test_a_reader_that_keeps_its_connection_does_not_hold_up_the_drain() -> None:
    drain = trio.Event()
    async with trio.open_nursery() as nursery:
        sock = listen("127.0.0.1", 0)
        port = sock.getsockname()[1]
        nursery.start_soon(partial(run_api, sock, [1], wait_drain=drain.wait))
        idle = await trio.open_tcp_stream("127.0.0.1", port)
        assert (await fetch(port, "/health")).status == 200
        with trio.fail_after(10):
            drain.set()
            assert await idle.receive_some(1) == b""
        await idle.aclose()


async def test_gateways_with_a_certificate_are_reached_by_wss_from_a_page_without() -> None:
    drain = trio.Event()
    async with trio.open_nursery() as nursery:
        sock = listen("127.0.0.1", 0)
        nursery.start_soon(partial(run_api, sock, [8001], scheme="wss", wait_drain=drain.wait))
        config = await fetch(sock.getsockname()[1], "/config.json", host="chat.example.org:8000")
        assert json.loads(config.body) == {"websocket_urls": ["wss://chat.example.org:8001/"]}
        assert "connect-src 'self' wss://chat.example.org:8001;" in config.headers["content-security-policy"]
        drain.set()
