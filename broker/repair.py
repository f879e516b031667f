"""What a journal has forgotten of a room's log, as the writes that bring it back.

A store that fails over may lose its newest writes.  The shard still has them, as far back as
the room's tail reaches.  They are written again exactly as they were, same offsets, times,
digests and chain, with their ids and removals, so that nobody notices.  Whether the journal's
end lies on this log is not remembered but computed: the tail's events, chained onto it, must
give the published head.  Pure.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from broker.event_frame import entry_of
from broker.journal.protocol import Erasure, IdRow, LoadedRoom, Write
from broker.record import CHAIN_START, EPOCH_KIND, Entry, Head, chain_after, digest_of
from broker.tail import Tail
from wire.limits import COMMIT_ROOM_BYTES_MAX
from wire.names import RoomName, Slot, Term


class Forgotten(Struct, frozen=True):
    """One event that the journal does not have; `head` is the log's head after it."""

    entry: Entry
    head: Head
    id_row: IdRow | None
    erasures: Sequence[Erasure]


class Repair:
    """The events of one room to be written again, oldest first, a write at a time."""

    __slots__ = ("_base", "_events", "_in_flight", "events_written")

    def __init__(self, base: Head, events: Iterable[Forgotten]) -> None:
        """`base` is what the journal has; the first event follows it, or begins the epoch that followed it."""
        self._base = base
        self._events = deque(events)
        self._in_flight = 0
        self.events_written = 0
        assert self._events, "there is something to repair"

    @property
    def events(self) -> Sequence[Forgotten]:
        """What is not written yet."""
        return list(self._events)

    def take_write(self, room: RoomName, slot: Slot, term: Term, bytes_max: int = COMMIT_ROOM_BYTES_MAX) -> Write:
        """The next write, at least one event and at most about `bytes_max`; the same again until `wrote`."""
        taken: list[Forgotten] = []
        size = 0
        for event in self._events:
            if size >= bytes_max:
                break
            taken.append(event)
            size += len(event.entry.body) + 120
        self._in_flight = len(taken)
        return Write(
            room=room,
            slot=slot,
            term=term,
            base=self._base,
            head=taken[-1].head,
            entries=[event.entry for event in taken],
            ids=[event.id_row for event in taken if event.id_row is not None],
            erasures=[erasure for event in taken for erasure in event.erasures],
            new_epoch=taken[0].head.epoch != self._base.epoch,
        )

    def wrote(self) -> bool:
        """The last write has committed; answers whether it was the last of all."""
        assert self._in_flight, "only what was taken is written"
        for _ in range(self._in_flight):
            self._base = self._events.popleft().head
        self.events_written += self._in_flight
        self._in_flight = 0
        return not self._events


def repair_of(published: Head, tail: Tail, id_rows: Mapping[int, IdRow], journal: Head) -> Repair | None:
    """How a journal whose log ends at `journal` gets to `published`; None when it cannot be got there.

    It cannot when the tail does not reach back so far, when it no longer says what a removal
    removed, or when the journal's end is none of this log.  `id_rows` are those of the log by offset.
    """
    if journal.epoch == published.epoch:
        after, chain = journal.offset, journal.chain
    elif _began_at(tail, journal):
        after, chain = 0, CHAIN_START
    else:
        return None
    if after >= published.offset or not tail.reaches(after):
        return None
    events: list[Forgotten] = []
    for item in tail.items_after(after):
        entry = entry_of(item.frame, item.digest, item.salt)
        if item.erasures is None or not _is_whole(entry):
            return None
        chain = chain_after(chain, published.epoch, entry.offset, entry.at, entry.kind, entry.digest)
        head = Head(published.epoch, entry.offset, chain, entry.at)
        events.append(Forgotten(entry, head, id_rows.get(entry.offset), item.erasures))
    return Repair(journal, events) if chain == published.chain else None


def _began_at(tail: Tail, journal: Head) -> bool:
    """Whether the log in the tail, from its first event on, follows the one that ends at `journal`."""
    first = next(tail.items_after(0), None) if tail.reaches(0) else None
    if first is None:
        return False
    entry = entry_of(first.frame, first.digest, first.salt)
    return (entry.kind, entry.id, entry.target) == (EPOCH_KIND, journal.epoch, journal.offset)


def _is_whole(entry: Entry) -> bool:
    """Whether an entry is to the byte what its digest was made of; of an erased one nothing else is left."""
    return bool(entry.removed) or entry.digest == digest_of(entry.salt, entry.author, entry.id, entry.body)


def mended(loaded: LoadedRoom | None, repair: Repair) -> LoadedRoom:
    """What the journal will have when `repair` is done, given what it has now."""
    events = repair.events
    rows = [event.id_row for event in events if event.id_row is not None]
    head = events[-1].head
    if loaded is None:
        return LoadedRoom(head, [event.entry for event in events], rows, 1)
    same_log = loaded.head.epoch == head.epoch
    tail = {entry.offset: entry for entry in loaded.tail} if same_log else {}
    for event in events:
        tail[event.entry.offset] = event.entry
        for erasure in event.erasures:
            entry = tail.get(erasure.offset)
            if entry is not None and not entry.removed:
                tail[erasure.offset] = entry.erased(erasure.reason)
    return LoadedRoom(head, list(tail.values()), [*loaded.ids, *rows], loaded.first_offset if same_log else 1)
