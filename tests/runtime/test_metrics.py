"""The table of metrics: Prometheus' conventions, and a bound on how many series there are."""

import re

from runtime.exposition import MetricsRegistry
from runtime.metric_kinds import Metric, declared_fields
from runtime.metrics import COUNTER_CLASSES, BrokerCounters, DirectoryCounters, GatewayCounters, ProcessCounters, RouterCounters


def table() -> list[Metric]:
    return [metric for kind in COUNTER_CLASSES for _, metric in declared_fields(kind)]


def test_names_follow_the_conventions() -> None:
    for metric in table():
        assert re.fullmatch(r"parvis_[a-z0-9]+(_[a-z0-9]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.name.endswith("_info") == (metric.kind == "info"), metric.name
        assert metric.kind != "histogram" or metric.unit, metric.name
        assert metric.help.endswith("."), metric.name


def test_a_name_means_one_thing() -> None:
    by_name: dict[str, set[tuple[str, str, str, tuple[str, ...]]]] = {}
    for metric in table():
        shape = (metric.help, metric.kind, metric.label, tuple(key for key, _ in metric.fixed))
        by_name.setdefault(metric.name, set()).add(shape)
    assert {name for name, shapes in by_name.items() if len(shapes) > 1} == set()


def test_no_label_can_hold_what_people_bring() -> None:
    labels = {metric.label for metric in table()} | {key for metric in table() for key, _ in metric.fixed}
    assert labels <= {"", "code", "reason", "outcome", "result", "direction", "generation", "role", "rung", "state", "limit"}


def test_a_process_with_every_role_has_under_500_series() -> None:
    registry = MetricsRegistry()
    for counters in (GatewayCounters(), RouterCounters(), BrokerCounters(), DirectoryCounters(), ProcessCounters()):
        registry.expose(counters, node="all")
    lines = [line for line in registry.render().decode().splitlines() if not line.startswith("#")]
    assert 100 < len(lines) < 500
