"""A room is verified as it is read: whatever is changed in it is found, unless nothing of it is left to compare with."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_

import pytest
from msgspec.structs import replace

from broker.journal.archive import BEGINNING, Anchor, EpochOutline, Portion, RoomDamaged
from broker.journal.protocol import IdRow
from broker.journal.verify import VerifiedRoom
from broker.record import Entry, Head, chain_after
from tests.support.journal_writes import RoomWriter
from wire.names import Epoch, RoomName

NAME = RoomName("test/room")


@dataclass
class Stored:
    """A room as a store might have it, whole or damaged."""

    epochs: Sequence[EpochOutline]
    logs: dict[Epoch, list[Entry]]
    name: RoomName = NAME
    rows: list[IdRow] = field(default_factory=list)

    def entries(self, epoch: EpochOutline) -> Iterator[Sequence[Entry]]:
        log = self.logs[epoch.head.epoch]
        for start in range(0, len(log), 3):
            yield log[start : start + 3]

    def ids(self) -> Sequence[IdRow]:
        return self.rows


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
    row = IdRow("ann", "id", 1, 1, b"")
    room = VerifiedRoom(Stored([epoch], {epoch.head.epoch: entries}, rows=[row]), heard.append)
    list(room.portions(epoch))
    assert heard == [3, 3, 1]
    assert list(room.ids()) == [row]
