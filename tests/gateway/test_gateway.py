"""The gateway's books: what each effect does, who is told, what is let go of."""

import pytest

from gateway.gateway import STALE_AFTER_S
from tests.support.gateway_fakes import ROOM, attached, batch, node_frames
from tests.support.gateway_rig import Rig, RigClient
from wire.client_codec import Form, decode_server_message
from wire.client_messages import (
    Ack,
    Delete,
    Event,
    Hello,
    History,
    Join,
    Joined,
    JoinRequest,
    Leave,
    Left,
    Page,
    Position,
    Publish,
    Refused,
    Stale,
    Unknown,
    Welcome,
)
from wire.codes import CloseCode
from wire.limits import CLOSE_GRACE_S
from wire.node_messages import CommandRefused, Committed, OutcomeUnknown, Range


def enter(rig: Rig, form: Form = Form.MSGPACK, **hello: object) -> tuple[RigClient, Welcome]:
    it = rig.client(form)
    (welcome, *_) = it.say(Hello(1, joins=[JoinRequest(ROOM, limit=0)], **hello))  # type: ignore[arg-type]
    assert isinstance(welcome, Welcome)
    return it, welcome


def one(messages: list[object]) -> object:
    (message,) = messages
    return message


@pytest.mark.parametrize("form", list(Form))
def test_one_hello_is_answered_by_one_welcome_and_the_events_it_promised(form: Form) -> None:
    it = Rig().client(form)
    welcome, *events = it.say(Hello(1, name="Ada", joins=[JoinRequest(ROOM, limit=2), JoinRequest("Bad")]))
    assert isinstance(welcome, Welcome)
    assert welcome.name == "Ada"
    joined, refused = welcome.joins
    assert isinstance(joined, Joined)
    assert (joined.since, joined.offset) == (1, 3)
    assert isinstance(refused, Refused)
    assert refused.code == "bad_room"
    assert [event.offset for event in events if isinstance(event, Event)] == [2, 3]


def test_who_comes_back_with_its_texts_is_the_same_author_and_session() -> None:
    rig = Rig()
    _, first = enter(rig, name="Ada")
    _, again = enter(rig, guest=first.guest, session=first.session)
    assert again.author == first.author
    assert again.session == first.session
    _, stranger = enter(rig, guest=first.guest + "x", session=first.session)
    assert stranger.author != first.author
    assert stranger.session != first.session


def test_a_name_that_cannot_be_shown_gives_way_to_a_given_one() -> None:
    _, welcome = enter(Rig(), name="\u202e\u200b")
    assert welcome.name.startswith("guest ")


def test_a_publish_goes_to_the_router_and_its_outcome_to_the_sender() -> None:
    rig = Rig()
    it, welcome = enter(rig, name="Ada")
    assert it.say(Publish(5, ROOM, "m", "hello")) == []
    ((command, answer),) = rig.router.commands
    assert (command.author, command.name, command.text) == (welcome.author, "Ada", "hello")
    answer(Committed(1, "e1", 4, 99))
    assert one(it.told()) == Ack(5, ROOM, "m", "e1", 4, 99)
    assert it.client.session.in_flight == 0


def test_refused_and_unknown_outcomes_say_which_message_and_when_to_retry() -> None:
    rig = Rig()
    it, _ = enter(rig)
    it.say(Delete(1, ROOM, "d", 3))
    it.say(Publish(2, ROOM, "p", "x"))
    rig.router.commands[0][1](CommandRefused(1, "forbidden", "not yours"))
    rig.router.commands[1][1](OutcomeUnknown(2))
    refused, unknown = it.told()
    assert isinstance(refused, Refused)
    assert (refused.n, refused.code, refused.id, refused.message) == (1, "forbidden", "d", "not yours")
    assert isinstance(unknown, Unknown)
    assert (unknown.n, unknown.id) == (2, "p")
    assert unknown.retry_after_ms > 0
    assert rig.counters.refusals["forbidden"] == 1


def test_a_full_link_is_a_refusal_at_once() -> None:
    rig = Rig()
    it, _ = enter(rig)
    rig.router.refusal = CommandRefused(0, "busy", "")
    answer = one(it.say(Publish(1, ROOM, "m", "x")))
    assert isinstance(answer, Refused)
    assert answer.temporary
    assert it.client.session.in_flight == 0


def test_an_outcome_for_who_has_left_tells_nobody() -> None:
    rig = Rig()
    it, _ = enter(rig)
    it.say(Publish(1, ROOM, "m", "x"))
    rig.gateway.forget(it.client)
    rig.router.commands[0][1](Committed(1, "e1", 4, 99))
    assert it.told() == []


