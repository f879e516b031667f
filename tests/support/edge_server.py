"""An edge on a real socket, and the raw clients that tests attack it with.

`running_edge` serves an echo over the edge's own parts; what a test wants to see is on the
`EdgeUnderTest` it yields.  `RawClient` speaks bytes and reads frames through wsproto.
"""

import os
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import structlog
import trio
from structlog.testing import LogCapture

from gateway.accept import Admission, accept_forever
from gateway.deflate import deflate
from gateway.peer import PeerClosed, PeerGone
from gateway.streams import write_all
from gateway.upgrade import UpgradeRefused, UpgradeRules, upgrade
from gateway.websocket import WebSocketReader, close_frame
from runtime.metrics import GatewayCounters
from runtime.sockets import SocketNetwork
from runtime.transport import Transport
from wire.client_codec import Form
from wire.errors import PeerError
from wire.frames import DEFLATED_BIT, OPCODE_BINARY, OPCODE_TEXT, frame

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
"""RFC 6455's own example; its accept value is in the RFC, too."""
MASK = b"\x11\x22\x33\x44"
GRACE_S = 0.5


def request(
    *, drop: bytes = b"", add: bytes = b"", target: bytes = b"/", first: bytes = b"", protocol: str = "parvis.v1.json"
) -> bytes:
    """A good upgrade request; `drop` leaves out the header of that name, `add` is put in at its end."""
    lines = [
        b"Host: parvis.example",
        b"Upgrade: websocket",
        b"Connection: keep-alive, Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Protocol: " + protocol.encode(),
    ]
    kept = [line for line in lines if not drop or not line.lower().startswith(drop.lower() + b":")]
    return (first or b"GET " + target + b" HTTP/1.1") + b"\r\n" + b"".join(line + b"\r\n" for line in kept) + add + b"\r\n"


def client_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """One client frame, right or wrong; wsproto would refuse to build the wrong ones."""
    return client_header(opcode, len(payload), fin=fin, rsv=rsv, masked=masked) + (_mask(payload) if masked else payload)


def client_header(opcode: int, length: int, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """The header alone, for lengths that nobody wants to send."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if length < 126:
        head = bytes((first, bit | length))
    elif length < 65536:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    return head + (MASK if masked else b"")


def _mask(payload: bytes) -> bytes:
    return bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))


@dataclass
class EdgeUnderTest:
    """One running edge; fields are written by the edge and read by tests."""

    port: int
    admission: Admission
    counters: GatewayCounters
    log: LogCapture
    ends: list[BaseException] = field(default_factory=list)
    """What ended each connection's handler, in order."""

    async def wait_ends(self, count: int) -> None:
        """Wait until `count` connections are over; the test's own timeout is the bound."""
        while len(self.ends) < count or self.admission.connections_open:
            await trio.sleep(0.001)


Handle = Callable[[Transport, EdgeUnderTest], Awaitable[None]]


async def echo(transport: Transport, edge: EdgeUnderTest, rules: UpgradeRules) -> None:
    """Send every message back; end as the gateway's own handler does."""
    try:
        upgraded = await upgrade(transport, rules)
    finally:
        edge.admission.handshake_over()
    push = partial(_push, transport)
    reader = WebSocketReader(transport, upgraded.form, upgraded.leftover, push=push, deflates=upgraded.deflates)
    opcode = OPCODE_BINARY if upgraded.form is Form.MSGPACK else OPCODE_TEXT
    try:
        while True:
            message = await reader.receive()
            if message == b"explode":
                raise RuntimeError("the handler has a bug")
            short = deflate(message) if upgraded.deflates else None
            await write_all(transport, frame(opcode, message) if short is None else frame(opcode | DEFLATED_BIT, short))
    except PeerError as error:
        push(close_frame(error.code, error.message))
        with trio.move_on_after(GRACE_S):
            await reader.wait_closed()
        raise


def _push(transport: Transport, data: bytes) -> None:
    """As a client's outbox has it: who does not take it, or has left, raises nothing here."""
    try:
        transport.try_send(data)
    except OSError:
        return


@asynccontextmanager
async def running_edge(
    *,
    rules: UpgradeRules | None = None,
    handle: Handle | None = None,
    admission: Admission | None = None,
) -> AsyncIterator[EdgeUnderTest]:
    """Serve on a free port of loopback until the block ends."""
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    log = LogCapture()
    edge = EdgeUnderTest(listener.port, admission or Admission(1000, 1000, 1000), GatewayCounters(), log)
    serve = handle or partial(echo, rules=rules or UpgradeRules(origins=("https://parvis.example",)))

    async def handle_one(transport: Transport) -> None:
        try:
            await serve(transport, edge)
        except (PeerGone, PeerClosed, PeerError, UpgradeRefused, RuntimeError) as error:
            edge.ends.append(error)
            raise

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                accept_forever,
                listener,
                handle_one,
                nursery,
                admission=edge.admission,
                log=structlog.wrap_logger(None, processors=[log]),
                counters=edge.counters,
                rng=random.Random(1),
            )
        )
        yield edge
        nursery.cancel_scope.cancel()
    listener.close()


