"""Holes of a feed: filled in order, once, or told exactly; whatever comes in between."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feed import Feed
from gateway.repair import Lost, Piece, Repair
from gateway.ring import payload_of
from shard_router.ports import RangeAnswer
from tests.support.gateway_fakes import ROOM, FakeGateway, event_payload, node_frames
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Event, Skipped
from wire.limits import FEED_REPAIR_EVENTS_MAX, FEED_REPAIR_WAIT_S, FEED_RING_BYTES_MAX, HISTORY_EVENTS_MAX
from wire.node_messages import Attached, Batch, CommandRefused, HideFrames, NodeFrame, Range, RangeRead


def offsets(pieces: list[Piece]) -> list[int | tuple[int, int]]:
    return [(piece.first, piece.last) if isinstance(piece, Lost) else piece.offset for piece in pieces]


def repair_of(head: int, since: int, waiting: list[NodeFrame]) -> Repair:
    repair = Repair(head, 0.0)
    repair.jump(since)
    for frame in waiting:
        repair.offer(frame)
    return repair


def test_a_hole_is_read_from_its_beginning_and_what_waited_follows() -> None:
    repair = repair_of(10, 13, node_frames(14, 15))
    assert repair.advance() == []
    assert repair.question() == (10, 3)
    assert repair.question() is None, "one page at a time"
    assert offsets(repair.on_page(10, node_frames(11, 12), 1.0)) == [11, 12]
    assert repair.question() == (12, 1)
    assert offsets(repair.on_page(12, node_frames(13, 13), 1.0)) == [13, 14, 15]
    assert repair.is_over


def test_what_was_trimmed_is_lost_and_only_that() -> None:
    repair = repair_of(10, 20, node_frames(21, 21))
    repair.advance()
    repair.question()
    assert offsets(repair.on_page(10, node_frames(15, 20), 1.0)) == [(11, 14), *range(15, 22)]


def test_an_empty_page_means_that_the_hole_stays() -> None:
    repair = repair_of(10, 20, node_frames(21, 21))
    repair.advance()
    repair.question()
    assert offsets(repair.on_page(10, [], 1.0)) == [(11, 20), 21]


def test_a_hole_that_no_ring_can_hold_loses_its_oldest_part() -> None:
    since = 10 * FEED_REPAIR_EVENTS_MAX
    repair = repair_of(0, since, node_frames(since + 1, since + 9))
    assert offsets(repair.advance()) == [(1, since - FEED_REPAIR_EVENTS_MAX)]
    assert repair.question() == (since - FEED_REPAIR_EVENTS_MAX, HISTORY_EVENTS_MAX)


def test_what_turns_out_to_be_heavier_than_a_ring_is_read_no_further() -> None:
    repair = repair_of(0, 900, node_frames(901, 901, "light"))
    repair.advance()
    repair.question()
    pieces = repair.on_page(0, node_frames(1, 300, "x" * 4000), 1.0)
    assert offsets(pieces) == [*range(1, 301), (301, 900), 901]


def test_what_waits_is_bounded_and_ends_the_patience() -> None:
    repair = repair_of(0, 10, [])
    repair.advance()
    assert repair.question() == (0, 10)
    waiting = 0
    while not (pieces := repair.advance()):
        waiting += 1
        repair.offer(NodeFrame(10 + waiting, 0, 1, b"x" * 50_000))
        assert waiting * 50_000 <= FEED_RING_BYTES_MAX + 50_000
    assert offsets(pieces) == [(1, 10), *range(11, 11 + waiting)]
    assert repair.on_page(0, node_frames(1, 10), 2.0) == [], "the late page is nobody's"


# --- a feed, any order of things ------------------------------------------------------------------------


class World:
    """A room, a shard with a short tail, and one feed; what is asked is answered when the play says so."""

    def __init__(self, seed: int, tail: int) -> None:
        self.rng = Random(seed)
        self.tail = tail
        self.now = 0.0
        self.head = 0
        self.first_kept = 1
        self.removed: set[int] = set()
        self.owner = FakeGateway()
        self.feed = Feed(ROOM, self.owner, lambda: self.now)
        self.is_linked = True
        self.attach()

    def frame(self, offset: int) -> NodeFrame:
        text = "" if offset in self.removed else "a secret"
        return NodeFrame(offset, 0, 1, event_payload(offset, text))

    def frames(self, after: int, upto: int) -> list[NodeFrame]:
        return [self.frame(offset) for offset in range(after + 1, upto + 1)]

    def publish(self) -> None:
        before, self.head = self.head, self.head + self.rng.randint(1, 4)
        if self.is_linked:
            self.feed.on_batch(Batch(ROOM, 1, bytes(8), self.frames(before, self.head)))

    def cut(self) -> None:
        self.is_linked = False
        self.feed.on_detached()

    def attach(self) -> None:
        """Answer an attach from the feed's position, as far as the tail reaches."""
        self.is_linked = True
        position = self.feed.position()
        recent = max(0, self.head - self.tail)
        since = recent if position is None or position.offset < recent else position.offset
        self.feed.on_attached(Attached(ROOM, 1, 1, "e1", self.head, since, bytes(8), False, "", self.frames(since, self.head)))

    def remove(self) -> None:
        if self.head and self.is_linked:
            offset = self.rng.randint(1, self.head)
            self.removed.add(offset)
            self.feed.on_hide(HideFrames(ROOM, 1, [self.frame(offset)]))

    def trim(self) -> None:
        self.first_kept = max(self.first_kept, self.head - self.tail - self.rng.randint(0, 5))

    def answer(self, outcome: str = "page") -> None:
        if not self.owner.reads:
            return
        question, answer = self.owner.reads.pop(0)
        answer(self.page(question, outcome))

    def page(self, question: RangeRead, outcome: str) -> RangeAnswer:
        if outcome != "page":
            return CommandRefused(1, outcome, "no")
        after = max(question.after, self.first_kept - 1)
        upto = min(after + self.rng.randint(1, question.limit), self.head)
        return Range(1, "e1", self.head, self.frames(after, upto))

    def early_page(self) -> None:
        """A page that was read before a removal, and arrives after it."""
        if self.owner.reads:
            question, answer = self.owner.reads.pop(0)
            page = self.page(question, "page")
            self.remove()
            answer(page)

    def read(self) -> list[Event | Skipped]:
        """Everything that the ring gives a reader, from its beginning."""
        ring = self.feed.ring
        assert ring.first == 1, "nothing was trimmed"
        frames = [ring.joined(Form.MSGPACK, sequence - 1, sequence) for sequence in range(1, ring.head + 1)]
        messages = [decode_server_message(payload_of(frame), Form.MSGPACK) for frame in frames]
        return [message for message in messages if isinstance(message, Event | Skipped)]


