"""What every journal promises about the tables of rooms: a part of `JournalContract`."""

import dataclasses
from collections.abc import Callable

import pytest

from broker.journal.protocol import CommitVerdict, Journal
from broker.record import Head
from tests.support.journal_writes import RoomWriter, loaded, row, tables_in
from wire.limits import ROW_KEY_BYTES_MAX, ROW_VALUE_BYTES_MAX, ROWS_PER_WRITE_MAX
from wire.names import RoomName, Slot, TableName, Term

COMMITTED, FENCED = CommitVerdict.COMMITTED, CommitVerdict.FENCED
BEHIND, DIVERGED = CommitVerdict.BEHIND, CommitVerdict.DIVERGED
VOTES = TableName("votes")


def begun(journal: Journal, room: str = "test/room") -> RoomWriter:
    """The writer of a room that has a log."""
    writer = RoomWriter(room)
    assert writer.commit(journal, "one").verdict is COMMITTED
    return writer


class TablesContract:
    """Has the fixtures `journal` and `reopen` from the class that it is a part of."""

    def test_rows_are_put_replaced_and_deleted_with_events_and_without(self, journal: Journal) -> None:
        writer = begun(journal)
        assert tables_in(journal, writer.room) == {}
        assert writer.commit(journal, "two", rows=[row("ann", "yes"), row("bob", "no")]).verdict is COMMITTED
        assert (loaded(journal, writer.room).head.offset, loaded(journal, writer.room).rows_seq) == (2, 1)
        rows = [row("bob", "yes"), row("cem", ""), row("ann", "x", "supporters")]
        assert writer.commit(journal, rows=rows).verdict is COMMITTED
        assert tables_in(journal, writer.room) == {"votes": {"ann": "yes", "bob": "yes", "cem": ""}, "supporters": {"ann": "x"}}
        assert writer.commit(journal, rows=[row("ann", None), row("never", None), row("dora", "no")]).verdict is COMMITTED
        assert tables_in(journal, writer.room) == {"votes": {"bob": "yes", "cem": "", "dora": "no"}, "supporters": {"ann": "x"}}
        room = loaded(journal, writer.room)
        assert (room.head, room.rows_seq) == (writer.head, 3)
        assert [entry.body for entry in room.tail] == [b"one", b"two"]

    def test_a_room_may_begin_with_rows_and_rooms_do_not_share_them(self, journal: Journal) -> None:
        one, other = RoomWriter("test/one"), RoomWriter("test/one.more")
        assert one.commit(journal, "first", rows=[row("ann", "1")]).verdict is COMMITTED
        assert other.commit(journal, "first", rows=[row("ann", "2")]).verdict is COMMITTED
        assert tables_in(journal, one.room) == {"votes": {"ann": "1"}}
        assert tables_in(journal, other.room) == {"votes": {"ann": "2"}}
        assert list(journal.rows(RoomName("test/never"), VOTES, "", 10)) == []

    def test_rows_are_read_in_the_order_of_their_keys_from_any_place_in_any_portion(self, journal: Journal) -> None:
        writer = begun(journal)
        keys = ["a", "a!", "aa", "a/1", "b", "zoë", "zoe", "ö", "\uffee", "\U0001f600", "B", " ", "~", "12", "2"]
        writer.commit(journal, rows=[row(key, key * 2) for key in keys])
        writer.commit(journal, rows=[row(key, "else", table) for table in ("vote", "votes2", "votes_") for key in ("a", "zz")])
        ordered = sorted(keys)
        for after in ["", *ordered, "aaaa", "\U0001f601"]:
            for limit in (0, 1, 3, 100):
                found = list(journal.rows(writer.room, VOTES, after, limit))
                assert found == [(key, (key * 2).encode()) for key in ordered if key > after][:limit]

    def test_any_bytes_are_a_value_and_the_longest_rows_fit(self, journal: Journal) -> None:
        writer = begun(journal)
        longest = "k" * ROW_KEY_BYTES_MAX
        every = bytes(range(256))
        rows = [
            dataclasses.replace(row("every", ""), value=every), dataclasses.replace(row(longest, ""), value=every * 4),
            dataclasses.replace(row("nothing", ""), value=b""), dataclasses.replace(row("nul", ""), value=bytes(3)),
        ]  # fmt: skip
        assert len(every * 4) == ROW_VALUE_BYTES_MAX
        assert writer.commit(journal, rows=rows).verdict is COMMITTED
        assert dict(journal.rows(writer.room, VOTES, "", 10)) == {each.key: each.value for each in rows}
        assert writer.commit(journal, rows=[dataclasses.replace(row("nothing", ""), value=b"")]).verdict is COMMITTED

    def test_as_many_rows_as_a_write_may_have_are_one_write(self, journal: Journal) -> None:
        writer = begun(journal)
        many = {f"person-{number:04}": str(number) for number in range(ROWS_PER_WRITE_MAX)}
        assert writer.commit(journal, rows=[row(*each) for each in many.items()]).verdict is COMMITTED
        assert tables_in(journal, writer.room) == {"votes": many}
        assert writer.commit(journal, rows=[row(key, None) for key in many]).verdict is COMMITTED
        assert tables_in(journal, writer.room) == {}

    # --- what is refused changes nothing ------------------------------------------------------------

    def test_rows_of_a_fenced_write_are_not_stored(self, journal: Journal) -> None:
        writer = begun(journal)
        writer.commit(journal, rows=[row("ann", "yes")])
        journal.claim([Slot(7)], 1, "shard-2")
        assert writer.commit(journal, "late", rows=[row("ann", "no"), row("bob", "no")]).verdict is FENCED
        assert writer.commit(journal, rows=[row("ann", None)]).verdict is FENCED
        assert tables_in(journal, writer.room) == {"votes": {"ann": "yes"}}
        writer.term = Term(2)
        assert writer.commit(journal, rows=[row("ann", "no")]).verdict is COMMITTED

    def test_a_sequence_beyond_the_journals_is_told_behind_though_the_head_is_there(self, journal: Journal) -> None:
        writer = begun(journal)
        writer.commit(journal, rows=[row("ann", "yes")])
        writer.rows_seq = 3
        for texts in (("text",), ()):
            outcome = writer.commit(journal, *texts, rows=[row("ann", "no")])
            assert (outcome.verdict, outcome.head, outcome.rows_seq) == (BEHIND, writer.head, 1)
        # A write of nothing asks whether both are there.
        assert writer.commit(journal).verdict is BEHIND
        assert writer.commit(journal, "text").verdict is BEHIND
        assert tables_in(journal, writer.room) == {"votes": {"ann": "yes"}}
        writer.rows_seq = 1
        assert writer.commit(journal).verdict is COMMITTED

    def test_more_rows_than_the_writer_knows_are_told_diverged(self, journal: Journal) -> None:
        writer = begun(journal)
        writer.commit(journal, rows=[row("ann", "yes")])
        writer.commit(journal, rows=[row("ann", "no")])
        writer.rows_seq = 1
        for rows in ([row("ann", "else")], []):
            outcome = writer.commit(journal, "text", rows=rows)
            assert (outcome.verdict, outcome.head, outcome.rows_seq) == (DIVERGED, writer.head, 2)
        assert tables_in(journal, writer.room) == {"votes": {"ann": "no"}}

    def test_where_log_and_tables_are_judged_otherwise_the_worse_counts(self, journal: Journal) -> None:
        writer = begun(journal)
        writer.commit(journal, rows=[row("ann", "yes")])
        kept = writer.head
        lost = writer.write("lost").head
        other = Head(kept.epoch, kept.offset, bytes(16), kept.at)
        for head, seq, verdict in ((lost, 1, BEHIND), (lost, 2, BEHIND), (lost, 0, DIVERGED), (other, 2, DIVERGED)):
            writer.head, writer.rows_seq = head, seq
            outcome = writer.commit(journal, rows=[row("bob", "no")])
            assert (outcome.verdict, outcome.head, outcome.rows_seq) == (verdict, kept, 1)

    def test_a_repair_may_raise_the_sequence_by_more_than_one(self, journal: Journal) -> None:
        writer = begun(journal)
        write = dataclasses.replace(writer.write("two", rows=[row("ann", "yes")]), rows_seq=5)
        assert journal.commit([write])[0].verdict is COMMITTED
        assert loaded(journal, writer.room).rows_seq == 5
        writer.head, writer.rows_seq = write.head, 5
        assert writer.commit(journal, rows=[row("ann", "no")]).verdict is COMMITTED

    def test_a_group_stores_the_rows_of_those_that_pass(self, journal: Journal) -> None:
        names = ["rows", "text", "both", "behind", "fenced", "nothing"]
        writers = {name: begun(journal, f"test/{name}") for name in names}
        writers["behind"].rows_seq = 1
        writers["fenced"].term = Term(9)
        group = [
            writers["rows"].write(rows=[row("ann", "1"), row("bob", "1")]),
            writers["text"].write("two"),
            writers["both"].write("two", rows=[row("ann", "2")]),
            writers["behind"].write(rows=[row("ann", "3")]),
            writers["fenced"].write("two", rows=[row("ann", "4")]),
            writers["nothing"].write(),
        ]
        outcomes = [outcome.verdict for outcome in journal.commit(group)]
        assert outcomes == [COMMITTED, COMMITTED, COMMITTED, BEHIND, FENCED, COMMITTED]
        assert {name: tables_in(journal, writer.room) for name, writer in writers.items()} == {
            "rows": {"votes": {"ann": "1", "bob": "1"}}, "text": {}, "both": {"votes": {"ann": "2"}},
            "behind": {}, "fenced": {}, "nothing": {},
        }  # fmt: skip
        assert [loaded(journal, writers[name].room).rows_seq for name in names] == [1, 0, 1, 0, 0, 0]

    @pytest.mark.parametrize("change", ["twice", "no log", "no sequence", "sequence alone", "backwards", "table", "key", "value"])
    def test_misshapen_rows_are_a_bug_and_store_nothing(self, journal: Journal, change: str) -> None:
        writer = RoomWriter() if change == "no log" else begun(journal)
        good = writer.write(rows=[row("ann", "yes")])
        bad = {
            "twice": {"rows": [row("ann", "yes"), row("ann", "no")]},
            "no log": {},
            "no sequence": {"rows_seq": 0},
            "sequence alone": {"rows": ()},
            "backwards": {"rows_base": 2},
            "table": {"rows": [row("ann", "yes", "No table")]},
            "key": {"rows": [row("a\0b", "yes")]},
            "value": {"rows": [row("ann", "x" * (ROW_VALUE_BYTES_MAX + 1))]},
        }[change]
        with pytest.raises(AssertionError):
            journal.commit([dataclasses.replace(good, **bad)])  # type: ignore[arg-type]
        assert tables_in(journal, writer.room) == {}

    # --- what outlives what ---------------------------------------------------------------------------

    def test_retention_leaves_tables_alone(self, journal: Journal) -> None:
        writer = begun(journal)
        writer.commit(journal, "two", rows=[row("ann", "yes")])
        journal.retain(writer.room, 2, writer.now + 1, 0, writer.now + 1)
        assert list(loaded(journal, writer.room).tail) == []
        assert tables_in(journal, writer.room) == {"votes": {"ann": "yes"}}
        assert writer.commit(journal, rows=[row("ann", "no")]).verdict is COMMITTED

    def test_tables_belong_to_the_room_and_outlive_the_epoch(self, journal: Journal) -> None:
        writer = begun(journal)
        writer.commit(journal, rows=[row("ann", "yes"), row("bob", "no")])
        assert writer.commit(journal, "begun", new_epoch="epoch-b", rows=[row("bob", None)]).verdict is COMMITTED
        assert tables_in(journal, writer.room) == {"votes": {"ann": "yes"}}
        assert loaded(journal, writer.room).rows_seq == 2
        assert writer.commit(journal, "begun", new_epoch="epoch-c").verdict is COMMITTED
        assert writer.commit(journal, rows=[row("cem", "yes")]).verdict is COMMITTED
        assert tables_in(journal, writer.room) == {"votes": {"ann": "yes", "cem": "yes"}}

    def test_tables_are_there_when_the_store_is_opened_again(self, journal: Journal, reopen: Callable[[], Journal]) -> None:
        writer = begun(journal)
        writer.commit(journal, rows=[row("ann", "yes"), row("bob", "no")])
        writer.commit(journal, rows=[row("bob", None)])
        journal.idle()
        again = reopen()
        assert tables_in(again, writer.room) == {"votes": {"ann": "yes"}}
        assert writer.commit(again, "two", rows=[row("ann", "no")]).verdict is COMMITTED
