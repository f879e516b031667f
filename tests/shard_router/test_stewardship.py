"""Single steps of a steward; tests/shard_router/test_cluster_directory.py plays whole clusters."""

from dataclasses import dataclass, field

import msgspec
import pytest
import trio
from structlog.testing import CapturingLogger
from trio.testing import MockClock

from runtime.metrics import DirectoryCounters
from shard_router.cluster_records import ClusterPlan, MemberRecord, Report
from shard_router.directory import Address
from shard_router.lease import Watch
from shard_router.placement import SlotMap, place
from shard_router.stewardship import StewardDuty
from shard_router.store_lane import StoreLane
from tests.support.cluster_play import logger
from tests.support.cluster_store_model import ClusterStoreClient, ClusterStoreModel
from tests.support.offloads import InlineOffload
from wire.limits import LEASE_S, MEMBER_FORGOTTEN_S
from wire.names import ShardId

A, B = ShardId("a"), ShardId("b")


def shard(name: str, counter: int = 0, *, map_version: int = 0) -> MemberRecord:
    return MemberRecord(
        role="shard", id=name, incarnation=f"{name}-1", counter=counter, address="10.0.0.1:8101",
        report=Report(map_version=map_version),
    )  # fmt: skip


@dataclass
class Desk:
    """The duty of shard a, a store, and whoever else is in it."""

    model: ClusterStoreModel = field(default_factory=ClusterStoreModel)
    watch: Watch = field(default_factory=Watch)
    own: MemberRecord = field(default_factory=lambda: shard("a"))
    known: SlotMap | None = None
    is_refused: bool = False
    woken: int = 0

    def __post_init__(self) -> None:
        self.store: ClusterStoreClient = self.model.client()
        self.counters = DirectoryCounters()
        self.duty = StewardDuty(
            self.store, StoreLane(InlineOffload()), self.watch,
            probe=self._probe, wake=self._wake, log=logger(CapturingLogger()), counters=self.counters,
        )  # fmt: skip
        self.store.register(self.own, "")

    async def _probe(self, address: Address) -> bool:
        await trio.lowlevel.checkpoint()
        return self.is_refused

    def _wake(self) -> None:
        self.woken += 1

    async def step(self) -> bool:
        """Renew, look, and take one step."""
        self.own = msgspec.structs.replace(self.own, counter=self.own.counter + 1)
        self.store.renew(self.own)
        view = self.store.look(0)
        now = trio.current_time()
        self.watch.look({key: (record.incarnation, record.counter) for key, record in view.members.items()}, now, now)
        if view.slot_map is not None and (self.known is None or view.map_version > self.known.version):
            self.known = view.slot_map
        return await self.duty.step(view, self.own, self.known)

    async def steps_for(self, seconds: float) -> None:
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            while await self.step():
                continue
            await trio.sleep(0.1)


async def test_a_lone_shard_becomes_steward_waits_a_lease_and_founds(autojump_clock: MockClock) -> None:
    desk = Desk()
    assert await desk.step()
    assert desk.model.steward.holder == "shard:a"
    assert not await desk.step()
    await desk.steps_for(LEASE_S - 0.15)
    assert desk.model.map_version == 0
    await desk.steps_for(0.3)
    assert desk.model.map_version == 1
    assert desk.store.look(0).plan.weights == {A: 100}


async def test_a_steward_that_is_seen_alive_is_left_alone_and_one_that_is_gone_is_not(autojump_clock: MockClock) -> None:
    desk = Desk()
    desk.store.register(shard("b"), "")
    desk.store.campaign(shard("b"), 0)
    for counter in range(5):
        desk.store.renew(shard("b", counter))
        assert not await desk.step()
        await trio.sleep(0.5)
    desk.store.remove("shard:b", "b-1")
    assert await desk.step()
    assert desk.model.steward.holder == "shard:a"


async def test_a_steward_that_runs_again_under_its_name_is_not_the_steward_it_was(autojump_clock: MockClock) -> None:
    desk = Desk()
    desk.store.campaign(shard("b"), 0)
    desk.store.register(msgspec.structs.replace(shard("b"), incarnation="b-2"), "")
    assert await desk.step()
    assert desk.model.steward.holder == "shard:a"


async def test_a_plan_that_the_store_forgot_is_written_back(autojump_clock: MockClock) -> None:
    desk = Desk(known=place(3, {A: 1}))
    plan = ClusterPlan(version=5, weights={A: 100}, pins={7: A})
    desk.store.write_plan(plan, 0)
    await desk.steps_for(LEASE_S + 0.5)
    desk.model.plan = None
    await desk.steps_for(LEASE_S + 0.5)
    assert desk.store.look(0).plan == plan


async def test_a_version_that_any_member_reports_is_outdone_even_a_dead_ones(autojump_clock: MockClock) -> None:
    desk = Desk()
    desk.store.register(shard("b", map_version=30), "")
    await desk.steps_for(2 * LEASE_S)
    assert desk.model.map_version == 31
    assert desk.model.maps_written[-1].shards == (A,)


async def test_records_of_the_dead_are_kept_for_a_while(autojump_clock: MockClock) -> None:
    desk = Desk()
    desk.store.register(shard("b"), "")
    await desk.steps_for(2 * LEASE_S)
    await desk.steps_for(MEMBER_FORGOTTEN_S - 2 * LEASE_S - 1)
    assert "shard:b" in desk.model.members
    await desk.steps_for(LEASE_S + 2)
    assert "shard:b" not in desk.model.members


@pytest.mark.parametrize("is_refused", [True, False])
async def test_a_hint_is_cleared_whatever_the_knocking_shows(autojump_clock: MockClock, is_refused: bool) -> None:
    desk = Desk(is_refused=is_refused)
    desk.store.register(shard("b"), "")
    await desk.step()
    desk.store.hint(B, "b-1")
    view = desk.store.look(0)
    assert desk.duty.hints_to_confirm(view, desk.own) == [(B, "b-1")]
    await desk.duty.confirm(view, B, "b-1")
    assert desk.model.hints == {}
    assert ("shard:b" in desk.model.members) is not is_refused
    assert desk.counters.hints_confirmed == is_refused
    assert desk.woken == 1


async def test_a_hint_is_the_stewards_business_and_one_about_the_steward_everybodys(autojump_clock: MockClock) -> None:
    desk = Desk()
    desk.store.register(shard("b"), "")
    desk.store.register(shard("c"), "")
    desk.store.campaign(shard("b"), 0)
    desk.store.hint(ShardId("c"), "c-1")
    assert desk.duty.hints_to_confirm(desk.store.look(0), desk.own) == []
    desk.store.hint(B, "b-1")
    desk.store.hint(A, "a-1")
    assert desk.duty.hints_to_confirm(desk.store.look(0), desk.own) == [(B, "b-1")]


async def test_a_hint_that_could_not_be_looked_into_is_left(autojump_clock: MockClock) -> None:
    desk = Desk()
    desk.store.register(shard("b"), "")
    desk.store.hint(B, "b-1")
    view = desk.store.look(0)
    desk.model.is_away = True
    await desk.duty.confirm(view, B, "b-1")
    desk.model.is_away = False
    assert desk.model.hints == {B: "b-1"}
