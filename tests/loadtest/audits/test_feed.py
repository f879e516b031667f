"""One room on one connection: what an offset is to it, and what is lost for good."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.audits.feed import ANNOUNCED_RANGES_MAX, HOLES_MAX, LATE_OFFSETS_MAX, Arrival, Feed


def _feed(since: int = 10) -> Feed:
    return Feed("e1", since, since, is_recovered=False)


def test_offsets_that_run_on_are_all_there_is() -> None:
    feed = _feed()
    assert {feed.arrive(offset) for offset in range(11, 500)} == {Arrival.NEXT}
    assert feed.take_lost(ends=True) == []


def test_a_hole_is_lost_when_the_feed_ends() -> None:
    feed = _feed()
    assert feed.arrive(13) is Arrival.AFTER_HOLE
    assert feed.take_lost() == []
    assert feed.has_holes
    assert feed.take_lost(ends=True) == [(11, 12)]
    assert feed.take_lost(ends=True) == []
    assert not feed.has_holes


def test_what_comes_late_is_not_lost() -> None:
    feed = _feed()
    assert [feed.arrive(offset) for offset in (12, 11, 13)] == [Arrival.AFTER_HOLE, Arrival.LATE, Arrival.NEXT]
    assert feed.take_lost(ends=True) == []


def test_what_came_is_not_late_but_repeated() -> None:
    feed = _feed()
    assert [feed.arrive(offset) for offset in (11, 11, 10, 13, 12, 12)] == [
        Arrival.NEXT, Arrival.REPEATED, Arrival.REPEATED, Arrival.AFTER_HOLE, Arrival.LATE, Arrival.REPEATED,
    ]  # fmt: skip


def test_what_is_announced_is_no_hole() -> None:
    feed = _feed()
    feed.announce(11, 14)
    assert feed.arrive(15) is Arrival.NEXT
    assert feed.arrive(12) is Arrival.ANNOUNCED
    assert feed.take_lost(ends=True) == []


def test_what_is_jumped_over_by_an_announcement_is() -> None:
    feed = _feed()
    feed.announce(13, 14)
    assert feed.arrive(15) is Arrival.NEXT
    assert feed.take_lost(ends=True) == [(11, 12)]


def test_an_announcement_of_what_came_changes_nothing() -> None:
    feed = _feed()
    feed.arrive(11)
    feed.announce(10, 11)
    assert feed.next == 12
    feed.announce(11, 12)
    assert feed.arrive(11) is Arrival.REPEATED
    assert feed.arrive(13) is Arrival.NEXT


def test_a_hole_that_lies_far_back_is_lost() -> None:
    feed = _feed(since=0)
    feed.arrive(2)
    for offset in range(3, LATE_OFFSETS_MAX + 3):
        feed.arrive(offset)
    assert feed.take_lost() == [(1, 1)]
    assert feed.arrive(1) is Arrival.REPEATED


def test_holes_and_announcements_are_bounded() -> None:
    feed = _feed(since=0)
    for offset in range(2, 2 * (HOLES_MAX + 3), 2):
        feed.arrive(offset)
    assert feed.take_lost() == [(1, 1), (3, 3)]
    assert len(feed.take_lost(ends=True)) == HOLES_MAX
    for offset in range(1000, 1000 + 3 * ANNOUNCED_RANGES_MAX, 2):
        feed.announce(offset, offset)
    assert feed.arrive(1000) is Arrival.REPEATED


@given(st.permutations(list(range(1, 13))), st.sets(st.integers(1, 11)))
def test_each_offset_comes_or_is_lost(order: list[int], dropped: set[int]) -> None:
    feed = _feed(since=0)
    came = [offset for offset in order if offset not in dropped]
    arrivals = {offset: feed.arrive(offset) for offset in came}
    assert Arrival.REPEATED not in arrivals.values()
    lost = {offset for first, last in feed.take_lost(ends=True) for offset in range(first, last + 1)}
    assert lost == {offset for offset in dropped if offset < max(came)}
