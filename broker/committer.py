"""The one task that writes: a group commit at a time, over all rooms, and the way back when its outcome is unknown.

While a group is on the lane, what is decided waits; then all of it, up to the bounds, is the
next group.  So a group grows with the load, and an idle shard pays for one write only.  A
group is formed when its turn comes, not when its events are decided: that is why a room's
events travel as one write, and why nothing follows a commit of unknown outcome before its
slots have been claimed again.
"""

import math
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from random import Random
from typing import Final, TypeVar

import trio
from structlog.typing import FilteringBoundLogger

from broker.effects import Effect, Retain
from broker.journal.protocol import CommitOutcome, CommitVerdict, Journal, StaleMap, Unavailable, Write
from broker.shard import Shard
from broker.store_watch import StoreWatch
from runtime.backoff import Backoff
from runtime.metrics import BrokerCounters
from runtime.offload import Offload, OffloadTimeout
from shard_router.placement import SlotMap
from wire.limits import (
    CLAIM_RETRY_BASE_S,
    CLAIM_RETRY_CAP_S,
    COMMIT_BYTES_MAX,
    COMMIT_SPACING_S,
    FENCES_MAX,
    FENCES_WITHIN_S,
    JOURNAL_IDLE_AFTER_S,
    MEND_BEFORE_MOVE_S,
    MESSAGE_IDS_PER_ROOM_MIN,
)
from wire.names import ShardId, Slot, Term

# What leaves open whether a job of the journal took effect.
UNKNOWN_OUTCOME: Final = (Unavailable, OffloadTimeout)


T = TypeVar("T")


