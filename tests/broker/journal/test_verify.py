"""A room is verified as it is read: whatever is changed in it is found, unless nothing of it is left to compare with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_

import pytest
from msgspec.structs import replace

from broker.journal.archive import BEGINNING, Anchor, EpochOutline, Portion, RoomDamaged
from broker.journal.protocol import IdRow, Row, Snapshot
from broker.journal.verify import VerifiedRoom
from broker.record import Entry, Head, chain_after
from tests.support.journal_writes import RoomWriter, row
from wire.limits import ROW_VALUE_BYTES_MAX, SNAPSHOT_BYTES_MAX
from wire.names import Epoch, RoomName, TableName

NAME = RoomName("test/room")


@dataclass
class Stored:
    """A room as a store might have it, whole or damaged."""

    epochs: Sequence[EpochOutline]
    logs: dict[Epoch, list[Entry]]
    name: RoomName = NAME
    id_rows: list[IdRow] = field(default_factory=list)
    table_rows: list[Row] = field(default_factory=list)
    rows_seq: int = 0
    snapshot: Snapshot | None = None

    def entries(self, epoch: EpochOutline) -> Iterator[Sequence[Entry]]:
        log = self.logs[epoch.head.epoch]
        for start in range(0, len(log), 3):
            yield log[start : start + 3]

    def ids(self) -> Sequence[IdRow]:
        return self.id_rows

    def rows(self) -> Iterator[Sequence[Row]]:
        for start in range(0, len(self.table_rows), 2):
            yield self.table_rows[start : start + 2]


def stored(events: int = 10, first_kept: int = 1, anchor: int | None = None) -> tuple[EpochOutline, list[Entry], list[bytes]]:
    """One epoch, of which the first entries were forgotten and the chain is known from `anchor` on, with all its chains."""
    write = RoomWriter().write(*(f"text {n}" for n in range(events)))
    chains = [BEGINNING.chain]
    for entry in write.entries:
        chains.append(chain_after(chains[-1], write.head.epoch, entry.offset, entry.at, entry.kind, entry.digest))
    anchor = first_kept - 1 if anchor is None else anchor
    return EpochOutline(write.head, first_kept, Anchor(anchor, chains[anchor])), list(write.entries[first_kept - 1 :]), chains


def read(epoch: EpochOutline, entries: list[Entry]) -> list[Portion]:
    room = VerifiedRoom(Stored([epoch], {epoch.head.epoch: entries}))
    return list(room.portions(room.epochs[0]))


@pytest.mark.parametrize(("first_kept", "anchor"), [(1, 0), (4, 3), (4, 4), (4, 6), (4, 10), (10, 9), (11, 10)])
def test_a_whole_log_is_read_with_the_chain_after_each_entry_from_where_it_is_known(first_kept: int, anchor: int) -> None:
    epoch, entries, chains = stored(10, first_kept, anchor)
    portions = read(epoch, entries)
    assert [entry for portion in portions for entry in portion.entries] == entries
    known = [chain for portion in portions for chain in portion.chains]
    assert known == [chains[e.offset] if e.offset >= anchor else b"" for e in entries]


def test_a_tombstone_stands_in_the_chain() -> None:
    epoch, entries, _ = stored()
    entries[4] = entries[4].erased("author")
    assert read(epoch, entries)[1].entries[1].removed == "author"


CHANGES: dict[str, Callable[[list[Entry]], None]] = {
    "the text": lambda log: log.__setitem__(4, replace(log[4], body=b"another")),
    "the author": lambda log: log.__setitem__(4, replace(log[4], author="bob")),
    "the id": lambda log: log.__setitem__(4, replace(log[4], id="another")),
    "the kind": lambda log: log.__setitem__(4, replace(log[4], kind="edit")),
    "the time": lambda log: log.__setitem__(4, replace(log[4], at=log[4].at + 1)),
    "the time back": lambda log: log.__setitem__(4, replace(log[4], at=1)),
    "the digest": lambda log: log.__setitem__(4, replace(log[4].erased("x"), digest=bytes(16))),
    "a gap": lambda log: log.pop(4),
    "twice": lambda log: log.insert(4, log[4]),
    "the end": lambda log: log.pop(),
    "all": lambda log: log.clear(),
    "too much": lambda log: log.append(replace(log[-1], offset=log[-1].offset + 1)),
    "half erased": lambda log: log.__setitem__(4, replace(log[4], removed="author")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_was_changed_is_found(change: str) -> None:
    epoch, entries, _ = stored()
    CHANGES[change](entries)
    with pytest.raises(RoomDamaged, match="room test/room is damaged: epoch epoch-a"):
        read(epoch, entries)


@pytest.mark.parametrize("change", ["the text", "a gap", "the end", "the time back"])
def test_before_the_chain_is_known_content_and_order_are_verified(change: str) -> None:
    epoch, entries, _ = stored(12, 3, 12)
    CHANGES[change](entries)
    with pytest.raises(RoomDamaged):
        read(epoch, entries)


def test_a_head_of_another_log_is_found() -> None:
    epoch, entries, _ = stored()
    for head in (
        with_(epoch.head, chain=bytes(16)),
        with_(epoch.head, at=epoch.head.at + 1),
        with_(epoch.head, offset=9),
        with_(epoch.head, epoch=Epoch("epoch-b")),
    ):
        with pytest.raises(RoomDamaged):
            read(with_(epoch, head=head), entries)


def outline(offset: int, first_kept: int, anchor: Anchor, chain: bytes = bytes(16)) -> EpochOutline:
    return EpochOutline(Head(Epoch("epoch-a"), offset, chain, 1), first_kept, anchor)


@pytest.mark.parametrize(
    "epochs",
    [
        [],
        [outline(0, 1, BEGINNING)],
        [outline(5, 7, Anchor(6, bytes(16)))],
        [outline(5, 0, BEGINNING)],
        [outline(5, 1, BEGINNING, b"short")],
        [outline(5, 1, Anchor(0, b"x" * 16))],
        [outline(5, 1, Anchor(1, bytes(16)))],
        [outline(5, 3, Anchor(1, bytes(16)))],
        [outline(5, 3, Anchor(6, bytes(16)))],
        [outline(5, 3, Anchor(2, b"short"))],
        [outline(5, 1, BEGINNING), outline(6, 1, BEGINNING)],
    ],
)
def test_outlines_that_cannot_be_true_are_refused_before_anything_is_read(epochs: list[EpochOutline]) -> None:
    with pytest.raises(RoomDamaged):
        VerifiedRoom(Stored(epochs, {}))


def test_who_asks_is_told_how_many_events_were_verified() -> None:
    epoch, entries, _ = stored(7)
    heard: list[int] = []
    id_row = IdRow("ann", "id", 1, 1, b"")
    room = VerifiedRoom(Stored([epoch], {epoch.head.epoch: entries}, id_rows=[id_row]), heard.append)
    list(room.portions(epoch))
    assert heard == [3, 3, 1]
    assert list(room.ids()) == [id_row]


def test_tables_in_order_are_whole() -> None:
    epoch, entries, _ = stored(3)
    rows = [row("ann", "x", "a"), row("zoe", "", "a"), row("ann", "y", "b"), row("bob", "z", "b"), row("cem", "z", "b")]
    room = VerifiedRoom(Stored([epoch], {epoch.head.epoch: entries}, table_rows=rows, rows_seq=1, snapshot=Snapshot(3, b"state")))
    assert [each for portion in room.rows() for each in portion] == rows
    assert (room.rows_seq, room.snapshot) == (1, Snapshot(3, b"state"))


@pytest.mark.parametrize(
    ("rows", "rows_seq", "sentence"),
    [
        ([row("ann", "x")], 0, "was never written to"),
        ([], -1, "written to -1 times"),
        ([row("bob", "x"), row("ann", "x")], 1, "out of order"),
        ([row("ann", "x"), row("ann", "x")], 1, "out of order"),
        ([row("ann", "x", "b"), row("bob", "x", "a")], 1, "out of order"),
        ([row("ann", None)], 1, "no write can have"),
        ([row("a\0b", "x")], 1, "no write can have"),
        ([Row(TableName("No"), "ann", b"")], 1, "no write can have"),
        ([row("ann", "x" * (ROW_VALUE_BYTES_MAX + 1))], 1, "no write can have"),
    ],
)
def test_rows_that_no_write_can_have_are_found(rows: list[Row], rows_seq: int, sentence: str) -> None:
    epoch, entries, _ = stored(3)
    room = VerifiedRoom(Stored([epoch], {epoch.head.epoch: entries}, table_rows=rows, rows_seq=rows_seq))
    with pytest.raises(RoomDamaged, match=sentence):
        list(room.rows())


@pytest.mark.parametrize("snapshot", [Snapshot(0, b""), Snapshot(4, b""), Snapshot(1, bytes(SNAPSHOT_BYTES_MAX + 1))])
def test_a_snapshot_of_another_log_is_found(snapshot: Snapshot) -> None:
    epoch, entries, _ = stored(3)
    with pytest.raises(RoomDamaged, match="its snapshot is of offset"):
        VerifiedRoom(Stored([epoch], {epoch.head.epoch: entries}, snapshot=snapshot))
