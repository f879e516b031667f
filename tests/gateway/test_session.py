"""A session: who may say what, and in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rules import session_rules
from gateway.session import Effect, Enter, Exit, Greet, ReadHistory, Renew, Reply, Report, Session, Submit, milliseconds, refused
from runtime.schema import GatewaySettings, RoomSettings
from wire.capabilities import NOTHING, parse_capabilities
from wire.client_codec import Form, encode
from wire.client_messages import (
    Delete,
    Edit,
    Hello,
    History,
    Join,
    JoinRequest,
    Leave,
    Left,
    Pong,
    Publish,
    Refresh,
    Refused,
    Rename,
    Renamed,
)
from wire.codes import CloseCode, Refusal
from wire.errors import PeerError
from wire.limits import BAD_MESSAGES_PER_CONNECTION_MAX, PUBLISHES_IN_FLIGHT_PER_CLIENT_MAX, TOKEN_REFRESH_BURST

ROOM = "town/square"


def say(session: Session, message: object, now: float = 0.0) -> Effect | None:
    return session.handle(encode(message, session.form), now)  # type: ignore[arg-type]


def make(namespaces: list[str] | None = None, **settings: object) -> Session:
    rules = session_rules(GatewaySettings(**settings), RoomSettings(namespaces=namespaces or []))  # type: ignore[arg-type]
    return Session(Form.MSGPACK, rules)


def greeted(*rooms: str, **settings: object) -> Session:
    session = make(**settings)
    session.may = parse_capabilities({"*": "read publish"})
    say(session, Hello(1, joins=[JoinRequest(room) for room in rooms]))
    return session


def code_of(effect: Effect | None) -> str:
    assert isinstance(effect, Reply), effect
    assert isinstance(effect.message, Refused), effect.message
    return effect.message.code


def test_a_hello_enters_its_rooms_and_refuses_those_that_cannot_be() -> None:
    effect = say(make(namespaces=["town"]), Hello(1, joins=[JoinRequest(ROOM), JoinRequest("Nowhere"), JoinRequest("x/y")]))
    assert isinstance(effect, Greet)
    assert [place for place, _ in effect.joins] == [0]
    assert [(place, no.code) for place, no in effect.refused] == [(1, "bad_room"), (2, "unknown_namespace")]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Publish(1, ROOM, "a", "hi"), CloseCode.NO_HELLO),
        (Hello(2), CloseCode.WRONG_VERSION),
        (Hello(0), CloseCode.WRONG_VERSION),
    ],
)
def test_what_is_no_hello_of_our_version_ends_the_connection(message: object, code: CloseCode) -> None:
    with pytest.raises(PeerError) as caught:
        say(make(), message)
    assert caught.value.code is code


def test_a_hello_with_a_wrong_field_ends_the_connection() -> None:
    with pytest.raises(PeerError) as caught:
        Session(Form.JSON, session_rules(GatewaySettings(), RoomSettings())).handle(b'{"t":"hello","v":"one"}', 0.0)
    assert caught.value.code is CloseCode.BAD_REQUEST


def test_hello_is_said_once() -> None:
    with pytest.raises(PeerError):
        say(greeted(), Hello(1))


def test_a_publish_becomes_a_command_stamped_by_the_server() -> None:
    session = greeted(ROOM)
    session.author, session.name = "g-me", "Ada"  # type: ignore[assignment]
    effect = say(session, Publish(7, ROOM, "id-1", "  hello  "))
    assert isinstance(effect, Submit)
    command = effect.command
    assert (effect.n, command.kind, command.author, command.name, command.id) == (7, "message", "g-me", "Ada", "id-1")
    assert command.text.strip() == "hello"


def test_edit_and_delete_name_their_target() -> None:
    session = greeted(ROOM)
    edit = say(session, Edit(1, ROOM, "e", 5, "better"))
    delete = say(session, Delete(2, ROOM, "d", 5))
    assert isinstance(edit, Submit)
    assert isinstance(delete, Submit)
    assert (edit.command.kind, edit.command.target) == ("edit", 5)
    assert (delete.command.kind, delete.command.target, delete.command.text) == ("delete", 5, "")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Publish(1, "town/elsewhere", "a", "hi"), "not_joined"),
        (Publish(1, "no room", "a", "hi"), "bad_room"),
        (Publish(1, ROOM, "spaces are no id", "hi"), "bad_id"),
        (Publish(1, ROOM, "a", "\u200b\u200b"), "bad_text"),
        (Publish(1, ROOM, "a", "word " * 1000), "too_large"),
        (Join(1, "Bad Room"), "bad_room"),
        (Join(1, ROOM), "already_joined"),
        (Leave(1, "town/elsewhere"), "not_joined"),
        (History(1, "town/elsewhere"), "not_joined"),
        (History(1, ROOM, after=1, before=2), "bad_message"),
        (Rename(1, "\u202e"), "bad_name"),
    ],
)
def test_each_refusal_has_its_code_and_carries_the_request_number(message: object, code: str) -> None:
    effect = say(greeted(ROOM), message)
    assert code_of(effect) == code
    assert isinstance(effect, Reply)
    assert isinstance(effect.message, Refused)
    assert effect.message.n == 1


def test_what_was_not_granted_is_refused_room_by_room() -> None:
    session = greeted(ROOM)
    session.may = parse_capabilities({"town/*": "read", "town/hall": "publish"})
    for message in (Publish(1, ROOM, "a", "hi"), Edit(1, ROOM, "a", 5, "better"), Delete(1, ROOM, "a", 5)):
        assert code_of(say(session, message)) == "not_allowed"
    assert code_of(say(session, Join(1, "city/hall"))) == "not_allowed"
    assert isinstance(say(session, History(1, ROOM)), ReadHistory)
    assert isinstance(say(session, Join(1, "town/hall")), Enter)
    assert isinstance(say(session, Publish(1, "town/hall", "a", "hi")), Submit)


def test_who_was_granted_nothing_may_do_nothing() -> None:
    session = make()
    effect = say(session, Hello(1, joins=[JoinRequest(ROOM), JoinRequest("Bad")]))
    assert isinstance(effect, Greet)
    assert session.may == NOTHING
    seen = session.without_forbidden(effect)
    assert seen.joins == ()
    assert sorted((place, no.code) for place, no in seen.refused) == [(0, "not_allowed"), (1, "bad_room")]
    assert session.rooms == set()


def test_the_services_own_rooms_are_nobodys() -> None:
    session = greeted()
    session.may = parse_capabilities({"parvis/*": "read publish", "*": "read publish"})
    assert code_of(say(session, Join(1, "parvis/control"))) == "unknown_namespace"


def test_the_name_of_an_account_cannot_be_changed() -> None:
    session = greeted()
    session.name, session.is_name_given = "Ada", True
    assert code_of(say(session, Rename(1, "Grace"))) == "not_allowed"
    assert session.name == "Ada"


def test_tokens_are_checked_at_a_bounded_rate() -> None:
    session = greeted()
    effects = [say(session, Refresh(number, "t")) for number in range(TOKEN_REFRESH_BURST + 1)]
    assert effects[:-1] == [Renew(number, "t") for number in range(TOKEN_REFRESH_BURST)]
    assert code_of(effects[-1]) == "too_fast"


def test_rooms_a_client_may_be_in_are_bounded() -> None:
    session = greeted("a/1", "a/2", rooms_per_client_max=2)
    assert code_of(say(session, Join(1, "a/3"))) == "room_limit"
    assert isinstance(say(session, Leave(2, "a/1")), Exit)
    assert isinstance(say(session, Join(3, "a/3")), Enter)


def test_a_flood_is_refused_with_the_time_to_wait_and_the_honest_go_on() -> None:
    session = greeted(ROOM, publish_rate_per_s=2.0, publish_burst=3)
    for number in range(3):
        assert isinstance(say(session, Publish(number, ROOM, f"m{number}", "x")), Submit)
    effect = say(session, Publish(3, ROOM, "m3", "x"))
    assert code_of(effect) == "too_fast"
    assert isinstance(effect, Reply)
    assert isinstance(effect.message, Refused)
    wait_s = effect.message.retry_after_ms / 1000
    assert 0.5 <= wait_s < 0.6
    assert isinstance(say(session, Publish(4, ROOM, "m3", "x"), now=wait_s), Submit)


def test_joins_and_history_have_rates_of_their_own_and_leaving_has_none() -> None:
    session = greeted(ROOM, join_rate_per_s=1.0, join_burst=1)
    assert isinstance(say(session, Join(1, "a/1")), Enter)
    assert code_of(say(session, Join(2, "a/2"))) == "too_fast"
    assert isinstance(say(session, Leave(3, "a/1")), Exit)
    answers = [say(session, History(4, ROOM)) for _ in range(100)]
    assert isinstance(answers[0], ReadHistory)
    assert code_of(answers[-1]) == "too_fast"


def test_commands_that_are_not_answered_yet_are_bounded() -> None:
    session = greeted(ROOM, publish_rate_per_s=1e6, publish_burst=10_000)
    for number in range(PUBLISHES_IN_FLIGHT_PER_CLIENT_MAX):
        assert isinstance(say(session, Publish(number, ROOM, f"m{number}", "x")), Submit)
    assert code_of(say(session, Publish(0, ROOM, "more", "x"))) == "busy"
    session.in_flight -= 1
    assert isinstance(say(session, Publish(0, ROOM, "more", "x")), Submit)


def test_leaving_answers_and_a_rename_is_cleaned() -> None:
    session = greeted(ROOM)
    effect = say(session, Leave(9, ROOM))
    assert isinstance(effect, Exit)
    assert effect.reply == Left(9, ROOM)
    renamed = say(session, Rename(1, "Ada \u202eevil"))
    assert isinstance(renamed, Reply)
    assert isinstance(renamed.message, Renamed)
    assert "\u202e" not in renamed.message.name
    assert session.name == renamed.message.name


def test_a_pong_needs_no_answer() -> None:
    assert say(greeted(ROOM), Pong()) is None
    assert say(greeted(ROOM), Pong({ROOM: 5})) == Report({ROOM: 5})


def test_unknown_kinds_are_refused_and_too_many_bad_messages_end_it() -> None:
    session = greeted()
    bad = b"\x82\xa1t\xa5dance\xa1n\x05"
    for _ in range(BAD_MESSAGES_PER_CONNECTION_MAX):
        effect = session.handle(bad, 0.0)
        assert code_of(effect) == "unknown_kind"
    with pytest.raises(PeerError) as caught:
        session.handle(bad, 0.0)
    assert caught.value.code is CloseCode.TOO_MANY_ERRORS


@given(st.lists(st.binary(max_size=80), max_size=8), st.booleans())
def test_any_bytes_lead_to_an_effect_or_to_the_one_declared_error(frames: list[bytes], hello_first: bool) -> None:
    session = greeted(ROOM) if hello_first else make()
    for payload in frames:
        try:
            session.handle(payload, 0.0)
        except PeerError:
            return


def test_a_refusal_tells_code_sentence_and_when_to_retry() -> None:
    told = refused(Refusal.BUSY, 3, room=ROOM, detail="the link is full")
    assert (told.n, told.code, told.temporary, told.room) == (3, "busy", True, ROOM)
    assert told.retry_after_ms == Refusal.BUSY.kind.retry_after_ms
    assert told.message.endswith("(the link is full)")


def test_milliseconds_round_up() -> None:
    assert milliseconds(0.2501) == 251
