from collections.abc import AsyncIterator

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection

from gateway.websocket import (
    READ_BYTES,
    WORK_BETWEEN_CHECKPOINTS,
    PeerClosed,
    PeerGone,
    WebSocketReader,
    close_frame,
)
from runtime.sockets import SocketNetwork
from runtime.transport import Transport
from tests.support.deflating import deflated
from tests.support.edge_server import client_frame, client_header
from tests.support.transport_contract import send_all
from wire.client_codec import Form
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, frame
from wire.limits import CLOSE_GRACE_S, CLOSE_REASON_BYTES_MAX, CONTROL_FRAMES_PER_S_MAX


class Wire:
    """A reader on one end of a local pair; the test is the client on the other."""

    def __init__(self, near: Transport, far: Transport) -> None:
        self.near = near
        self.far = far
        self.pushed: list[bytes] = []
        self.reader = self.make_reader()

    def make_reader(self, form: Form = Form.MSGPACK, leftover: bytes = b"") -> WebSocketReader:
        return WebSocketReader(self.near, form, leftover, push=self.pushed.append, frame_bytes_max=1000)

    async def send(self, data: bytes) -> None:
        await send_all(self.far, data)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    near, far = SocketNetwork().pair()
    yield Wire(near, far)
    near.close()
    far.close()


def code_of(close: bytes) -> int:
    assert close[0] == 0x80 | OPCODE_CLOSE
    return int.from_bytes(close[2:4], "big")


async def test_messages_are_received_one_by_one(wire: Wire) -> None:
    await wire.send(client_frame(OPCODE_BINARY, b"one") + client_frame(OPCODE_BINARY, b"two"))
    assert await wire.reader.receive() == b"one"
    assert await wire.reader.receive() == b"two"


async def test_receiving_waits_for_the_rest_of_a_message(wire: Wire) -> None:
    data = client_frame(OPCODE_BINARY, b"x" * 500)
    async with trio.open_nursery() as nursery:

        async def send_slowly() -> None:
            for place in range(0, len(data), 100):
                await wait_all_tasks_blocked()
                await wire.send(data[place : place + 100])

        nursery.start_soon(send_slowly)
        assert await wire.reader.receive() == b"x" * 500


async def test_what_came_behind_the_handshake_is_received_first(wire: Wire) -> None:
    data = client_frame(OPCODE_TEXT, b"left over")
    reader = wire.make_reader(Form.JSON, data[:5])
    await wire.send(data[5:] + client_frame(OPCODE_TEXT, b"next"))
    assert await reader.receive() == b"left over"
    assert await reader.receive() == b"next"


async def test_a_ping_is_answered_with_its_payload_and_nothing_else_is(wire: Wire) -> None:
    await wire.send(client_frame(OPCODE_PONG, b"unasked") + client_frame(OPCODE_PING, b"are you there"))
    await wire.send(client_frame(OPCODE_BINARY, b"m"))
    assert await wire.reader.receive() == b"m"
    assert wire.pushed == [frame(OPCODE_PONG, b"are you there")]


@pytest.mark.parametrize(("payload", "code"), [(b"\x03\xe8bye", 1000), (b"\x0f\xa1", 4001), (b"", 1005)])
async def test_the_peers_close_frame_is_echoed_without_its_text(wire: Wire, payload: bytes, code: int) -> None:
    await wire.send(client_frame(OPCODE_BINARY, b"last") + client_frame(OPCODE_CLOSE, payload))
    assert await wire.reader.receive() == b"last"
    with pytest.raises(PeerClosed) as raised:
        await wire.reader.receive()
    assert raised.value.code == code
    assert wire.pushed == [frame(OPCODE_CLOSE, payload[:2])]


async def test_messages_before_a_violation_are_still_received(wire: Wire) -> None:
    await wire.send(client_frame(OPCODE_BINARY, b"good") + client_frame(OPCODE_TEXT, b"bad"))
    assert await wire.reader.receive() == b"good"
    with pytest.raises(PeerError) as raised:
        await wire.reader.receive()
    assert raised.value.code is CloseCode.UNSUPPORTED_DATA


async def test_too_large_a_message_is_refused_before_its_payload_comes(wire: Wire) -> None:
    await wire.send(client_header(OPCODE_BINARY, 2**40))
    with pytest.raises(PeerError) as raised:
        await wire.reader.receive()
    assert raised.value.code is CloseCode.TOO_BIG
    assert raised.value.message == f"message of {2**40} bytes exceeds 1000"


