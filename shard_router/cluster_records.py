"""What a cluster writes down about itself: its members, its plan, its steward; how it is spelt.  Pure.

JSON, so that an operator can read it where it lies.  New fields have a default, so that an
older program reads a newer one's records and the reverse.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import msgspec

from shard_router.placement import WEIGHT_MAX, SlotMap
from wire.limits import SLOT_COUNT
from wire.names import ShardId

Role = Literal["shard", "gateway"]
T = TypeVar("T")


class BadRecord(ValueError):
    """Stored data that is no record of ours."""


class Report(msgspec.Struct, frozen=True):
    """What a member says about its work, anew at each renewal."""

    map_version: int = 0
    """The newest slot map it knows of; its journal's, too."""
    served_version: int = 0
    """Shards: the newest map of which it serves every slot that is its own, and none of another's."""
    slots: int = 0
    rooms: int = 0
    connections: int = 0
    accepts_per_s: float = 0.0
    """Gateways: reconnects a second it can take in."""


class MemberRecord(msgspec.Struct, frozen=True):
    """One node, as it describes itself.

    `incarnation` is random and new with each start; `counter` rises with each renewal.  Together they are the only
    sign of life: no time of day is in a record, because no two machines' clocks are compared.
    """

    role: Role
    id: str
    incarnation: str
    counter: int = 0
    address: str = ""
    """``host:port`` of a shard's link port, or of a gateway's websocket."""
    weight: int = 0
    """The share of the slots that a shard asks for at its very first join."""
    is_leaving: bool = False
    program: str = ""
    link_version: int = 0
    report: Report = Report()

    @property
    def key(self) -> str:
        return f"{self.role}:{self.id}"


class ClusterPlan(msgspec.Struct, frozen=True):
    """What operators asked for; the slot map follows from it and from who is alive."""

    version: int = 0
    weights: dict[ShardId, int] = msgspec.field(default_factory=dict)
    """Every shard that ever joined."""
    pins: dict[int, ShardId] = msgspec.field(default_factory=dict)
    """Slots that stay where they are put, until unpinned."""
    moves: dict[int, ShardId] = msgspec.field(default_factory=dict)
    """Slots that were moved by hand, until the next rebalance."""
    leaving: tuple[ShardId, ...] = ()
    """Shards that are drained, until they are added again; in rising order."""


class Stewardship(msgspec.Struct, frozen=True):
    """Who writes the next map.  `token` rises at every change of hands, and fences whoever had it before."""

    token: int = 0
    holder: str = ""
    """A member's key; "" when nobody holds it."""
    incarnation: str = ""

    def is_held_by(self, record: MemberRecord) -> bool:
        return self.holder == record.key and self.incarnation == record.incarnation


@dataclass(frozen=True, slots=True)
class View:
    """All of the directory at one moment."""

    map_version: int = 0
    """0 while the cluster has no map."""
    slot_map: SlotMap | None = None
    """The map; None also when its version is the one that the reader has."""
    plan: ClusterPlan = field(default_factory=ClusterPlan)
    members: Mapping[str, MemberRecord] = field(default_factory=dict)
    """By key."""
    steward: Stewardship = field(default_factory=Stewardship)
    hints: Mapping[ShardId, str] = field(default_factory=dict)
    """Shards whose links were reset, with the incarnation that was meant."""
    fingerprint: str = ""
    """Of the link secret; "" while nobody has come in."""

    def shards(self) -> Iterator[MemberRecord]:
        return (record for record in self.members.values() if record.role == "shard")


def member_key(role: Role, node: str) -> str:
    return f"{role}:{node}"


_MEMBERS = msgspec.json.Decoder(MemberRecord)
_PLANS = msgspec.json.Decoder(ClusterPlan)
_MAPS = msgspec.json.Decoder(dict[str, object])


def encode_record(record: MemberRecord | ClusterPlan) -> bytes:
    return msgspec.json.encode(record)


def decode_member(data: bytes) -> MemberRecord:
    """Raises `BadRecord`."""
    return _decoded(_MEMBERS, data)


def decode_plan(data: bytes | None) -> ClusterPlan:
    """The empty plan for None; raises `BadRecord`."""
    if data is None:
        return ClusterPlan()
    plan = _decoded(_PLANS, data)
    misplaced = [slot for slot in (*plan.pins, *plan.moves) if not 0 <= slot < SLOT_COUNT]
    if misplaced or not all(0 <= weight <= WEIGHT_MAX for weight in plan.weights.values()):
        raise BadRecord("not a plan of ours: a slot or a weight is out of bounds")
    return plan


def encode_map(slot_map: SlotMap) -> bytes:
    return msgspec.json.encode(slot_map.encode())


def decode_map(data: bytes) -> SlotMap:
    """Raises `BadRecord` or `BadSlotMap`."""
    return SlotMap.decode(_decoded(_MAPS, data))


def _decoded(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise BadRecord(f"not a record of ours: {error}") from error
