"""Joins: a position in, a place in the ring out; nobody waits for ever."""

from gateway.client import Client
from gateway.feed import Feed
from gateway.joins import JoinAnswer, JoinDesk, PendingJoins
from runtime.metrics import GatewayCounters
from tests.support.gateway_fakes import ROOM, FakeGateway, attached, batch, make_client, node_frames
from wire.client_codec import Form
from wire.client_messages import Joined, JoinRequest, Position, Refused
from wire.node_messages import AttachRefused, Range


class Play:
    """A desk with one feed, and the answers it gave."""

    def __init__(self) -> None:
        self.owner = FakeGateway()
        self.counters = GatewayCounters()
        self.desk = JoinDesk(self.owner.reattach, self.counters, 100_000)
        self.owner.on_attached = self.desk.on_attached  # type: ignore[method-assign]
        self.feed = Feed(ROOM, self.owner, lambda: 0.0)
        self.answers: list[JoinAnswer] = []

    def ask(self, since: Position | None = None, limit: int = 50) -> Client:
        client, _ = make_client(self.owner)
        client.session.rooms.add(ROOM)
        pending = PendingJoins(client, [(1, JoinRequest(ROOM, since, limit), self.feed)], 5.0, self._finish)
        self.desk.ask(pending)
        return client

    def _finish(self, _pending: PendingJoins, answers: list[tuple[int, JoinAnswer]]) -> None:
        self.answers += [answer for _, answer in answers]

    def joined(self) -> Joined:
        (answer,) = self.answers
        assert isinstance(answer, Joined), answer
        return answer


def test_a_join_of_a_live_feed_is_answered_at_once_with_recent_history() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 80))
    client = play.ask(limit=10)
    answer = play.joined()
    assert (answer.epoch, answer.since, answer.offset, answer.asked) == ("e1", 70, 80, False)
    assert client.memberships[ROOM].cursor == 70


def test_an_empty_room_has_a_position_too() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 0))
    play.ask()
    assert (play.joined().epoch, play.joined().offset) == ("e1", 0)


def test_a_resume_gets_exactly_what_it_misses() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 80))
    client = play.ask(Position("e1", 77))
    answer = play.joined()
    assert answer.asked
    assert answer.recovered
    assert (answer.since, answer.offset) == (77, 80)
    client.flush()
    received = bytes(client.transport.received)  # type: ignore[attr-defined]
    assert received == play.feed.ring.joined(Form.MSGPACK, 77, 80)
    assert play.counters.resumes["recovered"] == 1


def test_a_resume_with_nothing_to_send_is_recovered() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 80))
    play.ask(Position("e1", 80))
    assert play.joined().recovered
    assert play.joined().since == play.joined().offset == 80


def test_another_epoch_or_a_place_before_the_ring_is_told_with_its_reason() -> None:
    for since, reason in ((Position("old", 5), "epoch"), (Position("e1", 3), "limit")):
        play = Play()
        play.feed.on_attached(attached(51, 80))
        play.ask(since)
        answer = play.joined()
        assert not answer.recovered
        assert answer.reason == reason
        assert play.counters.resumes[reason] == 1


def test_another_chain_at_the_same_place_is_another_log() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 4))
    play.feed.on_batch(batch(5, 5))
    play.feed.boundary = play.feed.ring.head
    play.ask(Position("e1", 5, "f" * 16))
    assert play.joined().reason == "epoch"
    play.answers.clear()
    play.ask(Position("e1", 5, "0" * 16))
    assert play.joined().recovered


def test_during_a_pass_a_reader_starts_where_the_pass_ends() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 4))
    play.feed.on_batch(batch(5, 9))
    play.feed.boundary = 7
    play.ask(limit=2)
    assert (play.joined().since, play.joined().offset) == (5, 7)


def test_who_has_more_than_the_feed_waits_for_the_shards_word() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 4))
    play.ask(Position("e1", 6))
    assert not play.answers
    assert play.owner.reattached == [play.feed]
    play.ask(Position("e1", 6))
    assert len(play.owner.reattached) == 1, "one question serves all who wait"
    play.desk.on_joinable(play.feed)
    assert not play.answers, "only the shard can tell who is behind"
    play.feed.on_attached(attached(5, 6, resumed=True))
    assert [answer.recovered for answer in play.answers if isinstance(answer, Joined)] == [True, True]


