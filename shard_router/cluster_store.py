"""Where a cluster keeps its directory: the seam between shard_router/cluster_directory.py and Redis.

Every operation is one atomic step of the store, and blocks: it is called on a lane of its own.
What compares (`replacing`, `seen_token`, `steward`) does so inside that step, so a writer that was away for an
hour changes nothing that others have settled meanwhile.  No operation depends on a clock: no
key expires.  tests/support/cluster_store_contract.py holds every implementation to this.
"""

from collections.abc import Sequence
from typing import Protocol

from shard_router.cluster_records import ClusterPlan, MemberRecord, Stewardship, View
from shard_router.placement import SlotMap
from wire.names import ShardId


class StoreAway(Exception):
    """The store did not do it, or did not say so: away, slow, read-only, loading.  What it was asked for may have happened."""


class ClusterStore(Protocol):
    """Raises `StoreAway`, and `BadRecord` for stored data that is no record of ours."""

    def introduce(self, fingerprints: Sequence[str]) -> bool:
        """Whether this cluster is ours: it has one of these fingerprints of the link secret, or none yet.

        The first of them is stored then, so a rotation of secrets is followed.
        """

    def look(self, seen_map_version: int) -> View:
        """Everything, as of one moment; without the map itself when its version is `seen_map_version`."""

    def register(self, record: MemberRecord, replacing: str) -> bool:
        """Write a first record, if the one that is there is of the incarnation `replacing` ("": if none is there)."""

    def renew(self, record: MemberRecord) -> bool:
        """Write the record again, unless another incarnation's is there: then False.  One that was lost is written anew."""

    def remove(self, key: str, incarnation: str) -> None:
        """Take a member's record out, if it is this incarnation's."""

    def campaign(self, candidate: MemberRecord, seen_token: int) -> bool:
        """Become the steward under a new token, if the token is still `seen_token`."""

    def resign(self, record: MemberRecord) -> None:
        """Leave the stewardship to whoever comes first, if it is this incarnation's."""

    def write_map(self, slot_map: SlotMap, steward: Stewardship, replacing: int) -> bool:
        """Store the next map, if the stewardship is exactly `steward` still and the stored version is `replacing`."""

    def write_plan(self, plan: ClusterPlan, replacing: int) -> bool:
        """Store the plan, if the stored one's version is `replacing`."""

    def hint(self, shard: ShardId, incarnation: str) -> None:
        """Tell the steward that this incarnation's links were reset."""

    def clear_hint(self, shard: ShardId, incarnation: str) -> None:
        """It was looked into; one about another incarnation stays."""

    def close(self) -> None: ...
