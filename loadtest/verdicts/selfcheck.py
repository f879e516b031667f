"""A worker's watch over itself: how late its event loop wakes, and what the process uses.

The rules on it are in `loadtest/verdicts/fitness.py`; here is what has to be measured for them.
"""

import os
import resource
import time
from collections.abc import Callable
from typing import Final

import trio

from loadtest.figures.messages import Health
from loadtest.verdicts.fitness import Fitness
from loadtest.workers.arrivals import LATE_SLOT_S

# Often enough that a stall of LAG_US_MAX is seen whole but for a fifth; 50 wakes a second are 0.3 % of a core.
WAKE_EVERY_S: Final = 0.02
_PAGE_BYTES: Final = resource.getpagesize()
_DESCRIPTORS: Final = "/proc/self/fd"


class SelfCheck:
    """One for a worker, from the start of its run on.

    `run` is its one task; `looked_at` is called for each batch of slots, `take` for each beat,
    and `stops` for those after nothing is published any more.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.fitness = Fitness(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._lag_us_max = 0
        self._late_us_max = 0
        self._cpu_s = time.process_time()
        self._taken_at = monotonic()
        self._stops: list[str] | None = None

    async def run(self) -> None:
        """Sleep and note how late it was, until cancelled."""
        began = self._monotonic()
        while True:
            await trio.sleep(WAKE_EVERY_S)
            now = self._monotonic()
            late_us = max(0, int((now - began - WAKE_EVERY_S) * 1e6))
            self.fitness.woke(now - began, late_us)
            self._lag_us_max = max(self._lag_us_max, late_us)
            began = now

    def looked_at(self, late_us: list[int]) -> None:
        """How long after their moments the worker saw that these slots were due, whether or not anybody was free."""
        if late_us:
            latest = max(late_us)
            bound_us = int(LATE_SLOT_S * 1e6)
            self.fitness.looked_at_slots(len(late_us), sum(late > bound_us for late in late_us), latest)
            self._late_us_max = max(self._late_us_max, latest)

    def take(self) -> Health:
        """How it is doing, since the last call."""
        cpu_s, now = time.process_time(), self._monotonic()
        share = (cpu_s - self._cpu_s) / max(now - self._taken_at, 1e-6)
        health = Health(share, _rss_bytes(), self._lag_us_max, self._late_us_max, _open_descriptors())
        self._cpu_s, self._taken_at = cpu_s, now
        self._lag_us_max = self._late_us_max = 0
        self.fitness.beat(health)
        return health

    def stops(self) -> list[str]:
        """Why this worker's figures are worth nothing.  Judged at the first call, when the run is over: it is one verdict."""
        if self._stops is None:
            self._stops = self.fitness.stops()
        return self._stops


def _rss_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * _PAGE_BYTES


def _open_descriptors() -> int:
    # Since Linux 6.2 the folder's size is their number: listing 15,000 of them takes 5 ms, each second.
    return os.stat(_DESCRIPTORS).st_size or len(os.listdir(_DESCRIPTORS))
