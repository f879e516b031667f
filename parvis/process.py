"""What every serving process of parvis has beside its roles: a log, an admin port, figures of the process itself."""

import platform
from collections.abc import Callable, Sequence

import trio

from parvis import VERSION
from parvis.parts import Host, address_is_free
from runtime.admin import AdminServer
from runtime.lifecycle import Lifecycle
from runtime.logs import make_logger
from runtime.metrics import ProcessCounters
from runtime.schema import Settings
from runtime.transport import Listener


def make_host(settings: Settings, lifecycle: Lifecycle, **fields: object) -> Host:
    """The host of this process, with its log (`fields` are on each line) and the metrics that concern the whole of it."""
    host = Host(settings, lifecycle, make_logger(settings.log).bind(**fields))
    host.registry.expose(
        ProcessCounters(
            build={"version": VERSION, "python": platform.python_version()},
            draining=lambda: float(lifecycle.is_draining),
        )
    )
    return host


async def start_admin(
    nursery: trio.Nursery, host: Host, address: str, port: int, more_reasons: Callable[[], Sequence[str]] = tuple
) -> Listener:
    """The admin port, until `nursery` is cancelled; `more_reasons` are why the roles are not ready."""

    def readiness() -> Sequence[str]:
        own = host.lifecycle.why_not_ready()
        return [*([own] if own else []), *more_reasons()]

    server = AdminServer(metrics=host.registry, readiness=readiness, log=host.log)
    async with address_is_free():
        listener: Listener = await nursery.start(server.run, host.network, address, port)
    host.log.info("admin_port_open", host=listener.host, port=listener.port)
    return listener
