"""A directory that changes: this node's record in the store, what it sees of the others, the map it follows.

One task looks (MAP_POLL_S), renews (LEASE_RENEWAL_S) and, in a shard, does its part for the
cluster; whatever goes wrong there is an outage of the directory, after which it goes on.  All that
a router or a shard asks is answered from memory and never waits.  Time is this process's own
(`trio.current_time`); no other clock is looked at, the store's included.
"""

from collections.abc import Callable, Sequence
from random import Random

import msgspec
import trio
from structlog.typing import FilteringBoundLogger

from runtime.metrics import DirectoryCounters
from runtime.offload import Offload
from runtime.transport import Network
from shard_router.cluster_records import MemberRecord, Report, Role, View, member_key
from shard_router.cluster_store import ClusterStore
from shard_router.directory import Address
from shard_router.joining import NameTaken, Probe, address_in, fingerprint, join
from shard_router.lease import OwnLease, Watch
from shard_router.placement import SlotMap
from shard_router.steward import weights_in_force
from shard_router.stewardship import StewardDuty
from shard_router.store_lane import UNREADABLE, Outage, StoreLane
from wire.limits import DIRECTORY_STEPS_MAX, LEASE_RENEWAL_S, MAP_POLL_S, PROBE_DEADLINE_S
from wire.names import ShardId
from wire.node_messages import LINK_VERSION


def new_member(
    role: Role, node: str, rng: Random, *, address: str = "", weight: int = 0, program: str = ""
) -> MemberRecord:
    """The record of a node that starts now."""
    return MemberRecord(
        role=role, id=node, incarnation=rng.randbytes(8).hex(), address=address, weight=weight, program=program,
        link_version=LINK_VERSION,
    )  # fmt: skip


def probe_by(network: Network) -> Probe:
    """Knock by connecting."""

    async def is_refused(address: Address) -> bool:
        with trio.move_on_after(PROBE_DEADLINE_S):
            try:
                transport = await network.connect(address.host, address.port)
            except ConnectionRefusedError:
                return True
            except OSError:
                # No route, no name: that may be our side of it.
                return False
            transport.close()
        return False

    return is_refused


