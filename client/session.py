"""The client's side of the protocol as one state machine: what to send, what to tell, what to wait for.  Pure.

Everything goes through here as values: calls of the program, messages of gateways, ends
of connections, the time.  Each call answers the effects to carry out, in order.

At most one connection is `current` (welcomed; requests go there), at most one is `next`
(on its way to a welcome).  Others are retiring: a gateway said `goaway`, its successor
was welcomed, and it is left as soon as its answers are in and every room has moved.
A room's events count from one connection at a time (`RoomState.owner`), which changes
when a `joined` arrives; offsets do the rest.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Final

from client.effects import Close, ConnectionId, Effect, Emit, Open, Send, Settle
from client.reconnect import Reconnect
from client.requests import Request, Requests, outcome_of, refused
from client.room import RoomState, Verdict
from client.updates import Connected, Connecting, Gap, HistoryPage, JoinRefused, Outcome, Reconnecting, Stopped
from wire.client_messages import (
    PROTOCOL_VERSION,
    AnyServerMessage,
    ClientMessage,
    Count,
    Event,
    Goaway,
    Hello,
    Hide,
    Join,
    Joined,
    Leave,
    Left,
    Page,
    Ping,
    Pong,
    Position,
    Refused,
    Renamed,
    Reset,
    Skipped,
    Stale,
    Welcome,
)
from wire.codes import CloseCode, Refusal, may_reconnect
from wire.limits import (
    CLIENT_PING_SLACK_S,
    CLIENT_REPAIRS_PER_CONNECTION_MAX,
    CLIENT_REQUEST_WAIT_S,
    HANDSHAKE_DEADLINE_S,
    JOIN_HISTORY_EVENTS_DEFAULT,
    RECONNECT_BASE_S,
    ROOMS_PER_CLIENT_MAX,
)

ABNORMAL: Final = 1006
"""RFC 6455's code for a connection that ended without a goodbye; never sent."""


@dataclass(slots=True)
class _Connection:
    """What the session knows of one connection, from its dialling to its end."""

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
    """The last advice it gave without being asked (a refused hello)."""

    def silent_until(self) -> float:
        return self.heard_at + self.silent_max_s


