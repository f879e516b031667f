"""The tail: contiguous, bounded, and without the text of what was removed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.journal.protocol import Erasure
from broker.record import Entry
from broker.tail import TAIL_ITEM_OVERHEAD_BYTES, Tail
from wire.limits import ROOM_TAIL_BYTES_MAX, ROOM_TAIL_EVENTS_MAX
from wire.node_messages import NodeFrame


def frame(offset: int, size: int = 10) -> NodeFrame:
    return NodeFrame(offset, 0, 0, b"x" * size)


def entry(offset: int) -> Entry:
    return Entry(offset, 0, "message", b"digest", b"salt", "ann", "id", b"")


@given(st.lists(st.integers(0, 60_000), max_size=80), st.integers(1, 5))
def test_a_tail_is_the_newest_part_of_the_log_within_its_bytes(sizes: list[int], first: int) -> None:
    tail = Tail(first)
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
    tail = Tail()
    for offset in range(1, ROOM_TAIL_EVENTS_MAX + 6):
        tail.append(frame(offset), b"", entry(offset), ())
    assert (len(tail), tail.first_offset) == (ROOM_TAIL_EVENTS_MAX, 6)


def test_a_hole_is_a_bug() -> None:
    tail = Tail(5)
    with pytest.raises(AssertionError):
        tail.append(frame(6), b"", entry(6), ())


def test_it_knows_how_far_back_it_reaches() -> None:
    tail = Tail(5)
    tail.append(frame(5), b"chain", entry(5), ())
    assert tail.reaches(4)
    assert tail.reaches(9)
    assert not tail.reaches(3)
    assert (tail.chain_at(5), tail.chain_at(4), tail.chain_at(6)) == (b"chain", b"", b"")


def test_frames_after_an_offset_are_cut_at_the_limit() -> None:
    tail = Tail()
    for offset in range(1, 6):
        tail.append(frame(offset), b"", entry(offset), ())
    assert [each.offset for each in tail.frames_after(2, 2)] == [3, 4]
    assert tail.frames_after(5) == []


def test_a_tombstone_takes_its_events_place_and_one_of_the_past_changes_nothing() -> None:
    tail = Tail(3)
    tail.append(frame(3, 1000), b"", entry(3), ())
    tail.replace(NodeFrame(3, 0, 0, b"gone"))
    tail.replace(NodeFrame(2, 0, 0, b"gone"))
    assert [each.frame for each in tail.frames_after(2)] == [b"gone"]
    assert tail.bytes_held == 4 + TAIL_ITEM_OVERHEAD_BYTES


def test_what_it_takes_to_write_an_event_again_is_kept_and_the_salt_of_a_removed_one_is_not() -> None:
    tail = Tail(3)
    erasures = [Erasure(3, "author")]
    tail.append(frame(3), b"", entry(3), ())
    tail.append(frame(4), b"", entry(4), erasures)
    tail.replace(NodeFrame(3, 0, 0, b"gone"))
    assert [(item.frame.offset, item.digest, item.salt, item.erasures) for item in tail.items_after(2)] == [
        (3, b"digest", b"", ()), (4, b"digest", b"salt", erasures),
    ]  # fmt: skip
    assert [item.frame.offset for item in tail.items_after(3)] == [4]


def test_what_is_forgotten_leaves_and_a_tail_of_which_all_is_goes_on_at_the_next_offset() -> None:
    tail = Tail(1)
    for offset in range(1, 6):
        tail.append(frame(offset), b"", entry(offset), ())
    for before, kept in ((0, [1, 2, 3, 4, 5]), (3, [3, 4, 5]), (2, [3, 4, 5]), (9, [])):
        tail.forget_before(before)
        assert [each.offset for each in tail.frames_after(tail.first_offset - 1)] == kept
    assert (tail.first_offset, tail.bytes_held) == (6, 0)
    tail.append(frame(6), b"", entry(6), ())
