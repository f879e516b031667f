"""The client's side of the protocol as one state machine: what to send, what to tell, what to wait for.  Pure.

Everything goes through here as values: calls of the program, messages of gateways, ends
of connections, the time.  Each call answers the effects to carry out, in order.
Connections, rooms and requests keep their own books (`client/lifeline.py`, `rooms.py`,
`requests.py`); what one of them learns and the others must know is said here.
"""

from random import Random
from typing import Literal

from client.effects import Close, ConnectionId, Effect, Emit, Send, Settle
from client.lifeline import ABNORMAL, ConnectionState, Lifeline
from client.requests import Request, Requests, outcome_of, refused
from client.room import RoomState
from client.rooms import Rooms
from client.updates import Connected, Gap, HistoryPage, JoinRefused, Outcome, Stopped
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
from wire.codes import CloseCode, Refusal
from wire.limits import CLIENT_REPAIRS_PER_CONNECTION_MAX, CLIENT_REQUEST_WAIT_S, JOIN_HISTORY_EVENTS_DEFAULT, RECONNECT_BASE_S

_MOVED = "moved to another gateway"


class Session:
    """One client's conversation; may outlive many connections.  See the module."""

    def __init__(self, urls: list[str], rng: Random, *, name: str = "", guest: str = "", client: str = "parvis-python") -> None:
        self.name = name
        self.guest = guest
        self.author = ""
        self.stopped: Stopped | None = None
        self.rooms = Rooms()
        self._client = client
        self._token = ""
        self._rng = rng
        self._effects: list[Effect] = []
        self._lifeline = Lifeline(urls, rng, self._effects)
        self._requests = Requests()

    @property
    def connection(self) -> Literal["open", "waiting", "stopped"]:
        """Whether requests can be sent now, later, or never again."""
        if self.stopped is not None:
            return "stopped"
        return "waiting" if self._lifeline.current is None else "open"

    # --- the program's side -----------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Open the first connection."""
        self._lifeline.open_next(now)
        return self._take_effects()

    def number(self) -> int:
        """The number for the next request."""
        return self._requests.next_number()

    def request(self, message: ClientMessage, n: int, room: str, answers: tuple[type, ...], now: float) -> list[Effect]:
        """Ask; the outcome comes as `Settle(n, ...)` within CLIENT_REQUEST_WAIT_S."""
        if self.stopped is not None or self._requests.is_full():
            why = Refusal.UNAVAILABLE if self.stopped is not None else Refusal.BUSY
            self._effects.append(Settle(n, refused(why, n, room)))
        else:
            self._requests.add(Request(n, room, message, now + CLIENT_REQUEST_WAIT_S, answers))
            self._send_waiting()
        return self._take_effects()

    def want(self, room: str, since: Position | None = None, limit: int = JOIN_HISTORY_EVENTS_DEFAULT) -> Refusal | None:
        """Add a room to those that every connection enters; `join` also asks for it now."""
        return self.rooms.want(room, since, limit)

    def join(self, room: str, since: Position | None, limit: int, n: int, now: float) -> list[Effect]:
        """Enter one more room: settles as `Joined` or `Refused`."""
        no = self.want(room, since, limit)
        if no is not None:
            return [Settle(n, refused(no, n, room))]
        return self.request(Join(n, room, since, limit), n, room, (Joined, Refused), now)

    def leave(self, room: str, n: int, now: float) -> list[Effect]:
        """Leave at once: no update of the room follows.  Settles as `Left`, or `Refused` if it was not joined."""
        if not self.rooms.forget(room):
            return [Settle(n, refused(Refusal.NOT_JOINED, n, room))]
        join = self._requests.find(Join, room)
        if join is not None:
            self._settle(join, refused(Refusal.NOT_JOINED, join.n, room))
        if self._lifeline.current is None:
            # The next hello does not name the room, and that is all there is to it.
            self._effects.append(Settle(n, Left(n, room)))
            return self._take_effects()
        return self.request(Leave(n, room), n, room, (Left, Refused), now)

    def stop(self, reason: str = "the client was closed") -> list[Effect]:
        """End for good: say goodbye on every connection, settle what waits."""
        self._stop(CloseCode.NORMAL, reason)
        return self._take_effects()

    # --- the sockets' side ---------------------------------------------------------------------

    def opened(self, connection: ConnectionId) -> list[Effect]:
        """The websocket is open: say hello, with every room and where we are in it."""
        conn = self._lifeline.connections.get(connection)
        if conn is not None:
            conn.is_open = True
            conn.hello_rooms = self.rooms.names()
            for room in conn.hello_rooms:
                join = self._requests.find(Join, room)
                if join is not None and join.sent_on is None:
                    join.sent_on = connection
            joins = self.rooms.join_requests()
            self._send(conn, Hello(PROTOCOL_VERSION, self._client, self.guest, self._token, self.name, joins))
        return self._take_effects()

    def failed(self, connection: ConnectionId, reason: str, now: float, retry_after_s: float = 0.0) -> list[Effect]:
        """A connection never opened."""
        conn = self._lifeline.connections.get(connection)
        if conn is not None:
            self._lifeline.never_opened(conn, reason, now, retry_after_s)
        return self._take_effects()

    def closed(self, connection: ConnectionId, code: int, reason: str, now: float) -> list[Effect]:
        """An open connection ended, with the code of its close frame or `ABNORMAL`."""
        conn = self._lifeline.connections.get(connection)
        if conn is not None:
            self._lose(conn, code, reason, now)
        return self._take_effects()

    def broken(self, connection: ConnectionId, reason: str, now: float) -> list[Effect]:
        """The gateway sent what is no message of ours: leave it and come back."""
        conn = self._lifeline.connections.get(connection)
        if conn is not None:
            self._abandon(conn, CloseCode.PROTOCOL, reason, now)
        return self._take_effects()

    def received(self, connection: ConnectionId, message: AnyServerMessage | HistoryPage, now: float) -> list[Effect]:
        """One message of a gateway."""
        conn = self._lifeline.connections.get(connection)
        if conn is not None:
            conn.heard_at = now
            if isinstance(message, Event):
                self._tell(conn, self.rooms.take_event(connection, message), now)
            else:
                self._take_message(conn, message, now)
                self._bring_rooms()
                self._send_waiting()
                self._retire(now)
        return self._take_effects()

    # --- time --------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When `tick` has something to do; earlier calls do no harm."""
        # Without a connection no room is asked for again: the hello of the next one enters them all.
        rooms = self.rooms.deadlines() if self._lifeline.current is not None else []
        return min([*self._lifeline.deadlines(), *rooms, *self._requests.deadlines()], default=None)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        for conn in list(self._lifeline.connections.values()):
            if now >= conn.silent_until():
                self._fall_silent(conn, now)
        for conn in self._lifeline.retiring():
            if conn.leave_by is not None and now >= conn.leave_by:
                self._abandon(conn, CloseCode.NORMAL, _MOVED, now)
        for request in self._requests.take_expired(now):
            self._effects.append(Settle(request.n, request.outcome_without_answer()))
            self._forget_unjoined(request)
        if self._lifeline.open_at is not None and now >= self._lifeline.open_at:
            self._lifeline.open_next(now)
        if self._lifeline.current is not None:
            for room in self.rooms.take_due(now):
                self._ask_to_join(self._lifeline.current, room)
        self._requests.take_due(now)
        self._send_waiting()
        self._retire(now)
        return self._take_effects()

    # --- connections ----------------------------------------------------------------------------------

    def _fall_silent(self, conn: ConnectionState, now: float) -> None:
        reason = f"nothing heard for {conn.silent_max_s:g} s"
        if conn.is_open:
            self._abandon(conn, CloseCode.NO_PONG, reason, now)
        else:
            self._effects.append(Close(conn.id, CloseCode.NORMAL, reason))
            self._lifeline.never_opened(conn, reason, now)

    def _abandon(self, conn: ConnectionState, code: int, reason: str, now: float) -> None:
        """Close from our side, and come back if that was the connection we lived on."""
        self._effects.append(Close(conn.id, code, reason))
        # Not `code` itself: 1002 from a server means stop, from us it means that this one is broken.
        self._lose(conn, ABNORMAL, reason, now)

    def _lose(self, conn: ConnectionState, code: int, reason: str, now: float) -> None:
        self._requests.release(conn.id)
        self.rooms.release(conn.id)
        if self._lifeline.lost(conn, code, reason, now):
            self._bring_rooms()
            self._send_waiting()
        else:
            self._stop(code, reason)

    def _stop(self, code: int, reason: str) -> None:
        if self.stopped is not None:
            return
        self.stopped = Stopped(code, reason)
        self._lifeline.end()
        for request in self._requests.take_all():
            self._effects.append(Settle(request.n, request.outcome_without_answer()))
        self.rooms.release_all()
        self._effects.append(Emit(self.stopped))

    def _retire(self, now: float) -> None:
        """Leave each replaced connection whose answers are in and whose rooms have moved."""
        for conn in self._lifeline.retiring():
            if not self.rooms.are_on(conn.id) and not self._requests.wait_on(conn.id):
                self._abandon(conn, CloseCode.NORMAL, _MOVED, now)

    # --- requests ----------------------------------------------------------------------------------------

    def _send(self, conn: ConnectionState, message: ClientMessage) -> None:
        self._effects.append(Send(conn.id, message))

    def _send_waiting(self) -> None:
        conn = self._lifeline.current
        if conn is None or conn.is_draining:
            return
        for request in self._requests.sendable(conn.id, self._may_send):
            request.sent_on = conn.id
            if isinstance(request.message, Join):
                conn.joins[request.n] = request.room
            self._send(conn, request.message)

    def _may_send(self, request: Request) -> bool:
        """A publish waits until its room is entered on the current connection; the rest need not."""
        room = self.rooms.get(request.room)
        if room is None or isinstance(request.message, (Join, Leave)):
            return True
        current = self._lifeline.current
        return current is not None and room.owner == current.id

    def _settle(self, request: Request, outcome: Outcome) -> None:
        self._requests.take(request.n)
        self._effects.append(Settle(request.n, outcome))

    def _answer(self, conn: ConnectionState, n: int, message: AnyServerMessage | HistoryPage, now: float) -> None:
        request = self._requests.get(n)
        if request is None or request.sent_on != conn.id:
            return
        outcome = outcome_of(message, request)
        if outcome is None:
            self._abandon(conn, CloseCode.PROTOCOL, f"request {n} was answered with another kind of message", now)
        elif isinstance(outcome, Refused) and outcome.code == Refusal.DRAINING.kind.code and conn.leave_by is not None:
            # It was not carried out: the successor gets it, with the same id.
            conn.is_draining = True
            request.put_off(outcome, None)
        elif isinstance(outcome, Refused) and outcome.temporary and request.is_ambiguous:
            request.put_off(outcome, now + outcome.retry_after_ms / 1000 + self._rng.uniform(0, RECONNECT_BASE_S))
        else:
            self._settle(request, outcome)

    # --- rooms ------------------------------------------------------------------------------------------------

    def _ask_to_join(self, conn: ConnectionState, room: RoomState) -> None:
        n = self._requests.next_number()
        conn.joins[n] = room.name
        asked = room.join_request()
        self._send(conn, Join(n, asked.room, asked.since, asked.limit))

    def _bring_rooms(self) -> None:
        """Ask the current connection for each room that is neither on it nor on its way there.

        The hello of a successor cannot name a room that was asked of the old connection after it.
        """
        if (current := self._lifeline.current) is not None:
            for room in self.rooms.elsewhere(current.id, current.joins.values()):
                if self._requests.find(Join, room.name) is None:
                    self._ask_to_join(current, room)

    def _forget_unjoined(self, request: Request) -> None:
        """A join that its caller was told has failed is not tried behind their back."""
        room = self.rooms.get(request.room)
        if isinstance(request.message, Join) and room is not None and room.owner is None:
            self.rooms.forget(request.room)

    def _take_join_reply(self, conn: ConnectionState, room_name: str, reply: Joined | Refused, now: float) -> None:
        request = self._requests.find(Join, room_name)
        room = self.rooms.get(room_name)
        current = self._lifeline.current
        if current is not None and room is not None and room.owner == current.id != conn.id:
            return  # The successor has brought us in already: what the old connection says is over.
        if isinstance(reply, Refused):
            if request is not None:
                self._settle(request, reply)
                self._forget_unjoined(request)
            elif room is not None:
                self._rejoin_later(room, reply, now)
        elif room is None:
            # Left while the join was under way.
            self._send(conn, Leave(self._requests.next_number(), room_name))
        else:
            break_in_reading, told = self.rooms.enter(room, conn.id, reply)
            self._effects += [Emit(each) for each in (break_in_reading, told) if each is not None]
            if request is not None:
                self._settle(request, told)

    def _rejoin_later(self, room: RoomState, reply: Refused, now: float) -> None:
        self._effects.append(Emit(JoinRefused(room.name, reply)))
        if reply.temporary:
            room.rejoin_at = now + reply.retry_after_ms / 1000 + self._rng.uniform(0, 2 * RECONNECT_BASE_S)
        else:
            self.rooms.forget(room.name)

    def _tell(self, conn: ConnectionState, news: Event | Skipped | Gap | None, now: float) -> None:
        if news is None:
            return
        self._effects.append(Emit(news))
        if isinstance(news, Gap):
            self._repair(conn, news.room, now)

    def _repair(self, conn: ConnectionState, room_name: str, now: float) -> None:
        """A hole that nobody announced: enter the room again from before it."""
        room = self.rooms.get(room_name)
        assert room is not None, "only a room that is wanted has gaps"
        conn.repairs += 1
        if conn.repairs > CLIENT_REPAIRS_PER_CONNECTION_MAX or conn is not self._lifeline.current:
            self._abandon(conn, CloseCode.INSUFFICIENT_STATE, "events are missing", now)
            return
        room.owner = None
        self._send(conn, Leave(self._requests.next_number(), room.name))
        self._ask_to_join(conn, room)

    # --- messages ---------------------------------------------------------------------------------------------

    def _take_message(self, conn: ConnectionState, message: AnyServerMessage | HistoryPage, now: float) -> None:
        match message:
            case Ping():
                self._send(conn, Pong(self.rooms.seen(conn.id)))
            case Count() | Stale() | Reset() | Hide():
                if self.rooms.take_signal(conn.id, message):
                    self._effects.append(Emit(message))
            case Skipped():
                self._tell(conn, self.rooms.take_skipped(conn.id, message), now)
            case Welcome():
                self._take_welcome(conn, message, now)
            case Goaway():
                self._lifeline.told_to_leave(conn, message, now)
            case Joined(n=n) | Refused(n=n) if n in conn.joins:
                self._take_join_reply(conn, conn.joins.pop(n), message, now)
            case Refused(n=0):
                # Nobody asked: the gateway says why it is about to close, and when to come back.
                conn.retry_after_s = message.retry_after_ms / 1000
            case Event() | Page():
                raise AssertionError("events are taken before, pages are decoded before")
            case _:
                if isinstance(message, Renamed):
                    self.name = message.name
                self._answer(conn, message.n, message, now)

    def _take_welcome(self, conn: ConnectionState, welcome: Welcome, now: float) -> None:
        if conn is not self._lifeline.next or len(welcome.joins) != len(conn.hello_rooms):
            self._abandon(conn, CloseCode.PROTOCOL, "a welcome that does not answer the hello", now)
            return
        moved = self._lifeline.welcomed(conn, welcome, now)
        self._token, self.guest = welcome.session, welcome.guest
        self.author, self.name = welcome.author, welcome.name
        self._effects.append(Emit(Connected(welcome.server, welcome.author, welcome.name, moved)))
        for room_name, reply in zip(conn.hello_rooms, welcome.joins, strict=True):
            self._take_join_reply(conn, room_name, reply, now)

    def _take_effects(self) -> list[Effect]:
        effects = self._effects.copy()
        # Emptied, not replaced: the lifeline appends to the same list.
        self._effects.clear()
        return effects
