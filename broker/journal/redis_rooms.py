"""One room out of Redis: head, tail and ids in one script, so that they belong together; history in another."""

from collections.abc import Iterator, Sequence
from typing import Final

from broker.journal.codec import bounded_tail, decode_entry, decode_rows, live_ids
from broker.journal.protocol import IdRow, LoadedRoom, Row
from broker.journal.redis_keys import Keys, parse_head, parse_row, parse_snapshot, row_name
from broker.journal.redis_scripts import LOAD, READ
from broker.record import Entry
from runtime.redis_client import RedisClient
from runtime.redis_connection import Reply
from wire.names import Epoch, RoomName, Slot, TableName

_ID_ROWS_PER_STEP: Final = 2000


def load_room(
    client: RedisClient, keys: Keys, slot: Slot, room: RoomName,
    tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int,
) -> LoadedRoom | None:  # fmt: skip
    """See `Journal.load`."""
    ids_key = keys.ids(slot, room)
    # One more than must be there: that one's age says whether older ones are asked for.
    ids_count = ids_min + 1
    reply = client.run_script(
        LOAD,
        [keys.room(slot, room), ids_key, keys.snapshot(slot, room)],
        [keys.log(slot, room, ""), tail_events, tail_bytes, ids_count],
    )
    if reply is None:
        return None
    name, at, first, rows_seq, tail, ids, snapshot = reply
    head = parse_head(name, int(at))
    assert head is not None, "a room that is there has a head"
    return LoadedRoom(
        head=head,
        tail=[decode_entry(entry) for entry in bounded_tail(present(tail), tail_events, tail_bytes, len)],
        ids=live_ids(_newest_first(client, ids_key, ids, ids_count), ids_since_ms, ids_min),
        first_offset=int(first),
        rows_seq=int(rows_seq),
        snapshot=parse_snapshot(snapshot, head),
    )


def read_entries(
    client: RedisClient, keys: Keys, slot: Slot, room: RoomName, epoch: Epoch, after: int, limit: int
) -> list[Entry]:
    """See `Journal.read`."""
    named = [keys.room(slot, room), keys.ends(slot, room), keys.log(slot, room, epoch)]
    return list(decoded(client.run_script(READ, named, [epoch, after, limit])))


def read_rows(
    client: RedisClient, keys: Keys, slot: Slot, room: RoomName, table: TableName, after_key: str, limit: int
) -> list[tuple[str, bytes]]:
    """See `Journal.rows`."""
    rows = rows_after(client, keys.rows(slot, room), b"(%b\1" % row_name(table, after_key), b"(%b\1" % table.encode(), limit)
    return [(row.key, row.value) for row in rows if row.value is not None]


def rows_after(client: RedisClient, key: str, after: bytes, before: bytes, limit: int) -> list[Row]:
    """At most `limit` rows between two places, as ZRANGEBYLEX has them."""
    return [parse_row(member) for member in client.call(key, "ZRANGEBYLEX", key, after, before, "LIMIT", 0, limit)]


def present(entries: Sequence[Reply]) -> Iterator[bytes]:
    """Entries of a range that is kept, as they are stored; raises ValueError when one is gone all the same."""
    for entry in entries:
        if entry is None:
            raise ValueError("an entry that is kept is not there")
        yield entry


def decoded(entries: Sequence[Reply]) -> Iterator[Entry]:
    """The same, decoded."""
    return map(decode_entry, present(entries))


def ids_newest_first(client: RedisClient, key: str) -> Iterator[IdRow]:
    """All ids of a room, read as far as they are asked for; one that is added meanwhile may shift some into view again."""
    newest = client.call(key, "LRANGE", key, -_ID_ROWS_PER_STEP, -1)
    return _newest_first(client, key, newest, _ID_ROWS_PER_STEP)


def _newest_first(client: RedisClient, key: str, newest: list[bytes], count: int) -> Iterator[IdRow]:
    """The ids of a room, read as far as they are asked for; `newest` are the last `count` or all of them.

    Places are counted from the newest.  An append meanwhile shows some rows again, which count
    once; what retention drops meanwhile was too old.
    """
    rows, seen = newest, 0
    while True:
        yield from reversed(decode_rows(rows))
        if len(rows) < count:
            return
        seen += len(rows)
        count = _ID_ROWS_PER_STEP
        rows = client.call(key, "LRANGE", key, -(seen + count), -(seen + 1))
