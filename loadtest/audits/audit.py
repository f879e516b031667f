"""What one auditor checks of everything that one client was sent, in the order of each wire.  Pure.

Each connection's rooms are `Feed`s (`loadtest/audits/feed.py`); this file opens and ends them by what the
client asks and the server answers, checks each text against its stamp, and keeps for every
room how far the client has come, over all connections, for the reckoning at the end.
What must not happen is told once, with room, offset and one sentence.

No violation, and counted apart: `skipped` and holes that a resume admits, `reset`, repeats that a
second connection or a position asks for, tombstones in a text's place.
"""

from collections.abc import Mapping
from typing import Final

from client.effects import ConnectionId
from client.updates import HistoryPage
from loadtest.audits.feed import Arrival, Feed
from loadtest.audits.ranges import Ranges
from loadtest.audits.sightings import Sightings
from loadtest.audits.stamp import are_words_whole, id_prefix, read_stamp, room_crc
from loadtest.figures.messages import Finding
from loadtest.figures.tally import Tally, deliver_row
from wire.client_messages import (
    INTEGER_MAX,
    AnyServerMessage,
    ClientMessage,
    Count,
    Event,
    Hello,
    Join,
    Joined,
    Left,
    Position,
    Refused,
    Reset,
    Skipped,
    Welcome,
)
from wire.codes import ResumeReason

# Ranges of a room that were told as lost, kept so that a repair that fails again is not told again.
LOST_RANGES_MAX: Final = 1000
_UNASKED: Final = "a joined that answers no join"

Heads = Mapping[str, tuple[str, int]]
"""Where rooms end: epoch and offset."""


class _Room:
    """One room over all connections."""

    __slots__ = ("crc", "epoch", "first", "is_left", "live_from", "past", "present", "told_lost", "up_to")

    def __init__(self, name: str) -> None:
        self.crc = room_crc(name)
        self.present = 0
        self.is_left = False
        self.past: set[str] = set()
        """Epochs that ended before our eyes; as many as a room's life has."""
        self.told_lost = Ranges()

    def begin(self, epoch: str, since: int, live_from: int) -> None:
        self.epoch = epoch
        self.first = since + 1
        self.up_to = since
        """The highest offset that came or was announced; holes below it are told by their feeds."""
        self.live_from = live_from
        """What came up to here was said before we were there: its latency is nobody's."""
        self.told_lost = Ranges()


class _Connection:
    __slots__ = ("asked", "asked_in_hello", "feeds")

    def __init__(self) -> None:
        self.feeds: dict[str, Feed] = {}
        self.asked_in_hello: dict[str, Position | None] = {}
        self.asked: dict[int, tuple[str, Position | None]] = {}


