"""A shard, a gateway and the page in one event loop, for `parvis up` without numbers.

The same roles over the same framed link as anywhere else: the link is a socketpair.  They
end in order: the doors first, then the shard, when nobody is left to ask it anything.
"""

import socket
from collections.abc import Callable, Sequence

import msgspec
import trio

from api.server import run_api
from parvis.parts import Host, opened_journal, pair_to, start_gateway, start_router, start_shard
from parvis.process import start_admin
from runtime.lifecycle import Lifecycle
from runtime.schema import ClusterSettings
from runtime.transport import Listener
from shard_router.directory import StaticDirectory
from shard_router.router import ShardRouter

Announce = Callable[[Sequence[int], Listener], None]


async def run_in_one_process(host: Host, sock: socket.socket, announce: Announce) -> None:
    """Serve until the host's lifecycle drains; `sock` is the page's.  Raises `StartError`, `JournalCorrupt`, `Unavailable`."""
    settings = host.settings
    shard_lifecycle = Lifecycle(host.lifecycle.wall_clock)
    async with opened_journal(host) as opened, trio.open_nursery() as nursery:
        # Each start is a new map: another number of shards may have claimed the slots last time.
        cluster = ClusterSettings(shards={settings.broker.id: _NOWHERE}, map_version=opened.newest_map_version + 1)
        directory = StaticDirectory(cluster)
        # Nobody dials this shard, so its link port is any free one.
        shard_host = msgspec.structs.replace(settings, broker=msgspec.structs.replace(settings.broker, port=0))
        async with trio.open_nursery() as shard_nursery:
            server = await start_shard(shard_nursery, host.with_settings(shard_host), opened, directory, shard_lifecycle)
            router = await start_router(nursery, host, directory, pair_to(server, host.network))
            async with trio.open_nursery() as door_nursery:
                gateway = await start_gateway(door_nursery, host, router, directory)
                admin = await start_admin(
                    nursery, host, settings.gateway.admin_host, settings.gateway.admin_port, lambda: _why_not_ready(router)
                )
                ports = [gateway.port]
                door_nursery.start_soon(_serve_page, host, sock, ports)
                announce(ports, admin)
            shard_lifecycle.start_drain("the gateway has left")
        nursery.cancel_scope.cancel()


# An address that the directory has to name and nobody asks for.
_NOWHERE = "127.0.0.1:1"


async def _serve_page(host: Host, sock: socket.socket, ports: Sequence[int]) -> None:
    await run_api(sock, ports, scheme=host.settings.gateway.websocket_scheme, wait_drain=host.lifecycle.wait_drain)


def _why_not_ready(router: ShardRouter) -> list[str]:
    return [] if router.shards_reached else ["the shard is out of reach"]
