"""What many connections may have and do together: bounds by address, by user, by room.  Pure.

What one connection may do is its session's question (gateway/session.py); this file holds
those who open many.  Connections are counted, and connects, joins and publishes flow
through one bucket for each address prefix, user and room.  All buckets that a request needs
are asked first and charged only when all of them have a token.

A limit in dry-run refuses nobody: it counts whom it would have refused.  That is the
addresses' default, since carriers put thousands of people behind one IPv4 address.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from runtime.addresses import Address, AddressPrefix, Networks, prefix_of
from runtime.buckets import BucketTable
from runtime.metrics import GatewayCounters
from runtime.schema import AdmissionSettings, GatewaySettings
from wire.codes import Refusal
from wire.limits import ADMISSION_KEYS_MAX
from wire.names import AuthorId, RoomName


class Mode(Enum):
    """What a limit does to those beyond it; the values are the settings'."""

    OFF = "off"
    DRY_RUN = "dry-run"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Denied:
    """A "no" of the crowd's."""

    together: str
    """Whose limit it is, for a sentence to people."""
    retry_after_s: float
    is_cap: bool = False
    """Too many connections, rather than too fast."""


class Caller:
    """One connection, as the crowd counts it.  Written by `Crowd` only."""

    __slots__ = ("prefix",)

    def __init__(self) -> None:
        self.prefix: AddressPrefix | None = None
        """None: not counted (yet), because its address is exempt, unknown, or was refused."""


# Most dead connections have been found by then: a ping goes out every 25 s, the answer may take 10.
CAP_RETRY_S: Final = Refusal.CONNECTION_LIMIT.kind.retry_after_ms / 1000

_ADDRESS, _USER, _ROOM = "all connections of your network", "all your connections", "everybody in this room"
_TOGETHER: Final = {"address": _ADDRESS, "user": _USER, "room": _ROOM}


class _Limit:
    """One rate: its name in the metrics, and a bucket for each key."""

    __slots__ = ("buckets", "mode", "name", "together")

    def __init__(self, name: str, mode: Mode, rate_per_s: float, burst: float) -> None:
        self.name = name
        self.mode = mode
        self.together = _TOGETHER[name.partition("_")[0]]
        self.buckets: BucketTable[object] = BucketTable(rate_per_s, burst, ADMISSION_KEYS_MAX)


