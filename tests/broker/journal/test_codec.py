"""Entries and ids as bytes, and the two bounds that every engine shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.journal.codec import (
    DECODE_ERRORS,
    bounded_tail,
    decode_entries,
    decode_entry,
    decode_ids,
    decode_rows,
    encode_entries,
    encode_entry,
    encode_id,
    encode_ids,
    live_ids,
    stored_bytes,
)
from broker.journal.protocol import IdRow
from broker.record import Entry

COUNTS = st.integers(0, 2**40)
TEXTS = st.text(max_size=20)
ENTRIES = st.lists(
    st.builds(
        Entry, offset=COUNTS, at=COUNTS, kind=TEXTS, digest=st.binary(max_size=16), salt=st.binary(max_size=16),
        author=TEXTS, id=TEXTS, body=st.binary(max_size=300), target=COUNTS, removed=TEXTS,
    ),
    max_size=20,
)
IDS = st.lists(st.builds(IdRow, TEXTS, TEXTS, COUNTS, COUNTS, st.binary(max_size=8)), max_size=20)


@given(ENTRIES)
def test_entries_come_back_as_they_were(entries: list[Entry]) -> None:
    assert decode_entries(encode_entries(entries)) == entries


@given(IDS)
def test_ids_come_back_as_they_were(rows: list[IdRow]) -> None:
    assert decode_ids(encode_ids(rows)) == rows
    assert decode_rows([encode_id(row) for row in rows]) == rows


@given(IDS.filter(bool), st.data())
def test_a_row_that_is_cut_is_an_error_among_whole_ones(rows: list[IdRow], data: st.DataObject) -> None:
    packed = [encode_id(row) for row in rows]
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] = packed[at][: data.draw(st.integers(0, len(packed[at]) - 1))]
    with pytest.raises(DECODE_ERRORS):
        decode_rows(packed)


@given(ENTRIES.filter(bool), st.data())
def test_a_cut_row_is_an_error_and_never_fewer_entries(entries: list[Entry], data: st.DataObject) -> None:
    packed = encode_entries(entries)
    with pytest.raises(DECODE_ERRORS):
        decode_entries(packed[: data.draw(st.integers(0, len(packed) - 1))])


@given(st.binary(max_size=200))
def test_any_bytes_are_entries_or_a_known_error(data: bytes) -> None:
    for decode in (decode_entries, decode_ids):
        try:
            decode(data)
        except DECODE_ERRORS:
            continue


@given(ENTRIES, st.integers(0, 25), st.integers(0, 4000))
def test_a_tail_is_the_longest_end_that_fits_both_bounds(entries: list[Entry], events: int, size: int) -> None:
    tail = bounded_tail(reversed(entries), events, size, stored_bytes)
    packed = bounded_tail(map(encode_entry, reversed(entries)), events, size, len)
    assert [decode_entry(each) for each in packed] == tail
    assert tail == entries[len(entries) - len(tail):]
    assert len(tail) <= events
    assert sum(map(stored_bytes, tail)) <= size
    if len(tail) < min(events, len(entries)):
        assert sum(map(stored_bytes, entries[len(entries) - len(tail) - 1:])) > size


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5))), st.integers(0, 60), st.integers(0, 12))
def test_live_ids_are_those_since_a_time_and_at_least_so_many(uses: list[tuple[int, int]], since: int, least: int) -> None:
    rows, at = [], 0
    for offset, (name, step) in enumerate(uses):
        at += step
        rows.append(IdRow("ann", f"id-{name}", offset, at, b""))
    newest = {row.id: row for row in rows}  # a later use of an id takes the place of the earlier
    every = sorted(newest.values(), key=lambda row: row.offset)
    live = live_ids(reversed(rows), since, least)
    assert live == every[len(every) - len(live):]
    assert len(live) == max(min(least, len(every)), sum(row.at >= since for row in every))
