"""Entries and ids as the bytes a journal keeps: msgpack arrays, decoded strictly.

Shared by the engines, so that a journal can be copied from one to another row by row.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import Final, TypeVar

import msgspec

from broker.journal.protocol import Erasure, IdRow
from broker.record import Entry

# What msgspec raises on bytes that are no msgpack of ours.
DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode
_decode_entries = msgspec.msgpack.Decoder(list[Entry]).decode
_decode_entry = msgspec.msgpack.Decoder(Entry).decode
_decode_id = msgspec.msgpack.Decoder(IdRow).decode
_decode_ids = msgspec.msgpack.Decoder(list[IdRow]).decode


def encode_entries(entries: Sequence[Entry]) -> bytes:
    """The entries of one write; an entry is an array of its ten fields."""
    return _encode(entries)


def decode_entries(data: bytes) -> list[Entry]:
    """What `encode_entries` was given; raises one of `DECODE_ERRORS`."""
    return _decode_entries(data)


def encode_ids(rows: Sequence[IdRow]) -> bytes:
    """The ids of one write; a row is an array of its five fields."""
    return _encode(rows)


def decode_ids(data: bytes) -> list[IdRow]:
    """What `encode_ids` was given; raises one of `DECODE_ERRORS`."""
    return _decode_ids(data)


def encode_entry(entry: Entry) -> bytes:
    """One entry by itself."""
    return _encode(entry)


def decode_entry(data: bytes) -> Entry:
    """What `encode_entry` was given; raises one of `DECODE_ERRORS`."""
    return _decode_entry(data)


def encode_id(row: IdRow) -> bytes:
    """One id by itself."""
    return _encode(row)


def decode_id(data: bytes) -> IdRow:
    """What `encode_id` was given; raises one of `DECODE_ERRORS`."""
    return _decode_id(data)


def erased(entries: Sequence[Entry], erasures: Sequence[Erasure]) -> Sequence[Entry]:
    """`entries`, with those that `erasures` name as tombstones; the first reason stays."""
    reasons = {erasure.offset: erasure.reason for erasure in reversed(erasures)}
    return [
        entry.erased(reasons[entry.offset]) if entry.offset in reasons and not entry.removed else entry
        for entry in entries
    ]


def decode_rows(rows: Sequence[bytes]) -> list[IdRow]:
    """What `encode_id` was given for each, in one call; raises one of `DECODE_ERRORS`."""
    return _decode_ids(b"\xdd" + len(rows).to_bytes(4, "big") + b"".join(rows))


def stored_bytes(entry: Entry) -> int:
    """What an entry counts for in `tail_bytes`: its encoded length."""
    return len(_encode(entry))


def bounded_tail(newest_first: Iterable[T], events_max: int, bytes_max: int, size_of: Callable[[T], int]) -> list[T]:
    """The newest entries that fit both bounds, oldest first; it stops reading at the first that does not fit.

    They are entries (`stored_bytes`), or still as they are stored (`len`).
    """
    tail: list[T] = []
    room = bytes_max
    for entry in newest_first:
        room -= size_of(entry)
        if room < 0 or len(tail) == events_max:
            break
        tail.append(entry)
    tail.reverse()
    return tail


def live_ids(newest_first: Iterable[IdRow], since_ms: int, ids_min: int) -> list[IdRow]:
    """The ids used at or after `since_ms`, and at least the newest `ids_min`; oldest first.

    An id used twice counts once, at its newest use.  Ids of a room never go back in time, so
    reading stops at the first that is too old.
    """
    newest: dict[tuple[str, str], IdRow] = {}
    for row in takewhile(lambda row: row.at >= since_ms or len(newest) < ids_min, newest_first):
        newest.setdefault((row.author, row.id), row)
    return list(reversed(newest.values()))
