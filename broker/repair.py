"""What a journal has forgotten of a room's log and tables, as the writes that bring it back.

A store that fails over may lose its newest writes.  The shard still has them, as far back as
the room's tail reaches.  They are written again exactly as they were, same offsets, times,
digests and chain, with their ids and removals, so that nobody notices.  Whether the journal's
end lies on this log is not remembered but computed: the tail's events, chained onto it, must
give the published head.  Rows come with the last event of the write that they were in.  Pure.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from broker.journal.protocol import Erasure, IdRow, LoadedRoom, Row, Snapshot, Write
from broker.record import CHAIN_START, EPOCH_KIND, Entry, Head, chain_after, digest_of
from broker.room_tables import WrittenRows
from broker.tail import Tail
from wire.limits import COMMIT_ROOM_BYTES_MAX, ROWS_PER_WRITE_MAX
from wire.names import Epoch, RoomName, Slot, TableName, Term


class Forgotten(Struct, frozen=True):
    """One event that the journal does not have; `head` is the log's head after it."""

    entry: Entry
    head: Head
    id_row: IdRow | None
    erasures: Sequence[Erasure]


class Repair:
    """The events and rows of one room to be written again, oldest first, a write at a time."""

    __slots__ = ("_base", "_events", "_in_flight", "_rows", "_rows_base", "_rows_in_flight", "_snapshot", "events_written")

    def __init__(
        self, base: Head, events: Iterable[Forgotten],
        rows: Iterable[WrittenRows] = (), rows_base: int = 0, snapshot: Snapshot | None = None,
    ) -> None:  # fmt: skip
        """`base` and `rows_base` are what the journal has; the first event follows it, or begins the epoch that followed it."""
        self._base = base
        self._events = deque(events)
        self._rows = deque(rows)
        self._rows_base = rows_base
        self._snapshot = snapshot
        """The room's newest; the last write brings it."""
        self._in_flight = 0
        self._rows_in_flight = 0
        self.events_written = 0
        assert self._events or self._rows, "there is something to repair"

    @property
    def events(self) -> Sequence[Forgotten]:
        """What is not written yet."""
        return list(self._events)

    @property
    def head(self) -> Head:
        """The log's head when all of it is written."""
        return self._events[-1].head if self._events else self._base

    @property
    def rows_seq(self) -> int:
        """The sequence of its tables, likewise."""
        return self._rows[-1].seq if self._rows else self._rows_base

    @property
    def snapshot(self) -> Snapshot | None:
        return self._snapshot

    def take_write(self, room: RoomName, slot: Slot, term: Term, bytes_max: int = COMMIT_ROOM_BYTES_MAX) -> Write:
        """The next write, at most about `bytes_max` and one of each; the same again until `wrote`."""
        taken: list[Forgotten] = []
        rows = _TakenRows(self._rows, self.head.epoch)
        size = 0
        has_space = rows.take_upto(self._base, bytes_max)
        for event in self._events:
            if not has_space or size + rows.size >= bytes_max or not rows.has_space_with(event.head):
                break
            taken.append(event)
            size += len(event.entry.body) + 120
            has_space = rows.take_upto(event.head, bytes_max - size)
        self._in_flight, self._rows_in_flight = len(taken), rows.count
        is_last = len(taken) == len(self._events) and rows.count == len(self._rows)
        return Write(
            room=room,
            slot=slot,
            term=term,
            base=self._base,
            head=taken[-1].head if taken else self._base,
            entries=[event.entry for event in taken],
            ids=[event.id_row for event in taken if event.id_row is not None],
            erasures=[erasure for event in taken for erasure in event.erasures],
            new_epoch=bool(taken) and taken[0].head.epoch != self._base.epoch,
            rows=list(rows.latest.values()),
            rows_base=self._rows_base,
            rows_seq=rows.seq or self._rows_base,
            snapshot=self._snapshot if is_last else None,
        )

    def wrote(self) -> bool:
        """The last write has committed; answers whether it was the last of all."""
        assert self._in_flight or self._rows_in_flight, "only what was taken is written"
        for _ in range(self._in_flight):
            self._base = self._events.popleft().head
        for _ in range(self._rows_in_flight):
            self._rows_base = self._rows.popleft().seq
        self.events_written += self._in_flight
        self._in_flight = self._rows_in_flight = 0
        return not self._events and not self._rows


