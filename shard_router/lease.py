"""Who is alive, as one observer can tell by its own clock alone.  Pure.

Members renew a counter in the directory.  No clock is compared with another machine's: an
observer notes, on its own monotonic clock, when it last saw a counter move.  A member is
missing when the counter has stood still for a lease *in which the observer's own reads went
on*: after a stall of the directory, or of the observer itself, everybody gets one full lease,
because nobody could be seen meanwhile.

Leases only decide who *should* own a slot.  Who *may* write is the journal's to say.
"""

import math
from collections.abc import Iterator, Mapping

from wire.limits import LEASE_RENEWAL_S, LEASE_S, MAP_POLL_S

# What may lie between two reads without counting as a stall: a member that was about to renew when the
# directory stopped, and tries again as soon as it goes on, is still seen to move within its lease.
STALL_S = LEASE_S - LEASE_RENEWAL_S - MAP_POLL_S

Sign = tuple[str, int]
"""A member's incarnation and counter: another pair than before is a sign of life."""


class _Seen:
    """One member: its last sign, when that was first seen, and what is concluded from it."""

    __slots__ = ("at", "is_missing", "is_proven", "sign")

    def __init__(self, sign: Sign, at: float, *, is_proven: bool) -> None:
        self.sign = sign
        self.at = at
        self.is_proven = is_proven
        self.is_missing = False


class Watch:
    """What one observer has seen of all members.

    Three states.  *Alive*: seen to move (or to appear) within a lease.  *Unproven*: there at the first read, or
    before a stall, and not yet seen to move since: it counts as alive, and nobody should be given its slots, nor
    be taken slots from because of it, until its lease has passed.  *Missing*: stood still for a lease; only a new
    sign brings it back, no stall does.
    """

    def __init__(self, lease_s: float = LEASE_S, stall_s: float = STALL_S) -> None:
        self._lease_s = lease_s
        self._stall_s = stall_s
        self._members: dict[str, _Seen] = {}
        self._asked = -math.inf

    def look(self, signs: Mapping[str, Sign], asked: float, answered: float) -> None:
        """Take in one read of all members that succeeded; it shows them as they were between `asked` and `answered`."""
        has_stalled = answered - self._asked > self._stall_s
        before, self._members = self._members, {}
        for member, sign in signs.items():
            seen = before.get(member)
            if seen is None or seen.sign != sign:
                # It has moved since the last read: just now, or, if reads did not go on, at any time since.
                seen = _Seen(sign, answered, is_proven=not has_stalled)
            elif has_stalled and not seen.is_missing:
                seen.at = answered
                seen.is_proven = False
            elif asked - seen.at >= self._lease_s:
                seen.is_missing = True
            self._members[member] = seen
        self._asked = asked

    def is_alive(self, member: str) -> bool:
        """Whether it counts as alive, proven or not."""
        seen = self._members.get(member)
        return seen is not None and not seen.is_missing

    def has_moved(self, member: str) -> bool:
        """Whether it is alive beyond doubt."""
        seen = self._members.get(member)
        return seen is not None and not seen.is_missing and seen.is_proven

    def unproven(self) -> Iterator[str]:
        """Those of whom nothing is known yet; empty after one lease of reads."""
        return (member for member, seen in self._members.items() if not seen.is_proven and not seen.is_missing)

    def missing_since(self, member: str) -> float | None:
        """When a missing member was last seen to move; None for one that is alive or unknown."""
        seen = self._members.get(member)
        return seen.at if seen is not None and seen.is_missing else None

    def next_missing_at(self) -> float:
        """When a read would next find somebody missing who is not yet; infinity when there is nobody."""
        return min((seen.at + self._lease_s for seen in self._members.values() if not seen.is_missing), default=math.inf)


class OwnLease:
    """Whether this node may still believe what it last knew: a lease counts from the *start* of a renewal that succeeded.

    So it has lapsed here before anybody else can have seen the counter stand still for as long.
    """

    __slots__ = ("_lease_s", "renewed_at")

    def __init__(self, lease_s: float = LEASE_S) -> None:
        self._lease_s = lease_s
        self.renewed_at = -math.inf

    def renewed(self, asked: float) -> None:
        """The renewal that was sent at `asked` has succeeded."""
        self.renewed_at = max(self.renewed_at, asked)

    def is_lapsed(self, now: float) -> bool:
        return now - self.renewed_at >= self._lease_s
