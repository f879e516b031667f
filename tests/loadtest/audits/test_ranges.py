"""Sets of offsets as ranges, against plain sets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadtest.audits.ranges import Ranges

OFFSETS = st.integers(0, 40)
SPANS = st.lists(st.tuples(OFFSETS, OFFSETS), max_size=12)


def _ranges(spans: list[tuple[int, int]]) -> tuple[Ranges, set[int]]:
    ranges, plain = Ranges(), set[int]()
    for first, last in spans:
        ranges.add(first, last)
        plain |= set(range(first, last + 1))
    return ranges, plain


def _plain(ranges: Ranges) -> set[int]:
    return {offset for first, last in ranges for offset in range(first, last + 1)}


@given(SPANS)
def test_what_was_added_is_in_and_neighbours_are_one(spans: list[tuple[int, int]]) -> None:
    ranges, plain = _ranges(spans)
    assert _plain(ranges) == plain
    assert all((offset in ranges) == (offset in plain) for offset in range(-1, 43))
    parts = list(ranges)
    assert len(ranges) == len(parts)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(parts))


@given(SPANS, OFFSETS)
def test_one_can_be_taken_out(spans: list[tuple[int, int]], offset: int) -> None:
    ranges, plain = _ranges(spans)
    assert ranges.take(offset) == (offset in plain)
    assert _plain(ranges) == plain - {offset}


@given(SPANS, OFFSETS, OFFSETS)
def test_outside_is_what_a_span_has_beyond_the_set(spans: list[tuple[int, int]], first: int, last: int) -> None:
    ranges, plain = _ranges(spans)
    outside = ranges.outside(first, last)
    assert {offset for one, other in outside for offset in range(one, other + 1)} == set(range(first, last + 1)) - plain
    assert all(one <= other for one, other in outside)


@given(SPANS.filter(lambda spans: any(first <= last for first, last in spans)))
def test_the_first_range_can_be_taken(spans: list[tuple[int, int]]) -> None:
    ranges, plain = _ranges(spans)
    first, last = ranges.take_first()
    assert first == min(plain)
    assert _plain(ranges) == plain - set(range(first, last + 1))
