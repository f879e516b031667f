"""The open link: order, bounds, heartbeat, and every way it can end."""

import pytest
import trio

from runtime.link import Link
from runtime.link_frames import pack_length
from runtime.sockets import SocketNetwork
from runtime.streams import recv_some, send_all
from runtime.transport import Transport
from tests.support.links import open_over, open_pair
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.limits import LINK_DEAD_AFTER_S, LINK_FRAME_BYTES_MAX, LINK_PING_INTERVAL_S
from wire.node_messages import (
    AnyNodeMessage,
    Committed,
    LinkRefused,
    Members,
    NodeMessage,
    PublishCommand,
    encode_node_message,
)


def command(request: int, text: str = "hello") -> PublishCommand:
    return PublishCommand(request, "election/candidate-7", "message", "guest-1", "Anna", f"id-{request}", text)


def nothing(message: AnyNodeMessage) -> None:
    raise AssertionError(f"{type(message).__name__} was not expected")


class Running:
    """A link with its run under way: what it received, and how it ended."""

    def __init__(self, link: Link, expected: int = 0) -> None:
        self.link = link
        self.received: list[AnyNodeMessage] = []
        self.has_expected = trio.Event()
        self._expected = expected
        self.reason: str | None = None
        self.error: PeerError | None = None

    async def run(self) -> None:
        try:
            self.reason = await self.link.run(self._receive)
        except PeerError as error:
            self.error = error

    def _receive(self, message: AnyNodeMessage) -> None:
        self.received.append(message)
        if len(self.received) == self._expected:
            self.has_expected.set()


async def test_messages_arrive_in_order_both_ways() -> None:
    near, far = await open_pair()
    gateway, shard = Running(near, 3000), Running(far, 3000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gateway.run)
        nursery.start_soon(shard.run)
        for n in range(3000):
            assert near.send_nowait(command(n))
            assert far.send_nowait(Committed(n, "e", n + 1, 0))
        await gateway.has_expected.wait()
        await shard.has_expected.wait()
        near.close()
    assert shard.received == [command(n) for n in range(3000)]
    assert gateway.received == [Committed(n, "e", n + 1, 0) for n in range(3000)]
    assert gateway.reason == "closed here"
    assert shard.reason == "closed by the peer"


async def test_the_names_of_the_handshake_are_kept() -> None:
    near, far = await open_pair()
    assert (near.peer_node, near.peer_role, near.peer_map_version) == ("shard-1", "shard", 7)
    assert (far.peer_node, far.peer_role, far.peer_map_version) == ("gateway-1", "gateway", 0)
    near.close()
    far.close()


async def test_what_was_sent_before_run_and_what_was_encoded_before_arrives_too() -> None:
    near, far = await open_pair()
    shard = Running(far)
    assert near.send_encoded_nowait(encode_node_message(command(1)))
    assert near.send_nowait(command(2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.run, nothing)
        nursery.start_soon(shard.run)
        assert await near.drain(5)
        near.close()
    assert shard.received == [command(1), command(2)]


async def test_a_burst_is_one_send() -> None:
    near_end, far_end = SocketNetwork().pair()
    near, far = await open_over(near_end, far_end)
    sends: list[int] = []
    try_send = near_end.try_send

    def counted(data: bytes | memoryview) -> int:
        sends.append(len(data))
        return try_send(data)

    near_end.try_send = counted
    shard = Running(far)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.run, nothing)
        nursery.start_soon(shard.run)
        await trio.testing.wait_all_tasks_blocked()
        for n in range(100):
            near.send_nowait(command(n))
        await near.drain(5)
        near.close()
    assert len(sends) == 1
    assert len(shard.received) == 100


async def test_beyond_the_outgoing_bound_nothing_is_queued_and_what_is_in_flight_counts() -> None:
    near, far = await open_pair(up_bytes_max=300_000)
    big = command(1, "x" * 99_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.run, nothing)
        sent = 0
        # The far end does not read: the kernel takes some, then the writer holds a cut batch.
        while near.send_nowait(big):
            sent += 1
            await trio.testing.wait_all_tasks_blocked()
        waiting = near.bytes_waiting
        assert 200_000 < waiting <= 300_000
        assert not near.send_nowait(big)
        assert near.bytes_waiting == waiting
        shard = Running(far)
        nursery.start_soon(shard.run)
        assert await near.drain(5)
        assert near.bytes_waiting == 0
        assert near.send_nowait(big)
        assert await near.drain(5)
        near.close()
    assert shard.received == [big] * (sent + 1)


async def test_drain_gives_up_at_its_deadline(autojump_clock: trio.testing.MockClock) -> None:
    near, far = await open_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.run, nothing)
        while near.send_nowait(command(1, "x" * 8000)):
            pass
        assert not await near.drain(2)
        near.close()
        assert not await near.drain(2)
    far.close()


async def test_sending_on_an_ended_link_is_refused() -> None:
    near, far = await open_pair()
    near.close()
    near.close()
    assert near.is_closed
    assert not near.send_nowait(command(1))
    assert await near.run(nothing) == "closed here"
    far.close()


async def test_nothing_follows_once_the_handler_closed_the_link() -> None:
    near, far = await open_pair()
    received: list[AnyNodeMessage] = []

    def close_at_first(message: AnyNodeMessage) -> None:
        received.append(message)
        far.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.run, nothing)
        near.send_nowait(command(1))
        near.send_nowait(command(2))
        await far.run(close_at_first)
    assert received == [command(1)]


