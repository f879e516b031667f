"""`parvis up`: a whole parvis on one machine, in one process or in several.

Here is what both forms share: settings, the data directory and its lock, the page's socket,
the origins the gateways allow, and the banner.  parvis/one_process.py and
parvis/many_processes.py do the rest.
"""

import os
import shutil
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
import psutil
from cyclopts import Parameter
from cyclopts.validators import Number

from parvis import VERSION
from parvis.banner import Started, banner
from parvis.data_dir import DataDirLock, lock_data_dir, make_data_dir
from parvis.errors import StartError
from parvis.many_processes import run_in_many_processes
from parvis.one_process import run_in_one_process
from parvis.options import Config, DataDir, Sets, read_settings
from parvis.origins import page_origins
from parvis.parts import Host
from parvis.plan import Plan
from parvis.process import make_host
from parvis.valkey import socket_path
from runtime.certificates import refuse_bad_certificate
from runtime.http_server import listen
from runtime.lifecycle import ExitCode, Lifecycle, run_process
from runtime.process_list import ListedAs, listed
from runtime.schema import Settings
from runtime.settings import DEFAULT_ORIGIN, Loaded
from runtime.transport import Listener
from wire.limits import SHARDS_MAX

GATEWAYS_MAX: Final = 64
# Nobody stays to take the clients over when a whole parvis ends, so waiting for them to
# move is waiting for nothing; a second is enough for the answers that are under way.
LAST_DRAIN_S: Final = 1.0


def up(
    *,
    gateways: Annotated[int | None, Parameter(validator=Number(gte=1, lte=GATEWAYS_MAX))] = None,
    shards: Annotated[int | None, Parameter(validator=Number(gte=1, lte=SHARDS_MAX))] = None,
    cluster: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    redis: str | None = None,
    host: str | None = None,
    port: Annotated[int | None, Parameter(validator=Number(gte=0, lte=65535))] = None,
    data_dir: DataDir = None,
    config: Config = None,
    sets: Sets = [],  # noqa: B006  # cyclopts reads the default; nobody writes to it
) -> ExitCode:
    """Run `parvis up`; the words of parvis/command.py say what it is to a person.

    Parameters
    ----------
    gateways
        Gateways, each on a port of its own: 1, or 2 in a cluster. More than one of gateways or shards means a process for each.
    shards
        Shards: 1, or 2 in a cluster. They share the journal.
    cluster
        Run as a cluster does on many machines: journal and directory in Redis, shards that take over from one another. Where
        no Redis is named, by --redis or redis.url, a Valkey of our own is started, with its data in the data directory.
    redis
        The cluster's Redis or Valkey, as in redis://127.0.0.1:6379/0; implies --cluster.
    host
        Address for the page and the gateways; 0.0.0.0 lets other machines in. By default only this one.
    port
        Port of the page (8000); the gateways take the ports after it.
    """
    flags = _flags(host, port, redis)
    loaded = read_settings(config, sets, data_dir=data_dir, flags=flags)
    has_own_valkey = cluster and not loaded.settings.redis.url
    if cluster or redis is not None:
        flags |= {"journal.kind": "redis", "cluster.directory": "redis"}
        if has_own_valkey:
            flags |= {"redis.url": f"unix://{socket_path(Path(loaded.settings.data_dir))}"}
        loaded = read_settings(config, sets, data_dir=data_dir, flags=flags)
    settings = loaded.settings
    is_clustered = settings.cluster.directory == "redis"
    several = 2 if is_clustered else 1
    plan = Plan(gateways or several, shards or several, config, tuple(sets), is_clustered, has_own_valkey)
    refuse_bad_certificate(settings.gateway)
    if plan.is_many and settings.journal.kind == "memory":
        raise StartError("journal.kind = memory is one process's own; several need sqlite or redis", ExitCode.CONFIG)
    make_data_dir(Path(settings.data_dir))
    lock = lock_data_dir(Path(settings.data_dir))
    try:
        return run_process(partial(_run, loaded=loaded, plan=plan, lock=lock), is_service=True)
    finally:
        lock.close()


