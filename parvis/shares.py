"""What one process may hold: its share of the gateway's bounds, within its file descriptors.  Pure."""

import math
from typing import Final

import msgspec

from runtime.schema import AdmissionSettings, GatewaySettings

# Listeners, links, the directory's and the journal's files, the admin port and the spare descriptor, with room to spare.
DESCRIPTORS_BESIDE_CLIENTS: Final = 200
# Of the descriptors for clients, so many may be handshakes that are not finished.
_PENDING_SHARE: Final = 8


def share_of(gateway: GatewaySettings, workers: int) -> dict[str, object]:
    """The settings of one of so many worker processes, where they differ from the gateway's."""
    return {
        "gateway.connections_max": max(1, gateway.connections_max // workers),
        "gateway.connections_soft_max": max(1, gateway.connections_soft_max // workers),
        "gateway.handshakes_pending_max": max(1, gateway.handshakes_pending_max // workers),
        "gateway.accepts_per_s": gateway.accepts_per_s / workers,
    }


# Three standard deviations: of those within a bound, chance puts more on one worker once in a thousand times.
_CHANCE: Final = 3.0

_SHARED_BY_CHANCE: Final = (
    "address_connections_max", "address_connect_rate_per_s", "address_connect_burst", "address_rate_factor",
    "user_connections_max", "room_publish_rate_per_s", "room_publish_burst", "room_join_rate_per_s", "room_join_burst",
)  # fmt: skip


def admission_share_of(admission: AdmissionSettings, workers: int) -> dict[str, object]:
    """The limits of one of so many worker processes.

    The kernel deals connections out by chance, so an even share would refuse people who are within the whole
    bound: each worker's is its mean and some more, and all of them together let through more than the bound.
    A user's rates stay whole, for one person has one or two connections.
    """
    return {f"admission.{name}": _dealt(getattr(admission, name), workers) for name in _SHARED_BY_CHANCE}


def _dealt(bound: float, workers: int) -> float:
    """What one of so many may get of `bound` things that are dealt out by chance; whole where the bound is."""
    mean = bound / workers
    share = min(bound, max(1, mean + _CHANCE * math.sqrt(mean)))
    return math.ceil(share) if isinstance(bound, int) else share


def within_descriptors(gateway: GatewaySettings, descriptors: int) -> GatewaySettings:
    """The same gateway with bounds that so many descriptors can hold: connections and unfinished handshakes together."""
    room = max(2, descriptors - DESCRIPTORS_BESIDE_CLIENTS)
    if gateway.connections_max + gateway.handshakes_pending_max <= room:
        return gateway
    pending = max(1, min(gateway.handshakes_pending_max, room // _PENDING_SHARE))
    connections = min(gateway.connections_max, room - pending)
    soft = max(1, gateway.connections_soft_max * connections // gateway.connections_max)
    return msgspec.structs.replace(
        gateway, connections_max=connections, connections_soft_max=soft, handshakes_pending_max=pending
    )
