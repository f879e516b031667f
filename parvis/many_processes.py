"""Shards and gateways as processes of their own, and the page in the parent, for `parvis up` with numbers.

The shards share one journal; each slot's writer is fenced by its term in it, so their
number may change from run to run.  Shards come up first, on free ports, and are told to the
gateways, or find one another in the directory of a cluster; they leave last, when nobody is
left to ask them anything, and only the cluster's own Valkey after them.
"""

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from api.server import run_api
from parvis.arguments import Arguments
from parvis.child import Child, pass_on_reloads, start_all
from parvis.data_dir import DataDirLock
from parvis.parts import Host, opened_journal
from parvis.plan import Plan
from parvis.process import start_admin
from parvis.valkey import Valkey, socket_path, valkey_program
from runtime.process_list import ListedAs, ProcessList
from runtime.transport import Listener

Announce = Callable[[Sequence[int], Listener], None]


async def run_in_many_processes(
    host: Host, plan: Plan, sock: socket.socket, lock: DataDirLock, processes: ProcessList, announce: Announce
) -> None:
    """Serve until the host's lifecycle drains; `sock` is the page's, and each process is put into the list.

    Raises `StartError` when a process does not come up.
    """
    settings = host.settings
    # Made before the processes that share them: who comes first is not left to chance.
    host.link_secrets()
    host.guest_key()
    arguments = Arguments(settings, plan, await _next_map_version(host, plan))
    child = partial(Child, inherited_fds=(lock.fd,), log=host.log, rng=host.rng)
    shards = [
        child(
            f"shard-{n}",
            partial(arguments.shard, n),
            drain_deadline_s=settings.broker.drain_deadline_s,
            listed_as=ListedAs(processes, "shard", f"shard-{n}"),
        )
        for n in range(1, plan.shards + 1)
    ]
    gateways_leave, shards_leave = trio.Event(), trio.Event()
    async with _own_valkey(host, plan, lock, processes) as stores, trio.open_nursery() as nursery:
        nursery.start_soon(_set_at_drain, host, gateways_leave)
        async with trio.open_nursery() as shard_nursery:
            await start_all(shard_nursery, shards, shards_leave)
            shard_ports = [shard.port for shard in shards]
            gateways = [
                child(
                    f"gateway-{n}",
                    partial(arguments.gateway, n, shard_ports=shard_ports),
                    drain_deadline_s=settings.gateway.drain_deadline_s,
                    listed_as=ListedAs(processes, "gateway", f"gateway-{n}"),
                )
                for n in range(1, plan.gateways + 1)
            ]
            async with trio.open_nursery() as door_nursery:
                await start_all(door_nursery, gateways, gateways_leave)
                nursery.start_soon(pass_on_reloads, host.lifecycle, gateways)
                everything: list[Valkey | Child] = [*stores, *shards, *gateways]
                admin = await start_admin(
                    nursery, host, settings.gateway.admin_host, settings.gateway.admin_port,
                    lambda: [f"{each.name} is down" for each in everything if not each.is_up],
                )  # fmt: skip
                ports = [gateway.port for gateway in gateways]
                scheme = settings.gateway.websocket_scheme
                door_nursery.start_soon(partial(run_api, sock, ports, scheme=scheme, wait_drain=host.lifecycle.wait_drain))
                announce(ports, admin)
            shards_leave.set()
        nursery.cancel_scope.cancel()


async def _next_map_version(host: Host, plan: Plan) -> int:
    """Each start is a new map: another number of shards may have claimed the slots last time.  A directory has its own."""
    if plan.is_clustered:
        return 1
    async with opened_journal(host) as opened:
        return opened.newest_map_version + 1


@asynccontextmanager
async def _own_valkey(host: Host, plan: Plan, lock: DataDirLock, processes: ProcessList) -> AsyncIterator[list[Valkey]]:
    """The cluster's own Valkey, up before everything else and down after it; none where a Redis was named."""
    if not plan.has_own_valkey:
        yield []
        return
    listed_as = ListedAs(processes, "store", "valkey")
    valkey = Valkey(valkey_program(), socket_path(host.data_dir), lock.fd, host.log, host.rng, listed_as)
    leave = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(valkey.run, leave)
        yield [valkey]
        leave.set()


async def _set_at_drain(host: Host, leave: trio.Event) -> None:
    await host.lifecycle.wait_drain()
    leave.set()
