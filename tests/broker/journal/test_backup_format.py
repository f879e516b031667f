"""Records and frames of a backup: what is written is read, and any other bytes are refused without harm."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.journal.archive import Anchor, EpochOutline, Standing
from broker.journal.backup_format import (
    FIRST_LINE,
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    AnyRecord,
    Closing,
    Entries,
    Ids,
    Opening,
    RoomBegins,
    RoomEnds,
    flat,
    frame_of,
    id_row,
    outline_of,
    record_of,
)
from broker.journal.protocol import IdRow
from broker.record import Head
from tests.support.journal_writes import RoomWriter
from wire.names import Epoch, Slot, Term

OUTLINE = EpochOutline(Head(Epoch("e"), 9, b"c" * 16, 7), 3, Anchor(4, b"a" * 16))
RECORDS: list[AnyRecord] = [
    Opening("store-1", 5, "0.1.0", 3, {1: 2, 4095: 9}),
    RoomBegins("test/room", [flat(OUTLINE)]),
    Entries(1, list(RoomWriter().write("one", "zwei, größer", "").entries)),
    Ids([("ann", "id-1", 1, 5, b"hash-8..")]),
    RoomEnds(),
    Closing(1, 3, b"d" * 32),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_read_as_it_was_written(record: AnyRecord) -> None:
    frame = frame_of(record)
    assert int.from_bytes(frame[:LENGTH_BYTES], "big") == len(frame) - LENGTH_BYTES
    assert record_of(frame[LENGTH_BYTES:]) == record


def test_outlines_ids_and_standings_come_out_as_they_went_in() -> None:
    assert outline_of(flat(OUTLINE)) == OUTLINE
    row = IdRow("ann", "id-1", 1, 5, b"hash")
    assert id_row((row.author, row.id, row.offset, row.at, row.body_hash)) == row
    assert Opening("s", 1, "p", 3, {1: 2}).standing() == Standing(3, {Slot(1): Term(2)})


def test_the_first_line_can_be_read_by_a_person() -> None:
    assert FIRST_LINE == b"parvis backup 2\n"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_value_error(data: bytes) -> None:
    for packed in (data, zlib.compress(data)):
        try:
            record_of(packed)
        except ValueError:
            continue


def test_a_frame_that_would_fill_the_memory_is_refused_before_it_does() -> None:
    with pytest.raises(ValueError, match="longer than it may be"):
        record_of(zlib.compress(bytes(FRAME_BYTES_MAX + 1)))


def test_what_follows_a_record_in_its_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than it may be"):
        record_of(frame_of(RoomEnds())[LENGTH_BYTES:] + b"more")
