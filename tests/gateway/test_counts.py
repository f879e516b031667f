"""Head counts: what is worth telling, and how much of it a gateway may afford."""

from math import inf
from random import Random

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.counts import PASS_SENDS, CountQueue, HeadCount, patience_s
from gateway.fanout import PassScheduler
from gateway.feed import Feed
from runtime.metrics import GatewayCounters
from tests.support.gateway_fakes import FakeGateway, FakeTransport, attached, batch, make_client
from wire.client_codec import Form
from wire.limits import (
    COUNT_SENDS_PER_S_MAX,
    COUNT_SLICE_S,
    COUNT_SMALL_ROOM_MEMBERS_MAX,
    COUNT_WAIT_MAX_S,
    COUNT_WAIT_MIN_S,
    OUTBOX_BEHIND_BYTES_MAX,
    SIGNALS_PER_S_MAX,
)
from wire.names import RoomName
from wire.node_messages import Sum

_LANE_PER_S = COUNT_SENDS_PER_S_MAX / 2


@pytest.mark.parametrize(("told", "present"), [(0, 1), (1, 0), (99, COUNT_SMALL_ROOM_MEMBERS_MAX), (5000, 5051)])
def test_any_change_of_a_small_room_and_a_share_of_a_large_one_wait_for_a_second(told: int, present: int) -> None:
    assert patience_s(told, present) == pytest.approx(COUNT_WAIT_MIN_S)


def test_a_smaller_share_waits_longer_in_proportion_and_never_beyond_the_bound() -> None:
    assert patience_s(10_000, 10_050) == pytest.approx(2.01)
    assert patience_s(10_000, 9_950) == pytest.approx(2.0)
    assert patience_s(100_000, 100_001) == COUNT_WAIT_MAX_S


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_patience_has_its_bounds_and_is_not_longer_for_more(told: int, change: int) -> None:
    patience = patience_s(told, told + change)
    assert COUNT_WAIT_MIN_S <= patience <= COUNT_WAIT_MAX_S
    assert patience_s(told, told + change + 1) <= patience + 1e-9 or not change


def test_a_count_rides_at_most_as_often_as_a_signal_may_be_sent() -> None:
    count = HeadCount()
    assert count.may_ride(3, 10.0)
    count.told(3, 10.0)
    assert not count.may_ride(3, 20.0), "it is no news"
    assert not count.may_ride(4, 10.1)
    assert count.may_ride(4, 10.0 + 1 / SIGNALS_PER_S_MAX)


def test_who_was_told_another_number_at_the_door_hears_the_right_one_though_the_rest_know_it() -> None:
    count = HeadCount()
    count.told(10, 0.0)
    count.joined(11, members=2)
    assert count.is_news(10), "one who came in was told of eleven, and one has left since"
    assert count.alone_at(10) == COUNT_WAIT_MAX_S
    count.told(10, 5.0)
    assert not count.is_news(10)


def test_the_only_reader_here_is_not_told_again_what_its_join_was_answered() -> None:
    count = HeadCount()
    count.joined(1, members=1)
    assert not count.is_news(1)


def test_nobody_is_no_one_to_tell() -> None:
    assert CountQueue().due(HeadCount(), 5, 0, 0.0) == inf


def test_a_change_too_small_is_looked_at_again_since_the_room_may_fill_meanwhile() -> None:
    queue, count = CountQueue(), HeadCount()
    count.told(100_000, 0.0)
    assert queue.due(count, 100_001, 10, 0.5) == 0.5 + COUNT_WAIT_MIN_S
    assert queue.due(count, 105_000, 10, 1.5) == 1.5
    count = HeadCount()
    count.told(100_000, 0.0)
    assert CountQueue().due(count, 100_001, 10, COUNT_WAIT_MAX_S) == COUNT_WAIT_MAX_S