class Session:
    """One client's conversation; may outlive many connections.  See the module."""

    def __init__(self, urls: list[str], rng: Random, *, name: str = "", guest: str = "", client: str = "parvis-python") -> None:
        self.name = name
        self.guest = guest
        self.author = ""
        self.rooms: dict[str, RoomState] = {}
        self.is_stopped = False
        self.stop_code = 0
        self._client = client
        self._token = ""
        self._rng = rng
        self._reconnect = Reconnect(urls, rng)
        self._requests = Requests()
        self._connections: dict[ConnectionId, _Connection] = {}
        self._current: _Connection | None = None
        self._next: _Connection | None = None
        self._last_connection = 0
        self._open_at: float | None = None
        self._effects: list[Effect] = []

    # --- the program's side -----------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Open the first connection."""
        self._open_next(now)
        return self._take_effects()

    def number(self) -> int:
        """The number for the next request."""
        return self._requests.next_number()

    def request(self, message: ClientMessage, n: int, room: str, answers: tuple[type, ...], now: float) -> list[Effect]:
        """Ask; the outcome comes as `Settle(n, ...)` within CLIENT_REQUEST_WAIT_S."""
        if self.is_stopped or self._requests.is_full():
            why = Refusal.UNAVAILABLE if self.is_stopped else Refusal.BUSY
            self._effects.append(Settle(n, refused(why, n, room)))
        else:
            self._requests.add(Request(n, room, message, now + CLIENT_REQUEST_WAIT_S, answers))
            self._send_waiting()
        return self._take_effects()

    def want(self, room: str, since: Position | None = None, limit: int = JOIN_HISTORY_EVENTS_DEFAULT) -> Refusal | None:
        """Add a room to those that every connection enters; `join` also asks for it now."""
        if room in self.rooms:
            return Refusal.ALREADY_JOINED
        if len(self.rooms) >= ROOMS_PER_CLIENT_MAX:
            return Refusal.ROOM_LIMIT
        self.rooms[room] = RoomState(room, since, limit)
        return None

    def join(self, room: str, since: Position | None, limit: int, n: int, now: float) -> list[Effect]:
        """Enter one more room: settles as `Joined` or `Refused`."""
        no = self.want(room, since, limit)
        if no is not None:
            return [Settle(n, refused(no, n, room))]
        return self.request(Join(n, room, since, limit), n, room, (Joined, Refused), now)

    def leave(self, room: str, n: int, now: float) -> list[Effect]:
        """Leave at once: no update of the room follows.  Settles as `Left`, or `Refused` if it was not joined."""
        if self.rooms.pop(room, None) is None:
            return [Settle(n, refused(Refusal.NOT_JOINED, n, room))]
        join = self._requests.find(Join, room)
        if join is not None:
            self._settle(join, refused(Refusal.NOT_JOINED, join.n, room))
        if self._current is None:
            # The next hello does not name the room, and that is all there is to it.
            return [*self._take_effects(), Settle(n, Left(n, room))]
        return self.request(Leave(n, room), n, room, (Left, Refused), now)

    def stop(self, reason: str = "the client was closed") -> list[Effect]:
        """End for good: say goodbye on every connection, settle what waits."""
        self._stop(CloseCode.NORMAL, reason)
        return self._take_effects()

    # --- the sockets' side ---------------------------------------------------------------------

    def opened(self, connection: ConnectionId, now: float) -> list[Effect]:
        """The websocket is open: say hello, with every room and where we are in it."""
        conn = self._connections.get(connection)
        if conn is not None:
            conn.is_open = True
            conn.hello_rooms = list(self.rooms)
            for room in self.rooms:
                join = self._requests.find(Join, room)
                if join is not None and join.sent_on is None:
                    join.sent_on = connection
            joins = [room.join_request() for room in self.rooms.values()]
            self._send(conn, Hello(PROTOCOL_VERSION, self._client, self.guest, self._token, self.name, joins))
        return self._take_effects()

    def failed(self, connection: ConnectionId, reason: str, now: float, retry_after_s: float = 0.0) -> list[Effect]:
        """A connection never opened."""
        conn = self._connections.pop(connection, None)
        if conn is not None and conn is self._next:
            self._next = None
            self._come_back(self._reconnect.delay_after_unopened(retry_after_s), ABNORMAL, reason, now)
        return self._take_effects()

    def closed(self, connection: ConnectionId, code: int, reason: str, now: float) -> list[Effect]:
        """An open connection ended, with the code of its close frame or `ABNORMAL`."""
        conn = self._connections.get(connection)
        if conn is not None:
            self._lose(conn, code, reason, now)
        return self._take_effects()

    def broken(self, connection: ConnectionId, reason: str, now: float) -> list[Effect]:
        """The gateway sent what is no message of ours: leave it and come back."""
        conn = self._connections.get(connection)
        if conn is not None:
            self._abandon(conn, CloseCode.PROTOCOL, reason, now)
        return self._take_effects()

    def received(self, connection: ConnectionId, message: AnyServerMessage | HistoryPage, now: float) -> list[Effect]:
        """One message of a gateway."""
        conn = self._connections.get(connection)
        if conn is not None:
            conn.heard_at = now
            if isinstance(message, Event):
                self._take_event(conn, message, now)
            else:
                self._take_message(conn, message, now)
        return self._take_effects()

    # --- time --------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `tick` has something to do; earlier calls do no harm."""
        times = [conn.silent_until() for conn in self._connections.values()]
        times += [conn.leave_by for conn in self._retiring() if conn.leave_by is not None]
        times += [room.rejoin_at for room in self.rooms.values() if room.rejoin_at is not None]
        times += [time for time in (self._open_at, self._requests.deadline()) if time is not None]
        return min(times, default=None)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        for conn in list(self._connections.values()):
            if conn.id in self._connections and now >= conn.silent_until():
                self._fall_silent(conn, now)
        for request in self._requests.take_expired(now):
            self._effects.append(Settle(request.n, request.outcome_without_answer()))
            self._forget_unjoined(request)
        if self._open_at is not None and now >= self._open_at:
            self._open_next(now)
        for room in self.rooms.values():
            if room.rejoin_at is not None and now >= room.rejoin_at:
                room.rejoin_at = None
                self._ask_to_join(room)
        for conn in self._retiring():
            if conn.leave_by is not None and now >= conn.leave_by:
                self._abandon(conn, CloseCode.NORMAL, "moved to another gateway", now)
        self._retire(now)
        return self._take_effects()

    # --- connections ----------------------------------------------------------------------------------

    def _open_next(self, now: float) -> None:
        assert self._next is None, "one connection is opened at a time"
        self._open_at = None
        self._last_connection += 1
        conn = _Connection(ConnectionId(self._last_connection), heard_at=now)
        self._connections[conn.id] = self._next = conn
        url = self._reconnect.next_url()
        if self._current is None:
            self._effects.append(Emit(Connecting(url)))
        self._effects.append(Open(conn.id, url))

    def _retiring(self) -> list[_Connection]:
        return [conn for conn in self._connections.values() if conn is not self._current and conn is not self._next]

    def _fall_silent(self, conn: _Connection, now: float) -> None:
        reason = f"nothing heard for {conn.silent_max_s:g} s"
        if conn.is_open:
            self._abandon(conn, CloseCode.NO_PONG, reason, now)
            return
        self._effects.append(Close(conn.id, CloseCode.NORMAL, reason))
        del self._connections[conn.id]
        if conn is self._next:
            self._next = None
            self._come_back(self._reconnect.delay_after_unopened(), ABNORMAL, reason, now)

    def _abandon(self, conn: _Connection, code: int, reason: str, now: float) -> None:
        """Close from our side, and come back if that was the connection we lived on."""
        self._effects.append(Close(conn.id, code, reason))
        # Not `code` itself: 1002 from a server means stop, from us it means that this one is broken.
        self._lose(conn, ABNORMAL, reason, now)

    def _lose(self, conn: _Connection, code: int, reason: str, now: float) -> None:
        del self._connections[conn.id]
        self._requests.release(conn.id)
        for room in self.rooms.values():
            if room.owner == conn.id:
                room.owner = None
        if conn is not self._current and conn is not self._next:
            self._send_waiting()
            return
        if conn is self._current:
            self._current = None
        else:
            self._next = None
        if not may_reconnect(code):
            self._stop(code, reason)
            return
        lived_s = now - conn.welcomed_at if conn.welcomed_at is not None else 0.0
        self._come_back(self._reconnect.delay_after_close(lived_s, conn.retry_after_s), code, reason, now)

    def _come_back(self, delay_s: float, code: int, reason: str, now: float) -> None:
        if self._next is not None:
            delay_s = 0.0
        else:
            # A goaway may have named the moment already; losing the connection first changes nothing.
            self._open_at = min(self._open_at, now + delay_s) if self._open_at is not None else now + delay_s
            delay_s = max(0.0, self._open_at - now)
        if self._current is None:
            self._effects.append(Emit(Reconnecting(delay_s, code, reason)))

    def _stop(self, code: int, reason: str) -> None:
        if self.is_stopped:
            return
        self.is_stopped = True
        self.stop_code = code
        self._open_at = None
        for conn in self._connections.values():
            self._effects.append(Close(conn.id, CloseCode.NORMAL, ""))
        self._connections.clear()
        self._current = self._next = None
        for request in self._requests.take_all():
            self._effects.append(Settle(request.n, request.outcome_without_answer()))
        for room in self.rooms.values():
            room.owner = room.rejoin_at = None
        self._effects.append(Emit(Stopped(code, reason)))

    def _retire(self, now: float) -> None:
        """Leave each replaced connection whose answers are in and whose rooms have moved."""
        for conn in self._retiring():
            owns = any(room.owner == conn.id for room in self.rooms.values())
            if not owns and not self._requests.wait_on(conn.id):
                self._abandon(conn, CloseCode.NORMAL, "moved to another gateway", now)

    # --- requests ----------------------------------------------------------------------------------------

    def _send(self, conn: _Connection, message: ClientMessage) -> None:
        self._effects.append(Send(conn.id, message))

    def _send_waiting(self) -> None:
        conn = self._current
        if conn is None or conn.is_draining:
            return
        for request in self._requests.sendable(conn.id, self._may_send):
            request.sent_on = conn.id
            request.was_sent = True
            if isinstance(request.message, Join):
                conn.joins[request.n] = request.room
            self._send(conn, request.message)

    def _may_send(self, request: Request) -> bool:
        """A publish waits until its room is entered on the current connection; the rest need not."""
        room = self.rooms.get(request.room)
        if room is None or isinstance(request.message, (Join, Leave)):
            return True
        return self._current is not None and room.owner == self._current.id

    def _settle(self, request: Request, outcome: Outcome) -> None:
        self._requests.take(request.n)
        self._effects.append(Settle(request.n, outcome))

    def _answer(self, conn: _Connection, n: int, message: AnyServerMessage | HistoryPage, now: float) -> None:
        request = self._requests.get(n)
        if request is None or request.sent_on != conn.id:
            return
        outcome = outcome_of(message, request)
        if outcome is None:
            self._abandon(conn, CloseCode.PROTOCOL, f"request {n} was answered with another kind of message", now)
            return
        if isinstance(outcome, Refused) and outcome.code == Refusal.DRAINING.kind.code and conn.leave_by is not None:
            # It was not carried out: the successor gets it, with the same id.
            conn.is_draining = True
            request.sent_on, request.was_sent, request.draining = None, False, outcome
            return
        self._settle(request, outcome)

    # --- rooms ------------------------------------------------------------------------------------------------

    def _ask_to_join(self, room: RoomState) -> None:
        conn = self._current
        if conn is None:
            return
        n = self._requests.next_number()
        conn.joins[n] = room.name
        asked = room.join_request()
        self._send(conn, Join(n, asked.room, asked.since, asked.limit))

    def _forget_unjoined(self, request: Request) -> None:
        """A join that its caller was told has failed is not tried behind their back."""
        if isinstance(request.message, Join):
            room = self.rooms.get(request.room)
            if room is not None and room.owner is None:
                del self.rooms[request.room]

    def _take_join_reply(self, conn: _Connection, room_name: str, reply: Joined | Refused, now: float) -> None:
        request = self._requests.find(Join, room_name)
        room = self.rooms.get(room_name)
        if isinstance(reply, Refused):
            if request is not None:
                self._settle(request, reply)
                self._forget_unjoined(request)
            elif room is not None:
                self._rejoin_later(room, reply, now)
            return
        if room is None:
            # Left while the join was under way.
            self._send(conn, Leave(self._requests.next_number(), room_name))
            return
        was_known = room.position() is not None
        if not room.enter(conn.id, reply) and was_known:
            self._effects.append(Emit(Reset(room.name, reply.epoch, reply.since, reply.reason)))
        self._effects.append(Emit(reply))
        if request is not None:
            self._settle(request, reply)

    def _rejoin_later(self, room: RoomState, reply: Refused, now: float) -> None:
        self._effects.append(Emit(JoinRefused(room.name, reply)))
        if reply.temporary:
            room.rejoin_at = now + reply.retry_after_ms / 1000 + self._rng.uniform(0, 2 * RECONNECT_BASE_S)
        else:
            del self.rooms[room.name]

    def _take_event(self, conn: _Connection, event: Event, now: float) -> None:
        room = self._owned(conn, event.room)
        if room is None:
            return
        verdict = room.judge(event.offset)
        if verdict is Verdict.NEXT:
            room.advance(event.offset)
            self._effects.append(Emit(event))
        elif verdict is Verdict.GAP:
            self._repair(conn, room, event.offset, now)

    def _repair(self, conn: _Connection, room: RoomState, came: int, now: float) -> None:
        """A hole that nobody announced: enter the room again from before it."""
        self._effects.append(Emit(Gap(room.name, room.offset + 1, came - 1)))
        conn.repairs += 1
        if conn.repairs > CLIENT_REPAIRS_PER_CONNECTION_MAX or conn is not self._current:
            self._abandon(conn, CloseCode.INSUFFICIENT_STATE, "events are missing", now)
            return
        room.owner = None
        self._send(conn, Leave(self._requests.next_number(), room.name))
        self._ask_to_join(room)

    def _take_skipped(self, conn: _Connection, skipped: Skipped, now: float) -> None:
        room = self._owned(conn, skipped.room)
        if room is None or skipped.last <= room.offset:
            return
        if skipped.first > room.offset + 1:
            self._repair(conn, room, skipped.first, now)
            return
        first = room.offset + 1
        room.advance(skipped.last)
        self._effects.append(Emit(Skipped(room.name, first, skipped.last)))

    def _owned(self, conn: _Connection, room_name: str) -> RoomState | None:
        """The room, if what this connection says of it counts."""
        room = self.rooms.get(room_name)
        return room if room is not None and room.owner == conn.id else None

    # --- messages ---------------------------------------------------------------------------------------------

    def _take_message(self, conn: _Connection, message: AnyServerMessage | HistoryPage, now: float) -> None:
        match message:
            case Ping():
                seen = {room.name: room.offset for room in self.rooms.values() if room.owner == conn.id}
                self._send(conn, Pong(seen))
            case Count() | Stale() | Reset() | Hide():
                self._take_signal(conn, message)
            case Skipped():
                self._take_skipped(conn, message, now)
            case Welcome():
                self._take_welcome(conn, message, now)
            case Goaway():
                self._take_goaway(conn, message, now)
            case Joined(n=n) | Refused(n=n) if n in conn.joins:
                self._take_join_reply(conn, conn.joins.pop(n), message, now)
            case Refused(n=0):
                # Nobody asked: the gateway says why it is about to close, and when to come back.
                conn.retry_after_s = message.retry_after_ms / 1000
            case Renamed():
                self.name = message.name
                self._answer(conn, message.n, message, now)
            case Event() | Page():
                raise AssertionError("events are taken before, pages are decoded before")
            case _:
                self._answer(conn, message.n, message, now)
        self._send_waiting()
        self._retire(now)

    def _take_signal(self, conn: _Connection, message: Count | Stale | Reset | Hide) -> None:
        room = self._owned(conn, message.room)
        if room is None:
            return
        match message:
            case Count():
                room.present = message.present
            case Reset():
                room.start_over(message.epoch, message.offset)
            case Stale() | Hide():
                pass
        self._effects.append(Emit(message))

    def _take_welcome(self, conn: _Connection, welcome: Welcome, now: float) -> None:
        if conn is not self._next or len(welcome.joins) != len(conn.hello_rooms):
            self._abandon(conn, CloseCode.PROTOCOL, "a welcome that does not answer the hello", now)
            return
        moved = self._current is not None
        self._current, self._next = conn, None
        conn.welcomed_at = now
        conn.silent_max_s = welcome.ping_ms / 1000 + CLIENT_PING_SLACK_S
        self._reconnect.welcomed()
        self._token, self.guest = welcome.session, welcome.guest
        self.author, self.name = welcome.author, welcome.name
        self._effects.append(Emit(Connected(welcome.server, welcome.author, welcome.name, moved)))
        for room_name, reply in zip(conn.hello_rooms, welcome.joins, strict=True):
            self._take_join_reply(conn, room_name, reply, now)
        # Rooms that were wanted while the hello was on its way have their own requests waiting.

    def _take_goaway(self, conn: _Connection, goaway: Goaway, now: float) -> None:
        if conn.leave_by is not None or conn is not self._current:
            return
        conn.leave_by = now + goaway.deadline_ms / 1000
        if self._next is None and self._open_at is None:
            self._open_at = now + goaway.retry_after_ms / 1000

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects


