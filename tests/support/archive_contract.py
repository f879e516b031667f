"""What every engine's archive promises: one suite for reading a whole journal and filling one."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from itertools import count

import pytest
from msgspec.structs import replace

from broker.journal.archive import PORTION_ENTRIES, PORTION_ROWS, CheckedRoom, RoomDamaged, Source, Target, Unfinished
from broker.journal.fill import SourceInUse, Tally, TargetRefused, copy_journal, fill, prepare
from broker.journal.memory import MemoryJournal, MemoryStore
from broker.journal.memory_archive import MemorySource, MemoryTarget
from broker.journal.protocol import CommitVerdict, Erasure, IdRow, Journal, JournalCorrupt, Row, Snapshot, StaleMap
from broker.journal.verify import VerifiedRoom
from broker.record import Entry, Head
from broker.restored import RestoredRoom
from shard_router.slots import slot_of
from tests.support.journal_writes import START_MS, RoomWriter, row, tables_in
from wire.names import Epoch, RoomName, Slot, Term

ROOMS = ("test/a", "test/b", "test/c", "other/d")
COMMITTED, FENCED = CommitVerdict.COMMITTED, CommitVerdict.FENCED
Shown = tuple[Head, list[Entry], list[IdRow], int, list[list[Entry]], int, Snapshot | None, dict[str, dict[str, str]]]


class Store(ABC):
    """One store of the engine under test, and the ways into it; what it opens it closes by itself."""

    @abstractmethod
    def journal(self) -> Journal: ...

    @abstractmethod
    def source(self) -> Source: ...

    @abstractmethod
    def target(self) -> Target: ...


Make = Callable[[], Store]


class ModelStore(Store):
    """The store that the others are compared with."""

    _numbers = count()

    def __init__(self) -> None:
        self.store = MemoryStore(f"model-{next(self._numbers)}")

    def journal(self) -> Journal:
        return MemoryJournal("", self.store)

    def source(self) -> Source:
        return MemorySource(self.store)

    def target(self) -> Target:
        return MemoryTarget(self.store)


def quiet(_: Tally) -> None:
    """No progress to show."""


def copy(source: Store, target: Store, *, anew: bool = False) -> Tally:
    return copy_journal(source.journal(), source.source(), target.target(), anew=anew, on_progress=quiet)


class Life:
    """Shards at work on a journal: any history of commits, erasures, ended epochs and retention, by a seed.

    A deep copy of it does the same to another journal.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._epochs = 0
        self.writers = [RoomWriter(room, slot=slot_of(RoomName(room)), seed=str(seed)) for room in ROOMS]

    def claim(self, journal: Journal, map_version: int) -> None:
        terms = journal.claim([writer.slot for writer in self.writers], map_version, "shard-1")
        for writer in self.writers:
            writer.term = terms[writer.slot]

    def go_on(self, journal: Journal, steps: int) -> None:
        rng = self._random
        for _ in range(steps):
            writer = rng.choice(self.writers)
            offset = writer.head.offset
            texts = [f"text {rng.random()}" for _ in range(rng.choice((1, 1, 2, 5, 70)))]
            erasures: list[Erasure] = []
            new_epoch = None
            match rng.choice(("say", "say", "say", "erase", "end", "retain")):
                case "erase" if offset:
                    erasures = [Erasure(rng.randint(1, offset), "author")]
                case "end" if offset:
                    self._epochs += 1
                    new_epoch = f"epoch-{self._epochs}"
                case "retain":
                    ids_before_ms, entries_before_ms = (START_MS + rng.randint(0, 400) for _ in range(2))
                    keep_after, by_age = rng.choice(((rng.randint(0, offset), 0), (0, entries_before_ms)))
                    journal.retain(writer.room, keep_after, ids_before_ms, rng.randint(1, 30), by_age)
            rows, snapshot = self._tables_of(rng, writer, offset, len(texts), new_epoch)
            outcome = writer.commit(journal, *texts, erasures=erasures, new_epoch=new_epoch, rows=rows, snapshot=snapshot)
            assert outcome.verdict is COMMITTED

    @staticmethod
    def _tables_of(
        rng: random.Random, writer: RoomWriter, offset: int, texts: int, new_epoch: str | None
    ) -> tuple[list[Row], Snapshot | None]:
        """Some rows put and some deleted, and now and then a snapshot."""
        people = rng.sample(range(40), rng.choice((0, 0, 1, 5, 20)))
        values = [None if rng.random() < 0.3 else f"{rng.random()}" for _ in people]
        rows = [row(f"person-{n}", value, rng.choice(("votes", "supporters"))) for n, value in zip(people, values, strict=True)]
        last = texts if new_epoch else offset + texts
        return rows, Snapshot(rng.randint(1, last), rng.randbytes(20)) if rng.random() < 0.2 else None

    def shown(self, journal: Journal) -> dict[RoomName, Shown]:
        """All that a journal shows of its rooms."""
        epochs = [Epoch("epoch-a"), *(Epoch(f"epoch-{n + 1}") for n in range(self._epochs))]
        rooms = {}
        for name in map(RoomName, ROOMS):
            room = journal.load(name, 100_000, 1 << 30, 0, 0)
            if room is not None:
                logs = [list(journal.read(name, epoch, 0, 100_000)) for epoch in epochs]
                tables = tables_in(journal, name)
                log = (room.head, list(room.tail), list(room.ids), room.first_offset, logs)
                rooms[name] = (*log, room.rows_seq, room.snapshot, tables)
        return rooms


