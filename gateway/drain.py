"""Leaving on purpose: when each client is told to come back.  Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

# Clients told to reconnect in one slot share one ready frame.
CLIENTS_PER_SLOT: Final = 50
# What the gateways that stay can take in: the measured 3,000 handshakes per CPU-second, a
# third of it, so that readers who stay notice nothing.
RECONNECTS_PER_S: Final = 1000.0


def reconnect_slots(clients: Sequence[T], deadline_s: float) -> Iterator[tuple[int, Sequence[T]]]:
    """Groups of clients and the milliseconds after which each comes back: paced, and over at half the deadline."""
    groups = [clients[start : start + CLIENTS_PER_SLOT] for start in range(0, len(clients), CLIENTS_PER_SLOT)]
    step_s = min(CLIENTS_PER_SLOT / RECONNECTS_PER_S, deadline_s / 2 / max(1, len(groups)))
    for place, group in enumerate(groups):
        yield int(place * step_s * 1000), group
