"""Making a room from what the journal has, and judging whether that is still the log that was published."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from broker.epoch import first_epoch
from broker.journal.protocol import IdRow, LoadedRoom
from broker.record import CHAIN_START, EPOCH_KIND, Entry, Head, chain_after
from broker.repair import Repair, mended
from broker.room import Room
from wire.names import Epoch, RoomName


def room_of(name: RoomName, loaded: LoadedRoom | None, store_id: str) -> Room:
    """The room as the journal has it; None: never written, so it has its first epoch and nothing else."""
    if loaded is None:
        return Room(name, Head(first_epoch(store_id, name), 0, CHAIN_START, 0), tail_from=1)
    head, tail = loaded.head, loaded.tail
    tail_from = tail[0].offset if tail else head.offset + 1
    room = Room(name, head, tail_from=tail_from, first_kept=loaded.first_offset, rows_seq=loaded.rows_seq)
    for entry, chain in zip(tail, _chains(head, tail), strict=True):
        room.restore(entry, chain)
    began = tail[0] if tail and tail[0].kind == EPOCH_KIND else None
    if began is not None:
        room.remember_past([Epoch(began.id)])
    rows = list(_latest(loaded.ids))
    newer = len(rows) if began is None else _count_since(began, head, rows)
    for index, row in enumerate(rows, newer - len(rows)):
        # Ids outlive their epoch in the journal.  Those from before the event that began this
        # one belong to the log it names.
        room.restore_id(row, Epoch(began.id) if began is not None and index < 0 else head.epoch)
    return room


class Arrived(Struct, frozen=True):
    """A room as it comes from the journal.

    `continues`: readers can go on where they are, because the journal has what was published
    before, or will have it once `repair` is written.
    """

    room: Room
    continues: bool = True
    repair: Repair | None = None


def arrive(name: RoomName, loaded: LoadedRoom | None, store_id: str, before: Room | None) -> Arrived:
    """The room for the first time, or again after `before`, which is suspended and so stands still."""
    room = room_of(name, loaded, store_id)
    if before is None:
        return Arrived(room)
    continued = continues(before.head, loaded) and room.tables.seq >= before.tables.seq
    repair = None if continued else before.repair_from(room.head, room.tables.seq)
    if repair is not None:
        room = room_of(name, mended(loaded, repair), store_id)
    room.tables.remember(before.tables)
    room.remember_past_of(before)
    return Arrived(room, continued or repair is not None, repair)


def _count_since(began: Entry, head: Head, rows: Sequence[IdRow]) -> int:
    """How many of the newest ids are of the log that `began` begins.

    Time alone does not tell: the last events of the old log may be of the same millisecond.
    But offsets rise within a log, and its first one has no id.
    """
    count, next_offset = 0, head.offset + 1
    for row in reversed(rows):
        if row.at < began.at or not began.offset < row.offset < next_offset:
            break
        count, next_offset = count + 1, row.offset
    return count


def _latest(rows: Sequence[IdRow]) -> Iterable[IdRow]:
    """Each id once.  One that was used again after its window has two rows in the journal, and the later counts."""
    latest: dict[tuple[str, str], IdRow] = {}
    for row in rows:
        latest.pop((row.author, row.id), None)
        latest[row.author, row.id] = row
    return latest.values()


def _chains(head: Head, tail: Sequence[Entry]) -> Iterator[bytes]:
    """The chain after each entry: known from the log's beginning, else only at its end."""
    if tail and tail[0].offset == 1:
        yield from _chains_from(CHAIN_START, head, tail)
        return
    for entry in tail:
        yield head.chain if entry.offset == head.offset else b""


def _chains_from(chain: bytes, head: Head, entries: Sequence[Entry]) -> Iterator[bytes]:
    for entry in entries:
        chain = chain_after(chain, head.epoch, entry.offset, entry.at, entry.kind, entry.digest)
        yield chain


def continues(published: Head, loaded: LoadedRoom | None) -> bool:
    """Whether the journal's log has `published` in it: the same epoch, no shorter, and the same content up to there.

    A log whose tail does not reach back to `published` cannot be judged, and counts as
    another one: readers are told, and nothing is lost.
    """
    if loaded is None:
        return published.offset == 0
    head = loaded.head
    if head.epoch != published.epoch or head.offset < published.offset:
        return False
    # Every write fits into a tail (Room.take_write), so what one unknown outcome added is all here.
    later = [entry for entry in loaded.tail if entry.offset > published.offset]
    if len(later) != head.offset - published.offset:
        return False
    chain = published.chain
    for chain in _chains_from(published.chain, head, later):  # noqa: B007 - the last one is the answer
        pass
    return chain == head.chain