class Crowd:
    """One gateway's counts and buckets.

    Invariant: counts are of open connections only, and a bucket that is full again is
    forgotten by `tick`, so an idle gateway holds none of either.
    """

    def __init__(self, settings: AdmissionSettings, gateway: GatewaySettings, counters: GatewayCounters) -> None:
        """`gateway` has what one connection may do: users and addresses get a multiple of it."""
        self._counters = counters
        self._address_mode = Mode(settings.address_limits)
        self._user_mode = Mode(settings.user_limits)
        # A proxy that names no client is nobody's address: to count it would be to count everybody behind it.
        self._exempt = Networks([*settings.address_exempt, *settings.trusted_proxies])
        self._address_connections_max = settings.address_connections_max
        self._user_connections_max = settings.user_connections_max
        self._of_address: dict[AddressPrefix, int] = {}
        self._of_user: dict[AuthorId, list[str]] = {}
        """The session of each open connection of a user."""

        def limit(name: str, rate_per_s: float, burst: float) -> _Limit:
            return _Limit(name, self._address_mode if name.startswith("address") else self._user_mode, rate_per_s, burst)

        def multiple(name: str, factor: float, rate_per_s: float, burst: float) -> _Limit:
            return limit(name, factor * rate_per_s, factor * burst)

        join = (gateway.join_rate_per_s, gateway.join_burst)
        publish = (gateway.publish_rate_per_s, gateway.publish_burst)
        self._address_connect = limit(
            "address_connect", settings.address_connect_rate_per_s, settings.address_connect_burst
        )
        self._user_connect = limit("user_connect", settings.user_connect_rate_per_s, settings.user_connect_burst)
        self._address_join = multiple("address_join", settings.address_rate_factor, *join)
        self._address_publish = multiple("address_publish", settings.address_rate_factor, *publish)
        self._user_join = multiple("user_join", settings.user_rate_factor, *join)
        self._user_publish = multiple("user_publish", settings.user_rate_factor, *publish)
        self._room_join = limit("room_join", settings.room_join_rate_per_s, settings.room_join_burst)
        self._room_publish = limit("room_publish", settings.room_publish_rate_per_s, settings.room_publish_burst)
        self._limits = (
            self._address_connect, self._address_join, self._address_publish, self._user_connect, self._user_join,
            self._user_publish, self._room_join, self._room_publish,
        )  # fmt: skip
        counters.admission_keys = lambda: self.keys_held

    @property
    def keys_held(self) -> int:
        """Addresses, users and rooms that something is remembered of."""
        return len(self._of_address) + len(self._of_user) + sum(len(limit.buckets) for limit in self._limits)

    # --- connections -----------------------------------------------------------------------

    def arrive(self, caller: Caller, address: Address | None, now: float) -> Denied | None:
        """Somebody connects from `address`: counted until `left`, unless it is denied."""
        assert caller.prefix is None, "a connection arrives once"
        if address is None or address in self._exempt or self._address_mode is Mode.OFF:
            return None
        prefix = prefix_of(address)
        connections = self._of_address.get(prefix, 0)
        denied = self._capped("address_connections", self._address_mode, connections >= self._address_connections_max)
        denied = denied or self._charge(now, (self._address_connect, prefix))
        if denied is None:
            caller.prefix = prefix
            self._of_address[prefix] = connections + 1
        return denied

    def left(self, caller: Caller) -> None:
        """Its connection is over; idempotent."""
        prefix, caller.prefix = caller.prefix, None
        if prefix is None:
            return
        connections = self._of_address.pop(prefix) - 1
        if connections:
            self._of_address[prefix] = connections

    def greet(self, user: AuthorId, session: str, now: float) -> Denied | None:
        """A connection says that it is `user`'s: counted until `depart`, unless it is denied.

        Sessions are counted, not sockets: who comes back finds its dead socket still counted, and after a
        `goaway` has two for a while.  But no session makes room for any number of sockets.
        """
        sessions = self._of_user.get(user, [])
        is_new = session not in sessions
        is_over = (is_new and len(set(sessions)) >= self._user_connections_max) or (
            len(sessions) >= 2 * self._user_connections_max
        )
        denied = self._capped("user_connections", self._user_mode, is_over) or self._charge(now, (self._user_connect, user))
        if denied is None:
            self._of_user.setdefault(user, []).append(session)
        return denied

    def depart(self, user: AuthorId, session: str) -> None:
        """A connection that was greeted is over; said exactly once."""
        sessions = self._of_user[user]
        sessions.remove(session)
        if not sessions:
            del self._of_user[user]

    # --- requests --------------------------------------------------------------------------

    def join(self, prefix: AddressPrefix | None, user: AuthorId, room: RoomName, now: float) -> Denied | None:
        """One more room, after the hello: what a hello enters is paid for by the connect."""
        return self._charge(now, (self._user_join, user), (self._room_join, room), (self._address_join, prefix))

    def publish(self, prefix: AddressPrefix | None, user: AuthorId, room: RoomName, now: float) -> Denied | None:
        """A message, an edit or a deletion."""
        return self._charge(now, (self._user_publish, user), (self._room_publish, room), (self._address_publish, prefix))

    def tick(self, now: float) -> None:
        """Once a second: forget the buckets that are full again."""
        for limit in self._limits:
            limit.buckets.forget_full(now)

    def _charge(self, now: float, *claims: tuple[_Limit, object]) -> Denied | None:
        """One token of each bucket, or of none; a key of None is not held to its limit."""
        granted: list[tuple[_Limit, object]] = []
        for limit, key in claims:
            if limit.mode is Mode.OFF or key is None:
                continue
            wait_s = limit.buckets.wait_s(key, now)
            if not wait_s:
                granted.append((limit, key))
            elif limit.mode is Mode.ON:
                self._counters.admission_refused[limit.name] += 1
                return Denied(limit.together, wait_s)
            else:
                self._counters.admission_dry_run[limit.name] += 1
        for limit, key in granted:
            limit.buckets.spend(key, now)
        return None

    def _capped(self, name: str, mode: Mode, is_over: bool) -> Denied | None:
        if mode is Mode.OFF or not is_over:
            return None
        if mode is Mode.DRY_RUN:
            self._counters.admission_dry_run[name] += 1
            return None
        self._counters.admission_refused[name] += 1
        return Denied(_TOGETHER[name.partition("_")[0]], CAP_RETRY_S, is_cap=True)
