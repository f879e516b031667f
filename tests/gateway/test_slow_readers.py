"""Readers that take too little, on real sockets with the smallest buffers: each rung is entered, and told exactly."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from gateway.client import Membership
from gateway.feed import Feed
from gateway.ladder import LADDER_SHARES, Rung
from tests.gateway.test_server import Served, enter, hear, served, visitor
from tests.support.gateway_fakes import ROOM, batch
from tests.support.websocket_end import closed_with
from wire.client_codec import Form
from wire.client_messages import Count, Event, Hide, Skipped
from wire.codes import CloseCode
from wire.limits import OUTBOX_BEHIND_BYTES_MAX
from wire.node_messages import HideFrames


@asynccontextmanager
async def slow_visitor(gateway: Served, nursery: trio.Nursery) -> AsyncIterator[WebSocketConnection]:
    """A client whose socket holds 4 KiB, and which reads nothing but what a test asks it for."""
    raw = trio.socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await raw.connect(("127.0.0.1", gateway.port))
    stream = trio.SocketStream(raw)
    websocket = await wrap_client_stream(
        nursery, stream, f"127.0.0.1:{gateway.port}", "/", subprotocols=[Form.MSGPACK.value], message_queue_size=1
    )
    try:
        yield websocket
    finally:
        with trio.move_on_after(1):
            await websocket.aclose()
        raw.close()


async def fall_behind(gateway: Served, share: float) -> tuple[Feed, Membership]:
    """Let the room talk until the slow reader is behind by a little more than `share` of what it may be."""
    feed = gateway.router.feeds[0]
    assert isinstance(feed, Feed)
    (membership,) = feed.by_form[Form.MSGPACK]
    with trio.fail_after(20):
        while not membership.client.is_blocked or feed.ring.bytes_between(membership.cursor, feed.ring.head) <= share:
            head = feed.ring.head_offset
            feed.on_batch(batch(head + 1, head + 1, "x" * 1000))
            while feed.has_news():
                await trio.lowlevel.checkpoint()
    return feed, membership


async def read_to(websocket: WebSocketConnection, offset: int) -> tuple[list[int], list[int]]:
    """Offsets given and offsets announced, up to `offset`; each once and in order."""
    given: list[int] = []
    announced: list[int] = []
    position = 3
    while position < offset:
        message = await hear(websocket)
        if isinstance(message, Event):
            assert message.offset == position + 1
            position = message.offset
            given.append(position)
        elif isinstance(message, Skipped):
            assert message.first == position + 1
            announced += range(message.first, message.last + 1)
            position = message.last
    assert sorted(given + announced) == list(range(4, offset + 1))
    return given, announced


@pytest.mark.parametrize("rung", [rung for rung in Rung if rung is not Rung.FULL])
async def test_a_reader_enters_each_rung_and_is_told_exactly_what_it_does_not_get(rung: Rung) -> None:
    async with served(send_buffer_bytes=4096) as gateway, trio.open_nursery() as nursery:
        async with slow_visitor(gateway, nursery) as websocket:
            await enter(websocket)
            share = LADDER_SHARES[rung - 1] * OUTBOX_BEHIND_BYTES_MAX
            feed, membership = await fall_behind(gateway, share)
            with trio.fail_after(20):
                _given, announced = await read_to(websocket, feed.ring.head_offset)
            assert gateway.counters.ladder_falls[rung.name.lower()] == 1
            assert sum(gateway.counters.ladder_falls.values()) == 1
            assert announced
            assert gateway.counters.events_skipped == len(announced)
            assert membership.place.rung is rung
            assert gateway.counters.slow_closed == 0
        nursery.cancel_scope.cancel()


async def test_a_reader_below_the_first_rung_gets_everything_late() -> None:
    async with served(send_buffer_bytes=4096) as gateway, trio.open_nursery() as nursery:
        async with slow_visitor(gateway, nursery) as websocket:
            await enter(websocket)
            feed, membership = await fall_behind(gateway, LADDER_SHARES[0] * OUTBOX_BEHIND_BYTES_MAX / 2)
            with trio.fail_after(20):
                assert (await read_to(websocket, feed.ring.head_offset))[1] == []
            assert membership.place.rung is Rung.FULL
        nursery.cancel_scope.cancel()


async def test_a_reader_that_never_reads_is_closed_and_told_to_resume_while_others_get_everything() -> None:
    async with served(send_buffer_bytes=4096) as gateway, trio.open_nursery() as nursery:
        async with slow_visitor(gateway, nursery) as websocket:
            await enter(websocket)
            feed, membership = await fall_behind(gateway, OUTBOX_BEHIND_BYTES_MAX - 2000)
            async with visitor(gateway.url) as other:
                await enter(other)
                first = feed.ring.head_offset + 1
                for _ in range(10):
                    head = feed.ring.head_offset
                    feed.on_batch(batch(head + 1, head + 1, "x" * 1000))
                    while not isinstance(message := await hear(other), Event):
                        assert isinstance(message, Count)
                    assert message.offset == head + 1
                assert feed.ring.head_offset == first + 9
                assert membership.gone
                assert gateway.counters.slow_closed == 1
                assert await closed_with(websocket) == CloseCode.SLOW
        nursery.cancel_scope.cancel()


async def test_a_hide_overtakes_what_a_slow_reader_still_has_to_read() -> None:
    async with served(send_buffer_bytes=4096) as gateway, trio.open_nursery() as nursery:
        async with slow_visitor(gateway, nursery) as websocket:
            await enter(websocket)
            feed, membership = await fall_behind(gateway, 8192)
            waiting = feed.ring.offset_of(membership.cursor) + 1
            feed.on_hide(HideFrames(ROOM, 1, batch(waiting, waiting, "").frames))
            while feed.has_news():
                await trio.lowlevel.checkpoint()
            with trio.fail_after(20):
                while not isinstance(message := await hear(websocket), Hide):
                    assert not isinstance(message, Event) or message.offset < waiting
                assert message.offset == waiting
        nursery.cancel_scope.cancel()
