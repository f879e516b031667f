"""Who says which shard owns which slot, and where each shard can be reached.

`StaticDirectory` reads it from the settings: the same on every node, for as long as the process
lives.  A directory that can change (kept in Redis) fits the same Protocol.
"""

import re
from dataclasses import dataclass
from typing import Protocol

import trio

from runtime.schema import ClusterSettings
from shard_router.placement import SlotMap, place
from wire.names import ShardId

_SHARD = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a shard's link port is."""

    host: str
    port: int


class Directory(Protocol):
    """What a node believes about the cluster; reading it costs nothing and never waits."""

    @property
    def slot_map(self) -> SlotMap:
        """The newest map this node knows."""

    def address_of(self, shard: ShardId) -> Address | None:
        """None while nobody has said where the shard is."""

    async def wait_changed(self, seen_version: int) -> None:
        """Return as soon as `slot_map.version` is another than `seen_version`."""

    @property
    def can_change(self) -> bool:
        """Whether there may ever be another map."""

    def start_leaving(self) -> bool:
        """Ask for this shard's slots to be given to others; False when nobody is there to take them.  May be asked again."""

    @property
    def is_lapsed(self) -> bool:
        """Whether this node's lease has lapsed: somebody else may have been given what it believes to own."""

    def heard_of(self, version: int) -> None:
        """A peer follows this map: if it is newer than ours, look now and not at the next poll."""

    def suspect(self, shard: ShardId) -> None:
        """Its link was reset: a hint for whoever decides that a shard is gone."""

    def accepts_elsewhere_per_s(self) -> float | None:
        """Reconnects a second that a gateway which leaves may send to those that stay; None when nobody knows.

        Who leaves at the same time, as the workers of one gateway do, shares what they can take in.
        """


class StaticDirectory:
    """The cluster as the settings describe it: all shards of equal weight, nothing ever changes.

    Raises `ValueError`, which names the setting and the bound, for a shard id or an address that cannot be.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self._addresses = {_shard_id(shard): parse_address(text) for shard, text in settings.shards.items()}
        self._slot_map = place(settings.map_version, dict.fromkeys(self._addresses, 1))

    @property
    def slot_map(self) -> SlotMap:
        return self._slot_map

    def address_of(self, shard: ShardId) -> Address | None:
        return self._addresses.get(shard)

    @property
    def can_change(self) -> bool:
        return False

    def start_leaving(self) -> bool:
        return False

    @property
    def is_lapsed(self) -> bool:
        return False

    def heard_of(self, version: int) -> None:
        """There is no newer map than the settings'."""

    def suspect(self, shard: ShardId) -> None:
        """Nobody takes over from anybody."""

    def accepts_elsewhere_per_s(self) -> float | None:
        return None

    async def wait_changed(self, seen_version: int) -> None:
        if seen_version != self._slot_map.version:
            await trio.lowlevel.checkpoint()
            return
        await trio.sleep_forever()


def parse_address(text: str) -> Address:
    """``host:port``, an IPv6 address in brackets; raises `ValueError`."""
    found = _ADDRESS.match(text)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise ValueError(f"cluster.shards: {text!r} is not host:port with a port of 1 to 65535")
    return Address(found["v6"] or found["host"], int(found["port"]))


def _shard_id(text: str) -> ShardId:
    if not _SHARD.match(text):
        raise ValueError(f"cluster.shards: {text!r} is no shard id (1 to 32 of a-z 0-9 -, not beginning with -)")
    return ShardId(text)
