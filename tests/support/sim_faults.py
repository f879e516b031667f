"""What goes wrong in a simulation, and when: one seeded task that breaks things and lets them heal.

Faults are the world's: links that are cut, stalled, pulled or refused, processes that die or
drain and come back, a journal that fails, is slow, or fails over to a replica that had not got
everything.  Out of scope, so never simulated: both gateways away at once.
"""

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

import trio

from broker.journal.protocol import Unavailable
from shard_router.joining import NameTaken
from tests.support.cluster import Cluster, GatewayNode, ShardNode
from tests.support.cluster_store_model import ClusterStoreClient, ClusterStoreModel
from tests.support.faulty_journal import Call, Fault, FaultyJournal
from tests.support.forgetful_journal import ForgetfulJournal
from tests.support.sim_chronicle import Chronicle
from tests.support.sim_lane import LanePace, SimLane
from tests.support.sim_memory import SharedMemory
from tests.support.sim_network import SimNetwork

_CALLS: tuple[Call, ...] = ("commit", "commit", "commit", "claim", "load", "read")
_FAULTS = (Fault.BEFORE, Fault.DURING, Fault.AFTER)


class World(Protocol):
    """What there is to break."""

    network: SimNetwork
    journal: FaultyJournal
    store: ForgetfulJournal
    memory: SharedMemory
    pace: LanePace
    cluster: Cluster
    chronicle: Chronicle
    directory_store: ClusterStoreModel
    directory_clients: dict[str, ClusterStoreClient]
    gateway_ports: dict[str, int]
    people: tuple[str, ...]

    def lanes_of(self, node: str) -> list[SimLane]:
        """The lanes of a shard that runs; they are the caller's from here on."""

    def store_died(self) -> None:
        """Every connection to the store is lost, with what was under way on it."""


