"""The edge under attack, on real sockets; every trap of DESIGN section 6 has its test here.

Beside each attack sits a canary: a well-behaved client that must not notice.
"""

import os
import random
import resource
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from gateway.accept import Admission
from gateway.peer import PeerGone
from gateway.upgrade import UpgradeRefused, UpgradeRules
from tests.support.deflating import deflated
from tests.support.edge_server import (
    EdgeUnderTest,
    RawClient,
    client_frame,
    client_header,
    open_files,
    raw_client,
    request,
    running_edge,
)
from wire.errors import PeerError
from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_TEXT
from wire.limits import CLIENT_FRAGMENTS_MAX, CLIENT_FRAME_BYTES_MAX, CONTROL_FRAMES_PER_S_MAX

CONTINUATION = 0x0


@asynccontextmanager
async def edge_with_canary(rules: UpgradeRules | None = None) -> AsyncIterator[EdgeUnderTest]:
    """An edge with a client on it that talks before and after the attack; no bug may have shown."""
    before = open_files()
    async with running_edge(rules=rules) as edge:
        async with raw_client(edge.port) as canary:
            await canary.open()
            await _chirp(canary)
            yield edge
            await _chirp(canary)
        while edge.admission.connections_open:
            await trio.sleep(0.001)
        assert edge.counters.connection_errors == 0
        assert edge.log.entries == []
    assert open_files() - before == set()


async def _chirp(canary: RawClient) -> None:
    await canary.send(client_frame(OPCODE_TEXT, b"chirp"))
    with trio.fail_after(10):
        assert await canary.read_frame() == (OPCODE_TEXT, b"chirp")


# --- before the handshake ------------------------------------------------------------------------


_DECIDING = [b"Host", b"Connection", b"Sec-WebSocket-Key", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Version"]


@pytest.mark.parametrize("name", _DECIDING)
async def test_a_byte_above_ascii_in_a_handshake_header_costs_that_connection_only(name: bytes) -> None:
    """A default trio-websocket server dies, with every client, on one (UnicodeDecodeError in wsproto)."""
    async with edge_with_canary() as edge, raw_client(edge.port) as client:
        await client.send(request(drop=name, add=name + b": caf\xe9\r\n"))
        assert (await client.read_to_end()).startswith(b"HTTP/1.1 4")


async def test_a_reset_right_after_the_request_costs_that_connection_only() -> None:
    """trio-websocket's server died of a reset between the handshake and accept()."""
    async with edge_with_canary() as edge:
        for _ in range(50):
            client = RawClient(await trio.open_tcp_stream("127.0.0.1", edge.port))
            await client.send(request())
            client.reset()
        await _wait_only_canary(edge)


async def test_a_reset_before_the_request_costs_that_connection_only() -> None:
    async with edge_with_canary() as edge:
        for _ in range(50):
            RawClient(await trio.open_tcp_stream("127.0.0.1", edge.port)).reset()
        await _wait_only_canary(edge)


async def test_connect_and_close_frees_its_descriptor_at_once() -> None:
    """There 2,000 connects were 2,000 descriptors for a minute; here the test would outlast its timeout."""
    async with edge_with_canary() as edge:
        for _ in range(200):
            async with raw_client(edge.port):
                pass
        await _wait_only_canary(edge)
        assert all(isinstance(end, PeerGone) for end in edge.ends)


async def test_half_a_request_and_the_end_of_the_stream_frees_its_descriptor_at_once() -> None:
    async with edge_with_canary() as edge:
        async with raw_client(edge.port) as client:
            await client.send(request()[:40])
            await client.stream.send_eof()
            assert await client.read_to_end() == b""
        await _wait_only_canary(edge)


async def test_who_drips_bytes_is_told_408_at_the_deadline() -> None:
    async def drip(client: RawClient) -> None:
        for byte in request():
            await _send_as_far_as_it_goes(client, bytes([byte]))
            await trio.sleep(0.02)

    async with (
        edge_with_canary(rules=UpgradeRules(deadline_s=0.2)) as edge,
        raw_client(edge.port) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(drip, client)
        assert (await client.read_to_end()).startswith(b"HTTP/1.1 408 ")
        nursery.cancel_scope.cancel()


async def test_a_get_without_upgrade_is_told_what_this_address_is() -> None:
    async with edge_with_canary() as edge, raw_client(edge.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: parvis.example\r\n\r\n")
        answer = await client.read_to_end()
        assert answer.startswith(b"HTTP/1.1 426 ")
        assert b"parvis.v1.json" in answer


async def test_http_1_0_and_a_wrong_key_are_refused() -> None:
    """trio-websocket accepts both."""
    async with edge_with_canary() as edge:
        for bad in (request(first=b"GET / HTTP/1.0"), request(drop=b"Sec-WebSocket-Key", add=b"Sec-WebSocket-Key: short\r\n")):
            async with raw_client(edge.port) as client:
                await client.send(bad)
                assert (await client.read_to_end()).startswith(b"HTTP/1.1 400 ")


async def test_a_tls_hello_is_answered_and_left() -> None:
    async with edge_with_canary() as edge, raw_client(edge.port) as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)))
        await client.stream.send_eof()
        assert (await client.read_to_end()).startswith(b"HTTP/1.1 400 ")


