"""Range reads: which events are asked for, how many fit, and whether there is more."""

from hypothesis import given
from hypothesis import strategies as st

from broker.history import Window, fit, has_more, window_of
from wire.limits import HISTORY_EVENTS_MAX
from wire.node_messages import NodeFrame, RangeRead

heads = st.integers(0, 2000)
numbers = st.integers(-5, 2500)


@given(heads, st.data(), numbers, numbers, numbers)
def test_a_window_lies_within_the_kept_log_and_its_limit(
    head: int, data: st.DataObject, after: int, before: int, limit: int
) -> None:
    first_kept = data.draw(st.integers(1, head + 1))
    window = window_of(RangeRead(1, "r", "", after, before, limit), head, first_kept)
    assert first_kept - 1 <= window.after <= head
    assert window.upto <= head
    assert 0 <= window.upto - window.after <= min(max(1, limit), HISTORY_EVENTS_MAX)
    if after >= 0:
        assert window.after >= after or window.after == head
    elif 0 < before <= head:
        assert window.upto < before or window.upto == first_kept - 1


def test_the_latest_events_those_before_and_those_after() -> None:
    assert window_of(RangeRead(1, "r", limit=10), 100, 1) == Window(90, 100, True)
    assert window_of(RangeRead(1, "r", before=51, limit=10), 100, 1) == Window(40, 50, True)
    assert window_of(RangeRead(1, "r", after=50, limit=10), 100, 1) == Window(50, 60, False)
    assert window_of(RangeRead(1, "r", after=0, limit=10), 100, 31) == Window(30, 40, False)


def frames(*sizes: int, first: int = 1) -> list[NodeFrame]:
    return [NodeFrame(first + index, 0, 0, b"x" * size) for index, size in enumerate(sizes)]


def test_what_fits_is_taken_from_the_readers_end_and_one_always_fits() -> None:
    three = frames(10, 10, 10)
    assert fit(three, False, 25) == three[:2]
    assert fit(three, True, 25) == three[1:]
    assert fit(three, True, 5) == three[2:]
    assert fit(three, False, 30) == three
    assert fit([], True, 5) == []


def test_there_is_more_until_the_log_ends_in_that_direction() -> None:
    assert has_more(frames(1, 1), Window(0, 2, False), head=3, first_kept=1)
    assert not has_more(frames(1, 1, 1), Window(0, 3, False), head=3, first_kept=1)
    assert has_more(frames(1, first=2), Window(1, 2, True), head=3, first_kept=1)
    assert not has_more(frames(1, first=2), Window(1, 2, True), head=3, first_kept=2)
    assert not has_more([], Window(3, 3, False), head=3, first_kept=1)
