"""Asking every client, in slices, whether it is still there.  Pure.

A wheel of one bucket a second: a client's first ping comes at a random point of the
interval (SEMANTICS, R33), so a crowd that arrived at once is not asked at once.  Any
traffic since the ping counts as life.
"""

from collections.abc import Iterable
from math import ceil
from random import Random
from typing import Final

from gateway.client import Client

BUCKET_S: Final = 1.0


class Heartbeat:
    """Who is to be asked, and who did not answer, second by second."""

    def __init__(self, interval_s: float, timeout_s: float, rng: Random) -> None:
        count = max(2, ceil(interval_s / BUCKET_S))
        self._buckets: list[dict[Client, None]] = [{} for _ in range(count)]
        self._timeout_buckets = min(count - 1, max(1, ceil(timeout_s / BUCKET_S)))
        self._rng = rng
        self._hand = 0

    def add(self, client: Client) -> None:
        client.ping_bucket = self._rng.randrange(len(self._buckets))
        self._buckets[client.ping_bucket][client] = None

    def remove(self, client: Client) -> None:
        if client.ping_bucket >= 0:
            self._buckets[client.ping_bucket].pop(client, None)
            client.ping_bucket = -1

    def tick(self) -> tuple[Iterable[Client], Iterable[Client]]:
        """One second later: who is to be pinged now, and who was pinged `timeout_s` ago and has been silent since."""
        count = len(self._buckets)
        self._hand = (self._hand + 1) % count
        due = list(self._buckets[self._hand])
        checked = self._buckets[(self._hand - self._timeout_buckets) % count]
        silent = [client for client in checked if not client.heard]
        for client in due:
            client.heard = False
        return due, silent
