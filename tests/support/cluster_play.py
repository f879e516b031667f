"""Several nodes' directories over one model store, on a clock that jumps: started, frozen, cut off, killed.

Each node has a lane of its own whose jobs take a little while.  A *frozen* node is one whose clock
runs on while nothing of it does: its lane holds every answer until it is thawed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

import structlog
import trio
from structlog.testing import CapturingLogger
from structlog.typing import FilteringBoundLogger

from runtime.metrics import DirectoryCounters
from shard_router.cluster_directory import ClusterDirectory, new_member
from shard_router.cluster_records import Report, Role
from shard_router.directory import Address
from shard_router.placement import SlotMap
from tests.support.cluster_store_model import ClusterStoreClient, ClusterStoreModel
from wire.names import ShardId

T = TypeVar("T")
SECRET = b"the secret of the town"
JOB_S = 0.002
A, B, C = ShardId("a"), ShardId("b"), ShardId("c")


class PlayedLane:
    """An `Offload` without threads; each job takes effect in the middle of its time."""

    def __init__(self) -> None:
        self.is_frozen = False
        self._thawed = trio.Event()
        self._turn = trio.Lock()

    async def __call__(self, job: Callable[[], T], *, deadline_s: float | None) -> T:
        async with self._turn:
            await trio.sleep(JOB_S / 2)
            await self._wait_thawed()
            done = job()
            await trio.sleep(JOB_S / 2)
            await self._wait_thawed()
            return done

    async def _wait_thawed(self) -> None:
        while self.is_frozen:
            await self._thawed.wait()

    def freeze(self) -> None:
        self.is_frozen = True
        self._thawed = trio.Event()

    def thaw(self) -> None:
        self.is_frozen = False
        self._thawed.set()


@dataclass
class PlayedNode:
    """One node; `scope` is its life."""

    name: str
    address: Address
    directory: ClusterDirectory
    lane: PlayedLane
    store: ClusterStoreClient
    counters: DirectoryCounters
    log: CapturingLogger
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    maps: list[tuple[float, SlotMap]] = field(default_factory=list)
    """Every map it followed, with the time."""
    failure: BaseException | None = None

    @property
    def map_version(self) -> int:
        return self.directory.slot_map.version

    @property
    def is_steward(self) -> bool:
        assert self.counters.is_steward is not None
        return bool(self.counters.is_steward())

    def kill(self) -> None:
        """As kill -9 does: nothing more is said."""
        self.scope.cancel()

    def said(self, event: str) -> int:
        """How often it logged this."""
        return sum(call.args[0].startswith(event) for call in self.log.calls)


class Play:
    """A cluster of directories; everything of it lives in `nursery`."""

    def __init__(self, nursery: trio.Nursery, seed: int = 1) -> None:
        self.model = ClusterStoreModel()
        self.nodes: dict[str, PlayedNode] = {}
        self.listening: set[Address] = set()
        """Link ports at which somebody is; a probe of any other is refused."""
        self.probes: list[Address] = []
        self._nursery = nursery
        self._rng = Random(seed)
        self._ports = iter(range(8101, 9000))

    async def start(
        self, name: str, *, role: Role = "shard", weight: int = 0, secret: bytes = SECRET, cluster: str = "town",
        accepts_per_s: float = 0.0, floor: int = 0, wait: bool = True,
    ) -> PlayedNode:  # fmt: skip
        """Start a node; with `wait`, until it follows a map.  What ended it is its `failure`."""
        lane, store, counters, log = PlayedLane(), self.model.client(), DirectoryCounters(), CapturingLogger()
        address = Address("10.0.0.1", next(self._ports))
        self.listening.add(address)
        directory = ClusterDirectory(
            store, lane, new_member(role, name, self._rng, weight=weight),
            cluster=cluster, secrets=[secret], probe=self._probe, rng=self._rng, log=logger(log), counters=counters,
            map_version_floor=floor,
        )  # fmt: skip
        directory.report = lambda: Report(accepts_per_s=accepts_per_s)
        directory.advertise(f"{address.host}:{address.port}")
        node = PlayedNode(name, address, directory, lane, store, counters, log)
        self.nodes[name] = node
        if wait:
            await self._nursery.start(self._live, node, address)
        else:
            self._nursery.start_soon(self._live, node, address)
        return node

    async def found_three(self) -> None:
        """A cluster of a, b and c, and a gateway g; its first map is there."""
        for name in ("a", "b", "c"):
            await self.start(name, wait=False)
        await self.start("g", role="gateway", accepts_per_s=100.0)
        await self.agreed("a", "b", "c")

    async def _live(
        self, node: PlayedNode, address: Address, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        try:
            with node.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._note_maps, node)
                    await nursery.start(node.directory.run)
                    task_status.started()
        except* Exception as group:  # noqa: BLE001 -- the edge of a played process: what ended it is what the test asks
            node.failure = group.exceptions[0]
            while isinstance(node.failure, BaseExceptionGroup):
                node.failure = node.failure.exceptions[0]
            task_status.started()
        finally:
            self.listening.discard(address)

    async def _note_maps(self, node: PlayedNode) -> None:
        version = 0
        while True:
            await node.directory.wait_changed(version)
            version = node.map_version
            node.maps.append((trio.current_time(), node.directory.slot_map))

    async def _probe(self, address: Address) -> bool:
        self.probes.append(address)
        await trio.sleep(JOB_S)
        return address not in self.listening

    @property
    def steward(self) -> PlayedNode:
        """The one that the store names."""
        return self.nodes[self.model.steward.holder.partition(":")[2]]

    def living(self) -> list[PlayedNode]:
        return [node for node in self.nodes.values() if not node.scope.cancel_called and node.failure is None]

    async def agreed(self, *shards: str, within_s: float = 5.0) -> float:
        """Wait until all living nodes follow one map of just these shards; how long that took."""
        began = trio.current_time()
        wanted = tuple(ShardId(shard) for shard in sorted(shards))
        with trio.fail_after(within_s):
            while not all(node.maps and node.directory.slot_map.shards == wanted for node in self.living()):
                await trio.sleep(0.005)
        assert len({node.map_version for node in self.living()}) == 1
        return trio.current_time() - began


def logger(log: CapturingLogger) -> FilteringBoundLogger:
    """A log whose lines begin with ``event='...'``."""
    made: FilteringBoundLogger = structlog.wrap_logger(
        log,
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    return made
