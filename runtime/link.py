"""One multiplexed connection between two nodes: whole messages in order, bounded, watched.

What is sent waits in a list until the one writer task joins all of it into one send; what
arrives is read by the task that runs the link and handed to a synchronous handler, message
by message.  A burst therefore costs two wake-ups in all, not two a message.

A full outgoing side is answered by refusing (`send_nowait` is False); what to drop, and how
to say so, is the caller's business.  A link never mends itself: it ends, with a reason.
"""

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import trio

from runtime.link_frames import HEADER_BYTES, FrameReader, pack_length
from runtime.link_handshake import Introduction, LinkRefusedError, introduce_as_client, introduce_as_server
from runtime.streams import send_all
from runtime.transport import Transport
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.limits import (
    LINK_DEAD_AFTER_S,
    LINK_DOWN_BYTES_MAX,
    LINK_FRAME_BYTES_MAX,
    LINK_PING_INTERVAL_S,
    LINK_UP_BYTES_MAX,
)
from wire.node_messages import (
    AnyNodeMessage,
    LinkChallenge,
    LinkHello,
    LinkPing,
    LinkPong,
    LinkRefused,
    LinkWelcome,
    NodeMessage,
    decode_node_message,
    encode_node_message,
)

__all__ = ["Link", "LinkRefusedError", "open_client_link", "open_server_link"]

# 64 KiB, not 256: above malloc's mmap threshold (128 KiB) each recv maps and unmaps its buffer.
# Measured: 2.6 us against 14.9 us for 200 bytes, 20 us against 98 us for 150 kB.
RECV_BYTES: Final = 64 * 1024
SILENT_BEATS_MAX: Final = math.ceil(LINK_DEAD_AFTER_S / LINK_PING_INTERVAL_S)
# A set of exact types: one look-up for the messages that are not the link's own, which are nearly all.
_LINK_KINDS: Final = frozenset({LinkPing, LinkPong, LinkChallenge, LinkHello, LinkWelcome, LinkRefused})


async def open_client_link(
    transport: Transport, *, secrets: Sequence[bytes], role: str, node: str, rng: Random, bytes_max: int = LINK_UP_BYTES_MAX
) -> "Link":
    """Introduce ourselves to a shard, and have it prove itself.

    `secrets[0]` signs, any of them verifies.  `rng` gives the nonces: `random.SystemRandom`
    outside of tests and simulations.  Raises `LinkRefusedError`, `PeerError` or an `OSError`
    (`TimeoutError` after LINK_HELLO_DEADLINE_S); the transport is closed then.
    """
    return Link(transport, await introduce_as_client(transport, secrets=secrets, role=role, node=node, rng=rng), bytes_max)


async def open_server_link(
    transport: Transport,
    *,
    secrets: Sequence[bytes],
    node: str,
    map_version: int,
    rng: Random,
    bytes_max: int = LINK_DOWN_BYTES_MAX,
) -> "Link":
    """Challenge whoever connected; same rules and errors as `open_client_link`."""
    introduction = await introduce_as_server(transport, secrets=secrets, node=node, map_version=map_version, rng=rng)
    return Link(transport, introduction, bytes_max)


