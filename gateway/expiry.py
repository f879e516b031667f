"""Whose permission ends when: a wheel of one bucket a second.  Pure.

A client lies in one bucket.  A refresh does not move it: when its second comes it is looked
at, and laid into a later one.  So a refresh costs nothing here, and a token that nobody
refreshes costs one look.
"""

from math import ceil, inf

from gateway.client import Client


class Expiry:
    """`grace_s` after `Session.expires_at`, both on a clock that never goes back, a client is due."""

    def __init__(self, grace_s: float, now: float) -> None:
        self._grace_s = grace_s
        self._buckets: dict[int, dict[Client, None]] = {}
        """By whole seconds; bounded by the clients that are connected."""
        self._places: dict[Client, int] = {}
        self._hand = int(now)

    def __len__(self) -> int:
        return len(self._places)

    def add(self, client: Client) -> None:
        """Watch a client whose session ends some time; one that never ends is left alone."""
        if client.session.expires_at == inf:
            return
        place = max(self._hand + 1, ceil(client.session.expires_at + self._grace_s))
        self._places[client] = place
        self._buckets.setdefault(place, {})[client] = None

    def remove(self, client: Client) -> None:
        place = self._places.pop(client, None)
        if place is not None:
            bucket = self._buckets[place]
            del bucket[client]
            if not bucket:
                del self._buckets[place]

    def due(self, now: float) -> list[Client]:
        """Those whose grace is over; they are no longer watched."""
        over = []
        # A process that was stopped for an hour walks over an hour of seconds, once.
        while self._hand < int(now):
            self._hand += 1
            for client in list(self._buckets.get(self._hand, ())):
                self.remove(client)
                if client.session.expires_at + self._grace_s <= now:
                    over.append(client)
                else:
                    self.add(client)
        return over
