"""A stretch of a room's stream as the readers of one rung get it: what is kept, and what is left out told exactly.  Pure.

Made once for all readers of a class that stand at one place, and kept until the stream changes: a
crowd behind one slow network falls behind together.  Whose own words are in a stretch has one made for them.
Blocks are thinned when they are whole; the youngest, unfinished one is given in full, since whoever
comes that far has caught up.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.deflate import EventForm, message_form
from gateway.ladder import Rung
from gateway.ring import FOR_EVERYBODY, Ring, framed
from gateway.selection import block_of, last_of, ranks, runs, seed_of
from wire.client_messages import Skipped
from wire.limits import PASS_BUFFER_BYTES_MAX
from wire.names import RoomName

# No author's tag, and not FOR_EVERYBODY.
_NOBODY = -2
# Blocks whose ranks are remembered; a ring that is bounded by events holds about 40.
_BLOCKS_MAX = 64


@dataclass(frozen=True, slots=True)
class Stretch:
    """Ready frames up to the sequence `end`: so many events, and announcements of so many that were left out."""

    end: int
    buffer: bytes
    events: int
    skipped: int


class Thinner:
    """Of one room.  Bounded: ranks of _BLOCKS_MAX blocks, and stretches of the stream as it is now."""

    __slots__ = ("_made", "_ranks", "_revision", "_room", "_seed")

    def __init__(self, room: RoomName) -> None:
        self._room = room
        self._seed = seed_of(room)
        self._ranks: dict[tuple[int, int], tuple[int, list[int]]] = {}
        """By the run's start and the block: the first offset that was there, and the ranks from it on."""
        self._made: dict[tuple[EventForm, Rung, int, int, int], Stretch] = {}
        self._revision = -1

    def stretch(self, ring: Ring, form: EventForm, rung: Rung, cursor: int, end: int, own: int) -> Stretch | None:
        """What a reader of `rung` gets next after `cursor`, up to `end` at most; None where all of it is due.

        `own` is the tag of the reader's own events.  About PASS_BUFFER_BYTES_MAX, and at least one event or announcement.
        """
        if cursor < ring.run_start - 1:
            return None
        last = ring.offset_of(end)
        if rung.kept:
            last = last_of(block_of(last + 1) - 1)
        if last <= ring.offset_of(cursor):
            return None
        end = _sequence(ring, last)
        if own not in ring.tags(cursor, end):
            own = _NOBODY
        if ring.revision != self._revision or len(self._made) >= _BLOCKS_MAX:
            self._made.clear()
            self._revision = ring.revision
        key = (form, rung, cursor, end, own)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._make(ring, form, rung, cursor, end, own)
        return made

    def _make(self, ring: Ring, form: EventForm, rung: Rung, cursor: int, end: int, own: int) -> Stretch:
        parts: list[bytes] = []
        size = events = skipped = 0
        reached = cursor
        for run in runs(ring.offset_of(cursor) + 1, ring.offset_of(end), self._keeps(ring, rung, own)):
            if run.is_kept:
                before, last = _sequence(ring, run.first - 1), _sequence(ring, run.last)
                reached = ring.reach(before, last, PASS_BUFFER_BYTES_MAX - size)
                parts += ring.frames(form, before, reached)
                size += ring.bytes_between(before, reached)
                events += reached - before
                if reached < last:
                    break
            else:
                told = framed(Skipped(self._room, run.first, run.last), message_form(form))
                parts.append(told)
                size += len(told)
                skipped += run.last - run.first + 1
                reached = _sequence(ring, run.last)
            if size >= PASS_BUFFER_BYTES_MAX:
                break
        return Stretch(reached, b"".join(parts), events, skipped)

    def _keeps(self, ring: Ring, rung: Rung, own: int) -> Callable[[int], bool]:
        kept = rung.kept

        def is_kept(offset: int) -> bool:
            tag = ring.tag_of(_sequence(ring, offset))
            return tag in (own, FOR_EVERYBODY) or (kept > 0 and self._rank(ring, offset) < kept)

        return is_kept

    def _rank(self, ring: Ring, offset: int) -> int:
        block = block_of(offset)
        key = (ring.run_start, block)
        found = self._ranks.get(key)
        if found is None:
            first = max(last_of(block - 1), ring.offset_of(ring.oldest_cursor())) + 1
            tags = ring.tags(_sequence(ring, first - 1), _sequence(ring, last_of(block)))
            if len(self._ranks) >= _BLOCKS_MAX:
                self._ranks.clear()
            found = self._ranks[key] = first, ranks(first, tags, self._seed)
        first, ranked = found
        return ranked[offset - first]


def _sequence(ring: Ring, offset: int) -> int:
    sequence = ring.sequence_of(offset)
    assert sequence is not None, "only the current run is thinned"
    return sequence
