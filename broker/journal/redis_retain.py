"""Forgetting what is too old in one room of Redis, a thousand entries a call, so that nobody waits long for it."""

from bisect import bisect_left
from typing import Final

from broker.journal.codec import decode_id
from broker.journal.redis_keys import Keys
from broker.journal.redis_rooms import decoded
from broker.journal.redis_scripts import FORGET, TRIM_IDS
from broker.record import CHAIN_BYTES
from runtime.redis_client import RedisClient
from wire.names import RoomName, Slot

_ID_ROWS_PER_STEP: Final = 1000


def retain_room(
    client: RedisClient, keys: Keys, slot: Slot, room: RoomName,
    keep_after: int, entries_before_ms: int, ids_before_ms: int, ids_min: int,
) -> int:  # fmt: skip
    """See `Journal.retain`."""
    _forget_ids(client, keys.ids(slot, room), ids_before_ms, ids_min)
    key = keys.room(slot, room)
    name, first = client.call(key, "HMGET", key, "head", "first")
    if name is None:
        return 0
    if keep_after <= 0 and entries_before_ms <= 0:
        return int(first)
    last, _, epoch = name[CHAIN_BYTES:].partition(b" ")
    ends_key = keys.ends(slot, room)
    ended = client.call(ends_key, "HGETALL", ends_key)
    logs = [(name.decode(), *map(int, end.split(b" ", 2)[:2]), True) for name, end in zip(ended[::2], ended[1::2], strict=True)]
    logs.append((epoch.decode(), int(first), int(last), False))
    for epoch_name, kept_from, end, is_ended in logs:
        upto = keep_after
        if is_ended and keep_after > 0:
            # An ended epoch is older than anything in the newest one, so it goes first, and whole.
            upto = end
        log = keys.log(slot, room, epoch_name)
        if entries_before_ms > 0:
            upto = max(upto, _last_before(client, log, max(kept_from, upto + 1), end, entries_before_ms))
        if upto >= kept_from:
            while client.run_script(FORGET, [key, ends_key, log], [epoch_name, upto]):
                continue
    return int(client.call(key, "HGET", key, "first"))


def _last_before(client: RedisClient, log: str, first: int, last: int, before_ms: int) -> int:
    """The last offset of `first` to `last` that is older; times never go back in a log, so it is a search by halves."""

    def at_of(offset: int) -> int:
        (entry,) = decoded([client.call(log, "HGET", log, offset)])
        return entry.at

    offsets = range(first, last + 1)
    return first + bisect_left(offsets, before_ms, key=at_of) - 1


def _forget_ids(client: RedisClient, key: str, before_ms: int, ids_min: int) -> None:
    """Drop the ids that are not live, oldest first.

    Those that are kept for their number are counted from the newest, each id once; the rest
    is walked from the oldest, so it costs what goes and not what stays.
    """
    length = client.call(key, "LLEN", key)
    droppable = length - _rows_of_newest(client, key, length, ids_min)
    dropped, oldest = 0, None
    while dropped < droppable:
        stop = min(droppable, dropped + _ID_ROWS_PER_STEP)
        rows = client.call(key, "LRANGE", key, dropped, stop - 1)
        oldest = oldest or rows[0]
        old = sum(decode_id(row).at < before_ms for row in rows)
        dropped += old
        if old < len(rows):
            break
    if dropped and oldest is not None:
        client.run_script(TRIM_IDS, [key], [dropped, oldest])


def _rows_of_newest(client: RedisClient, key: str, length: int, ids_min: int) -> int:
    """How many of the newest rows hold the newest `ids_min` ids; all of them when there are fewer."""
    seen: set[tuple[str, str]] = set()
    counted = 0
    while counted < length and len(seen) < ids_min:
        rows = client.call(key, "LRANGE", key, -(counted + _ID_ROWS_PER_STEP), -(counted + 1))
        for row in reversed(rows):
            if len(seen) == ids_min:
                break
            found = decode_id(row)
            seen.add((found.author, found.id))
            counted += 1
    return counted


