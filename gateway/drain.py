"""Leaving on purpose: when each client is told to come back, so that those who stay can take them in.  Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

# Clients told to reconnect in one slot share one ready frame.
CLIENTS_PER_SLOT_MAX: Final = 50
# And are no more than the survivors take in within a tenth of a second: a small budget is not met by bursts.
SLOTS_PER_S_MIN: Final = 10
# The last slot lies so early in the deadline: what is left is for its handshakes and resumes.
PACED_SHARE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast clients are sent away, and what it was taken from."""

    accepts_per_s: float
    reason: str
    """For the log: whose budget it is, or why it is none of theirs."""


def pace_of(clients: int, deadline_s: float, elsewhere_per_s: float | None, own_per_s: float) -> Pace:
    """The survivors' budget; ours where there is none to know; faster than either where the deadline asks for it."""
    if elsewhere_per_s is None:
        pace = Pace(own_per_s, "the other gateways' budget is not known here: as fast as this one could take them in")
    elif elsewhere_per_s <= 0:
        pace = Pace(own_per_s, "there is no other gateway: clients come back when there is one")
    else:
        pace = Pace(elsewhere_per_s, "the other gateways' budget")
    needed = clients / (deadline_s * PACED_SHARE)
    return pace if needed <= pace.accepts_per_s else Pace(needed, f"the deadline of {deadline_s:g} s; {pace.reason}")


def reconnect_slots(clients: Sequence[T], accepts_per_s: float) -> Iterator[tuple[int, Sequence[T]]]:
    """Groups of clients, with the milliseconds after which each comes back."""
    size = max(1, min(CLIENTS_PER_SLOT_MAX, int(accepts_per_s / SLOTS_PER_S_MIN)))
    for start in range(0, len(clients), size):
        yield int(start / accepts_per_s * 1000), clients[start : start + size]