class Link:
    """An opened link; `run` must be running for anything to move.

    Invariant: ``bytes_waiting == queued + handed to the writer and not yet sent <= bytes_max``,
    so a stalled peer never earns a second budget.
    """

    __slots__ = (
        "_bytes_max",
        "_idle_writer",
        "_out",
        "_peer_error",
        "_reason",
        "_scope",
        "_silent_beats",
        "_transport",
        "_when_empty",
        "_writer_is_idle",
        "bytes_waiting",
        "peer_map_version",
        "peer_node",
        "peer_role",
        "round_trip_s",
        "version",
    )

    def __init__(self, transport: Transport, introduction: Introduction, bytes_max: int) -> None:
        """`bytes_max` bounds what waits to be sent, lengths included."""
        self.peer_node = introduction.node
        self.peer_role = introduction.role
        self.peer_map_version = introduction.map_version
        self.version = introduction.version
        self.bytes_waiting = 0
        self.round_trip_s: float | None = None
        """Of the last ping that was answered: the wire both ways, and both nodes' wait for a turn."""
        self._transport = transport
        self._bytes_max = bytes_max
        self._out: list[bytes] = []
        """Lengths and messages in turn, taken whole by the writer; bounded by `bytes_waiting`."""
        self._writer_is_idle = False
        self._idle_writer = trio.lowlevel.ParkingLot()
        self._when_empty = trio.lowlevel.ParkingLot()
        self._scope: trio.CancelScope | None = None
        self._silent_beats = 0
        self._reason: str | None = None
        self._peer_error: PeerError | None = None

    @property
    def is_closed(self) -> bool:
        return self._reason is not None

    @property
    def peer_address(self) -> str:
        return self._transport.peer

    def send_nowait(self, message: NodeMessage) -> bool:
        """Queue one message; False, and nothing is queued, when the bound is reached or the link has ended."""
        return self.send_encoded_nowait(encode_node_message(message))

    def send_encoded_nowait(self, payload: bytes) -> bool:
        """The same for a message that is encoded already: one batch for many gateways is encoded once."""
        waiting = self.bytes_waiting + HEADER_BYTES + len(payload)
        if waiting > self._bytes_max or self._reason is not None:
            return False
        assert len(payload) <= LINK_FRAME_BYTES_MAX, "the peer would end the link on a message this long"
        self._out.append(pack_length(len(payload)))
        self._out.append(payload)
        self.bytes_waiting = waiting
        if self._writer_is_idle:
            self._writer_is_idle = False
            self._idle_writer.unpark()
        return True

    async def run(self, handler: Callable[[AnyNodeMessage], None]) -> str:
        """Read, write and beat until the link ends; answers why.  Called once.

        `handler` gets every message in order, in this task, and may close the link; nothing
        follows after that.  Raises `PeerError` when the peer talks rubbish (also when the
        handler says so).  The transport is closed in any case; the tasks are owned here.
        """
        assert self._scope is None, "a link runs once"
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                if self._reason is not None:
                    nursery.cancel_scope.cancel()
                nursery.start_soon(self._write)
                nursery.start_soon(self._beat)
                await self._read(handler)
        finally:
            self._end("cancelled")
        if self._peer_error is not None:
            raise self._peer_error
        assert self._reason is not None, "the nursery ends only by an end of the link"
        return self._reason

    def close(self) -> None:
        """End the link at once; what waits is lost (see `drain`).  Idempotent."""
        self._end("closed here")

    async def drain(self, deadline_s: float) -> bool:
        """Wait until all that was queued has been handed to the kernel; False when it was not within `deadline_s`."""
        with trio.move_on_after(deadline_s):
            while self.bytes_waiting and self._reason is None:
                await self._when_empty.park()
        return self.bytes_waiting == 0

    def _end(self, reason: str) -> None:
        """Books of the end: the first reason stays, everyone who waits is woken."""
        if self._reason is not None:
            return
        self._reason = reason
        self._out.clear()
        self._transport.close()
        self._when_empty.unpark_all()
        if self._scope is not None:
            self._scope.cancel()

    async def _read(self, handler: Callable[[AnyNodeMessage], None]) -> None:
        reader = FrameReader()
        transport = self._transport
        while True:
            # Waiting first, even when more may be there already: it is the checkpoint that
            # keeps one busy link from starving the others.
            try:
                await transport.wait_readable()
                data = transport.try_recv(RECV_BYTES)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError) as error:
                self._end(f"reading failed: {error}")
                return
            if not data:
                self._end("closed by the peer in mid-message" if reader.bytes_held else "closed by the peer")
                return
            self._silent_beats = 0
            try:
                for frame in reader.feed(data):
                    self._receive(decode_node_message(frame), handler)
                    if self._reason is not None:
                        return
            except PeerError as error:
                self._peer_error = error
                self._end(error.message)
                return

    def _receive(self, message: AnyNodeMessage, handler: Callable[[AnyNodeMessage], None]) -> None:
        """Answer what concerns the link itself, hand on the rest."""
        if type(message) not in _LINK_KINDS:
            handler(message)
        elif isinstance(message, LinkPing):
            # Not sent when the way out is full: then what waits there is sign of life enough.
            self.send_nowait(LinkPong(message.sent))
        elif isinstance(message, LinkPong):
            self.round_trip_s = trio.current_time() - message.sent
        else:
            raise PeerError(CloseCode.BAD_REQUEST, f"{type(message).__name__} on a link that is open already")

    async def _write(self) -> None:
        out = self._out
        try:
            while True:
                if out:
                    batch = b"".join(out)
                    out.clear()
                    await send_all(self._transport, batch)
                    self.bytes_waiting -= len(batch)
                else:
                    self._when_empty.unpark_all()
                    self._writer_is_idle = True
                    await self._idle_writer.park()
        except (OSError, trio.ClosedResourceError) as error:
            self._end(f"writing failed: {error}")

    async def _beat(self) -> None:
        """Ping every interval, and end a link on which nothing at all has come for LINK_DEAD_AFTER_S.

        Beats are counted, not seconds: a process that was stopped for a while finds its peer's
        bytes in the kernel, and must read them before it may call the peer silent.
        """
        while True:
            await trio.sleep(LINK_PING_INTERVAL_S)
            if self._silent_beats >= SILENT_BEATS_MAX:
                self._end(f"no byte from the peer for {LINK_DEAD_AFTER_S} s")
                return
            self._silent_beats += 1
            self.send_nowait(LinkPing(trio.current_time()))
