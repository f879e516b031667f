"""Figures of several processes in one answer."""

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from runtime.exposition import MetricsRegistry
from runtime.merged_metrics import merge
from runtime.metrics import GatewayCounters, ProcessCounters


@dataclass
class Worker:
    registry: MetricsRegistry
    gateway: GatewayCounters


def worker(accepted: int) -> Worker:
    it = Worker(MetricsRegistry(), GatewayCounters(accepted=accepted))
    it.registry.expose(it.gateway, node="gateway-1")
    return it


def test_each_sample_says_whose_it_is_and_nothing_is_lost() -> None:
    parent = MetricsRegistry()
    process = ProcessCounters()
    process.draining = lambda: 0
    parent.expose(process)
    one, two = worker(3), worker(4)
    two.gateway.closed["3008"] = 7
    merged = merge({"1": one.registry.render(), "2": two.registry.render(), "parent": parent.render()}, "worker")
    families = {family.name: family for family in text_string_to_metric_families(merged.decode())}
    accepted = {sample.labels["worker"]: sample.value for sample in families["parvis_gateway_accepted"].samples}
    assert accepted == {"1": 3, "2": 4}
    closed = families["parvis_gateway_connections_closed"].samples
    assert [(each.labels["worker"], each.value) for each in closed if each.labels["code"] == "3008"] == [("1", 0), ("2", 7)]
    assert all(sample.labels["node"] == "gateway-1" for sample in closed)
    assert [sample.labels for sample in families["parvis_draining"].samples] == [{"worker": "parent"}]
    alone = [line for each in (one, two) for line in each.registry.render().splitlines() if not line.startswith(b"#")]
    in_all = [line for line in merged.splitlines() if not line.startswith(b"#") and b'worker="parent"' not in line]
    assert len(in_all) == len(alone)


def test_a_family_is_described_once_and_its_samples_stand_together() -> None:
    merged = merge({"1": worker(1).registry.render(), "2": worker(2).registry.render()}, "worker").decode().splitlines()
    helps = [line.split()[2] for line in merged if line.startswith("# HELP")]
    assert len(helps) == len(set(helps))
    start = merged.index('parvis_gateway_accepted_total{worker="1",node="gateway-1"} 1.0')
    assert merged[start + 1] == 'parvis_gateway_accepted_total{worker="2",node="gateway-1"} 2.0'


def test_values_with_braces_and_spaces_stay_as_they_are() -> None:
    text = b'# HELP x Some {words}.\n# TYPE x gauge\nx{a="b } c"} 1.0\nx 2.0\n'
    assert merge({"1": text}, "worker").decode().splitlines()[2:] == ['x{worker="1",a="b } c"} 1.0', 'x{worker="1"} 2.0']