class RawClient:
    """A TCP connection that says whatever a test wants."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.received = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def read_head(self) -> bytes:
        """The HTTP answer's head."""
        while b"\r\n\r\n" not in self.received:
            data = await self.stream.receive_some(65536)
            assert data, f"the stream ended in the head: {self.received!r}"
            self.received += data
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        return head

    async def open(self, protocol: str = "parvis.v1.json", *, deflates: bool = False) -> None:
        """Upgrade; the answer must be 101, and agree on compression exactly when it is asked for."""
        offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if deflates else b""
        await self.send(request(protocol=protocol, add=offer))
        head = await self.read_head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert (b"permessage-deflate" in head) == deflates

    async def read_to_end(self) -> bytes:
        """All that comes until the server ends the stream; a reset ends it likewise."""
        try:
            while data := await self.stream.receive_some(65536):
                self.received += data
        except trio.BrokenResourceError:
            pass
        return self.received

    async def read_frame(self) -> tuple[int, bytes]:
        """The next server frame: its opcode and payload."""
        while True:
            parsed = _parse_server_frame(self.received)
            if parsed is not None:
                opcode, payload, length = parsed
                self.received = self.received[length:]
                return opcode, payload
            data = await self.stream.receive_some(65536)
            assert data, f"the stream ended in a frame: {self.received!r}"
            self.received += data

    async def read_close(self) -> int:
        """Skip frames until the close frame; its code."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == 0x8:
                return int.from_bytes(payload[:2], "big")

    def reset(self) -> None:
        """End the connection with a RST."""
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()


def _parse_server_frame(data: bytes) -> tuple[int, bytes, int] | None:
    if len(data) < 2:
        return None
    length, start = data[1] & 0x7F, 2
    if length == 126:
        length, start = int.from_bytes(data[2:4], "big"), 4
    elif length == 127:
        length, start = int.from_bytes(data[2:10], "big"), 10
    if len(data) < start + length:
        return None
    return data[0] & 0x0F, data[start : start + length], start + length


@asynccontextmanager
async def raw_client(port: int) -> AsyncIterator[RawClient]:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        yield RawClient(stream)


def descriptors() -> int:
    """How many descriptors this process holds."""
    return len(os.listdir("/proc/self/fd"))


def open_files() -> set[str]:
    """What this process holds open, each by its number and what it is (`7 socket:[4711]`).

    Taken before and after, the difference is what was left behind; a count would also see what an earlier test's
    garbage closed meanwhile.
    """
    found = set[str]()
    for number in os.listdir("/proc/self/fd"):
        # The directory itself is open while it is listed, and is in the list.
        with suppress(FileNotFoundError):
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return found