STEPS: dict[str, Callable[[World], None]] = {
    "publish": World.publish,
    "cut": World.cut,
    "attach": World.attach,
    "remove": World.remove,
    "trim": World.trim,
    "page": World.answer,
    "early page": World.early_page,
    "refused for now": lambda world: world.answer("busy"),
    "refused": lambda world: world.answer("epoch"),
    "tick": lambda world: world.feed.tick_repair() and None,
}


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.integers(1, 6), st.lists(st.sampled_from(sorted(STEPS)), max_size=80))
def test_any_order_of_things_gives_each_reader_the_whole_log_or_an_exact_announcement(
    seed: int, tail: int, play: list[str]
) -> None:
    world = World(seed, tail)
    for step in play:
        STEPS[step](world)
        assert len(world.owner.reads) <= 1, "one read at a time"
    if not world.is_linked:
        world.attach()
    for _ in range(200):
        world.answer()
        world.feed.tick_repair()
    assert world.feed.repair is None
    assert not world.owner.reattached
    expected = 1
    for message in world.read():
        if isinstance(message, Skipped):
            assert message.first == expected
            expected = message.last + 1
        else:
            assert message.offset == expected
            assert message.text == ("" if message.offset in world.removed else "a secret"), "removed is removed"
            expected += 1
    assert expected == world.head + 1


@pytest.mark.parametrize("tail", [1, 5, 50])
def test_when_every_read_is_answered_nothing_is_skipped(tail: int) -> None:
    world = World(tail, tail)
    for _ in range(5):
        world.cut()
        for _ in range(40):
            world.publish()
        world.attach()
        world.publish()
        while world.owner.reads:
            world.answer()
    assert not [message for message in world.read() if isinstance(message, Skipped)]
    assert [message.offset for message in world.read() if isinstance(message, Event)] == list(range(1, world.head + 1))


def test_a_feed_with_a_hole_takes_no_joins_and_reports_all_it_has_as_its_position() -> None:
    world = World(1, tail=2)
    world.publish()
    world.cut()
    for _ in range(10):
        world.publish()
    world.attach()
    assert not world.feed.is_joinable
    position = world.feed.position()
    assert position is not None
    assert position.offset == world.head
    world.publish()
    assert world.feed.ring.head_offset < world.head
    while world.owner.reads:
        world.answer()
    world.feed.boundary = world.feed.ring.head
    assert world.feed.is_joinable
    assert world.feed.ring.head_offset == world.head


def test_without_an_answer_the_wait_ends_and_what_is_missing_is_told() -> None:
    world = World(1, tail=2)
    world.cut()
    for _ in range(10):
        world.publish()
    world.attach()
    world.now = FEED_REPAIR_WAIT_S - 0.1
    assert world.feed.tick_repair()
    world.now = FEED_REPAIR_WAIT_S
    assert not world.feed.tick_repair()
    assert [message.offset if isinstance(message, Event) else (message.first, message.last) for message in world.read()] == [
        (1, world.head - 2), world.head - 1, world.head,
    ]  # fmt: skip


def test_another_epoch_ends_a_repair_after_what_has_waited_for_it() -> None:
    world = World(1, tail=2)
    world.cut()
    for _ in range(10):
        world.publish()
    world.attach()
    world.feed.on_attached(Attached(ROOM, 1, 1, "e2", 1, 0, bytes(8), False, "epoch", node_frames(1, 1)))
    assert world.feed.repair is None
    assert world.feed.head_offset == 1
    last = decode_server_message(
        payload_of(world.feed.ring.joined(Form.MSGPACK, world.feed.ring.head - 1, world.feed.ring.head)), Form.MSGPACK
    )
    assert isinstance(last, Event)
    assert last.offset == 1


def test_a_removal_that_was_missed_takes_the_text_from_the_ring() -> None:
    world = World(1, tail=100)
    world.publish()
    world.cut()
    world.head += 1
    delete = Event(ROOM, world.head, 1, "delete", "g-a", "Ada", "d1", "", 1)
    frame = NodeFrame(world.head, 1, 1, encode(delete, Form.MSGPACK))
    world.feed.on_attached(Attached(ROOM, 1, 1, "e1", world.head, world.head - 1, bytes(8), True, "", [frame]))
    first = world.read()[0]
    assert isinstance(first, Event)
    assert (first.text, first.removed) == ("", "author")
