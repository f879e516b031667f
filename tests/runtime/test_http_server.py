"""runtime/http_server.py: the life of a page's server."""

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

import pytest
import trio

from runtime import http_server
from runtime.http_server import listen, serve_app
from tests.support.http import fetch

Message = MutableMapping[str, Any]


async def endless(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """Answers `/` with "yes", and anything else with bytes without end."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] != "/":
        await send({"type": "http.response.body", "body": b"\0" * 65536, "more_body": True})
    await send({"type": "http.response.body", "body": b"yes"})


async def test_it_serves_until_the_drain_and_then_the_port_is_free() -> None:
    drain = trio.Event()
    async with trio.open_nursery() as nursery:
        sock = listen("127.0.0.1", 0)
        port = sock.getsockname()[1]
        nursery.start_soon(partial(serve_app, endless, sock, wait_drain=drain.wait))
        assert (await fetch(port, "/")).body.count(b"yes") == 1
        drain.set()
    with pytest.raises(OSError, match="all attempts to connect"):
        await fetch(port, "/")


async def test_a_reader_that_stops_reading_does_not_keep_it_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "STUCK_READER_S", 1.0)
    drain = trio.Event()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            sock = listen("127.0.0.1", 0)
            port = sock.getsockname()[1]
            nursery.start_soon(partial(serve_app, endless, sock, wait_drain=drain.wait))
            async with await trio.open_tcp_stream("127.0.0.1", port) as stuck:
                await stuck.send_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
                assert await stuck.receive_some(1)
                # The kernel's buffers are full and Hypercorn waits in a write that nothing may cancel.
                drain.set()
                await trio.lowlevel.checkpoint()
                while nursery.child_tasks:
                    await trio.sleep(0.05)


def test_an_address_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port} for the tea room: Address already in use"):
            listen("127.0.0.1", port, "the tea room")


def test_a_host_that_nobody_knows_is_named() -> None:
    with pytest.raises(OSError, match="cannot listen on no host at all:1 for the page: "):
        listen("no host at all", 1)
