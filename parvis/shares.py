"""How many connections one process may hold: its share of the gateway's, within its file descriptors.  Pure."""

from typing import Final

import msgspec

from runtime.schema import GatewaySettings

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
