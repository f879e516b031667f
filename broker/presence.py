"""How many are in a room: the sum of what the gateways report, never who.

A report replaces the same gateway's last one, so a gateway that comes back over a new link
is not counted twice, and one that is gone is dropped when it has not renewed its sum for
MEMBERS_SUM_EXPIRES_S.  Pure; `now_s` is any clock that does not go back.
"""

from typing import Final

from wire.limits import MEMBERS_SUM_EXPIRES_S

NEVER_ANNOUNCED: Final = -1


class Sums:
    """The reports of one room, by gateway; `total` is their sum."""

    __slots__ = ("_reports", "announced", "total")

    def __init__(self) -> None:
        self._reports: dict[str, tuple[int, float]] = {}
        """Gateway to its sum and when it was reported; at most one per link of the shard."""
        self.total = 0
        self.announced = 0
        """The total that readers were last told."""

    def __bool__(self) -> bool:
        return bool(self._reports)

    @property
    def is_news(self) -> bool:
        return self.total != self.announced

    def report(self, node: str, members: int, now_s: float) -> None:
        """Gateway `node` has `members` sessions in the room, as of now."""
        before = self._reports.get(node)
        self.total += max(0, members) - (before[0] if before else 0)
        self._reports[node] = (max(0, members), now_s)

    def forget(self, node: str) -> None:
        """The gateway has left the room on purpose."""
        self.total -= self._reports.pop(node, (0, 0.0))[0]

    def expire(self, now_s: float) -> None:
        """Drop what was not renewed in time."""
        gone = [node for node, (_, at) in self._reports.items() if now_s - at > MEMBERS_SUM_EXPIRES_S]
        for node in gone:
            self.forget(node)