def test_a_place_that_the_shard_does_not_know_ends_the_epoch_for_that_reader() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 4))
    play.ask(Position("e1", 6))
    play.feed.on_attached(attached(5, 4, resumed=True))
    assert not play.answers, "this answer may have been on its way when they came"
    assert play.owner.reattached == [play.feed] * 2
    play.feed.on_attached(attached(5, 4, resumed=True))
    assert play.joined().reason == "epoch"
    assert not play.desk.is_waited_for(play.feed)


def test_who_has_more_than_the_answer_that_was_under_way_is_not_told_that_the_log_is_another() -> None:
    """Found by chaos: a gateway drains, its readers come with the newest event, and the room is just being attached."""
    play = Play()
    play.ask(Position("e1", 3))
    play.ask(Position("e1", 5))
    play.feed.on_attached(attached(1, 4))
    assert play.joined().recovered, "who is not ahead is let in"
    assert play.owner.reattached == [play.feed]
    play.feed.on_batch(batch(5, 6))
    play.feed.boundary = play.feed.ring.head
    play.feed.on_attached(attached(7, 6, resumed=True))
    assert [answer.recovered for answer in play.answers if isinstance(answer, Joined)] == [True, True]


def test_who_comes_while_a_verification_is_under_way_is_verified_by_one_that_was_asked_later() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 4))
    play.ask(Position("e1", 5))
    play.feed.on_attached(attached(5, 4, resumed=True))
    play.ask(Position("e1", 6))
    play.feed.on_attached(attached(5, 5, resumed=True))
    assert play.joined().recovered
    assert play.desk.is_waited_for(play.feed)
    play.feed.on_attached(attached(6, 6, resumed=True))
    assert [answer.recovered for answer in play.answers if isinstance(answer, Joined)] == [True, True]


def test_a_join_waits_for_its_first_attach_and_then_is_answered() -> None:
    play = Play()
    play.ask()
    assert not play.answers
    play.feed.on_attached(attached(1, 2))
    assert play.joined().offset == 2


def test_a_shard_out_of_reach_is_a_temporary_refusal_at_the_deadline() -> None:
    play = Play()
    client = play.ask()
    play.desk.expire(4.9)
    assert not play.answers
    play.desk.expire(5.0)
    (answer,) = play.answers
    assert isinstance(answer, Refused)
    assert (answer.code, answer.temporary) == ("unavailable", True)
    assert client.session.rooms == set()
    assert not play.desk.is_waited_for(play.feed)


def test_a_room_refused_by_its_shard_is_refused_with_the_shards_code() -> None:
    play = Play()
    play.ask()
    play.feed.on_attach_refused(AttachRefused(ROOM, 1, "unknown_namespace", "no"))
    (answer,) = play.answers
    assert isinstance(answer, Refused)
    assert answer.code == "unknown_namespace"


def test_who_left_while_it_waited_is_not_let_in() -> None:
    play = Play()
    client = play.ask()
    client.session.rooms.discard(ROOM)
    play.feed.on_attached(attached(1, 2))
    (answer,) = play.answers
    assert isinstance(answer, Refused)
    assert client.memberships == {}


def test_nobody_answers_a_client_that_is_gone() -> None:
    play = Play()
    client = play.ask()
    client.closing = True
    play.feed.on_attached(attached(1, 2))
    assert not play.answers
    assert client.memberships == {}


def test_joins_wait_until_a_mark_has_been_passed_on() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 2))
    play.feed.on_attached(attached(1, 1, epoch="e2", reason="epoch"))
    play.ask()
    assert not play.answers
    play.feed.boundary = play.feed.ring.head
    play.desk.on_joinable(play.feed)
    assert play.joined().epoch == "e2"


def test_while_a_hole_is_filled_joins_wait_and_then_those_who_are_ahead_are_verified_again() -> None:
    play = Play()
    play.feed.on_attached(attached(1, 4))
    play.ask(Position("e1", 6))
    play.feed.on_attached(attached(8, 9, reason="limit"))
    play.ask(Position("e1", 5))
    play.ask(Position("e1", 12))
    assert not play.answers, "what they are ahead of may lie in the hole"
    ((_, answer),) = play.owner.reads
    answer(Range(1, "e1", 9, node_frames(5, 7)))
    play.feed.boundary = play.feed.ring.head
    play.desk.on_joinable(play.feed)
    assert [reply.recovered for reply in play.answers if isinstance(reply, Joined)] == [True, True]
    assert play.owner.reattached == [play.feed] * 2
    play.feed.on_attached(attached(10, 12, resumed=True))
    assert [reply.recovered for reply in play.answers if isinstance(reply, Joined)] == [True, True, True]
