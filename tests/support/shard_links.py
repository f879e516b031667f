"""A running shard, and gateways' ends of links to it: what a whole-shard test speaks through."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import TypeVar

import structlog
import trio

from broker.journal.protocol import Journal
from broker.server import BrokerParts, ShardServer, run_shard
from runtime.lifecycle import Lifecycle
from runtime.link import Link, open_client_link
from runtime.metrics import BrokerCounters
from runtime.offload import Offload
from runtime.schema import BrokerSettings
from runtime.sockets import SocketNetwork
from shard_router.directory import Directory, StaticDirectory
from shard_router.placement import SlotMap, place
from tests.support.offloads import InlineOffload
from wire.names import ShardId
from wire.node_messages import AnyNodeMessage, NodeMessage

M = TypeVar("M", bound=NodeMessage)
SECRET = b"a secret of the shard's tests"
PATIENCE_S = 20


def parts_of(
    journal: Journal,
    *,
    lane: Offload | None = None,
    read_lane: Offload | None = None,
    map_version: int = 1,
    shard: str = "shard-1",
    shards: tuple[str, ...] = ("shard-1",),
    seed: int = 1,
    drain_deadline_s: float = 5.0,
    commit_deadline_s: float = 5.0,
    rooms_loaded_max: int = 100,
    directory: Directory | None = None,
) -> BrokerParts:
    """A shard's parts: real sockets on a free port, jobs run inline unless a lane is given."""
    return BrokerParts(
        settings=BrokerSettings(
            id=shard,
            port=0,
            drain_deadline_s=drain_deadline_s,
            commit_deadline_s=commit_deadline_s,
            rooms_loaded_max=rooms_loaded_max,
        ),
        keep_events=2000,
        directory=directory or FixedDirectory(place(map_version, {ShardId(name): 1 for name in shards})),
        network=SocketNetwork(),
        journal=journal,
        lane=lane or InlineOffload(),
        read_lane=read_lane or InlineOffload(),
        secrets=(SECRET,),
        rng=Random(seed),
        log=structlog.get_logger(),
        counters=BrokerCounters(),
        lifecycle=Lifecycle(),
    )


class FixedDirectory(StaticDirectory):
    """One map for ever, without settings that would have to name addresses."""

    def __init__(self, slot_map: SlotMap) -> None:
        self._addresses = {}
        self._slot_map = slot_map


@asynccontextmanager
async def running_shard(parts: BrokerParts) -> AsyncIterator[ShardServer]:
    """The shard, from the moment gateways can connect; drained at the end."""
    async with trio.open_nursery() as nursery:
        server: ShardServer = await nursery.start(lambda task_status: run_shard(parts, task_status=task_status))
        yield server
        parts.lifecycle.start_drain("the test is over")


class GatewayEnd:
    """One gateway's link: says and hears node messages.  Everything heard is kept in `heard`."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.heard: list[AnyNodeMessage] = []
        self.ended: str | None = None
        self._taken = 0
        self._news = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        self.ended = await self.link.run(self._hear)
        self._news.unpark_all()

    def _hear(self, message: AnyNodeMessage) -> None:
        self.heard.append(message)
        self._news.unpark_all()

    def say(self, *messages: NodeMessage) -> None:
        for message in messages:
            assert self.link.send_nowait(message)

    async def expect(self, kind: type[M], when: Callable[[M], bool] = lambda message: True) -> M:
        """The next message of this kind; what comes before it is passed over."""
        with trio.fail_after(PATIENCE_S):
            while True:
                while self._taken < len(self.heard):
                    message = self.heard[self._taken]
                    self._taken += 1
                    if isinstance(message, kind) and when(message):
                        return message
                await self._news.park()

    async def wait_ended(self) -> str:
        with trio.fail_after(PATIENCE_S):
            while self.ended is None:
                await self._news.park()
        return self.ended


async def connect(nursery: trio.Nursery, server: ShardServer, node: str = "gateway-1") -> GatewayEnd:
    """Open one link to a running shard over its port."""
    transport = await SocketNetwork().connect(server.listener.host, server.listener.port)
    link = await open_client_link(transport, secrets=[SECRET], role="gateway", node=node, rng=Random(node))
    end = GatewayEnd(link)
    nursery.start_soon(end.run)
    return end
