"""loadtest/web/past.py: a long run in few points, as if it had been thinned at its end."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.figures.record import Mark, Moment, Percentiles
from loadtest.reports.timeline import timeline_of
from loadtest.web.past import Past


def moment(at: int, deliveries: int, p99: int) -> Moment:
    counts = {"deliveries": float(deliveries)} if deliveries else {}
    took = {"deliver": Percentiles(10, p99 / 2, p99 / 2, p99, p99, p99)} if p99 else {}
    return Moment(float(at), at, 100, {}, at, {"gateway-1": at}, counts, took, 0, [], [])


runs = st.lists(st.tuples(st.integers(0, 999), st.integers(0, 500)), max_size=120).map(
    lambda seconds: [moment(at, *each) for at, each in enumerate(seconds, 1)]
)


def past_of(run: list[Moment], points_max: int) -> Past:
    past = Past(points_max)
    for each in run:
        past.add(each)
    return past


@given(runs, st.integers(1, 40))
def test_it_is_bounded_and_ends_where_the_run_ends(run: list[Moment], points_max: int) -> None:
    timeline = past_of(run, points_max).timeline()
    assert len(timeline.at) <= 2 * points_max
    assert timeline.at == sorted(set(timeline.at))
    if run:
        assert timeline.at[-1] == run[-1].at_s
        assert timeline.columns["users.living"][-1] == run[-1].users


@given(runs, st.integers(1, 40))
def test_the_worst_second_is_still_there(run: list[Moment], points_max: int) -> None:
    shown = past_of(run, points_max).timeline().columns.get("latency.deliver.p99", [])
    worst = max((each.latencies["deliver"].p99 for each in run if "deliver" in each.latencies), default=0)
    assert max((each for each in shown if each is not None), default=0) == worst


@given(runs)
def test_until_it_is_full_it_is_every_second(run: list[Moment]) -> None:
    assert past_of(run, 61).timeline() == timeline_of(run, 120)


@given(st.lists(st.integers(0, 999), min_size=64, max_size=64))
def test_means_of_means_are_the_mean_of_all(deliveries: list[int]) -> None:
    past = past_of([moment(at, each, 1) for at, each in enumerate(deliveries, 1)], 4).timeline()
    assert (past.every_s, len(past.at)) == (16, 4)
    shown = [each or 0 for each in past.columns.get("per_s.deliveries", [0])]
    # Four digits are kept at each halving.
    assert sum(shown) / len(shown) == pytest.approx(sum(deliveries) / 64, rel=0.003)


def test_what_was_done_on_purpose_is_not_thinned() -> None:
    run = [moment(at, 1, 1) for at in range(1, 101)]
    run[41] = msgspec.structs.replace(run[41], marks=[Mark(42.0, "fault", "kill shard")])
    assert [mark.text for mark in past_of(run, 3).timeline().marks] == ["kill shard"]
