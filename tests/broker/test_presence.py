"""Sums of members: a report replaces the last one, and what is not renewed goes."""

from hypothesis import given
from hypothesis import strategies as st

from broker.presence import Sums
from wire.limits import MEMBERS_SUM_EXPIRES_S

reports = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 1000)), max_size=30)


@given(reports)
def test_the_total_is_the_sum_of_the_latest_reports(sequence: list[tuple[str, int]]) -> None:
    sums = Sums()
    latest: dict[str, int] = {}
    for node, members in sequence:
        sums.report(node, members, 0.0)
        sums.report(node, members, 0.0)
        latest[node] = max(0, members)
    assert sums.total == sum(latest.values())
    for node in "abcd":
        sums.forget(node)
    assert (sums.total, bool(sums)) == (0, False)


def test_a_sum_that_is_not_renewed_is_dropped() -> None:
    sums = Sums()
    sums.report("a", 3, 0.0)
    sums.report("b", 4, 1.0)
    sums.expire(MEMBERS_SUM_EXPIRES_S)
    assert sums.total == 7
    sums.expire(MEMBERS_SUM_EXPIRES_S + 0.5)
    assert sums.total == 4


def test_only_a_changed_total_is_news() -> None:
    sums = Sums()
    assert not sums.is_news
    sums.report("a", 3, 0.0)
    assert sums.is_news
    sums.announced = 3
    sums.report("a", 2, 0.0)
    sums.report("b", 1, 0.0)
    assert not sums.is_news
