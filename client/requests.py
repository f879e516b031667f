"""Requests that wait for their outcome, over as many connections as it takes.  Pure.

A request is sent on one connection at a time.  When that connection ends it is sent
again, unchanged, on the next: publishes carry their own id, so a second sending is
answered with the first one's place, and everything else may be asked twice.  What was
lost with its connection may have happened, so "later, please" to its second sending is no
outcome: it is sent again until there is one, or time is up and it is unknown.
Order within a room is kept: nothing overtakes a request that still waits on another
connection.
"""

from collections.abc import Callable
from dataclasses import dataclass

from client.effects import ConnectionId
from client.updates import HistoryPage, Outcome
from wire.client_messages import (
    Ack,
    AnyServerMessage,
    ClientMessage,
    Delete,
    Edit,
    Joined,
    Left,
    Publish,
    Refused,
    Renamed,
    Unknown,
)
from wire.codes import Refusal
from wire.limits import CLIENT_REQUESTS_MAX

NUMBER_MAX = 2**31 - 1


@dataclass(slots=True)
class Request:
    """One question: `sent_on` is None while it waits for a connection."""

    n: int
    room: str
    message: ClientMessage
    deadline: float
    answers: tuple[type, ...]
    sent_on: ConnectionId | None = None
    is_ambiguous: bool = False
    """A connection ended before it answered: a refusal of the next sending says nothing of this one."""
    send_after: float | None = None
    """A gateway asked to wait until then."""
    last_refusal: Refused | None = None
    """Its "later" or "use the new connection": the outcome if nothing better comes in time."""

    def outcome_without_answer(self) -> Outcome:
        """What is known when no answer came: a publish that is on its way, or was lost there, may have happened."""
        match self.message:
            case Publish(id=message_id) | Edit(id=message_id) | Delete(id=message_id):
                if self.is_ambiguous or self.sent_on is not None:
                    return Unknown(self.n, self.room, message_id)
        return self.last_refusal or refused(Refusal.UNAVAILABLE, self.n, self.room)

    def put_off(self, refusal: Refused, until: float | None) -> None:
        """It was not carried out this time: send it again, after `until` or on the next connection."""
        self.sent_on = None
        self.send_after = until
        self.last_refusal = refusal


def refused(refusal: Refusal, n: int = 0, room: str = "", message_id: str = "") -> Refused:
    """A refusal of our own making, in the gateway's words."""
    kind = refusal.kind
    return Refused(n, kind.code, kind.sentence, kind.temporary, kind.retry_after_ms, room, message_id)


class Requests:
    """Bounded by CLIENT_REQUESTS_MAX; numbers rise and wrap at `NUMBER_MAX`."""

    def __init__(self) -> None:
        self._waiting: dict[int, Request] = {}
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def is_full(self) -> bool:
        return len(self._waiting) >= CLIENT_REQUESTS_MAX

    def next_number(self) -> int:
        """A number that no waiting request has; also for what the session asks on its own account."""
        while True:
            self._last_number = self._last_number % NUMBER_MAX + 1
            if self._last_number not in self._waiting:
                return self._last_number

    def add(self, request: Request) -> None:
        assert not self.is_full(), "the session refuses what exceeds CLIENT_REQUESTS_MAX"
        self._waiting[request.n] = request

    def get(self, n: int) -> Request | None:
        return self._waiting.get(n)

    def take(self, n: int) -> Request | None:
        return self._waiting.pop(n, None)

    def take_all(self) -> list[Request]:
        requests = list(self._waiting.values())
        self._waiting.clear()
        return requests

    def take_expired(self, now: float) -> list[Request]:
        expired = [request for request in self._waiting.values() if request.deadline <= now]
        for request in expired:
            del self._waiting[request.n]
        return expired

    def take_due(self, now: float) -> None:
        """Those that a gateway asked to wait have waited."""
        for request in self._waiting.values():
            if request.send_after is not None and request.send_after <= now:
                request.send_after = None

    def deadlines(self) -> list[float]:
        """The next moment of each request: its own next sending, or its end."""
        return [
            request.deadline if request.send_after is None else min(request.deadline, request.send_after)
            for request in self._waiting.values()
        ]

    def find(self, kind: type[ClientMessage], room: str) -> Request | None:
        """The waiting request of that kind for that room."""
        for request in self._waiting.values():
            if request.room == room and isinstance(request.message, kind):
                return request
        return None

    def release(self, connection: ConnectionId) -> None:
        """That connection is over: what waited on it may be sent again."""
        for request in self._waiting.values():
            if request.sent_on == connection:
                request.sent_on = None
                request.is_ambiguous = True

    def wait_on(self, connection: ConnectionId) -> bool:
        """Whether any request still expects its answer from that connection."""
        return any(request.sent_on == connection for request in self._waiting.values())

    def sendable(self, connection: ConnectionId, may_send: Callable[[Request], bool]) -> list[Request]:
        """What may go out on `connection` now, oldest first."""
        held_rooms: set[str] = set()
        ready = []
        for request in self._waiting.values():
            if request.sent_on is not None:
                if request.sent_on != connection and request.room:
                    held_rooms.add(request.room)
            elif request.room in held_rooms or request.send_after is not None or not may_send(request):
                held_rooms.add(request.room)
            else:
                ready.append(request)
        return ready


def outcome_of(message: AnyServerMessage | HistoryPage, request: Request) -> Outcome | None:
    """The message as this request's outcome; None when it answers another kind of question."""
    if isinstance(message, (Ack, Unknown, Joined, Left, Renamed, HistoryPage, Refused)) and isinstance(message, request.answers):
        return message
    return None
