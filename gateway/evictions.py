"""Those who were revoked, on their way out: some in each turn of the loop, each with its slot to come back in.  Pure.

Revoking one account closes it at once.  Revoking everybody concerns 20,000 clients of one
gateway, and all of them at every gateway: closing them in one turn would hold up whoever comes
in, and without slots all would come back together.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Final, Generic, TypeVar

C = TypeVar("C", bound=Hashable)

# 5 us of books each, and two sends to a socket: a turn of a few milliseconds, and a hundred turns for 20,000 clients.
EVICTIONS_PER_TURN: Final = 200


class Evictions(Generic[C]):
    """Bounded by the clients of a gateway: each waits once."""

    def __init__(self, accepts_per_s: float) -> None:
        """Slots are so far apart as this gateway can take reconnects in; others do the same with theirs."""
        self._accepts_per_s = accepts_per_s
        self._places = 0
        self._waiting: OrderedDict[C, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, clients: Iterable[C]) -> None:
        """They leave after those who wait already, and come back after them."""
        if not self._waiting:
            self._places = 0
        for client in clients:
            if client not in self._waiting:
                self._waiting[client] = int(1000 * self._places / self._accepts_per_s)
                self._places += 1

    def take(self) -> list[tuple[C, int]]:
        """The next few, with the milliseconds after which each comes back; 0 for no advice."""
        return [self._waiting.popitem(last=False) for _ in range(min(EVICTIONS_PER_TURN, len(self._waiting)))]
