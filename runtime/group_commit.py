"""Many small writes, one blocking commit: whoever waits, waits in company.

While one group is under way, what arrives waits; when it has ended, all that waits goes
into the next one, up to the bounds.  So the group grows with the load, and an idle system
pays for one write only.  At most one group is under way.

Writes of one key (a room) keep their order and are never side by side in a group: a group
takes one per key, round robin, or, where `merge` is given, several of a key as one write.
Every write's `done` is called exactly once, whatever happens: with its outcome, or with
`Unknown` when the store failed, took too long, or the committer ended first.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

import trio

from runtime.metrics import CommitCounters
from runtime.offload import Offload, OffloadTimeout

W = TypeVar("W")
O = TypeVar("O")  # noqa: E741 -- the outcome of a write


@dataclass(frozen=True, slots=True)
class Unknown:
    """It was written or it was not; the store never said."""

    reason: str


@dataclass(slots=True)
class _Pending(Generic[W, O]):
    """One submitted write and whom to tell."""

    write: W
    size: int
    done: Callable[[O | Unknown], None]


class GroupCommit(Generic[W, O]):
    """A committer; `submit` from the task that runs the event loop, `run` in a task of its own."""

    def __init__(
        self,
        commit: Callable[[Sequence[W]], Sequence[O]],
        offload: Offload,
        *,
        writes_max: int,
        bytes_max: int,
        size_of: Callable[[W], int],
        key_of: Callable[[W], Hashable],
        deadline_s: float,
        merge: Callable[[Sequence[W]], W] | None = None,
        counters: CommitCounters | None = None,
    ) -> None:
        """`commit` blocks, is given one write per key, and answers one outcome per write, in order.

        A group has at most `writes_max` writes (after merging) and `bytes_max` bytes by
        `size_of`; a single write beyond that goes alone.  `merge` joins writes of one key, in
        order; their `done`s then get the same outcome.  After `deadline_s` a group's outcome is
        `Unknown`, and the next group follows, behind the old one in its lane.
        """
        self._commit = commit
        self._offload = offload
        self._writes_max = writes_max
        self._bytes_max = bytes_max
        self._size_of = size_of
        self._key_of = key_of
        self._deadline_s = deadline_s
        self._merge = merge
        self.counters: Final = counters or CommitCounters()
        self._pending: dict[Hashable, deque[_Pending[W, O]]] = {}
        """By key, each in order; keys in the order of their turn.  Bounded by whoever submits."""
        self._untold: deque[_Pending[W, O]] = deque()
        """Of the group under way: those whose `done` has not been called."""
        self._arrived = trio.lowlevel.ParkingLot()
        self._became_idle = trio.lowlevel.ParkingLot()
        self._ended: str | None = None
        self.writes_pending = 0
        self.bytes_pending = 0
        self.counters.pending = lambda: self.writes_pending

    def submit(self, write: W, done: Callable[[O | Unknown], None]) -> None:
        """Queue one write.  `done` may submit again; it may not raise, and after the end it is called here."""
        if self._ended is not None:
            done(Unknown(self._ended))
            return
        size = self._size_of(write)
        self._pending.setdefault(self._key_of(write), deque()).append(_Pending(write, size, done))
        self.writes_pending += 1
        self.bytes_pending += size
        self._arrived.unpark()

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is under way."""
        return not self._pending and not self._untold

    async def wait_idle(self) -> None:
        """Wait until all that was submitted has its outcome; who still submits is waited for too."""
        while not self.is_idle:
            await self._became_idle.park()

    async def run(self) -> None:
        """Commit until cancelled; then everyone who still waits is told `Unknown`."""
        assert self._ended is None, "a committer runs once"
        try:
            while True:
                while not self._pending:
                    self._became_idle.unpark_all()
                    await self._arrived.park()
                await self._commit_group()
        finally:
            self._end("the committer ended before the write was answered")

    async def _commit_group(self) -> None:
        group = self._take()
        self._untold.extend(pending for one_key in group for pending in one_key)
        outcomes = await self._ask_store([self._join(one_key) for one_key in group])
        for one_key, outcome in zip(group, outcomes, strict=True):
            for pending in one_key:
                self._untold.popleft()
                pending.done(outcome)

    def _join(self, one_key: Sequence[_Pending[W, O]]) -> W:
        if len(one_key) == 1:
            return one_key[0].write
        assert self._merge is not None, "without a merge, a key has one write in a group"
        return self._merge([pending.write for pending in one_key])

    async def _ask_store(self, writes: Sequence[W]) -> Sequence[O | Unknown]:
        """One job on the lane; an outcome for each of `writes`, whatever becomes of it."""
        began = trio.current_time()
        try:
            outcomes = await self._offload(partial(self._commit, writes), deadline_s=self._deadline_s)
            reason = f"the store answered {len(outcomes)} outcomes for {len(writes)} writes"
        except OffloadTimeout as error:
            outcomes, reason = (), str(error)
        except Exception as error:  # noqa: BLE001 -- the boundary of the store: of any failure of its, all that is known is that nothing is
            outcomes, reason = (), f"{type(error).__name__}: {error}"
        self.counters.groups += 1
        self.counters.writes += len(writes)
        self.counters.seconds.observe(trio.current_time() - began)
        if len(outcomes) == len(writes):
            return outcomes
        self.counters.failures += 1
        return [Unknown(reason)] * len(writes)

    def _take(self) -> list[list[_Pending[W, O]]]:
        """The next group: first one write of each key in turn, then, merging, more of each."""
        group: dict[Hashable, list[_Pending[W, O]]] = {}
        room_left = self._bytes_max
        turn = list(self._pending)[: self._writes_max]
        while turn:
            again: list[Hashable] = []
            for key in turn:
                waiting = self._pending[key]
                if group and waiting[0].size > room_left:
                    return self._taken(group)
                pending = waiting.popleft()
                room_left -= pending.size
                group.setdefault(key, []).append(pending)
                if waiting and self._merge is not None:
                    again.append(key)
            turn = again
        return self._taken(group)

    def _taken(self, group: dict[Hashable, list[_Pending[W, O]]]) -> list[list[_Pending[W, O]]]:
        """Books of a group: what is left of its keys goes behind the keys that have not had a turn."""
        for key, one_key in group.items():
            self.writes_pending -= len(one_key)
            self.bytes_pending -= sum(pending.size for pending in one_key)
            rest = self._pending.pop(key)
            if rest:
                self._pending[key] = rest
        return list(group.values())

    def _end(self, reason: str) -> None:
        self._ended = reason
        told = Unknown(reason)
        left = [*self._untold, *(pending for waiting in self._pending.values() for pending in waiting)]
        self._untold.clear()
        self._pending.clear()
        self.writes_pending = self.bytes_pending = 0
        for pending in left:
            pending.done(told)
        self._became_idle.unpark_all()
