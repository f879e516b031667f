"""Counters as Prometheus text: one registry per process or per test, nothing global.

`expose` is given the objects that roles count in; a scrape reads them as they are.  Reading
ints while the same thread counts needs no lock, so counting costs what an attribute costs.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, assert_never

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from runtime.metric_kinds import Histogram, LabelCounts, Metric, declared_fields, nested_parts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsRegistry(Collector):
    """Everything that one admin port shows."""

    def __init__(self) -> None:
        self._exposed: list[tuple[object, Mapping[str, str]]] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def expose(self, counters: object, **labels: str) -> None:
        """Show `counters` from now on; `labels` tell two of one kind in one process apart (``node="gateway-2"``)."""
        self._exposed.append((counters, labels))
        for part in nested_parts(counters):
            self.expose(part, **labels)

    def withdraw(self, counters: object) -> None:
        """Show `counters` no more."""
        gone = [counters, *nested_parts(counters)]
        self._exposed = [(each, labels) for each, labels in self._exposed if not any(each is part for part in gone)]

    def render(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Family]:
        """Called by prometheus-client; families of one name are joined, as the format demands."""
        families: dict[str, Family] = {}
        for counters, labels in self._exposed:
            for field, metric in declared_fields(counters):
                family = families.get(metric.name)
                if family is None:
                    family = families[metric.name] = Family(metric.name.removesuffix("_total"), metric.help, metric.kind)
                for suffix, more, value in _samples(metric, getattr(counters, field.name)):
                    family.add_sample(metric.name + suffix, {**labels, **dict(metric.fixed), **more}, value)
        return families.values()


def _samples(metric: Metric, value: Any) -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples of one field: name suffix, labels, value."""
    match metric.kind:
        case "info":
            if value:
                yield "", value, 1.0
        case "histogram":
            assert isinstance(value, Histogram), "a histogram field keeps its histogram"
            yield from _histogram_samples(value)
        case "counter" | "gauge":
            if isinstance(value, LabelCounts):
                yield from (("", {metric.label: label}, count) for label, count in value.by_label())
            elif callable(value):
                yield "", {}, value()
            elif value is not None:
                yield "", {}, value
        case _:
            assert_never(metric.kind)


def _histogram_samples(value: Histogram) -> Iterator[tuple[str, dict[str, str], float]]:
    seen = 0
    for bound, bucket in zip((*map(str, value.bounds), "+Inf"), value.buckets, strict=True):
        seen += bucket
        yield "_bucket", {"le": bound}, seen
    yield "_count", {}, seen
    yield "_sum", {}, value.sum
