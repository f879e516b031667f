"""What the two ends of a link tell each other of slot maps: who follows a newer one says so.

Maps spread by polling, too; this makes it a matter of one trip over a link.  A shard is told
of a map before anything is attached under it, so that it looks for it and does not disown the room.
"""

from typing import Protocol

from runtime.link import Link
from wire.node_messages import MAP_NEWS_SINCE_VERSION, MapNews


class MapFollower(Protocol):
    """The router, as far as maps go."""

    @property
    def map_version(self) -> int:
        """The slot map that is followed now."""

    def on_map_heard(self, version: int) -> None:
        """Somebody follows this map, which may be newer than ours."""


class MapTalk:
    """One channel's share of it; at most one message is due at any time."""

    __slots__ = ("_follower", "_is_due")

    def __init__(self, follower: MapFollower) -> None:
        self._follower = follower
        self._is_due = False

    def on_link(self, link: Link) -> None:
        """A link has opened: whose map is older?"""
        self._is_due = _understands(link) and link.peer_map_version < self._follower.map_version
        self._follower.on_map_heard(link.peer_map_version)

    def on_map(self, link: Link | None) -> None:
        """Another map is followed from here on."""
        self._is_due = link is not None and _understands(link)

    def push(self, link: Link) -> bool:
        """Send what is due; False when the link is full."""
        if self._is_due:
            self._is_due = not link.send_nowait(MapNews(self._follower.map_version))
        return not self._is_due


def _understands(link: Link) -> bool:
    return link.version >= MAP_NEWS_SINCE_VERSION
