"""What each message means to a reader.  Pure.

A reader checks what every client can: that offsets rise by one.  A jump that no `skipped` or
`reset` announced, a repetition, a disorder, a room that was not entered: each is a `Finding`.
It does nothing but answer pings.

The usual message, the next event of a room in bytes that are already known, never comes here:
`loadtest/readers/pool.py` compares it with `Line.place` and moves on.
"""

from typing import Final

from loadtest.connections.greeting import masked_frame, message_frame
from loadtest.figures.messages import Finding
from loadtest.figures.tally import Tally
from loadtest.readers.frames import read_close
from loadtest.readers.reader import NOWHERE, Line, Place
from loadtest.readers.receptions import Receptions, Sight
from wire.client_codec import Form, decode_server_message, is_unknown_server_kind
from wire.client_messages import (
    INTEGER_MAX,
    AnyServerMessage,
    Count,
    Event,
    Goaway,
    Hide,
    Joined,
    Left,
    Ping,
    Pong,
    Position,
    Refused,
    Reset,
    Skipped,
    Stale,
    Welcome,
)
from wire.codes import CloseCode, ResumeReason
from wire.errors import PeerError
from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, frame, header_length

# A hole may be filled late, which is a disorder; after so long it is a loss.
HOLE_GRACE_S: Final = 2.0
# What one receive takes at most.  Bytes that fill it are never known: more may follow, and the usual path does not look.
RECEIVE_BYTES: Final = 64 * 1024
# Of a room, and not of a reader: the tag is each message's first field.
_SIGNALS: Final = tuple(b"\xa1t" + bytes((0xA0 | len(tag),)) + tag for tag in (b"count", b"stale", b"hide"))
_SIGNALS_MAX: Final = 1000
ABNORMAL: Final = 1006
"""RFC 6455's code for a connection that ended without a goodbye; never sent."""


