"""A whole cluster inside one test: shards, gateways, journal, over whatever network the test gives.

Every role runs as it does in production, from the same entry points; only the network, the
lanes, the clock and the random source are the test's.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random

import msgspec
import structlog
import trio
from structlog.typing import FilteringBoundLogger

from broker.journal.memory import MemoryJournal
from broker.journal.protocol import Journal
from broker.server import BrokerParts, ShardServer, run_shard
from gateway.key_file import KeyFile
from gateway.server import GatewayParts, run_gateway
from runtime.lifecycle import Lifecycle
from runtime.metrics import BrokerCounters, GatewayCounters, RouterCounters
from runtime.offload import Offload, ThreadLane
from runtime.schema import BrokerSettings, ClusterSettings, GatewaySettings, RoomSettings, TokenSettings
from runtime.sockets import SocketNetwork
from runtime.transport import Listener, Network
from shard_router.cluster_directory import ClusterDirectory
from shard_router.cluster_records import Report, Role
from shard_router.directory import Directory, StaticDirectory
from shard_router.link_opener import dial
from shard_router.router import ShardRouter
from shard_router.slots import slot_of
from wire.names import RoomName

Directories = Callable[[Role, str, str], ClusterDirectory]
"""A directory that can change, for a node by its role, its name and its address."""

SECRETS = (b"a secret that all nodes of a test share",)
GUEST_KEY = bytes(range(32))


def quiet_log() -> FilteringBoundLogger:
    """Takes everything and prints nothing."""
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[_drop], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    return log


def _drop(_logger: object, _method: str, _event: object) -> str:
    raise structlog.DropEvent


@lru_cache(maxsize=16)
def _directory_of(addresses: tuple[tuple[str, str], ...], map_version: int) -> StaticDirectory:
    """Kept, since placing 4096 slots takes 20 ms, and a simulation starts ten nodes in a run of 500."""
    return StaticDirectory(ClusterSettings(shards=dict(addresses), map_version=map_version))


@dataclass
class ShardNode:
    id: str
    lifecycle: Lifecycle
    scope: trio.CancelScope
    counters: BrokerCounters
    port: int = 0
    server: ShardServer | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    def report(self) -> Report:
        return Report() if self.server is None else self.server.report()

    async def kill(self) -> None:
        """As kill -9 would: no goodbye, no last commit."""
        self.scope.cancel()
        await self.ended.wait()

    async def drain(self) -> None:
        self.lifecycle.start_drain("test")
        await self.ended.wait()


@dataclass
class GatewayNode:
    id: str
    lifecycle: Lifecycle
    scope: trio.CancelScope
    counters: GatewayCounters
    router_counters: RouterCounters = field(default_factory=RouterCounters)
    listener: Listener | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    @property
    def url(self) -> str:
        assert self.listener is not None
        return f"ws://{self.listener.host}:{self.listener.port}"

    async def kill(self) -> None:
        self.scope.cancel()
        await self.ended.wait()

    async def drain(self) -> None:
        self.lifecycle.start_drain("test")
        await self.ended.wait()


class Cluster:
    """Starts, kills and drains nodes; owned by `cluster` below, whose nursery they live in."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        journal: Journal | None = None,
        network: Network | None = None,
        networks: Callable[[str], Network] | None = None,
        lanes: Callable[[str], Offload] | None = None,
        rng: Random | None = None,
        wall_clock: Callable[[], float] | None = None,
        gateway: GatewaySettings | None = None,
        shard_ports: dict[str, int] | None = None,
        map_version: int = 1,
        host: str = "127.0.0.1",
        log: FilteringBoundLogger | None = None,
        accepts_elsewhere_per_s: float | None = None,
        directories: Directories | None = None,
        tokens: TokenSettings | None = None,
        key_file: KeyFile | None = None,
    ) -> None:
        """`networks` gives each node, by its name, a network of its own; without it all share `network`.

        `directories` gives each node, at each of its starts, a directory to join; without it the shards stay who they are.
        """
        self._nursery = nursery
        self.journal = journal or MemoryJournal("a-test-store")
        self.network = network or SocketNetwork()
        self._network_of = networks or (lambda _: self.network)
        self._lanes = lanes or ThreadLane
        self._rng = rng or Random(1)
        self._wall_clock = wall_clock
        self._gateway = gateway or GatewaySettings(drain_deadline_s=2.0, drain_notice_s=0.0)
        self.shard_ports = shard_ports or {}
        self.map_version = map_version
        self._host = host
        self._log = log or quiet_log()
        self._accepts_elsewhere_per_s = accepts_elsewhere_per_s
        self._directories = directories
        self._tokens = tokens or TokenSettings()
        self._key_file = key_file
        self.shards: dict[str, ShardNode] = {}
        self.gateways: dict[str, GatewayNode] = {}
        self._closed_lanes: list[ThreadLane] = []

    def _rng_for(self) -> Random:
        return Random(self._rng.getrandbits(64))

    def _lifecycle(self) -> Lifecycle:
        return Lifecycle(self._wall_clock) if self._wall_clock is not None else Lifecycle()

    def _directory(self) -> StaticDirectory:
        return _directory_of(tuple((shard, f"{self._host}:{port}") for shard, port in self.shard_ports.items()), self.map_version)

    def owner_of(self, room: str) -> str:
        """Which shard speaks for a room."""
        return self._directory().slot_map.owner_of(slot_of(RoomName(room)))

    @asynccontextmanager
    async def _joined(self, role: Role, node: str, port: int, report: Callable[[], Report]) -> AsyncIterator[Directory]:
        """A node's place in its cluster; one that is killed says no goodbye."""
        if self._directories is None:
            yield self._directory()
            return
        directory = self._directories(role, node, f"{self._host}:{port}")
        directory.report = report
        async with trio.open_nursery() as nursery:
            await nursery.start(directory.run)
            yield directory
            nursery.cancel_scope.cancel()
        await directory.leave()

    async def start_shard(self, shard: str, *, journal: Journal | None = None) -> ShardNode:
        """Start one shard of `shard_ports`, and wait until it serves."""
        node = ShardNode(shard, self._lifecycle(), trio.CancelScope(), BrokerCounters(), self.shard_ports[shard])
        lanes = [self._lanes(f"{shard}-commit"), self._lanes(f"{shard}-read")]
        parts = BrokerParts(
            settings=BrokerSettings(id=shard, host=self._host, port=node.port, drain_deadline_s=2.0),
            keep_events=100_000, directory=self._directory(), network=self._network_of(shard),
            journal=journal or self.journal, lane=lanes[0], read_lane=lanes[1], secrets=SECRETS,
            rng=self._rng_for(), log=self._log, counters=node.counters, lifecycle=node.lifecycle,
        )  # fmt: skip

        async def live(*, task_status: trio.TaskStatus[ShardServer]) -> None:
            with node.scope:
                async with self._joined("shard", shard, node.port, node.report) as directory:
                    await run_shard(replace(parts, directory=directory), task_status=task_status)
            node.ended.set()

        self._closed_lanes += [lane for lane in lanes if isinstance(lane, ThreadLane)]
        node.server = await self._nursery.start(live)
        self.shards[shard] = node
        return node

    async def start_gateway(self, name: str, *, port: int = 0, settings: GatewaySettings | None = None) -> GatewayNode:
        """Start one gateway with a router of its own, and wait until clients can connect."""
        node = GatewayNode(name, self._lifecycle(), trio.CancelScope(), GatewayCounters())
        base = settings or self._gateway
        network = self._network_of(name)
        rng = self._rng_for()

        async def live(*, task_status: trio.TaskStatus[Listener]) -> None:
            with node.scope:
                async with self._joined("gateway", name, port, Report) as directory, trio.open_nursery() as nursery:
                    router = ShardRouter(
                        directory, dial(directory, network), secrets=SECRETS, role="gateway", node=name, rng=rng,
                        log=self._log, counters=node.router_counters,
                    )  # fmt: skip
                    await nursery.start(router.run)
                    parts = GatewayParts(
                        settings=_with(base, id=name, host=self._host, port=port), rooms=RoomSettings(),
                        network=network, router=router, guest_key=GUEST_KEY, rng=rng, log=self._log,
                        counters=node.counters, lifecycle=node.lifecycle,
                        accepts_elsewhere_per_s=lambda: self._accepts_elsewhere_per_s,
                        tokens=self._tokens, key_file=self._key_file,
                    )  # fmt: skip
                    await run_gateway(parts, task_status=task_status)
                    nursery.cancel_scope.cancel()
            node.ended.set()

        node.listener = await self._nursery.start(live)
        self.gateways[name] = node
        return node

    def close_lanes(self) -> None:
        for lane in self._closed_lanes:
            lane.close()


def _with(settings: GatewaySettings, **changes: object) -> GatewaySettings:


    return msgspec.structs.replace(settings, **changes)


async def free_ports(network: Network, count: int) -> list[int]:
    """Ports that nobody listens on now."""
    listeners = [await network.listen("127.0.0.1", 0) for _ in range(count)]
    ports = [listener.port for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@asynccontextmanager
async def cluster(
    *, shards: int = 1, gateways: int = 1, network: Network | None = None, **options: object
) -> AsyncIterator[Cluster]:
    """A running cluster; everything in it is cancelled when the block ends."""
    network = network or SocketNetwork()
    ports = await free_ports(network, shards)
    names: Sequence[str] = [f"shard-{number}" for number in range(1, shards + 1)]
    async with trio.open_nursery() as nursery:
        it = Cluster(nursery, network=network, shard_ports=dict(zip(names, ports, strict=True)), **options)  # type: ignore[arg-type]
        try:
            for name in names:
                await it.start_shard(name)
            for number in range(1, gateways + 1):
                await it.start_gateway(f"gateway-{number}")
            yield it
        finally:
            nursery.cancel_scope.cancel()
    it.close_lanes()
