"""What a session holds its client to: the settings that concern one client."""

from dataclasses import dataclass

from runtime.schema import GatewaySettings, RoomSettings
from wire.limits import HISTORY_BURST, HISTORY_RATE_PER_S


@dataclass(frozen=True, slots=True)
class SessionRules:
    """Rates are per second, bursts are counts; empty `namespaces` means any."""

    publish_rate_per_s: float
    publish_burst: int
    join_rate_per_s: float
    join_burst: int
    rooms_per_client_max: int
    namespaces: frozenset[str]
    history_rate_per_s: float = HISTORY_RATE_PER_S
    history_burst: int = HISTORY_BURST


def session_rules(gateway: GatewaySettings, rooms: RoomSettings) -> SessionRules:
    return SessionRules(
        gateway.publish_rate_per_s,
        gateway.publish_burst,
        gateway.join_rate_per_s,
        gateway.join_burst,
        gateway.rooms_per_client_max,
        frozenset(rooms.namespaces),
    )
