"""Which connections there are, and when the next one is opened.  Pure.

At most one connection is `current` (welcomed; requests go there), at most one is `next`
(on its way to a welcome).  The others are retiring: their gateway said `goaway`, a
successor was welcomed, and they are left when nothing is expected from them any more.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Final

from client.effects import Close, ConnectionId, Effect, Emit, Open
from client.reconnect import Reconnect
from client.updates import Connecting, Reconnecting
from wire.client_messages import Goaway, Welcome
from wire.codes import CloseCode, may_reconnect
from wire.limits import CLIENT_PING_SLACK_S, HANDSHAKE_DEADLINE_S

ABNORMAL: Final = 1006
"""RFC 6455's code for a connection that ended without a goodbye; never sent."""


@dataclass(slots=True, eq=False)
class ConnectionState:
    """What is known of one connection, from its dialling to its end."""

    id: ConnectionId
    heard_at: float
    silent_max_s: float = HANDSHAKE_DEADLINE_S
    """Until the welcome this bounds the whole handshake."""
    is_open: bool = False
    welcomed_at: float | None = None
    hello_rooms: list[str] = field(default_factory=list)
    """The joins of its hello, in order; the welcome answers them so."""
    joins: dict[int, str] = field(default_factory=dict)
    """Joins under way by number; at most ROOMS_PER_CLIENT_MAX."""
    leave_by: float | None = None
    """Set by goaway: when the gateway ends it at the latest."""
    is_draining: bool = False
    """It refused a request as draining: requests wait for its successor."""
    repairs: int = 0
    retry_after_s: float = 0.0
    """The last advice it gave without being asked (a hello it had no room for)."""

    def silent_until(self) -> float:
        """When to give it up unless something is heard."""
        return self.heard_at + self.silent_max_s


class Lifeline:
    """The connections of one session.  Appends to `effects`, the session's list, in order."""

    def __init__(self, urls: list[str], rng: Random, effects: list[Effect]) -> None:
        self.current: ConnectionState | None = None
        self.next: ConnectionState | None = None
        self.connections: dict[ConnectionId, ConnectionState] = {}
        self.open_at: float | None = None
        """When to open the next one: after a loss, or in a goaway's slot."""
        self._reconnect = Reconnect(urls, rng)
        self._effects = effects
        self._last_id = 0

    def open_next(self, now: float) -> None:
        assert self.next is None, "one connection is opened at a time"
        self.open_at = None
        self._last_id += 1
        conn = ConnectionState(ConnectionId(self._last_id), heard_at=now)
        self.connections[conn.id] = self.next = conn
        url = self._reconnect.next_url()
        if self.current is None:
            self._effects.append(Emit(Connecting(url)))
        self._effects.append(Open(conn.id, url))

    def welcomed(self, conn: ConnectionState, welcome: Welcome, now: float) -> bool:
        """`next` becomes `current`; True when it took over from a connection that still lives."""
        moved = self.current is not None
        self.current, self.next = conn, None
        conn.welcomed_at = now
        conn.silent_max_s = welcome.ping_ms / 1000 + CLIENT_PING_SLACK_S
        self._reconnect.welcomed()
        return moved

    def told_to_leave(self, conn: ConnectionState, goaway: Goaway, now: float) -> None:
        """Open the successor in the slot that the gateway gave; the old one goes on meanwhile."""
        if conn.leave_by is not None or conn is not self.current:
            return
        conn.leave_by = now + goaway.deadline_ms / 1000
        if self.next is None and self.open_at is None:
            self.open_at = now + goaway.retry_after_ms / 1000

    def retiring(self) -> list[ConnectionState]:
        return [conn for conn in self.connections.values() if conn is not self.current and conn is not self.next]

    def never_opened(self, conn: ConnectionState, reason: str, now: float, retry_after_s: float = 0.0) -> None:
        """Dialling or the handshake failed."""
        del self.connections[conn.id]
        if conn is self.next:
            self.next = None
            self._come_back(self._reconnect.delay_after_unopened(retry_after_s), ABNORMAL, reason, now)

    def lost(self, conn: ConnectionState, code: int, reason: str, now: float) -> bool:
        """An open connection is over; False when its code says not to come back."""
        del self.connections[conn.id]
        if conn is not self.current and conn is not self.next:
            return True
        if conn is self.current:
            self.current = None
        else:
            self.next = None
        if not may_reconnect(code):
            return False
        lived_s = now - conn.welcomed_at if conn.welcomed_at is not None else 0.0
        self._come_back(self._reconnect.delay_after_close(lived_s, conn.retry_after_s), code, reason, now)
        return True

    def end(self) -> None:
        """Say goodbye on every connection; none is opened again."""
        self.open_at = None
        for conn in self.connections.values():
            self._effects.append(Close(conn.id, CloseCode.NORMAL, ""))
        self.connections.clear()
        self.current = self.next = None

    def deadlines(self) -> list[float]:
        times = [conn.silent_until() for conn in self.connections.values()]
        times += [conn.leave_by for conn in self.retiring() if conn.leave_by is not None]
        return times if self.open_at is None else [*times, self.open_at]

    def _come_back(self, delay_s: float, code: int, reason: str, now: float) -> None:
        if self.next is not None:
            delay_s = 0.0
        else:
            # A goaway may have named an earlier moment; losing the connection first changes nothing.
            self.open_at = now + delay_s if self.open_at is None else min(self.open_at, now + delay_s)
            delay_s = max(0.0, self.open_at - now)
        if self.current is None:
            self._effects.append(Emit(Reconnecting(delay_s, code, reason)))
