"""One shard that a test plays: what it is asked, how often, and what is told when it is lost."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from shard_router.ports import RangeAnswer
from tests.support.feed_probe import FeedProbe
from tests.support.router_rig import ROOM, TICKS_S, Answers, Cluster, attached, committed, open_live, settle
from wire import limits
from wire.node_messages import (
    Attach,
    Attached,
    AttachRefused,
    Batch,
    CommandRefused,
    Committed,
    Detach,
    HideFrames,
    Leaving,
    Members,
    NodeMessage,
    OutcomeUnknown,
    PublishCommand,
    Range,
    RangeRead,
    Reattach,
    Sum,
)


async def test_a_publish_reaches_the_shard_and_its_answer_comes_back_once(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    assert answers.publish("hello") is None
    command = await cluster.shard.expect(PublishCommand)
    assert (command.room, command.text, command.author) == (ROOM, "hello", "author-1")
    cluster.shard.say(committed(command), committed(command))
    await settle()
    assert answers.by_text == {"hello": committed(command)}
    assert cluster.router.counters.late_answers == 1
    assert cluster.router.requests_open == 0


async def test_what_a_lost_link_left_unanswered_is_sent_again_once_and_in_order(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    for text in ("one", "two", "three"):
        answers.publish(text)
    first = [await shard.expect(PublishCommand) for _ in range(3)]
    shard.say(committed(first[0]))
    await settle()
    shard.cut()
    await wait_all_tasks_blocked()
    answers.publish("four")
    again = [await shard.expect(PublishCommand) for _ in range(3)]
    assert [command.text for command in again] == ["two", "three", "four"]
    assert [command.request for command in again[:2]] == [command.request for command in first[1:]]
    shard.say(*(committed(command) for command in again))
    await settle()
    assert {text: type(answer) for text, answer in answers.by_text.items()} == dict.fromkeys(
        ("one", "two", "three", "four"), Committed
    )
    assert cluster.router.counters.resent == 2
    assert shard.heard_nothing_more()


async def test_after_a_second_lost_link_the_outcome_is_unknown(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    answers.publish("twice")
    await shard.expect(PublishCommand)
    shard.cut()
    await shard.expect(PublishCommand)
    shard.cut()
    await settle()
    assert isinstance(answers.by_text["twice"], OutcomeUnknown)
    await trio.sleep(5)
    assert shard.links_taken == 3
    await settle()
    assert shard.heard_nothing_more()


async def test_a_temporary_refusal_of_the_second_sending_says_nothing_about_the_first(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    for text in ("busy", "reused", "from-the-future"):
        answers.publish(text)
    for _ in range(3):
        await shard.expect(PublishCommand)
    shard.cut()
    for code in ("busy", "id_reused", "a_code_of_tomorrow"):
        command = await shard.expect(PublishCommand)
        shard.say(CommandRefused(command.request, code, "no"))
    await settle()
    assert isinstance(answers.by_text["busy"], OutcomeUnknown)
    assert isinstance(answers.by_text["reused"], CommandRefused)
    assert isinstance(answers.by_text["from-the-future"], OutcomeUnknown)


async def test_a_publish_without_answer_is_unknown_after_its_wait(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    answers.publish("lost")
    await trio.sleep(limits.PUBLISH_WAIT_S - 1)
    assert answers.by_text == {}
    await trio.sleep(1 + TICKS_S)
    assert isinstance(answers.by_text["lost"], OutcomeUnknown)
    assert cluster.router.requests_open == 0


async def test_a_publish_that_no_shard_can_have_seen_is_refused_and_later_ones_at_once(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    cluster.shard.is_up = False
    cluster.shard.cut()
    await wait_all_tasks_blocked()
    assert answers.publish("patient") is None
    await trio.sleep(limits.PUBLISH_WAIT_S + TICKS_S)
    refusal = answers.by_text["patient"]
    assert isinstance(refusal, CommandRefused)
    assert refusal.code == "unavailable"
    at_once = answers.publish("late")
    assert at_once is not None
    assert (at_once.code, at_once.retry_after_ms) == ("unavailable", 1000)
    assert "late" not in answers.by_text


async def test_a_publish_during_a_short_outage_waits_for_the_shard(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    cluster.shard.is_up = False
    cluster.shard.cut()
    await wait_all_tasks_blocked()
    answers.publish("patient")
    await trio.sleep(3)
    cluster.shard.is_up = True
    command = await cluster.shard.expect(PublishCommand)
    cluster.shard.say(committed(command))
    await settle()
    assert isinstance(answers.by_text["patient"], Committed)
    assert cluster.router.counters.resent == 0


async def test_a_full_link_refuses_as_busy_and_takes_more_when_answers_came(
    cluster: Cluster, answers: Answers, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    for number in range(limits.LINK_REQUESTS_MAX):
        assert answers.publish(f"m{number}") is None
        if number % 1000 == 0:
            await trio.lowlevel.checkpoint()
    refusal = answers.publish("one too many")
    assert refusal is not None
    assert refusal.code == "busy"
    shard.say(committed(await shard.expect(PublishCommand)))
    await settle()
    assert answers.publish("now it fits") is None
    assert cluster.router.counters.refused_busy == 1


async def test_more_than_a_link_can_hold_is_sent_again_piece_by_piece_in_order(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    shard.is_up = False
    shard.cut()
    await wait_all_tasks_blocked()
    texts = [f"{number} " + "y" * 300 for number in range(13_000)]
    refusals = [answers.publish(text) for text in texts]
    assert not any(refusals)
    shard.is_up = True
    heard = [(await shard.expect(PublishCommand)).text]
    # The link is up and full, and some still wait: a new one may neither overtake them nor be refused.
    assert answers.publish("the last") is None
    heard += [(await shard.expect(PublishCommand)).text for _ in texts]
    assert heard == [*texts, "the last"]


async def test_while_a_shard_leaves_new_requests_wait_and_old_ones_are_still_answered(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    answers.publish("before")
    before = await shard.expect(PublishCommand)
    shard.say(Leaving())
    await settle()
    answers.publish("after")
    await settle()
    assert shard.heard_nothing_more()
    shard.say(committed(before))
    await settle()
    assert "before" in answers.by_text
    shard.cut()
    assert (await shard.expect(PublishCommand)).text == "after"


async def test_a_command_that_crossed_the_farewell_waits_for_the_next_link(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    answers.publish("crossing")
    command = await shard.expect(PublishCommand)
    shard.say(Leaving(), CommandRefused(command.request, "draining", "leaving"))
    await settle()
    assert answers.by_text == {}
    shard.cut()
    assert await shard.expect(PublishCommand) == command


async def test_an_answer_of_the_wrong_kind_ends_the_link_and_the_wait(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    got: list[RangeAnswer] = []
    answers.publish("hello")
    shard.say(Range((await shard.expect(PublishCommand)).request, "epoch-1", 1, []))
    cluster.router.read_range(RangeRead(0, ROOM), got.append)
    await shard.expect(RangeRead)
    question = await shard.expect(RangeRead)
    shard.say(Committed(question.request, "epoch-1", 1, 1))
    await trio.sleep(5)
    assert isinstance(answers.by_text["hello"], OutcomeUnknown)
    assert [answer.code for answer in got if isinstance(answer, CommandRefused)] == ["unavailable"]
    assert cluster.router.counters.protocol_errors == 2
    shard.say(Detach(ROOM, 1))
    await trio.sleep(5)
    assert cluster.router.counters.protocol_errors == 3


async def test_a_room_is_attached_once_and_all_that_follows_reaches_its_feed(cluster: Cluster, autojump_clock: MockClock) -> None:
    feed, generation = await open_live(cluster, members=3)
    following: list[NodeMessage] = [
        Batch(ROOM, generation, b"chain-11", []),
        HideFrames(ROOM, generation, []),
        Sum(ROOM, generation, 7),
    ]
    cluster.shard.say(*following)
    await settle()
    assert feed.told[1:] == following
    asked = [message for message in cluster.shard.all_heard if isinstance(message, Attach)]
    assert [(question.room, question.members, question.epoch) for question in asked] == [(ROOM, 3, "")]


async def test_after_a_lost_link_all_feeds_attach_again_in_one_go_with_their_positions(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    feeds = [await open_live(cluster, f"town/hall-{number}") for number in range(5)]
    cluster.shard.cut()
    await wait_all_tasks_blocked()
    assert all(feed.told[-1] == "detached" for feed, _ in feeds)
    questions = [await cluster.shard.expect(Attach) for _ in feeds]
    assert {question.room for question in questions} == {feed.room for feed, _ in feeds}
    assert {(question.epoch, question.offset, question.chain) for question in questions} == {("epoch-1", 10, b"chain-at")}
    assert min(question.generation for question in questions) > max(generation for _, generation in feeds)


async def test_messages_of_a_replaced_attach_never_reach_the_feed(cluster: Cluster, autojump_clock: MockClock) -> None:
    feed, generation = await open_live(cluster)
    await trio.sleep(limits.ATTACH_AGAIN_S)
    cluster.router.reattach(feed)
    question = await cluster.shard.expect(Attach)
    assert question.generation > generation
    cluster.shard.say(
        Batch(ROOM, generation, b"", []),
        Sum(ROOM, generation, 1),
        HideFrames(ROOM, generation, []),
        Reattach(ROOM, generation),
        attached(Attach(ROOM, generation)),
        AttachRefused(ROOM, generation, "internal", "no"),
        Batch("town/elsewhere", generation, b"", []),
    )
    await settle()
    assert feed.told[1:] == ["detached"]
    assert cluster.router.counters.stale_messages == 7
    cluster.shard.say(attached(question, 12), Batch(ROOM, question.generation, b"", []))
    await settle()
    assert [type(message) for message in feed.told[2:]] == [Attached, Batch]


async def test_a_shard_that_asks_for_it_gets_a_new_attach_but_not_in_a_loop(cluster: Cluster, autojump_clock: MockClock) -> None:
    _, generation = await open_live(cluster)
    asked = 0

    def respond(message: Any) -> None:
        nonlocal asked
        if isinstance(message, Attach):
            asked += 1
            cluster.shard.say(attached(message, 10), Reattach(ROOM, message.generation))

    cluster.shard.respond = respond
    cluster.shard.say(Reattach(ROOM, generation))
    await trio.sleep(2)
    assert 5 <= asked <= 2 / limits.ATTACH_AGAIN_S + 1


async def test_a_feed_that_asks_twice_while_an_attach_is_under_way_is_attached_once(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    feed, _ = await open_live(cluster)
    await trio.sleep(limits.ATTACH_AGAIN_S)
    for _ in range(3):
        cluster.router.reattach(feed)
    await cluster.shard.expect(Attach)
    await settle()
    assert cluster.shard.heard_nothing_more()


async def test_a_closed_feed_is_detached_and_hears_nothing_more(cluster: Cluster, autojump_clock: MockClock) -> None:
    feed, generation = await open_live(cluster)
    cluster.router.close_feed(feed)
    cluster.router.close_feed(feed)
    cluster.router.reattach(feed)
    assert await cluster.shard.expect(Detach) == Detach(ROOM, generation)
    cluster.shard.say(Batch(ROOM, generation, b"", []))
    await settle()
    assert len(feed.told) == 1
    await open_live(cluster)


async def test_a_feed_that_was_closed_while_the_link_is_down_is_never_asked_for(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    feed, _ = await open_live(cluster)
    cluster.shard.cut()
    await wait_all_tasks_blocked()
    cluster.router.close_feed(feed)
    await trio.sleep(5)
    assert cluster.shard.heard_nothing_more()


async def test_a_temporary_refusal_is_tried_again_after_the_advice_and_a_jitter(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    feed = FeedProbe(ROOM)
    cluster.router.open_feed(feed)
    question = await cluster.shard.expect(Attach)
    refused_at = trio.current_time()
    cluster.shard.say(AttachRefused(ROOM, question.generation, "unavailable", "the journal is away", 3000))
    again = await cluster.shard.expect(Attach)
    assert 3 <= trio.current_time() - refused_at <= 6 + TICKS_S
    assert again.generation > question.generation
    assert feed.told == []


async def test_a_permanent_refusal_is_told_and_not_repeated_even_on_a_new_link(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    feed = FeedProbe(ROOM)
    cluster.router.open_feed(feed)
    question = await cluster.shard.expect(Attach)
    refusal = AttachRefused(ROOM, question.generation, "unknown_namespace", "no such namespace")
    cluster.shard.say(refusal)
    await settle()
    assert feed.told == [refusal]
    cluster.shard.cut()
    await trio.sleep(5)
    assert cluster.shard.heard_nothing_more()
    cluster.router.reattach(feed)
    await cluster.shard.expect(Attach)


async def test_an_attach_that_is_never_answered_is_asked_again(cluster: Cluster, autojump_clock: MockClock) -> None:
    cluster.router.open_feed(FeedProbe(ROOM))
    first = await cluster.shard.expect(Attach)
    second = await cluster.shard.expect(Attach)
    assert second.generation > first.generation


async def test_sums_of_members_are_reported_when_they_change_and_renewed_before_they_expire(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    feed, _ = await open_live(cluster, members=2)
    await open_live(cluster, "town/empty")
    feed.member_count = 5
    assert await cluster.shard.expect(Members) == Members([(ROOM, 5)])
    changed_at = trio.current_time()
    assert await cluster.shard.expect(Members) == Members([(ROOM, 5)])
    renewed_after = trio.current_time() - changed_at
    assert limits.MEMBERS_REPORT_INTERVAL_S / 2 < renewed_after < limits.MEMBERS_SUM_EXPIRES_S / 2
    feed.member_count = 0
    assert await cluster.shard.expect(Members) == Members([(ROOM, 0)])
    await trio.sleep(10)
    assert cluster.shard.heard_nothing_more()


async def test_a_busy_door_is_reported_at_most_four_times_a_second(cluster: Cluster, autojump_clock: MockClock) -> None:
    feed, _ = await open_live(cluster)
    for count in range(100):
        feed.member_count = count
        await trio.sleep(0.02)
    reports = [message for message in cluster.shard.all_heard if isinstance(message, Members)]
    assert 4 <= len(reports) <= 2 * limits.SIGNALS_PER_S_MAX + 1
