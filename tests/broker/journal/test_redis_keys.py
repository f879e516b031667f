"""Keys of the Redis journal, the names of heads, and what stands for rows and snapshots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from broker.journal.protocol import Row, Snapshot
from broker.journal.redis_keys import NO_LOG, Keys, head_name, parse_head, parse_row, parse_snapshot, row_name, snapshot_value
from broker.record import CHAIN_START, Head
from wire.names import Epoch, RoomName, Slot, TableName, is_row_key


def test_all_keys_of_a_slot_are_in_one_slot_of_a_redis_cluster() -> None:
    keys, room = Keys("parvis"), RoomName("town/square")
    named = [
        keys.slot(Slot(9)), keys.room(Slot(9), room), keys.log(Slot(9), room, "e"), keys.ids(Slot(9), room),
        keys.ends(Slot(9), room),
    ]  # fmt: skip
    assert len(set(named)) == 5
    assert len({key_slot(key.encode()) for key in named}) == 1
    assert key_slot(named[0].encode()) != key_slot(keys.slot(Slot(10)).encode())


def test_clusters_of_different_names_share_no_key() -> None:
    one, other, room = Keys("one"), Keys("other"), RoomName("town/square")
    assert one.journal != other.journal
    assert one.room(Slot(1), room) != other.room(Slot(1), room)


@given(st.binary(min_size=16, max_size=16), st.integers(1, 2**53), st.text(min_size=1, max_size=32), st.integers(0, 2**53))
def test_a_head_is_what_its_name_says(chain: bytes, offset: int, epoch: str, at: int) -> None:
    head = Head(Epoch(epoch), offset, chain, at)
    assert parse_head(head_name(head), at) == head


def test_a_log_not_begun_has_no_name_unless_its_chain_is_another() -> None:
    assert head_name(Head(Epoch("e"), 0, CHAIN_START, 0)) == NO_LOG
    assert head_name(Head(Epoch("e"), 0, bytes([1] * 16), 0)) != NO_LOG
    assert parse_head(NO_LOG, 0) is None


def test_heads_that_differ_in_one_thing_have_different_names() -> None:
    head = Head(Epoch("e"), 1, bytes(16), 0)
    others = [Head(Epoch("f"), 1, bytes(16), 0), Head(Epoch("e"), 2, bytes(16), 0), Head(Epoch("e"), 1, bytes([1] * 16), 0)]
    assert head_name(head) not in map(head_name, others)


@pytest.mark.parametrize("name", [b"short", bytes(16) + b"12", bytes(16) + b"x epoch"])
def test_a_damaged_name_is_an_error(name: bytes) -> None:
    with pytest.raises(ValueError, match=r"epoch|invalid literal"):
        parse_head(name, 0)


ROW_KEYS = st.text(min_size=1, max_size=20).filter(is_row_key)
TABLES = st.sampled_from(["a", "ab", "a_", "b"])


@given(TABLES, ROW_KEYS, st.binary(max_size=20))
def test_rows_come_out_as_they_went_in(table: str, key: str, value: bytes) -> None:
    assert parse_row(row_name(table, key) + b"\0" + value) == Row(TableName(table), key, value)


@given(st.lists(st.tuples(TABLES, ROW_KEYS, st.binary(max_size=3)), unique_by=lambda row: row[:2]))
def test_rows_are_in_the_order_of_tables_and_keys_whatever_their_values(rows: list[tuple[str, str, bytes]]) -> None:
    members = sorted(row_name(table, key) + b"\0" + value for table, key, value in rows)
    assert [(row.table, row.key) for row in map(parse_row, members)] == sorted((table, key) for table, key, _ in rows)


def test_a_row_without_its_parts_is_an_error() -> None:
    with pytest.raises(ValueError, match="unpack"):
        parse_row(b"votes\0ann")


@given(st.integers(1, 2**53), st.binary(max_size=20))
def test_a_snapshot_is_of_its_epoch_and_not_above_the_head(offset: int, state: bytes) -> None:
    value = snapshot_value(Epoch("e"), Snapshot(offset, state))
    assert parse_snapshot(value, Head(Epoch("e"), offset, bytes(16), 0)) == Snapshot(offset, state)
    assert parse_snapshot(value, Head(Epoch("f"), offset, bytes(16), 0)) is None
    assert parse_snapshot(value, Head(Epoch("e"), offset - 1, bytes(16), 0)) is None
    assert parse_snapshot(None, Head(Epoch("e"), offset, bytes(16), 0)) is None


@pytest.mark.parametrize("value", [b"", b"1 e", b"1\nstate", b"x e\nstate"])
def test_a_damaged_snapshot_is_an_error(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"without a place|invalid literal"):
        parse_snapshot(value, Head(Epoch("e"), 1, bytes(16), 0))
