"""The journal in Redis or Valkey: what shards on several machines share.

Each room's write is one Lua script that verifies and stores (redis_scripts.py); a group is a
plain pipeline of them to each primary, sent to all before any answer is read (redis_calls.py).
How much of what was acknowledged outlives a crash is the operator's choice of appendonly,
appendfsync, replicas and `journal.wait_replicas`; what a failover forgot is found by heads
(`store_run` says when to look).  Writes have one client (the lane's), reads another.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from broker.journal.codec import DECODE_ERRORS
from broker.journal.protocol import CommitOutcome, JournalCorrupt, LoadedRoom, StaleMap, Unavailable, Write
from broker.journal.redis_calls import Lost, call_of, run_calls
from broker.journal.redis_commit import commit_group
from broker.journal.redis_keys import Keys
from broker.journal.redis_retain import retain_room
from broker.journal.redis_rooms import load_room, read_entries, read_rows
from broker.journal.redis_scripts import CLAIM, COMMIT, COMMIT_TABLES, RAISE_MAP
from broker.journal.redis_store import FORMAT_VERSION, ServerFacts, examine, open_store, refuse_unfit
from broker.record import Entry
from runtime.closing import closed_on_error
from runtime.redis_client import RedisClient
from runtime.redis_connection import RedisAway, ReplyError, code_of
from runtime.schema import RedisSettings
from shard_router.slots import slot_of
from wire.names import Epoch, RoomName, Slot, TableName, Term

# Below COMMIT_DEADLINE_S: the lane should know its own failure before its caller stops waiting for it.
CALL_DEADLINE_S: Final = 4.0
_DAMAGED: Final = (*DECODE_ERRORS, ValueError)


class RedisJournal:
    """See `Journal`.  Safe to share between threads: writes wait for writes, reads for reads."""

    def __init__(
        self,
        settings: RedisSettings,
        *,
        cluster: str,
        new_store_id: str,
        wait_replicas: int = 0,
        deadline_s: float = CALL_DEADLINE_S,
        slot_of: Callable[[RoomName], Slot] = slot_of,
    ) -> None:
        """Open the journal of `cluster`, or make it with `new_store_id` when there is none.

        Raises `JournalCorrupt` or `Unavailable` with a sentence that names server and cause.
        `wait_replicas` replicas must have a write before it counts as committed; `deadline_s`
        bounds a commit or claim, and is how long they are asked.
        """
        self._lane = RedisClient(settings, [COMMIT, COMMIT_TABLES, CLAIM])
        self._reader = RedisClient(settings)
        self._keys = Keys(cluster)
        self._replicas = wait_replicas
        self._deadline_s = deadline_s
        self._slot_of = slot_of
        with closed_on_error(self._lane), self._answering("opening the journal"):
            self.facts: Sequence[ServerFacts] = examine(self._lane)
            refuse_unfit(self.facts)
            self._store_id = self._open(new_store_id)

    def _open(self, new_store_id: str) -> str:
        try:
            return open_store(self._lane, self._keys, new_store_id)
        except ReplyError as error:
            key = self._keys.journal
            if code_of(error) != "WRONGTYPE":
                raise
            raise JournalCorrupt(f"{key} in Redis {self._lane.place} is not a journal of parvis: {error}") from error

    @property
    def store_id(self) -> str:
        return self._store_id

    def store_run(self) -> str:
        with self._answering("which life of it answers"):
            self.facts = examine(self._lane)
        return ",".join(server.run for server in self.facts)

    def newest_map_version(self) -> int:
        key = self._keys.journal
        with self._answering("the map version"):
            return int(self._reader.call(key, "HGET", key, "map_version") or 0)

    def claim(self, slots: Sequence[Slot], map_version: int, owner: str) -> Mapping[Slot, Term]:
        """See `Journal.claim`.  Of a cluster's slots some may be claimed when this raises: whoever asks again claims all."""
        wanted = list(dict.fromkeys(slots))
        with self._answering("a claim"):
            newest = self._lane.run_script(RAISE_MAP, [self._keys.journal], [map_version, FORMAT_VERSION, self._store_id])
            if newest > map_version:
                raise StaleMap(map_version, newest)
            calls = [call_of(CLAIM, [self._keys.slot(slot)], map_version, owner) for slot in wanted]
            replies = run_calls(self._lane, calls, time.monotonic() + self._deadline_s, self._replicas)
        terms: dict[Slot, Term] = {}
        for slot, reply in zip(wanted, replies, strict=True):
            if isinstance(reply, Lost):
                raise Unavailable(f"{reply.sentence}; slots were not claimed")
            if reply < 0:
                raise StaleMap(map_version, -reply)
            terms[slot] = Term(reply)
        return terms

    def commit(self, writes: Sequence[Write]) -> Sequence[CommitOutcome]:
        with self._answering("a commit"):
            return commit_group(self._lane, self._keys, writes, time.monotonic() + self._deadline_s, self._replicas)

    def load(self, room: RoomName, tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int) -> LoadedRoom | None:
        with self._answering(f"room {room}"):
            return load_room(
                self._reader, self._keys, self._slot_of(room), room, tail_events, tail_bytes, ids_since_ms, ids_min
            )

    def read(self, room: RoomName, epoch: Epoch, after: int, limit: int) -> Sequence[Entry]:
        with self._answering(f"room {room}, epoch {epoch}"):
            return read_entries(self._reader, self._keys, self._slot_of(room), room, epoch, after, limit)

    def rows(self, room: RoomName, table: TableName, after_key: str, limit: int) -> Sequence[tuple[str, bytes]]:
        with self._answering(f"room {room}, table {table}"):
            return read_rows(self._reader, self._keys, self._slot_of(room), room, table, after_key, limit)

    def retain(self, room: RoomName, keep_after: int, ids_before_ms: int, ids_min: int, entries_before_ms: int = 0) -> int:
        with self._answering(f"retention of room {room}"):
            return retain_room(
                self._lane, self._keys, self._slot_of(room), room, keep_after, entries_before_ms, ids_before_ms, ids_min
            )

    def idle(self) -> None:
        """Nothing to tidy: Redis does it by itself."""

    def close(self) -> None:
        """The connections.  What was committed stays."""
        self._lane.close()
        self._reader.close()

    @contextmanager
    def _answering(self, what: str) -> Iterator[None]:
        """What the world may do to a call, as `Unavailable` with a sentence that says which one."""
        try:
            yield
        except RedisAway as error:
            raise Unavailable(f"{error} ({what})", nothing_done=not error.maybe_done) from error
        except ReplyError as error:
            raise Unavailable(f"Redis {self._lane.place} refuses {what}: {error}") from error
        except _DAMAGED as error:
            raise Unavailable(f"Redis {self._lane.place}: what is stored of {what} is damaged: {error}") from error