class Ear:
    """What each message means; one for all readers of a process."""

    def __init__(self, receptions: Receptions, tally: Tally, mask: bytes) -> None:
        """`mask` is 4 bytes: one for all frames of a load test will do, it hides nothing."""
        self.holed: set[Line] = set()
        """Lines with holes that are not yet told."""
        self._receptions = receptions
        self._known = receptions.known
        self._signals: set[bytes] = set()
        """Frames of head counts and the like, the same for everybody: they are obeyed once."""
        self._tally = tally
        self._mask = mask

    def hear(self, line: Line, data: bytes, at_ns: int) -> bytes:
        """Everything that is not usual; answers what is to be sent.  Sets `line.end` when that was all."""
        frames = line.frames
        was_between = frames.is_between
        sight = self._known.get(data) if was_between and not frames.is_over else None
        if sight is not None:
            self._take(line, sight, at_ns)
            self._focus(line)
            return b""
        if data in self._signals and was_between and not frames.is_over:
            self._tally.counts["bytes_received"] += len(data)
            return b""
        reply, sights, others = b"", [], 0
        for opcode, payload in frames.take(data):
            sight = self._known.get(payload) if opcode == OPCODE_BINARY else None
            if sight is None:
                said = self._read(line, opcode, payload, at_ns)
                if isinstance(said, bytes):
                    if opcode == OPCODE_BINARY and payload.startswith(_SIGNALS, 1):
                        self._learn_signal(frame(OPCODE_BINARY, payload))
                    reply += said
                    others += 1
                    continue
                sight = said
            self._take(line, sight, at_ns)
            sights.append(sight)
        if frames.violation is not None:
            self.broken(line, frames.violation.code, frames.violation.sentence)
        elif sights and was_between and frames.is_between and not others and len(data) < RECEIVE_BYTES:
            if len(sights) == 1:
                self._receptions.learn_frame(data, sights[0])
            else:
                self._receptions.learn_run(data, sights)
        self._focus(line)
        return reply

    def _learn_signal(self, data: bytes) -> None:
        if len(self._signals) >= _SIGNALS_MAX:
            self._signals.clear()
        self._signals.add(data)

    def _focus(self, line: Line) -> None:
        last = line.last
        line.place = last if last.next > last.live_from and line.frames.is_between and line.end is None else NOWHERE

    def _read(self, line: Line, opcode: int, payload: bytes, at_ns: int) -> Sight | bytes:
        """A frame that is no known event: an event to be known from now on, or what to answer."""
        if opcode != OPCODE_BINARY:
            self._tally.counts["bytes_received"] += header_length(len(payload)) + len(payload)
            if opcode == OPCODE_PING:
                return masked_frame(payload, self._mask, OPCODE_PONG)
            if opcode == OPCODE_CLOSE:
                line.end = read_close(payload)
                return masked_frame(payload, self._mask, OPCODE_CLOSE)
            if opcode != OPCODE_PONG:
                self.broken(line, CloseCode.UNSUPPORTED_DATA, "a text frame, though binary ones were agreed on")
            return b""
        try:
            message = decode_server_message(payload, Form.MSGPACK)
        except PeerError as error:
            if not is_unknown_server_kind(payload, Form.MSGPACK):
                self.broken(line, ABNORMAL, error.message)
            return b""
        if isinstance(message, Event):
            place = line.places.get(self._receptions.room(message.room))
            return self._receptions.learn(message, payload, place.epoch if place is not None else "")
        self._tally.counts["bytes_received"] += header_length(len(payload)) + len(payload)
        return self._obey(line, message, at_ns)

    def _obey(self, line: Line, message: AnyServerMessage, at_ns: int) -> bytes:
        match message:
            case Ping():
                seen = {place.room.name: place.next - 1 for place in line.places.values()}
                return message_frame(Pong(seen=seen), self._mask)
            case Count(room=name, present=present):
                self._receptions.room(name).present = present
            case Skipped(room=name, first=first, last=last):
                self._skip(line, name, first, last, at_ns)
            case Reset(room=name, epoch=epoch, offset=offset):
                place = Place(self._receptions.room(name), epoch, offset + 1)
                before = line.places.get(place.room)
                # What a deaf reader has not read yet stays late, whatever the server says in between.
                is_deaf = before is not None and before.live_from == INTEGER_MAX
                place.live_from = INTEGER_MAX if is_deaf else offset
                self._settle_holes(line, before)
                line.places[place.room] = line.last = place
            case Joined():
                self.enter(line, message)
            case Refused():
                line.refusals.append(message)
            case Goaway():
                line.goaway = message
            case Hide() | Stale() | Left():
                pass
            case _:
                self.broken(line, CloseCode.PROTOCOL, f"{type(message).__name__}, which nobody asked for")
        return b""

    # --- positions ---------------------------------------------------------------------------------

    def welcomed(self, line: Line, welcome: Welcome) -> None:
        """Take the answers to the joins of a hello."""
        for answer in welcome.joins:
            if isinstance(answer, Joined):
                self.enter(line, answer)
            else:
                line.refusals.append(answer)

    def enter(self, line: Line, joined: Joined) -> None:
        """Stand in a room, as its `joined` says; a resume that is called whole has to be."""
        room = self._receptions.room(joined.room)
        room.present = joined.present or room.present
        place = Place(room, joined.epoch, joined.since + 1)
        place.chain, place.chain_at = joined.chain, joined.offset
        place.live_from = joined.offset
        before = line.reader.leave_behind(room, line)
        asked = line.asked.pop(joined.room, None)
        if before is not None and asked is not None:
            self._resume(line, place, before, asked, joined)
        line.places[room] = line.last = place
        self._focus(line)

    def _resume(self, line: Line, place: Place, before: Place, asked: Position, joined: Joined) -> None:
        counts, goes_on = self._tally.counts, joined.epoch == asked.epoch and joined.reason != ResumeReason.EPOCH.value
        gap = joined.since - asked.offset
        if not joined.recovered:
            counts["resumes_reset"] += 1
            if goes_on and gap > 0:
                # The answer says that these are not sent again.
                counts["skipped"] += gap
            return
        if not goes_on or gap > 0:
            detail = f"resumed from {asked.offset} in {asked.epoch}, called recovered, and given {joined.since} in {joined.epoch}"
            self._found(line, "resume_gap", place, asked.offset + 1, max(gap, 1), detail)
            return
        counts["resumes_recovered"] += 1
        place.next = asked.offset + 1
        place.recovered_to = joined.offset
        # While two connections overlapped the old one may have brought more than was asked from here; and what a
        # reader missed by its own doing is not timed.
        place.live_from = max(before.next - 1, min(before.live_from, joined.offset))

    def _take(self, line: Line, sight: Sight, at_ns: int) -> None:
        """An event, or a run of them."""
        place = line.places.get(sight.room)
        if place is not None and place.live_from == INTEGER_MAX and 0 < line.deaf_until_ns < sight.intended_ns:
            place.live_from = place.next - 1
        if place is not None and sight.first == place.next and sight.first > place.live_from:
            line.last = place
            place.next = sight.after
            sight.times.append(at_ns)
            return
        if sight.parts:
            for part in sight.parts:
                self._take(line, part, at_ns)
            return
        if place is None:
            detail = f"an event of {sight.room.name}, which this reader has not entered"
            self._tally.found(Finding("wrong_room", sight.room.name, sight.first, 1, line.reader.name, detail))
        else:
            line.last = place
            if sight.first == place.next:
                place.next = sight.after
            elif sight.first > place.next:
                place.jump_to(sight.first, at_ns)
                self.holed.add(line)
                place.next = sight.after
            elif place.fill(sight.first, sight.after):
                self._found(line, "reordered", place, sight.first, 1, f"came after {place.next - 1}")
            else:
                self._found(line, "duplicated", place, sight.first, 1, f"came again, at {place.next - 1}")
                place = None
        if place is not None and sight.first > place.live_from:
            sight.times.append(at_ns)
        else:
            self._tally.counts["deliveries"] += 1
            self._tally.counts["bytes_received"] += sight.bytes

    def _skip(self, line: Line, name: str, first: int, last: int, at_ns: int) -> None:
        place = line.places.get(self._receptions.room(name))
        self._tally.counts["skipped"] += last - first + 1
        if place is None:
            return
        place.fill(first, last + 1)
        if last >= place.next:
            if first > place.next:
                place.jump_to(first, at_ns)
                self.holed.add(line)
            place.next = last + 1

    def tell_holes(self, before_ns: int) -> None:
        """Holes from before that moment are losses."""
        for line in list(self.holed):
            open_holes = 0
            for place in line.places.values():
                open_holes += self._tell(line, place, before_ns)
            if not open_holes:
                self.holed.discard(line)

    def over(self, line: Line) -> None:
        """The connection has ended: nothing fills its holes any more."""
        if line in self.holed:
            for place in line.places.values():
                self._settle_holes(line, place)
            self.holed.discard(line)

    def _settle_holes(self, line: Line, place: Place | None) -> None:
        if place is not None:
            self._tell(line, place, 1 << 63)

    def _tell(self, line: Line, place: Place, before_ns: int) -> int:
        """Tell of old enough holes; answers how many are left to tell."""
        left = 0
        for hole in place.holes or ():
            if hole.is_told:
                continue
            if hole.at_ns > before_ns:
                left += 1
                continue
            hole.is_told = True
            kind = "resume_gap" if hole.first <= place.recovered_to else "lost"
            self._found(line, kind, place, hole.first, hole.after - hole.first, "jumped over, and nothing announced it")
        return left

    def missing(self, line: Line, place: Place, head: int) -> None:
        """The end of the run: everything up to `head` should be here."""
        if place.next <= head:
            detail = "had not come when the run was over, though the room's head is beyond it"
            self._found(line, "undelivered", place, place.next, head + 1 - place.next, detail)

    def _found(self, line: Line, kind: str, place: Place, offset: int, count: int, detail: str) -> None:
        self._tally.found(Finding(kind, place.room.name, offset, count, line.reader.name, detail))

    def broken(self, line: Line, code: int, sentence: str) -> None:
        """What no server may send: counted, and the connection is left."""
        self._tally.found(Finding("protocol", "", 0, 1, line.reader.name, sentence))
        line.end = (code, sentence)
