"""What can be set, with units, bounds and defaults: the one table of settings.

runtime/settings.py fills it from defaults < TOML file < environment < flags.  A role
takes its own section and nothing global.  The sentence below each setting is what
docs/settings.md says of it.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from wire import limits

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Rate = Annotated[float, Meta(gt=0)]
Factor = Annotated[float, Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: immutable, and a key that is not here is an error."""


class LogSettings(Section, frozen=True):
    level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    """The least level that is written."""
    form: Annotated[str, Meta(pattern="^(auto|json|console)$")] = "auto"
    """How a line looks; ``auto`` means console on a terminal, else json."""


class GatewaySettings(Section, frozen=True):
    """One gateway process: the websocket port and its bounds."""

    id: str = "gateway-1"
    """The gateway's name in logs, metrics and welcomes."""
    host: str = "127.0.0.1"
    """Address of the websocket port; ``0.0.0.0`` lets other machines in."""
    port: Port = 8001
    """Websocket port; 0 takes any free one."""
    admin_host: str = "127.0.0.1"
    """Address of the admin port; keep it private."""
    admin_port: Port = 0
    """``/livez``, ``/readyz``, ``/metrics``; 0 takes any free one and logs it."""
    origins: list[str] = []
    """Allowed Origin headers, exact (``https://example.org``); ``*`` allows all.

    A request without one is no browser's and is allowed."""
    tls_certificate: str = ""
    """PEM file with the certificate chain, the server's own first: the websocket port then speaks TLS (``wss``);
    "": it does not. A pair that changes is taken up while clients stay connected."""
    tls_key: str = ""
    """PEM file with the certificate's key, unencrypted, and not readable by every user."""
    connections_max: Count = 15_000
    """Beyond it a handshake is refused with 503."""
    connections_soft_max: Count = 14_000
    """Beyond it a client is told ``busy`` with a time to come back, and closed."""
    handshakes_pending_max: Count = 1_000
    """Connections whose handshake is not finished; beyond it new ones are turned away."""
    handshake_deadline_s: Seconds = limits.HANDSHAKE_DEADLINE_S
    """From accept to the end of the upgrade, TLS included, and again to the hello."""
    frame_bytes_max: Annotated[int, Meta(ge=1024, le=limits.CLIENT_FRAME_BYTES_MAX)] = limits.CLIENT_FRAME_BYTES_MAX
    """The largest message a client may send; a larger one ends its connection."""
    deflate: bool = False
    """Agree on permessage-deflate with clients that offer it: an event is deflated once for all readers of its room.
    What it saves and costs: [decisions/shared-deflate.md](decisions/shared-deflate.md)."""
    rooms_per_client_max: Annotated[int, Meta(ge=1, le=limits.ROOMS_PER_CLIENT_MAX)] = limits.ROOMS_PER_CLIENT_MAX
    """Rooms that one connection may be in."""
    publish_rate_per_s: Rate = limits.PUBLISH_RATE_PER_S
    """Messages, edits and deletions of one connection, in the long run."""
    publish_burst: Count = limits.PUBLISH_BURST
    """How many of them may come at once."""
    join_rate_per_s: Rate = limits.JOIN_RATE_PER_S
    """Joins of one connection after its hello, in the long run."""
    join_burst: Count = limits.JOIN_BURST
    """How many of them may come at once."""
    ping_interval_s: Seconds = limits.PING_INTERVAL_S
    """How often each client is asked whether it is there."""
    pong_timeout_s: Seconds = limits.PONG_TIMEOUT_S
    """How long it may take to answer; below the interval."""
    send_buffer_bytes: Annotated[int, Meta(ge=4096)] = limits.SEND_BUFFER_BYTES
    """Kernel send buffer of one client (the kernel doubles it): what a slow reader can hide."""
    outbox_behind_bytes_max: Annotated[int, Meta(ge=4096)] = limits.OUTBOX_BEHIND_BYTES_MAX
    """How far a reader may be behind before it is closed with the advice to resume."""
    window_members_min: Count = limits.WINDOW_MEMBERS_MIN
    """From so many readers in this gateway on, a room's events are pushed in windows."""
    window_passes_per_s: Annotated[float, Meta(ge=0)] = (
        limits.WINDOW_PASSES_PER_S
    )
    """Windows a second for such a room; 0: no ceiling, every event is pushed at once."""
    feed_linger_s: Seconds = limits.FEED_LINGER_S
    """How long a room without readers is kept attached."""
    drain_notice_s: Annotated[float, Meta(ge=0)] = limits.DRAIN_NOTICE_S
    """How long a gateway that leaves goes on taking connections while ``/readyz`` says no already, so that balancers
    notice first; `parvis up` takes 0 unless this is set."""
    drain_deadline_s: Seconds = limits.DRAIN_DEADLINE_S
    """How long clients may take to move when the gateway leaves; `parvis up` takes 1 s unless this is set."""
    accepts_per_s: Rate = limits.GATEWAY_ACCEPTS_PER_S
    """Reconnects a second this gateway can take in beside its work: a gateway that leaves paces its clients by the sum of
    those that stay."""

    @property
    def websocket_scheme(self) -> str:
        """Of the addresses under which clients reach it."""
        return "wss" if self.tls_certificate else "ws"


