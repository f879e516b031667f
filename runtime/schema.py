"""What can be set, with units, bounds and defaults: the one table of settings.

runtime/settings.py fills it from defaults < TOML file < environment < flags.  A role
takes its own section and nothing global.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from wire import limits

Port = Annotated[int, Meta(ge=0, le=65535, description="0 takes any free port")]
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: immutable, and a key that is not here is an error."""


class LogSettings(Section, frozen=True):
    level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    form: Annotated[str, Meta(pattern="^(auto|json|console)$", description="auto: console on a terminal, else json")] = "auto"


class GatewaySettings(Section, frozen=True):
    """One gateway process: the websocket port and its bounds."""

    id: str = "gateway-1"
    host: str = "127.0.0.1"
    port: Port = 8001
    admin_host: str = "127.0.0.1"
    admin_port: Port = 0
    origins: list[str] = []
    """Allowed Origin headers, exact (``https://example.org``); ``*`` allows all.

    A request without one is no browser's and is allowed."""
    connections_max: Count = 15_000
    connections_soft_max: Count = 14_000
    handshakes_pending_max: Count = 1_000
    handshake_deadline_s: Seconds = limits.HANDSHAKE_DEADLINE_S
    frame_bytes_max: Annotated[int, Meta(ge=1024, le=limits.CLIENT_FRAME_BYTES_MAX)] = limits.CLIENT_FRAME_BYTES_MAX
    rooms_per_client_max: Annotated[int, Meta(ge=1, le=limits.ROOMS_PER_CLIENT_MAX)] = limits.ROOMS_PER_CLIENT_MAX
    publish_rate_per_s: Rate = limits.PUBLISH_RATE_PER_S
    publish_burst: Count = limits.PUBLISH_BURST
    join_rate_per_s: Rate = limits.JOIN_RATE_PER_S
    join_burst: Count = limits.JOIN_BURST
    ping_interval_s: Seconds = limits.PING_INTERVAL_S
    pong_timeout_s: Seconds = limits.PONG_TIMEOUT_S
    send_buffer_bytes: Annotated[int, Meta(ge=4096)] = limits.SEND_BUFFER_BYTES
    outbox_behind_bytes_max: Annotated[int, Meta(ge=4096)] = limits.OUTBOX_BEHIND_BYTES_MAX
    window_members_min: Count = limits.WINDOW_MEMBERS_MIN
    window_passes_per_s: Annotated[float, Meta(ge=0, description="0: no ceiling, every event is pushed at once")] = (
        limits.WINDOW_PASSES_PER_S
    )
    feed_linger_s: Seconds = limits.FEED_LINGER_S
    drain_deadline_s: Seconds = limits.DRAIN_DEADLINE_S


class BrokerSettings(Section, frozen=True):
    """One shard process: its name in the cluster and its link port."""

    id: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")] = "shard-1"
    host: str = "127.0.0.1"
    port: Port = 8101
    admin_host: str = "127.0.0.1"
    admin_port: Port = 0
    rooms_loaded_max: Count = limits.ROOMS_LOADED_MAX
    commit_deadline_s: Seconds = limits.COMMIT_DEADLINE_S
    drain_deadline_s: Seconds = limits.DRAIN_DEADLINE_S


class JournalSettings(Section, frozen=True):
    kind: Annotated[str, Meta(pattern="^(memory|sqlite)$")] = "sqlite"
    path: str = ""
    """SQLite file; "" means ``journal.sqlite`` in the data directory."""
    synchronous: Annotated[str, Meta(pattern="^(full|normal)$")] = "full"
    keep_events: Annotated[int, Meta(ge=1000, description="events kept per room; older ones are forgotten")] = 100_000


class ClusterSettings(Section, frozen=True):
    """Which shards there are; the same on every node."""

    shards: dict[str, str] = msgspec.field(default_factory=lambda: {"shard-1": "127.0.0.1:8101"})
    """Shard id to ``host:port`` of its link port."""
    map_version: Annotated[int, Meta(ge=1)] = 1
    secret_file: str = ""
    """File with one or two secrets, a line each.

    "" means ``link.secret`` in the data directory, made at the first start (0600)."""


class ApiSettings(Section, frozen=True):
    host: str = "127.0.0.1"
    port: Port = 8000


class RoomSettings(Section, frozen=True):
    namespaces: list[str] = []
    """The namespaces in which rooms may be opened; empty: any."""


class Settings(Section, frozen=True):
    data_dir: str = "parvis-data"
    log: LogSettings = LogSettings()
    gateway: GatewaySettings = GatewaySettings()
    broker: BrokerSettings = BrokerSettings()
    journal: JournalSettings = JournalSettings()
    cluster: ClusterSettings = ClusterSettings()
    api: ApiSettings = ApiSettings()
    rooms: RoomSettings = RoomSettings()
