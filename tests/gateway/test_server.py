"""A gateway over real sockets: its tasks, its deadlines, and how it leaves."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
import trio_websocket
from trio_websocket import WebSocketConnection, open_websocket_url

from gateway.key_file import KeyFile
from gateway.server import GatewayParts, run_gateway
from runtime.lifecycle import Lifecycle
from runtime.metrics import GatewayCounters
from runtime.schema import AdmissionSettings, GatewaySettings, RoomSettings, TokenSettings
from runtime.sockets import SocketNetwork
from tests.support.cluster import quiet_log
from tests.support.deflating import deflated, inflate
from tests.support.edge_server import client_frame, raw_client, request
from tests.support.gateway_fakes import ROOM, batch
from tests.support.gateway_rig import KEY, FakeRouter
from tests.support.tokens import ISSUER, key_set_text, token
from tests.support.websocket_end import closed_with
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import (
    AnyServerMessage,
    ClientMessage,
    Goaway,
    Hello,
    JoinRequest,
    Ping,
    Pong,
    Refused,
    Welcome,
)
from wire.codes import CloseCode
from wire.frames import OPCODE_BINARY


class Served:
    """A running gateway with a fake router."""

    def __init__(self, parts: GatewayParts, router: FakeRouter, port: int, nursery: trio.Nursery) -> None:
        self.parts = parts
        self.router = router
        self.port = port
        self.url = f"ws://127.0.0.1:{port}"
        self.nursery = nursery
        self.counters = parts.counters


@asynccontextmanager
async def served(
    *, elsewhere_per_s: float | None = None, tokens: TokenSettings | None = None, key_file: KeyFile | None = None,
    admission: AdmissionSettings | None = None, **settings: object,
) -> AsyncIterator[Served]:
    router = FakeRouter()
    parts = GatewayParts(
        settings=GatewaySettings(**{"port": 0, "drain_notice_s": 0.0, **settings}),  # type: ignore[arg-type]
        admission=admission or AdmissionSettings(), rooms=RoomSettings(), network=SocketNetwork(), router=router,
        guest_key=KEY, rng=Random(1), log=quiet_log(), counters=GatewayCounters(), lifecycle=Lifecycle(),
        accepts_elsewhere_per_s=lambda: elsewhere_per_s, tokens=tokens or TokenSettings(), key_file=key_file,
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(run_gateway, parts)
        yield Served(parts, router, listener.port, nursery)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def visitor(url: str, form: Form = Form.MSGPACK) -> AsyncIterator[WebSocketConnection]:
    with trio.fail_after(20):
        async with open_websocket_url(url, subprotocols=[form.value]) as websocket:
            yield websocket


async def say(websocket: WebSocketConnection, message: ClientMessage) -> None:
    await websocket.send_message(encode(message, Form.MSGPACK))


async def hear(websocket: WebSocketConnection) -> AnyServerMessage:
    data = await websocket.get_message()
    assert isinstance(data, bytes)
    return decode_server_message(data, Form.MSGPACK)


async def enter(websocket: WebSocketConnection) -> Welcome:
    await say(websocket, Hello(1, joins=[JoinRequest(ROOM, limit=0)]))
    welcome = await hear(websocket)
    assert isinstance(welcome, Welcome)
    return welcome


async def test_a_visitor_is_welcomed_and_reads_what_the_shard_sends() -> None:
    async with served() as gateway, visitor(gateway.url) as websocket:
        await enter(websocket)
        (feed,) = gateway.router.feeds
        feed.on_batch(batch(4, 5))
        assert [getattr(await hear(websocket), "offset", 0) for _ in range(2)] == [4, 5]


async def test_compression_is_off_by_default() -> None:
    async with served() as gateway, raw_client(gateway.port) as client:
        await client.send(request(add=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"))
        head = await client.read_head()
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"xtension" not in head


async def test_readers_with_and_without_compression_read_the_same() -> None:
    text = "long " * 99
    async with served(deflate=True) as gateway, raw_client(gateway.port) as short, visitor(gateway.url) as plain:
        await enter(plain)
        await short.open("parvis.v1.msgpack", deflates=True)
        hello = encode(Hello(1, joins=[JoinRequest(ROOM, limit=0)]), Form.MSGPACK)
        await short.send(client_frame(OPCODE_BINARY, deflated(hello), rsv=4))
        _, welcome = await short.read_frame()
        assert isinstance(decode_server_message(welcome, Form.MSGPACK), Welcome)
        assert gateway.counters.deflating_opened == 1
        (feed,) = gateway.router.feeds
        feed.on_batch(batch(4, 5, text))
        told = [await hear(plain), await hear(plain)]
        events = [await short.read_frame(), await short.read_frame()]
        assert all(len(payload) < len(text) / 2 for _, payload in events)
        assert [decode_server_message(inflate(payload, 2000), Form.MSGPACK) for _, payload in events] == told


async def test_who_says_nothing_is_closed_at_the_deadline() -> None:
    async with served(handshake_deadline_s=0.2) as gateway, visitor(gateway.url) as websocket:
        assert await closed_with(websocket) == CloseCode.NO_HELLO
        assert gateway.counters.protocol_errors["3502"] == 1


async def test_rubbish_ends_one_connection_with_its_code_and_nobody_elses() -> None:
    async with served() as gateway, visitor(gateway.url) as canary, visitor(gateway.url) as hostile:
        await enter(canary)
        await enter(hostile)
        await hostile.send_message(b"\xc1 rubbish")
        assert await closed_with(hostile) == CloseCode.BAD_REQUEST
        (feed,) = gateway.router.feeds
        feed.on_batch(batch(4, 4))
        assert getattr(await hear(canary), "offset", 0) == 4


async def test_a_token_that_is_not_taken_ends_one_connection_and_a_good_one_reads_on(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set_text("ES256"))
    tokens = TokenSettings(keys_file=str(path), issuer=ISSUER)
    async with (
        served(tokens=tokens, key_file=KeyFile(path)) as gateway,
        visitor(gateway.url) as good, visitor(gateway.url) as forged, visitor(gateway.url) as late,
    ):  # fmt: skip
        now_s = time.time()
        await say(good, Hello(1, token=token("ES256", now_s=now_s), joins=[JoinRequest(ROOM, limit=0)]))
        welcome = await hear(good)
        assert isinstance(welcome, Welcome)
        assert welcome.author == "u-ada"
        await say(forged, Hello(1, token=token("HS256", now_s=now_s, headers={"kid": "ES256"})))
        assert await closed_with(forged) == CloseCode.TOKEN_INVALID
        await say(late, Hello(1, token=token("ES256", now_s=now_s - 1000)))
        assert await closed_with(late) == CloseCode.TOKEN_EXPIRED
        (feed,) = gateway.router.feeds
        feed.on_batch(batch(4, 4))
        assert getattr(await hear(good), "offset", 0) == 4


async def test_beyond_the_soft_budget_a_visitor_is_told_busy_inside_its_websocket() -> None:
    async with served(connections_soft_max=1) as gateway, visitor(gateway.url) as first:
        await enter(first)
        async with visitor(gateway.url) as second:
            busy = await hear(second)
            assert isinstance(busy, Refused)
            assert busy.code == "busy"
            assert 1000 <= busy.retry_after_ms <= 10_000
            assert await closed_with(second) == CloseCode.BUSY


async def test_a_silent_client_is_pinged_and_then_closed() -> None:
    async with served(ping_interval_s=2.0, pong_timeout_s=1.0) as gateway, visitor(gateway.url) as websocket:
        await enter(websocket)
        assert await hear(websocket) == Ping()
        await say(websocket, Pong({ROOM: 3}))
        assert await hear(websocket) == Ping()
        assert await closed_with(websocket) == CloseCode.NO_PONG


async def test_a_draining_gateway_says_where_to_go_and_closes_who_stays() -> None:
    async with served(drain_deadline_s=0.5) as gateway, visitor(gateway.url) as websocket:
        await enter(websocket)
        gateway.parts.lifecycle.start_drain("test")
        goaway = await hear(websocket)
        assert isinstance(goaway, Goaway)
        assert goaway.deadline_ms == 500
        assert await closed_with(websocket) == CloseCode.DRAIN


async def test_who_comes_while_balancers_take_notice_is_let_in_and_sent_on() -> None:
    async with served(drain_notice_s=0.3, drain_deadline_s=5.0) as gateway:
        gateway.parts.lifecycle.start_drain("test")
        async with visitor(gateway.url) as websocket:
            await enter(websocket)
            assert isinstance(await hear(websocket), Goaway)


async def test_who_waits_in_the_kernels_queue_when_the_door_closes_is_served_and_sent_on() -> None:
    """Closing a listener resets what waits in its queue."""
    async with served(drain_deadline_s=5.0) as gateway:
        gateway.parts.lifecycle.start_drain("test")
        # Connected before the gateway's tasks have run again, so nobody has accepted it yet.
        with socket.create_connection(("127.0.0.1", gateway.port)) as early:
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", gateway.port))
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(early.dup()))
            async with await trio_websocket.wrap_client_stream(
                gateway.nursery, stream, "127.0.0.1", "/", subprotocols=[Form.MSGPACK.value]
            ) as websocket:
                await enter(websocket)
                goaway = await hear(websocket)
                assert isinstance(goaway, Goaway)
                assert goaway.retry_after_ms == 0
                assert 0 < goaway.deadline_ms <= 5000


async def test_the_pace_of_a_drain_is_the_survivors_budget() -> None:
    async with served(drain_deadline_s=60.0, elsewhere_per_s=4.0) as gateway, AsyncExitStack() as visitors:
        websockets = [await visitors.enter_async_context(visitor(gateway.url)) for _ in range(4)]
        for websocket in websockets:
            await enter(websocket)
        gateway.parts.lifecycle.start_drain("test")
        slots = []
        for websocket in websockets:
            goaway = await hear(websocket)
            assert isinstance(goaway, Goaway)
            slots.append(goaway.retry_after_ms)
        assert sorted(slots) == [0, 250, 500, 750]


async def test_a_bug_in_the_handling_of_one_frame_ends_that_connection_alone() -> None:
    async with served() as gateway, visitor(gateway.url) as canary, visitor(gateway.url) as victim:
        await enter(canary)
        await enter(victim)

        def explode(*_args: object) -> None:
            raise RuntimeError("a bug")

        gateway.router.read_range = explode  # type: ignore[method-assign,assignment]
        await victim.send_message(b"\x83\xa1t\xa7history\xa1n\x01\xa4room\xabtown/square")
        await closed_with(victim)
        assert gateway.counters.connection_errors == 1
        (feed,) = gateway.router.feeds
        feed.on_batch(batch(4, 4))
        assert getattr(await hear(canary), "offset", 0) == 4
