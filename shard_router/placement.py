"""Which shard should own each slot: a pure function of shards, weights and pins.

Weighted rendezvous: each (slot, shard) pair draws one number from a hash, and a slot prefers
the shards in the order of their numbers.  Taken alone that is too uneven for few slots a shard
(64 shards: the fullest has 1.3 times the mean), so each shard has a capacity, and slots choose
one after another in a fixed order; who finds its favourite full takes its next.  Nothing depends
on history: two nodes with the same inputs compute the same map, and the map after "add, then
remove" is the map before.  Only integers and the IEEE operations + * / are used, because
`math.log` may differ in its last bit between two machines' C libraries.

Laws (tests/shard_router/test_placement.py checks each at every size from 2 to 64):
1. a shard holds at most 1.15 times its weight's share; a share below seven slots is rounded up;
2. one shard more moves at most 1/(N+1) of the slots + 2 %; one less moves its own + 2 %;
3. pinned slots lie where they are pinned and count in neither law.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import shake_128
from math import frexp
from struct import unpack
from typing import Any

from wire.limits import SHARDS_MAX, SLOT_COUNT
from wire.names import ShardId, Slot

LOAD_PERCENT_MAX = 115
# Where shares are large the bound is tighter: 1 % of all slots above the share.  It keeps what one
# new shard takes within law 2 at small sizes, where 15 % of a share would already be 5 % of all slots.
SLACK_PERCENT_OF_ALL = 1
WEIGHT_MAX = 1000


class BadSlotMap(ValueError):
    """Stored or received data that is no slot map."""


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Who owns each slot, as of `version`.  `owners[slot]` is an index into `shards`."""

    version: int
    shards: tuple[ShardId, ...]
    owners: bytes

    def __post_init__(self) -> None:
        if not 1 <= len(self.shards) <= SHARDS_MAX or len(set(self.shards)) != len(self.shards):
            raise BadSlotMap(f"a slot map names 1 to {SHARDS_MAX} different shards, this one {len(self.shards)}")
        if len(self.owners) != SLOT_COUNT or max(self.owners) >= len(self.shards):
            raise BadSlotMap(f"a slot map gives each of {SLOT_COUNT} slots to one of its {len(self.shards)} shards")

    def owner_of(self, slot: Slot) -> ShardId:
        return self.shards[self.owners[slot]]

    def slots_of(self, shard: ShardId) -> list[Slot]:
        """In rising order; none for a shard that the map does not name."""
        if shard not in self.shards:
            return []
        index = self.shards.index(shard)
        return [Slot(slot) for slot, owner in enumerate(self.owners) if owner == index]

    def encode(self) -> dict[str, Any]:
        """Plain data for JSON or msgpack; the inverse is `decode`."""
        return {"version": self.version, "shards": list(self.shards), "owners": self.owners.hex()}

    @staticmethod
    def decode(data: object) -> "SlotMap":
        """Raises `BadSlotMap` for anything that `encode` did not make."""
        match data:
            case {"version": int(version), "shards": [*shards], "owners": str(owners)} if all(isinstance(s, str) for s in shards):
                try:
                    return SlotMap(version, tuple(ShardId(shard) for shard in shards), bytes.fromhex(owners))
                except ValueError as error:
                    raise BadSlotMap(f"not a slot map: {error}") from error
            case _:
                raise BadSlotMap("not a slot map: version, shards and owners are needed")


def changed_slots(before: SlotMap, after: SlotMap) -> list[Slot]:
    """The slots that have another owner in `after`, in rising order."""
    return [slot for slot in map(Slot, range(SLOT_COUNT)) if before.owner_of(slot) != after.owner_of(slot)]


