"""What one shard has been asked and has not answered: kept in the order it was asked.

Pure: `now` is an argument.  The rules of this file:

- A request is *waiting* (not on the present link) or *sent* (on it); a lost link makes the sent
  ones wait again, before all that were asked later.
- A publish goes over at most two links.  When the second is lost too, its outcome is unknown.
- Whoever was told "refused" may believe that nothing happened.  So a temporary refusal of a second
  sending says nothing about the first, and becomes "unknown"; a permanent one is believed, because a
  shard looks the message id up before it refuses for good.
- A read changes nothing and is sent again as often as it takes, until its deadline.
"""

from collections.abc import Callable, Iterable

from shard_router.ports import PublishAnswer, RangeAnswer
from wire.codes import REFUSAL_BY_CODE, CloseCode, Refusal
from wire.errors import PeerError
from wire.limits import LINK_HELD_CHARS_MAX, LINK_REQUESTS_MAX
from wire.names import RoomName
from wire.node_messages import CommandRefused, Committed, OutcomeUnknown, PublishCommand, Range, RangeRead

Answer = Committed | CommandRefused | OutcomeUnknown | Range
Question = tuple[str, str, int, int, int]

LINKS_PER_PUBLISH_MAX = 2


def refused(refusal: Refusal, number: int = 0) -> CommandRefused:
    """Our own "no" to a request, in the words of the table of codes."""
    kind = refusal.kind
    return CommandRefused(number, kind.code, kind.sentence, kind.retry_after_ms)


def is_temporary(code: str) -> bool:
    """Whether this refusal may be another answer later; a code we do not know is taken for one that may."""
    known = REFUSAL_BY_CODE.get(code)
    return known is None or known.kind.temporary


class PublishRequest:
    """One command on its way into a room's log; `links_lost` while it was on them."""

    __slots__ = ("_answer", "deadline", "links_lost", "message")

    def __init__(self, message: PublishCommand, deadline: float, answer: Callable[[PublishAnswer], None]) -> None:
        self.message = message
        self.deadline = deadline
        self.links_lost = 0
        self._answer = answer

    @property
    def chars(self) -> int:
        return len(self.message.text)

    def survives_loss(self) -> bool:
        """The link it was sent on is gone: whether it may be sent on another."""
        self.links_lost += 1
        return self.links_lost < LINKS_PER_PUBLISH_MAX

    def resolve(self, answer: Answer) -> None:
        """Hand the shard's answer to whoever asked; raises `PeerError` if it is no answer to a publish."""
        if isinstance(answer, Range):
            self.give_up(was_sent=True)
            raise PeerError(CloseCode.BAD_REQUEST, "Range in answer to a publish")
        if isinstance(answer, CommandRefused) and self.links_lost and is_temporary(answer.code):
            answer = OutcomeUnknown(self.message.request)
        self._answer(answer)

    def give_up(self, was_sent: bool) -> None:
        """No answer will be waited for: "unavailable" if no shard can have seen it, else "unknown"."""
        number = self.message.request
        self._answer(OutcomeUnknown(number) if was_sent or self.links_lost else refused(Refusal.UNAVAILABLE, number))


class ReadRequest:
    """One question about a room's past, and everyone who asked it meanwhile."""

    __slots__ = ("_flights", "_question", "deadline", "message", "waiters")

    chars = 0

    def __init__(self, message: RangeRead, deadline: float, flights: "dict[Question, ReadRequest]") -> None:
        """Enters itself into `flights`, and leaves it with the answer."""
        self.message = message
        self.deadline = deadline
        self.waiters: list[Callable[[RangeAnswer], None]] = []
        self._flights = flights
        self._question = question_of(message)
        flights[self._question] = self

    def survives_loss(self) -> bool:
        return True

    def resolve(self, answer: Answer) -> None:
        """Hand the answer to all who wait; raises `PeerError` if it is no answer to a read."""
        if not isinstance(answer, Range | CommandRefused):
            self.give_up(was_sent=True)
            raise PeerError(CloseCode.BAD_REQUEST, f"{type(answer).__name__} in answer to a read")
        self._flights.pop(self._question, None)
        for waiter in self.waiters:
            waiter(answer)

    def give_up(self, was_sent: bool) -> None:
        self.resolve(refused(Refusal.UNAVAILABLE, self.message.request))


