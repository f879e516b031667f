"""The tail: contiguous, bounded, and without the text of what was removed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.event_frame import frame_of_stored, tombstone_of
from broker.journal.protocol import Erasure
from broker.record import Body, Entry, pack_body
from broker.tail import TAIL_ITEM_OVERHEAD_BYTES, Tail
from wire.limits import ROOM_TAIL_BYTES_MAX, ROOM_TAIL_EVENTS_MAX
from wire.names import RoomName
from wire.node_messages import NodeFrame

ROOM = RoomName("town/square")


def frame(offset: int, size: int = 10) -> NodeFrame:
    return NodeFrame(offset, 0, 0, b"x" * size)


def entry(offset: int) -> Entry:
    return Entry(offset, 0, "message", b"digest", b"salt", "ann", "id", b"")


@given(st.lists(st.integers(0, 60_000), max_size=80), st.integers(1, 5))
def test_a_tail_is_the_newest_part_of_the_log_within_its_bytes(sizes: list[int], first: int) -> None:
    tail = Tail(ROOM, first)
    frames = [frame(first + index, size) for index, size in enumerate(sizes)]
    for each in frames:
        tail.append(each, b"c", entry(each.offset), ())
    kept = tail.frames_after(tail.first_offset - 1)
    assert kept == frames[len(frames) - len(kept) :]
    assert tail.first_offset + len(tail) == first + len(frames)
    assert tail.bytes_held == sum(len(each.frame) + TAIL_ITEM_OVERHEAD_BYTES for each in kept)
    assert tail.bytes_held <= ROOM_TAIL_BYTES_MAX
    assert not frames or kept, "the newest event is always here"


def test_a_tail_is_bounded_in_events_too() -> None:
    tail = Tail(ROOM)
    for offset in range(1, ROOM_TAIL_EVENTS_MAX + 6):
        tail.append(frame(offset), b"", entry(offset), ())
    assert (len(tail), tail.first_offset) == (ROOM_TAIL_EVENTS_MAX, 6)


def test_a_hole_is_a_bug() -> None:
    tail = Tail(ROOM, 5)
    with pytest.raises(AssertionError):
        tail.append(frame(6), b"", entry(6), ())


def test_it_knows_how_far_back_it_reaches() -> None:
    tail = Tail(ROOM, 5)
    tail.append(frame(5), b"chain", entry(5), ())
    assert tail.reaches(4)
    assert tail.reaches(9)
    assert not tail.reaches(3)
    assert (tail.chain_at(5), tail.chain_at(4), tail.chain_at(6)) == (b"chain", b"", b"")


def test_frames_after_an_offset_are_cut_at_the_limit() -> None:
    tail = Tail(ROOM)
    for offset in range(1, 6):
        tail.append(frame(offset), b"", entry(offset), ())
    assert [each.offset for each in tail.frames_after(2, 2)] == [3, 4]
    assert tail.frames_after(5) == []


def test_a_tombstone_takes_its_events_place_and_one_of_the_past_changes_nothing() -> None:
    tail = Tail(ROOM, 3)
    tail.append(frame(3, 1000), b"", entry(3), ())
    tail.replace(NodeFrame(3, 0, 0, b"gone"))
    tail.replace(NodeFrame(2, 0, 0, b"gone"))
    assert [each.frame for each in tail.frames_after(2)] == [b"gone"]
    assert tail.bytes_held == 4 + TAIL_ITEM_OVERHEAD_BYTES


def test_what_it_takes_to_write_an_event_again_is_kept_and_the_salt_of_a_removed_one_is_not() -> None:
    tail = Tail(ROOM, 3)
    erasures = [Erasure(3, "author")]
    tail.append(frame(3), b"", entry(3), ())
    tail.append(frame(4), b"", entry(4), erasures)
    tail.replace(NodeFrame(3, 0, 0, b"gone"))
    assert [(item.digest, item.salt, item.erasures) for item in tail.items_after(2)] == [
        (b"digest", b"", ()), (b"digest", b"salt", erasures),
    ]  # fmt: skip
    assert [item.erasures for item in tail.items_after(3)] == [erasures]


def test_what_is_forgotten_leaves_and_a_tail_of_which_all_is_goes_on_at_the_next_offset() -> None:
    tail = Tail(ROOM, 1)
    for offset in range(1, 6):
        tail.append(frame(offset), b"", entry(offset), ())
    for before, kept in ((0, [1, 2, 3, 4, 5]), (3, [3, 4, 5]), (2, [3, 4, 5]), (9, [])):
        tail.forget_before(before)
        assert [each.offset for each in tail.frames_after(tail.first_offset - 1)] == kept
    assert (tail.first_offset, tail.bytes_held) == (6, 0)
    tail.append(frame(6), b"", entry(6), ())


class Twins:
    """The same log twice: once with frames made at once, once as it is loaded, where a frame is made when it is asked for."""

    def __init__(self, sizes: list[int]) -> None:
        self.made, self.loaded = Tail(ROOM, 3), Tail(ROOM, 3)
        self.next = 3
        for size in sizes:
            each = self.an_entry(size)
            self.made.append(frame_of_stored(ROOM, each), b"c", each, ())
            self.loaded.restore(each, b"c", ())

    def an_entry(self, size: int) -> Entry:
        self.next += 1
        body = pack_body(Body("Ann", "x" * size))
        # Every fifth was erased before it was loaded.
        each = Entry(self.next - 1, 7, "message", b"digest", b"salt", "ann", "id", body)
        return each if self.next % 5 else each.erased("author")

    def do(self, step: str, number: int) -> None:
        if step == "say":
            each = self.an_entry(number)
            for tail in (self.made, self.loaded):
                tail.append(frame_of_stored(ROOM, each), b"c", each, ())
        elif step == "remove":
            tombstone = tombstone_of(ROOM, 3 + number % 40, 7, "message", 0, "author")
            for tail in (self.made, self.loaded):
                tail.replace(tombstone)
        elif step == "forget":
            for tail in (self.made, self.loaded):
                tail.forget_before(number % 50)
        else:
            after = max(self.made.first_offset - 1, number % 50)
            assert self.loaded.frames_after(after, 3) == self.made.frames_after(after, 3)

    def check(self) -> None:
        made, loaded = self.made, self.loaded
        assert (loaded.first_offset, len(loaded)) == (made.first_offset, len(made))
        assert made.bytes_held <= loaded.bytes_held <= ROOM_TAIL_BYTES_MAX, "what is not made yet is counted with its most"
        after = made.first_offset - 1
        assert [item.entry for item in loaded.items_after(after)] == [item.entry for item in made.items_after(after)]
        assert [item.salt for item in loaded.items_after(after)] == [item.salt for item in made.items_after(after)]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 300) | st.integers(0, 90_000), max_size=40),
    st.lists(st.tuples(st.sampled_from(["say", "remove", "forget", "look"]), st.integers(0, 90_000)), max_size=30),
)
def test_a_loaded_tail_is_the_written_one_whatever_is_asked_of_it(sizes: list[int], steps: list[tuple[str, int]]) -> None:
    twins = Twins(sizes)
    twins.check()
    for step, number in steps:
        twins.do(step, number)
        twins.check()
    after = twins.made.first_offset - 1
    assert twins.loaded.frames_after(after) == twins.made.frames_after(after)
    assert twins.loaded.bytes_held == twins.made.bytes_held, "when all are made their true lengths count"


def test_a_loaded_tail_makes_the_frames_that_are_asked_for_and_no_others() -> None:
    tail = Tail(ROOM)
    for offset in range(1, 8):
        tail.restore(Entry(offset, 7, "message", b"digest", b"salt", "ann", "id", pack_body(Body("Ann", "hello"))), b"", ())
    assert [each.offset for each in tail.frames_after(5)] == [6, 7]
    assert [item.frame is None for item in tail.items_after(0)] == [True] * 5 + [False] * 2
    assert [item.stored is None for item in tail.items_after(0)] == [False] * 5 + [True] * 2, "nothing is kept twice"


def test_a_hole_in_what_is_loaded_is_a_bug() -> None:
    tail = Tail(ROOM, 5)
    with pytest.raises(AssertionError):
        tail.restore(entry(6), b"", ())
