"""Passes: every member reads the stream once, in order and whole, whatever its kernel takes and when."""

from collections.abc import Iterator
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.client import Client
from gateway.deflate import Deflated, EventForm
from gateway.fanout import Pass, PassScheduler
from gateway.feed import Feed
from gateway.ring import framed
from runtime.metrics import GatewayCounters
from tests.support.gateway_fakes import ROOM, FakeGateway, FakeTransport, attached, batch, make_client, node_frames
from wire.client_codec import Form
from wire.client_messages import Count, Hide, Reset, Skipped
from wire.limits import COUNT_WAIT_MIN_S, OUTBOX_BEHIND_BYTES_MAX, PASS_BUFFER_BYTES_MAX
from wire.node_messages import HideFrames, Sum

PRESENT = 1000
"""More than there are readers in any test here: no head count is news until the shard says another."""

FORMS: list[EventForm] = [*Form, *Deflated]


class Reader:
    """A client in the feed, and the stream it has to see from its cursor on."""

    def __init__(self, owner: FakeGateway, feed: Feed, form: EventForm, room: int) -> None:
        self.client, self.transport = make_client(owner, form, room)
        self.form = form
        self.cursor = feed.boundary
        self.membership = feed.add(self.client, self.cursor, OUTBOX_BEHIND_BYTES_MAX)
        self.client.flush()

    def expected(self, feed: Feed, end: int) -> bytes:
        return feed.ring.joined(self.form, self.cursor, end) if end > self.cursor else b""


def live_feed(owner: FakeGateway, clock: float = 0.0) -> Feed:
    feed = Feed(ROOM, owner, lambda: clock)
    feed.on_attached(attached(1, 3, present=PRESENT))
    return feed


def walk(feed: Feed) -> None:
    """Whole passes until there is no news, a head count included."""
    while feed.has_news() or feed.count.may_ride(feed.present, 0.0):
        assert Pass(feed, 0.0).visit(lambda: 0.0, GatewayCounters())


@pytest.fixture(scope="module", autouse=True)
def _look_at_the_clock_after_every_member() -> Iterator[None]:
    """So that a pass over a few members is interrupted everywhere, as one over thousands is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.fanout._STRIDE", 1)
        yield


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_each_reader_gets_the_stream_once_in_order_and_whole(seed: int) -> None:
    rng = Random(seed)
    owner = FakeGateway()
    feed = live_feed(owner)
    readers = [Reader(owner, feed, rng.choice(FORMS), rng.randrange(2000)) for _ in range(4)]
    left: list[tuple[Reader, bytes]] = []
    running: Pass | None = None
    for _ in range(rng.randrange(80)):
        match rng.randrange(7):
            case 0 | 1:
                head = feed.ring.head_offset
                feed.on_batch(batch(head + 1, head + rng.randrange(1, 4), "x" * rng.randrange(120)))
            case 2 | 3:
                if running is None and feed.has_news():
                    running = Pass(feed, 0.0)
                if running is not None and running.visit(Random(rng.random()).random, GatewayCounters()):
                    running = None
            case 4:
                reader = rng.choice(readers)
                reader.transport.room += rng.randrange(800)
                owner.flush(reader.client)
            case 5:
                readers.append(Reader(owner, feed, rng.choice(FORMS), rng.randrange(2000)))
            case 6 if len(readers) > 1:
                reader = readers.pop(rng.randrange(len(readers)))
                if reader.membership.gone:
                    continue
                feed.remove(reader.membership)
                left.append((reader, bytes(reader.transport.received)))
    for reader, seen in left:
        # A frame that the kernel cut is finished after a leave (half of one is garbage); nothing else may follow.
        reader.transport.room = 10**9
        owner.flush(reader.client)
        whole = bytes(reader.transport.received)
        assert whole.startswith(seen)
        assert len(whole) - len(seen) <= PASS_BUFFER_BYTES_MAX
        assert reader.expected(feed, feed.ring.head).startswith(whole)
    if running is not None:
        while not running.visit(lambda: 0.0, GatewayCounters()):
            pass
    walk(feed)
    for reader in readers:
        if reader.client in owner.slow:
            continue
        reader.transport.room = 10**9
        owner.flush(reader.client)
        assert bytes(reader.transport.received) == reader.expected(feed, feed.ring.head)
        assert reader.membership.step == feed.boundary
        assert not reader.client.is_blocked
    assert not owner.flushers


def test_after_a_leave_nothing_of_the_room_follows_even_from_a_running_pass() -> None:
    owner = FakeGateway()
    feed = live_feed(owner)
    readers = [Reader(owner, feed, Form.MSGPACK, 10**6) for _ in range(200)]
    feed.on_batch(batch(4, 4))
    ticks = iter(range(10_000))
    running = Pass(feed, 0.0)
    assert not running.visit(lambda: float(next(ticks)), GatewayCounters())
    last = readers[-1]
    feed.remove(last.membership)
    assert running.visit(lambda: 0.0, GatewayCounters())
    assert last.transport.received == b""
    assert readers[0].transport.received == feed.ring.joined(Form.MSGPACK, 3, 4)


def test_a_reader_that_never_reads_is_told_to_resume_and_costs_no_copies() -> None:
    owner = FakeGateway()
    feed = live_feed(owner)
    stalled = Reader(owner, feed, Form.MSGPACK, room=100)
    healthy = Reader(owner, feed, Form.MSGPACK, room=10**9)
    for place in range(4, 400):
        feed.on_batch(batch(place, place, "y" * 1000))
        walk(feed)
        assert stalled.client.outbox is None or stalled.client.outbox.bytes_held <= PASS_BUFFER_BYTES_MAX
    assert owner.slow == [stalled.client]
    assert bytes(healthy.transport.received) == healthy.expected(feed, feed.ring.head)


def test_what_the_ring_forgot_before_a_pass_could_carry_it_is_announced_exactly() -> None:
    """Found by the benchmark's overload steps: readers in step lost events without a word."""
    owner = FakeGateway()
    feed = live_feed(owner)
    reader = Reader(owner, feed, Form.MSGPACK, 10**9)
    feed.on_batch(batch(4, 403, "x" * 4000))
    oldest = feed.ring.offset_of(feed.ring.oldest_cursor())
    assert oldest > 3, "the ring has forgotten what was never passed on"
    assert not feed.is_joinable, "who joins now would be placed before what is held"
    walk(feed)
    assert feed.is_joinable
    received = bytes(reader.transport.received)
    announced = framed(Skipped(ROOM, 4, oldest), Form.MSGPACK)
    assert received.startswith(announced)
    sent = feed.ring.joined(Form.MSGPACK, feed.ring.first - 1, feed.ring.head)
    assert received == announced + sent
    assert reader.membership.step == feed.boundary


