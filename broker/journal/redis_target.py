"""A journal in Redis that is filled from elsewhere: the room itself last, the journal marked until all are there.

Of a room that was cut some of its log may be there; its head is not, and the next try begins
it anew.  The mark stands in place of the format, too, so that no program takes the journal for one.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from broker.journal.archive import CheckedRoom, EpochOutline, Standing, Unfinished
from broker.journal.codec import encode_entry, encode_id
from broker.journal.protocol import Unavailable
from broker.journal.redis_archive import CALL_DEADLINE_S, answering, room_names, scan, standing_of
from broker.journal.redis_calls import Call, Lost, call_of, run_calls
from broker.journal.redis_keys import Keys, head_name, row_name, snapshot_value
from broker.journal.redis_scripts import CLAIM, RAISE_MAP
from broker.journal.redis_store import FORMAT_VERSION, examine, mark_of, open_store, refuse_unfit
from broker.record import Entry
from runtime.closing import closed_on_error
from runtime.redis_client import RedisClient, Script
from runtime.redis_connection import Argument, ReplyError
from runtime.schema import RedisSettings
from shard_router.slots import slot_of
from wire.names import RoomName

FILLER: Final = "journal-filler"
_UNFINISHED_FORMAT: Final = "unfinished"
_STEP: Final = 1000
_REPEAT: Final = "it is unfinished: repeat the command when that is mended"

BEGIN: Final = Script("""#!lua
-- KEYS: journal.  ARGV: format, mark.
redis.call('HSET', KEYS[1], 'format', ARGV[1], 'unfinished', ARGV[2])
return 1
""")

PUT: Final = Script("""#!lua
-- KEYS: room, log, ends.  ARGV: head, at, first, sequence of its tables, number of ended epochs, then name and end of each,
-- offset and entry of each.  The last step of a room: from here on it is there.
local ends = 5 + 2 * ARGV[5]
for i = 6, ends, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
if #ARGV > ends then redis.call('HSET', KEYS[2], unpack(ARGV, ends + 1)) end
if ARGV[4] ~= '0' then redis.call('HSET', KEYS[1], 'rows', ARGV[4]) end
redis.call('HSET', KEYS[1], 'head', ARGV[1], 'at', ARGV[2], 'first', ARGV[3])
return 1
""")

SET_TERM: Final = Script("""#!lua
-- KEYS: slot.  ARGV: term, map version, owner.
redis.call('HSET', KEYS[1], 'term', ARGV[1], 'map', ARGV[2], 'owner', ARGV[3])
return 1
""")

FINISH: Final = Script("""#!lua
-- KEYS: journal.  ARGV: format, store id, map version.
redis.call('HSET', KEYS[1], 'format', ARGV[1], 'store_id', ARGV[2], 'map_version', ARGV[3])
redis.call('HDEL', KEYS[1], 'unfinished')
return 1
""")


class RedisTarget:
    """See `Target`."""

    def __init__(self, settings: RedisSettings, *, cluster: str, new_store_id: str, wait_replicas: int = 0) -> None:
        """Open the journal of `cluster`, or make it, empty and without a mark.  Raises `JournalCorrupt` or `Unavailable`.

        `wait_replicas` replicas have all of it before it is finished.
        """
        self._client = RedisClient(settings)
        self._keys = Keys(cluster)
        self._replicas = wait_replicas
        self.name = f"the journal {self._keys.journal} in Redis {self._client.place}"
        with closed_on_error(self._client), answering(self._client, "opening the journal"):
            refuse_unfit(examine(self._client))
            if self.unfinished() is None:
                open_store(self._client, self._keys, new_store_id)

    def unfinished(self) -> Unfinished | None:
        with answering(self._client, "its mark"):
            mark = self._client.call(self._keys.journal, "HGET", self._keys.journal, "unfinished")
        return mark_of(mark) if mark is not None else None

    def has_rooms(self) -> bool:
        return next(room_names(self._client, self._keys), None) is not None

    def begin(self, mark: Unfinished) -> None:
        """A shard that runs on the empty journal is fenced before anything is put."""
        client, keys = self._client, self._keys
        with answering(client, "the beginning"):
            before = standing_of(client, keys)
            if before.terms:
                newest = client.run_script(RAISE_MAP, [keys.journal], [before.map_version + 1])
                self._run([call_of(CLAIM, [keys.slot(slot)], newest, FILLER) for slot in before.terms])
            client.run_script(BEGIN, [keys.journal], [_UNFINISHED_FORMAT, msgspec.json.encode(mark)])

    def clear(self) -> None:
        assert self.unfinished() is not None, "only what is being filled is emptied"
        # Rooms first: what is left by a cut has no head.
        for kind in ("room", "log", "ids", "ends", "rows", "snapshot"):
            for key in scan(self._client, self._keys, kind):
                with answering(self._client, "emptying"):
                    self._client.call(key.decode(), "UNLINK", key)

    def has(self, room: RoomName) -> bool:
        key = self._keys.room(slot_of(room), room)
        with answering(self._client, f"room {room}"):
            return bool(self._client.call(key, "EXISTS", key))

    def put(self, room: CheckedRoom) -> None:
        client, keys, name, slot = self._client, self._keys, room.name, slot_of(room.name)
        ids_key, ends_key, room_key = keys.ids(slot, name), keys.ends(slot, name), keys.room(slot, name)
        rows_key, snapshot_key = keys.rows(slot, name), keys.snapshot(slot, name)
        logs = [keys.log(slot, name, epoch.head.epoch) for epoch in room.epochs]
        *ended, newest = room.epochs
        held: list[Argument] = []
        """A log and what comes into it next; the last of it comes together with the head."""
        with answering(client, f"room {name}"):
            client.call(room_key, "UNLINK", *logs, ids_key, ends_key, rows_key, snapshot_key)
            for epoch, log in zip(room.epochs, logs, strict=True):
                for portion in room.portions(epoch):
                    self._put_held(held)
                    held = [log, *_pairs(portion.entries)]
            if held and held[0] != logs[-1]:
                self._put_held(held)
                held = []
            for packed in _steps([encode_id(row) for row in room.ids()]):
                client.call(ids_key, "RPUSH", ids_key, *packed)
            for rows in room.rows():
                for members in _steps([b"%b\0%b" % (row_name(row.table, row.key), row.value or b"") for row in rows]):
                    client.call(rows_key, "ZADD", rows_key, *(part for member in members for part in (0, member)))
            if room.snapshot is not None:
                client.call(snapshot_key, "SET", snapshot_key, snapshot_value(newest.head.epoch, room.snapshot))
            ends = [part for epoch in ended for part in (epoch.head.epoch, _end_of(epoch))]
            head = newest.head
            arguments = [head_name(head), head.at, newest.first_kept, room.rows_seq, len(ended), *ends, *held[1:]]
            client.run_script(PUT, [room_key, logs[-1], ends_key], arguments)

    def _put_held(self, held: Sequence[Argument]) -> None:
        if held:
            self._client.call(str(held[0]), "HSET", *held)

    def finish(self, store_id: str, standing: Standing) -> None:
        client, keys = self._client, self._keys
        with answering(client, "the end"):
            after = standing.over(standing_of(client, keys))
            self._run([call_of(SET_TERM, [keys.slot(slot)], term, after.map_version, "") for slot, term in after.terms.items()])
            self._await_replicas()
            self._run([call_of(FINISH, [keys.journal], FORMAT_VERSION, store_id, after.map_version)])

    def close(self) -> None:
        self._client.close()

    def _run(self, calls: Sequence[Call]) -> None:
        for reply in run_calls(self._client, calls, time.monotonic() + CALL_DEADLINE_S, self._replicas):
            if isinstance(reply, Lost):
                raise Unavailable(f"{reply.sentence}; {_REPEAT}")

    def _await_replicas(self) -> None:
        """Everything so far is where the settings want it, on every primary."""
        if not self._replicas:
            return
        client = self._client
        with client.lock:
            for primary in client.primaries():
                # Half of what a connection waits for an answer, so that the answer is never late itself.
                got = primary.call("WAIT", self._replicas, int(client.timeout_s * 500))
                if isinstance(got, ReplyError) or got < self._replicas:
                    raise Unavailable(f"Redis {primary.name}: {got} of {self._replicas} replicas have all of it; {_REPEAT}")


def _pairs(entries: Sequence[Entry]) -> list[Argument]:
    return [part for entry in entries for part in (entry.offset, encode_entry(entry))]


def _steps(packed: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(packed), _STEP):
        yield packed[start : start + _STEP]


def _end_of(epoch: EpochOutline) -> bytes:
    head = epoch.head
    return b"%d %d %d %b" % (epoch.first_kept, head.offset, head.at, head.chain)
