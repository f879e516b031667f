"""A feed: continuity, and what readers are told when there is none."""

import msgspec

from gateway.feed import Feed, FeedState
from gateway.ring import framed, payload_of
from shard_router.ports import FeedPosition
from tests.support.gateway_fakes import ROOM, FakeGateway, attached, batch, make_client, node_frames
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Count, Hide, Reset, Skipped, Stale
from wire.codes import Refusal
from wire.limits import COUNT_WAIT_MAX_S, SIGNALS_PER_S_MAX
from wire.names import AuthorId
from wire.node_messages import PRESENT_NOT_KNOWN_YET, AttachRefused, CommandRefused, HideFrames, Sum


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make() -> tuple[Feed, FakeGateway, Clock]:
    owner, clock = FakeGateway(), Clock()
    return Feed(ROOM, owner, clock), owner, clock


def frame_at(feed: Feed, sequence: int) -> object:
    return decode_server_message(payload_of(feed.ring.joined(Form.MSGPACK, sequence - 1, sequence)), Form.MSGPACK)


def test_a_first_attach_fills_the_ring_and_makes_the_feed_joinable() -> None:
    feed, owner, _ = make()
    assert feed.position() is None
    feed.on_attached(attached(11, 15, present=3))
    assert feed.is_joinable
    assert owner.attached == [feed]
    assert feed.boundary == feed.ring.head == 5
    assert feed.position() == FeedPosition("e1", 15, b"")
    assert feed.present == 3


def test_batches_continue_and_wake_a_pass() -> None:
    feed, owner, _ = make()
    feed.on_attached(attached(1, 2))
    feed.on_batch(batch(3, 4))
    assert feed.ring.head_offset == 4
    assert owner.woken == [feed]


def test_a_jump_asks_for_the_missing_part_and_takes_nothing_of_it() -> None:
    feed, owner, _ = make()
    feed.on_attached(attached(1, 2))
    feed.on_batch(batch(5, 6))
    assert owner.reattached == [feed]
    assert feed.ring.head_offset == 2
    feed.on_attached(attached(3, 6, resumed=True))
    assert feed.ring.head_offset == 6


def test_what_it_has_already_is_not_taken_twice() -> None:
    feed, owner, _ = make()
    feed.on_attached(attached(1, 5))
    feed.on_batch(batch(4, 7))
    assert feed.ring.head_offset == 7
    assert not owner.reattached


def test_a_gap_that_the_shard_cannot_close_is_announced_exactly() -> None:
    feed, owner, _ = make()
    feed.on_attached(attached(1, 3))
    feed.on_attached(attached(51, 52, reason="limit"))
    ((question, answer),) = owner.reads
    assert (question.epoch, question.after, question.limit) == ("e1", 3, 47)
    assert feed.ring.head_offset == 3
    answer(CommandRefused(1, "epoch", "the log is another one now"))
    assert frame_at(feed, 4) == Skipped(ROOM, 4, 50)
    assert feed.ring.head_offset == 52
    assert not feed.is_joinable, "joins wait until the mark has been passed on"


def test_another_epoch_resets_its_readers() -> None:
    feed, _, _ = make()
    feed.on_attached(attached(1, 3))
    feed.on_attached(attached(1, 2, epoch="e2", reason="epoch"))
    assert frame_at(feed, 4) == Reset(ROOM, "e2", 0, "epoch")
    assert feed.position() == FeedPosition("e2", 2, b"")


def test_a_refused_feed_keeps_the_reason() -> None:
    feed, owner, _ = make()
    feed.on_attach_refused(AttachRefused(ROOM, 1, "unknown_namespace", "no"))
    assert feed.state is FeedState.REFUSED
    assert feed.refusal is Refusal.UNKNOWN_NAMESPACE
    assert owner.attached == [feed]


def test_a_shard_out_of_reach_is_told_once_and_so_is_its_return() -> None:
    feed, _, _ = make()
    feed.on_attached(attached(1, 1))
    feed.on_detached()
    assert feed.is_joinable, "reading from memory goes on"
    feed.mark_stale()
    feed.mark_stale()
    assert feed.take_urgent() == [Stale(ROOM, True)]
    feed.on_attached(attached(2, 1, resumed=True))
    assert feed.take_urgent() == [Stale(ROOM, False)]


def test_doubt_that_lasts_is_told_like_a_shard_out_of_reach_and_ends_without_an_attach() -> None:
    feed, owner, clock = make()
    feed.on_attached(attached(1, 1))
    feed.on_doubt(True)
    clock.now = 2.0
    feed.on_doubt(True)
    feed.on_batch(batch(2, 2))
    assert feed.unsure_since == 0.0, "what a shard in doubt says does not make it sure"
    feed.mark_stale()
    feed.on_doubt(False)
    assert feed.take_urgent() == [Stale(ROOM, True), Stale(ROOM, False)]
    assert not owner.reattached


