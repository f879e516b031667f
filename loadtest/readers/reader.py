"""One reader: who it is, its connections, and where it stands in each of its rooms.

State only, a kilobyte of it: `loadtest/readers/hearing.py` says what each message does to it, and
`loadtest/readers/pool.py` owns the sockets.
"""

import socket
from typing import Final

from client.reconnect import Reconnect
from loadtest.connections.greeting import Greeting
from loadtest.readers.frames import FrameReader
from loadtest.readers.receptions import Room
from loadtest.readers.secure_sockets import SecureSocket
from wire.client_messages import Goaway, Position, Refused

_HOLES_MAX: Final = 100


class Hole:
    """Offsets that were jumped over without a word."""

    __slots__ = ("after", "at_ns", "first", "is_told")

    def __init__(self, first: int, after: int, at_ns: int) -> None:
        self.first = first
        self.after = after
        self.at_ns = at_ns
        self.is_told = False


class Place:
    """Where a reader stands in one room, on one connection."""

    __slots__ = ("chain", "chain_at", "epoch", "holes", "live_from", "next", "recovered_to", "room")

    def __init__(self, room: Room, epoch: str, next_offset: int) -> None:
        self.room = room
        self.epoch = epoch
        self.next = next_offset
        """The offset that is due; everything before was received, announced as skipped, or is in a hole."""
        self.live_from = 0
        """Up to here events were asked for as history, or were received before: no deliveries whose time is measured."""
        self.recovered_to = 0
        """A hole up to here is one that a resume left, though it was called recovered."""
        self.chain = ""
        self.chain_at = 0
        self.holes: list[Hole] | None = None

    def position(self) -> Position:
        """Where to resume; the chain is known at the head of the last join only, as with every client."""
        return Position(self.epoch, self.next - 1, self.chain if self.chain_at == self.next - 1 else "")

    def jump_to(self, offset: int, at_ns: int) -> None:
        """What lies between is missing, and nobody has said why."""
        self.holes = [*(self.holes or ())[1 - _HOLES_MAX :], Hole(self.next, offset, at_ns)]
        self.next = offset

    def fill(self, first: int, after: int) -> bool:
        """Take these offsets out of the holes; whether one of them was in one."""
        was_missing, left = False, []
        for hole in self.holes or ():
            if after <= hole.first or hole.after <= first:
                left.append(hole)
                continue
            was_missing = True
            for start, end in ((hole.first, first), (after, hole.after)):
                if start < end:
                    part = Hole(start, end, hole.at_ns)
                    part.is_told = hole.is_told
                    left.append(part)
        self.holes = left or None
        return was_missing


# What a line compares with when nothing is usual: no event is its next.
NOWHERE: Final = Place(Room(""), "", -1)


class Reader:
    """Somebody who reads, over as many connections as it takes."""

    __slots__ = (
        "class_name", "dial_at", "fault", "guest", "history", "is_closed", "left", "line", "lost_ns", "next", "number",
        "reconnect", "rooms", "session", "was_welcomed",
    )  # fmt: skip

    def __init__(self, number: int, class_name: str, rooms: tuple[str, ...], history: int, reconnect: Reconnect) -> None:
        self.number = number
        self.class_name = class_name
        self.rooms = rooms
        self.history = history
        """How many recent events it asks for when it first enters a room."""
        self.reconnect = reconnect
        self.guest = self.session = ""
        self.was_welcomed = False
        self.line: Line | None = None
        """The connection on which it was welcomed last, while that lives."""
        self.next: Line | None = None
        """The connection that is being opened; while it moves the current one goes on."""
        self.left: dict[Room, Place] = {}
        """Where it was in rooms that it has not yet entered again."""
        self.dial_at: float | None = None
        """When to open the next connection, on the event loop's clock."""
        self.lost_ns = 0
        """When it lost its connection; 0 while it has one, and before the first."""
        self.is_closed = False
        self.fault = ""
        """What it was made to do on purpose (`loadtest/readers/faults.py`); its end is no failure."""

    @property
    def name(self) -> str:
        return f"{self.class_name}-{self.number}"

    def standing(self, name: str) -> Place | None:
        """Where it stands in a room now, or stood when it lost its connection."""
        places = (self.line.places if self.line is not None else {}).values()
        return next((place for place in (*places, *self.left.values()) if place.room.name == name), None)

    def leave_behind(self, room: Room, line: "Line") -> Place | None:
        """It enters a room on `line`: where it stood before, on the connection before."""
        before = self.left.pop(room, None)
        old = self.line
        return before if old is None or old is line else old.places.get(room, before)


class Line:
    """One connection of a reader."""

    __slots__ = (
        "asked", "deaf_until_ns", "dialled_ns", "end", "frames", "goaway", "greeting", "heard_at", "is_first", "is_leaving",
        "last", "next_n", "opened_at", "place", "places", "reader", "recv", "refusals", "seen_next", "server", "silent_max_s",
        "sock",
    )  # fmt: skip

    def __init__(
        self, reader: Reader, sock: socket.socket | SecureSocket, greeting: Greeting, asked: dict[str, Position]
    ) -> None:
        self.reader = reader
        self.sock = sock
        self.recv = sock.recv
        self.greeting: Greeting | None = greeting
        """None once it is open: nothing of it is kept."""
        self.asked = asked
        """The positions of its hello, until they are answered."""
        self.deaf_until_ns = 0
        """When it began to read again after it was made not to: what was meant before is late by our own doing."""
        self.dialled_ns = 0
        self.is_first = False
        """It is its reader's first, and waited for its turn."""
        self.frames = FrameReader()
        self.places: dict[Room, Place] = {}
        self.last = NOWHERE
        """The room that spoke last."""
        self.place = NOWHERE
        """`last`, when its next event may be taken as it comes: between two messages, past what is history."""
        self.server = ""
        self.heard_at = self.opened_at = 0.0
        self.seen_next = 0
        self.silent_max_s = 0.0
        self.end: tuple[int, str] | None = None
        """The close code, and a reason, once it is over."""
        self.goaway: Goaway | None = None
        self.refusals: list[Refused] = []
        """Rooms that it was refused, for who tries them again."""
        self.next_n = 1
        self.is_leaving = False
        """We have said goodbye; what still comes is not read."""
