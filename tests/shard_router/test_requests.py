"""Unanswered requests as values: a model-checked table, and the rules of resending."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shard_router.ports import PublishAnswer, RangeAnswer
from shard_router.requests import PublishRequest, Question, ReadRequest, Request, RequestTable, is_temporary, question_of, refused
from wire.codes import Refusal
from wire.errors import PeerError
from wire.names import RoomName
from wire.node_messages import CommandRefused, Committed, OutcomeUnknown, PublishCommand, Range, RangeRead

ROOMS = [RoomName("town/square"), RoomName("town/hall")]
WAIT_S = 10.0
REQUESTS_MAX = 8


def publish(
    number: int, answer: Callable[[PublishAnswer], None], room: RoomName = ROOMS[0], deadline: float = WAIT_S
) -> PublishRequest:
    return PublishRequest(PublishCommand(number, room, "message", "author", "Ada", str(number), "text"), deadline, answer)


def read(number: int, flights: dict[Question, ReadRequest], got: list[RangeAnswer]) -> ReadRequest:
    request = ReadRequest(RangeRead(number, ROOMS[0]), WAIT_S, flights)
    request.waiters.append(got.append)
    return request


class TableMachine(RuleBasedStateMachine):
    """Random asking, sending, answering, losing and expiring, against the plainest model: a list for each state."""

    def __init__(self) -> None:
        super().__init__()
        self.table = RequestTable(requests_max=REQUESTS_MAX)
        self.now = 0.0
        self.number = 0
        self.waiting: list[Request] = []
        self.sent: list[Request] = []
        self.elsewhere: list[Request] = []

    def _new(self, room: RoomName) -> PublishRequest:
        self.number += 1
        return publish(self.number, lambda answer: None, room, self.now + WAIT_S)

    @rule(room=st.sampled_from(ROOMS), at_once=st.booleans())
    def ask(self, room: RoomName, at_once: bool) -> None:
        request = self._new(room)
        assert self.table.takes(request) == (len(self.waiting) + len(self.sent) < REQUESTS_MAX)
        if not self.table.takes(request):
            return
        if at_once and not self.waiting:
            self.table.add_sent(request)
            self.sent.append(request)
        else:
            self.table.add_waiting(request)
            self.waiting.append(request)

    @precondition(lambda self: self.waiting)
    @rule()
    def send_one(self) -> None:
        first = self.table.first_waiting()
        assert first is self.waiting.pop(0)
        self.table.mark_sent(first)
        self.sent.append(first)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.sent))
        self.sent.remove(request)
        assert self.table.take(request.message.request) is request
        assert self.table.take(request.message.request) is None

    @rule()
    def lose_link(self) -> None:
        given_up = self.table.lose_link()
        twice = [request for request in self.sent if isinstance(request, PublishRequest) and request.links_lost == 2]
        assert given_up == twice
        again = [request for request in self.sent if request not in twice]
        self.waiting = sorted([*again, *self.waiting], key=lambda request: request.message.request)
        self.sent = []

    @rule(room=st.sampled_from(ROOMS))
    def a_room_leaves(self, room: RoomName) -> None:
        leaving = self.table.withdraw(lambda each: each == room)
        assert leaving == [request for request in self.waiting if request.message.room == room]
        self.waiting = [request for request in self.waiting if request.message.room != room]
        self.elsewhere += leaving

    @rule()
    def rooms_come_back(self) -> None:
        back = [request for request in self.elsewhere if request.deadline > self.now]
        self.elsewhere = []
        self.table.adopt(back)
        self.waiting = sorted([*self.waiting, *back], key=lambda request: request.message.request)

    @rule(seconds=st.floats(0, WAIT_S))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        expired = self.table.expire(self.now)
        late_sent = [(request, True) for request in self.sent if request.deadline <= self.now]
        late_waiting = [(request, False) for request in self.waiting if request.deadline <= self.now]
        assert expired == late_sent + late_waiting
        self.sent = [request for request in self.sent if request.deadline > self.now]
        self.waiting = [request for request in self.waiting if request.deadline > self.now]

    @invariant()
    def the_table_holds_what_the_model_holds(self) -> None:
        assert len(self.table) == len(self.waiting) + len(self.sent)
        assert self.table.has_waiting == bool(self.waiting)
        assert self.table.chars == sum(request.chars for request in (*self.waiting, *self.sent))


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_an_adopted_request_that_was_sent_after_younger_ones_still_expires_in_time() -> None:
    table = RequestTable()
    old, young = publish(1, lambda answer: None, deadline=10.0), publish(2, lambda answer: None, deadline=12.0)
    table.add_sent(young)
    table.adopt([old])
    table.mark_sent(old)
    assert table.expire(10.0) == [(old, True)]
    assert table.expire(12.0) == [(young, True)]


def test_the_bound_on_text_counts_characters() -> None:
    table = RequestTable(chars_max=7)
    one = publish(1, lambda answer: None)
    assert table.takes(one)
    table.add_sent(one)
    assert not table.takes(publish(2, lambda answer: None))
    table.take(1)
    assert table.takes(publish(3, lambda answer: None))


@pytest.mark.parametrize(
    ("links_lost", "code", "kind"),
    [
        (0, "busy", CommandRefused),
        (1, "busy", OutcomeUnknown),
        (1, "code_of_tomorrow", OutcomeUnknown),
        (1, "forbidden", CommandRefused),
    ],
)
def test_only_a_refusal_that_speaks_of_all_sendings_is_handed_on(links_lost: int, code: str, kind: type) -> None:
    got: list[PublishAnswer] = []
    request = publish(1, got.append)
    request.links_lost = links_lost
    request.resolve(CommandRefused(1, code, "no"))
    assert [type(answer) for answer in got] == [kind]


@pytest.mark.parametrize(
    ("links_lost", "was_sent", "kind"), [(0, False, CommandRefused), (0, True, OutcomeUnknown), (1, False, OutcomeUnknown)]
)
def test_only_what_no_shard_can_have_seen_is_called_refused(links_lost: int, was_sent: bool, kind: type) -> None:
    got: list[PublishAnswer] = []
    request = publish(1, got.append)
    request.links_lost = links_lost
    request.give_up(was_sent)
    assert [type(answer) for answer in got] == [kind]


def test_a_publish_goes_over_two_links_at_most_and_a_read_over_any_number() -> None:
    one = publish(1, lambda answer: None)
    assert [one.survives_loss(), one.survives_loss()] == [True, False]
    question = read(2, {}, [])
    assert all(question.survives_loss() for _ in range(5))


def test_a_read_answers_all_who_asked_and_leaves_the_flights() -> None:
    flights: dict[Question, ReadRequest] = {}
    got: list[RangeAnswer] = []
    request = read(1, flights, got)
    request.waiters.append(got.append)
    assert flights == {question_of(request.message): request}
    request.resolve(Range(1, "epoch-1", 3, []))
    assert len(got) == 2
    assert flights == {}


def test_a_read_that_is_given_up_is_refused_as_unavailable() -> None:
    got: list[RangeAnswer] = []
    read(1, {}, got).give_up(was_sent=True)
    assert got == [refused(Refusal.UNAVAILABLE, 1)]


def test_an_answer_of_the_wrong_kind_is_the_peers_error_and_still_an_answer() -> None:
    published: list[PublishAnswer] = []
    with pytest.raises(PeerError):
        publish(1, published.append).resolve(Range(1, "epoch-1", 3, []))
    assert published == [OutcomeUnknown(1)]
    got: list[RangeAnswer] = []
    with pytest.raises(PeerError):
        read(2, {}, got).resolve(Committed(2, "epoch-1", 3, 1))
    assert got == [refused(Refusal.UNAVAILABLE, 2)]


def test_a_code_that_is_not_ours_may_be_temporary() -> None:
    assert is_temporary("busy")
    assert is_temporary("code_of_tomorrow")
    assert not is_temporary("forbidden")