def test_a_reset_that_was_forgotten_with_the_rest_is_told_again() -> None:
    owner = FakeGateway()
    feed = live_feed(owner)
    reader = Reader(owner, feed, Form.MSGPACK, 10**9)
    feed.on_attached(attached(1, 0, epoch="e2", reason="epoch"))
    feed.on_batch(batch(1, 400, "x" * 4000))
    oldest = feed.ring.offset_of(feed.ring.oldest_cursor())
    walk(feed)
    assert bytes(reader.transport.received).startswith(framed(Reset(ROOM, "e2", oldest), Form.MSGPACK))


def test_a_dead_connection_is_reported_and_the_pass_goes_on() -> None:
    owner = FakeGateway()
    feed = live_feed(owner)
    first, second = (Reader(owner, feed, Form.MSGPACK, 10**6) for _ in range(2))
    first.transport.dead = True
    feed.on_batch(batch(4, 4))
    walk(feed)
    assert owner.lost == [first.client]
    assert second.transport.received


def test_a_removal_overtakes_what_a_slow_reader_still_has_to_read() -> None:
    owner = FakeGateway()
    feed = live_feed(owner)
    slow = Reader(owner, feed, Form.MSGPACK, room=0)
    feed.on_batch(batch(4, 6, "secret"))
    walk(feed)
    feed.on_hide(HideFrames(ROOM, 1, [node_frames(5, 5, "")[0]]))
    walk(feed)
    slow.transport.room = 10**6
    owner.flush(slow.client)
    received = bytes(slow.transport.received)
    assert received.index(b"hide") < received.index(b"secret")
    assert received.count(b"secret") == 2


def test_a_head_count_rides_with_a_pass_and_is_never_queued_for_who_lags() -> None:
    owner = FakeGateway()
    feed = live_feed(owner)
    prompt, slow = Reader(owner, feed, Form.JSON, 10**6), Reader(owner, feed, Form.JSON, 0)
    feed.on_batch(batch(4, 4))
    walk(feed)
    feed.on_sum(Sum(ROOM, 1, 7))
    walk(feed)
    assert b'"t":"count"' in prompt.transport.received
    slow.transport.room = 10**6
    owner.flush(slow.client)
    assert b"count" not in slow.transport.received


def test_an_event_is_deflated_once_for_all_who_want_it_and_not_at_all_when_they_left(monkeypatch: pytest.MonkeyPatch) -> None:
    deflated: list[bytes] = []
    monkeypatch.setattr("gateway.ring.deflate", lambda payload: deflated.append(payload))
    owner = FakeGateway()
    feed = live_feed(owner)
    readers = [Reader(owner, feed, form, 10**6) for form in FORMS for _ in range(5)]
    feed.on_batch(batch(4, 5, "long " * 50))
    walk(feed)
    assert len(deflated) == 2 * len(Deflated)
    for reader in readers:
        if isinstance(reader.form, Deflated):
            feed.remove(reader.membership)
    feed.on_batch(batch(6, 7, "long " * 50))
    walk(feed)
    assert len(deflated) == 2 * len(Deflated)


