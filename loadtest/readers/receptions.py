"""What a worker's readers have in common: each event is decoded, checked and understood once, however many receive it.  Pure.

A gateway encodes an event once and sends the same bytes to everybody.  So a reader that
receives bytes which another one has received before knows all about them by one look into
a dictionary: room, offset, intended moment; and that they were not altered on the way,
since they are the same bytes.  What is left to do for each reader is its own position.

Moments of reception are noted at the event, and turned into latencies all together every
FLUSH_S: a sample costs 0.1 us instead of the 2 us of recording it alone.
"""

from itertools import pairwise
from typing import Final

from loadtest.audits.stamp import are_words_whole, id_prefix, read_stamp, room_crc
from loadtest.figures.messages import Finding
from loadtest.figures.tally import Tally, deliver_row
from wire.client_messages import Event
from wire.frames import header_length

FLUSH_S: Final = 0.1
# An event that nobody received for so many flushes is forgotten: who gets it later decodes it anew.
_EVENT_IDLE_FLUSHES: Final = 50
# Frames joined in one buffer are alike for some readers only, and at once or never.
_RUN_IDLE_FLUSHES: Final = 2
_RUNS_BYTES_MAX: Final = 16 * 1024 * 1024


class Room:
    """One room as this process knows it."""

    __slots__ = ("crc", "events", "name", "present")

    def __init__(self, name: str) -> None:
        self.name = name
        self.crc = room_crc(name)
        self.present = 0
        """How many are in it, as a `joined` or a `count` said last."""
        self.events: dict[tuple[str, int], tuple[bytes, bool]] = {}
        """By epoch and offset: the payload that was seen first, and whether its text was removed; as long as its sight lives."""


class Sight:
    """One event, or a run of consecutive events of one room in one buffer, and when readers received it."""

    __slots__ = ("after", "bytes", "first", "idle", "intended_ns", "keys", "parts", "place", "room", "times")

    def __init__(self, room: Room, first: int, after: int, size: int) -> None:
        self.room = room
        self.first = first
        self.after = after
        """The offset behind the last one."""
        self.bytes = size
        """Of the frames, headers included."""
        self.intended_ns = 0
        """On this process's monotonic clock; 0 for what has no stamp of this run."""
        self.parts: tuple[Sight, ...] = ()
        """The events of a run; empty for an event."""
        self.times: list[int] = []
        """Nanoseconds of this process's monotonic clock; since the last flush."""
        self.place: tuple[str, int] | None = None
        """An event's key in `Room.events`."""
        self.keys: list[bytes] = []
        self.idle = 0


class Receptions:
    """All rooms and recent events of one process."""

    def __init__(self, tally: Tally, run: str, offset_us: int) -> None:
        """`offset_us` + this process's monotonic clock is the master's (`messages.Welcome`)."""
        self.known: dict[bytes, Sight] = {}
        """By payload, by whole frame, and by joined frames: a payload begins with a map of five or more
        fields, a frame with 0x82, so none is taken for the other.  Read by the hot path."""
        self._tally = tally
        self._ids = id_prefix(run)
        self._offset_us = offset_us
        self._rooms: dict[str, Room] = {}
        self._recent: list[Sight] = []
        self._runs_bytes = 0

    def room(self, name: str) -> Room:
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name)
        return room

    def learn(self, event: Event, payload: bytes, epoch: str) -> Sight:
        """An event that this process has not seen in these bytes; what is wrong with it is found here, once."""
        room = self.room(event.room)
        sight = Sight(room, event.offset, event.offset + 1, header_length(len(payload)) + len(payload))
        seen = room.events.get((epoch, event.offset))
        if seen is None:
            sight.place = (epoch, event.offset)
            room.events[sight.place] = (payload, bool(event.removed))
        elif not (seen[1] or event.removed):
            self._found("altered", event, "two readers were sent two different events with this offset")
        if event.kind == "message" and event.id.startswith(self._ids) and not event.removed:
            self._read_stamp(event, sight)
        self._remember(sight, payload)
        return sight

    def learn_frame(self, data: bytes, sight: Sight) -> None:
        """`data` is one frame and nothing else, and its payload is this event."""
        sight.keys.append(data)
        self.known[data] = sight

    def learn_run(self, data: bytes, sights: list[Sight]) -> None:
        """`data` is the frames of these events and nothing else; kept if they follow upon each other in one room."""
        first, last = sights[0], sights[-1]
        if any(later.first != earlier.after or later.room is not first.room for earlier, later in pairwise(sights)):
            return
        if self._runs_bytes + len(data) > _RUNS_BYTES_MAX:
            return
        run = Sight(first.room, first.first, last.after, len(data))
        run.parts = tuple(sights)
        self._runs_bytes += len(data)
        self._remember(run, data)

    def flush(self) -> None:
        """Turn moments of reception into latencies and counts; forget what nobody receives any more."""
        kept = []
        for sight in self._recent:
            times = sight.times
            if times:
                sight.times, sight.idle = [], 0
                self._settle(sight, times)
            else:
                sight.idle += 1
                if sight.idle > (_RUN_IDLE_FLUSHES if sight.parts else _EVENT_IDLE_FLUSHES):
                    self._forget(sight)
                    continue
            kept.append(sight)
        self._recent = kept

    def _settle(self, sight: Sight, times: list[int]) -> None:
        row = self._tally.row(deliver_row(sight.room.present))
        row.bytes += len(times) * sight.bytes
        events = sight.parts or (sight,)
        self._tally.counts["deliveries"] += len(times) * len(events)
        self._tally.counts["bytes_received"] += len(times) * sight.bytes
        for event in events:
            if event.intended_ns:
                row.record_all([(at - event.intended_ns) // 1000 for at in times])

    def _read_stamp(self, event: Event, sight: Sight) -> None:
        stamp = read_stamp(event.text)
        if stamp is None:
            self._found("altered", event, "a message of this run came without its stamp")
        elif stamp.room_crc != sight.room.crc:
            self._found("wrong_room", event, "its stamp names another room")
        elif not are_words_whole(event.text, stamp):
            self._found("altered", event, "its words are not those that were published")
        else:
            sight.intended_ns = (stamp.intended_us - self._offset_us) * 1000

    def _found(self, kind: str, event: Event, detail: str) -> None:
        self._tally.found(Finding(kind, event.room, event.offset, 1, "readers", detail))

    def _remember(self, sight: Sight, key: bytes) -> None:
        sight.keys.append(key)
        self.known[key] = sight
        self._recent.append(sight)

    def _forget(self, sight: Sight) -> None:
        for key in sight.keys:
            # A run of the same bytes may have been learnt anew by now.
            if self.known.get(key) is sight:
                del self.known[key]
        if sight.place is not None:
            del sight.room.events[sight.place]
        if sight.parts:
            self._runs_bytes -= sight.bytes