def place(version: int, weights: Mapping[ShardId, int], pins: Mapping[Slot, ShardId] | None = None) -> SlotMap:
    """The slot map for these shards.

    `weights` are 0 to 1000 and only their ratio counts; a shard of weight 0 is in the map and
    owns pinned slots only.  A pin to a shard that is not in `weights` waits for it: the slot is
    placed like any other, since a map must exist when a pinned shard has died.  Raises
    `ValueError` for no shard, too many, or none that may own slots.
    """
    shards = tuple(sorted(weights))
    _check_weights(weights)
    index_of = {shard: index for index, shard in enumerate(shards)}
    pinned = {slot: index_of[shard] for slot, shard in (pins or {}).items() if shard in index_of}
    open_to_all = [shard for shard in shards if weights[shard] > 0]
    free = [slot for slot in map(Slot, range(SLOT_COUNT)) if slot not in pinned]
    shares = [weights[shard] for shard in open_to_all]
    room_left = [capacity(len(free), share, sum(shares)) for share in shares]
    owners = bytearray(SLOT_COUNT)
    for slot, index in pinned.items():
        owners[slot] = index
    for slot, choice in _choose(free, _costs(open_to_all, shares), room_left):
        owners[slot] = index_of[open_to_all[choice]]
    return SlotMap(version, shards, bytes(owners))


def capacity(slots: int, weight: int, weights_sum: int) -> int:
    """The most of `slots` that a shard of this weight may be given; never below its share.

    Capacities add up to at least `slots`, so everybody finds a place.
    """
    share_rounded_up = -(-slots * weight // weights_sum)
    bounded = slots * weight * LOAD_PERCENT_MAX // (weights_sum * 100)
    slack = slots * weight // weights_sum + slots * SLACK_PERCENT_OF_ALL // 100
    return max(share_rounded_up, min(bounded, slack))


def _check_weights(weights: Mapping[ShardId, int]) -> None:
    if not 1 <= len(weights) <= SHARDS_MAX:
        raise ValueError(f"{len(weights)} shards; 1 to {SHARDS_MAX} can share the slots")
    for shard, weight in weights.items():
        if not 0 <= weight <= WEIGHT_MAX:
            raise ValueError(f"weight {weight} of {shard} is not within 0 to {WEIGHT_MAX}")
    if not any(weights.values()):
        raise ValueError("all shards have weight 0: none may own a slot")


def _choose(free: Sequence[Slot], costs: Sequence[Sequence[float]], room_left: list[int]) -> Iterator[tuple[Slot, int]]:
    """Give each slot its cheapest shard that still has room; the order of `free` decides who asks first.

    A row is searched by `min` and `index`, both in C: a key function would cost 260,000 calls for 64 shards.
    """
    rows = list(zip(*costs, strict=True))
    for slot in free:
        row = rows[slot]
        choice = row.index(min(row))
        if not room_left[choice]:
            choice = min((shard for shard, left in enumerate(room_left) if left), key=row.__getitem__)
        room_left[choice] -= 1
        yield slot, choice


def _costs(shards: Sequence[ShardId], weights: Sequence[int]) -> list[Sequence[float]]:
    """What each slot would cost at each shard: exponentially distributed with the weight as its rate.

    The cheapest of such numbers is shard i's with probability weight i / sum: that is what makes
    rendezvous weighted.  One extendable hash a shard gives the draws of all its slots: 0.1 ms
    where 4096 hashes would take 4 ms.
    """
    return [[cost / weight for cost in _unit_costs(shard)] for shard, weight in zip(shards, weights, strict=True)]


@lru_cache(maxsize=SHARDS_MAX)
def _unit_costs(shard: ShardId) -> "array[float]":
    """What each slot would cost at a shard of weight 1.

    Kept, since it is most of the work and the next map is for almost the same shards: 64 shards take 400 ms the
    first time and 80 when one has died, 16 take 80 and 20 (on a busy 2-core VM); 32 KiB a shard.
    """
    return array("d", map(_exponential, _draws(shard)))


def _draws(shard: ShardId) -> tuple[int, ...]:
    """One number of 64 bits for each slot."""
    stream = shake_128(b"parvis slot placement 1\0" + shard.encode()).digest(8 * SLOT_COUNT)
    return unpack(f"<{SLOT_COUNT}Q", stream)


def _exponential(draw: int) -> float:
    """-ln((draw + 1/2) / 2**64) to about 1e-8, by operations that IEEE 754 fixes to the last bit.

    With m in [1/2, 1): ln m = 2 artanh((m - 1) / (m + 1)), whose series converges by 1/9 a term here.
    """
    mantissa, exponent = frexp((draw >> 12) + 0.5)
    s = (1.0 - mantissa) / (1.0 + mantissa)
    q = s * s
    series = s * (1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13)))))))
    return 2.0 * series + (52 - exponent) * 0.6931471805599453
