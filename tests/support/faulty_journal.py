"""A journal that fails when a test says so: before, during or after the write, or that takes its time.

With no fault armed it is the journal it wraps, and passes the same contract suite.
"""

import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Literal, TypeVar

from broker.journal.protocol import CommitOutcome, Journal, LoadedRoom, Unavailable, Write
from broker.record import Entry
from wire.names import Epoch, RoomName, Slot, TableName, Term

Call = Literal["claim", "commit", "load", "read", "rows", "retain", "newest_map_version", "store_run"]
T = TypeVar("T")


class Fault(Enum):
    """When a call fails, seen from the store.  The caller sees `Unavailable` each time, and cannot tell which."""

    BEFORE = "before"
    """Nothing was done."""
    DURING = "during"
    """Done or not, by a coin of the seed: a write is whole or not at all."""
    AFTER = "after"
    """Done, and the answer was lost."""


class FaultyJournal:
    """Wraps `journal`.

    `calls` counts what was asked, `done` what reached the store, `failed` what was answered `Unavailable`.
    """

    def __init__(self, journal: Journal, rng: random.Random) -> None:
        self.calls: Counter[Call] = Counter()
        self.done: Counter[Call] = Counter()
        self.failed: Counter[Call] = Counter()
        self._journal = journal
        self._random = rng
        self._armed: dict[Call, deque[Fault]] = {}
        self._gates: dict[Call, threading.Event] = {}

    def fail(self, call: Call, fault: Fault, times: int = 1) -> None:
        """The next `times` of `call` that have no fault yet will fail."""
        self._armed.setdefault(call, deque()).extend([fault] * times)

    def heal(self) -> None:
        """Disarm every fault, and let go of every gate."""
        self._armed.clear()
        for gate in self._gates.values():
            gate.set()
        self._gates.clear()

    def hold(self, call: Call, gate: threading.Event) -> None:
        """From now on each `call` waits, before it does anything, until `gate` is set."""
        self._gates[call] = gate

    def _run(self, call: Call, effect: Callable[[], T]) -> T:
        self.calls[call] += 1
        if call in self._gates:
            self._gates[call].wait()
        armed = self._armed.get(call)
        fault = armed.popleft() if armed else None
        if fault is None:
            answer = effect()
            self.done[call] += 1
            return answer
        if fault is Fault.AFTER or (fault is Fault.DURING and self._random.random() < 0.5):
            effect()
            self.done[call] += 1
        self.failed[call] += 1
        raise Unavailable(f"{call} fails {fault.value} the write, as the test asked")

    @property
    def store_id(self) -> str:
        return self._journal.store_id

    def store_run(self) -> str:
        return self._run("store_run", self._journal.store_run)

    def newest_map_version(self) -> int:
        return self._run("newest_map_version", self._journal.newest_map_version)

    def claim(self, slots: Sequence[Slot], map_version: int, owner: str) -> Mapping[Slot, Term]:
        return self._run("claim", lambda: self._journal.claim(slots, map_version, owner))

    def commit(self, writes: Sequence[Write]) -> Sequence[CommitOutcome]:
        return self._run("commit", lambda: self._journal.commit(writes))

    def load(self, room: RoomName, tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int) -> LoadedRoom | None:
        return self._run("load", lambda: self._journal.load(room, tail_events, tail_bytes, ids_since_ms, ids_min))

    def read(self, room: RoomName, epoch: Epoch, after: int, limit: int) -> Sequence[Entry]:
        return self._run("read", lambda: self._journal.read(room, epoch, after, limit))

    def rows(self, room: RoomName, table: TableName, after_key: str, limit: int) -> Sequence[tuple[str, bytes]]:
        return self._run("rows", lambda: self._journal.rows(room, table, after_key, limit))

    def retain(self, room: RoomName, keep_after: int, ids_before_ms: int, ids_min: int, entries_before_ms: int = 0) -> int:
        return self._run("retain", lambda: self._journal.retain(room, keep_after, ids_before_ms, ids_min, entries_before_ms))

    def idle(self) -> None:
        self._journal.idle()

    def close(self) -> None:
        self._journal.close()
