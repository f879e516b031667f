"""What goes on around a role: its admin port, its word that it serves, and what it does when who started it is gone.

The other half is parvis/child.py.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from parvis.child import READY_WORD
from parvis.parts import Host
from parvis.process import start_admin
from runtime.admin import Figures
from runtime.lifecycle import Lifecycle
from runtime.transport import Listener


@asynccontextmanager
async def around_role(
    host: Host,
    admin_host: str,
    admin_port: int,
    supervised: bool,
    more_reasons: Callable[[], Sequence[str]] = tuple,
    *,
    metrics: Figures | None = None,
    refresh: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
) -> AsyncIterator[Listener]:
    """From a role's first moment to its last: the admin port says "starting" while a store or a map is waited for.

    `more_reasons`, `metrics` and `refresh` are `start_admin`'s; gives the admin port.
    """
    async with trio.open_nursery() as nursery:
        admin = await start_admin(nursery, host, admin_host, admin_port, more_reasons, metrics=metrics, refresh=refresh)
        if supervised:
            nursery.start_soon(_drain_with_parent, host.lifecycle)
        yield admin
        nursery.cancel_scope.cancel()


def say_ready(host: Host, port: int, admin_port: int, supervised: bool) -> None:
    """It serves: tell balancers, the log, and the parent if there is one."""
    host.lifecycle.started()
    host.log.info("ready", port=port)
    if supervised:
        print(READY_WORD, port, admin_port, flush=True)


async def wait_parent_gone() -> None:
    """The parent holds the other end of standard input and writes nothing: it ends when we are to leave, or with the parent."""
    async with trio.lowlevel.FdStream(sys.stdin.fileno()) as from_parent:
        while await from_parent.receive_some(1):
            continue


async def _drain_with_parent(lifecycle: Lifecycle) -> None:
    await wait_parent_gone()
    lifecycle.start_drain("the process that started this one asks for it, or is gone")