def heads(source: Source) -> dict[RoomName, list[tuple[Head, int]]]:
    """The epochs of every room, oldest first, with what is kept of each."""
    return {room.name: [(epoch.head, epoch.first_kept) for epoch in room.epochs] for room in source.rooms()}


class CutTarget:
    """A target whose process is ended when it is about to put one room more than `rooms`."""

    def __init__(self, target: Target, rooms: int) -> None:
        self._target = target
        self._left = rooms
        self.name = target.name
        self.unfinished, self.has_rooms, self.has = target.unfinished, target.has_rooms, target.has
        self.begin, self.clear, self.finish, self.close = target.begin, target.clear, target.finish, target.close

    def put(self, room: CheckedRoom) -> None:
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        self._target.put(room)


def cut_copy(source: Store, target: Store, rooms: int) -> None:
    """A copy that is cut when it has put `rooms`."""
    with pytest.raises(KeyboardInterrupt):
        copy_journal(source.journal(), source.source(), CutTarget(target.target(), rooms), anew=False, on_progress=quiet)


def lived(store: Store, seed: int = 1, steps: int = 60) -> Life:
    """A store with a life behind it, in all its rooms."""
    life = Life(seed)
    journal = store.journal()
    life.claim(journal, 1)
    for writer in life.writers:
        writer.commit(journal, "first")
    life.go_on(journal, steps)
    return life


