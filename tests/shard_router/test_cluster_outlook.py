"""A cluster at a glance: states, what is on its way, and when nothing is."""

import msgspec

from shard_router.cluster_outlook import outlook_of, slots_unserved
from shard_router.cluster_records import ClusterPlan, MemberRecord, Report, Stewardship, View
from shard_router.placement import place
from wire.limits import SLOT_COUNT
from wire.names import ShardId

A, B, C = ShardId("a"), ShardId("b"), ShardId("c")
PLAN = ClusterPlan(version=2, weights={A: 100, B: 100, C: 0}, pins={7: A}, moves={8: B})
MAP = place(4, {A: 100, B: 100, C: 0}, {7: A, 8: B})  # type: ignore[dict-item]


def shard(name: ShardId, *, served: int = 4, slots: int | None = None, is_leaving: bool = False) -> MemberRecord:
    owned = len(MAP.slots_of(name)) if slots is None else slots
    return MemberRecord(
        role="shard", id=name, incarnation="1", address=f"{name}:8101", is_leaving=is_leaving, program="0.1.0",
        report=Report(map_version=4, served_version=served, slots=owned, rooms=3, connections=2),
    )  # fmt: skip


def gateway(name: str, *, is_leaving: bool = False) -> MemberRecord:
    return MemberRecord(
        role="gateway", id=name, incarnation="1", is_leaving=is_leaving,
        report=Report(map_version=4, connections=50, accepts_per_s=100.0),
    )  # fmt: skip


def view_of(*members: MemberRecord, plan: ClusterPlan = PLAN) -> View:
    return View(4, MAP, plan, {each.key: each for each in members}, Stewardship(3, "shard:a", "1"))


ALL = (shard(A), shard(B), shard(C))
KEYS = {each.key for each in ALL}


def states(view: View, alive: set[str]) -> dict[str, str]:
    return {line.id: line.state for line in outlook_of("town", view, alive).shards}


def test_a_cluster_at_rest() -> None:
    view = view_of(*ALL, gateway("g"), gateway("h", is_leaving=True), gateway("gone"))
    outlook = outlook_of("town", view, {*KEYS, "gateway:g", "gateway:h"})
    assert (outlook.name, outlook.map_version, outlook.steward, outlook.slots_unserved) == ("town", 4, "a", 0)
    assert {line.id: line.state for line in outlook.shards} == {"a": "serving", "b": "serving", "c": "idle"}
    first = outlook.shards[0]
    assert (first.weight, first.slots_owned, first.rooms, first.gateways) == (100, len(MAP.slots_of(A)), 3, 2)
    assert first.slots_aimed == first.slots_owned
    assert [(line.id, line.state) for line in outlook.gateways] == [("g", "serving"), ("gone", "missing"), ("h", "leaving")]
    assert outlook.gateways[0].connections == 50
    assert (outlook.pins, outlook.moves) == ({7: A}, {8: B})


def test_a_cluster_without_a_map_serves_nothing() -> None:
    outlook = outlook_of("town", View(members={"shard:a": shard(A, slots=0)}), {"shard:a"})
    assert outlook.slots_unserved == SLOT_COUNT
    assert outlook.steward == ""


def test_a_shard_that_claims_has_slots_on_their_way() -> None:
    view = view_of(shard(A, served=3, slots=2000), shard(B), shard(C))
    assert states(view, KEYS)["a"] == "claiming"
    assert slots_unserved(view, KEYS) == len(MAP.slots_of(A)) - 2000
    told_nothing_yet = view_of(shard(A, served=3), shard(B), shard(C))
    assert slots_unserved(told_nothing_yet, KEYS) == 1


def test_what_the_steward_has_not_written_yet_is_on_its_way() -> None:
    plan = msgspec.structs.replace(PLAN, leaving=(B,))
    assert slots_unserved(view_of(*ALL, plan=plan), KEYS) == len(MAP.slots_of(B))


def test_slots_of_the_dead_are_unserved_with_others_alive_and_without() -> None:
    assert slots_unserved(view_of(*ALL), KEYS - {"shard:b"}) >= len(MAP.slots_of(B))
    assert slots_unserved(view_of(*ALL), set()) == SLOT_COUNT
    assert states(view_of(shard(A), shard(C)), {"shard:a"}) == {"a": "serving", "b": "missing", "c": "missing"}


def test_a_drained_shard_is_leaving_until_it_has_let_go() -> None:
    plan = msgspec.structs.replace(PLAN, leaving=(C,))
    assert states(view_of(shard(A), shard(B), shard(C, slots=5), plan=plan), KEYS)["c"] == "leaving"
    assert slots_unserved(view_of(shard(A), shard(B), shard(C, slots=5)), KEYS) == 5
    assert states(view_of(shard(A), shard(B), shard(C), plan=plan), KEYS)["c"] == "drained"
    assert states(view_of(shard(A), shard(B), shard(C, is_leaving=True)), KEYS)["c"] == "leaving"
