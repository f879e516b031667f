"""`parvis gateway` and `parvis broker`: one role in a process of its own.

What a cluster on several machines is made of, and what `parvis up` starts when it is asked
for more than one of either.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import trio
from cyclopts import Parameter

from parvis.data_dir import lock_data_dir, make_data_dir
from parvis.directories import gateway_directory, shard_directory
from parvis.errors import StartError
from parvis.options import Config, DataDir, Sets, read_settings
from parvis.parts import address_is_free, opened_journal, start_gateway, start_router, start_shard
from parvis.process import make_host
from parvis.supervised import around_role, say_ready
from parvis.workers import WorkerArguments, count_of, run_workers
from runtime.certificates import refuse_bad_certificate
from runtime.lifecycle import ExitCode, Lifecycle, run_process
from runtime.schema import Settings
from runtime.sockets import adopt_listener
from shard_router.link_opener import dial
from shard_router.router import ShardRouter
from wire.limits import WORKERS_MAX

Supervised = Annotated[bool, Parameter(name="--supervised", negative=(), show=False)]
ListenFd = Annotated[int | None, Parameter(name="--listen-fd", show=False)]


def _check_workers(_: object, value: object) -> None:
    if isinstance(value, int) and not 1 <= value <= WORKERS_MAX:
        raise ValueError(f"a gateway has 1 to {WORKERS_MAX} workers, or auto")


Workers = Annotated[int | Literal["auto"], Parameter(name="--workers", validator=_check_workers)]


def gateway(
    *,
    workers: Workers = 1,
    data_dir: DataDir = None,
    config: Config = None,
    sets: Sets = [],  # noqa: B006  # cyclopts reads the default; nobody writes to it
    supervised: Supervised = False,
    listen_fd: ListenFd = None,
) -> ExitCode:
    """Serve websockets, and reach the cluster's shards: those of cluster.shards, or of its directory in Redis.

    It needs the cluster's link secret (cluster.secret_file) and the key of guest
    identities (guest.key in the data directory), which all gateways share.

    Parameters
    ----------
    workers
        Processes on the one port, each with its share of the bounds: auto is one for each core.
    """
    settings = read_settings(config, sets, data_dir=data_dir).settings
    refuse_bad_certificate(settings.gateway)
    make_data_dir(Path(settings.data_dir))
    count = count_of(workers)
    if count > 1:
        arguments = WorkerArguments(settings, count, config, tuple(sets))
        return run_process(partial(run_workers, arguments=arguments, supervised=supervised), is_service=True)
    return run_process(partial(_run_gateway, settings=settings, supervised=supervised, listen_fd=listen_fd), is_service=True)


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
        return run_process(partial(_run_broker, settings=settings, supervised=supervised), is_service=True)


async def _run_gateway(lifecycle: Lifecycle, *, settings: Settings, supervised: bool, listen_fd: int | None) -> None:
    host = make_host(settings, lifecycle, node=settings.gateway.id)
    router: ShardRouter | None = None

    def why_not_ready() -> list[str]:
        missing = router.shards_known - router.shards_reached if router is not None else 0
        return [f"{missing} of {router.shards_known} shards are out of reach"] if router is not None and missing else []

    async with (
        around_role(host, settings.gateway.admin_host, settings.gateway.admin_port, supervised, why_not_ready) as admin,
        gateway_directory(host) as directory,
        trio.open_nursery() as nursery,
    ):
        router = await start_router(nursery, host, directory, dial(directory, host.network))
        async with trio.open_nursery() as door_nursery:
            door = adopt_listener(listen_fd) if listen_fd is not None else None
            listener = await start_gateway(door_nursery, host, router, directory, door)
            say_ready(host, listener.port, admin.port, supervised)
        nursery.cancel_scope.cancel()


async def _run_broker(lifecycle: Lifecycle, *, settings: Settings, supervised: bool) -> None:
    host = make_host(settings, lifecycle, has_clients=False, node=settings.broker.id)
    async with (
        around_role(host, settings.broker.admin_host, settings.broker.admin_port, supervised) as admin,
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
            say_ready(host, listener.port, admin.port, supervised)