class Committer:
    """See the module; `run` is its task, owned by the server."""

    def __init__(
        self,
        shard: Shard,
        journal: Journal,
        lane: Offload,
        *,
        owner: ShardId,
        deadline_s: float,
        do: Callable[[Sequence[Effect]], None],
        on_newer_map: Callable[[int], None],
        wall_ms: Callable[[], int],
        rng: Random,
        log: FilteringBoundLogger,
        counters: BrokerCounters,
    ) -> None:
        """`do` carries out effects; `deadline_s` bounds one commit or claim, from asking to knowing.

        `on_newer_map` is told of a map that the journal has seen and this shard has not.
        """
        self._shard = shard
        self._journal = journal
        self._lane = lane
        self._owner = owner
        self._deadline_s = deadline_s
        self._do = do
        self._on_newer_map = on_newer_map
        self._wall_ms = wall_ms
        self._rng = rng
        self._log = log
        self._counters = counters
        self._retains: deque[Retain] = deque()
        """What the journal may forget, at most one per loaded room and RETENTION_EVERY_EVENTS of its events."""
        self._fences: deque[float] = deque(maxlen=FENCES_MAX - 1)
        """When fenced slots were last claimed back."""
        self._next_map: SlotMap | None = None
        """The newest map that was not followed yet."""
        self._watch = StoreWatch(journal, lane, deadline_s=deadline_s, log=log)
        self._is_tidy = False
        """Whether nothing was written since the journal last tidied up."""
        self._group_began_s = -math.inf
        self._woken = trio.lowlevel.ParkingLot()
        self._is_waiting = False
        self._settled = trio.lowlevel.ParkingLot()

    def wake(self) -> None:
        """There may be something to write.  Called for every command, so it costs nothing while a commit is under way."""
        if self._is_waiting:
            self._is_waiting = False
            self._woken.unpark()

    def follow(self, slot_map: SlotMap) -> None:
        """Claim and release what this map says, as soon as no group is under way."""
        self._next_map = slot_map
        self.wake()

    def retain(self, effect: Retain) -> None:
        self._retains.append(effect)
        self.wake()

    async def wait_settled(self) -> None:
        """Wait until everything that was decided has its outcome."""
        while not self._shard.is_settled:
            await self._settled.park()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            if self._next_map is not None:
                await self._follow(self._next_map)
            await self._wait_for_company()
            writes = self._shard.take_group()
            if writes:
                self._is_tidy = False
                await self._commit(writes)
            await self._watch_store()
            self._settled.unpark_all()
            if self._next_map is not None:
                continue
            if self._retains:
                await self._retain_one()
            elif not self._shard.has_writes:
                await self._wait_for_work()

    async def _wait_for_company(self) -> None:
        """Keep groups COMMIT_SPACING_S apart: nothing for the first of a quiet shard, nothing once a group is full."""
        shard = self._shard
        pause_s = self._group_began_s + COMMIT_SPACING_S - trio.current_time()
        if pause_s > 0 and shard.has_writes and shard.pending_bytes < COMMIT_BYTES_MAX:
            await trio.sleep(pause_s)
        self._group_began_s = trio.current_time()

    async def _wait_for_work(self) -> None:
        """Wait for something to write, or until the store is to be looked at."""
        with trio.move_on_after(JOURNAL_IDLE_AFTER_S):
            await self._wait_woken()
            return
        if not self._is_tidy:
            self._is_tidy = True
            await self._upkeep(self._journal.idle)

    async def _wait_woken(self) -> None:
        self._is_waiting = True
        try:
            await self._woken.park()
        finally:
            self._is_waiting = False

    async def _commit(self, writes: Sequence[Write]) -> None:
        counters = self._counters.commit
        counters.groups += 1
        counters.writes += len(writes)
        began = trio.current_time()
        try:
            outcomes = await self._lane(partial(self._journal.commit, writes), deadline_s=self._deadline_s)
        except UNKNOWN_OUTCOME as error:
            counters.failures += 1
            await self._recover(writes, error)
        else:
            unsure: Sequence[Write] = ()
            if any(outcome.verdict is CommitVerdict.UNKNOWN for outcome in outcomes):
                counters.failures += 1
                writes, outcomes, unsure = parted(writes, outcomes)
            repairs, repaired = self._counters.repairs, self._counters.events_repaired
            self._do(self._shard.on_outcomes(writes, outcomes, trio.current_time(), self._wall_ms()))
            self._report(outcomes)
            if self._counters.events_repaired > repaired:
                self._log.warning(
                    "forgotten_events_written_again",
                    events=self._counters.events_repaired - repaired, rooms_done=self._counters.repairs - repairs,
                )  # fmt: skip
            fenced = {w.slot for w, outcome in zip(writes, outcomes, strict=True) if outcome.verdict is CommitVerdict.FENCED}
            if unsure:
                await self._recover(unsure, Unavailable("a part of the journal did not answer"))
            elif fenced:
                await self._claim_back(fenced)
        finally:
            counters.seconds.observe(trio.current_time() - began)

    def _report(self, outcomes: Sequence[CommitOutcome]) -> None:
        """What an operator should hear of: never in an ordinary commit."""
        odd = [outcome.verdict.value for outcome in outcomes if outcome.head is not None or outcome.verdict.value == "fenced"]
        if odd:
            self._watch.look_soon()
            self._log.warning("writes_refused", outcomes=sorted(set(odd)), writes=len(odd))

    async def _claim_back(self, slots: set[Slot]) -> None:
        """Find out who fenced these slots: a new owner by a newer map, or an earlier life of this shard.

        A claim that a killed process had under way can reach the store after the claims of its
        successor.  Stepping down would then leave the slots without an owner until somebody
        restarts it.  So the shard asks once more, under the map it has: a newer one says no.
        Two processes of one name cannot claim in turns for ever: who was fenced FENCES_MAX
        times within FENCES_WITHIN_S steps down, unless the store was another one each time and had
        forgotten the claim.
        """
        now = trio.current_time()
        if await self._watch_store():
            self._fences.clear()
        if len(self._fences) == FENCES_MAX - 1 and now - self._fences[0] < FENCES_WITHIN_S:
            self._log.error("slots_lost", slots=len(slots), error=f"fenced {FENCES_MAX} times: is this shard running twice?")
            self._do(self._shard.on_slots_lost(slots))
            return
        terms = await self._claim_or_lose(slots)
        if terms is not None:
            self._fences.append(now)
            self._log.warning("slots_claimed_back", slots=len(slots))
            self._do(self._shard.on_claimed_back(terms))

    # --- the map ----------------------------------------------------------------------------------

    async def _follow(self, slot_map: SlotMap) -> None:
        """Release what the map gives to others, claim what it gives to us; nothing is under way meanwhile."""
        self._next_map = None
        mine = slot_map.slots_of(self._owner)
        began = trio.current_time()
        await self._mend_before_leaving(mine)
        gained, effects = self._shard.follow(mine, slot_map.version)
        self._do(effects)
        if gained:
            try:
                terms = await self.claim(gained, slot_map.version)
            except StaleMap as stale:
                self._log.warning("claim_refused", slots=len(gained), error=str(stale))
                self._do(self._shard.on_claim_refused(gained))
                self._on_newer_map(stale.newest)
                return
            self._do(self._shard.own(terms, trio.current_time()))
        self._log.info(
            "map_followed", map_version=slot_map.version, slots=len(mine), claimed=len(gained),
            took_s=round(trio.current_time() - began, 3),
        )  # fmt: skip

    async def _mend_before_leaving(self, mine: Collection[Slot]) -> None:
        """What the store has forgotten of slots that are lost is known here and nowhere else: it is written again first.

        Not for longer than MEND_BEFORE_MOVE_S: the new owner waits, and who has seen more tells it.
        """
        if not self._shard.speaks_beyond(mine):
            return
        self._watch.look_soon()
        await self._watch_store()
        deadline = trio.current_time() + MEND_BEFORE_MOVE_S
        while self._shard.owes_the_journal(mine) and trio.current_time() < deadline:
            writes = self._shard.take_group()
            if not writes:
                return
            await self._commit(writes)

    async def _claim_or_lose(self, slots: set[Slot]) -> Mapping[Slot, Term] | None:
        """Claim slots of ours once more; None, and they are released, when a newer map may have given them away."""
        try:
            return await self.claim(sorted(slots), self._shard.map_version)
        except StaleMap as stale:
            self._log.warning("slots_lost", slots=len(slots), error=str(stale))
            self._do(self._shard.on_slots_lost(slots))
            self._on_newer_map(stale.newest)
            return None

    # --- a store that may have forgotten --------------------------------------------------------

    async def _watch_store(self) -> bool:
        """Have every head verified when the store is not the one it was; answers whether it is."""
        if not await self._watch.has_changed():
            return False
        rooms = self._shard.verify_heads()
        if rooms:
            self._counters.store_changes += 1
            self._log.warning("heads_to_verify", rooms=rooms)
        return True

    # --- unknown outcomes -----------------------------------------------------------------------

    async def _recover(self, writes: Sequence[Write], error: Exception) -> None:
        """Fence whatever may still be under way, then have the rooms read again.

        Until the claim succeeds nothing else is asked of the journal: reading before it could
        miss a write that lands late.
        """
        self._log.warning("commit_outcome_unknown", writes=len(writes), error=str(error))
        self._watch.look_soon()
        nothing_done = isinstance(error, Unavailable) and error.nothing_done
        slots, effects = self._shard.on_unknown(writes, nothing_done)
        self._do(effects)
        terms = await self._claim_or_lose(slots)
        if terms is not None:
            self._log.info("slots_reclaimed", slots=len(slots))
            self._do(self._shard.on_reclaimed(terms))

    async def claim(self, slots: Sequence[Slot], map_version: int) -> Mapping[Slot, Term]:
        """Claim until the journal has an answer; raises `StaleMap` when that is no."""
        backoff = Backoff(self._rng, CLAIM_RETRY_BASE_S, CLAIM_RETRY_CAP_S)
        while True:
            try:
                terms = await self._lane(
                    partial(self._journal.claim, slots, map_version, self._owner), deadline_s=self._deadline_s
                )
            except UNKNOWN_OUTCOME as error:
                # Publishers need not wait for the journal to find out: their commits would fare no better.
                self._shard.tell_journal_away(True)
                pause_s = backoff.next_delay()
                self._log.warning("claim_failed", slots=len(slots), error=str(error), again_in_s=round(pause_s, 3))
                await trio.sleep(pause_s)
            else:
                self._shard.tell_journal_away(False)
                return terms

    # --- upkeep -----------------------------------------------------------------------------------

    async def _retain_one(self) -> None:
        effect = self._retains.popleft()
        first_kept = await self._upkeep(
            partial(
                self._journal.retain, effect.room, effect.keep_after, effect.ids_before_ms, MESSAGE_IDS_PER_ROOM_MIN,
                effect.entries_before_ms,
            )
        )  # fmt: skip
        if first_kept:
            self._do(self._shard.on_retained(effect.room, first_kept))

    async def _upkeep(self, job: Callable[[], T]) -> T | None:
        """A job that nobody waits for: one that fails is told, and comes up again by itself; None then."""
        try:
            return await self._lane(job, deadline_s=self._deadline_s)
        except UNKNOWN_OUTCOME as error:
            self._log.warning("upkeep_failed", error=str(error))
            return None


def parted(
    writes: Sequence[Write], outcomes: Sequence[CommitOutcome]
) -> tuple[Sequence[Write], Sequence[CommitOutcome], Sequence[Write]]:
    """A group of which a part is unknown: the writes that were judged, their outcomes, and those to be claimed for.

    What was fenced goes with what is unknown: a claim is what both need, and its answer settles both.
    """
    needs_claim = (CommitVerdict.UNKNOWN, CommitVerdict.FENCED)
    pairs = list(zip(writes, outcomes, strict=True))
    known = [pair for pair in pairs if pair[1].verdict not in needs_claim]
    unsure = [write for write, outcome in pairs if outcome.verdict in needs_claim]
    return [write for write, _ in known], [outcome for _, outcome in known], unsure