class Nemesis:
    """Breaks things; `run` is its task, and returns when all that was stopped runs again."""

    def __init__(self, world: World, rng: Random, kinds: tuple[str, ...], mean_pause_s: float) -> None:
        """`kinds` are names of KINDS; a fault comes every `mean_pause_s` on average."""
        self.done: Counter[str] = Counter()
        self._world = world
        self._rng = rng
        self._kinds = [(kind, {**KINDS, **MOVING_KINDS}[kind]) for kind in kinds]
        self._mean_pause_s = mean_pause_s
        self.away: dict[str, None] = {}
        """Nodes that are stopped, or on their way up again."""

    async def run(self, duration_s: float) -> None:
        rng, world = self._rng, self._world
        async with trio.open_nursery() as restarts:
            self._restarts = restarts
            with trio.move_on_after(duration_s):
                while self._kinds:
                    await trio.sleep(rng.expovariate(1 / self._mean_pause_s))
                    kind, cause = rng.choice(self._kinds)
                    what = cause(self)
                    if what:
                        self.done[kind] += 1
                        world.chronicle.write("fault", f"{kind} {what}")
            self.heal()

    def heal(self) -> None:
        self._world.network.heal()
        self._world.journal.heal()
        self._world.store.heal()
        self._world.pace.slow_until = 0.0
        self._world.chronicle.write("fault", "all heals")

    # --- links ------------------------------------------------------------------------------

    def cut(self) -> str:
        connections = list(self._world.network.connections.values())
        if not connections:
            return ""
        connection = self._rng.choice(connections)
        connection.cut()
        return f"{connection.near} - {connection.far}"

    def stall(self) -> str:
        return self._hold(trio.current_time() + self._rng.uniform(0.1, 8.0))

    def pull(self) -> str:
        """Nobody is told: only a heartbeat finds it."""
        return self._hold(math.inf)

    def _hold(self, until: float) -> str:
        connections = list(self._world.network.connections.values())
        if not connections:
            return ""
        connection = self._rng.choice(connections)
        connection.stall(until)
        return f"{connection.near} - {connection.far} until {until:.3f}"

    def part(self) -> str:
        world, rng = self._world, self._rng
        gateway = rng.choice(list(world.gateway_ports))
        other = rng.choice([*world.cluster.shard_ports, *world.people])
        until = trio.current_time() + rng.uniform(0.5, 8.0)
        world.network.part(gateway, other, until)
        return f"{gateway} from {other} until {until:.3f}"

    def refuse(self) -> str:
        world = self._world
        port = self._rng.choice([*world.cluster.shard_ports.values(), *world.gateway_ports.values()])
        until = trio.current_time() + self._rng.uniform(0.2, 3.0)
        world.network.refuse(port, until)
        return f"{port} until {until:.3f}"

    # --- processes ----------------------------------------------------------------------------

    def crash_shard(self) -> str:
        return self._stop_shard(self._crash)

    def strand_shard(self) -> str:
        return self._stop_shard(self._strand)

    def crash_unsure(self) -> str:
        """Shards die, or are given up, while they find out what became of a commit: their claims may land late."""
        world, rng = self._world, self._rng
        fault = rng.choice(_FAULTS)
        world.journal.fail("commit", fault)
        world.pace.slow_s, world.pace.slow_until = 2.0, trio.current_time() + 6.0

        async def crash_in_doubt() -> None:
            failed = world.journal.failed["commit"]
            with trio.move_on_after(6.0):
                while world.journal.failed["commit"] == failed:
                    await trio.sleep(0.1)
                await trio.sleep(rng.uniform(0.5, 3.0))
                for _ in world.cluster.shards:
                    self._stop_shard(rng.choice((self._crash, self._strand)))

        self._restarts.start_soon(crash_in_doubt)
        return f"when a commit has failed {fault.value} the write"

    def drain_shard(self) -> str:
        return self._stop_shard(self._drain)

    def crash_gateway(self) -> str:
        return self._stop_gateway(self._crash)

    def drain_gateway(self) -> str:
        return self._stop_gateway(self._drain)

    def _stop_shard(self, stop: "Stop") -> str:
        here = [name for name in self._world.cluster.shards if name not in self.away]
        if not here:
            return ""
        name = self._rng.choice(here)
        away_s = self._rng.uniform(0.05, 5.0)
        self.away[name] = None
        self._restarts.start_soon(self._replace, name, away_s, stop, self._start_shard)
        return f"{name} for {away_s:.3f}"

    def _stop_gateway(self, stop: "Stop") -> str:
        world = self._world
        if any(name in self.away for name in world.gateway_ports):
            return ""
        name = self._rng.choice(list(world.gateway_ports))
        away_s = self._rng.uniform(0.05, 5.0)
        self.away[name] = None
        self._restarts.start_soon(self._replace, name, away_s, stop, self._start_gateway)
        return f"{name} for {away_s:.3f}"

    async def _replace(self, name: str, away_s: float, stop: "Stop", start: Callable[[str], Awaitable[object]]) -> None:
        cluster = self._world.cluster
        self._world.memory.dies(name)
        node: ShardNode | GatewayNode = cluster.shards[name] if name in cluster.shards else cluster.gateways[name]
        await stop(name, node)
        self._count(name, node)
        await trio.sleep(away_s)
        await start(name)
        del self.away[name]
        self._world.chronicle.write("fault", f"{name} is back")

    async def _crash(self, name: str, node: ShardNode | GatewayNode) -> None:
        """As kill -9: the kernel closes what it had; what its lanes had under way happens or not."""
        node.scope.cancel()
        self._world.network.node_died(name)
        await node.ended.wait()
        for lane in self._world.lanes_of(name):
            lane.node_died()

    async def _strand(self, name: str, node: ShardNode | GatewayNode) -> None:
        """Given up and replaced, it still runs for a while: with all that it had under way."""
        self._world.network.strand(name)
        if client := self._world.directory_clients.pop(name, None):
            client.is_cut_off = True
        lanes = self._world.lanes_of(name)

        async def end_at_last() -> None:
            await trio.sleep(self._rng.uniform(0.5, 8.0))
            node.scope.cancel()
            await node.ended.wait()
            for lane in lanes:
                lane.node_died()

        self._restarts.start_soon(end_at_last)

    async def _drain(self, name: str, node: ShardNode | GatewayNode) -> None:
        await node.drain()
        self._world.network.node_died(name)
        for lane in self._world.lanes_of(name):
            lane.node_died()

    async def _start_shard(self, name: str) -> None:
        """As a supervisor does: a shard that finds no store, or its own late words, when it starts is started again."""
        is_up = False
        while not is_up:
            try:
                await self._world.cluster.start_shard(name)
                is_up = True
            except* (Unavailable, NameTaken):
                for lane in self._world.lanes_of(name):
                    lane.node_died()
                await trio.sleep(0.5)

    async def _start_gateway(self, name: str) -> None:
        is_up = False
        while not is_up:
            try:
                await self._world.cluster.start_gateway(name, port=self._world.gateway_ports[name])
                is_up = True
            except* NameTaken:
                for lane in self._world.lanes_of(name):
                    lane.node_died()
                await trio.sleep(0.5)

    def _count(self, name: str, node: ShardNode | GatewayNode) -> None:
        self._world.chronicle.count(name, node.counters)
        if isinstance(node, GatewayNode):
            self._world.chronicle.count(name, node.router_counters)

    def count_all(self) -> None:
        """The counters of all that runs."""
        for name, node in [*self._world.cluster.shards.items(), *self._world.cluster.gateways.items()]:
            self._count(name, node)

    # --- the directory ------------------------------------------------------------------------

    def directory_away(self) -> str:
        """Its store answers nobody for a while."""
        store, until = self._world.directory_store, trio.current_time() + self._rng.uniform(0.2, 6.0)

        async def come_back() -> None:
            store.is_away = True
            await trio.sleep_until(until)
            store.is_away = False

        self._restarts.start_soon(come_back)
        return f"until {until:.3f}"

    def directory_replies(self) -> str:
        store = self._world.directory_store
        store.lose_replies = self._rng.randint(1, 8)
        return f"the next {store.lose_replies} replies are lost"

    def directory_cut(self) -> str:
        """One node alone does not reach it."""
        name = self._rng.choice(list(self._world.directory_clients))
        client, until = self._world.directory_clients[name], trio.current_time() + self._rng.uniform(0.2, 6.0)

        async def cut() -> None:
            client.is_cut_off = True
            await trio.sleep_until(until)
            # Who was stranded meanwhile stays so.
            client.is_cut_off = self._world.directory_clients.get(name) is not client

        self._restarts.start_soon(cut)
        return f"{name} until {until:.3f}"

    # --- the store --------------------------------------------------------------------------------

    def journal(self) -> str:
        call, fault, times = self._rng.choice(_CALLS), self._rng.choice(_FAULTS), self._rng.randint(1, 3)
        self._world.journal.fail(call, fault, times)
        return f"{call} fails {fault.value}, {times} times"

    def slow_store(self) -> str:
        """Up to twice as long as a commit's deadline (5 s), both halves of a job together."""
        pace, rng = self._world.pace, self._rng
        pace.slow_s = rng.choice((0.5, 3.0, 7.0))
        pace.slow_until = trio.current_time() + rng.uniform(1.0, 4.0)
        return f"up to {pace.slow_s} s twice a job, until {pace.slow_until:.3f}"

    def fail_over(self) -> str:
        """The replica takes over with what it has; for a while it may refuse writes, or everything."""
        world, rng = self._world, self._rng
        lost = world.store.fail_over()
        world.store_died()
        world.memory.forgot(lost)
        phase, reads = rng.choice((("", False), ("READONLY", False), ("OOM", False), ("LOADING", True), ("gone", True)))
        away_s = rng.uniform(0.05, 3.0) if phase else 0.0
        world.store.refuse(phase, trio.current_time() + away_s, reads=reads)
        world.store.lag_s = rng.choice(LAGS_S)
        events = sum(len(write.entries) for write in lost)
        return f"forgets {events} events; {phase or 'there'} for {away_s:.3f}, then {world.store.lag_s} s behind"

    def fail_over_and_crash(self) -> str:
        """A machine with a shard and the store's primary on it is gone."""
        return f"{self._stop_shard(self._crash)}, and the store {self.fail_over()}"


