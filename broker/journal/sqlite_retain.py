"""Forgetting what is too old in one room of SQLite, at a price of what goes and not of what stays.

A row of `log` goes when neither its entries nor its ids are kept and it is not the head of
its epoch; until then what is forgotten of it is blanked.  Runs inside a transaction that the
caller began.
"""

import sqlite3
from collections.abc import Iterator
from typing import Final

from broker.journal.codec import decode_entries, encode_entries, encode_ids, live_ids
from broker.journal.protocol import IdRow
from broker.journal.sqlite_rooms import EPOCHS, OFFSET_MAX, ROOM, ids_newest_first
from wire.names import RoomName

_NOTHING: Final = encode_entries([])

_REWRITE_IDS: Final = "UPDATE log SET ids = ?3 WHERE epoch_no = ?1 AND first = ?2 AND ids <> ?3"
# `ids_from` keeps this from walking over rows that were blanked before.
_BLANK_IDS: Final = """
UPDATE log SET ids = NULL
WHERE epoch_no = ?1 AND first < ?2 AND first >= (SELECT ids_from FROM epochs WHERE epoch_no = ?1) AND ids IS NOT NULL
"""
_IDS_FROM: Final = "UPDATE epochs SET ids_from = max(ids_from, ?2) WHERE epoch_no = ?1"

_HEAD: Final = "SELECT n, last FROM log WHERE epoch_no = ?1 ORDER BY first DESC LIMIT 1"
_ROW_ACROSS: Final = "SELECT n, entries FROM log WHERE epoch_no = ?1 AND first <= ?2 AND last > ?2 ORDER BY first DESC LIMIT 1"
_REWRITE: Final = "UPDATE log SET entries = ?2 WHERE n = ?1"
_DROP: Final = """
DELETE FROM log WHERE epoch_no = ?1 AND first <= ?2 AND last <= ?2 AND n <> ?3
AND first < (SELECT ids_from FROM epochs WHERE epoch_no = ?1)
"""
_BLANK: Final = "UPDATE log SET entries = ?3 WHERE epoch_no = ?1 AND first <= ?2 AND last <= ?2 AND entries <> ?3"
# The first row of what is kept in an epoch that ends at or after a time; older ones are walked over, and then forgotten.
_ROW_SINCE: Final = """
SELECT first, entries FROM log
WHERE epoch_no = ?1 AND last >= (SELECT kept_from FROM epochs WHERE epoch_no = ?1) AND at >= ?2 ORDER BY first LIMIT 1
"""
_FIRST_KEPT: Final = "SELECT kept_from FROM epochs WHERE epoch_no = ?1"
_KEPT_FROM: Final = "UPDATE epochs SET kept_from = max(kept_from, ?2 + 1) WHERE epoch_no = ?1"


def retain_room(
    connection: sqlite3.Connection, room: RoomName, keep_after: int, ids_before_ms: int, ids_min: int, entries_before_ms: int
) -> int:
    """See `Journal.retain`."""
    found = connection.execute(ROOM, (room,)).fetchone()
    if found is None:
        return 0
    newest_no, last = found[0], found[3]
    _forget_ids(connection, room, (newest_no, last + 1), ids_before_ms, ids_min)
    if keep_after > 0 or entries_before_ms > 0:
        for epoch_no, _ in connection.execute(EPOCHS, (room,)).fetchall():
            # An ended epoch is older than anything in the newest one, so it goes first, and whole.
            upto = OFFSET_MAX if keep_after > 0 and epoch_no != newest_no else keep_after
            if entries_before_ms > 0:
                upto = max(upto, _last_before(connection, epoch_no, entries_before_ms))
            if upto > 0:
                _forget_entries(connection, epoch_no, upto)
    (first_kept,) = connection.execute(_FIRST_KEPT, (newest_no,)).fetchone()
    return int(first_kept)


def _last_before(connection: sqlite3.Connection, epoch_no: int, before_ms: int) -> int:
    """The last offset of an epoch that is older than a time."""
    row = connection.execute(_ROW_SINCE, (epoch_no, before_ms)).fetchone()
    if row is None:
        return OFFSET_MAX
    first, packed = row
    old = [entry.offset for entry in decode_entries(packed) if entry.at < before_ms]
    return int(old[-1] if old else first - 1)


def _forget_ids(
    connection: sqlite3.Connection, room: RoomName, end: tuple[int, int], before_ms: int, ids_min: int
) -> None:
    """Drop the ids that are not live.  `end` is the (epoch number, offset) where the next write will stand."""
    places: list[tuple[int, int, IdRow]] = []

    def seen() -> Iterator[IdRow]:
        for place in ids_newest_first(connection, room):
            places.append(place)
            yield place[2]

    live = set(live_ids(seen(), before_ms, ids_min))
    kept = [(place[:2], place[2]) for place in places if place[2] in live]
    oldest = kept[-1][0] if kept else end
    if kept:
        rows = [row for place, row in reversed(kept) if place == oldest]
        connection.execute(_REWRITE_IDS, (*oldest, encode_ids(rows)))
    for epoch_no, _ in connection.execute(EPOCHS, (room,)).fetchall():
        if epoch_no <= oldest[0]:
            below = oldest[1] if epoch_no == oldest[0] else OFFSET_MAX
            connection.execute(_BLANK_IDS, (epoch_no, below))
            connection.execute(_IDS_FROM, (epoch_no, below))


def _forget_entries(connection: sqlite3.Connection, epoch_no: int, keep_after: int) -> None:
    """Drop the entries up to `keep_after`; the row of the head stays, since it is the head."""
    head_n, last = connection.execute(_HEAD, (epoch_no,)).fetchone()
    keep_after = min(keep_after, last)
    across = connection.execute(_ROW_ACROSS, (epoch_no, keep_after)).fetchone()
    if across is not None:
        n, packed = across
        connection.execute(_REWRITE, (n, encode_entries([e for e in decode_entries(packed) if e.offset > keep_after])))
    connection.execute(_DROP, (epoch_no, keep_after, head_n))
    connection.execute(_BLANK, (epoch_no, keep_after, _NOTHING))
    connection.execute(_KEPT_FROM, (epoch_no, keep_after))