class _TakenRows:
    """Rows of some of the next writes, on their way into one; `seq` is the last one's."""

    __slots__ = ("_newest", "_waiting", "count", "latest", "seq", "size")

    def __init__(self, waiting: Sequence[WrittenRows], newest: Epoch) -> None:
        self._waiting = waiting
        self._newest = newest
        self.latest: dict[tuple[TableName, str], Row] = {}
        self.count = 0
        self.seq = 0
        self.size = 0

    def take_upto(self, head: Head, bytes_max: int) -> bool:
        """Take what was written until the log stood at `head`; answers whether that was all of it."""
        while (written := self._next()) is not None and not self._is_after(written.head, head):
            if self.count and (not self._fits(written) or self.size >= bytes_max):
                return False
            self.latest |= {(row.table, row.key): row for row in written.rows}
            self.count += 1
            self.seq = written.seq
            self.size += written.size
        return True

    def has_space_with(self, head: Head) -> bool:
        """Whether the rows of the write that led to `head` can come with its last event."""
        written = self._next()
        return not self.count or written is None or written.head != head or self._fits(written)

    def _fits(self, written: WrittenRows) -> bool:
        return len(self.latest) + len(written.rows) <= ROWS_PER_WRITE_MAX

    def _is_after(self, later: Head, head: Head) -> bool:
        return later.offset > head.offset if later.epoch == head.epoch else later.epoch == self._newest

    def _next(self) -> WrittenRows | None:
        return self._waiting[self.count] if self.count < len(self._waiting) else None


def repair_of(
    published: Head, tail: Tail, id_rows: Mapping[int, IdRow], journal: Head,
    rows: Sequence[WrittenRows] = (), rows_seq: int = 0, snapshot: Snapshot | None = None,
) -> Repair | None:  # fmt: skip
    """How a journal whose log ends at `journal` gets to `published`; None when it cannot be got there, or is there.

    `rows` are the writes of rows that it lacks, `rows_seq` is the sequence after them, `snapshot` the newest.

    It cannot when the tail does not reach back so far, when it no longer says what a removal
    removed, or when the journal's end is none of this log.  `id_rows` are those of the log by offset.
    """
    events: Sequence[Forgotten] = ()
    if (journal.epoch, journal.offset, journal.chain) != (published.epoch, published.offset, published.chain):
        forgotten = _forgotten(published, tail, id_rows, journal)
        if forgotten is None:
            return None
        events = forgotten
    if not events and not rows:
        return None
    return Repair(journal, events, rows, rows[0].seq - 1 if rows else rows_seq, snapshot)


def _forgotten(published: Head, tail: Tail, id_rows: Mapping[int, IdRow], journal: Head) -> list[Forgotten] | None:
    """The events from the journal's end to the published one; None when they are not all here, or no way leads there."""
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
        entry = item.entry
        if item.erasures is None or not _is_whole(entry):
            return None
        chain = chain_after(chain, published.epoch, entry.offset, entry.at, entry.kind, entry.digest)
        head = Head(published.epoch, entry.offset, chain, entry.at)
        events.append(Forgotten(entry, head, id_rows.get(entry.offset), item.erasures))
    return events if chain == published.chain else None


def _began_at(tail: Tail, journal: Head) -> bool:
    """Whether the log in the tail, from its first event on, follows the one that ends at `journal`."""
    first = next(tail.items_after(0), None) if tail.reaches(0) else None
    if first is None:
        return False
    entry = first.entry
    return (entry.kind, entry.id, entry.target) == (EPOCH_KIND, journal.epoch, journal.offset)


def _is_whole(entry: Entry) -> bool:
    """Whether an entry is to the byte what its digest was made of; of an erased one nothing else is left."""
    return bool(entry.removed) or entry.digest == digest_of(entry.salt, entry.author, entry.id, entry.body)


def mended(loaded: LoadedRoom | None, repair: Repair) -> LoadedRoom:
    """What the journal will have when `repair` is done, given what it has now."""
    events, head = repair.events, repair.head
    rows = [event.id_row for event in events if event.id_row is not None]
    if loaded is None:
        entries = [event.entry for event in events]
        return LoadedRoom(head, entries, rows, 1, rows_seq=repair.rows_seq, snapshot=repair.snapshot)
    same_log = loaded.head.epoch == head.epoch
    tail = {entry.offset: entry for entry in loaded.tail} if same_log else {}
    for event in events:
        tail[event.entry.offset] = event.entry
        for erasure in event.erasures:
            entry = tail.get(erasure.offset)
            if entry is not None and not entry.removed:
                tail[erasure.offset] = entry.erased(erasure.reason)
    return LoadedRoom(
        head, list(tail.values()), [*loaded.ids, *rows], loaded.first_offset if same_log else 1,
        rows_seq=repair.rows_seq, snapshot=repair.snapshot or (loaded.snapshot if same_log else None),
    )  # fmt: skip
