"""A `ClusterStore` in memory that several directories share, with the faults of a real one.

`ClusterStoreModel` is the store; `client()` gives each node a connection of its own.  It passes the
contract suite, so what plays find on it holds for Redis.  Faults: `is_away` (nothing happens, the
caller is told), `lose_replies` (it happens, and the caller is told that it may not have).  Slowness
belongs to the lane that calls it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from shard_router.cluster_records import (
    ClusterPlan,
    MemberRecord,
    Stewardship,
    View,
    decode_map,
    decode_member,
    decode_plan,
    encode_map,
    encode_record,
)
from shard_router.cluster_store import StoreAway
from shard_router.placement import SlotMap
from wire.names import ShardId

T = TypeVar("T")


@dataclass
class ClusterStoreModel:
    """The data of one cluster, as bytes where Redis has bytes."""

    fingerprint: str = ""
    members: dict[str, bytes] = field(default_factory=dict)
    plan: bytes | None = None
    slot_map: bytes | None = None
    steward: Stewardship = field(default_factory=Stewardship)
    hints: dict[ShardId, str] = field(default_factory=dict)
    is_away: bool = False
    lose_replies: int = 0
    """So many operations from now on happen without anybody hearing of it."""
    maps_written: list[SlotMap] = field(default_factory=list)
    """Every map that was ever stored, in order."""

    def client(self) -> "ClusterStoreClient":
        return ClusterStoreClient(self)

    def forget(self) -> None:
        """As FLUSHALL, or a failover to a replica that has nothing."""
        self.fingerprint, self.plan, self.slot_map, self.steward = "", None, None, Stewardship()
        self.members.clear()
        self.hints.clear()

    @property
    def map_version(self) -> int:
        return 0 if self.slot_map is None else decode_map(self.slot_map).version


class ClusterStoreClient:
    """See `shard_router.cluster_store.ClusterStore`."""

    def __init__(self, model: ClusterStoreModel) -> None:
        self._model = model
        self.is_cut_off = False
        """Only this node does not reach the store."""

    def _do(self, step: Callable[[], T]) -> T:
        model = self._model
        if model.is_away or self.is_cut_off:
            raise StoreAway("the model is away")
        done = step()
        if model.lose_replies:
            model.lose_replies -= 1
            raise StoreAway("the reply was lost")
        return done

    def introduce(self, fingerprints: Sequence[str]) -> bool:
        def step() -> bool:
            if self._model.fingerprint not in ("", *fingerprints):
                return False
            self._model.fingerprint = fingerprints[0]
            return True

        return self._do(step)

    def look(self, seen_map_version: int) -> View:
        def step() -> View:
            model = self._model
            slot_map = None if model.slot_map is None else decode_map(model.slot_map)
            version = 0 if slot_map is None else slot_map.version
            return View(
                map_version=version,
                slot_map=None if version == seen_map_version else slot_map,
                plan=decode_plan(model.plan),
                members={key: decode_member(data) for key, data in model.members.items()},
                steward=model.steward,
                hints=dict(model.hints),
                fingerprint=model.fingerprint,
            )

        return self._do(step)

    def _incarnation_of(self, key: str) -> str:
        data = self._model.members.get(key)
        return "" if data is None else decode_member(data).incarnation

    def register(self, record: MemberRecord, replacing: str) -> bool:
        def step() -> bool:
            if self._incarnation_of(record.key) != replacing:
                return False
            self._model.members[record.key] = encode_record(record)
            return True

        return self._do(step)

    def renew(self, record: MemberRecord) -> bool:
        def step() -> bool:
            if self._incarnation_of(record.key) not in ("", record.incarnation):
                return False
            self._model.members[record.key] = encode_record(record)
            return True

        return self._do(step)

    def remove(self, key: str, incarnation: str) -> None:
        def step() -> None:
            if self._incarnation_of(key) == incarnation:
                del self._model.members[key]

        self._do(step)

    def campaign(self, candidate: MemberRecord, seen_token: int) -> bool:
        def step() -> bool:
            if self._model.steward.token != seen_token:
                return False
            self._model.steward = Stewardship(seen_token + 1, candidate.key, candidate.incarnation)
            return True

        return self._do(step)

    def resign(self, record: MemberRecord) -> None:
        def step() -> None:
            if self._model.steward.is_held_by(record):
                self._model.steward = Stewardship(self._model.steward.token)

        self._do(step)

    def write_map(self, slot_map: SlotMap, steward: Stewardship, replacing: int) -> bool:
        def step() -> bool:
            if self._model.steward != steward or self._model.map_version != replacing:
                return False
            self._model.slot_map = encode_map(slot_map)
            self._model.maps_written.append(slot_map)
            return True

        return self._do(step)

    def write_plan(self, plan: ClusterPlan, replacing: int) -> bool:
        def step() -> bool:
            if decode_plan(self._model.plan).version != replacing:
                return False
            self._model.plan = encode_record(plan)
            return True

        return self._do(step)

    def hint(self, shard: ShardId, incarnation: str) -> None:
        self._do(lambda: self._model.hints.update({shard: incarnation}))

    def clear_hint(self, shard: ShardId, incarnation: str) -> None:
        def step() -> None:
            if self._model.hints.get(shard) == incarnation:
                del self._model.hints[shard]

        self._do(step)

    def close(self) -> None:
        """Nothing is held."""