@pytest.mark.parametrize("form", list(Form))
def test_history_is_a_page_of_events_in_the_readers_form(form: Form) -> None:
    rig = Rig()
    it, _ = enter(rig, form)
    it.say(History(3, ROOM, before=3, limit=2))
    ((question, answer),) = rig.router.questions
    assert (question.before, question.after, question.limit) == (3, -1, 2)
    answer(Range(1, "e1", 3, node_frames(1, 2), True))
    page = one(it.told())
    assert isinstance(page, Page)
    assert (page.n, page.offset, page.more, len(page.events)) == (3, 3, True, 2)
    event = decode_server_message(bytes(page.events[1]), form)
    assert isinstance(event, Event)
    assert event.offset == 2


def test_a_welcome_answers_the_joins_in_their_order_and_none_has_a_number() -> None:
    rig = Rig()
    (welcome, *_) = rig.client().say(Hello(1, joins=[JoinRequest("town/a"), JoinRequest("Not A Room"), JoinRequest("town/c")]))
    assert isinstance(welcome, Welcome)
    assert [(answer.n, answer.room) for answer in welcome.joins] == [(0, "town/a"), (0, "Not A Room"), (0, "town/c")]


def test_leaving_a_room_stops_it_and_a_join_later_resumes() -> None:
    rig = Rig()
    it, _ = enter(rig)
    assert one(it.say(Leave(1, ROOM))) == Left(1, ROOM)
    feed = rig.gateway.feeds[ROOM]
    assert feed.member_count() == 0
    feed.on_batch(batch(4, 5))
    feed.boundary = feed.ring.head
    joined, *events = it.say(Join(2, ROOM, Position("e1", 3)))
    assert isinstance(joined, Joined)
    assert joined.recovered
    assert [event.offset for event in events if isinstance(event, Event)] == [4, 5]


def test_one_feed_serves_all_members_and_is_let_go_when_it_was_empty_for_long() -> None:
    rig = Rig(feed_linger_s=30.0)
    first, _ = enter(rig)
    second, _ = enter(rig)
    assert len(rig.router.feeds) == 1
    rig.gateway.forget(first.client)
    rig.gateway.forget(second.client)
    rig.now += 29
    rig.gateway.tick_feeds()
    assert rig.router.feeds
    rig.now += 2
    rig.gateway.tick_feeds()
    assert rig.router.feeds == []
    assert rig.gateway.feeds == {}


def test_a_hole_is_asked_for_once_again_after_a_refusal_for_now_and_closed_for_its_readers() -> None:
    rig = Rig()
    enter(rig)
    feed = rig.gateway.feeds[ROOM]
    busy = CommandRefused(0, "busy", "later")
    rig.router.refusal = busy
    feed.on_attached(attached(8, 9, reason="limit"))
    assert rig.router.questions == []
    rig.router.refusal = None
    rig.gateway.tick()
    rig.gateway.tick()
    ((question, answer),) = rig.router.questions
    assert (question.room, question.epoch, question.after, question.limit) == (ROOM, "e1", 3, 4)
    answer(Range(1, "e1", 9, node_frames(4, 7)))
    assert feed.ring.head_offset == 9
    assert rig.counters.repair_reads == 2
    rig.gateway.tick()
    assert len(rig.router.questions) == 1


def test_a_room_that_is_let_go_of_is_not_repaired_any_more() -> None:
    rig = Rig(feed_linger_s=0.5)
    it, _ = enter(rig)
    rig.gateway.feeds[ROOM].on_attached(attached(8, 9, reason="limit"))
    rig.gateway.forget(it.client)
    rig.now += 1
    rig.gateway.tick_feeds()
    assert rig.gateway.feeds == {}
    rig.gateway.tick()
    ((_, answer),) = rig.router.questions
    answer(CommandRefused(1, "busy", "later"))
    rig.gateway.tick()
    assert len(rig.router.questions) == 1


def test_a_room_out_of_reach_is_called_stale_after_three_seconds() -> None:
    rig = Rig()
    enter(rig)
    feed = rig.gateway.feeds[ROOM]
    feed.on_detached()
    rig.gateway.tick_feeds()
    assert feed.urgent == []
    rig.now += STALE_AFTER_S
    rig.gateway.tick_feeds()
    assert feed.urgent == [Stale(ROOM, True)]


