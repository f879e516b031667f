"""What the steward decides: the next plan and the next map, out of what is written and who is alive.  Pure.

Every shard could do it, and all would come to the same: the map is a function of the plan and of
the shards that are alive (`place`), and history counts only in its version.  Which of them *may*
write is the store's to say (`ClusterStore.write_map`, under a token).
"""

from collections.abc import Collection, Mapping

import msgspec

from shard_router.cluster_records import ClusterPlan, MemberRecord
from shard_router.placement import WEIGHT_MAX, SlotMap, place
from wire.limits import SHARDS_MAX
from wire.names import ShardId, Slot

FOUNDER_WEIGHT = 100
"""The weight of a shard that founds a cluster and asked for none: it must own something."""

Shards = Mapping[ShardId, MemberRecord]


def plan_with_newcomers(plan: ClusterPlan, alive: Shards, *, is_founding: bool) -> ClusterPlan | None:
    """The plan with a weight for every shard that it has not heard of; None when it has heard of all."""
    new = {shard: record.weight for shard, record in sorted(alive.items()) if shard not in plan.weights}
    if not new:
        return None
    if is_founding:
        new = {shard: weight or FOUNDER_WEIGHT for shard, weight in new.items()}
    bounded = {shard: min(max(weight, 0), WEIGHT_MAX) for shard, weight in new.items()}
    return msgspec.structs.replace(plan, version=plan.version + 1, weights={**plan.weights, **bounded})


def weights_in_force(plan: ClusterPlan, alive: Shards) -> dict[ShardId, int]:
    """The shards that slots may lie on now, with their weights: alive, and neither drained nor on their way out."""
    staying = [shard for shard, record in alive.items() if not record.is_leaving and shard not in plan.leaving]
    weighed = {shard: plan.weights.get(shard, 0) for shard in sorted(staying)}
    if len(weighed) > SHARDS_MAX:
        # A slot map has room for so many; those without a weight are the first to be left out.
        kept = sorted(weighed, key=lambda shard: (weighed[shard] == 0, shard))[:SHARDS_MAX]
        weighed = {shard: weighed[shard] for shard in kept}
    return weighed


def overrides(plan: ClusterPlan) -> dict[Slot, ShardId]:
    """Slots that operators placed by hand; a pin counts for more than a move."""
    return {Slot(slot): shard for slot, shard in {**plan.moves, **plan.pins}.items()}


def next_version(stored: int, reported: Collection[int]) -> int:
    """Above everything that was ever followed: a store that forgot its newest map is not believed."""
    return max(stored, *reported, 0) + 1


class Placer:
    """Computes the map that should hold, and remembers the last one: it is asked five times a second."""

    def __init__(self) -> None:
        self._inputs: object = None
        self._placed: SlotMap | None = None

    def next_map(
        self, current: SlotMap | None, plan: ClusterPlan, alive: Shards, *, stored: int, reported: Collection[int]
    ) -> SlotMap | None:
        """The map to write now; None when the one that is stored should stay.

        `current` is the newest map known, `stored` the version that the store has, `reported` every version that
        somebody follows or has heard of.  With no shard that may own a slot the old map stays: its owners may
        come back, and their rooms with them.
        """
        placed = self._place(weights_in_force(plan, alive), overrides(plan))
        if placed is None:
            return None
        is_known = stored >= max(reported, default=0)
        if current is not None and is_known and current.version == stored and same_owners(current, placed):
            return None
        return SlotMap(next_version(stored, reported), placed.shards, placed.owners)

    def _place(self, weights: Mapping[ShardId, int], by_hand: Mapping[Slot, ShardId]) -> SlotMap | None:
        if not any(weights.values()):
            return None
        inputs = (weights, by_hand)
        if inputs != self._inputs:
            self._inputs = inputs
            self._placed = place(1, weights, by_hand)
        return self._placed


def same_owners(left: SlotMap, right: SlotMap) -> bool:
    """Whether two maps say the same, whatever their versions."""
    return left.shards == right.shards and left.owners == right.owners