def test_an_attach_to_a_shard_in_doubt_changes_nothing_for_the_readers() -> None:
    feed, _, clock = make()
    feed.on_attached(attached(1, 1))
    feed.on_detached()
    clock.now = 1.0
    feed.on_doubt(True)
    feed.on_attached(attached(2, 1, resumed=True))
    assert feed.unsure_since == 0.0
    feed.mark_stale()
    feed.on_doubt(False)
    feed.on_attached(attached(2, 1, resumed=True))
    assert feed.take_urgent() == [Stale(ROOM, True), Stale(ROOM, False)]


def test_a_removal_takes_the_text_from_the_ring_and_tells_everyone() -> None:
    feed, _, _ = make()
    feed.on_attached(attached(1, 3))
    feed.on_hide(HideFrames(ROOM, 1, node_frames(2, 2, "")))
    assert feed.take_urgent() == [Hide(ROOM, 2)]
    event = frame_at(feed, 2)
    assert getattr(event, "text", None) == ""


def test_counts_are_conflated_and_only_changes_are_told() -> None:
    feed, _, clock = make()
    feed.on_attached(attached(1, 0))
    feed.on_sum(Sum(ROOM, 1, 5))
    assert feed.take_count(clock()) == Count(ROOM, 5)
    feed.on_sum(Sum(ROOM, 1, 6))
    feed.on_sum(Sum(ROOM, 1, 7))
    assert feed.take_count(clock()) is None
    clock.now += 1 / SIGNALS_PER_S_MAX
    assert feed.take_count(clock()) == Count(ROOM, 7)
    feed.on_sum(Sum(ROOM, 1, 7))
    clock.now += 10
    assert feed.take_count(clock()) is None


def test_a_shard_that_has_just_taken_over_takes_nobody_out_of_the_count() -> None:
    feed, owner, _ = make()
    feed.on_attached(attached(1, 0, present=9))
    feed.add(make_client(owner)[0], 0, 1000)
    feed.on_detached()
    feed.on_attached(attached(1, 0, resumed=True, present=PRESENT_NOT_KNOWN_YET))
    assert feed.present == 9


def test_a_count_that_came_with_an_attach_reply_is_told_like_any() -> None:
    """It was taken as known: a reader heard of it with the change after it only."""
    feed, owner, clock = make()
    feed.on_attached(attached(1, 0, present=9))
    feed.add(make_client(owner)[0], 0, 1000)
    feed.on_attached(attached(1, 0, resumed=True, present=7))
    assert owner.woken == [feed]
    feed.on_sum(Sum(ROOM, 1, 7))
    assert feed.take_count(clock()) == Count(ROOM, 7)


def test_who_is_here_is_in_the_count_before_the_shard_knows_of_it() -> None:
    feed, owner, _ = make()
    feed.on_attached(attached(1, 0))
    for _ in range(3):
        feed.add(make_client(owner)[0], 0, 1000)
    feed.on_sum(Sum(ROOM, 1, 2))
    assert feed.present == 3


def test_who_comes_in_is_seen_and_a_shard_that_attaches_is_told_of_everybody() -> None:
    feed, owner, clock = make()
    feed.on_attached(attached(1, 0))
    for author in ("ann", "bob"):
        client, _ = make_client(owner)
        client.session.author = AuthorId(author)
        feed.add(client, 0, 1000)
    told = feed.take_seen()
    assert feed.take_seen() == b""
    clock.now = 60.0
    assert [None for _ in feed.see_members(1)] == [None, None]
    assert len(feed.take_seen()) == len(told) == 8
    feed.on_attached(attached(1, 0, resumed=True))
    assert len(feed.take_seen()) == 8


def test_estimates_come_with_the_count_and_are_news_of_their_own() -> None:
    feed, owner, clock = make()
    feed.on_attached(attached(1, 0))
    feed.add(make_client(owner)[0], 0, 1000)
    feed.on_sum(Sum(ROOM, 1, 5, 6, 7))
    assert feed.take_count(clock()) == Count(ROOM, 5, 6, 7)
    feed.on_sum(Sum(ROOM, 1, 5, 6, 8))
    assert feed.has_count
    clock.now += COUNT_WAIT_MAX_S
    assert feed.take_count(clock()) == Count(ROOM, 5, 6, 8)


def test_a_draining_gateway_counts_nobody_and_an_empty_feed_knows_since_when() -> None:
    feed, owner, clock = make()
    feed.on_attached(attached(1, 0))
    client, _ = make_client(owner)
    membership = feed.add(client, 0, 1000)
    assert feed.members() == 1
    feed.counts_members = False
    assert feed.members() == 0
    clock.now = 7.0
    feed.remove(membership)
    assert feed.member_count() == 0
    assert feed.empty_since == 7.0
    assert client.memberships == {}


def test_both_forms_of_a_signal_say_the_same() -> None:
    for form in Form:
        assert decode_server_message(payload_of(framed(Count(ROOM, 3), form)), form) == Count(ROOM, 3)
    assert msgspec.json.decode(payload_of(framed(Count(ROOM, 3), Form.JSON)))["t"] == "count"
