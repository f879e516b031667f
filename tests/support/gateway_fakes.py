"""A kernel that takes as many bytes as a test allows, and the owners that gateway parts report to."""

from collections.abc import Callable

from gateway.client import Client
from gateway.deflate import Deflated, EventForm, message_form
from gateway.feed import Feed
from gateway.rules import SessionRules
from gateway.session import Session
from runtime.metrics import GatewayCounters
from shard_router.ports import RangeAnswer
from wire.client_codec import Form, encode
from wire.client_messages import Event
from wire.names import RoomName
from wire.node_messages import Attached, Batch, NodeFrame, RangeRead

ROOM = RoomName("town/square")
RULES = SessionRules(5.0, 20, 10.0, 128, 128, frozenset())


class FakeTransport:
    """A transport whose socket buffer has `room` bytes left; what it took is in `received`."""

    def __init__(self, room: int = 10**9) -> None:
        self.room = room
        self.received = bytearray()
        self.dead = False
        self.closed = False
        self.peer = "test"
        self.try_send: Callable[[bytes | memoryview], int] = self._send
        self.try_recv: Callable[[int], bytes] = lambda _count: b""

    def _send(self, data: bytes | memoryview) -> int:
        if self.dead:
            raise BrokenPipeError
        taken = min(self.room, len(data))
        if taken == 0:
            raise BlockingIOError
        self.room -= taken
        self.received += data[:taken]
        return taken

    async def wait_readable(self) -> None:
        raise NotImplementedError

    async def wait_writable(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True

    abort = close


class FakeGateway:
    """Records what clients and feeds ask of their gateway; a flusher is a client in `flushers`."""

    def __init__(self) -> None:
        self.counters = GatewayCounters()
        self.flushers: list[Client] = []
        self.slow: list[Client] = []
        self.lost: list[Client] = []
        self.woken: list[Feed] = []
        self.attached: list[Feed] = []
        self.reattached: list[Feed] = []
        self.reads: list[tuple[RangeRead, Callable[[RangeAnswer], None]]] = []

    def start_flusher(self, client: Client) -> None:
        assert client not in self.flushers, "one writer per client"
        self.flushers.append(client)

    def flush(self, client: Client) -> None:
        """What the flusher task does each time the socket is writable."""
        if client in self.flushers and client.flush():
            self.flushers.remove(client)

    def on_too_slow(self, client: Client) -> None:
        self.slow.append(client)
        self._leave(client)

    def on_transport_lost(self, client: Client) -> None:
        self.lost.append(client)
        self._leave(client)

    def _leave(self, client: Client) -> None:
        client.closing = True
        for membership in list(client.memberships.values()):
            membership.stream.remove(membership)

    def wake_pass(self, feed: Feed) -> None:
        self.woken.append(feed)

    def on_attached(self, feed: Feed) -> None:
        self.attached.append(feed)

    def reattach(self, feed: Feed) -> None:
        self.reattached.append(feed)

    def read_range(self, feed: Feed, question: RangeRead, answer: Callable[[RangeAnswer], None]) -> None:
        self.reads.append((question, answer))


def event_payload(offset: int, text: str = "hello", room: str = ROOM) -> bytes:
    return encode(Event(room, offset, 1_700_000_000_000 + offset, "message", "g-a", "Ada", f"m{offset}", text), Form.MSGPACK)


def node_frames(first: int, last: int, text: str = "hello") -> list[NodeFrame]:
    return [NodeFrame(offset, 0, 1, event_payload(offset, text)) for offset in range(first, last + 1)]


def attached(
    first: int = 1, last: int = 0, *, epoch: str = "e1", resumed: bool = False, reason: str = "", present: int = 0
) -> Attached:
    """An attach reply that carries the events `first` to `last`."""
    return Attached(ROOM, 1, 1, epoch, last, first - 1, b"", resumed, reason, node_frames(first, last), present)


def batch(first: int, last: int, text: str = "hello") -> Batch:
    return Batch(ROOM, 1, bytes(8), node_frames(first, last, text))


def make_client(owner: FakeGateway, form: EventForm = Form.MSGPACK, room: int = 10**9) -> tuple[Client, FakeTransport]:
    transport = FakeTransport(room)
    plain = message_form(form)
    return Client(transport, plain, Session(plain, RULES), owner, deflates=isinstance(form, Deflated)), transport
