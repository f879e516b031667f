"""What an operator may change in a cluster's plan: each edit as a function, refused with a plain sentence.  Pure.

An edit that changes nothing answers the plan it was given, so repeating one is harmless.  Which
slots then lie where is `place`'s business, and the steward's to write down.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from shard_router.cluster_records import ClusterPlan, MemberRecord
from shard_router.placement import WEIGHT_MAX
from shard_router.steward import FOUNDER_WEIGHT, weights_in_force
from wire.limits import SLOT_COUNT
from wire.names import ShardId, Slot


class EditRefused(Exception):
    """The cluster as it is does not allow it; the message is the sentence."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an edit is made upon: the plan, and who is alive."""

    plan: ClusterPlan
    alive: dict[ShardId, MemberRecord]

    @property
    def known(self) -> set[ShardId]:
        return {*self.plan.weights, *self.alive}


def add(outlook: Outlook, shard: ShardId, weight: int | None = None) -> ClusterPlan:
    """Give the shard its share; without a `weight` the one it had, or that of a founder."""
    _check_known(outlook, shard)
    plan = outlook.plan
    if weight is None:
        weight = plan.weights.get(shard, 0) or FOUNDER_WEIGHT
    if not 1 <= weight <= WEIGHT_MAX:
        raise EditRefused(f"a weight is 1 to {WEIGHT_MAX}, not {weight}; to take a shard's slots away, drain it")
    return _changed(plan, weights={**plan.weights, shard: weight}, leaving=tuple(each for each in plan.leaving if each != shard))


def drain(outlook: Outlook, shard: ShardId) -> ClusterPlan:
    """Take all slots from the shard, until it is added again."""
    _check_known(outlook, shard)
    others = {name: record for name, record in outlook.alive.items() if name != shard}
    if not any(weights_in_force(outlook.plan, others).values()):
        raise EditRefused(f"no other shard that is running may own slots: add one before {shard} is drained")
    return _changed(outlook.plan, leaving=tuple(sorted({*outlook.plan.leaving, shard})))


def move(outlook: Outlook, slots: Collection[Slot], shard: ShardId) -> ClusterPlan:
    """Put slots onto a shard, until the next rebalance."""
    _check_slots(slots)
    _check_may_own(outlook, shard)
    pinned = [slot for slot in slots if outlook.plan.pins.get(slot, shard) != shard]
    if pinned:
        raise EditRefused(f"slot {pinned[0]} is pinned to {outlook.plan.pins[pinned[0]]}: unpin it first")
    return _changed(outlook.plan, moves={**outlook.plan.moves, **dict.fromkeys(map(int, slots), shard)})


def pin(outlook: Outlook, slot: Slot, shard: ShardId) -> ClusterPlan:
    """Put a slot onto a shard, until it is unpinned."""
    _check_slots([slot])
    _check_may_own(outlook, shard)
    moves = {each: owner for each, owner in outlook.plan.moves.items() if each != slot}
    return _changed(outlook.plan, pins={**outlook.plan.pins, int(slot): shard}, moves=moves)


def unpin(outlook: Outlook, slot: Slot) -> ClusterPlan:
    """Let a slot lie where it would."""
    _check_slots([slot])
    return _changed(outlook.plan, pins={each: owner for each, owner in outlook.plan.pins.items() if each != slot})


def rebalance(outlook: Outlook) -> ClusterPlan:
    """Forget what was moved by hand; pins stay."""
    return _changed(outlook.plan, moves={})


def parse_slots(words: Iterable[str]) -> list[Slot]:
    """``7`` and ``100-199`` as slots, in rising order; raises `ValueError` for anything else."""
    found: set[int] = set()
    for word in words:
        first, dash, last = word.partition("-")
        ends = [first, last if dash else first]
        if not all(end.isascii() and end.isdigit() and int(end) < SLOT_COUNT for end in ends) or int(ends[0]) > int(ends[1]):
            raise ValueError(f"{word!r} is no slot: 0 to {SLOT_COUNT - 1}, or a range of them as in 100-199")
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    return [Slot(slot) for slot in sorted(found)]


def _changed(plan: ClusterPlan, **fields: object) -> ClusterPlan:
    """The next version of the plan; the same one when nothing in it would change."""
    new = msgspec.structs.replace(plan, **fields)
    return plan if new == plan else msgspec.structs.replace(new, version=plan.version + 1)


def _check_known(outlook: Outlook, shard: ShardId) -> None:
    if shard not in outlook.known:
        raise EditRefused(f"the cluster knows no shard {shard}; it knows {', '.join(sorted(outlook.known)) or 'none'}")


def _check_may_own(outlook: Outlook, shard: ShardId) -> None:
    _check_known(outlook, shard)
    if shard in outlook.plan.leaving:
        raise EditRefused(f"{shard} is drained: add it first")
    if shard not in outlook.alive:
        raise EditRefused(f"{shard} is not running, and its slots would lie elsewhere until it is")


def _check_slots(slots: Collection[Slot]) -> None:
    outside = [slot for slot in slots if not 0 <= slot < SLOT_COUNT]
    if outside:
        raise EditRefused(f"slot {outside[0]} is not within 0 to {SLOT_COUNT - 1}")