# --- frames --------------------------------------------------------------------------------------

_MSGPACK_MAX = client_frame(OPCODE_BINARY, b"x" * CLIENT_FRAME_BYTES_MAX, fin=False)
_ABUSES: dict[str, tuple[bytes, int]] = {
    "unmasked": (client_frame(OPCODE_BINARY, b"x", masked=False), 1002),
    "reserved bit": (client_frame(OPCODE_BINARY, b"x", rsv=1), 1002),
    "compressed without agreement": (client_frame(OPCODE_BINARY, b"x", rsv=4), 1002),
    "reserved opcode": (client_frame(0x7, b"x"), 1002),
    "continuation of nothing": (client_frame(CONTINUATION, b"x"), 1002),
    "fragmented ping": (client_frame(OPCODE_PING, b"x", fin=False), 1002),
    "invalid close code": (client_frame(OPCODE_CLOSE, b"\x03\xec"), 1002),
    "ping flood": (client_frame(OPCODE_PING) * (CONTROL_FRAMES_PER_S_MAX * 50), 1002),
    "length of 2^63": (client_header(OPCODE_BINARY, 2**63), 1002),
    "length of 2^62": (client_header(OPCODE_BINARY, 2**62), 1009),
    "one byte too many": (client_header(OPCODE_BINARY, CLIENT_FRAME_BYTES_MAX + 1), 1009),
    "one byte too many, in a fragment": (_MSGPACK_MAX + client_header(CONTINUATION, 1), 1009),
    "100,000 fragments": (client_frame(OPCODE_BINARY, fin=False) + client_frame(CONTINUATION, fin=False) * 100_000, 1009),
    "text on msgpack": (client_frame(OPCODE_TEXT, b"x"), 1003),
}


