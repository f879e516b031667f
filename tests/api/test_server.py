"""api/server.py: the life of the page's server."""

import socket
from functools import partial

import pytest
import trio

from api.server import listen, run_api
from tests.support.http import fetch


async def test_it_serves_until_the_drain_and_then_the_port_is_free() -> None:
    drain = trio.Event()
    async with trio.open_nursery() as nursery:
        sock = listen("127.0.0.1", 0)
        port = sock.getsockname()[1]
        nursery.start_soon(partial(run_api, sock, [1], wait_drain=drain.wait))
        assert (await fetch(port, "/health")).status == 200
        drain.set()
    with pytest.raises(OSError, match="all attempts to connect"):
        await fetch(port, "/health")


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


def test_an_address_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port} for the page: Address already in use"):
            listen("127.0.0.1", port)
