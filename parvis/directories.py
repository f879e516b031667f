"""Which directory a process uses, and its life in it: it joins before it serves and leaves after it.

`cluster.directory = static` reads the settings; `redis` joins the cluster `cluster.name` in that Redis.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from parvis import VERSION
from parvis.directory_store import open_store
from parvis.errors import StartError
from parvis.parts import Host
from parvis.reports import link_address
from runtime.lifecycle import ExitCode
from runtime.metrics import DirectoryCounters
from runtime.offload import ThreadLane
from runtime.transport import Listener
from shard_router.cluster_directory import ClusterDirectory, new_member, probe_by
from shard_router.cluster_records import MemberRecord
from shard_router.directory import Directory, StaticDirectory
from wire.limits import LEASE_S


@asynccontextmanager
async def shard_directory(host: Host, listener: Listener, map_version_floor: int) -> AsyncIterator[Directory]:
    """The directory of a shard that listens already; `map_version_floor` is the newest map its journal has seen."""
    broker = host.settings.broker
    if host.settings.cluster.directory == "static":
        yield StaticDirectory(host.settings.cluster)
        return
    record = new_member(
        "shard", broker.id, host.rng,
        address=broker.advertise or link_address(listener), weight=broker.weight, program=VERSION,
    )  # fmt: skip
    async with joined(host, record, map_version_floor) as directory:
        yield directory


@asynccontextmanager
async def gateway_directory(host: Host) -> AsyncIterator[Directory]:
    """The directory of a gateway, from before it listens; when it begins to drain, the others know."""
    if host.settings.cluster.directory == "static":
        yield StaticDirectory(host.settings.cluster)
        return
    record = new_member("gateway", host.settings.gateway.id, host.rng, program=VERSION)
    async with joined(host, record) as directory, trio.open_nursery() as nursery:

        async def tell_of_drain() -> None:
            await host.lifecycle.wait_drain()
            directory.start_leaving()

        nursery.start_soon(tell_of_drain)
        yield directory
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def joined(host: Host, record: MemberRecord, map_version_floor: int = 0) -> AsyncIterator[ClusterDirectory]:
    """A place in the cluster, from the first map on; given up at the end, so that nobody waits for a lease."""
    settings = host.settings
    counters = DirectoryCounters()
    host.registry.expose(counters, node=record.id)
    store, lane = open_store(settings), ThreadLane("directory")
    directory = ClusterDirectory(
        store, lane, record,
        cluster=settings.cluster.name, secrets=host.link_secrets(), probe=probe_by(host.network), rng=host.rng,
        log=host.log.bind(role="directory", node=record.id), counters=counters, map_version_floor=map_version_floor,
    )  # fmt: skip
    try:
        async with trio.open_nursery() as nursery:
            await _start(nursery, host, directory)
            yield directory
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LEASE_S):
            await directory.leave()
        lane.close()
        store.close()


async def _start(nursery: trio.Nursery, host: Host, directory: ClusterDirectory) -> None:
    """Until there is a map to follow; a signal ends the waiting, and with it the process."""
    async with trio.open_nursery() as waiting:

        async def end_at_drain() -> None:
            await host.lifecycle.wait_drain()
            raise StartError("ended while it waited for the cluster's slot map", ExitCode.OK)

        waiting.start_soon(end_at_drain)
        await nursery.start(directory.run)
        waiting.cancel_scope.cancel()
