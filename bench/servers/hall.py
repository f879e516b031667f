"""Just enough of our protocol for a server without a journal: hello, publish, the same event bytes.

What the two neighbours share, so that only their way of fanning out differs.
"""

import time
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from wire.client_codec import Form, decode_client_message, encode
from wire.client_messages import (
    PROTOCOL_VERSION,
    Ack,
    Event,
    Hello,
    Joined,
    Publish,
    Welcome,
)

M = TypeVar("M")
EPOCH = "bench"
GUEST_ID_CHARS = 16


@dataclass(slots=True)
class HallRoom(Generic[M]):
    """Who listens, and the last offset given out."""

    members: set[M] = field(default_factory=set)
    offset: int = 0


class Hall(Generic[M]):
    """All rooms of one server; `M` is what the server's library calls a connection."""

    def __init__(self) -> None:
        self._rooms: dict[str, HallRoom[M]] = {}
        self._names: dict[M, tuple[str, str]] = {}

    def hello(self, member: M, data: bytes) -> bytes:
        """Enter the rooms that the hello names; answers the welcome."""
        message = decode_client_message(data, Form.MSGPACK)
        assert isinstance(message, Hello), "the bench's clients begin with hello"
        author = f"g{len(self._names):0{GUEST_ID_CHARS - 1}x}"
        self._names[member] = (author, message.name)
        joins: list[Joined] = []
        for join in message.joins:
            room = self._rooms.setdefault(join.room, HallRoom())
            room.members.add(member)
            joins.append(Joined(0, join.room, EPOCH, room.offset, room.offset, present=len(room.members)))
        return encode(Welcome(PROTOCOL_VERSION, "bench", "", "", author, message.name, 25_000, list(joins)), Form.MSGPACK)

    def publish(self, member: M, data: bytes) -> tuple[bytes, set[M], bytes]:
        """One message: the event's payload, who gets it, and the acknowledgement's."""
        message = decode_client_message(data, Form.MSGPACK)
        assert isinstance(message, Publish), "after hello the bench's clients only publish"
        room = self._rooms[message.room]
        room.offset += 1
        author, name = self._names[member]
        at = int(time.time() * 1000)
        event = Event(message.room, room.offset, at, "message", author, name, message.id, message.text)
        ack = Ack(message.n, message.room, message.id, EPOCH, room.offset, at)
        return encode(event, Form.MSGPACK), room.members, encode(ack, Form.MSGPACK)

    def leave(self, member: M) -> None:
        self._names.pop(member, None)
        for room in self._rooms.values():
            room.members.discard(member)


def binary(message: str | bytes) -> bytes:
    """What a library's receive gave, as the bytes it must be."""
    assert isinstance(message, bytes), "the bench speaks msgpack"
    return message
