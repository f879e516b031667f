"""parvis/worker_admin.py: one admin port that speaks for several workers."""

from dataclasses import dataclass
from random import Random

import pytest
import trio

import parvis.worker_admin
from parvis.child import Child
from parvis.worker_admin import WorkerAdmin
from runtime.admin import AdminServer
from runtime.exposition import MetricsRegistry
from runtime.metrics import GatewayCounters, WorkerCounters
from runtime.sockets import SocketNetwork
from runtime.transport import Listener
from tests.support.cluster import quiet_log


def child(number: int, port: int) -> Child:
    return Child(f"gateway-1.{number}", lambda _: [], (), 1.0, quiet_log(), Random(1), admin_port=port, is_up=True)


@dataclass
class Crew:
    """Workers that are admin servers of this process; `reasons` say why each is not ready."""

    admin: WorkerAdmin
    workers: list[Child]
    reasons: list[list[str]]

    async def is_ready(self) -> bool:
        await self.admin.ask_ready()
        return not self.admin.why_not_ready()


async def crew(nursery: trio.Nursery, count: int) -> Crew:
    workers, reasons = [], []
    for number in range(1, count + 1):
        registry = MetricsRegistry()
        registry.expose(GatewayCounters(accepted=number), node=f"gateway-1.{number}")
        mine: list[str] = []
        server = AdminServer(metrics=registry, readiness=lambda mine=mine: mine, log=quiet_log())  # type: ignore[misc]
        listener: Listener = await nursery.start(server.run, SocketNetwork(), "127.0.0.1", 0)
        workers.append(child(number, listener.port))
        reasons.append(mine)
    own = MetricsRegistry()
    own.expose(WorkerCounters(workers=count))
    return Crew(WorkerAdmin(SocketNetwork(), workers, own), workers, reasons)


async def test_it_is_ready_when_most_workers_are(nursery: trio.Nursery) -> None:
    three = await crew(nursery, 3)
    assert three.admin.why_not_ready() == ["0 of 3 workers are ready"]
    assert await three.is_ready()
    three.reasons[0].append("draining")
    assert await three.is_ready()
    three.workers[1].is_up = False
    assert not await three.is_ready()
    assert three.admin.why_not_ready() == ["1 of 3 workers are ready"]


async def test_figures_of_all_workers_and_of_the_parent_are_shown(nursery: trio.Nursery) -> None:
    two = await crew(nursery, 2)
    await two.admin.ask_figures()
    shown = two.admin.render().decode()
    for number in (1, 2):
        assert f'parvis_gateway_accepted_total{{worker="{number}",node="gateway-1.{number}"}} {number}.0' in shown
    assert 'parvis_workers{worker="parent"} 2.0' in shown


async def test_a_worker_that_is_gone_or_does_not_answer_is_left_out(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parvis.worker_admin, "ASK_DEADLINE_S", 0.2)
    two = await crew(nursery, 2)
    mute = await SocketNetwork().listen("127.0.0.1", 0)
    gone = await SocketNetwork().listen("127.0.0.1", 0)
    gone.close()
    two.workers += [child(3, mute.port), child(4, gone.port)]
    await two.admin.ask_figures()
    shown = two.admin.render().decode()
    assert 'worker="2"' in shown
    assert 'worker="3"' not in shown
    assert 'worker="4"' not in shown
    assert not await two.is_ready(), "two of four are not most"
    mute.close()
