"""What every journal promises: one suite, run on each engine by a subclass that says how to open it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from broker.journal.protocol import CommitVerdict, Erasure, Journal, StaleMap
from broker.record import CHAIN_START, Head
from tests.support.journal_retention_contract import RetentionContract
from tests.support.journal_snapshot_contract import SnapshotContract
from tests.support.journal_tables_contract import TablesContract
from tests.support.journal_writes import START_MS, RoomWriter, loaded, verified_chain
from wire.names import Epoch, RoomName, Slot, Term

COMMITTED, FENCED = CommitVerdict.COMMITTED, CommitVerdict.FENCED
BEHIND, DIVERGED = CommitVerdict.BEHIND, CommitVerdict.DIVERGED

Reopen = Callable[[], Journal]


class JournalContract(RetentionContract, TablesContract, SnapshotContract):
    """Subclasses give `reopen`: a fixture whose value opens the same store again, closing what it opened before."""

    @pytest.fixture
    def journal(self, reopen: Reopen) -> Iterator[Journal]:
        journal = reopen()
        journal.claim([Slot(7)], 1, "shard-1")
        return journal

    # --- terms ------------------------------------------------------------------------

    def test_every_claim_raises_the_terms_of_its_slots_by_one(self, reopen: Reopen) -> None:
        journal = reopen()
        assert journal.claim([Slot(1), Slot(2)], 1, "shard-1") == {Slot(1): Term(1), Slot(2): Term(1)}
        assert journal.claim([Slot(2), Slot(4095)], 1, "shard-2") == {Slot(2): Term(2), Slot(4095): Term(1)}

    def test_a_slot_named_twice_in_one_claim_is_claimed_once(self, reopen: Reopen) -> None:
        assert reopen().claim([Slot(1), Slot(1)], 1, "shard-1") == {Slot(1): Term(1)}

    def test_all_slots_may_be_claimed_in_one_call(self, reopen: Reopen) -> None:
        slots = [Slot(n) for n in range(4096)]
        assert reopen().claim(slots, 1, "shard-1") == dict.fromkeys(slots, Term(1))

    def test_a_claim_under_an_older_map_is_refused_and_changes_nothing(self, reopen: Reopen) -> None:
        journal = reopen()
        assert journal.newest_map_version() == 0
        journal.claim([Slot(1)], 5, "shard-1")
        with pytest.raises(StaleMap) as refused:
            journal.claim([Slot(1)], 4, "shard-2")
        assert (refused.value.asked, refused.value.newest) == (4, 5)
        assert journal.newest_map_version() == 5
        assert journal.claim([Slot(1)], 5, "shard-1") == {Slot(1): Term(2)}

    def test_a_writer_whose_slot_was_claimed_by_another_is_fenced(self, journal: Journal) -> None:
        writer = RoomWriter()
        assert writer.commit(journal, "mine").verdict is COMMITTED
        journal.claim([Slot(7)], 1, "shard-2")
        assert writer.commit(journal, "too late").verdict is FENCED
        assert [e.body for e in loaded(journal, writer.room).tail] == [b"mine"]
        writer.term = Term(2)
        assert writer.commit(journal, "mine again").verdict is COMMITTED

    @pytest.mark.parametrize(("slot", "term"), [(7, 0), (7, 2), (8, 1)])
    def test_a_term_that_was_never_given_out_is_fenced(self, journal: Journal, slot: int, term: int) -> None:
        assert RoomWriter(slot=slot, term=term).commit(journal, "forged").verdict is FENCED
        assert journal.load(RoomName("test/room"), 10, 1000, 0, 10) is None

    # --- heads --------------------------------------------------------------------------

    def test_an_unknown_room_is_none_and_reads_as_empty(self, journal: Journal) -> None:
        assert journal.load(RoomName("test/never"), 10, 1000, 0, 10) is None
        assert list(journal.read(RoomName("test/never"), Epoch("x"), 0, 10)) == []

    def test_a_room_is_loaded_as_it_was_written(self, journal: Journal) -> None:
        writer = RoomWriter()
        first, second = writer.write("one", "zwei, größer", ""), None
        journal.commit([first])
        writer.head = first.head
        second = writer.write("four")
        journal.commit([second])
        room = loaded(journal, writer.room)
        assert room.head == second.head
        assert list(room.tail) == [*first.entries, *second.entries]
        assert list(room.ids) == [*first.ids, *second.ids]
        assert room.first_offset == 1
        assert verified_chain(room.tail, room.head.epoch, CHAIN_START) == room.head.chain

    def test_a_base_beyond_the_head_is_told_behind(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one")
        kept = writer.head
        writer.head = writer.write("lost").head
        outcome = writer.commit(journal, "three")
        assert (outcome.verdict, outcome.head) == (BEHIND, kept)
        assert loaded(journal, writer.room).head == kept

    def test_a_base_beyond_a_room_that_the_journal_does_not_have_is_told_behind(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.head = writer.write("lost").head
        outcome = writer.commit(journal, "two")
        assert (outcome.verdict, outcome.head) == (BEHIND, Head(Epoch("epoch-a"), 0, CHAIN_START, 0))

    @pytest.mark.parametrize("other", ["content", "longer", "epoch", "nothing begun"])
    def test_other_content_at_the_base_is_told_diverged(self, journal: Journal, other: str) -> None:
        writer = RoomWriter()
        begun = writer.head
        writer.commit(journal, "one", "two")
        head = writer.head
        writer.head = {
            "content": Head(head.epoch, head.offset, bytes(16), head.at),
            "longer": Head(head.epoch, 1, head.chain, head.at),
            "epoch": Head(Epoch("epoch-b"), head.offset, head.chain, head.at),
            "nothing begun": begun,
        }[other]
        outcome = writer.commit(journal, "three")
        assert (outcome.verdict, outcome.head) == (DIVERGED, head)
        assert loaded(journal, writer.room).head == head

    def test_a_write_without_entries_only_verifies_the_head(self, journal: Journal) -> None:
        writer = RoomWriter()
        assert writer.commit(journal).verdict is COMMITTED
        assert journal.load(writer.room, 10, 1000, 0, 10) is None
        writer.commit(journal, "one")
        assert writer.commit(journal).verdict is COMMITTED
        writer.head = Head(writer.head.epoch, 1, bytes(16), 0)
        assert writer.commit(journal).verdict is DIVERGED

    @pytest.mark.parametrize("change", ["gap", "count", "silent epoch", "empty epoch"])
    def test_a_misshapen_write_is_a_bug_and_stores_nothing(self, journal: Journal, change: str) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one")
        good = writer.write("two", "three")
        base, head = good.base, good.head
        other = Head(Epoch("epoch-b"), head.offset, head.chain, head.at)
        bad = {
            "gap": (base, head, good.entries[1:], False),
            "count": (base, base, good.entries, False),
            "silent epoch": (base, other, good.entries, False),
            "empty epoch": (base, Head(Epoch("epoch-b"), 0, CHAIN_START, 0), (), True),
        }[change]
        write = type(good)(good.room, good.slot, good.term, bad[0], bad[1], bad[2], (), (), bad[3])
        with pytest.raises(AssertionError):
            journal.commit([write])
        assert loaded(journal, writer.room).head == base
        assert writer.commit(journal, "two").verdict is COMMITTED

    # --- groups ---------------------------------------------------------------------------

    def test_an_empty_group_is_no_work(self, journal: Journal) -> None:
        assert list(journal.commit([])) == []

    def test_a_group_takes_what_passes_and_refuses_the_rest_each_on_its_own(self, journal: Journal) -> None:
        journal.claim([Slot(8)], 1, "shard-2")
        journal.claim([Slot(8)], 1, "shard-1")
        names = ["good", "fenced", "behind", "diverged", "new"]
        writers = {name: RoomWriter(f"test/{name}") for name in names}
        for name in names[:-1]:
            assert writers[name].commit(journal, f"{name} 1").verdict is COMMITTED
        writers["fenced"].slot, writers["fenced"].term = Slot(8), Term(1)
        writers["behind"].head = writers["behind"].write("lost").head
        writers["diverged"].head = Head(Epoch("epoch-a"), 1, bytes(16), 0)
        outcomes = journal.commit([writers[name].write(f"{name} 2") for name in names])
        assert [outcome.verdict for outcome in outcomes] == [COMMITTED, FENCED, BEHIND, DIVERGED, COMMITTED]
        bodies = {name: [e.body.decode() for e in loaded(journal, writers[name].room).tail] for name in names}
        assert bodies == {
            "good": ["good 1", "good 2"], "fenced": ["fenced 1"], "behind": ["behind 1"],
            "diverged": ["diverged 1"], "new": ["new 2"],
        }

    def test_a_group_of_five_hundred_rooms_is_stored_room_by_room(self, journal: Journal) -> None:
        writers = [RoomWriter(f"test/room-{n}") for n in range(500)]
        for _ in range(2):
            writes = [writer.write(*["text"] * (n % 3 + 1)) for n, writer in enumerate(writers)]
            assert {outcome.verdict for outcome in journal.commit(writes)} == {COMMITTED}
            for writer, write in zip(writers, writes, strict=True):
                writer.head = write.head
        for writer in writers:
            room = loaded(journal, writer.room)
            assert room.head == writer.head
            assert verified_chain(room.tail, room.head.epoch, CHAIN_START) == room.head.chain

    def test_a_room_appears_once_in_a_group(self, journal: Journal) -> None:
        writer = RoomWriter()
        with pytest.raises(AssertionError):
            journal.commit([writer.write("a"), writer.write("b")])
        assert journal.load(writer.room, 10, 1000, 0, 10) is None

    # --- reading ----------------------------------------------------------------------------

    def test_history_is_read_in_order_from_any_place_in_any_portion(self, journal: Journal) -> None:
        writer = RoomWriter()
        for n in range(1, 8):
            writer.commit(journal, *(f"{n}.{m}" for m in range(n)))  # rows of 1 to 7 entries: 28 offsets
        for after in range(-1, 30):
            for limit in (0, 1, 3, 5, 100):
                offsets = [e.offset for e in journal.read(writer.room, writer.head.epoch, after, limit)]
                assert offsets == list(range(1, 29))[max(after, 0):][:limit]

    def test_a_tail_ends_at_the_head_and_keeps_both_bounds(self, journal: Journal) -> None:
        writer = RoomWriter()
        for n in range(1, 8):
            writer.commit(journal, *("x" * 100 for _ in range(n)))
        whole = list(loaded(journal, writer.room).tail)
        assert len(whole) == 28
        for events in (0, 1, 7, 8, 27, 28, 29):
            assert list(loaded(journal, writer.room, events=events).tail) == (whole[-events:] if events else [])
        for size in range(0, 3000, 100):
            tail = list(loaded(journal, writer.room, size=size).tail)
            assert tail == whole[28 - len(tail):]
            # An entry of 100 characters takes 175 to 195 bytes as msgpack.
            assert size // 195 <= len(tail) <= size // 175

    # --- ids ----------------------------------------------------------------------------------

    def test_ids_since_a_time_are_loaded_and_at_least_so_many(self, journal: Journal) -> None:
        writer = RoomWriter()
        for n in range(1, 8):
            writer.commit(journal, *("x" for _ in range(n)))
        everything = list(loaded(journal, writer.room).ids)
        assert [row.offset for row in everything] == list(range(1, 29))
        for since in (0, 1, 10, 28):
            for minimum in (0, 1, 5, 28, 100):
                ids = list(loaded(journal, writer.room, since=START_MS + since, ids=minimum).ids)
                assert ids == everything[min(since, max(0, 28 - minimum)):]

    def test_ids_stay_when_their_entries_are_forgotten_or_erased(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one", "two")
        writer.commit(journal, "three")
        before = list(loaded(journal, writer.room).ids)
        writer.commit(journal, erasures=[Erasure(3, "by its author")])
        journal.retain(writer.room, 3, 0, 1000)
        room = loaded(journal, writer.room)
        assert list(room.ids) == before
        assert list(room.tail) == []
        assert (room.head, room.first_offset) == (writer.head, 4)

    def test_ids_are_forgotten_when_old_and_beyond_the_minimum(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one", "two", "three")
        writer.commit(journal, "four", "five")
        journal.retain(writer.room, 0, START_MS + 4, 2)
        assert [row.offset for row in loaded(journal, writer.room).ids] == [4, 5]
        journal.retain(writer.room, 0, START_MS + 3, 0)
        assert [row.offset for row in loaded(journal, writer.room).ids] == [4, 5]
        journal.retain(writer.room, 0, START_MS + 100, 1)
        assert [row.offset for row in loaded(journal, writer.room).ids] == [5]
        journal.retain(writer.room, 0, START_MS + 100, 0)
        assert list(loaded(journal, writer.room).ids) == []
        writer.commit(journal, "six")
        assert [row.offset for row in loaded(journal, writer.room).ids] == [6]
        assert len(loaded(journal, writer.room).tail) == 6

    # --- erasing ----------------------------------------------------------------------------------

    def test_an_erasure_leaves_a_tombstone_and_the_chain_holds(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "keep", "SECRET", "keep too")
        writer.commit(journal, "the removal", erasures=[Erasure(2, "moderator")])
        for entries in (loaded(journal, writer.room).tail, journal.read(writer.room, writer.head.epoch, 0, 10)):
            assert [e.removed for e in entries] == ["", "moderator", "", ""]
            assert (entries[1].body, entries[1].author, entries[1].id, entries[1].salt) == (b"", "", "", b"")
            assert verified_chain(entries, writer.head.epoch, CHAIN_START) == writer.head.chain

    def test_a_write_may_erase_what_it_adds_itself(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one")
        writer.commit(journal, "SECRET", "the removal", erasures=[Erasure(2, "author"), Erasure(1, "author")])
        assert [(e.removed, e.body) for e in loaded(journal, writer.room).tail] == [
            ("author", b""), ("author", b""), ("", b"the removal"),
        ]

    def test_a_write_may_add_what_was_removed_before_it_was_forgotten(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one")
        write = writer.write("SECRET", "the removal", erasures=[Erasure(1, "author"), Erasure(2, "author")])
        tombstone = write.entries[0].erased("author")
        assert journal.commit([replace(write, entries=[tombstone, write.entries[1]])])[0].verdict is COMMITTED
        room = loaded(journal, writer.room)
        assert ([e.removed for e in room.tail], room.tail[1]) == (["author", "author", ""], tombstone)
        assert [row.offset for row in room.ids] == [1, 2, 3]

    def test_of_two_erasures_of_one_entry_the_first_reason_stays(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one")
        twice = [Erasure(offset, reason) for reason in ("first", "second") for offset in (1, 2)]
        writer.commit(journal, "two", erasures=twice)
        assert [e.removed for e in loaded(journal, writer.room).tail] == ["first", "first"]

    def test_an_erasure_of_what_is_gone_or_erased_already_changes_nothing(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one", "two", "three")
        journal.retain(writer.room, 1, 0, 10)
        writer.commit(journal, erasures=[Erasure(2, "first reason")])
        erasures = [Erasure(offset, "second reason") for offset in (0, 1, 2, 4, 99)]
        assert writer.commit(journal, erasures=erasures).verdict is COMMITTED
        assert [(e.offset, e.removed) for e in loaded(journal, writer.room).tail] == [(2, "first reason"), (3, "")]

    def test_a_refused_write_erases_nothing(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one")
        writer.term = Term(9)
        assert writer.commit(journal, erasures=[Erasure(1, "moderator")]).verdict is FENCED
        assert loaded(journal, writer.room).tail[0].body == b"one"

    # --- epochs -------------------------------------------------------------------------------------

    def test_a_new_epoch_starts_at_one_and_the_old_one_can_still_be_read(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "old 1", "old 2")
        old = writer.head
        assert writer.commit(journal, "begun", "new", new_epoch="epoch-b").verdict is COMMITTED
        room = loaded(journal, writer.room)
        assert (room.head.epoch, room.head.offset) == ("epoch-b", 2)
        assert [(e.offset, e.body) for e in room.tail] == [(1, b"begun"), (2, b"new")]
        assert verified_chain(room.tail, room.head.epoch, CHAIN_START) == room.head.chain
        assert [e.body for e in journal.read(writer.room, old.epoch, 0, 10)] == [b"old 1", b"old 2"]
        assert [e.body for e in journal.read(writer.room, Epoch("epoch-b"), 1, 10)] == [b"new"]
        assert [row.offset for row in room.ids] == [1, 2, 1, 2]
        assert writer.commit(journal, "more").verdict is COMMITTED
        writer.head = old
        assert writer.commit(journal, "late").verdict is DIVERGED

    def test_a_new_epoch_must_build_on_the_head_too(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one")
        kept, writer.head = writer.head, Head(Epoch("epoch-a"), 1, bytes(16), 0)
        outcome = writer.commit(journal, "begun", new_epoch="epoch-b")
        assert (outcome.verdict, outcome.head) == (DIVERGED, kept)

    # --- the store's life ---------------------------------------------------------------------------

    def test_the_life_of_the_store_has_a_name_and_writing_does_not_change_it(self, journal: Journal) -> None:
        run = journal.store_run()
        assert run != ""
        RoomWriter().commit(journal, "one")
        journal.claim([Slot(7)], 2, "shard-2")
        assert journal.store_run() == run

    # --- reopening ------------------------------------------------------------------------------------

    def test_reopening_gives_the_same(self, reopen: Reopen) -> None:
        journal = reopen()
        journal.claim([Slot(7)], 3, "shard-1")
        writer = RoomWriter()
        writer.commit(journal, "old")
        writer.commit(journal, "begun", "two", "three", new_epoch="epoch-b")
        writer.commit(journal, "four", erasures=[Erasure(2, "moderator")])
        journal.retain(writer.room, 1, 0, 1000)
        journal.idle()
        store_id, room = journal.store_id, loaded(journal, writer.room)
        again = reopen()
        assert store_id != ""
        assert again.store_id == store_id
        assert again.newest_map_version() == 3
        assert loaded(again, writer.room) == room
        assert writer.commit(again, "five").verdict is COMMITTED
        assert again.claim([Slot(7)], 3, "shard-1") == {Slot(7): Term(2)}
