"""`--metrics-port`: the generator's own figures for Prometheus, put beside those of the server.

Everything is read from the master as it is scraped.  Names follow Prometheus' rules: base units, ``_total`` for what
only rises.  A row that is a part of another (``deliver (large)``) is shown instead of the whole, so that sums are right.
"""

from collections.abc import Iterable, Iterator
from typing import Final, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector as PrometheusCollector

from loadtest.figures.messages import COUNTS, VIOLATIONS
from loadtest.master.collector import Collector
from loadtest.master.steering import Phase, Steered
from runtime.metrics import LATENCY_BOUNDS_S

_PREFIX: Final = "parvis_loadtest"
_BOUNDS_US: Final = tuple(round(bound * 1_000_000) for bound in LATENCY_BOUNDS_S)
_NAMES: Final = {"bytes_received": "received_bytes"}
"""Counts with a unit: it comes last."""


class RunMetrics(PrometheusCollector):
    """What an admin port shows of a run: `render` is all it asks for (`runtime.admin.Figures`)."""

    def __init__(self, run: Steered, collector: Collector) -> None:
        self._run = run
        self._collector = collector
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus-client."""
        yield from self._state()
        yield from self._counts()
        yield from self._rows()
        yield from self._workers()

    def _state(self) -> Iterator[Metric]:
        standing, moments = self._run.standing, self._run.moments
        yield InfoMetricFamily(f"{_PREFIX}_run", "What is run.", {"scenario": standing.scenario})
        yield _phases(standing.phase)
        yield GaugeMetricFamily(f"{_PREFIX}_run_seconds", "Since the run's start; 0 before.", standing.seconds)
        yield GaugeMetricFamily(f"{_PREFIX}_users_wanted", "Users that there should be.", standing.users)
        users = GaugeMetricFamily(f"{_PREFIX}_users", "Living users.", labels=["class"])
        connections = GaugeMetricFamily(f"{_PREFIX}_connections", "Connections of each gateway.", labels=["server"])
        if moments:
            for name, count in moments[-1].users_by_class.items():
                users.add_metric([name], count)
            for name, count in moments[-1].servers.items():
                connections.add_metric([name], count)
        yield from (users, connections)

    def _counts(self) -> Iterator[Metric]:
        counts = self._collector.counts
        for name, about in COUNTS.items():
            if name not in VIOLATIONS:
                yield CounterMetricFamily(f"{_PREFIX}_{_NAMES.get(name, name)}", _sentence(about), counts[name])
        violations = CounterMetricFamily(f"{_PREFIX}_violations", "What must not happen, by kind.", labels=["kind"])
        for kind in VIOLATIONS:
            violations.add_metric([kind], counts[kind])
        refusals = CounterMetricFamily(f"{_PREFIX}_refusals", "Connections that failed or ended, by code.", labels=["code"])
        for code, count in self._collector.refusals.items():
            refusals.add_metric([code], count)
        yield from (violations, refusals)

    def _rows(self) -> Iterator[Metric]:
        about = "How long it took, from the intended moment on."
        latencies = HistogramMetricFamily(f"{_PREFIX}_latency_seconds", about, labels=["type", "row"])
        failures = CounterMetricFamily(f"{_PREFIX}_failures", "What went wrong, by row.", labels=["type", "row"])
        for row in self._collector.totals.told():
            took = row.latencies
            buckets = [(f"{bound}", count) for bound, count in zip(LATENCY_BOUNDS_S, took.counts_up_to(_BOUNDS_US), strict=True)]
            latencies.add_metric([row.kind, row.name], [*buckets, ("+Inf", took.count)], took.total_us / 1_000_000)
            failures.add_metric([row.kind, row.name], row.failures)
        yield from (latencies, failures)

    def _workers(self) -> Iterator[Metric]:
        def gauge(name: str, about: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"{_PREFIX}_worker_{name}", about, labels=["worker"])

        up = gauge("up", "1 while the worker belongs to the run.")
        users = gauge("users", "Living users of a worker.")
        cpu = gauge("cpu_ratio", "Processor time of a worker, as a share of one core.")
        memory = gauge("resident_memory_bytes", "Memory of a worker.")
        lag = gauge("loop_lag_seconds", "How late a worker's event loop woke at worst.")
        for worker in self._collector.workers():
            name = [worker.name]
            up.add_metric(name, worker.state in ("ready", "running"))
            users.add_metric(name, worker.users)
            cpu.add_metric(name, worker.cpu_share)
            memory.add_metric(name, worker.rss_bytes)
            lag.add_metric(name, worker.lag_ms / 1000)
        yield from (up, users, cpu, memory, lag)


def _phases(phase: Phase) -> Metric:
    family = GaugeMetricFamily(f"{_PREFIX}_phase", "1 for where the run stands.", labels=["phase"])
    for each in get_args(Phase):
        family.add_metric([each], each == phase)
    return family


def _sentence(about: str) -> str:
    return f"{about[0].upper()}{about[1:]}."