Request = PublishRequest | ReadRequest


def question_of(read: RangeRead) -> Question:
    """What makes two reads the same."""
    return (read.room, read.epoch, read.after, read.before, read.limit)


class RequestTable:
    """Unanswered requests of one shard, each within its deadline.

    Numbers and deadlines rise together.  `_waiting` is always in rising order; `_sent` is too, unless
    an adopted request was sent after younger ones: then all of it is searched for what has expired.
    """

    __slots__ = ("_chars_max", "_requests_max", "_sent", "_sent_in_order", "_waiting", "chars")

    def __init__(self, requests_max: int = LINK_REQUESTS_MAX, chars_max: int = LINK_HELD_CHARS_MAX) -> None:
        self._requests_max = requests_max
        self._chars_max = chars_max
        self.chars = 0
        self._sent: dict[int, Request] = {}
        self._sent_in_order = True
        self._waiting: dict[int, Request] = {}

    def __len__(self) -> int:
        return len(self._sent) + len(self._waiting)

    def takes(self, request: Request) -> bool:
        """Whether one more is within the bounds.  What is adopted was within them elsewhere, and is not asked."""
        return len(self._sent) + len(self._waiting) < self._requests_max and self.chars + request.chars <= self._chars_max

    def add_sent(self, request: Request) -> None:
        self.chars += request.chars
        self._sent[request.message.request] = request

    def add_waiting(self, request: Request) -> None:
        self.chars += request.chars
        self._waiting[request.message.request] = request

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def first_waiting(self) -> Request | None:
        return next(iter(self._waiting.values()), None)

    def mark_sent(self, request: Request) -> None:
        """The first waiting one has been put on the link."""
        number = request.message.request
        del self._waiting[number]
        if self._sent and next(reversed(self._sent)) > number:
            self._sent_in_order = False
        self._sent[number] = request

    def take(self, number: int) -> Request | None:
        """Remove the sent request that has been answered; None if it had expired, or never was."""
        request = self._sent.pop(number, None)
        if request is not None:
            self.chars -= request.chars
        return request

    def adopt(self, requests: Iterable[Request]) -> None:
        """Take over requests that waited elsewhere, each in its place."""
        for request in requests:
            self.add_waiting(request)
        self._waiting = _by_number(self._waiting.values())

    def withdraw(self, leaves: Callable[[RoomName], bool]) -> list[Request]:
        """Remove the waiting requests of the rooms for which `leaves` is true, in order."""
        leaving = [request for request in self._waiting.values() if leaves(RoomName(request.message.room))]
        for request in leaving:
            self._forget_waiting(request)
        return leaving

    def lose_link(self) -> list[Request]:
        """All that was sent waits again; answers what may not be sent once more and is no longer here."""
        sent, self._sent, self._sent_in_order = self._sent, {}, True
        given_up = [request for request in sent.values() if not request.survives_loss()]
        for request in given_up:
            del sent[request.message.request]
            self.chars -= request.chars
        self._waiting = _by_number([*sent.values(), *self._waiting.values()])
        return given_up

    def expire(self, now: float) -> list[tuple[Request, bool]]:
        """Remove what has waited too long; with each, whether it is on the present link."""
        late_sent = _late(self._sent, now, self._sent_in_order)
        late_waiting = _late(self._waiting, now, True)
        for request in late_sent:
            self.take(request.message.request)
        for request in late_waiting:
            self._forget_waiting(request)
        self._sent_in_order = self._sent_in_order or not self._sent
        return [*((request, True) for request in late_sent), *((request, False) for request in late_waiting)]

    def _forget_waiting(self, request: Request) -> None:
        del self._waiting[request.message.request]
        self.chars -= request.chars


def _by_number(requests: Iterable[Request]) -> dict[int, Request]:
    return {request.message.request: request for request in sorted(requests, key=lambda request: request.message.request)}


def _late(requests: dict[int, Request], now: float, in_order: bool) -> list[Request]:
    late: list[Request] = []
    for request in requests.values():
        if request.deadline <= now:
            late.append(request)
        elif in_order:
            break
    return late
