"""Requests over several connections: one outcome each, the right one, in order."""

import pytest

from client.effects import ConnectionId
from client.requests import NUMBER_MAX, Request, Requests, outcome_of, refused
from client.updates import HistoryPage
from wire.client_messages import Ack, ClientMessage, Delete, Edit, History, Leave, Left, Ping, Publish, Refused, Rename, Unknown
from wire.codes import Refusal
from wire.limits import CLIENT_REQUESTS_MAX

ROOM = "square/main"
ONE, TWO = ConnectionId(1), ConnectionId(2)


def publish(n: int, room: str = ROOM) -> Request:
    return Request(n, room, Publish(n, room, f"m{n}", "x"), 30.0, (Ack, Refused, Unknown))


def anything(request: Request) -> bool:
    return True


def test_what_was_sent_waits_and_is_sent_again_when_its_connection_is_over() -> None:
    requests = Requests()
    requests.add(publish(1))
    requests.add(publish(2))
    for request in requests.sendable(ONE, anything):
        request.sent_on = ONE
    assert requests.sendable(ONE, anything) == []
    assert requests.wait_on(ONE)
    requests.release(ONE)
    assert all(request.is_ambiguous for request in requests.sendable(TWO, anything))
    assert [request.n for request in requests.sendable(TWO, anything)] == [1, 2]


def test_nothing_overtakes_a_request_that_waits_elsewhere_in_its_room() -> None:
    requests = Requests()
    for request in (publish(1), publish(2), publish(3, "other/room")):
        requests.add(request)
    first = requests.get(1)
    assert first is not None
    first.sent_on = ONE
    assert [request.n for request in requests.sendable(TWO, anything)] == [3]


def test_what_may_not_be_sent_yet_holds_those_behind_it() -> None:
    requests = Requests()
    requests.add(publish(1))
    requests.add(publish(2))
    assert requests.sendable(ONE, lambda request: request.n == 2) == []


def test_a_request_that_was_put_off_is_sent_when_its_time_has_come_and_holds_its_room() -> None:
    requests = Requests()
    requests.add(publish(1))
    requests.add(publish(2))
    first = requests.get(1)
    assert first is not None
    first.put_off(Refused(1, "too_fast", "slow", True, 200), 5.0)
    assert requests.deadlines() == [5.0, 30.0]
    requests.take_due(4.9)
    assert requests.sendable(ONE, anything) == []
    requests.take_due(5.0)
    assert [request.n for request in requests.sendable(ONE, anything)] == [1, 2]


def test_requests_expire_once() -> None:
    requests = Requests()
    requests.add(publish(1))
    assert requests.deadlines() == [30.0]
    assert requests.take_expired(29.9) == []
    assert [request.n for request in requests.take_expired(30.0)] == [1]
    assert requests.deadlines() == []
    assert len(requests) == 0


@pytest.mark.parametrize("message", [Publish(1, ROOM, "m", "x"), Edit(1, ROOM, "m", 2, "x"), Delete(1, ROOM, "m", 2)])
def test_only_a_publish_that_was_sent_is_unknown(message: ClientMessage) -> None:
    request = Request(1, ROOM, message, 30.0, (Ack, Refused, Unknown))
    never_sent = request.outcome_without_answer()
    assert isinstance(never_sent, Refused)
    assert never_sent.temporary
    request.sent_on = ONE
    assert request.outcome_without_answer() == Unknown(1, ROOM, "m")
    later = Refused(1, "busy", "later", True)
    request.put_off(later, 5.0)
    assert request.outcome_without_answer() == later
    request.is_ambiguous = True
    assert request.outcome_without_answer() == Unknown(1, ROOM, "m")


@pytest.mark.parametrize("message", [Rename(1, "Ada"), Leave(1, ROOM), History(1, ROOM)])
def test_what_can_be_asked_twice_is_refused_as_unavailable(message: ClientMessage) -> None:
    request = Request(1, ROOM, message, 30.0, (Refused,), ONE, is_ambiguous=True)
    outcome = request.outcome_without_answer()
    assert isinstance(outcome, Refused)
    assert outcome.code == "unavailable"


def test_numbers_rise_wrap_and_skip_those_in_use() -> None:
    requests = Requests()
    assert [requests.next_number() for _ in range(3)] == [1, 2, 3]
    requests._last_number = NUMBER_MAX
    requests.add(publish(1))
    assert requests.next_number() == 2


def test_it_says_when_it_is_full() -> None:
    requests = Requests()
    for n in range(1, CLIENT_REQUESTS_MAX + 1):
        assert not requests.is_full()
        requests.add(publish(n))
    assert requests.is_full()
    assert [request.n for request in requests.take_all()] == list(range(1, CLIENT_REQUESTS_MAX + 1))
    assert not requests.is_full()


def test_a_request_is_found_by_kind_and_room() -> None:
    requests = Requests()
    requests.add(publish(1))
    assert requests.find(Publish, ROOM) is requests.get(1)
    assert requests.find(Publish, "other/room") is None
    assert requests.find(Edit, ROOM) is None
    assert requests.take(1) is not None
    assert requests.take(1) is None


def test_only_the_kinds_a_request_named_answer_it() -> None:
    request = publish(1)
    ack = Ack(1, ROOM, "m1", "e1", 1, 1)
    assert outcome_of(ack, request) is ack
    assert outcome_of(Left(1, ROOM), request) is None
    assert outcome_of(HistoryPage(1, ROOM, "e1", 0, (), False), request) is None
    assert outcome_of(Ping(), request) is None


def test_a_refusal_of_our_own_is_in_the_gateways_words() -> None:
    mine = refused(Refusal.TOO_FAST, 7, ROOM, "m")
    kind = Refusal.TOO_FAST.kind
    assert mine == Refused(7, kind.code, kind.sentence, True, kind.retry_after_ms, ROOM, "m")
