"""The scrape: what roles counted, in a form that Prometheus' own parser reads back."""

from prometheus_client.parser import text_string_to_metric_families

from runtime.exposition import MetricsRegistry
from runtime.metrics import BrokerCounters, GatewayCounters, ProcessCounters


def scrape(registry: MetricsRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a scrape by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(registry.render().decode())
        for sample in family.samples
    }


def value(registry: MetricsRegistry, name: str, **labels: str) -> float | None:
    return scrape(registry).get((name, frozenset(labels.items())))


def test_plain_attributes_are_what_is_scraped() -> None:
    registry, counters = MetricsRegistry(), GatewayCounters()
    registry.expose(counters)
    counters.deliveries += 3
    counters.connections_max = 7
    counters.refusals["busy"] += 2
    counters.closed["3008"] += 1
    counters.closed["4321"] += 1
    assert value(registry, "parvis_gateway_deliveries_total") == 3
    assert value(registry, "parvis_gateway_connections_limit") == 7
    assert value(registry, "parvis_gateway_refusals_total", code="busy") == 2
    assert value(registry, "parvis_gateway_connections_closed_total", code="3008") == 1
    assert value(registry, "parvis_gateway_connections_closed_total", code="other") == 1
    counters.bytes_in += 10
    assert value(registry, "parvis_gateway_bytes_total", direction="in") == 10


def test_a_sample_is_taken_at_the_scrape_and_left_out_without_a_source() -> None:
    registry, counters = MetricsRegistry(), GatewayCounters()
    registry.expose(counters)
    assert value(registry, "parvis_gateway_feeds") is None
    rooms = ["a/b"]
    counters.feeds = lambda: len(rooms)
    assert value(registry, "parvis_gateway_feeds") == 1
    rooms.append("a/c")
    assert value(registry, "parvis_gateway_feeds") == 2


def test_a_histogram_is_cumulative() -> None:
    registry, counters = MetricsRegistry(), BrokerCounters()
    registry.expose(counters)
    counters.commit.seconds.observe(0.0004)
    counters.commit.seconds.observe(3)
    assert value(registry, "parvis_commit_seconds_bucket", le="0.0005") == 1
    assert value(registry, "parvis_commit_seconds_bucket", le="1.0") == 1
    assert value(registry, "parvis_commit_seconds_bucket", le="+Inf") == 2
    assert value(registry, "parvis_commit_seconds_count") == 2
    assert value(registry, "parvis_commit_seconds_sum") == 3.0004


def test_two_roles_of_a_kind_are_told_apart_under_one_heading() -> None:
    registry = MetricsRegistry()
    one, two = GatewayCounters(), GatewayCounters()
    registry.expose(one, node="gateway-1")
    registry.expose(two, node="gateway-2")
    two.passes += 5
    assert value(registry, "parvis_gateway_passes_total", node="gateway-1") == 0
    assert value(registry, "parvis_gateway_passes_total", node="gateway-2") == 5
    assert registry.render().count(b"# TYPE parvis_gateway_passes_total counter") == 1


def test_an_info_is_its_labels() -> None:
    registry, counters = MetricsRegistry(), ProcessCounters()
    registry.expose(counters)
    assert b"parvis_build_info{" not in registry.render()
    counters.build = {"version": "0.1.0"}
    assert value(registry, "parvis_build_info", version="0.1.0") == 1


def test_what_is_withdrawn_is_gone_with_its_parts() -> None:
    registry, counters = MetricsRegistry(), BrokerCounters()
    registry.expose(counters)
    registry.withdraw(counters)
    assert registry.render() == b""


def test_registries_are_strangers() -> None:
    one, two = MetricsRegistry(), MetricsRegistry()
    one.expose(GatewayCounters())
    assert two.render() == b""
