"""The directory in Redis: keys ``{NAME}:...``, one script for each operation of `ClusterStore`.

``members`` and ``hints`` are hashes by member and by shard, ``map`` and ``steward`` hashes of
their few fields, ``plan`` and ``cluster`` texts.  redis-cli shows them as they are.  On its
connection nothing else waits, so a slow commit never makes a node look dead.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from runtime.redis_client import RedisClient, Script
from runtime.redis_connection import Argument, RedisAway, Reply, ReplyError
from shard_router import redis_scripts
from shard_router.cluster_records import (
    BadRecord,
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

_LOOK: Final = Script(redis_scripts.LOOK)
_INTRODUCE: Final = Script(redis_scripts.INTRODUCE)
_PUT_MEMBER: Final = Script(redis_scripts.PUT_MEMBER)
_REMOVE_MEMBER: Final = Script(redis_scripts.REMOVE_MEMBER)
_CAMPAIGN: Final = Script(redis_scripts.CAMPAIGN)
_RESIGN: Final = Script(redis_scripts.RESIGN)
_WRITE_MAP: Final = Script(redis_scripts.WRITE_MAP)
_WRITE_PLAN: Final = Script(redis_scripts.WRITE_PLAN)
_CLEAR_HINT: Final = Script(redis_scripts.CLEAR_HINT)


class RedisStore:
    """See `shard_router.cluster_store.ClusterStore`."""

    def __init__(self, client: RedisClient, name: str) -> None:
        """`client` is this store's own; `name` is cluster.name, so that clusters can share a Redis."""
        self._client = client
        self._members, self._map, self._plan, self._steward, self._hints, self._cluster = (
            f"{{{name}}}:{part}" for part in ("members", "map", "plan", "steward", "hints", "cluster")
        )

    def introduce(self, fingerprints: Sequence[str]) -> bool:
        return self._agreed(_INTRODUCE, [self._cluster], fingerprints)

    def look(self, seen_map_version: int) -> View:
        keys = [self._members, self._map, self._plan, self._steward, self._hints, self._cluster]
        version, slot_map, plan, members, steward, hints, fingerprint = self._run(_LOOK, keys, [seen_map_version])
        return View(
            map_version=version,
            slot_map=None if slot_map is None else decode_map(slot_map),
            plan=decode_plan(plan),
            members=dict(_readable_members(members)),
            steward=Stewardship(int(steward[0] or 0), (steward[1] or b"").decode(), (steward[2] or b"").decode()),
            hints={ShardId(shard.decode()): incarnation.decode() for shard, incarnation in _pairs(hints)},
            fingerprint=(fingerprint or b"").decode(),
        )

    def register(self, record: MemberRecord, replacing: str) -> bool:
        return self._agreed(_PUT_MEMBER, [self._members], [record.key, encode_record(record), replacing])

    def renew(self, record: MemberRecord) -> bool:
        return self._agreed(_PUT_MEMBER, [self._members], [record.key, encode_record(record), record.incarnation, ""])

    def remove(self, key: str, incarnation: str) -> None:
        self._run(_REMOVE_MEMBER, [self._members], [key, incarnation])

    def campaign(self, candidate: MemberRecord, seen_token: int) -> bool:
        return self._agreed(_CAMPAIGN, [self._steward], [seen_token, candidate.key, candidate.incarnation])

    def resign(self, record: MemberRecord) -> None:
        self._run(_RESIGN, [self._steward], [record.key, record.incarnation])

    def write_map(self, slot_map: SlotMap, steward: Stewardship, replacing: int) -> bool:
        who = (steward.token, steward.holder, steward.incarnation)
        return self._agreed(
            _WRITE_MAP, [self._map, self._steward], [*who, replacing, slot_map.version, encode_map(slot_map)]
        )

    def write_plan(self, plan: ClusterPlan, replacing: int) -> bool:
        return self._agreed(_WRITE_PLAN, [self._plan], [replacing, encode_record(plan)])

    def hint(self, shard: ShardId, incarnation: str) -> None:
        try:
            self._client.call(self._hints, "HSET", self._hints, shard, incarnation)
        except (RedisAway, ReplyError) as error:
            raise StoreAway(str(error)) from error

    def clear_hint(self, shard: ShardId, incarnation: str) -> None:
        self._run(_CLEAR_HINT, [self._hints], [shard, incarnation])

    def close(self) -> None:
        self._client.close()

    def _agreed(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> bool:
        return bool(self._run(script, keys, arguments))

    def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Reply:
        try:
            return self._client.run_script(script, keys, arguments)
        except (RedisAway, ReplyError) as error:
            raise StoreAway(str(error)) from error


def _pairs(flat: Sequence[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """Field and value, of a hash as Redis answers it."""
    return zip(flat[::2], flat[1::2], strict=True)


def _readable_members(flat: Sequence[bytes]) -> Iterable[tuple[str, MemberRecord]]:
    """What is not a member's record is left out: one bad field must not blind everybody."""
    for key, data in _pairs(flat):
        try:
            record = decode_member(data)
        except BadRecord:
            continue
        if record.key == key.decode("utf-8", "replace"):
            yield record.key, record
