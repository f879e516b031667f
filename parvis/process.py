"""What every serving process of parvis has beside its roles: a log, an admin port, figures of the process itself."""

import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import trio

from parvis import VERSION
from parvis.parts import Host, address_is_free
from parvis.shares import within_descriptors
from runtime.admin import AdminServer, Figures
from runtime.lifecycle import Lifecycle
from runtime.logs import make_logger
from runtime.metrics import ProcessCounters
from runtime.process import raise_descriptor_limit, tune_interpreter
from runtime.schema import Settings
from runtime.transport import Listener
from runtime.watch import sample_process, watch_loop_lag, watched_collector


def make_host(settings: Settings, lifecycle: Lifecycle, *, has_clients: bool = True, **fields: object) -> Host:
    """The host of this process, with its log (`fields` are on each line); its interpreter and its limits are set for it.

    A process that `has_clients` takes no more of them than its file descriptors allow, whatever the settings say.
    """
    tune_interpreter()
    descriptors = raise_descriptor_limit()
    log = make_logger(settings.log).bind(**fields)
    if has_clients:
        gateway = within_descriptors(settings.gateway, descriptors)
        bounds = {"connections_max": gateway.connections_max, "descriptors": descriptors}
        if gateway is settings.gateway:
            log.info("connections_bounded", **bounds)
        else:
            log.warning("connections_bounded_by_descriptors", asked_for=settings.gateway.connections_max, **bounds)
            settings = msgspec.structs.replace(settings, gateway=gateway)
    return Host(settings, lifecycle, log)


async def watch_process(host: Host) -> None:
    """Count event loop lag and collector pauses, and show the process's own figures, until cancelled."""
    counters = ProcessCounters()
    sample_process(counters, host.lifecycle, {"version": VERSION, "python": platform.python_version()})
    host.registry.expose(counters)
    with watched_collector(counters):
        await watch_loop_lag(counters)


async def start_admin(
    nursery: trio.Nursery,
    host: Host,
    address: str,
    port: int,
    more_reasons: Callable[[], Sequence[str]] = tuple,
    *,
    metrics: Figures | None = None,
    refresh: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
) -> Listener:
    """The admin port, until `nursery` is cancelled; `more_reasons` are why the roles are not ready.

    `metrics` in place of this process's own, and what is awaited before an answer: see `AdminServer`.
    """

    def readiness() -> Sequence[str]:
        own = host.lifecycle.why_not_ready()
        return [*([own] if own else []), *more_reasons()]

    nursery.start_soon(watch_process, host)
    server = AdminServer(metrics=metrics or host.registry, readiness=readiness, log=host.log, refresh=refresh)
    async with address_is_free():
        listener: Listener = await nursery.start(server.run, host.network, address, port)
    host.log.info("admin_port_open", host=listener.host, port=listener.port)
    return listener
