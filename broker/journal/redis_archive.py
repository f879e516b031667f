"""A journal in Redis read as a whole, room by room, while its shards go on writing.

A room's outline is one script; its entries follow by their offsets up to the head that the
outline names, so what is added meanwhile is left out.  What is trimmed meanwhile lies at the
beginning, which is read first.  Redis keeps no chain but the heads': of a log whose beginning was
forgotten the digests are verified, and nothing else can be.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import dropwhile, islice
from typing import Final

from broker.journal.archive import (
    BEGINNING,
    PORTION_ENTRIES,
    PORTION_ROWS,
    Anchor,
    EpochOutline,
    Extent,
    RoomDamaged,
    Standing,
)
from broker.journal.codec import DECODE_ERRORS, decode_id, live_ids
from broker.journal.protocol import IdRow, JournalCorrupt, Row, Snapshot, Unavailable
from broker.journal.redis_calls import Lost, call_of, run_calls
from broker.journal.redis_keys import Keys, parse_head, parse_snapshot, row_name
from broker.journal.redis_rooms import ids_newest_first, read_entries, rows_after
from broker.journal.redis_store import examine, look_at_store
from broker.record import CHAIN_BYTES, Entry, Head
from runtime.closing import closed_on_error
from runtime.redis_client import RedisClient, Script
from runtime.redis_connection import RedisAway, Reply, ReplyError
from runtime.schema import RedisSettings
from shard_router.slots import slot_of
from wire.limits import SLOT_COUNT
from wire.names import Epoch, RoomName, Slot, Term, parse_room

CALL_DEADLINE_S: Final = 4.0
_SCAN_COUNT: Final = 1000
# Read before anything is made of a room: a trim takes RETENTION_EVERY_EVENTS or so, and not twice in a moment.
_AHEAD: Final = 5

OUTLINE: Final = Script("""#!lua flags=no-writes
-- KEYS: room, ends, ids, snapshot.  Answers head, at, first, all ended epochs with their ends, the newest id, the sequence
-- of its tables and the snapshot.
local room = redis.call('HMGET', KEYS[1], 'head', 'at', 'first', 'rows')
if not room[1] then return false end
local ends, newest_id = redis.call('HGETALL', KEYS[2]), redis.call('LINDEX', KEYS[3], -1)
return {room[1], room[2], room[3], ends, newest_id, room[4] or '0', redis.call('GET', KEYS[4])}
""")

TERM: Final = Script("""#!lua flags=no-writes
-- KEYS: slot.  Answers its term, 0 when it was never claimed.
return tonumber(redis.call('HGET', KEYS[1], 'term') or '0')
""")


@dataclass(frozen=True, slots=True)
class _Reading:
    """One room, from its outline on."""

    client: RedisClient
    keys: Keys
    name: RoomName
    epochs: Sequence[EpochOutline]
    newest_id: bytes | None
    ahead: Sequence[Sequence[Entry]]
    """The first portions of the first epoch, read together with the outline."""
    rows_seq: int
    snapshot: Snapshot | None

    def entries(self, epoch: EpochOutline) -> Iterator[Sequence[Entry]]:
        if epoch is not self.epochs[0]:
            yield from _portions(self.client, self.keys, self.name, epoch, epoch.first_kept - 1)
        else:
            yield from self.ahead
            after = self.ahead[-1][-1].offset if self.ahead else epoch.first_kept - 1
            yield from _portions(self.client, self.keys, self.name, epoch, after)

    def ids(self) -> Sequence[IdRow]:
        """Those that were there when the outline was read: a later one names an entry that is left out."""
        if self.newest_id is None:
            return []
        newest = decode_id(self.newest_id)
        with answering(self.client, f"room {self.name}"):
            rows = ids_newest_first(self.client, self.keys.ids(slot_of(self.name), self.name))
            return live_ids(dropwhile(lambda row: row != newest, rows), 0, 0)

    def rows(self) -> Iterator[Sequence[Row]]:
        """As they are when their page is read, which may be later than the outline."""
        key, after = self.keys.rows(slot_of(self.name), self.name), b"-"
        while True:
            with answering(self.client, f"room {self.name}"):
                found = rows_after(self.client, key, after, b"+", PORTION_ROWS)
            if not found:
                return
            yield found
            after = b"(%b\1" % row_name(found[-1].table, found[-1].key)


class RedisSource:
    """See `Source`.  The names of rooms are held, some 100 bytes each: a scan may show one twice."""

    def __init__(self, settings: RedisSettings, *, cluster: str) -> None:
        """Raises `JournalCorrupt` also when there is no journal of this cluster."""
        self._client = RedisClient(settings)
        self._keys = Keys(cluster)
        with closed_on_error(self._client), answering(self._client, "opening the journal"):
            examine(self._client)
            if look_at_store(self._client, self._keys) is None:
                raise JournalCorrupt(f"Redis {self._client.place}: there is no journal of a cluster {cluster}")
            self._store_id: str = self._client.call(self._keys.journal, "HGET", self._keys.journal, "store_id").decode()

    @property
    def store_id(self) -> str:
        return self._store_id

    def standing(self) -> Standing:
        with answering(self._client, "the terms"):
            return standing_of(self._client, self._keys)

    def extent(self) -> Extent:
        """A count would be a scan."""
        return Extent()

    def rooms(self) -> Generator[_Reading, None, None]:
        """In no order."""
        seen: set[RoomName] = set()
        for name in room_names(self._client, self._keys):
            if name not in seen:
                seen.add(name)
                reading = self._room(name)
                if reading is not None:
                    yield reading

    def close(self) -> None:
        self._client.close()

    def _room(self, name: RoomName) -> _Reading | None:
        """None for a room that is gone: only the end of an unfinished copy takes one away."""
        client, keys, slot = self._client, self._keys, slot_of(name)
        named = [keys.room(slot, name), keys.ends(slot, name), keys.ids(slot, name), keys.snapshot(slot, name)]
        for _ in range(_AHEAD):
            with answering(client, f"room {name}"):
                reply = client.run_script(OUTLINE, named, [])
                if reply is None:
                    return None
                epochs = _outlines(name, reply)
                snapshot = parse_snapshot(reply[6], epochs[-1].head)
                ahead = list(islice(_portions(client, keys, name, epochs[0], epochs[0].first_kept - 1), _AHEAD))
            # A trim came between the two when the first entry is not the first that was kept.
            if not ahead or ahead[0][0].offset == epochs[0].first_kept:
                break
        return _Reading(client, keys, name, epochs, reply[4], ahead, int(reply[5]), snapshot)


def room_names(client: RedisClient, keys: Keys) -> Iterator[RoomName]:
    """Every room of the cluster that was there when the scan began, some twice."""
    for key in scan(client, keys, "room"):
        name = parse_room(key.partition(b"}:room:")[2].decode())
        if name is not None:
            yield name


def scan(client: RedisClient, keys: Keys, kind: str) -> Iterator[bytes]:
    """Keys ``{NAME/SLOT}:kind:...`` of all primaries, some twice."""
    with answering(client, "its keys"), client.lock:
        addresses = [connection.name for connection in client.primaries()]
    for number in range(len(addresses)):
        cursor = b"0"
        while True:
            with answering(client, "its keys"), client.lock:
                primary = client.primaries()[number]
                reply = primary.call("SCAN", cursor, "MATCH", f"{{{keys.cluster}/*}}:{kind}:*", "COUNT", _SCAN_COUNT)
            if isinstance(reply, ReplyError):
                raise Unavailable(f"Redis {client.place} refuses to list its keys: {reply}")
            cursor, found = reply
            yield from found
            if cursor == b"0":
                break


def standing_of(client: RedisClient, keys: Keys) -> Standing:
    """Raises `Unavailable`, and what `answering` translates."""
    newest = int(client.call(keys.journal, "HGET", keys.journal, "map_version") or 0)
    calls = [call_of(TERM, [keys.slot(Slot(slot))]) for slot in range(SLOT_COUNT)]
    terms: dict[Slot, Term] = {}
    for slot, reply in enumerate(run_calls(client, calls, time.monotonic() + CALL_DEADLINE_S)):
        if isinstance(reply, Lost):
            raise Unavailable(f"{reply.sentence}; the terms could not be read")
        if reply:
            terms[Slot(slot)] = Term(reply)
    return Standing(newest, terms)


def _outlines(name: RoomName, reply: Sequence[Reply]) -> list[EpochOutline]:
    """The epochs of a room, oldest first."""
    try:
        head = parse_head(reply[0], int(reply[1]))
        assert head is not None, "a room that is there has a head"
        pairs = zip(reply[3][::2], reply[3][1::2], strict=True)
        ended = [_ended(epoch, end) for epoch, end in pairs]
        newest = _outline(head, int(reply[2]))
    except ValueError as error:
        raise RoomDamaged(name, f"its heads cannot be read: {error}") from error
    # Ends do not say which came first; time within a room never goes back.
    return [*sorted(ended, key=lambda epoch: epoch.head.at), newest]


def _ended(epoch: bytes, end: bytes) -> EpochOutline:
    first, last, at, ended_chain = end.split(b" ", 3)
    return _outline(Head(Epoch(epoch.decode()), int(last), ended_chain[:CHAIN_BYTES], int(at)), int(first))


def _outline(head: Head, first_kept: int) -> EpochOutline:
    return EpochOutline(head, first_kept, BEGINNING if first_kept == 1 else Anchor(head.offset, head.chain))


def _portions(client: RedisClient, keys: Keys, name: RoomName, epoch: EpochOutline, after: int) -> Iterator[Sequence[Entry]]:
    head = epoch.head
    while after < head.offset:
        with answering(client, f"room {name}"):
            limit = min(PORTION_ENTRIES, head.offset - after)
            entries = read_entries(client, keys, slot_of(name), name, head.epoch, after, limit)
        if not entries:
            return
        yield entries
        after = entries[-1].offset


@contextmanager
def answering(client: RedisClient, what: str) -> Iterator[None]:
    """What the world may do to a call, as a sentence that says which one."""
    try:
        yield
    except RedisAway as error:
        raise Unavailable(f"{error} ({what})") from error
    except ReplyError as error:
        raise Unavailable(f"Redis {client.place} refuses {what}: {error}") from error
    except (*DECODE_ERRORS, ValueError) as error:
        raise JournalCorrupt(f"Redis {client.place}: what is stored of {what} is damaged: {error}") from error
