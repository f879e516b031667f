"""Updates on their way to the program: bounded, in order, and honest about what did not fit.  Pure.

A program that reads too slowly (or not at all) must not stop acknowledgements from
coming in, nor fill the memory.  Beyond the bounds events are left out and announced as
`Skipped`, exactly as a gateway does it; of everything else the latest of its kind and
room is kept.  Order within a room survives: what overflowed is given after all that was
queued, and nothing enters the queue before it.
"""

from collections import deque

from client.updates import Connected, Connecting, Reconnecting, Stopped, Update
from wire.client_messages import Event, Joined, Reset, Skipped
from wire.limits import CLIENT_UPDATES_BYTES_MAX, CLIENT_UPDATES_WAITING_MAX

# Roughly what an update costs besides its text.
_UPDATE_BYTES = 400


class Inbox:
    """Invariant: the queue holds at most `updates_max`; the overflow one entry per kind and room."""

    def __init__(self, updates_max: int = CLIENT_UPDATES_WAITING_MAX, bytes_max: int = CLIENT_UPDATES_BYTES_MAX) -> None:
        self._updates_max = updates_max
        self._bytes_max = bytes_max
        self._queue: deque[Update] = deque()
        self._bytes = 0
        self._overflow: dict[tuple[str, str], Update] = {}

    def __len__(self) -> int:
        return len(self._queue) + len(self._overflow)

    def offer(self, update: Update) -> None:
        """Queue one update, or account for it."""
        if self._overflow or not self._fits(update):
            self._overflow_with(update)
        else:
            self._queue.append(update)
            self._bytes += _size_of(update)

    def take(self) -> Update:
        """The oldest update; there must be one."""
        if not self._queue:
            self._pour_back()
        update = self._queue.popleft()
        self._bytes -= _size_of(update)
        return update

    def _fits(self, update: Update) -> bool:
        # One update always fits an empty queue, however long its text.
        return not self._queue or (
            len(self._queue) < self._updates_max and self._bytes + _size_of(update) <= self._bytes_max
        )

    def _overflow_with(self, update: Update) -> None:
        room = _room_of(update)
        match update:
            case Event(offset=offset):
                self._leave_out(room, offset, offset)
            case Skipped(first=first, last=last):
                self._leave_out(room, first, last)
            case Reset() | Joined():
                # What was left out before belongs to a position that this one replaces or names.
                if isinstance(update, Reset):
                    self._overflow.pop((room, "Skipped"), None)
                self._put_last(room, update)
            case _:
                self._put_last(room, update)

    def _leave_out(self, room: str, first: int, last: int) -> None:
        before = self._overflow.get((room, "Skipped"))
        if isinstance(before, Skipped):
            self._overflow[room, "Skipped"] = Skipped(room, before.first, last)
        else:
            self._overflow[room, "Skipped"] = Skipped(room, first, last)

    def _put_last(self, room: str, update: Update) -> None:
        key = (room, type(update).__name__)
        self._overflow.pop(key, None)
        self._overflow[key] = update

    def _pour_back(self) -> None:
        """The queue is empty: what overflowed becomes the queue, and room is made for what comes."""
        for update in self._overflow.values():
            self._queue.append(update)
            self._bytes += _size_of(update)
        self._overflow.clear()


def _room_of(update: Update) -> str:
    return "" if isinstance(update, (Connecting, Connected, Reconnecting, Stopped)) else update.room


def _size_of(update: Update) -> int:
    # Four bytes a character is what CPython takes at most.
    return _UPDATE_BYTES + 4 * len(update.text) if isinstance(update, Event) else _UPDATE_BYTES


