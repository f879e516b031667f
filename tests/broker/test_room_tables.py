"""What a room adds to its tables: in the write of its event, in order, and kept as far back as the bounds allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.journal.protocol import Row, Snapshot, Write
from broker.load_room import room_of
from broker.record import CHAIN_START, Head
from broker.room import FORGOTTEN, Room
from broker.room_tables import RoomTables, merged
from tests.support.journal_writes import row
from tests.support.shard_driver import ROOM, message
from wire.limits import ROOM_RECENT_ROWS_BYTES_MAX, ROOM_RECENT_ROWS_MAX, ROW_VALUE_BYTES_MAX, ROWS_PER_WRITE_MAX
from wire.names import Epoch, RoomName, Slot, Term

HEAD = Head(Epoch("e"), 1, CHAIN_START, 0)
SLOT, TERM = Slot(1), Term(1)


def votes(count: int, value: str = "yes", start: int = 0) -> list[Row]:
    return [row(f"person-{start + number}", value) for number in range(count)]


def begun() -> Room:
    """A room with one published event."""
    room = room_of(RoomName(ROOM), None, "store")
    say(room, 0)
    written(room)
    return room


def say(room: Room, number: int, text: str = "hello") -> None:
    room.handle(message(number, text), 1000, bytes(16))


def written(room: Room) -> Write:
    write = room.take_write(SLOT, TERM)
    room.publish()
    return write


def all_written(room: Room) -> list[Write]:
    writes = []
    while room.has_unsubmitted:
        writes.append(written(room))
    return writes


# --- writing ------------------------------------------------------------------------------------


def test_rows_need_no_event_and_raise_the_sequence_by_one_a_write() -> None:
    room = begun()
    room.add_rows([row("ann", "yes")])
    room.add_rows([row("bob", "no")])
    assert room.has_unsubmitted
    assert not room.is_written
    write = room.take_write(SLOT, TERM)
    assert not room.is_written
    assert (write.base, write.head, write.entries) == (room.head, room.head, [])
    assert (write.rows, write.rows_base, write.rows_seq) == ([row("ann", "yes"), row("bob", "no")], 0, 1)
    published = room.publish()
    assert (published.frames, published.events, published.new_epoch) == ([], [], False)
    assert (room.tables.seq, room.is_written) == (1, True)
    assert (room.verification(SLOT, TERM).rows_base, room.verification(SLOT, TERM).rows_seq) == (1, 1)


def test_of_a_row_that_is_decided_twice_the_last_is_written() -> None:
    room = begun()
    for value in ("yes", "no", None, "perhaps"):
        room.add_rows([row("ann", value)])
    assert written(room).rows == [row("ann", "perhaps")]
    assert merged([[row("a", "1"), row("b", "1")], [row("a", None)]]) == [row("a", None), row("b", "1")]


def test_rows_of_an_event_are_in_its_write() -> None:
    room = begun()
    say(room, 1)
    room.add_rows([row("ann", "yes")], with_event=True)
    say(room, 2)
    write = written(room)
    assert ([entry.offset for entry in write.entries], write.rows) == ([2, 3], [row("ann", "yes")])


def test_events_wait_for_the_write_that_has_space_for_their_rows() -> None:
    room = begun()
    for number in range(1, 4):
        say(room, number)
        room.add_rows(votes(600, f"{number}"), with_event=True)
    shapes = [([entry.offset for entry in write.entries], {each.value for each in write.rows}) for write in all_written(room)]
    assert shapes == [([2], {b"1"}), ([3], {b"2"}), ([4], {b"3"})]


def test_many_rows_without_events_do_not_hold_up_events() -> None:
    room = begun()
    for number in range(3):
        room.add_rows(votes(ROWS_PER_WRITE_MAX, start=number * ROWS_PER_WRITE_MAX))
    say(room, 1)
    shapes = [(len(write.entries), len(write.rows)) for write in all_written(room)]
    assert shapes == [(1, 1000), (0, 1000), (0, 1000)]


def test_rows_that_were_decided_after_an_event_are_not_written_before_it() -> None:
    room = begun()
    for number in range(1, 4):
        say(room, number, "x" * 4000)
    room.add_rows([row("ann", "yes")])
    write = room.take_write(SLOT, TERM, 5000)
    assert (len(write.entries), write.rows) == (2, [])
    room.publish()
    assert (len(room.take_write(SLOT, TERM).entries), room.tables.is_in_flight) == (1, True)


def test_long_rows_are_written_in_bounded_writes() -> None:
    room = begun()
    for number in range(10):
        room.add_rows([row(f"{number}-{n}", "x" * ROW_VALUE_BYTES_MAX) for n in range(20)])
    assert {len(write.rows) for write in all_written(room)} == {60, 20}


def test_what_is_taken_back_is_written_next_and_before_what_came_later() -> None:
    room = begun()
    room.add_rows([row("ann", "yes")])
    room.add_snapshot(b"state")
    first = room.take_write(SLOT, TERM)
    room.take_back()
    room.add_rows([row("ann", "no"), row("bob", "no")])
    again = room.take_write(SLOT, TERM)
    assert (first.rows, again.rows) == ([row("ann", "yes")], [row("ann", "no"), row("bob", "no")])
    assert first.snapshot == again.snapshot == Snapshot(1, b"state")


def test_a_room_without_a_log_has_no_tables() -> None:
    room = room_of(RoomName(ROOM), None, "store")
    with pytest.raises(AssertionError):
        room.add_rows([row("ann", "yes")])
    room.add_snapshot(b"of nothing")
    assert not room.has_unsubmitted
    say(room, 1)
    room.add_rows([row("ann", "yes")])
    assert written(room).rows == [row("ann", "yes")]


@given(
    st.lists(st.one_of(st.sampled_from(["say", "end", "write"]), st.tuples(st.booleans(), st.integers(1, 700))), max_size=30)
)
def test_whatever_is_decided_is_written_in_order_and_each_event_with_its_rows(
    play: list[str | tuple[bool, int]],
) -> None:
    room, tables, expected, writes = begun(), {}, {}, []
    tied: dict[bytes, tuple[Epoch, int]] = {}
    for number, step in enumerate(play):
        if step == "write":
            if room.has_unsubmitted:
                writes.append(written(room))
        elif step == "end":
            if not room.is_ending_epoch:
                room.end_epoch(Epoch(f"epoch-{number}"), FORGOTTEN, 1000, bytes(16))
        elif step == "say":
            say(room, 100 + number)
        else:
            assert isinstance(step, tuple)
            with_event = step[0]
            if with_event:
                say(room, 100 + number)
                tied[str(number).encode()] = (room.decided.epoch, room.decided.offset)
            rows = [*votes(step[1] - 1, str(number)), row(f"only {number}", str(number))]
            room.add_rows(rows, with_event=with_event)
            expected.update({(each.table, each.key): each.value for each in rows})
    writes += all_written(room)
    for write in writes:
        tables.update({(each.table, each.key): each.value for each in write.rows})
        assert len(write.rows) <= ROWS_PER_WRITE_MAX
        for each in write.rows:
            if each.key.startswith("only") and each.value in tied:
                epoch, offset = tied[each.value]
                assert epoch == write.head.epoch
                assert offset in [entry.offset for entry in write.entries]
    assert tables == expected
    assert room.tables.seq == sum(bool(write.rows) for write in writes)


# --- snapshots --------------------------------------------------------------------------------


def test_a_snapshot_of_the_published_log_goes_with_the_next_write() -> None:
    room = begun()
    say(room, 1)
    room.add_snapshot(b"after one")
    write = written(room)
    assert (write.snapshot, write.head.offset, write.rows_seq) == (Snapshot(1, b"after one"), 2, 0)
    assert room.tables.snapshot == Snapshot(1, b"after one")
    room.add_snapshot(b"after two")
    assert written(room).snapshot == Snapshot(2, b"after two")
    assert room.is_written


def test_a_snapshot_ends_with_its_epoch() -> None:
    room = begun()
    room.add_snapshot(b"old")
    room.end_epoch(Epoch("next"), FORGOTTEN, 1000, bytes(16))
    room.add_snapshot(b"too late")
    write = written(room)
    assert (write.new_epoch, write.snapshot, room.tables.snapshot) == (True, None, None)
    assert room.is_written


# --- what is kept -----------------------------------------------------------------------------


def published(tables: RoomTables, rows: list[Row]) -> None:
    tables.add(rows, 0, is_tied=False)
    tables.take(0, 1 << 30, new_epoch=False)
    tables.publish(HEAD, HEAD)


def test_what_was_written_is_kept_and_what_a_journal_lacks_of_it_is_told() -> None:
    tables = RoomTables(5)
    assert tables.written_after(5) == []
    for number in range(3):
        published(tables, [row("ann", f"{number}")])
    lacking = tables.written_after(6)
    assert lacking is not None
    assert [(written.seq, written.rows) for written in lacking] == [(7, [row("ann", "1")]), (8, [row("ann", "2")])]
    assert tables.written_after(8) == []
    assert tables.written_after(4) is None, "that was before this room was loaded"
    assert tables.written_after(9) is None, "the journal has more"


def test_so_many_rows_are_kept_and_no_more() -> None:
    tables = RoomTables()
    for _ in range(ROOM_RECENT_ROWS_MAX // 1000 + 2):
        published(tables, votes(1000, ""))
    assert tables.written_after(1) is None
    lacking = tables.written_after(2)
    assert lacking is not None
    assert sum(len(written.rows) for written in lacking) == ROOM_RECENT_ROWS_MAX


def test_so_many_bytes_are_kept_and_no_more() -> None:
    tables, long = RoomTables(), votes(500, "x" * ROW_VALUE_BYTES_MAX)
    size = sum(each.size() for each in long)
    for _ in range(20):
        published(tables, long)
    fitting = ROOM_RECENT_ROWS_BYTES_MAX // size
    assert 1 <= fitting < 20
    assert tables.written_after(20 - fitting) is not None
    assert tables.written_after(20 - fitting - 1) is None


def test_a_room_that_is_loaded_again_remembers_only_what_led_to_where_it_is() -> None:
    before = RoomTables()
    for _ in range(2):
        published(before, [row("ann", "yes")])
    same, other = RoomTables(2), RoomTables(3)
    same.remember(before)
    other.remember(before)
    assert same.written_after(0) == before.written_after(0)
    assert other.written_after(2) is None
    assert other.written_after(3) == []