# How far a replica is behind: nothing, or so much that what a few people say at once is forgotten.
LAGS_S = (0.0, 0.02, 0.5, 3.0, 3.0)

Stop = Callable[[str, ShardNode | GatewayNode], Awaitable[None]]
Cause = Callable[[Nemesis], str]

KINDS: dict[str, Cause] = {
    "cut": Nemesis.cut,
    "stall": Nemesis.stall,
    "pull": Nemesis.pull,
    "part": Nemesis.part,
    "refuse": Nemesis.refuse,
    "crash_shard": Nemesis.crash_shard,
    "strand_shard": Nemesis.strand_shard,
    "crash_unsure": Nemesis.crash_unsure,
    "drain_shard": Nemesis.drain_shard,
    "crash_gateway": Nemesis.crash_gateway,
    "drain_gateway": Nemesis.drain_gateway,
    "journal": Nemesis.journal,
    "slow_store": Nemesis.slow_store,
    "fail_over": Nemesis.fail_over,
    "fail_over_and_crash": Nemesis.fail_over_and_crash,
}
_FORGETTING = ("fail_over", "fail_over_and_crash")
_OF_DIRECTORIES: dict[str, Cause] = {
    "directory_away": Nemesis.directory_away,
    "directory_replies": Nemesis.directory_replies,
    "directory_cut": Nemesis.directory_cut,
}
MOVING_KINDS: dict[str, Cause] = {
    **{name: cause for name, cause in KINDS.items() if name not in _FORGETTING},
    **_OF_DIRECTORIES,
}
"""For a cluster whose slots change hands.  Who still knows what a store forgot is judged where owners stay who they are."""
