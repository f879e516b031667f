"""The model of a store that fails over, as Redis does: what its replica has not got is forgotten.

It acknowledges at once, or, with `wait_replicas`, when its replica has it.  Its replica follows after
`lag_s`, write by write in order.  `fail_over` makes the replica the store: entries, ids, erasures, terms and the
map's version that had not reached it are gone, and the store is another one (`store_run`).  With lag 0 it
is a journal like any other, and passes their contract.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from broker.journal.memory import MemoryJournal
from broker.journal.protocol import CommitOutcome, CommitVerdict, LoadedRoom, Unavailable, Write
from broker.record import Entry
from wire.names import Epoch, RoomName, Slot, TableName, Term

# How long a commit waits for the replica before it says that it does not know (COMMIT_DEADLINE_S is longer).
WAIT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Change:
    """One step of what the replica is sent.  `due_s` is when it has it."""

    due_s: float
    apply: Callable[[MemoryJournal], object]
    write: Write | None = None


class ForgetfulJournal:
    """See the module.

    `clock` says what time it is for lag and phases.  `changes` counts what the store was given: a test that
    owns no clock falls back to any moment with `fail_over(changes)`.
    """

    def __init__(self, store_id: str, *, clock: Callable[[], float] = lambda: 0.0, wait_replicas: int = 0) -> None:
        self.lag_s = 0.0
        self.wait_replicas = wait_replicas
        self.lives = 1
        self._store_id = store_id
        self._clock = clock
        self._lock = threading.RLock()
        self._store = MemoryJournal(store_id)
        self._changes: list[_Change] = []
        self._refusal = ""
        self._refuses_reads = False
        self._refuses_until_s = 0.0

    # --- what goes wrong --------------------------------------------------------------------------

    @property
    def changes(self) -> int:
        return len(self._changes)

    @property
    def contents(self) -> MemoryJournal:
        """What it holds, whatever phase it is in: for judges."""
        return self._store

    def refuse(self, why: str, until_s: float, *, reads: bool) -> None:
        """Until then nothing is done: READONLY and OOM refuse what changes something, LOADING and a dead server everything."""
        self._refusal, self._refuses_until_s, self._refuses_reads = why, until_s, reads

    def heal(self) -> None:
        """No phase any more; the replica has everything."""
        self._refuses_until_s = 0.0
        self.lag_s = 0.0
        with self._lock:
            self._changes = [_Change(0.0, change.apply, change.write) for change in self._changes]

    def fail_over(self, keep: int | None = None) -> list[Write]:
        """The replica takes over; answers the writes that it had not got.  `keep`: it has so many changes."""
        with self._lock:
            if keep is None:
                now = self._clock()
                keep = sum(change.due_s <= now for change in self._changes)
            lost = self._changes[keep:]
            self._store = self.as_of(keep)
            del self._changes[keep:]
            self.lives += 1
            return [change.write for change in lost if change.write is not None]

    def as_of(self, changes: int) -> MemoryJournal:
        """A store that was given the first `changes` changes."""
        store = MemoryJournal(self._store_id)
        with self._lock:
            for change in self._changes[:changes]:
                change.apply(store)
        return store

    # --- the journal ------------------------------------------------------------------------------

    @contextmanager
    def _asked(self, *, changes: bool) -> Iterator[MemoryJournal]:
        with self._lock:
            if self._clock() < self._refuses_until_s and (changes or self._refuses_reads):
                raise Unavailable(self._refusal)
            yield self._store

    def _replicate(self, apply: Callable[[MemoryJournal], object], write: Write | None = None) -> None:
        """The replica is sent what the store did just now; it never has a later change before an earlier one."""
        before = self._changes[-1].due_s if self._changes else 0.0
        self._changes.append(_Change(max(before, self._clock() + self.lag_s), apply, write))

    def _wait_for_replicas(self) -> None:
        """As WAIT does; nobody's time passes here, so what would be there in time is there."""
        if not self.wait_replicas or not self._changes:
            return
        late_s = self._changes[-1].due_s - self._clock()
        if late_s > WAIT_S:
            raise Unavailable(f"0 of {self.wait_replicas} replicas have it after {WAIT_S} s")
        now = self._clock()
        self._changes = [_Change(min(change.due_s, now), change.apply, change.write) for change in self._changes]

    @property
    def store_id(self) -> str:
        return self._store_id

    def store_run(self) -> str:
        with self._asked(changes=False):
            return f"{self._store_id}, life {self.lives}"

    def newest_map_version(self) -> int:
        with self._asked(changes=False) as store:
            return store.newest_map_version()

    def claim(self, slots: Sequence[Slot], map_version: int, owner: str) -> Mapping[Slot, Term]:
        with self._asked(changes=True) as store:
            terms = store.claim(slots, map_version, owner)
            self._replicate(lambda replica: replica.claim(slots, map_version, owner))
            self._wait_for_replicas()
            return terms

    def commit(self, writes: Sequence[Write]) -> Sequence[CommitOutcome]:
        with self._asked(changes=True) as store:
            outcomes = store.commit(writes)
            for write, outcome in zip(writes, outcomes, strict=True):
                if outcome.verdict is CommitVerdict.COMMITTED and is_change(write):
                    self._replicate(partial(_commit_again, write), write)
            self._wait_for_replicas()
            return outcomes

    def load(self, room: RoomName, tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int) -> LoadedRoom | None:
        with self._asked(changes=False) as store:
            return store.load(room, tail_events, tail_bytes, ids_since_ms, ids_min)

    def read(self, room: RoomName, epoch: Epoch, after: int, limit: int) -> Sequence[Entry]:
        with self._asked(changes=False) as store:
            return store.read(room, epoch, after, limit)

    def rows(self, room: RoomName, table: TableName, after_key: str, limit: int) -> Sequence[tuple[str, bytes]]:
        with self._asked(changes=False) as store:
            return store.rows(room, table, after_key, limit)

    def retain(self, room: RoomName, keep_after: int, ids_before_ms: int, ids_min: int, entries_before_ms: int = 0) -> int:
        with self._asked(changes=True) as store:
            first_kept = store.retain(room, keep_after, ids_before_ms, ids_min, entries_before_ms)
            self._replicate(lambda replica: replica.retain(room, keep_after, ids_before_ms, ids_min, entries_before_ms))
            return first_kept

    def idle(self) -> None:
        """Nothing to tidy."""

    def close(self) -> None:
        """Nothing to release."""


def is_change(write: Write) -> bool:
    """Whether it does more than to verify a head."""
    return bool(write.entries or write.erasures or write.rows or write.snapshot)


def _commit_again(write: Write, replica: MemoryJournal) -> None:
    (outcome,) = replica.commit([write])
    assert outcome.verdict is CommitVerdict.COMMITTED, "a replica does what its primary did"