def test_who_enters_a_stale_room_is_told_as_those_were_who_are_in_it() -> None:
    rig = Rig()
    enter(rig)
    rig.gateway.feeds[ROOM].on_doubt(True)
    rig.now += STALE_AFTER_S
    rig.gateway.tick_feeds()
    later, other = rig.client(), rig.client(Form.JSON)
    assert Stale(ROOM, True) in later.say(Hello(1, joins=[JoinRequest(ROOM)]))
    other.say(Hello(1))
    assert Stale(ROOM, True) in other.say(Join(2, ROOM))


def test_a_join_of_a_shard_out_of_reach_is_refused_at_its_deadline_and_the_welcome_still_comes() -> None:
    rig = Rig()
    rig.router.attaches_at_once = False
    it = rig.client()
    assert it.say(Hello(1, joins=[JoinRequest(ROOM)])) == []
    rig.now += 6
    rig.gateway.tick()
    welcome = one(it.told())
    assert isinstance(welcome, Welcome)
    (refused,) = welcome.joins
    assert isinstance(refused, Refused)
    assert refused.temporary


def test_a_closed_client_is_out_of_every_book_and_cut_when_it_takes_nothing() -> None:
    rig = Rig()
    it, _ = enter(rig)
    it.transport.room = 0
    rig.gateway.close(it.client, CloseCode.SLOW, "too slow")
    assert it.client not in rig.gateway.clients
    assert rig.gateway.feeds[ROOM].member_count() == 0
    assert rig.counters.closed["3008"] == 1
    assert rig.flushers == [it.client]
    rig.gateway.tick()
    assert not it.transport.closed
    rig.now += CLOSE_GRACE_S
    rig.gateway.tick()
    assert it.transport.closed


def test_who_does_not_answer_pings_is_closed_and_who_answers_is_not() -> None:
    rig = Rig(ping_interval_s=5.0, pong_timeout_s=2.0)
    mute, _ = enter(rig)
    alive, _ = enter(rig)
    for _ in range(12):
        for client, ping in rig.gateway.tick_heartbeat():
            client.push(ping)
        alive.client.heard = True
    assert mute.client.closing
    assert not alive.client.closing
    assert rig.counters.silent_closed == 1
    assert rig.counters.closed["3012"] == 1


def test_a_user_with_too_many_connections_is_told_so_and_closed() -> None:
    rig = Rig(admission={"user_connections_max": 1})
    it, welcome = enter(rig)
    second = rig.client()
    told = second.say(Hello(1, guest=welcome.guest, joins=[JoinRequest(ROOM)]))
    assert [getattr(message, "code", "") for message in told] == ["connection_limit"]
    assert second.client.closing
    assert second.client not in rig.gateway.clients
    assert rig.counters.refusals["connection_limit"] == 1
    assert rig.counters.closed[str(int(CloseCode.BUSY))] == 1
    rig.gateway.forget(it.client)
    rig.gateway.forget(it.client)
    third = rig.client()
    assert isinstance(one(third.say(Hello(1, guest=welcome.guest))), Welcome)


def test_a_room_that_takes_no_more_refuses_a_message_with_its_id_and_a_join_with_its_room() -> None:
    rig = Rig(admission={"room_publish_burst": 1, "room_publish_rate_per_s": 0.5, "room_join_burst": 1})
    it, _ = enter(rig)
    other, _ = enter(rig)
    assert it.say(Publish(1, ROOM, "m1", "x")) == []
    refusal = one(other.say(Publish(2, ROOM, "m2", "x")))
    assert isinstance(refusal, Refused)
    assert (refusal.code, refusal.n, refusal.id, refusal.room) == ("too_fast", 2, "m2", ROOM)
    assert 2000 <= refusal.retry_after_ms <= 2001
    assert other.client.session.in_flight == 0
    assert len(rig.router.commands) == 1
    third, fourth = rig.client(), rig.client()
    for guest in (third, fourth):
        guest.say(Hello(1))
    assert isinstance(third.say(Join(3, ROOM))[0], Joined)
    refusal = one(fourth.say(Join(4, ROOM)))
    assert isinstance(refusal, Refused)
    assert (refusal.code, refusal.n, refusal.room) == ("too_fast", 4, ROOM)
    assert ROOM not in fourth.client.session.rooms
    rig.now += 10.0
    assert isinstance(fourth.say(Join(5, ROOM))[0], Joined)


def test_limits_forget_who_is_gone() -> None:
    rig = Rig()
    it, _ = enter(rig)
    it.say(Publish(1, ROOM, "m1", "x"))
    rig.gateway.forget(it.client)
    assert rig.counters.admission_keys is not None
    for _ in range(100):
        rig.now += 1.0
        rig.gateway.tick_feeds()
    assert rig.counters.admission_keys() == 0