def test_a_crowd_in_the_queue_delays_no_small_room_and_keeps_its_place() -> None:
    queue, crowds, small = CountQueue(), [HeadCount(), HeadCount()], HeadCount()
    assert queue.due(crowds[0], 50_000, 10_000, 1.0) == 1.0
    place = queue.due(crowds[1], 50_000, 10_000, 1.0)
    assert place == pytest.approx(1.0 + 10_000 / _LANE_PER_S, abs=2 * COUNT_SLICE_S)
    assert queue.due(crowds[1], 50_500, 10_000, 2.0) == place
    assert queue.due(small, 10, 3, 1.0) == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_happens_the_sends_have_their_bound_and_nobody_waits_for_ever(seed: int) -> None:
    rng = Random(seed)
    queue = CountQueue()
    members = [rng.choice((1, 10, 90, 300, 3000)) for _ in range(rng.randrange(1, 120))]
    counts, presents = [HeadCount() for _ in members], list(members)
    looks, news_since = [0.0] * len(members), [0.0] * len(members)
    longest_s = COUNT_WAIT_MAX_S + COUNT_WAIT_MIN_S + sum(each + PASS_SENDS for each in members) / _LANE_PER_S + 3 * COUNT_SLICE_S
    sends, now, step_s = 0, 0.0, 0.05
    for step in range(400):
        now = step * step_s
        for place, count in enumerate(counts):
            if rng.random() < 0.3:
                presents[place] = max(members[place], presents[place] + rng.randrange(-5, 30))
            if not count.is_news(presents[place]):
                news_since[place] = now
            elif looks[place] <= now:
                looks[place] = queue.due(count, presents[place], members[place], now)
                if looks[place] <= now:
                    sends += members[place]
                    count.told(presents[place], now)
                    news_since[place] = now
            assert now - news_since[place] <= longest_s
    assert sends <= COUNT_SENDS_PER_S_MAX * (now + COUNT_SLICE_S) + 2 * max(members)


class Town:
    """Rooms of one gateway, their readers, and the scheduler at work on a mock clock."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.counters = GatewayCounters()
        self.owner = FakeGateway()
        scheduler = PassScheduler(
            self.counters, trio.current_time, window_members_min=10**6, window_passes_per_s=10, on_pass_over=lambda _feed: None
        )
        self.owner.wake_pass = scheduler.wake  # type: ignore[method-assign]
        nursery.start_soon(scheduler.run)

    def room(self, name: str, members: int) -> tuple[Feed, list[FakeTransport]]:
        feed = Feed(RoomName(f"town/{name}"), self.owner, trio.current_time)
        feed.on_attached(attached(1, 0))
        transports = []
        for _ in range(members):
            client, transport = make_client(self.owner, Form.JSON)
            feed.add(client, feed.boundary, OUTBOX_BEHIND_BYTES_MAX)
            client.flush()
            transports.append(transport)
        return feed, transports


def heard(transport: FakeTransport) -> int:
    """The last head count that a reader was told."""
    _, _, rest = bytes(transport.received).rpartition(b'"present":')
    return int(rest.split(b"}")[0]) if rest else 0


async def test_a_crowd_that_comes_in_costs_a_share_and_a_small_room_stays_fresh(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        town = Town(nursery)
        crowds = [town.room(f"crowd-{number}", 200) for number in range(40)]
        small, (reader, *_) = town.room("small", 10)
        present, ramp_s = 200, 20
        small_news: list[tuple[float, int]] = []
        for tick in range(int(ramp_s * SIGNALS_PER_S_MAX)):
            present += 20
            for feed, _ in crowds:
                feed.on_sum(Sum(feed.room, 1, present))
            small.on_sum(Sum(small.room, 1, 10 + tick))
            small_news.append((trio.current_time(), 10 + tick))
            await trio.sleep(1 / SIGNALS_PER_S_MAX)
            old = [count for at, count in small_news if trio.current_time() - at >= COUNT_WAIT_MIN_S + 1 / SIGNALS_PER_S_MAX]
            assert heard(reader) >= (old[-1] if old else 0)
        assert town.counters.count_sends <= COUNT_SENDS_PER_S_MAX * ramp_s
        assert town.counters.count_sends >= COUNT_SENDS_PER_S_MAX / 4 * ramp_s
        await trio.sleep(COUNT_WAIT_MAX_S + 40 * 204 / _LANE_PER_S)
        assert {heard(transport) for _, transports in crowds for transport in transports} == {present}
        sent = town.counters.count_sends
        await trio.sleep(60)
        assert town.counters.count_sends == sent, "who knows is not told again"
        nursery.cancel_scope.cancel()


async def test_a_room_where_people_talk_pays_nothing_for_its_count(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        town = Town(nursery)
        feed, (reader, *_) = town.room("busy", 5)
        feed.on_sum(Sum(feed.room, 1, 5))
        await trio.sleep(COUNT_WAIT_MIN_S)
        alone = town.counters.count_sends
        for number in range(1, 21):
            feed.on_sum(Sum(feed.room, 1, 5 + number))
            feed.on_batch(batch(number, number))
            await trio.sleep(0.5)
            assert heard(reader) == 5 + number
        assert town.counters.count_sends == alone
        nursery.cancel_scope.cancel()