def _flags(host: str | None, port: int | None, redis: str | None) -> dict[str, object]:
    flags: dict[str, object] = {}
    if redis is not None:
        flags |= {"redis.url": redis}
    if host is not None:
        flags |= {"api.host": host, "gateway.host": host}
    if port is not None:
        flags |= {"api.port": port, "gateway.port": min(port + 1, 65535) if port else 0}
    return flags


async def _run(lifecycle: Lifecycle, *, loaded: Loaded, plan: Plan, lock: DataDirLock) -> None:
    try:
        sock = listen(loaded.settings.api.host, loaded.settings.api.port)
    except OSError as error:
        raise StartError(error.strerror or str(error), ExitCode.UNAVAILABLE) from error
    host = make_host(_for_one_machine(loaded, sock.getsockname()[1]), lifecycle)
    with listed(host.data_dir) as processes:
        announce = partial(_announce, host, plan, sock.getsockname()[1], ListedAs(processes, "up", "up"))
        if plan.is_many:
            await run_in_many_processes(host, plan, sock, lock, processes, announce)
        else:
            await run_in_one_process(host, sock, announce)


def _for_one_machine(loaded: Loaded, page_port: int) -> Settings:
    """The settings with what only `parvis up` knows: its page's origins, and that it is the last to leave."""
    settings = loaded.settings
    origins = [*settings.gateway.origins, *page_origins(settings.api.host, page_port, _own_addresses())]
    gateway = msgspec.structs.replace(settings.gateway, origins=list(dict.fromkeys(origins)))
    if loaded.origin_of("gateway.drain_deadline_s") == DEFAULT_ORIGIN:
        gateway = msgspec.structs.replace(gateway, drain_deadline_s=LAST_DRAIN_S)
    if loaded.origin_of("gateway.drain_notice_s") == DEFAULT_ORIGIN:
        gateway = msgspec.structs.replace(gateway, drain_notice_s=0.0)
    log = settings.log
    if loaded.origin_of("log.level") == DEFAULT_ORIGIN and sys.stderr.isatty():
        # A person looks at this terminal: what is normal is in the banner.
        log = msgspec.structs.replace(log, level="warning")
    return msgspec.structs.replace(settings, gateway=gateway, log=log)


def _own_addresses() -> list[str]:
    addresses = [each for found in psutil.net_if_addrs().values() for each in found]
    plain = [each.address for each in addresses if each.family in (socket.AF_INET, socket.AF_INET6) and "%" not in each.address]
    return [socket.gethostname().lower(), *plain]


def _announce(host: Host, plan: Plan, page_port: int, listed_as: ListedAs, gateway_ports: Sequence[int], admin: Listener) -> None:
    """Everything listens: say so to balancers, tools and the person who started it, unless they have ended it meanwhile."""
    host.lifecycle.started()
    listed_as.began(os.getpid(), "up", admin.port)
    if host.lifecycle.is_draining:
        return
    settings = host.settings
    started = Started(
        version=VERSION,
        page_url=f"http://{_reachable(settings.api.host)}:{page_port}/",
        websocket_urls=[
            f"{settings.gateway.websocket_scheme}://{_reachable(settings.gateway.host)}:{port}/" for port in gateway_ports
        ],
        shards=plan.shards,
        data_dir=str(host.data_dir.resolve()),
        store=_store_of(plan, settings),
        redis_url=settings.redis.url if plan.is_clustered else "",
        admin_url=f"http://{_reachable(admin.host)}:{admin.port}/",
        command=_command(),
    )
    print(banner(started), flush=True)


def _store_of(plan: Plan, settings: Settings) -> str:
    """Where a cluster keeps its journal, for the banner; "" for a file in the data directory."""
    if not plan.is_clustered:
        return ""
    return "a Valkey of its own, in the data directory" if plan.has_own_valkey else settings.redis.url


def _reachable(host: str) -> str:
    """An address to click: "all addresses" is none."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _command() -> str:
    """`parvis` when the shell finds it, else the path beside this interpreter."""
    if shutil.which("parvis"):
        return "parvis"
    beside = Path(sys.executable).with_name("parvis")
    if not beside.exists():
        return f"{sys.executable} -m parvis"
    return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