async def _assert_told(edge: EdgeUnderTest, client: RawClient, attack: bytes, code: int) -> None:
    """The attack is answered with the code, and ends as a broken protocol."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send_as_far_as_it_goes, client, attack)
        with trio.fail_after(10):
            assert await client.read_close() == code
        await client.stream.aclose()
    await _wait_only_canary(edge)
    assert isinstance(edge.ends[-1], PeerError)


@pytest.mark.parametrize(("attack", "code"), _ABUSES.values(), ids=_ABUSES.keys())
async def test_a_broken_protocol_is_told_its_code_on_the_wire(attack: bytes, code: int) -> None:
    """trio-websocket sends no close frame on a violation: its clients see 1006."""
    async with edge_with_canary() as edge, raw_client(edge.port) as client:
        await client.open("parvis.v1.msgpack")
        await _assert_told(edge, client, attack, code)


_JSON_ABUSES = [(client_frame(OPCODE_TEXT, b"\xff"), 1007), (client_frame(OPCODE_BINARY, b"x"), 1003)]


@pytest.mark.parametrize(("attack", "code"), _JSON_ABUSES)
async def test_bad_text_and_binary_on_json_are_told_their_codes(attack: bytes, code: int) -> None:
    async with edge_with_canary() as edge, raw_client(edge.port) as client:
        await client.open()
        await client.send(attack)
        assert await client.read_close() == code


async def test_the_close_frame_arrives_though_the_flood_goes_on() -> None:
    """A socket closed over unread bytes answers with a reset, which overtakes the close frame."""
    async with edge_with_canary() as edge, raw_client(edge.port) as client:
        await client.open("parvis.v1.msgpack")
        await client.send(client_header(OPCODE_BINARY, 2**40) + b"x" * 300_000)
        assert await client.read_close() == 1009


_DEFLATING = UpgradeRules(origins=("https://parvis.example",), deflates=True)
_BOMB = deflated(bytes(32 * 1024 * 1024))
_DEFLATED_ABUSES: dict[str, tuple[bytes, int]] = {
    "a bomb": (client_frame(OPCODE_BINARY, _BOMB, rsv=4), 1009),
    "a bomb in fragments": (
        client_frame(OPCODE_BINARY, _BOMB[:9], fin=False, rsv=4) + client_frame(CONTINUATION, _BOMB[9:]), 1009
    ),
    "final blocks without end": (client_frame(OPCODE_BINARY, b"\x03\x00" * 30_000, rsv=4), 1009),
    "a length of 2^62": (client_header(OPCODE_BINARY, 2**62, rsv=4), 1009),
    "one byte too many": (client_frame(OPCODE_BINARY, deflated(bytes(CLIENT_FRAME_BYTES_MAX + 1)), rsv=4), 1009),
    "rubbish": (client_frame(OPCODE_BINARY, b"\xff" * 1000, rsv=4), 1007),
    "half a message": (client_frame(OPCODE_BINARY, _BOMB[:50], rsv=4), 1007),
    "the context of the message before": (
        client_frame(OPCODE_BINARY, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4)
        + client_frame(OPCODE_BINARY, b"\xf2\x00\x11\x00\x00", rsv=4), 1007
    ),
    "a deflated ping": (client_frame(OPCODE_PING, b"x", rsv=4), 1002),
    "the bit on a fragment": (client_frame(OPCODE_BINARY, fin=False, rsv=4) + client_frame(CONTINUATION, rsv=4), 1002),
}  # fmt: skip


@pytest.mark.parametrize(("attack", "code"), _DEFLATED_ABUSES.values(), ids=_DEFLATED_ABUSES.keys())
async def test_bad_compression_is_told_its_code_and_costs_that_connection_only(attack: bytes, code: int) -> None:
    async with edge_with_canary(_DEFLATING) as edge, raw_client(edge.port) as client:
        await client.open("parvis.v1.msgpack", deflates=True)
        await _assert_told(edge, client, attack, code)


async def test_a_flood_of_messages_just_below_the_bound_holds_one_of_them_at_a_time() -> None:
    """A read of 16 KiB has 190 of them: 12 MiB, if they were inflated before they are asked for."""
    message = client_frame(OPCODE_BINARY, deflated(bytes(CLIENT_FRAME_BYTES_MAX)), rsv=4)
    async with edge_with_canary(_DEFLATING) as edge, raw_client(edge.port) as client:
        await client.open("parvis.v1.msgpack", deflates=True)
        tracemalloc.start()
        try:
            await client.send(message * 500)
            for _ in range(500):
                _, payload = await client.read_frame()
                assert len(payload) < 200
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2 * 1024 * 1024


async def test_as_many_fragments_as_allowed_are_one_message() -> None:
    async with edge_with_canary() as edge, raw_client(edge.port) as client:
        await client.open("parvis.v1.msgpack")
        more = client_frame(CONTINUATION, b"x", fin=False) * (CLIENT_FRAGMENTS_MAX - 2)
        await client.send(client_frame(OPCODE_BINARY, b"x", fin=False) + more + client_frame(CONTINUATION, b"x"))
        assert await client.read_frame() == (OPCODE_BINARY, b"x" * CLIENT_FRAGMENTS_MAX)


async def test_a_reset_in_mid_frame_costs_that_connection_only() -> None:
    async with edge_with_canary() as edge:
        client = RawClient(await trio.open_tcp_stream("127.0.0.1", edge.port))
        await client.open()
        await client.send(client_header(OPCODE_TEXT, 100) + b"half")
        client.reset()
        await _wait_only_canary(edge)


@pytest.mark.parametrize("seed", range(8))
async def test_any_bytes_on_an_open_websocket_cost_that_connection_only(seed: int) -> None:
    rng = random.Random(seed)
    async with edge_with_canary() as edge:
        for _ in range(25):
            async with raw_client(edge.port) as client:
                await client.open(rng.choice(["parvis.v1.json", "parvis.v1.msgpack"]))
                await _send_as_far_as_it_goes(client, rng.randbytes(rng.randrange(1, 300)))
        await _wait_only_canary(edge)
        assert {type(end).__name__ for end in edge.ends} <= {"PeerError", "PeerGone", "PeerClosed"}


# --- the boundary and the budgets ------------------------------------------------------------------


async def test_a_bug_in_a_handler_ends_its_connection_alone() -> None:
    async with running_edge() as edge, raw_client(edge.port) as canary:
        await canary.open()
        await _chirp(canary)
        for _ in range(3):
            async with raw_client(edge.port) as client:
                await client.open()
                await client.send(client_frame(OPCODE_TEXT, b"explode"))
                assert await client.read_to_end() == b""
        await _chirp(canary)
        assert edge.counters.connection_errors == 3
        assert [line["event"] for line in edge.log.entries] == ["connection_failed"]


async def test_over_the_hard_budget_a_good_request_gets_503() -> None:
    admission = Admission(connections_max=1, connections_soft_max=1, handshakes_pending_max=10)
    rules = UpgradeRules(busy=lambda: admission.is_full)
    async with running_edge(rules=rules, admission=admission) as edge, raw_client(edge.port) as first:
        await first.open()
        async with raw_client(edge.port) as second:
            await second.send(request())
            answer = await second.read_to_end()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: " in answer
        await _chirp(first)
        assert isinstance(edge.ends[-1], UpgradeRefused)


async def test_silent_callers_fill_their_own_bound_and_no_descriptor_more() -> None:
    admission = Admission(connections_max=10, connections_soft_max=10, handshakes_pending_max=3)
    async with running_edge(admission=admission) as edge, raw_client(edge.port) as canary:
        await canary.open()
        silent = [await trio.open_tcp_stream("127.0.0.1", edge.port) for _ in range(20)]
        await _chirp(canary)
        assert admission.connections_open <= 4
        assert edge.counters.shed == 17
        for stream in silent:
            await stream.aclose()
        await _wait_only_canary(edge)
        async with raw_client(edge.port) as late:
            await late.open()
            await _chirp(late)


async def test_without_descriptors_left_those_inside_go_on_and_callers_come_in_again_later() -> None:
    async with running_edge() as edge, raw_client(edge.port) as canary:
        await canary.open()
        # Two for the callers' own ends: the server's end of each finds none left.
        async with _descriptors_for(2):
            callers = [await trio.open_tcp_stream("127.0.0.1", edge.port) for _ in range(2)]
            with trio.fail_after(10):
                while not edge.counters.shed:
                    await trio.sleep(0.005)
            await _chirp(canary)
            for caller in callers:
                await caller.aclose()
        assert edge.counters.accept_errors >= 1
        assert edge.log.entries[0]["event"] == "accept_failed"
        async with raw_client(edge.port) as late:
            with trio.fail_after(10):
                await late.open()
            await _chirp(late)


@asynccontextmanager
async def _descriptors_for(count: int) -> AsyncIterator[None]:
    """Lower this process's limit so that exactly `count` more descriptors can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    limit = free = 0
    while free < count:
        free += limit not in taken
        limit += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _wait_only_canary(edge: EdgeUnderTest) -> None:
    """Until the canary's is the only connection left; far below the handshake's deadline."""
    with trio.fail_after(5):
        while edge.admission.connections_open > 1:
            await trio.sleep(0.001)


async def _send_as_far_as_it_goes(client: RawClient, data: bytes) -> None:
    try:
        await client.send(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return
