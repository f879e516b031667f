"""A proxy before a gateway that plants faults: honest but for what it was told to do to the events it carries.

Bytes to the server pass as they are.  Of what the server sends, websocket messages that are events of the msgpack form
are shown to a tamper, which answers what is sent in their place; everything else passes.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import trio

from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Event
from wire.frames import OPCODE_BINARY, frame

_CHUNK_BYTES: Final = 64 * 1024

Tamper = Callable[[int, Event], Sequence[Event]]
"""What is sent instead of an event on the connection of that number; one for all connections of an edge."""


def honest(connection: int, event: Event) -> Sequence[Event]:
    return [event]


class Once:
    """Does something to the event at one offset of one room, the first time that it passes."""

    def __init__(self, room: str, offset: int, act: Callable[[Event], Sequence[Event]]) -> None:
        self._place = room, offset
        self._act = act
        self.has_acted = False

    def __call__(self, connection: int, event: Event) -> Sequence[Event]:
        if self.has_acted or (event.room, event.offset) != self._place:
            return [event]
        self.has_acted = True
        return self._act(event)


class SwapOnce:
    """Sends the event at one offset behind its successor, on one connection, once."""

    def __init__(self, room: str, offset: int) -> None:
        self._place = room, offset
        self._held: tuple[int, Event] | None = None
        self.has_acted = False

    def __call__(self, connection: int, event: Event) -> Sequence[Event]:
        if self._held is not None and self._held[0] == connection:
            (_, held), self._held = self._held, None
            return [event, held]
        if not self.has_acted and (event.room, event.offset) == self._place:
            self.has_acted = True
            self._held = connection, event
            return []
        return [event]


def drop(room: str, offset: int) -> Once:
    return Once(room, offset, lambda event: [])


def double(room: str, offset: int) -> Once:
    return Once(room, offset, lambda event: [event, event])


def alter(room: str, offset: int) -> Once:
    """One letter of the words; what follows them, stamp included, stays."""
    return Once(room, offset, lambda event: [msgspec.structs.replace(event, text="*" + event.text[1:])])


def misplace(room: str, offset: int, other: str) -> Once:
    """Under another room's name."""
    return Once(room, offset, lambda event: [msgspec.structs.replace(event, room=other)])


class FaultyEdge:
    """One port before a gateway's; `run` is its task, and owns all connections'."""

    def __init__(self, target: int, tamper: Tamper = honest) -> None:
        self._target = target
        self._tamper = tamper
        self._connections: list[trio.SocketStream] = []
        self._count = 0
        self.url = ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/"
        task_status.started()
        await trio.serve_listeners(self._serve, [listener])

    async def cut(self) -> None:
        """End every connection, as a dying gateway does."""
        for stream in self._connections:
            await trio.aclose_forcefully(stream)
        self._connections.clear()

    async def _serve(self, near: trio.SocketStream) -> None:
        """One connection, until either side ends it."""
        self._connections.append(near)
        number = self._count = self._count + 1
        try:
            async with await trio.open_tcp_stream("127.0.0.1", self._target) as far, near, trio.open_nursery() as nursery:
                nursery.start_soon(self._up, near, far, nursery.cancel_scope)
                await self._down(far, near, number)
                nursery.cancel_scope.cancel()
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def _up(self, near: trio.SocketStream, far: trio.SocketStream, both: trio.CancelScope) -> None:
        async for data in near:
            await far.send_all(data)
        both.cancel()

    async def _down(self, far: trio.SocketStream, near: trio.SocketStream, number: int) -> None:
        rest = b""
        is_upgraded = False
        async for data in far:
            rest += data
            if not is_upgraded:
                head, blank, rest = rest.partition(b"\r\n\r\n")
                if not blank:
                    rest = head
                    continue
                is_upgraded = True
                await near.send_all(head + blank)
            out, rest = self._pass(rest, number)
            await near.send_all(out)

    def _pass(self, data: bytes, number: int) -> tuple[bytes, bytes]:
        """What is sent for the whole frames of `data`, and what is left of it."""
        out = bytearray()
        at = 0
        while len(data) - at >= 2:
            length, payload_at = data[at + 1], at + 2
            if length == 126:
                length, payload_at = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, payload_at = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            end = payload_at + length
            if len(data) < payload_at or len(data) < end:
                break
            out += self._replaced(data[at:end], data[payload_at:end], number)
            at = end
        return bytes(out), data[at:]

    def _replaced(self, whole: bytes, payload: bytes, number: int) -> bytes:
        if whole[0] & 0x0F != OPCODE_BINARY:
            return whole
        message = decode_server_message(payload, Form.MSGPACK)
        if not isinstance(message, Event):
            return whole
        sent = self._tamper(number, message)
        # Untouched events pass in the gateway's own bytes.
        return b"".join(whole if event is message else frame(OPCODE_BINARY, encode(event, Form.MSGPACK)) for event in sent)