class AdmissionSettings(Section, frozen=True):
    """Who comes in at a gateway, by which proxies, and what many connections may do together.

    Bounds of one gateway, whatever its workers: each has a share."""

    trusted_proxies: list[str] = []
    """Networks of the proxies in front (``10.0.0.0/8``, ``2001:db8::7``): only they are believed when they name a client."""
    proxy_protocol: bool = False
    """Connections of trusted proxies begin with a PROXY header of version 2; one without it is refused."""
    forwarded_for: bool = False
    """The ``X-Forwarded-For`` of trusted proxies names the client: its last address that is no trusted proxy.

    Only where each of them writes that header."""
    user_limits: Annotated[str, Meta(pattern="^(on|dry-run|off)$")] = "on"
    """Limits of users and rooms; ``dry-run`` refuses nobody and counts whom it would have refused."""
    address_limits: Annotated[str, Meta(pattern="^(on|dry-run|off)$")] = "dry-run"
    """Limits of addresses, an IPv6 one's /64: carriers put thousands behind one IPv4 address, so look at the counts first."""
    address_exempt: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.0/8", "::1"])
    """Networks whose addresses are not held to the limits of addresses."""
    address_connections_max: Count = limits.ADDRESS_CONNECTIONS_MAX
    """Connections of one address; beyond it a handshake is refused with 429."""
    address_connect_rate_per_s: Rate = limits.ADDRESS_CONNECT_RATE_PER_S
    """Connects of one address, in the long run."""
    address_connect_burst: Count = limits.ADDRESS_CONNECT_BURST
    """How many of them may come at once."""
    address_rate_factor: Factor = limits.ADDRESS_RATE_FACTOR
    """All connections of one address publish and join as much as so many (gateway.publish_rate_per_s and its like)."""
    user_connections_max: Count = limits.USER_CONNECTIONS_MAX
    """Sessions of one user that are connected; beyond it a hello is refused with ``connection_limit``."""
    user_connect_rate_per_s: Rate = limits.USER_CONNECT_RATE_PER_S
    """Connects of one user, in the long run."""
    user_connect_burst: Count = limits.USER_CONNECT_BURST
    """How many of them may come at once."""
    user_rate_factor: Factor = limits.USER_RATE_FACTOR
    """All connections of one user publish and join as much as so many."""
    room_publish_rate_per_s: Rate = limits.ROOM_PUBLISH_RATE_PER_S
    """Messages, edits and deletions of everybody in one room, in the long run."""
    room_publish_burst: Count = limits.ROOM_PUBLISH_BURST
    """How many of them may come at once."""
    room_join_rate_per_s: Rate = limits.ROOM_JOIN_RATE_PER_S
    """Joins of everybody into one room, those of hellos left out, in the long run."""
    room_join_burst: Count = limits.ROOM_JOIN_BURST
    """How many of them may come at once."""