async def test_cancelling_run_closes_the_transport() -> None:
    near, far = await open_pair()
    shard = Running(far)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shard.run)
        with trio.move_on_after(0):
            await near.run(nothing)
    assert near.is_closed
    assert shard.reason == "closed by the peer"


async def raw_shard() -> tuple[Link, Transport]:
    """A gateway's link whose other end is in the test's own hands, after the handshake."""
    near_end, far_end = SocketNetwork().pair()
    near, _ = await open_over(near_end, far_end)
    return near, far_end


@pytest.mark.parametrize(
    ("data", "sentence", "code"),
    [
        (b"\0\0\0\3abc", "none of ours", CloseCode.BAD_REQUEST),
        (b"\0\0\0\0", "none of ours", CloseCode.BAD_REQUEST),
        (pack_length(LINK_FRAME_BYTES_MAX + 1), "exceeds", CloseCode.TOO_BIG),
    ],
)
async def test_rubbish_ends_the_link_with_a_peer_error(data: bytes, sentence: str, code: CloseCode) -> None:
    near, far_end = await raw_shard()
    await send_all(far_end, data)
    with pytest.raises(PeerError, match=sentence) as raised:
        await near.run(nothing)
    assert raised.value.code is code
    assert near.is_closed
    far_end.close()


async def test_a_handshake_message_on_an_open_link_is_rubbish() -> None:
    near, far = await open_pair()
    far.send_nowait(LinkRefused("too late"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.run, nothing)
        with pytest.raises(PeerError, match="LinkRefused on a link that is open already"):
            await near.run(nothing)


async def test_a_handler_may_find_a_message_to_be_rubbish() -> None:
    near, far = await open_pair()
    far.send_nowait(Members([]))

    def refuse(message: NodeMessage) -> None:
        raise PeerError(CloseCode.BAD_REQUEST, "a shard has no members to report")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.run, nothing)
        with pytest.raises(PeerError, match="no members"):
            await near.run(refuse)


async def test_a_bug_of_the_handler_is_not_taken_for_the_peers_fault() -> None:
    near, far = await open_pair()
    far.send_nowait(Members([]))

    def fail(message: NodeMessage) -> None:
        raise OSError("a bug")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.run, nothing)
        with pytest.raises(ExceptionGroup) as raised:
            await near.run(fail)
    assert raised.group_contains(OSError, match="a bug")
    assert near.is_closed


async def test_a_peer_that_leaves_in_mid_message_is_told_apart() -> None:
    near, far_end = await raw_shard()
    await send_all(far_end, pack_length(100) + b"half")
    far_end.close()
    assert await near.run(nothing) == "closed by the peer in mid-message"


async def test_a_reset_is_a_reason_not_an_error() -> None:
    network = SocketNetwork()
    listener = await network.listen("127.0.0.1", 0)
    near_end = await network.connect("127.0.0.1", listener.port)
    far_end = listener.try_accept()
    near, _ = await open_over(near_end, far_end)
    far_end.abort()
    assert "failed" in await near.run(nothing)
    listener.close()


async def test_two_idle_ends_keep_each_other_alive(autojump_clock: trio.testing.MockClock) -> None:
    near, far = await open_pair()
    gateway, shard = Running(near), Running(far)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gateway.run)
        nursery.start_soon(shard.run)
        await trio.sleep(20 * LINK_DEAD_AFTER_S)
        assert not near.is_closed
        assert not far.is_closed
        assert near.round_trip_s == 0.0
        near.close()
    assert gateway.received == shard.received == []


async def test_a_silent_peer_is_dead_after_its_time(autojump_clock: trio.testing.MockClock) -> None:
    near, far_end = await raw_shard()
    began = trio.current_time()
    assert await near.run(nothing) == f"no byte from the peer for {LINK_DEAD_AFTER_S} s"
    assert LINK_DEAD_AFTER_S <= trio.current_time() - began <= LINK_DEAD_AFTER_S + LINK_PING_INTERVAL_S
    assert await recv_some(far_end) != b""
    far_end.close()


async def test_a_stopped_process_reads_before_it_calls_its_peer_silent(autojump_clock: trio.testing.MockClock) -> None:
    near, far_end = await raw_shard()
    gateway = Running(near)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gateway.run)
        await trio.testing.wait_all_tasks_blocked()
        payload = encode_node_message(Members([]))
        await send_all(far_end, pack_length(len(payload)) + payload)
        # As after a SIGSTOP: the clock is a minute on, and the peer's bytes wait in the kernel.
        autojump_clock.jump(60)
        await trio.sleep(LINK_PING_INTERVAL_S)
        assert not near.is_closed
        assert gateway.received == [Members([])]
        near.close()
    far_end.close()


async def test_any_traffic_counts_as_life(autojump_clock: trio.testing.MockClock) -> None:
    near, far_end = await raw_shard()
    gateway = Running(near)
    payload = encode_node_message(Members([]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gateway.run)
        for _ in range(5):
            await trio.sleep(LINK_DEAD_AFTER_S - LINK_PING_INTERVAL_S)
            await send_all(far_end, pack_length(len(payload)) + payload)
        assert not near.is_closed
        near.close()
    far_end.close()
