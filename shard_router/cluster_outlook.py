"""A whole cluster at a glance, for people and for scripts: what each shard owns, should own, and serves.  Pure."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from shard_router.cluster_records import ClusterPlan, MemberRecord, View, member_key
from shard_router.placement import SlotMap
from shard_router.steward import Placer
from wire.limits import SLOT_COUNT
from wire.names import ShardId, Slot

ShardState = Literal["serving", "claiming", "leaving", "drained", "idle", "missing"]


@dataclass(frozen=True, slots=True)
class ShardLine:
    """One shard.  `slots_owned` is what it says it serves, `slots_aimed` what the map gives to it."""

    id: str
    state: ShardState
    weight: int
    slots_owned: int
    slots_aimed: int
    map_version: int
    """The newest map of which it serves all that is its own."""
    rooms: int
    gateways: int
    address: str
    program: str


@dataclass(frozen=True, slots=True)
class GatewayLine:
    """One gateway."""

    id: str
    state: Literal["serving", "leaving", "missing"]
    connections: int
    accepts_per_s: float
    map_version: int
    address: str
    program: str


@dataclass(frozen=True, slots=True)
class ClusterOutlook:
    """Everything there is to know."""

    name: str
    map_version: int
    steward: str
    shards: tuple[ShardLine, ...]
    gateways: tuple[GatewayLine, ...]
    pins: dict[int, ShardId]
    moves: dict[int, ShardId]
    slots_unserved: int
    """Slots whose owner by the map does not say yet that it serves them; and all that the next map will move."""


def outlook_of(name: str, view: View, alive: Collection[str]) -> ClusterOutlook:
    """`alive` are the keys of members that were seen to move."""
    slot_map = view.slot_map
    aimed = Counter(slot_map.owner_of(slot) for slot in _all_slots()) if slot_map is not None else Counter()
    records = {ShardId(record.id): record for record in view.shards()}
    names = sorted({*records, *view.plan.weights, *(slot_map.shards if slot_map is not None else ())})
    shards = tuple(_shard_line(each, records.get(each), view, aimed[each], alive) for each in names)
    gateways = tuple(
        _gateway_line(record, alive) for _, record in sorted(view.members.items()) if record.role == "gateway"
    )
    steward = view.steward.holder.partition(":")[2] if view.steward.holder in alive else ""
    return ClusterOutlook(
        name, view.map_version, steward, shards, gateways, dict(view.plan.pins), dict(view.plan.moves),
        slots_unserved(view, alive),
    )  # fmt: skip


def slots_unserved(view: View, alive: Collection[str]) -> int:
    """How many slots are not yet where plan and membership want them, as the shards' own reports say."""
    slot_map = view.slot_map
    if slot_map is None:
        return SLOT_COUNT
    wanted = map_to_come(view, alive) or slot_map
    moving = sum(slot_map.owner_of(slot) != wanted.owner_of(slot) for slot in _all_slots())
    waiting = sum(len(slot_map.slots_of(shard)) for shard in wanted.shards if member_key("shard", shard) not in alive)
    for record in view.shards():
        if record.key in alive:
            aimed = len(slot_map.slots_of(ShardId(record.id)))
            if record.report.served_version < slot_map.version:
                waiting += max(aimed - record.report.slots, 1 if aimed else 0)
            elif aimed == 0:
                waiting += record.report.slots
    return min(moving + waiting, SLOT_COUNT)


def map_to_come(view: View, alive: Collection[str]) -> SlotMap | None:
    """The map that the steward is about to write; None when the one that is there is right."""
    shards = {ShardId(record.id): record for record in view.shards() if record.key in alive}
    reported = [record.report.map_version for record in view.members.values()]
    return Placer().next_map(view.slot_map, view.plan, shards, stored=view.map_version, reported=reported)


def _all_slots() -> Iterator[Slot]:
    return map(Slot, range(SLOT_COUNT))


def _shard_line(shard: ShardId, record: MemberRecord | None, view: View, aimed: int, alive: Collection[str]) -> ShardLine:
    plan = view.plan
    if record is None or record.key not in alive:
        address, program = (record.address, record.program) if record is not None else ("", "")
        return ShardLine(shard, "missing", plan.weights.get(shard, 0), 0, aimed, 0, 0, 0, address, program)
    report = record.report
    return ShardLine(
        shard, _state_of(record, plan, aimed, view.map_version), plan.weights.get(shard, 0), report.slots, aimed,
        report.served_version, report.rooms, report.connections, record.address, record.program,
    )  # fmt: skip


def _state_of(record: MemberRecord, plan: ClusterPlan, aimed: int, map_version: int) -> ShardState:
    report = record.report
    if record.is_leaving or record.id in plan.leaving:
        return "leaving" if aimed or report.slots or record.is_leaving else "drained"
    if report.served_version < map_version and aimed:
        return "claiming"
    return "serving" if aimed else "idle"


def _gateway_line(record: MemberRecord, alive: Collection[str]) -> GatewayLine:
    state: Literal["serving", "leaving", "missing"] = (
        "missing" if record.key not in alive else "leaving" if record.is_leaving else "serving"
    )
    report = record.report
    return GatewayLine(
        record.id, state, report.connections, report.accepts_per_s, report.map_version, record.address, record.program
    )
