"""parvis/reports.py: addresses that others can use, and figures for the directory."""

from dataclasses import dataclass
from random import Random

import pytest
import structlog

from parvis.errors import StartError
from parvis.reports import link_address, report_gateway
from runtime.lifecycle import ExitCode
from runtime.metrics import DirectoryCounters, GatewayCounters
from runtime.schema import ClusterSettings, GatewaySettings
from shard_router.cluster_directory import ClusterDirectory, new_member
from shard_router.cluster_records import Report
from shard_router.directory import Address, StaticDirectory
from tests.support.cluster_store_model import ClusterStoreModel
from tests.support.offloads import InlineOffload


@dataclass
class Bound:
    """A listener that listens to nobody."""

    host: str
    port: int

    def try_accept(self) -> None:
        raise BlockingIOError

    async def wait_acceptable(self) -> None:
        raise AssertionError("nobody listens")

    def close(self) -> None:
        """Nothing is held."""


def test_an_address_is_written_as_others_read_it() -> None:
    assert link_address(Bound("10.0.0.1", 8101)) == "10.0.0.1:8101"  # type: ignore[arg-type]
    assert link_address(Bound("fd00::1", 8101)) == "[fd00::1]:8101"  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_everywhere_is_no_address_to_be_reached_at(host: str) -> None:
    with pytest.raises(StartError, match=r"broker\.advertise must say") as told:
        link_address(Bound(host, 8101))  # type: ignore[arg-type]
    assert told.value.code == ExitCode.CONFIG


async def test_a_gateways_address_and_figures_are_in_its_record_and_a_static_directory_is_told_nothing() -> None:
    async def nobody(_: Address) -> bool:
        return False

    directory = ClusterDirectory(
        ClusterStoreModel().client(), InlineOffload(), new_member("gateway", "g", Random(1)),
        cluster="town", secrets=[b"secret"], probe=nobody, rng=Random(1), log=structlog.get_logger(),
        counters=DirectoryCounters(),
    )  # fmt: skip
    counters = GatewayCounters()
    for each in (StaticDirectory(ClusterSettings()), directory):
        report_gateway(each, GatewaySettings(accepts_per_s=5.0), Bound("10.0.0.1", 8001), counters)  # type: ignore[arg-type]
    assert directory.report() == Report(connections=0, accepts_per_s=5.0)
    counters.connections = lambda: 7.0
    assert directory.report() == Report(connections=7, accepts_per_s=5.0)