@pytest.mark.parametrize("sent", [b"", b"\x82", client_header(OPCODE_BINARY, 10) + b"half"])
async def test_the_end_of_the_stream_is_a_peer_gone_wherever_it_comes(wire: Wire, sent: bytes) -> None:
    await wire.send(sent)
    wire.far.close()
    with pytest.raises(PeerGone):
        await wire.reader.receive()


@pytest.mark.parametrize("when", ["before", "while it waits"])
async def test_our_own_close_underneath_is_a_peer_gone(wire: Wire, when: str) -> None:
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(PeerGone):
                await wire.reader.receive()

        if when == "before":
            wire.near.close()
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        wire.near.close()


async def test_control_frames_are_held_to_a_rate(wire: Wire, autojump_clock: MockClock) -> None:
    second = client_frame(OPCODE_PING) * CONTROL_FRAMES_PER_S_MAX
    message = client_frame(OPCODE_BINARY, b"m")
    for _ in range(3):
        await wire.send(second + message)
        assert await wire.reader.receive() == b"m"
        await trio.sleep(1.0)
    await wire.send(second + client_frame(OPCODE_PONG))
    with pytest.raises(PeerError) as raised:
        await wire.reader.receive()
    assert raised.value.code is CloseCode.PROTOCOL
    assert len(wire.pushed) == 4 * CONTROL_FRAMES_PER_S_MAX


async def test_pings_in_packets_of_their_own_are_held_to_the_same_rate(wire: Wire, autojump_clock: MockClock) -> None:
    """The parser is dropped between packets; the count must not be."""
    async with trio.open_nursery() as nursery:

        async def flood() -> None:
            for _ in range(CONTROL_FRAMES_PER_S_MAX + 1):
                await wire.send(client_frame(OPCODE_PING))
                await wait_all_tasks_blocked()

        nursery.start_soon(flood)
        with pytest.raises(PeerError):
            await wire.reader.receive()
    assert len(wire.pushed) == CONTROL_FRAMES_PER_S_MAX


async def test_an_idle_reader_holds_no_parser(wire: Wire, autojump_clock: MockClock) -> None:
    await wire.send(client_frame(OPCODE_BINARY, b"m") + client_frame(OPCODE_BINARY, b"n")[:3])
    assert await wire.reader.receive() == b"m"
    with trio.move_on_after(1.0):
        await wire.reader.receive()
    assert wire.reader._frames is not None
    await wire.send(client_frame(OPCODE_BINARY, b"n")[3:])
    assert await wire.reader.receive() == b"n"
    with trio.move_on_after(1.0):
        await wire.reader.receive()
    assert wire.reader._frames is None


async def test_a_cancelled_receive_loses_no_message(wire: Wire) -> None:
    """The checkpoint of a busy reader comes before the next message is taken, never after."""
    count = 5 * WORK_BETWEEN_CHECKPOINTS
    await wire.send(b"".join(client_frame(OPCODE_BINARY, b"%d" % n) for n in range(count)))
    received: list[bytes] = []
    while len(received) < count:
        with trio.CancelScope() as scope:
            scope.cancel()
            while len(received) < count:
                received.append(await wire.reader.receive())
        with trio.move_on_after(1.0):
            received.append(await wire.reader.receive())
    assert received == [b"%d" % n for n in range(count)]


class Others:
    """Everybody else on the event loop: how often it was their turn."""

    def __init__(self) -> None:
        self.turns = 0

    async def take_turns(self) -> None:
        while True:
            self.turns += 1
            await trio.lowlevel.checkpoint()


async def test_a_flood_does_not_starve_the_others(wire: Wire) -> None:
    flood = client_frame(OPCODE_BINARY, b"x") * (40 * WORK_BETWEEN_CHECKPOINTS)
    await wire.send(flood)
    others = Others()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others.take_turns)
        for _ in range(40 * WORK_BETWEEN_CHECKPOINTS):
            assert await wire.reader.receive() == b"x"
        nursery.cancel_scope.cancel()
    assert others.turns >= 39


_NOTHING = b"\x00\x00\x00\xff\xff"
"""An empty block: 65,000 bytes of them are one empty message."""


