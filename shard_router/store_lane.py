"""Asking the directory's store from trio: each operation on the store's own lane, with an end to the waiting."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import ParamSpec, TypeVar

import trio
from structlog.typing import FilteringBoundLogger

from runtime.backoff import Backoff
from runtime.metrics import DirectoryCounters
from runtime.offload import Offload, OffloadTimeout
from shard_router.cluster_records import BadRecord
from shard_router.cluster_store import StoreAway
from shard_router.placement import BadSlotMap
from wire.limits import DIRECTORY_RETRY_BASE_S, LEASE_S, MAP_POLL_S

P = ParamSpec("P")
T = TypeVar("T")

UNREADABLE = (StoreAway, BadRecord, BadSlotMap)
"""What one attempt to use the directory may end with; the next one may succeed."""


class StoreLane:
    """`await lane(store.look, version)`; raises what the operation raises, and `StoreAway` for one that does not end."""

    def __init__(self, lane: Offload) -> None:
        self._lane = lane

    async def __call__(self, operation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._lane(partial(operation, *args, **kwargs), deadline_s=LEASE_S)
        except OffloadTimeout as error:
            raise StoreAway(str(error)) from error


class Outage:
    """One outage is two lines in the log, however often it is tried; and it is tried again at once when it is over."""

    def __init__(self, rng: Random, log: FilteringBoundLogger, counters: DirectoryCounters) -> None:
        self._log = log
        self._counters = counters
        # Capped low: a member that hears late that the store is back is missing a lease after the others' first read.
        self._backoff = Backoff(rng, DIRECTORY_RETRY_BASE_S, MAP_POLL_S)
        self._since: float | None = None
        self._reason = ""

    async def failed(self, error: Exception) -> None:
        """Note it, and wait a moment."""
        self._counters.failures += 1
        if self._since is None:
            self._since = trio.current_time()
        reason = f"{type(error).__name__}: {error}"
        if reason != self._reason:
            self._reason = reason
            self._log.warning("directory_away", error=str(error))
        await trio.sleep(self._backoff.next_delay())

    def over(self) -> None:
        """An attempt has succeeded."""
        if self._since is not None:
            self._log.info("directory_back", after_s=round(trio.current_time() - self._since, 3))
            self._since = None
            self._reason = ""
            self._backoff.reset()
