"""What every serving process of parvis has beside its roles: a log, an admin port, figures of the process itself."""

import platform
from collections.abc import Callable, Sequence
from typing import Final

import trio

from parvis import VERSION
from parvis.parts import Host, address_is_free
from runtime.admin import AdminServer
from runtime.lifecycle import Lifecycle
from runtime.logs import make_logger
from runtime.metrics import ProcessCounters
from runtime.process import raise_descriptor_limit, tune_interpreter
from runtime.schema import Settings
from runtime.transport import Listener
from runtime.watch import sample_process, watch_loop_lag, watched_collector

# Listeners, links, the journal's files, the admin port and the spare descriptor, with room to spare.
DESCRIPTORS_BESIDE_CLIENTS: Final = 200


def make_host(settings: Settings, lifecycle: Lifecycle, **fields: object) -> Host:
    """The host of this process, with its log (`fields` are on each line); its interpreter and its limits are set for it."""
    tune_interpreter()
    descriptors = raise_descriptor_limit()
    host = Host(settings, lifecycle, make_logger(settings.log).bind(**fields))
    if descriptors < settings.gateway.connections_max + DESCRIPTORS_BESIDE_CLIENTS:
        host.log.warning("descriptor_limit_is_low", limit=descriptors, connections_max=settings.gateway.connections_max)
    return host


async def watch_process(host: Host) -> None:
    """Count event loop lag and collector pauses, and show the process's own figures, until cancelled."""
    counters = ProcessCounters()
    sample_process(counters, host.lifecycle, {"version": VERSION, "python": platform.python_version()})
    host.registry.expose(counters)
    with watched_collector(counters):
        await watch_loop_lag(counters)


async def start_admin(
    nursery: trio.Nursery, host: Host, address: str, port: int, more_reasons: Callable[[], Sequence[str]] = tuple
) -> Listener:
    """The admin port, until `nursery` is cancelled; `more_reasons` are why the roles are not ready."""

    def readiness() -> Sequence[str]:
        own = host.lifecycle.why_not_ready()
        return [*([own] if own else []), *more_reasons()]

    nursery.start_soon(watch_process, host)
    server = AdminServer(metrics=host.registry, readiness=readiness, log=host.log)
    async with address_is_free():
        listener: Listener = await nursery.start(server.run, host.network, address, port)
    host.log.info("admin_port_open", host=listener.host, port=listener.port)
    return listener
