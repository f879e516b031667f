"""A gateway behind a proxy: clients are counted by the address that the proxy names, and one address hurts no other."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from runtime.schema import AdmissionSettings
from tests.gateway.test_server import Served, served
from tests.support.edge_server import request
from tests.support.proxy_headers import proxy_header
from tests.support.tls import client_context, write_pair

TRUSTED = {"trusted_proxies": ["127.0.0.1"], "address_limits": "on"}


def named(number: int) -> bytes:
    """A PROXY header for the client 192.0.2.`number`."""
    return proxy_header(rest=bytes([192, 0, 2, number]) + bytes([127, 0, 0, 1]) + bytes(4))


@asynccontextmanager
async def caller(gateway: Served, first: bytes) -> AsyncIterator[tuple[trio.SocketStream, bytes]]:
    """One connection that begins with `first`, and the first line that it is answered."""
    with trio.fail_after(20):
        async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
            await stream.send_all(first)
            yield stream, (await stream.receive_some(4096)).partition(b"\r\n")[0]


async def left(gateway: Served) -> None:
    """Wait until the gateway has noticed that nobody is there any more."""
    keys, connections = gateway.counters.admission_keys, gateway.counters.connections
    assert keys is not None
    assert connections is not None
    with trio.fail_after(20):
        while connections():
            await trio.sleep(0.01)


async def test_the_fourth_of_an_address_is_refused_and_others_come_in() -> None:
    admission = AdmissionSettings(**TRUSTED, proxy_protocol=True, address_connections_max=3)  # type: ignore[arg-type]
    async with served(admission=admission) as gateway, AsyncExitStack() as connected:

        async def come(number: int) -> bytes:
            _, answer = await connected.enter_async_context(caller(gateway, named(number) + request()))
            return answer

        crowd = [await come(7) for _ in range(5)]
        assert [answer.split()[1] for answer in crowd] == [b"101"] * 3 + [b"429"] * 2
        assert (await come(8)).split()[1] == b"101"
        assert gateway.counters.handshake_refusals["address"] == 2
        await connected.aclose()
        await left(gateway)
        assert (await come(7)).split()[1] == b"101"


async def test_rubbish_before_the_request_ends_that_connection_alone_and_leaves_nothing() -> None:
    admission = AdmissionSettings(**TRUSTED, proxy_protocol=True)  # type: ignore[arg-type]
    good = named(7)
    hostile = [
        b"\r\n" * 20, bytes(64), b"\xff" * 64,
        good[:12] + b"\x21\x11\xff\xff" + bytes(64), good[:12] + b"\x2f\x11\x00\x0c" + bytes(12),
        good[:13] + b"\x12\x00\x0c" + bytes(12), good[:14] + b"\x00\x03abc" + bytes(16), request(), good + good + request(),
        good + b"\x00" * 200,
    ]  # fmt: skip
    async with served(admission=admission, handshake_deadline_s=5.0) as gateway, caller(gateway, named(1) + request()) as canary:
        assert canary[1].split()[1] == b"101"
        for data in hostile:
            async with caller(gateway, data) as (_, answer):
                assert answer.split()[1] == b"400"
        async with caller(gateway, good + request()) as (_, answer):
            assert answer.split()[1] == b"101"
        assert gateway.counters.connection_errors == 0
        assert gateway.counters.handshake_refusals["proxy_header"] == 8


async def test_the_header_of_the_request_names_the_client_when_a_proxy_sent_it() -> None:
    admission = AdmissionSettings(**TRUSTED, forwarded_for=True, address_connections_max=1)  # type: ignore[arg-type]
    async with served(admission=admission) as gateway:
        first = request(add=b"X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n")
        second = request(add=b"X-Forwarded-For: 203.0.113.8, 192.0.2.7\r\n")
        other = request(add=b"X-Forwarded-For: 192.0.2.7, 192.0.2.8\r\n")
        async with caller(gateway, first) as (_, answer):
            assert answer.split()[1] == b"101"
            async with caller(gateway, second) as (_, answer):
                assert answer.split()[1] == b"429"
            async with caller(gateway, other) as (_, answer):
                assert answer.split()[1] == b"101"


async def test_in_dry_run_everybody_comes_in_and_is_counted() -> None:
    admission = AdmissionSettings(address_exempt=[], address_connections_max=1)
    async with served(admission=admission) as gateway, AsyncExitStack() as connected:
        for _ in range(3):
            _, answer = await connected.enter_async_context(caller(gateway, request()))
            assert answer.split()[1] == b"101"
        assert gateway.counters.admission_dry_run["address_connections"] == 2
        assert gateway.counters.handshake_refusals["address"] == 0


async def test_a_proxy_speaks_before_tls_and_who_is_too_many_costs_no_handshake(tmp_path: Path) -> None:
    admission = AdmissionSettings(**TRUSTED, proxy_protocol=True, address_connections_max=1)  # type: ignore[arg-type]
    files = write_pair(tmp_path)
    pair = {"tls_certificate": str(files.certificate), "tls_key": str(files.key)}
    async with served(admission=admission, **pair) as gateway, await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
        with trio.fail_after(20):
            await stream.send_all(named(7))
            secure = trio.SSLStream(stream, client_context(), server_hostname="localhost", https_compatible=True)
            await secure.send_all(request())
            assert (await secure.receive_some(4096)).startswith(b"HTTP/1.1 101 ")
            async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as second:
                await second.send_all(named(7))
                assert await second.receive_some(4096) == b""
        assert gateway.counters.handshake_refusals["address"] == 1
        await trio.aclose_forcefully(secure)