class BrokerSettings(Section, frozen=True):
    """One shard process: its name in the cluster and its link port."""

    id: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")] = "shard-1"
    """The shard's name; one of cluster.shards."""
    host: str = "127.0.0.1"
    """Address of the link port; keep it private."""
    port: Port = 8101
    """Link port, for gateways; 0 takes any free one."""
    advertise: str = ""
    """``host:port`` at which gateways reach the link port; "": broker.host and the port as they are."""
    weight: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Share of the slots that a shard asks for when the cluster's directory has never heard of it; 0: none until
    the shard is added to the cluster."""
    admin_host: str = "127.0.0.1"
    """Address of the admin port; keep it private."""
    admin_port: Port = 0
    """``/livez``, ``/readyz``, ``/metrics``; 0 takes any free one and logs it."""
    rooms_loaded_max: Count = limits.ROOMS_LOADED_MAX
    """Rooms in memory; the least recently used leave it."""
    commit_deadline_s: Seconds = limits.COMMIT_DEADLINE_S
    """How long a commit may take before its outcome counts as unknown."""
    drain_deadline_s: Seconds = limits.DRAIN_DEADLINE_S
    """How long what is under way may take when the shard leaves."""


class JournalSettings(Section, frozen=True):
    kind: Annotated[str, Meta(pattern="^(memory|sqlite|redis)$")] = "sqlite"
    """Where rooms are kept; ``memory`` ends with the process, ``redis`` is what several machines share."""
    path: str = ""
    """SQLite file; "" means ``journal.sqlite`` in the data directory."""
    synchronous: Annotated[str, Meta(pattern="^(full|normal)$")] = "full"
    """``full``: on disk before it is acknowledged; ``normal``: a power cut may lose the last commits, never the order."""
    keep_events: Annotated[int, Meta(ge=1000)] = 100_000
    """Events kept per room; older ones are forgotten."""
    keep_days: Annotated[float, Meta(ge=0)] = 0.0
    """Days for which events are kept; older ones are forgotten. 0: whatever their age."""
    wait_replicas: Annotated[int, Meta(ge=0, le=16)] = 0
    """Redis only: replicas that must have a write before it counts as committed (``WAIT``)."""


class RedisSettings(Section, frozen=True):
    """Where Redis (7.0 or newer) or Valkey is; used by journal.kind = redis and cluster.directory = redis."""

    url: str = ""
    """``redis://host:port/0``, ``rediss://`` with TLS, ``unix:///path``; ``redis+sentinel://host:port,host:port/NAME``;
    ``redis+cluster://host:port,host:port``. No password in it: that is what redis.password_file is for."""
    username: str = ""
    """User of Redis' access list; "": the default user."""
    password_file: str = ""
    """File with the password, in its first line; "": none."""
    timeout_s: Seconds = limits.REDIS_TIMEOUT_S
    """How long Redis may take to connect and to answer."""


class ClusterSettings(Section, frozen=True):
    """Which shards there are; the same on every node."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")] = "parvis"
    """Every key in Redis begins with it: clusters of different names can share one Redis."""
    directory: Annotated[str, Meta(pattern="^(static|redis)$")] = "static"
    """Who says which shard owns which slot: ``static``, cluster.shards on every node; ``redis``, the shards among
    themselves, so that they may come, go and fail."""
    shards: dict[str, str] = msgspec.field(default_factory=lambda: {"shard-1": "127.0.0.1:8101"})
    """Shard id to ``host:port`` of its link port."""
    map_version: Annotated[int, Meta(ge=1)] = 1
    """Raise it whenever cluster.shards changes: the journal refuses an older one. `parvis up` does it by itself."""
    secret_file: str = ""
    """File with one or two secrets, a line each.

    "" means ``link.secret`` in the data directory, made at the first start (0600)."""


class ApiSettings(Section, frozen=True):
    host: str = "127.0.0.1"
    """Address of the page."""
    port: Port = 8000
    """Port of the page; 0 takes any free one."""


class TokenSettings(Section, frozen=True):
    """Who gateways let in: accounts of a site, by signed tokens, and guests."""

    keys_file: str = ""
    """JWK set with the keys that sign connection tokens, read again when it changes; "": no tokens are taken, and everybody
    is a guest."""
    issuer: str = ""
    """The ``iss`` that a token has to carry."""
    audience: str = "parvis"
    """The ``aud`` that a token has to carry: a token for another service of the same issuer is none for this one."""
    lifetime_max_s: Seconds = limits.TOKEN_LIFETIME_MAX_S
    """How long a token may live, from ``iat`` to ``exp``."""
    grace_s: Annotated[float, Meta(ge=0)] = limits.TOKEN_GRACE_S
    """How long a connection stays after its token has ended, for a refresh that is late."""
    guests_may: dict[str, str] = msgspec.field(default_factory=lambda: {"*": "read publish"})
    """What people without a token may do, from room pattern to actions (``read publish ask vote moderate host``);
    an empty table lets none in."""
    users_may: dict[str, str] = msgspec.field(default_factory=lambda: {"*": "read publish"})
    """What the bearer of a token without ``caps`` may do."""


class RoomSettings(Section, frozen=True):
    namespaces: list[str] = []
    """The namespaces in which rooms may be opened; empty: any."""


class Settings(Section, frozen=True):
    data_dir: str = "parvis-data"
    """Journal, keys and lock of this machine."""
    log: LogSettings = LogSettings()
    gateway: GatewaySettings = GatewaySettings()
    admission: AdmissionSettings = AdmissionSettings()
    broker: BrokerSettings = BrokerSettings()
    journal: JournalSettings = JournalSettings()
    redis: RedisSettings = RedisSettings()
    cluster: ClusterSettings = ClusterSettings()
    api: ApiSettings = ApiSettings()
    rooms: RoomSettings = RoomSettings()
    tokens: TokenSettings = TokenSettings()