@pytest.mark.parametrize(
    ("sent", "message", "turns_min"),
    [
        (deflated(b"x" * 500), b"x" * 500, 6),
        (deflated(bytes(60_000)), bytes(60_000), 49),
        (_NOTHING * 12_999 + b"\x00", b"", 390),
    ],
    ids=["small messages", "messages that are large when they are inflated", "large ones that are small"],
)
async def test_deflated_messages_do_not_starve_the_others(wire: Wire, sent: bytes, message: bytes, turns_min: int) -> None:
    """A turn for the others after every 16 KiB that came, or 64 that they became."""
    count = 100
    reader = WebSocketReader(wire.near, Form.MSGPACK, push=wire.pushed.append, deflates=True)
    others = Others()
    async with trio.open_nursery() as nursery:
        await wire.send(client_frame(OPCODE_BINARY, sent, rsv=4))
        nursery.start_soon(others.take_turns)
        nursery.start_soon(wire.send, client_frame(OPCODE_BINARY, sent, rsv=4) * (count - 1))
        for _ in range(count):
            assert await reader.receive() == message
        nursery.cancel_scope.cancel()
    assert others.turns >= turns_min


async def test_a_message_that_never_ends_does_not_starve_the_others(wire: Wire) -> None:
    """Reads without a message count as work, too."""
    others = Others()
    endless = WebSocketReader(wire.near, Form.MSGPACK, push=wire.pushed.append, frame_bytes_max=2**40)
    reads = 40 * WORK_BETWEEN_CHECKPOINTS
    pieces = iter([client_header(OPCODE_BINARY, 2**39).ljust(READ_BYTES, b"x"), *[b"x" * READ_BYTES] * reads, b""])
    wire.near.try_recv = lambda _bytes_max: next(pieces)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others.take_turns)
        with pytest.raises(PeerGone):
            await endless.receive()
        nursery.cancel_scope.cancel()
    assert others.turns >= 39


async def test_after_our_close_frame_nothing_is_sent_and_the_peers_close_ends_it(wire: Wire, autojump_clock: MockClock) -> None:
    began = trio.current_time()
    await wire.send(client_frame(OPCODE_BINARY, b"late") + client_frame(OPCODE_PING, b"late"))
    await wire.send(client_frame(OPCODE_CLOSE, b"\x03\xe8"))
    await wire.reader.wait_closed()
    assert wire.pushed == []
    assert trio.current_time() == began


async def test_after_our_close_frame_the_end_of_the_stream_ends_it(wire: Wire) -> None:
    await wire.send(client_frame(OPCODE_BINARY, b"late"))
    wire.far.close()
    await wire.reader.wait_closed()


async def test_after_a_violation_only_the_end_of_the_stream_ends_it(wire: Wire, autojump_clock: MockClock) -> None:
    await wire.send(client_frame(0x3) + client_frame(OPCODE_CLOSE, b"\x03\xe8"))
    with pytest.raises(PeerError):
        await wire.reader.receive()
    with trio.move_on_after(CLOSE_GRACE_S) as grace:
        await wire.reader.wait_closed()
    assert grace.cancelled_caught
    wire.far.close()
    await wire.reader.wait_closed()


async def test_a_violation_behind_our_close_frame_is_not_told_any_more(wire: Wire) -> None:
    await wire.send(client_frame(0x3))
    wire.far.close()
    await wire.reader.wait_closed()
    assert wire.pushed == []


async def test_nothing_is_received_after_a_violation(wire: Wire) -> None:
    await wire.send(client_frame(0x3))
    with pytest.raises(PeerError):
        await wire.reader.receive()
    with pytest.raises(AssertionError):
        await wire.reader.receive()


@given(st.text(max_size=200), st.sampled_from(CloseCode))
@settings(deadline=None)
def test_a_close_frame_is_read_by_wsproto_and_keeps_as_much_of_the_reason_as_fits(reason: str, code: CloseCode) -> None:
    data = close_frame(code, reason)
    assert len(data) <= 2 + 2 + CLOSE_REASON_BYTES_MAX
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    (event,) = client.events()
    assert isinstance(event, CloseConnection)
    assert event.code == code
    kept = event.reason or ""
    assert reason.startswith(kept)
    assert kept == reason or len(reason[: len(kept) + 1].encode()) > CLOSE_REASON_BYTES_MAX


def test_a_reason_with_half_a_character_is_still_sent() -> None:
    assert code_of(close_frame(1002, "\ud800")) == 1002
