"""Columns of numbers over time, for charts."""

import msgspec
import pytest

from loadtest.figures.record import Mark, Moment, Percentiles, ServerProbe, WorkerProbe
from loadtest.reports.timeline import CHARTS, FAMILY_MAX, Point, fits, point_of, timeline_of, values_of
from tests.support.run_record import moments


def moment(at_s: float, **more: object) -> Moment:
    calm = Moment(at_s, 10, 12, {"Citizen": 10}, 9, {}, {}, {}, 0, [], [])
    return msgspec.structs.replace(calm, **more)


def test_a_moment_is_one_point_of_each_column() -> None:
    full = moment(
        1.0,
        servers={"gateway-1": 9},
        counts_per_s={"deliveries": 12345.6},
        latencies={
            "deliver": Percentiles(5, 1.23456, 2, 3, 4, 5), "deliver (large)": Percentiles(2, 1, 2, 3.5, 4, 5),
            "resume": Percentiles(),
        },
        violations=2,
        server=[ServerProbe("shard-1", 0.256, 3 * 2**20)],
        workers=[WorkerProbe("worker-1", 10, 0.5, 2**20, 1.5, "running")],
    )  # fmt: skip
    assert values_of(full) == {
        "users.wanted": 12, "users.living": 10, "users.connected": 9, "violations": 2, "gateway.gateway-1": 9,
        "per_s.deliveries": 12346,
        "latency.deliver.p50": 1.235, "latency.deliver.p95": 2, "latency.deliver.p99": 3,
        "latency.deliver.p999": 4, "latency.deliver.max": 5,
        "latency.deliver (large).p99": 3.5, "server.shard-1.cpu": 25.6, "server.shard-1.memory": 3,
        "worker.worker-1.cpu": 50, "worker.worker-1.lag": 1.5,
    }  # fmt: skip


def test_a_short_run_has_a_point_for_each_second() -> None:
    timeline = timeline_of([moment(1.0), moment(2.0, counts_per_s={"acked": 2.0}), moment(3.0)], points_max=3)
    assert (timeline.at, timeline.every_s) == ([1, 2, 3], 1)
    assert timeline.columns["per_s.acked"] == [0, 2, 0]
    assert timeline.columns["users.connected"] == [9, 9, 9]
    assert "users.by_class" not in timeline.columns


def test_a_long_run_keeps_its_worst_and_its_means() -> None:
    ran = [
        moment(float(second), connected=second, counts_per_s={"deliveries": 10.0 * second} if second != 2 else {},
               latencies={"deliver": Percentiles(1, 1, 1, 1, 1, 90 if second == 2 else 1)} if second < 5 else {},
               workers=[WorkerProbe("worker-1", 1, 0.9 if second == 3 else 0.1, 1, 1.0, "running")])
        for second in range(1, 8)
    ]  # fmt: skip
    timeline = timeline_of(ran, points_max=3)
    assert (timeline.at, timeline.every_s) == ([3, 6, 7], 3)
    assert timeline.columns["latency.deliver.max"] == [90, 1, None]
    assert timeline.columns["per_s.deliveries"] == [pytest.approx(13.33), 50, 70]
    assert timeline.columns["users.connected"] == [3, 6, 7]
    assert timeline.columns["worker.worker-1.cpu"] == [90, 10, 10]


def test_of_many_alike_those_with_the_highest_peaks_are_shown() -> None:
    workers = [WorkerProbe(f"worker-{number:02}", 1, number / 100, 1, 1.0, "running") for number in range(30)]
    shown = [name for name in timeline_of([moment(1.0, workers=workers)], 10).columns if name.endswith(".cpu")]
    assert len(shown) == FAMILY_MAX
    assert shown[0] == "worker.worker-18.cpu"


def test_lines_of_one_family_are_in_order_whoever_came_first() -> None:
    ran = [moment(1.0, servers={"gateway-10": 1, "gateway-2": 1}), moment(2.0, servers={"gateway-1": 1})]
    shown = [name for name in timeline_of(ran, 10).columns if name.startswith("gateway.")]
    assert shown == ["gateway.gateway-1", "gateway.gateway-2", "gateway.gateway-10"]


def test_an_empty_run_has_empty_columns() -> None:
    timeline = timeline_of([], 100)
    assert (timeline.at, timeline.every_s, timeline.columns, timeline.marks) == ([], 1, {}, [])


def test_what_was_done_on_purpose_keeps_its_own_moment() -> None:
    kill, freeze = Mark(1.2, "fault", "kill shard: shard-1"), Mark(3.7, "fault", "freeze gateway: gateway-1", 5.0)
    ran = [moment(1.0), moment(2.0, marks=[kill]), moment(3.0), moment(4.0, marks=[freeze])]
    assert timeline_of(ran, points_max=2).marks == [kill, freeze]
    assert point_of(ran[1]) == Point(2.0, values_of(ran[1]), [kill])


def test_patterns() -> None:
    assert fits("server.shard-1.cpu", "server.*.cpu")
    assert not fits("server..cpu", "server.*.cpu")
    assert not fits("server.cpu", "server.*.cpu")
    assert fits("violations", "violations")
    assert not fits("violations.x", "violations")


def test_every_line_of_every_chart_has_a_column_in_a_full_run() -> None:
    columns = timeline_of(moments(200), 200).columns
    bare = [
        f"{chart.id}: {line.column}"
        for chart in CHARTS
        for line in chart.lines
        if not any(fits(column, line.column) for column in columns)
    ]
    assert bare == ["publishes: per_s.unknown", "connects: per_s.moves", "late: per_s.slots_late"]
    assert len({chart.id for chart in CHARTS}) == len(CHARTS)
