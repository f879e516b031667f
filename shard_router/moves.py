"""Rooms whose shard said "not mine (any more)": what is asked of them is kept until the owner is asked again.

Pure.  A room stays here for MOVED_RETRY_S, or until the slot map changes.  Its requests keep their
order and their deadlines meanwhile; what is asked of the room in that time queues behind them.
"""

from shard_router.requests import Request, RequestTable
from wire.limits import MOVED_RETRY_S
from wire.names import RoomName


class MovedRooms:
    """Bounded by a request table of its own, and by the rooms that have feeds or requests."""

    def __init__(self) -> None:
        self.requests = RequestTable()
        self._retry_at: dict[RoomName, float] = {}
        """In rising order: each room waits equally long, and a second `Moved` does not prolong it."""

    def __contains__(self, room: object) -> bool:
        return room in self._retry_at

    def __bool__(self) -> bool:
        return bool(self._retry_at)

    def hold(self, room: RoomName, now: float) -> None:
        self._retry_at.setdefault(room, now + MOVED_RETRY_S)

    def due(self, now: float) -> list[RoomName]:
        """Remove and answer the rooms that have waited long enough."""
        due: list[RoomName] = []
        for room, retry_at in self._retry_at.items():
            if retry_at > now:
                break
            due.append(room)
        for room in due:
            del self._retry_at[room]
        return due

    def release_all(self) -> list[RoomName]:
        """Remove and answer every room: the map has changed."""
        rooms = list(self._retry_at)
        self._retry_at.clear()
        return rooms

    def requests_of(self, room: RoomName) -> list[Request]:
        """Remove and answer what was kept for a room, in the order it was asked."""
        return self.requests.withdraw(lambda each: each == room)