class ArchiveContract:
    """Subclasses give `make`: a fixture whose value makes a new store of the engine, empty."""

    @pytest.mark.parametrize("seed", range(8))
    def test_a_copy_shows_the_same_rooms_and_goes_on_the_same(self, make: Make, seed: int) -> None:
        one, other = make(), make()
        life = lived(one, seed)
        before = life.shown(one.journal())
        tally = copy(one, other)
        assert (tally.rooms, tally.rooms_there) == (len(ROOMS), 0)
        assert tally.events == sum(len(log) for room in before.values() for log in room[4])
        assert life.shown(one.journal()) == before
        assert life.shown(other.journal()) == before
        assert heads(other.source()) == heads(one.source())
        assert other.journal().store_id == one.journal().store_id
        # Whatever is done to both from now on, they go on showing the same.
        twin = deepcopy(life)
        for each, journal in ((life, one.journal()), (twin, other.journal())):
            each.claim(journal, 99)
            each.go_on(journal, 60)
        assert life.shown(one.journal()) == twin.shown(other.journal()) != before

    @pytest.mark.parametrize("seed", range(4))
    def test_there_and_back_through_the_model_nothing_is_lost(self, make: Make, seed: int) -> None:
        one, other, model = make(), make(), ModelStore()
        life = lived(one, seed)
        before, heads_before = life.shown(one.journal()), heads(one.source())
        copy(one, model)
        assert life.shown(model.journal()) == before
        copy(model, other)
        assert life.shown(other.journal()) == before
        assert heads(other.source()) == heads_before

    def test_an_empty_journal_is_copied_too_and_keeps_its_name(self, make: Make) -> None:
        one, other = make(), make()
        assert copy(one, other).rooms == 0
        assert other.journal().store_id == one.journal().store_id

    def test_who_still_runs_on_the_old_one_is_fenced_and_claims_in_the_new_one_go_on_above(self, make: Make) -> None:
        one, other = make(), make()
        life = lived(one)
        copy(one, other)
        writer = life.writers[0]
        assert writer.commit(one.journal(), "too late").verdict is FENCED
        assert writer.commit(other.journal(), "nor here").verdict is FENCED
        assert other.journal().newest_map_version() == one.journal().newest_map_version() == 2
        with pytest.raises(StaleMap):
            other.journal().claim([writer.slot], 1, "shard-1")
        assert other.journal().claim([writer.slot], 2, "shard-1") == {writer.slot: Term(writer.term + 2)}

    def test_a_shard_that_claims_during_the_copy_spoils_it(self, make: Make) -> None:
        one, other = make(), make()
        lived(one)

        def claim(_: Tally) -> None:
            one.journal().claim([Slot(4095)], 99, "shard-9")

        with pytest.raises(SourceInUse):
            copy_journal(one.journal(), one.source(), other.target(), anew=False, on_progress=claim)
        with pytest.raises(JournalCorrupt, match="copy into it was not finished"):
            other.journal()

    # --- cut and repeated ---------------------------------------------------------------------

    def test_a_copy_that_was_cut_opens_for_nobody_and_goes_on_where_it_was(self, make: Make) -> None:
        one, other = make(), make()
        life = lived(one)
        before = life.shown(one.journal())
        for rooms in (2, 1):
            cut_copy(one, other, rooms)
            with pytest.raises(JournalCorrupt, match="copy into it was not finished"):
                other.journal()
        tally = copy(one, other)
        assert (tally.rooms, tally.rooms_there) == (1, 3)
        assert life.shown(other.journal()) == before
        # It was fenced once: a copy that goes on does not need another slot map.
        assert other.journal().newest_map_version() == 2

    def test_what_was_written_between_two_tries_is_in_the_copy(self, make: Make) -> None:
        one, other = make(), make()
        life = lived(one)
        cut_copy(one, other, 3)
        life.claim(one.journal(), 5)
        life.go_on(one.journal(), 30)
        before = life.shown(one.journal())
        assert copy(one, other).rooms_there == 0
        assert life.shown(other.journal()) == before

    def test_a_journal_that_is_not_empty_is_left_as_it_is(self, make: Make) -> None:
        one, other = make(), make()
        lived(one)
        life = lived(other, 2)
        before, standing = life.shown(other.journal()), one.source().standing()
        for anew in (False, True):
            with pytest.raises(TargetRefused, match="not empty"):
                copy(one, other, anew=anew)
        assert life.shown(other.journal()) == before
        assert one.source().standing() == standing

    def test_a_finished_copy_is_not_copied_over(self, make: Make) -> None:
        one, other = make(), make()
        life = lived(one)
        copy(one, other)
        before = life.shown(other.journal())
        with pytest.raises(TargetRefused):
            copy(one, other)
        assert life.shown(other.journal()) == before

    def test_the_unfinished_copy_of_another_is_thrown_away_only_on_demand(self, make: Make) -> None:
        one, two, other = make(), make(), make()
        lived(one)
        life = lived(two, 2)
        cut_copy(one, other, 2)
        with pytest.raises(TargetRefused, match="unfinished copy from elsewhere"):
            copy(two, other)
        copy(two, other, anew=True)
        assert life.shown(other.journal()) == life.shown(two.journal())

    def test_a_room_that_turns_out_damaged_leaves_nothing_of_itself(self, make: Make) -> None:
        one, other = make(), ModelStore()
        life = lived(one)
        copy(one, other)
        room = other.store.rooms[RoomName("test/b")]
        log = room.logs[room.head.epoch]
        whole = log.entries[-1]
        # Not its kind: of a log whose beginning was forgotten, Redis knows digests alone.
        log.entries[-1] = replace(whole, body=b"another")
        third = make()
        with pytest.raises(RoomDamaged, match="room test/b is damaged"):
            copy(other, third)
        with pytest.raises(JournalCorrupt):
            third.journal()
        assert [name for name in ROOMS if third.target().has(RoomName(name))] == ["test/a", "other/d"]
        log.entries[-1] = whole
        assert copy(other, third).rooms_there == 2
        assert life.shown(third.journal()) == life.shown(other.journal())

    def test_a_store_that_was_used_and_is_empty_is_filled_and_its_shards_are_fenced(self, make: Make) -> None:
        one, other = make(), make()
        lived(one)
        slot = slot_of(RoomName("test/new"))
        for _ in range(5):
            term = other.journal().claim([slot], 7, "shard-1")[slot]
        copy(one, other)
        assert RoomWriter("test/new", slot=slot, term=term).commit(other.journal(), "late").verdict is FENCED
        assert other.journal().newest_map_version() >= 7

    # --- reading ------------------------------------------------------------------------------

    def test_the_extent_is_told_before(self, make: Make) -> None:
        one = make()
        life = lived(one)
        extent = one.source().extent()
        if extent.rooms is not None:
            assert extent.rooms == len(ROOMS)
        if extent.events is not None:
            assert extent.events == sum(len(log) for room in life.shown(one.journal()).values() for log in room[4])

    def test_a_room_that_is_written_to_while_it_is_read_is_read_whole(self, make: Make) -> None:
        one = make()
        journal = one.journal()
        life = Life(1)
        life.claim(journal, 1)
        for writer in life.writers:
            writer.commit(journal, *["text"] * (2 * PORTION_ENTRIES + 3))
        for reading in one.source().rooms():
            room = VerifiedRoom(reading)
            (epoch,) = room.epochs
            seen = 0
            for portion in room.portions(epoch):
                seen += len(portion.entries)
                assert len(portion.entries) <= PORTION_ENTRIES
                for writer in life.writers:
                    writer.commit(journal, "meanwhile")
            assert seen == epoch.head.offset >= 2 * PORTION_ENTRIES + 3
            assert room.ids()[: 5] != []

    def test_a_room_with_more_rows_than_a_portion_is_copied_whole(self, make: Make) -> None:
        one, other = make(), make()
        life = lived(one, steps=0)
        writer = life.writers[0]
        for start in range(0, PORTION_ROWS + 500, 500):
            writer.commit(one.journal(), rows=[row(f"person-{start + n}", "x" * (n % 9)) for n in range(500)])
        writer.commit(one.journal(), rows=[row("person-0", "y", table) for table in ("a", "supporters", "z")])
        copy(one, other)
        shown = tables_in(other.journal(), writer.room, "votes", "a", "supporters", "z")
        assert shown == tables_in(one.journal(), writer.room, "votes", "a", "supporters", "z")
        assert [len(rows) for rows in shown.values()] == [PORTION_ROWS + 500, 1, 1, 1]
        (reading,) = (room for room in other.source().rooms() if room.name == writer.room)
        assert max(len(rows) for rows in VerifiedRoom(reading).rows()) <= PORTION_ROWS

    # --- restoring ----------------------------------------------------------------------------

    def test_a_restored_room_goes_on_in_a_new_epoch_that_names_the_old_one(self, make: Make) -> None:
        one, other = make(), make()
        life = lived(one)
        before = life.shown(one.journal())
        target = other.target()
        prepare(target, Unfinished("restore", "file", ""), anew=False)
        now = START_MS + 10_000_000
        rooms = (RestoredRoom(room, Epoch(f"new-{room.name}"), now, b"s" * 16) for room in one.source().rooms())
        fill(target, rooms, quiet)
        target.finish("store-new", one.source().standing())
        journal = other.journal()
        assert journal.store_id == "store-new"
        after = life.shown(journal)
        for name, room in before.items():
            head, tail, ids, first, logs, *tables = after[name]
            (event,) = tail
            assert (head.epoch, head.offset, first) == (f"new-{name}", 1, 1)
            assert (event.kind, event.id, event.target, event.at) == ("epoch", room[0].epoch, room[0].offset, now)
            assert (ids, logs) == (room[2], room[4])
            assert tables == [room[5], None, room[7]], "tables go on, a snapshot ends with its epoch"
        writer = life.writers[0]
        life.claim(journal, 2)
        writer.head = after[writer.room][0]
        assert writer.commit(journal, "after").verdict is COMMITTED
