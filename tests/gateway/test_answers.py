"""What a client is told of a limit that many share, and a page of history in the form that its reader speaks."""

import pytest

from gateway.answers import joins_in_order, outcome_of, page_of, range_of, refused_by
from gateway.crowd import Denied
from tests.support.gateway_fakes import ROOM, node_frames
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Ack, Event, Page, Refused, Unknown
from wire.node_messages import CommandRefused, Committed, OutcomeUnknown, PublishCommand, Range


def test_a_rate_says_whose_it_is_and_when_there_is_more() -> None:
    refusal = refused_by(Denied("everybody in this room", 0.25), 7, ROOM)
    assert (refusal.code, refusal.temporary, refusal.n, refusal.room) == ("too_fast", True, 7, ROOM)
    assert refusal.retry_after_ms in (250, 251)
    assert "everybody in this room together" in refusal.message


def test_too_many_connections_have_a_code_of_their_own() -> None:
    refusal = refused_by(Denied("all your connections", 30.0, is_cap=True))
    assert (refusal.code, refusal.temporary, refusal.n) == ("connection_limit", True, 0)
    assert refusal.retry_after_ms >= 30_000


def test_a_command_ends_as_committed_refused_or_unknown() -> None:
    command = PublishCommand(4, ROOM, "message", "g-a", "a", "id-1", "hello")
    ack = outcome_of(Committed(4, "e", 9, 1000, False), 3, command)
    assert isinstance(ack, Ack)
    assert (ack.n, ack.room, ack.id, ack.offset, ack.duplicate) == (3, ROOM, "id-1", 9, False)
    refusal = outcome_of(CommandRefused(4, "a code of next year", "", 70), 3, command)
    assert isinstance(refusal, Refused)
    assert (refusal.code, refusal.n, refusal.id, refusal.retry_after_ms) == ("internal", 3, "id-1", 70)
    assert isinstance(outcome_of(OutcomeUnknown(4), 3, command), Unknown)


def test_a_range_that_was_refused_is_told_as_such() -> None:
    refusal = range_of(CommandRefused(1, "busy", ""), 7, ROOM, Form.MSGPACK)
    assert isinstance(refusal, Refused)
    assert (refusal.code, refusal.n, refusal.room, refusal.temporary) == ("busy", 7, ROOM, True)


def test_the_joins_of_a_hello_are_answered_in_their_order_and_without_its_numbers() -> None:
    answers = [(place, refused_by(Denied("x", 1.0), place, f"{ROOM}{place}")) for place in (2, 0, 1)]
    ordered = joins_in_order(answers)
    assert [(answer.n, answer.room) for answer in ordered] == [(0, f"{ROOM}{place}") for place in range(3)]


def test_a_page_keeps_the_bytes_of_its_events() -> None:
    frames = node_frames(1, 2)
    encoded = encode(page_of(Range(1, "e", 2, frames), 1, ROOM, Form.MSGPACK), Form.MSGPACK)
    assert all(node_frame.frame in encoded for node_frame in frames)


@pytest.mark.parametrize("form", list(Form))
def test_a_page_is_read_back_as_what_was_kept(form: Form) -> None:
    page = decode_server_message(encode(page_of(Range(1, "e", 9, node_frames(1, 2), True), 7, ROOM, form), form), form)
    assert isinstance(page, Page)
    assert (page.n, page.room, page.epoch, page.offset, page.more) == (7, ROOM, "e", 9, True)
    events = [decode_server_message(bytes(event), form) for event in page.events]
    assert [event.offset for event in events if isinstance(event, Event)] == [1, 2]
