"""The rooms a client wants to be in, and whose word counts for each.  Pure.

A room's events count from one connection at a time, its owner: that changes when a
`joined` arrives, and offsets do the rest (`client/room.py`).
"""

from collections.abc import Collection

import msgspec

from client.effects import ConnectionId
from client.room import RoomState, Verdict
from client.updates import Gap
from wire.client_messages import Count, Event, Hide, Joined, JoinRequest, Position, Reset, Skipped, Stale
from wire.codes import Refusal
from wire.limits import ROOMS_PER_CLIENT_MAX


class Rooms:
    """At most ROOMS_PER_CLIENT_MAX; every connection's hello enters them all."""

    def __init__(self) -> None:
        self._rooms: dict[str, RoomState] = {}

    def want(self, room: str, since: Position | None, limit: int) -> Refusal | None:
        """Add a room; not entered yet."""
        if room in self._rooms:
            return Refusal.ALREADY_JOINED
        if len(self._rooms) >= ROOMS_PER_CLIENT_MAX:
            return Refusal.ROOM_LIMIT
        self._rooms[room] = RoomState(room, since, limit)
        return None

    def forget(self, room: str) -> bool:
        """Whether it was wanted."""
        return self._rooms.pop(room, None) is not None

    def get(self, room: str) -> RoomState | None:
        return self._rooms.get(room)

    def names(self) -> list[str]:
        return list(self._rooms)

    def join_requests(self) -> list[JoinRequest]:
        return [room.join_request() for room in self._rooms.values()]

    def owned(self, connection: ConnectionId, room: str) -> RoomState | None:
        """The room, if what this connection says of it counts."""
        state = self._rooms.get(room)
        return state if state is not None and state.owner == connection else None

    def elsewhere(self, connection: ConnectionId, asked: Collection[str]) -> list[RoomState]:
        """The rooms that are not on that connection, were not `asked` of it, and wait for no time to ask again."""
        rooms = self._rooms.values()
        return [each for each in rooms if each.owner != connection and each.rejoin_at is None and each.name not in asked]

    def are_on(self, connection: ConnectionId) -> bool:
        """Whether any room still lives on that connection."""
        return any(room.owner == connection for room in self._rooms.values())

    def seen(self, connection: ConnectionId) -> dict[str, int]:
        """How far each room was seen, for a pong."""
        return {room.name: room.offset for room in self._rooms.values() if room.owner == connection}

    def release(self, connection: ConnectionId) -> None:
        """That connection is over: its rooms have to be entered again."""
        for room in self._rooms.values():
            if room.owner == connection:
                room.owner = None

    def release_all(self) -> None:
        for room in self._rooms.values():
            room.owner = room.rejoin_at = None

    def take_due(self, now: float) -> list[RoomState]:
        """Rooms whose temporary refusal is over."""
        due = [room for room in self._rooms.values() if room.rejoin_at is not None and room.rejoin_at <= now]
        for room in due:
            room.rejoin_at = None
        return due

    def deadlines(self) -> list[float]:
        return [room.rejoin_at for room in self._rooms.values() if room.rejoin_at is not None]

    # --- what connections say -------------------------------------------------------------------

    def enter(self, room: RoomState, connection: ConnectionId, joined: Joined) -> tuple[Reset | Skipped | None, Joined]:
        """Take a join's reply; answers what the program is told before it, if anything, and the reply.

        What was seen before may not connect to what follows: then `Skipped` comes first, with exactly what is missing
        of the same log, or `Reset` when it is another log.  Where it does connect, since a connection that
        overlaps brought us further than the position we asked with, the program is told that nothing is missing.
        """
        epoch, seen = room.epoch, room.offset
        if room.enter(connection, joined):
            if joined.asked and not joined.recovered:
                joined = msgspec.structs.replace(joined, recovered=True, reason="")
            return None, joined
        if epoch == joined.epoch and seen < joined.since:
            return Skipped(room.name, seen + 1, joined.since), joined
        return Reset(room.name, joined.epoch, joined.since, joined.reason), joined

    def take_event(self, connection: ConnectionId, event: Event) -> Event | Gap | None:
        """The event if it is the next one, None if it was seen (or does not count), `Gap` if others are missing."""
        room = self.owned(connection, event.room)
        if room is None:
            return None
        match room.judge(event.offset):
            case Verdict.NEXT:
                room.advance(event.offset)
                return event
            case Verdict.SEEN:
                return None
            case Verdict.GAP:
                return Gap(room.name, room.offset + 1, event.offset - 1)

    def take_skipped(self, connection: ConnectionId, skipped: Skipped) -> Skipped | Gap | None:
        """What of an announced hole is new to us."""
        room = self.owned(connection, skipped.room)
        if room is None or skipped.last <= room.offset:
            return None
        first = room.offset + 1
        if skipped.first > first:
            return Gap(room.name, first, skipped.first - 1)
        room.advance(skipped.last)
        return Skipped(room.name, first, skipped.last)

    def take_signal(self, connection: ConnectionId, signal: Count | Stale | Reset | Hide) -> bool:
        """Whether the signal counts."""
        room = self.owned(connection, signal.room)
        if room is None:
            return False
        match signal:
            case Count():
                room.present = signal.present
            case Reset():
                room.start_over(signal.epoch, signal.offset)
            case Stale() | Hide():
                pass
        return True
