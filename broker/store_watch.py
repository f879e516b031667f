"""Whether the store is still the one it was.

A store that failed over may have forgotten what it acknowledged.  A room that is written to
finds out by itself, since each write names the head it builds on; this is for the rooms that
nobody writes to, whose readers must be told all the same.
"""

import math

import trio
from structlog.typing import FilteringBoundLogger

from broker.journal.protocol import Journal, Unavailable
from runtime.offload import Offload, OffloadTimeout
from wire.limits import STORE_LOOK_INTERVAL_S


class StoreWatch:
    """Asks the journal for its `store_run`; used by the committer alone, between its other calls of the lane."""

    def __init__(self, journal: Journal, lane: Offload, *, deadline_s: float, log: FilteringBoundLogger) -> None:
        self._journal = journal
        self._lane = lane
        self._deadline_s = deadline_s
        self._log = log
        self._run = ""
        self._look_at_s = -math.inf
        self._is_silent = False

    def look_soon(self) -> None:
        """Something has happened that a failover may have caused."""
        self._look_at_s = -math.inf

    async def has_changed(self) -> bool:
        """Ask, unless that was done within STORE_LOOK_INTERVAL_S; a store that does not answer is asked again then."""
        now = trio.current_time()
        if now < self._look_at_s:
            return False
        self._look_at_s = now + STORE_LOOK_INTERVAL_S
        try:
            run = await self._lane(self._journal.store_run, deadline_s=self._deadline_s)
        except (Unavailable, OffloadTimeout) as error:
            if not self._is_silent:
                self._log.warning("store_does_not_answer", error=str(error))
            self._is_silent = True
            return False
        self._is_silent = False
        before, self._run = self._run, run
        if run == before:
            return False
        if before:
            self._log.warning("store_changed", before=before, now=run)
        # The first answer tells nothing about what was loaded before it, if anything was.
        return True
