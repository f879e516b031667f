"""`parvis gateway` and `parvis broker`: one role in a process of its own.

What a cluster on several machines is made of, and what `parvis up` starts when it is asked
for more than one of either.
"""

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from parvis.child import READY_WORD
from parvis.data_dir import lock_data_dir, make_data_dir
from parvis.directories import gateway_directory, shard_directory
from parvis.errors import StartError
from parvis.options import Config, DataDir, Sets, read_settings
from parvis.parts import Host, address_is_free, opened_journal, start_gateway, start_router, start_shard
from parvis.process import make_host, start_admin
from runtime.lifecycle import ExitCode, Lifecycle, run_process
from runtime.schema import Settings
from shard_router.link_opener import dial
from shard_router.router import ShardRouter

Supervised = Annotated[bool, Parameter(name="--supervised", negative=(), show=False)]


def gateway(
    *, data_dir: DataDir = None, config: Config = None, sets: Sets = [], supervised: Supervised = False  # noqa: B006
) -> ExitCode:
    """Serve websockets, and reach the cluster's shards: those of cluster.shards, or of its directory in Redis.

    It needs the cluster's link secret (cluster.secret_file) and the key of guest
    identities (guest.key in the data directory), which all gateways share.
    """
    settings = read_settings(config, sets, data_dir=data_dir).settings
    make_data_dir(Path(settings.data_dir))
    return run_process(partial(_run_gateway, settings=settings, supervised=supervised))


def broker(
    *, data_dir: DataDir = None, config: Config = None, sets: Sets = [], supervised: Supervised = False  # noqa: B006
) -> ExitCode:
    """Speak for the rooms of one shard, named by broker.id, and keep them in the journal."""
    settings = read_settings(config, sets, data_dir=data_dir).settings
    if settings.cluster.directory == "static" and settings.broker.id not in settings.cluster.shards:
        raise StartError(f"broker.id {settings.broker.id} is not among cluster.shards: no slot is its own", ExitCode.CONFIG)
    make_data_dir(Path(settings.data_dir))
    with ExitStack() as held:
        if not supervised:
            held.callback(lock_data_dir(Path(settings.data_dir), is_shared=True).close)
        return run_process(partial(_run_broker, settings=settings, supervised=supervised))


async def _run_gateway(lifecycle: Lifecycle, *, settings: Settings, supervised: bool) -> None:
    host = make_host(settings, lifecycle, node=settings.gateway.id)
    router: ShardRouter | None = None

    def why_not_ready() -> list[str]:
        missing = router.shards_known - router.shards_reached if router is not None else 0
        return [f"{missing} of {router.shards_known} shards are out of reach"] if router is not None and missing else []

    async with (
        _process(host, settings.gateway.admin_host, settings.gateway.admin_port, supervised, why_not_ready),
        gateway_directory(host) as directory,
        trio.open_nursery() as nursery,
    ):
        router = await start_router(nursery, host, directory, dial(directory, host.network))
        async with trio.open_nursery() as door_nursery:
            listener = await start_gateway(door_nursery, host, router, directory)
            _say_ready(host, listener.port, supervised)
        nursery.cancel_scope.cancel()


async def _run_broker(lifecycle: Lifecycle, *, settings: Settings, supervised: bool) -> None:
    host = make_host(settings, lifecycle, node=settings.broker.id)
    async with (
        _process(host, settings.broker.admin_host, settings.broker.admin_port, supervised),
        opened_journal(host) as opened,
    ):
        async with address_is_free():
            # Before the directory tells others where it is.
            listener = await host.network.listen(settings.broker.host, settings.broker.port)
        async with (
            shard_directory(host, listener, opened.newest_map_version) as directory,
            trio.open_nursery() as shard_nursery,
        ):
            await start_shard(shard_nursery, host, opened, directory, lifecycle, listener)
            _say_ready(host, listener.port, supervised)


@asynccontextmanager
async def _process(
    host: Host, admin_host: str, admin_port: int, supervised: bool, more_reasons: Callable[[], Sequence[str]] = tuple
) -> AsyncIterator[None]:
    """What goes on around a role from its first moment: the admin port says "starting" while a store or a map is waited for."""
    async with trio.open_nursery() as nursery:
        await start_admin(nursery, host, admin_host, admin_port, more_reasons)
        if supervised:
            nursery.start_soon(_drain_when_orphaned, host.lifecycle)
        yield
        nursery.cancel_scope.cancel()


def _say_ready(host: Host, port: int, supervised: bool) -> None:
    host.lifecycle.started()
    host.log.info("ready", port=port)
    if supervised:
        print(READY_WORD, port, flush=True)


async def _drain_when_orphaned(lifecycle: Lifecycle) -> None:
    """The parent holds the other end of standard input and writes nothing: its end is the parent's."""
    async with trio.lowlevel.FdStream(sys.stdin.fileno()) as from_parent:
        while await from_parent.receive_some(1):
            continue
    lifecycle.start_drain("the process that started this one is gone")