class Audit:
    """One client's.  Its owner calls what happens, in order; everything found goes to the tally."""

    def __init__(self, client: str, run: str, tally: Tally, sightings: Sightings) -> None:
        self.client = client
        self._prefix = id_prefix(run)
        self._tally = tally
        self._sightings = sightings
        self._connections: dict[ConnectionId, _Connection] = {}
        self._rooms: dict[str, _Room] = {}
        self._is_closed = False

    # --- what happens ------------------------------------------------------------------------------

    def sent(self, connection: ConnectionId, message: ClientMessage) -> None:
        it = self._connections.setdefault(connection, _Connection())
        if isinstance(message, Hello):
            it.asked_in_hello = {join.room: join.since for join in message.joins}
        elif isinstance(message, Join):
            it.asked[message.n] = message.room, message.since

    def received(self, connection: ConnectionId, message: AnyServerMessage | HistoryPage, at_us: int) -> None:
        """`at_us` is on the master's clock.  What comes once the audit is closed is nobody's."""
        if self._is_closed:
            return
        it = self._connections.setdefault(connection, _Connection())
        match message:
            case Event():
                self._event(it, message, at_us)
            case Count():
                if (room := self._rooms.get(message.room)) is not None:
                    room.present = message.present
            case Welcome():
                for joined in message.joins:
                    if isinstance(joined, Joined):
                        self._joined(it, joined, joined.room in it.asked_in_hello, it.asked_in_hello.pop(joined.room, None))
            case Joined():
                room_name, since = it.asked.pop(message.n, ("", None))
                self._joined(it, message, room_name == message.room, since)
            case Refused():
                it.asked.pop(message.n, None)
            case Left():
                self._end_feed(it, message.room)
                if (room := self._rooms.get(message.room)) is not None:
                    room.is_left = True
            case Skipped():
                self._skipped(it, message)
            case Reset():
                self._reset(it, message)
            case HistoryPage():
                self._tally.counts["audited"] += len(message.events)
                for event in message.events:
                    self._check_text(event, room_crc(event.room))
                    self._sightings.see(event, message.epoch, self.client)

    def broken(self, reason: str) -> None:
        """The server sent what is no message."""
        self._found("protocol", "", 0, 1, reason)

    def ended(self, connection: ConnectionId) -> None:
        it = self._connections.pop(connection, None) or _Connection()
        for room in list(it.feeds):
            self._end_feed(it, room)

    # --- the end --------------------------------------------------------------------------------------

    def is_behind(self, heads: Heads) -> bool:
        """Whether something up to `heads` has not come yet, or what was jumped over may still come."""
        if any(feed.has_holes for it in self._connections.values() for feed in it.feeds.values()):
            return True
        return any(self._missing(name, room, heads) for name, room in self._rooms.items())

    def close(self, heads: Heads) -> None:
        """The run is over: what has not come up to `heads` is undelivered.  Without them the client just leaves."""
        self._is_closed = True
        for connection in list(self._connections):
            self.ended(connection)
        for name, room in self._rooms.items():
            missing = self._missing(name, room, heads)
            if missing is not None:
                first, last, why = missing
                self._found("undelivered", name, first, last - first + 1, why)
            self._watched(name, room, room.up_to)
        self._rooms.clear()

    def _missing(self, name: str, room: _Room, heads: Heads) -> tuple[int, int, str] | None:
        epoch, head = heads.get(name, ("", 0))
        if not epoch or room.is_left or epoch in room.past:
            return None
        if epoch != room.epoch:
            return head, head, f"the room goes on in epoch {epoch}, of which nothing came: the last was of {room.epoch}"
        if room.up_to < head:
            return (
                room.up_to + 1,
                head,
                f"did not come before the run was over: the last was {room.up_to}, the room's end is {head}",
            )
        return None

    # --- joins, and what ends them ------------------------------------------------------------------

    def _joined(self, it: _Connection, joined: Joined, was_asked: bool, since: Position | None) -> None:
        if not was_asked:
            self._found("protocol", joined.room, joined.offset, 1, _UNASKED)
        self._end_feed(it, joined.room)
        room = self._rooms.get(joined.room)
        if room is None:
            room = self._rooms[joined.room] = _Room(joined.room)
            room.begin(joined.epoch, joined.since, joined.offset)
        elif joined.epoch != room.epoch:
            self._change_log(joined.room, room, joined.epoch, joined.since, joined.offset)
        elif since is None:
            # Left and entered again without a position: what lies between was nobody's to send.
            self._watched(joined.room, room, room.up_to)
            room.begin(joined.epoch, joined.since, joined.offset)
        room.present, room.is_left = joined.present, False
        if since is not None:
            self._resumed(room, joined, since)
        room.up_to = max(room.up_to, joined.since)
        it.feeds[joined.room] = Feed(
            joined.epoch, joined.since, joined.offset, is_recovered=since is not None and joined.recovered
        )

    def _resumed(self, room: _Room, joined: Joined, since: Position) -> None:
        """Compare where we came from with where the server goes on."""
        if joined.recovered and joined.epoch != since.epoch:
            why = f"a resume in epoch {since.epoch} was called recovered in epoch {joined.epoch}"
            self._found("protocol", joined.room, joined.since, 1, why)
        elif joined.epoch == since.epoch and joined.reason != ResumeReason.EPOCH.value:
            why = f"the client resumed from {since.offset}, though {room.up_to} is the last that had come"
            self._lost(room, joined.room, room.up_to + 1, since.offset, "lost", why)
            if joined.recovered:
                why = f"a resume from {since.offset} was called recovered and goes on after {joined.since}"
                self._lost(room, joined.room, since.offset + 1, joined.since, "resume_gap", why)
            else:
                self._skip(joined.room, room, since.offset + 1, joined.since)

    def _end_feed(self, it: _Connection, room_name: str) -> None:
        feed = it.feeds.pop(room_name, None)
        if feed is not None:
            self._tell_lost(room_name, feed, ends=True)

    def _change_log(self, name: str, room: _Room, epoch: str, since: int, live_from: int) -> None:
        # Whoever was there when a log ended should have got all of it: what was acknowledged beyond is the ledger's to judge.
        self._watched(name, room, INTEGER_MAX)
        room.past.add(room.epoch)
        room.begin(epoch, since, live_from)

    def _reset(self, it: _Connection, reset: Reset) -> None:
        feed, room = it.feeds.get(reset.room), self._rooms.get(reset.room)
        if feed is None or room is None:
            self._found("protocol", reset.room, reset.offset, 1, "a reset of a room that this connection has not joined")
            return
        self._end_feed(it, reset.room)
        if reset.epoch != room.epoch:
            self._change_log(reset.room, room, reset.epoch, reset.offset, reset.offset)
        else:
            self._skip(reset.room, room, room.up_to + 1, reset.offset)
        it.feeds[reset.room] = Feed(reset.epoch, reset.offset, reset.offset, is_recovered=False)

    def _skipped(self, it: _Connection, skipped: Skipped) -> None:
        feed, room = it.feeds.get(skipped.room), self._rooms.get(skipped.room)
        if feed is None or room is None:
            self._found("protocol", skipped.room, skipped.first, 1, "skipped of a room that this connection has not joined")
            return
        feed.announce(skipped.first, skipped.last)
        self._tell_lost(skipped.room, feed)
        if feed.epoch == room.epoch:
            self._skip(skipped.room, room, skipped.first, skipped.last)

    def _skip(self, name: str, room: _Room, first: int, last: int) -> None:
        """The server admits that these do not come; two connections that overlap may both say so."""
        first = max(first, room.up_to + 1)
        if first <= last:
            self._tally.counts["skipped"] += last - first + 1
            self._watched(name, room, first - 1)
            room.first, room.up_to = last + 1, last

    def _watched(self, name: str, room: _Room, last: int) -> None:
        """Tell that we were there up to `last`; what we found missing is told already and not for the ledger."""
        for start, end in room.told_lost.outside(room.first, last):
            self._sightings.watched(name, room.epoch, start, end)

    # --- events -----------------------------------------------------------------------------------------

    def _event(self, it: _Connection, event: Event, at_us: int) -> None:
        self._tally.counts["deliveries"] += 1
        self._tally.counts["audited"] += 1
        feed, room = it.feeds.get(event.room), self._rooms.get(event.room)
        if feed is None or room is None:
            self._found("wrong_room", event.room, event.offset, 1, "an event of a room that this connection has not joined")
            return
        belongs, intended_us = self._check_text(event, room.crc)
        if not belongs and event.offset != feed.next:
            # Strayed from another room's log: its offset says nothing of this one's.
            return
        self._check_arrival(feed, event)
        self._sightings.see(event, feed.epoch, self.client)
        if feed.epoch == room.epoch and event.offset > room.up_to:
            room.up_to = event.offset
            if intended_us is not None and event.offset > room.live_from:
                self._tally.row(deliver_row(room.present)).latencies.record(at_us - intended_us)

    def _check_arrival(self, feed: Feed, event: Event) -> None:
        offset = event.offset
        match feed.arrive(offset):
            case Arrival.NEXT | Arrival.AFTER_HOLE:
                if event.at < feed.at_ms:
                    self._found("protocol", event.room, offset, 1, f"the server's time went back by {feed.at_ms - event.at} ms")
                feed.at_ms = event.at
                self._tell_lost(event.room, feed)
            case Arrival.LATE:
                self._found("reordered", event.room, offset, 1, f"came after {feed.next - 1} had come")
            case Arrival.REPEATED:
                self._found("duplicated", event.room, offset, 1, f"came twice on one connection, which was at {feed.next - 1}")
            case Arrival.ANNOUNCED:
                self._found("protocol", event.room, offset, 1, "came though it had been announced as skipped")

    def _check_text(self, event: Event, crc: int) -> tuple[bool, int | None]:
        """Whether it belongs to its room by its stamp, and the moment it was meant to be sent, if it says so."""
        stamp = read_stamp(event.text)
        if stamp is None:
            if event.kind == "message" and not event.removed and event.id.startswith(self._prefix):
                self._found("altered", event.room, event.offset, 1, "the text of a message of ours has no whole stamp")
            return True, None
        if not are_words_whole(event.text, stamp):
            self._found("altered", event.room, event.offset, 1, "the text is not what its stamp says")
        elif event.kind == "message" and not event.id.endswith(f"-{stamp.worker}-{stamp.sequence}"):
            self._found("altered", event.room, event.offset, 1, "the text has the stamp of another message")
        if stamp.room_crc != crc:
            self._found("wrong_room", event.room, event.offset, 1, "the message was published in another room")
            return False, None
        return True, stamp.intended_us if event.id.startswith(self._prefix) else None

    # --- telling ------------------------------------------------------------------------------------------

    def _tell_lost(self, name: str, feed: Feed, *, ends: bool = False) -> None:
        room = self._rooms[name]
        for first, last in feed.take_lost(ends=ends):
            if feed.epoch != room.epoch:
                # Another connection has seen this log end.
                self._found("lost", name, first, last - first + 1, f"never came and was not announced, in epoch {feed.epoch}")
                continue
            in_resume = min(last, feed.told_up_to) if feed.is_recovered else first - 1
            why = f"a resume was called recovered, and went on with {last + 1} without them"
            self._lost(room, name, first, in_resume, "resume_gap", why)
            self._lost(
                room, name, max(first, in_resume + 1), last, "lost", f"never came and was not announced: {last + 1} came instead"
            )

    def _lost(self, room: _Room, name: str, first: int, last: int, kind: str, why: str) -> None:
        """Tell of what is missing, unless it was told: each failed repair finds the same hole."""
        if first > last:
            return
        for start, end in room.told_lost.outside(first, last):
            self._found(kind, name, start, end - start + 1, why)
        room.told_lost.add(first, last)
        if len(room.told_lost) > LOST_RANGES_MAX:
            room.told_lost.take_first()

    def _found(self, kind: str, room: str, offset: int, count: int, detail: str) -> None:
        self._tally.found(Finding(kind, room, offset, count, self.client, detail))
