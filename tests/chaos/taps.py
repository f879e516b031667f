"""Wires that can be cut, held and listened to: a TCP proxy before a server's port.

A node is told the tap's port instead of the server's.  `cut` resets connections as a dead
router would, `hold` stops every byte without telling anybody until `release`.  A tap of
links also reads what shards say to gateways and writes down under which term, for which
room and up to which chain: two shards that speak for one room at once are found by it.
"""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

import trio

from runtime.link_frames import FrameReader
from tests.chaos.chronicle import Attached, Chronicle, Sent, now
from wire import node_messages as said

_CHUNK_BYTES: Final = 64 * 1024
_CLOSE_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends a reset."""

Hear = Callable[[bytes], None]


class Tap:
    """One port that leads to another; `run` is its task."""

    def __init__(self, port: int, target: int, hear: "Callable[[], tuple[Hear, Hear]] | None" = None) -> None:
        """`hear` makes, for each connection, who listens to what goes up (to the server) and comes down."""
        self.port = port
        self._target = target
        self._hear = hear
        self._connections: dict[int, _Connection] = {}
        self._next = 0
        self._gate = trio.Event()
        self._gate.set()
        self._door = trio.CancelScope()
        self._door_opens = trio.Event()
        self._door_opens.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                await self._door_opens.wait()
                with trio.CancelScope() as self._door:
                    listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)

    def shut(self) -> None:
        """Refuse connections until `open`, as the port of a dead process does; those that are there stay.

        With an open door a server that is gone looks like a machine that is: connections open and break.
        """
        self._door_opens = trio.Event()
        self._door.cancel()

    def open(self) -> None:
        self._door_opens.set()

    def cut(self, rng: Random, share: float) -> int:
        """Reset about this share of the connections, at least one; how many there were."""
        connections = list(self._connections.values())
        if not connections:
            return 0
        chosen = rng.sample(connections, max(1, round(share * len(connections))))
        for connection in chosen:
            connection.cut()
        return len(chosen)

    def hold(self) -> None:
        """From now on nothing passes, either way."""
        self._gate = trio.Event()

    def release(self) -> None:
        self._gate.set()

    async def _serve(self, near: trio.SocketStream) -> None:
        """One connection, from its accept to its end; whatever happens to it ends here."""
        await self._gate.wait()
        try:
            far = await trio.open_tcp_stream("127.0.0.1", self._target)
        except OSError:
            _reset(near.socket)
            return
        up, down = self._hear() if self._hear is not None else (_deaf, _deaf)
        number = self._next = self._next + 1
        connection = self._connections[number] = _Connection(near, far)
        try:
            with connection.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, near, far, up, nursery.cancel_scope)
                    nursery.start_soon(self._carry, far, near, down, nursery.cancel_scope)
        finally:
            del self._connections[number]
            connection.close()

    async def _carry(self, source: trio.SocketStream, sink: trio.SocketStream, hear: Hear, both: trio.CancelScope) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await source.receive_some(_CHUNK_BYTES):
                hear(bytes(data))
                await self._gate.wait()
                await sink.send_all(data)
        both.cancel()


class _Connection:
    def __init__(self, near: trio.SocketStream, far: trio.SocketStream) -> None:
        self.scope = trio.CancelScope()
        self._near = near
        self._far = far

    def cut(self) -> None:
        for stream in (self._near, self._far):
            with suppress(OSError):
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_AT_ONCE)
        self.scope.cancel()

    def close(self) -> None:
        self._near.socket.close()
        self._far.socket.close()


def _reset(sock: trio.socket.SocketType) -> None:
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_AT_ONCE)
    sock.close()


def _deaf(_: bytes) -> None:
    """Nobody listens."""


class LinkEars:
    """Listens to one link of `shard`, from its first byte on, and writes what the shard claims to speak for."""

    def __init__(self, shard: str, file: Chronicle) -> None:
        self._shard = shard
        self._file = file
        self._gateway = ""
        self._up = FrameReader()
        self._down = FrameReader()
        self._feeds: dict[tuple[str, int], tuple[int, str]] = {}
        """Room and generation to term and epoch, as the shard attached it."""
        self._is_introduced = False

    def hear_up(self, data: bytes) -> None:
        """Only who it is that speaks matters, and that is said first."""
        if self._is_introduced:
            return
        for frame in self._up.feed(data):
            message = said.decode_node_message(frame)
            if isinstance(message, said.LinkHello):
                self._gateway = message.node
                self._is_introduced = True
                return

    def hear_down(self, data: bytes) -> None:
        for frame in self._down.feed(data):
            message = said.decode_node_message(frame)
            if isinstance(message, said.Attached):
                self._attached(message)
            elif isinstance(message, said.Batch):
                self._sent(message)

    def _attached(self, message: said.Attached) -> None:
        self._feeds[message.room, message.generation] = message.term, message.epoch
        self._file.write(
            Attached(
                now(), self._shard, self._gateway, message.room, message.term, message.epoch, message.offset,
                message.chain.hex(), message.resumed,
            )
        )  # fmt: skip

    def _sent(self, message: said.Batch) -> None:
        term, epoch = self._feeds[message.room, message.generation]
        offset = message.frames[-1].offset
        self._file.write(Sent(now(), self._shard, self._gateway, message.room, term, epoch, offset, message.chain.hex()))
