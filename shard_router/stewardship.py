"""What a shard does for the whole cluster: it confirms hints, campaigns when there is no steward, and as steward writes maps.

Each shard runs this after every look at the directory, so a new steward knows from the first moment
what its predecessor knew.  What to write is decided in shard_router/steward.py; that only the
steward of the day can write is the store's doing.
"""

from collections.abc import Callable

import trio
from structlog.typing import FilteringBoundLogger

from runtime.metrics import DirectoryCounters
from shard_router.cluster_records import ClusterPlan, MemberRecord, Stewardship, View, member_key
from shard_router.cluster_store import ClusterStore
from shard_router.joining import Probe, address_in
from shard_router.lease import Watch
from shard_router.placement import SlotMap, changed_slots
from shard_router.steward import Placer, plan_with_newcomers
from shard_router.store_lane import UNREADABLE, StoreLane
from wire.limits import LEASE_S, MEMBER_FORGOTTEN_S
from wire.names import ShardId


class StewardDuty:
    """The part of a shard's directory that acts for all."""

    def __init__(
        self, store: ClusterStore, ask: StoreLane, watch: Watch, *,
        probe: Probe, wake: Callable[[], None], log: FilteringBoundLogger, counters: DirectoryCounters,
    ) -> None:  # fmt: skip
        """`wake` asks for another look at the directory at once."""
        self._store = store
        self._ask = ask
        self._watch = watch
        self._probe = probe
        self._wake = wake
        self._log = log
        self._counters = counters
        self._placer = Placer()
        self._plan = ClusterPlan()
        """The newest plan ever seen."""
        self._waiting_since: float | None = None
        """Since when there are members and not the map that should be."""
        self._probing: set[tuple[ShardId, str]] = set()
        """Hints that are being looked into."""

    async def step(self, view: View, own: MemberRecord, known_map: SlotMap | None) -> bool:
        """Do the next thing there is to do, if any; True: something was written, so look again."""
        self._note_plan(view)
        if view.steward.is_held_by(own):
            return await self._act(view, own, known_map)
        self._waiting_since = None
        if self._is_vacant(view):
            return await self._campaign(view, own)
        return False

    # --- who is steward -----------------------------------------------------------------------

    def _is_vacant(self, view: View) -> bool:
        """Whether the steward is gone: it resigned, its record is another's or nobody's, or it is missing."""
        steward = view.steward
        record = view.members.get(steward.holder)
        return record is None or not steward.is_held_by(record) or not self._watch.is_alive(steward.holder)

    async def _campaign(self, view: View, own: MemberRecord) -> bool:
        if await self._ask(self._store.campaign, own, view.steward.token):
            self._log.info("became_steward", token=view.steward.token + 1, instead_of=view.steward.holder)
        return True

    # --- as steward ---------------------------------------------------------------------------

    def _note_plan(self, view: View) -> None:
        if view.plan.version > self._plan.version:
            self._plan = view.plan

    def _alive_shards(self, view: View, own: MemberRecord) -> dict[ShardId, MemberRecord]:
        return {
            ShardId(record.id): record for record in view.shards() if record.key == own.key or self._watch.is_alive(record.key)
        }

    async def _act(self, view: View, own: MemberRecord, known_map: SlotMap | None) -> bool:
        is_incomplete = known_map is None or view.map_version < known_map.version
        if is_incomplete and not self._has_waited_a_lease():
            return False
        if any(key != own.key and view.members[key].role == "shard" for key in self._watch.unproven()):
            # After a stall no shard is judged, and none is given slots, until all have had their lease.
            return False
        alive = self._alive_shards(view, own)
        if view.plan.version < self._plan.version:
            self._log.warning("plan_restored", version=self._plan.version, found=view.plan.version)
            return await self._ask(self._store.write_plan, self._plan, view.plan.version)
        newer = plan_with_newcomers(view.plan, alive, is_founding=known_map is None)
        if newer is not None:
            self._log.info("shards_met", shards=sorted(alive.keys() - view.plan.weights.keys()), plan_version=newer.version)
            return await self._ask(self._store.write_plan, newer, view.plan.version)
        return await self._write_map(view, alive, known_map) or await self._forget_one(view)

    def _has_waited_a_lease(self) -> bool:
        """Whether a directory without a map, or with one that forgot, has had a lease for all to write themselves into it."""
        now = trio.current_time()
        if self._waiting_since is None:
            self._waiting_since = now
        return now - self._waiting_since >= LEASE_S

    async def _write_map(self, view: View, alive: dict[ShardId, MemberRecord], known_map: SlotMap | None) -> bool:
        reported = [record.report.map_version for record in view.members.values()]
        if known_map is not None:
            reported.append(known_map.version)
        # On the lane's thread: placing many shards takes longer than a shard's readers should wait.
        new = await self._ask(
            self._placer.next_map, known_map, view.plan, alive, stored=view.map_version, reported=reported
        )
        if new is None or not await self._ask(self._store.write_map, new, view.steward, view.map_version):
            return False
        self._waiting_since = None
        moved = len(changed_slots(known_map, new)) if known_map is not None else len(new.owners)
        self._counters.maps_written += 1
        self._log.info("map_written", map_version=new.version, shards=list(new.shards), slots_moved=moved)
        return True

    async def _forget_one(self, view: View) -> bool:
        """Take out the record of a member that has been missing for long; its name and weight stay in the plan."""
        now = trio.current_time()
        for key, record in view.members.items():
            since = self._watch.missing_since(key)
            if since is not None and now - since >= MEMBER_FORGOTTEN_S:
                await self._ask(self._store.remove, key, record.incarnation)
                self._log.info("member_forgotten", member=key)
                return True
        return False

    # --- hints --------------------------------------------------------------------------------

    def hints_to_confirm(self, view: View, own: MemberRecord) -> list[tuple[ShardId, str]]:
        """Those that are this shard's to look into: the steward's business, or anybody's when the steward is meant."""
        steward: Stewardship = view.steward
        is_mine = steward.is_held_by(own)
        return [
            (shard, incarnation)
            for shard, incarnation in view.hints.items()
            if (is_mine or steward.holder == member_key("shard", shard))
            and shard != own.id
            and (shard, incarnation) not in self._probing
        ]

    async def confirm(self, view: View, shard: ShardId, incarnation: str) -> None:
        """Knock at the shard's link port: refused means that its process is gone, and its record goes with it.

        Anything else leaves it to the lease.  A shard that lives after all writes its record anew, and is back.
        """
        self._probing.add((shard, incarnation))
        try:
            record = view.members.get(member_key("shard", shard))
            address = address_in(record) if record is not None and record.incarnation == incarnation else None
            is_gone = address is not None and await self._probe(address)
            if is_gone:
                self._counters.hints_confirmed += 1
                self._log.warning("shard_gone", shard=shard, reason="its link port refuses connections")
                await self._ask(self._store.remove, member_key("shard", shard), incarnation)
            await self._ask(self._store.clear_hint, shard, incarnation)
        except UNREADABLE as error:
            # The hint is still there, and is looked into again.
            self._log.info("hint_left", shard=shard, error=str(error))
        finally:
            self._probing.discard((shard, incarnation))
        self._wake()
