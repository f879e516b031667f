"""A directory whose map, addresses and lease are what the test says; it remembers what it was told."""

from collections.abc import Mapping

import trio

from shard_router.directory import Address
from shard_router.placement import SlotMap, place
from wire.names import ShardId


class ChangingDirectory:
    """See `shard_router.directory.Directory`; `heard`, `suspected` and `is_leaving` are for assertions."""

    can_change = True

    def __init__(
        self, slot_map: SlotMap, addresses: Mapping[ShardId, Address] | None = None, *, accepts_per_s: float | None = None
    ) -> None:
        self.slot_map = slot_map
        self.addresses = dict(addresses or {})
        self.is_lapsed = False
        self.has_successor = True
        self.is_leaving = False
        self.heard: list[int] = []
        self.suspected: list[ShardId] = []
        self._accepts_per_s = accepts_per_s
        self._changed = trio.Event()

    def address_of(self, shard: ShardId) -> Address | None:
        return self.addresses.get(shard)

    def change(self, slot_map: SlotMap) -> None:
        """Follow another map from now on."""
        self.slot_map = slot_map
        self._changed.set()
        self._changed = trio.Event()

    async def wait_changed(self, seen_version: int) -> None:
        while self.slot_map.version == seen_version:
            await self._changed.wait()

    def heard_of(self, version: int) -> None:
        self.heard.append(version)

    def suspect(self, shard: ShardId) -> None:
        self.suspected.append(shard)

    def accepts_elsewhere_per_s(self) -> float | None:
        return self._accepts_per_s

    def start_leaving(self) -> bool:
        self.is_leaving = self.has_successor
        return self.has_successor


def map_of(version: int, *shards: str) -> SlotMap:
    """The map of shards of equal weight."""
    return place(version, {ShardId(shard): 1 for shard in shards})
