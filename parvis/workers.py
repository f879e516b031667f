"""`parvis gateway --workers N`: one gateway as N processes on one port, and the parent that keeps them.

Each worker is a whole gateway with a name, links and metrics of its own and its share of the bounds.
The parent makes a listening socket for each of them and keeps it: a worker that dies leaves its queue
to its successor, so nobody on the way in is reset.  It serves no clients; it starts again what dies, and
its admin port speaks for all.  When it drains it lets go of the sockets first, so that each worker
closes its own door for good.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from parvis.child import Child, pass_on_reloads, start_all
from parvis.errors import StartError
from parvis.parts import Host, address_is_free
from parvis.process import make_host
from parvis.shares import admission_share_of, share_of
from parvis.supervised import around_role, say_ready
from parvis.worker_admin import WorkerAdmin
from runtime.lifecycle import ExitCode, Lifecycle
from runtime.link_handshake import is_node_name
from runtime.metrics import WorkerCounters
from runtime.schema import Settings
from runtime.sockets import SocketNetwork
from wire.limits import CLOSE_GRACE_S

AUTO: Final = "auto"


def count_of(workers: str | int) -> int:
    """How many processes ``--workers`` means: ``auto`` is one for each core this process may use."""
    return len(os.sched_getaffinity(0)) if workers == AUTO else int(workers)


@dataclass(frozen=True, slots=True)
class WorkerArguments:
    """The command lines of the workers: the settings as they were given to the parent, and what differs for each.  Pure."""

    settings: Settings
    count: int
    config: Path | None = None
    sets: tuple[str, ...] = ()

    def words(self, number: int, descriptor: int, _port: int = 0) -> list[str]:
        """Words after ``python -m parvis`` for worker `number`, from 1, whose listening socket is `descriptor`."""
        own = {
            "data_dir": self.settings.data_dir,
            "gateway.id": self.name(number),
            "gateway.admin_host": "127.0.0.1",
            "gateway.admin_port": 0,
            **share_of(self.settings.gateway, self.count),
            **admission_share_of(self.settings.admission, self.count),
        }
        return [
            "gateway", "--supervised", "--listen-fd", str(descriptor),
            *(["--config", str(self.config)] if self.config is not None else []),
            *(word for each in self.sets for word in ("--set", each)),
            *(word for key, value in own.items() for word in ("--set", f"{key}={value}")),
        ]  # fmt: skip

    def name(self, number: int) -> str:
        return f"{self.settings.gateway.id}.{number}"


async def run_workers(lifecycle: Lifecycle, *, arguments: WorkerArguments, supervised: bool) -> None:
    """Keep the workers until the lifecycle drains, then until all have left.  Raises `StartError` when one does not start."""
    settings = arguments.settings
    gateway = settings.gateway
    if not is_node_name(arguments.name(arguments.count)):
        raise StartError(f"gateway.id {gateway.id} is too long: worker names add .1 to .{arguments.count}", ExitCode.CONFIG)
    host = make_host(settings, lifecycle, has_clients=False, node=gateway.id)
    # Made before the processes that share them: who comes first is not left to chance.
    host.link_secrets()
    host.guest_key()
    async with address_is_free():
        doors = await SocketNetwork().listen_shared(
            gateway.host, gateway.port, arguments.count, send_buffer_bytes=gateway.send_buffer_bytes
        )
    workers = [
        Child(
            arguments.name(number),
            partial(arguments.words, number, door.fileno()),
            inherited_fds=(door.fileno(),),
            drain_deadline_s=gateway.drain_notice_s + gateway.drain_deadline_s + CLOSE_GRACE_S,
            log=host.log,
            rng=host.rng,
        )
        for number, door in enumerate(doors, 1)
    ]
    _count(host, workers)
    everybody = WorkerAdmin(host.network, workers, host.registry)
    leave = trio.Event()
    async with (
        around_role(
            host, gateway.admin_host, gateway.admin_port, supervised, everybody.why_not_ready,
            metrics=everybody, refresh={"/readyz": everybody.ask_ready, "/metrics": everybody.ask_figures},
        ) as admin,
        trio.open_nursery() as nursery,
    ):  # fmt: skip
        nursery.start_soon(_let_go_at_drain, host, doors, leave)
        nursery.start_soon(pass_on_reloads, host.lifecycle, workers)
        async with trio.open_nursery() as worker_nursery:
            await start_all(worker_nursery, workers, leave)
            say_ready(host, workers[0].port, admin.port, supervised)
        nursery.cancel_scope.cancel()


def _count(host: Host, workers: Sequence[Child]) -> None:
    counters = WorkerCounters(
        workers=len(workers),
        up=lambda: sum(worker.is_up for worker in workers),
        restarts=lambda: sum(worker.restarts for worker in workers),
    )
    host.registry.expose(counters)
    host.log.info("workers_starting", workers=len(workers))


async def _let_go_at_drain(host: Host, doors: Sequence[socket.socket], leave: trio.Event) -> None:
    """From here on no worker has a successor: its own close is the last, after it has taken in who waits."""
    await host.lifecycle.wait_drain()
    for door in doors:
        door.close()
    leave.set()
