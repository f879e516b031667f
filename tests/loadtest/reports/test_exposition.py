"""The generator's figures for Prometheus, as Prometheus' own programs read them."""

import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from loadtest.figures.messages import COUNTS, VIOLATIONS, Beat, Health
from loadtest.figures.record import FoundRecord, Moment, RunRecord
from loadtest.master.collector import Collector
from loadtest.master.steering import Standing
from loadtest.reports.exposition import RunMetrics
from tests.support.run_record import told_row

EVIL = 'a "name"\nwith \\ everything{}'


class FakeRun:
    """A run that stands still.  Of `Steered`, what metrics read."""

    def __init__(self, moments: list[Moment]) -> None:
        self.moments = moments
        self.log: list[object] = []
        self.standing = Standing("running", "", EVIL, [], 12, 1.0, None, 7.5, None, 2)

    def record(self) -> RunRecord:
        raise AssertionError("a scrape does not make a record")

    def start(self, users: int, spawn_per_s: float) -> None:
        raise AssertionError("a scrape only looks")

    def edit(self, users: int, spawn_per_s: float) -> None:
        raise AssertionError("a scrape only looks")

    def stop(self) -> None:
        raise AssertionError("a scrape only looks")


@pytest.fixture
def metrics() -> RunMetrics:
    run = Collector()
    for index, name in enumerate(("worker-1", "worker-2")):
        run.joined(index, name)
        run.became(index, "running")
    run.begin(0)
    rows = [
        told_row("deliver (large)", 900, 1000, 40_000, 400_000_000), told_row("deliver (small)", 2000),
        told_row("publish", errors={"busy": 3}), told_row(EVIL, 100, kind="HTTP"),
    ]  # fmt: skip
    counts = {"deliveries": 5, "bytes_received": 1234, "lost": 2}
    health = Health(0.5, 1000, 2500, 0, 9)
    run.take(0, Beat(1, 1_000_000, {"Citizen": 3}, 3, {EVIL: 3}, rows, counts, [], [], [], {"http 503": 4}, health))
    run.found(FoundRecord("reordered", "square/main", 1, 1, "auditor", ""))
    run.became(1, "dead")
    return RunMetrics(FakeRun([closed.moment for closed in run.close_all()]), run)  # type: ignore[arg-type]


def samples(metrics: RunMetrics) -> dict[str, list[Sample]]:
    families = text_string_to_metric_families(metrics.render().decode())
    found: dict[str, list[Sample]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def test_prometheus_finds_no_fault_in_the_text(metrics: RunMetrics) -> None:
    checked = subprocess.run(["promtool", "check", "metrics"], input=metrics.render(), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_state_of_the_run(metrics: RunMetrics) -> None:
    found = samples(metrics)
    assert found["parvis_loadtest_run_info"][0].labels == {"scenario": EVIL}
    phases = {sample.labels["phase"]: sample.value for sample in found["parvis_loadtest_phase"]}
    assert {phase for phase, is_it in phases.items() if is_it} == {"running"}
    assert len(phases) == 6
    assert found["parvis_loadtest_run_seconds"][0].value == 7.5
    assert found["parvis_loadtest_users_wanted"][0].value == 12
    assert [(each.labels, each.value) for each in found["parvis_loadtest_users"]] == [({"class": "Citizen"}, 3)]
    assert [(each.labels, each.value) for each in found["parvis_loadtest_connections"]] == [({"server": EVIL}, 3)]


def test_every_count_is_there_from_the_start(metrics: RunMetrics) -> None:
    found = samples(metrics)
    assert found["parvis_loadtest_deliveries_total"][0].value == 5
    assert found["parvis_loadtest_received_bytes_total"][0].value == 1234
    assert found["parvis_loadtest_connects_total"][0].value == 0
    kinds = {sample.labels["kind"]: sample.value for sample in found["parvis_loadtest_violations_total"]}
    assert kinds == {**dict.fromkeys(VIOLATIONS, 0), "lost": 2, "reordered": 1}
    assert [(each.labels, each.value) for each in found["parvis_loadtest_refusals_total"]] == [({"code": "http 503"}, 4)]
    counters = {name for name in found if name.endswith("_total")}
    assert len(counters) == len(COUNTS) - len(VIOLATIONS) + 3


def test_latencies_are_histograms_of_rows_that_can_be_added_up(metrics: RunMetrics) -> None:
    found = samples(metrics)
    rows = {sample.labels["row"] for sample in found["parvis_loadtest_latency_seconds_count"]}
    assert rows == {"deliver (large)", "deliver (small)", "publish", EVIL}
    large = {
        sample.labels["le"]: sample.value
        for sample in found["parvis_loadtest_latency_seconds_bucket"]
        if sample.labels["row"] == "deliver (large)"
    }
    assert (large["0.001"], large["0.025"], large["0.05"], large["10.0"], large["+Inf"]) == (2, 2, 3, 3, 4)
    sums = {each.labels["row"]: each.value for each in found["parvis_loadtest_latency_seconds_sum"]}
    assert sums["deliver (small)"] == 0.002
    failures = {each.labels["row"]: each.value for each in found["parvis_loadtest_failures_total"]}
    assert failures["publish"] == 3


def test_workers(metrics: RunMetrics) -> None:
    found = samples(metrics)
    up = {sample.labels["worker"]: sample.value for sample in found["parvis_loadtest_worker_up"]}
    assert up == {"worker-1": 1, "worker-2": 0}
    assert found["parvis_loadtest_worker_cpu_ratio"][0].value == 0.5
    assert found["parvis_loadtest_worker_loop_lag_seconds"][0].value == 0.0025
    assert found["parvis_loadtest_worker_resident_memory_bytes"][0].value == 1000


def test_before_the_first_second_there_are_figures_too() -> None:
    found = samples(RunMetrics(FakeRun([]), Collector()))  # type: ignore[arg-type]
    assert "parvis_loadtest_users" not in found
    assert found["parvis_loadtest_deliveries_total"][0].value == 0