class ClusterDirectory:
    """See `shard_router.directory.Directory`.  Create it inside trio; it works while `run` is running."""

    can_change = True

    def __init__(
        self, store: ClusterStore, lane: Offload, record: MemberRecord, *,
        cluster: str, secrets: Sequence[bytes], probe: Probe, rng: Random,
        log: FilteringBoundLogger, counters: DirectoryCounters, map_version_floor: int = 0,
    ) -> None:  # fmt: skip
        """`lane` is the store's own; `map_version_floor` is the newest map that this node's journal has seen."""
        self.report: Callable[[], Report] = Report
        """What this node says of itself at each renewal; its owner sets it."""
        self._store = store
        self._ask = StoreLane(lane)
        self._record = record
        self._cluster = cluster
        self._fingerprints = [fingerprint(secret, cluster) for secret in secrets]
        self._probe = probe
        self._log = log
        self._counters = counters
        self._outage = Outage(rng, log, counters)
        self._floor = map_version_floor
        self._lease = OwnLease()
        self._watch = Watch()
        self._view = View()
        self._slot_map: SlotMap | None = None
        self._looked_at = trio.current_time()
        self._renew_at = trio.current_time()
        self._suspects: dict[ShardId, str] = {}
        """Hints that are to be sent, one a shard."""
        self._changed = trio.Event()
        self._woken = trio.Event()
        self._duty = StewardDuty(
            store, self._ask, self._watch, probe=probe, wake=self._wake, log=log, counters=counters
        ) if record.role == "shard" else None  # fmt: skip
        self._expose()

    # --- directory.Directory --------------------------------------------------------------------

    @property
    def slot_map(self) -> SlotMap:
        assert self._slot_map is not None, "the directory has started when there is a map"
        return self._slot_map

    def address_of(self, shard: ShardId) -> Address | None:
        record = self._view.members.get(member_key("shard", shard))
        return address_in(record) if record is not None else None

    async def wait_changed(self, seen_version: int) -> None:
        while self._slot_map is None or self._slot_map.version == seen_version:
            await self._changed.wait()

    @property
    def is_lapsed(self) -> bool:
        return self._lease.is_lapsed(trio.current_time())

    def heard_of(self, version: int) -> None:
        if self._slot_map is None or version > self._slot_map.version:
            self._wake()

    def suspect(self, shard: ShardId) -> None:
        record = self._view.members.get(member_key("shard", shard))
        if record is not None:
            self._suspects[shard] = record.incarnation
            self._wake()

    def accepts_elsewhere_per_s(self) -> float | None:
        if self._lease.is_lapsed(trio.current_time()):
            return None
        others = [
            record
            for key, record in self._view.members.items()
            if record.role == "gateway" and key != self._record.key and self._watch.is_alive(key)
        ]
        leaving = 1 + sum(record.is_leaving for record in others)
        return sum(record.report.accepts_per_s for record in others if not record.is_leaving) / leaving

    def start_leaving(self) -> bool:
        if not self._record.is_leaving:
            self._record = msgspec.structs.replace(self._record, is_leaving=True)
            self._renew_at = trio.current_time()
            self._wake()
        return self._record.role == "shard" and self._has_successor()

    def _has_successor(self) -> bool:
        """Whether some other shard may be given slots."""
        others = {
            ShardId(record.id): record
            for record in self._view.shards()
            if record.key != self._record.key and self._watch.is_alive(record.key)
        }
        return any(weights_in_force(self._view.plan, others).values())

    # --- life -----------------------------------------------------------------------------------

    def advertise(self, address: str) -> None:
        """Where this node can be reached, when that is known only now."""
        self._record = msgspec.structs.replace(self._record, address=address)
        self._renew_at = trio.current_time()
        self._wake()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Join, and keep the node's place until cancelled; started when there is a map to follow.

        Owns the task that looks and renews, and one task for each hint that is confirmed.  Raises `NameTaken`
        (also later, when another process has taken over), `OtherCluster`.
        """
        self._log.info("joining", cluster=self._cluster, address=self._record.address)
        await join(
            self._store, self._ask, self._record,
            cluster=self._cluster, fingerprints=self._fingerprints, probe=self._probe, outage=self._outage, log=self._log,
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep, nursery)
            if self._slot_map is None:
                await self._wait_first_map()
            task_status.started()

    async def leave(self) -> None:
        """Take the record out, so that nobody waits for a lease; call it when `run` has ended.  A store that is away is left."""
        try:
            await self._ask(self._store.resign, self._record)
            await self._ask(self._store.remove, self._record.key, self._record.incarnation)
        except UNREADABLE as error:
            self._log.warning("left_without_a_word", error=str(error))
        else:
            self._log.info("left", cluster=self._cluster)

    async def _wait_first_map(self) -> None:
        with trio.move_on_after(MAP_POLL_S):
            await self._changed.wait()
        if self._slot_map is None:
            self._log.info("waiting_for_map", cluster=self._cluster, until="shards have been there for a lease")
            while self._slot_map is None:
                await self._changed.wait()

    async def _keep(self, probe_nursery: trio.Nursery) -> None:
        while True:
            try:
                await self._turn(probe_nursery)
            except UNREADABLE as error:
                self._renew_at = trio.current_time()
                await self._outage.failed(error)
            else:
                self._outage.over()
                await self._rest()

    async def _turn(self, probe_nursery: trio.Nursery) -> None:
        """Renew if it is time, tell of suspects, look, and do what there is to do."""
        if trio.current_time() >= self._renew_at:
            await self._renew()
        for shard, incarnation in list(self._suspects.items()):
            await self._ask(self._store.hint, shard, incarnation)
            if self._suspects.get(shard) == incarnation:
                del self._suspects[shard]
        await self._look()
        if self._duty is None:
            return
        for _ in range(DIRECTORY_STEPS_MAX):
            if self.is_lapsed or not await self._duty.step(self._view, self._record, self._slot_map):
                break
            await self._look()
        for shard, incarnation in self._duty.hints_to_confirm(self._view, self._record):
            probe_nursery.start_soon(self._duty.confirm, self._view, shard, incarnation)

    async def _renew(self) -> None:
        asked = trio.current_time()
        report = self.report()
        known = max(report.map_version, self._floor, self._slot_map.version if self._slot_map is not None else 0)
        self._record = msgspec.structs.replace(
            self._record, counter=self._record.counter + 1, report=msgspec.structs.replace(report, map_version=known)
        )
        if not await self._ask(self._store.renew, self._record):
            raise NameTaken(
                f"another process has taken over the name of the {self._record.role} {self._record.id}: this one ends"
            )
        self._lease.renewed(asked)
        self._renew_at = asked + LEASE_RENEWAL_S

    async def _look(self) -> None:
        seen = self._slot_map.version if self._slot_map is not None else 0
        asked = trio.current_time()
        view = await self._ask(self._store.look, seen)
        answered = trio.current_time()
        self._watch.look(
            {key: (record.incarnation, record.counter) for key, record in view.members.items()}, asked, answered
        )
        self._view = view
        self._looked_at = asked
        if not view.fingerprint:
            # The store has forgotten whose it is: say so before somebody else does.
            await self._ask(self._store.introduce, self._fingerprints)
        if view.slot_map is not None and view.slot_map.version > seen:
            self._follow(view.slot_map)
        elif view.map_version < seen:
            self._log.warning("directory_forgot", map_version=seen, found=view.map_version)

    def _follow(self, slot_map: SlotMap) -> None:
        self._slot_map = slot_map
        self._log.info("slot_map", map_version=slot_map.version, shards=len(slot_map.shards))
        self._changed.set()
        self._changed = trio.Event()

    async def _rest(self) -> None:
        """Until the next look is due: a poll, a renewal, somebody's lease ends, or somebody has heard of something."""
        due = min(self._looked_at + MAP_POLL_S, self._renew_at, self._watch.next_missing_at())
        with trio.move_on_at(due):
            await self._woken.wait()
        self._woken = trio.Event()

    def _wake(self) -> None:
        self._woken.set()

    # --- figures --------------------------------------------------------------------------------

    def _expose(self) -> None:
        counters = self._counters
        counters.map_version = lambda: self._slot_map.version if self._slot_map is not None else 0
        counters.seconds_since_look = lambda: trio.current_time() - self._looked_at
        counters.is_steward = lambda: float(self._view.steward.is_held_by(self._record))
        counters.shards_alive = lambda: self._count("shard", is_alive=True)
        counters.shards_missing = lambda: self._count("shard", is_alive=False)
        counters.gateways_alive = lambda: self._count("gateway", is_alive=True)
        counters.gateways_missing = lambda: self._count("gateway", is_alive=False)

    def _count(self, role: Role, *, is_alive: bool) -> int:
        return sum(
            record.role == role and self._watch.is_alive(key) == is_alive for key, record in self._view.members.items()
        )
