"""What a cluster's directory is told of the roles of this process; a static one is told nothing."""

from typing import Final

from broker.server import ShardServer
from parvis.errors import StartError
from runtime.lifecycle import ExitCode
from runtime.metrics import GatewayCounters
from runtime.schema import GatewaySettings
from runtime.transport import Listener
from shard_router.cluster_directory import ClusterDirectory
from shard_router.cluster_records import Report
from shard_router.directory import Directory

# What is bound there is bound on every address of the machine, and is no address to be reached at.
EVERYWHERE: Final = frozenset({"0.0.0.0", "::", ""})


def report_shard(directory: Directory, server: ShardServer) -> None:
    """Have the shard's figures in its record from now on."""
    if isinstance(directory, ClusterDirectory):
        directory.report = server.report


def report_gateway(directory: Directory, settings: GatewaySettings, listener: Listener, counters: GatewayCounters) -> None:
    """Have the gateway's address and figures in its record from now on."""
    if not isinstance(directory, ClusterDirectory):
        return

    def report() -> Report:
        connections = counters.connections() if counters.connections is not None else 0
        return Report(connections=int(connections), accepts_per_s=settings.accepts_per_s)

    directory.report = report
    directory.advertise(_written(listener))


def link_address(listener: Listener) -> str:
    """``host:port`` of a shard's link port for others; raises `StartError` where it is no address to be reached at."""
    if listener.host in EVERYWHERE:
        sentence = f"broker.host {listener.host} is no address to be reached at: broker.advertise must say which is"
        raise StartError(sentence, ExitCode.CONFIG)
    return _written(listener)


def _written(listener: Listener) -> str:
    return f"[{listener.host}]:{listener.port}" if ":" in listener.host else f"{listener.host}:{listener.port}"