def test_signals_are_not_deflated_and_come_before_events_that_are() -> None:
    owner = FakeGateway()
    feed = live_feed(owner)
    reader = Reader(owner, feed, Deflated.JSON, 10**6)
    feed.on_batch(batch(4, 4, "long " * 50))
    feed.on_hide(HideFrames(ROOM, 1, node_frames(2, 2, "")))
    feed.on_sum(Sum(ROOM, 1, 7))
    walk(feed)
    event = feed.ring.joined(Deflated.JSON, 3, 4)
    assert len(event) < len(feed.ring.joined(Form.JSON, 3, 4)) / 2
    hide, count = framed(Hide(ROOM, 2), Form.JSON), framed(Count(ROOM, 7), Form.JSON)
    assert bytes(reader.transport.received) == hide + event + count


def test_a_pass_carries_at_most_its_buffer_bound() -> None:
    owner = FakeGateway()
    feed = live_feed(owner)
    reader = Reader(owner, feed, Form.MSGPACK, 10**9)
    feed.on_batch(batch(4, 200, "z" * 1000))
    sizes = []
    while feed.has_news():
        before = len(reader.transport.received)
        Pass(feed, 0.0).visit(lambda: 0.0, GatewayCounters())
        sizes.append(len(reader.transport.received) - before)
    assert len(sizes) > 1
    assert max(sizes) <= PASS_BUFFER_BYTES_MAX


class Scheduled:
    """A scheduler at work on a mock clock."""

    def __init__(self, nursery: trio.Nursery, members: int, passes_per_s: float) -> None:
        self.counters = GatewayCounters()
        self.scheduler = PassScheduler(
            self.counters, trio.current_time, window_members_min=members, window_passes_per_s=passes_per_s,
            on_pass_over=lambda _feed: None,
        )  # fmt: skip
        self.owner = FakeGateway()
        self.owner.wake_pass = self.scheduler.wake  # type: ignore[method-assign]
        self.feed = Feed(ROOM, self.owner, trio.current_time)
        self.feed.on_attached(attached(1, 0, present=PRESENT))
        nursery.start_soon(self.scheduler.run)

    def reader(self) -> tuple[Client, FakeTransport]:
        client, transport = make_client(self.owner)
        self.feed.add(client, self.feed.boundary, OUTBOX_BEHIND_BYTES_MAX)
        client.flush()
        return client, transport


async def test_a_quiet_room_waits_for_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        play = Scheduled(nursery, members=2, passes_per_s=10)
        _, transport = play.reader()
        begun = trio.current_time()
        for place in range(1, 6):
            play.feed.on_batch(batch(place, place))
            await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == begun
        assert play.counters.passes == 5
        assert bytes(transport.received) == play.feed.ring.joined(Form.MSGPACK, 0, 5)
        nursery.cancel_scope.cancel()


async def test_a_crowd_is_held_to_its_passes_a_second_and_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        play = Scheduled(nursery, members=2, passes_per_s=10)
        _, transport = play.reader()
        play.reader()
        for place in range(1, 41):
            play.feed.on_batch(batch(place, place))
            await trio.sleep(0.025)
        await trio.sleep(0.2)
        assert 9 <= play.counters.passes <= 12
        assert bytes(transport.received) == play.feed.ring.joined(Form.MSGPACK, 0, 40)
        nursery.cancel_scope.cancel()


async def test_a_full_buffer_does_not_wait_for_the_window(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        play = Scheduled(nursery, members=1, passes_per_s=0.1)
        _, transport = play.reader()
        begun = trio.current_time()
        play.feed.on_batch(batch(1, 200, "x" * 1000))
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == begun
        assert len(transport.received) > 150_000
        nursery.cancel_scope.cancel()


async def test_an_event_does_not_wait_for_the_next_head_count(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        play = Scheduled(nursery, members=1000, passes_per_s=10)
        _, transport = play.reader()
        for present in (5, 6):
            play.feed.on_sum(Sum(ROOM, 1, present))
            await trio.testing.wait_all_tasks_blocked()
        begun = trio.current_time()
        play.feed.on_batch(batch(1, 1))
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == begun
        assert b"hello" in transport.received
        assert transport.received.count(b"present") == 1
        await trio.sleep(COUNT_WAIT_MIN_S + 0.1)
        assert transport.received.count(b"present") == 2
        nursery.cancel_scope.cancel()


async def test_a_removal_does_not_wait_for_the_window(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        play = Scheduled(nursery, members=1, passes_per_s=0.1)
        _, transport = play.reader()
        for place in range(1, 3):
            play.feed.on_batch(batch(place, place))
            await trio.testing.wait_all_tasks_blocked()
        play.feed.on_hide(HideFrames(ROOM, 1, node_frames(1, 1, "")))
        begun = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        assert b"hide" in transport.received
        assert trio.current_time() == begun
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("form", list(Form))
def test_a_count_is_conflated(form: Form) -> None:
    owner = FakeGateway()
    feed = live_feed(owner)
    reader = Reader(owner, feed, form, 10**6)
    for present in range(1, 50):
        feed.on_sum(Sum(ROOM, 1, present))
        walk(feed)
    assert isinstance(Count(ROOM, 1), Count)
    assert reader.transport.received.count(b"present") == 1
