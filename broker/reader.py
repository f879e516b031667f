"""The tasks that read the journal: rooms to load, and history that is older than memory.

The read lane has threads and a connection of its own, so a reader of old history does not
hold up a commit.  A few jobs are on the lane at once: a busy event loop looks at an answer
once in some 10 ms, and a shard that takes over a thousand rooms would wait that long for
each.  What waits is bounded: loads by the shard, reads here.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import trio
from structlog.typing import FilteringBoundLogger

from broker.effects import Effect, Load, Read
from broker.ids import kept_since_ms
from broker.journal.protocol import Journal, JournalCorrupt, Unavailable
from broker.load_room import Arrived, arrive
from broker.shard import Shard
from runtime.offload import Offload, OffloadTimeout
from wire.limits import MESSAGE_IDS_PER_ROOM_MIN, READS_WAITING_MAX, ROOM_TAIL_BYTES_MAX, ROOM_TAIL_EVENTS_MAX

# So many that the lane's threads have the next job at hand while the event loop is busy: 300 rooms that were opened at once on
# a saturated shard of a busy machine were there after 1.8 s, and one by one after 7.7.
JOBS_AT_ONCE: Final = 8


class Reader:
    """See the module; `run` is its task, owned by the server, and owns the others."""

    def __init__(
        self,
        shard: Shard,
        journal: Journal,
        lane: Offload,
        *,
        deadline_s: float,
        do: Callable[[Sequence[Effect]], None],
        wall_ms: Callable[[], int],
        log: FilteringBoundLogger,
    ) -> None:
        self._shard = shard
        self._journal = journal
        self._lane = lane
        self._deadline_s = deadline_s
        self._do = do
        self._wall_ms = wall_ms
        self._log = log
        self._loads: deque[Load] = deque()
        self._reads: deque[Read] = deque()
        self._woken = trio.lowlevel.ParkingLot()

    def load(self, effect: Load) -> None:
        """Queue a room; the shard asks once for each, and for at most ROOMS_LOADING_MAX at a time."""
        self._loads.append(effect)
        self._woken.unpark()

    def read(self, effect: Read) -> bool:
        """Queue a read; False when too many wait."""
        if len(self._reads) >= READS_WAITING_MAX:
            return False
        self._reads.append(effect)
        self._woken.unpark()
        return True

    async def run(self) -> None:
        """Read until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(JOBS_AT_ONCE):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        """One job after the other; rooms and history take turns, so neither starves the other."""
        while True:
            while not self._loads and not self._reads:
                await self._woken.park()
            if self._loads:
                await self._load(self._loads.popleft())
            if self._reads:
                await self._read(self._reads.popleft())

    async def _load(self, effect: Load) -> None:
        shard, name = self._shard, effect.room
        ids_since_ms = kept_since_ms(self._wall_ms())

        before = shard.room_before(name)

        def load() -> Arrived:
            # The room is made on the lane too: one with 50,000 live ids takes 90 ms, which would
            # be everybody's wait in the event loop.
            loaded = self._journal.load(
                name, ROOM_TAIL_EVENTS_MAX, ROOM_TAIL_BYTES_MAX, ids_since_ms, MESSAGE_IDS_PER_ROOM_MIN
            )
            return arrive(name, loaded, shard.store_id, before)

        try:
            arrived = await self._lane(load, deadline_s=self._deadline_s)
        except (Unavailable, OffloadTimeout, JournalCorrupt) as error:
            self._log.warning("room_load_failed", room=name, error=str(error))
            self._do(shard.on_load_failed(name))
        else:
            self._do(shard.on_loaded(arrived, trio.current_time(), self._wall_ms()))

    async def _read(self, effect: Read) -> None:
        job = partial(self._journal.read, effect.room, effect.epoch, effect.after, effect.upto - effect.after)
        try:
            entries = await self._lane(job, deadline_s=self._deadline_s)
        except (Unavailable, OffloadTimeout, JournalCorrupt) as error:
            self._log.warning("history_read_failed", room=effect.room, error=str(error))
            self._do(self._shard.on_read_failed(effect))
        else:
            self._do(self._shard.on_read(effect, entries))
