"""What goes wrong, and in which order: a deck of faults, shuffled by the seed, dealt one after another.

Each fault is done to real processes, undone, and then the nemesis waits until everything flows
again before it deals the next: so what people felt can be told fault by fault.  That it does
flow again, within CALM_PATIENCE_S, is itself something to be proved.
"""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Final, Protocol, TypeVar

import trio

from shard_router.slots import slot_of
from tests.chaos.chronicle import Chronicle, Fault, now
from tests.chaos.crowd import Progress
from tests.chaos.store import Store
from tests.chaos.taps import Tap
from tests.support.fleet import Fleet, Node
from wire.names import RoomName

CALM_PATIENCE_S: Final = 25.0
# A message that has waited this long is waiting for something, not in passing.
CALM_OLDEST_S: Final = 1.0
_LOOK_S: Final = 0.1
# Slots of so many rooms are moved at once.
ROOMS_MOVED: Final = 3

T = TypeVar("T")


class World(Protocol):
    """What there is to break."""

    fleet: Fleet
    store: Store
    link_taps: dict[str, Tap]
    store_taps: dict[str, Tap]
    rooms: Sequence[str]
    people: int
    takes_over: bool
    """Whether a shard's slots go to others when it is gone."""

    def progress(self) -> Progress | None:
        """Of all crowds together; None while one has not been heard for a second."""

    def say(self, line: str) -> None:
        """For who watches."""


async def in_thread(job: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(job)


class Nemesis:
    """See the module; `run` is its task."""

    def __init__(self, world: World, rng: Random, kinds: Sequence[str], file: Chronicle) -> None:
        """`kinds` are names of KINDS; each is dealt once before any comes again."""
        self._world = world
        self._rng = rng
        self._kinds = list(kinds)
        self._file = file
        self.never_calm: list[str] = []
        self.failed_commands: list[str] = []
        self.faults = 0

    async def run(self, duration_s: float, at_least: int = 0) -> None:
        """Deal faults until the time is over, and `at_least` so many; the last one is undone before it returns."""
        ends = now() + duration_s
        deck: list[str] = []
        dealt = 0
        await self.wait_calm()
        while now() < ends or dealt < at_least:
            dealt += 1
            if not deck:
                deck = list(self._kinds)
                self._rng.shuffle(deck)
            kind = deck.pop()
            await KINDS[kind](self)
            await trio.sleep(self._rng.uniform(0.5, 2.0))

    async def wait_calm(self) -> float:
        """Until everything flows; when that was, or 0 when it did not within the patience."""
        world = self._world
        with trio.move_on_after(CALM_PATIENCE_S):
            while True:
                progress = world.progress()
                if (
                    progress is not None
                    and progress.oldest_s < CALM_OLDEST_S
                    and progress.connected == world.people
                ):
                    return now()
                await trio.sleep(_LOOK_S)
        return 0.0

    @asynccontextmanager
    async def _fault(self, kind: str, target: str) -> AsyncIterator[None]:
        """One fault: done and undone inside; then calm."""
        self.faults += 1
        began = now()
        yield
        healed = now()
        calm = await self.wait_calm()
        if not calm:
            self.never_calm.append(f"after {kind} of {target} something did not flow again within {CALM_PATIENCE_S:.0f} s")
        self._file.write(Fault(began, healed, kind, target, calm))
        flowed = f"flows after {calm - began:.1f} s" if calm else "DOES NOT FLOW"
        self._world.say(f"{kind} {target}: undone after {healed - began:.1f} s, {flowed}")

    # --- shards ------------------------------------------------------------------------------------

    def _shard(self) -> Node:
        return self._rng.choice([node for node in self._world.fleet.of("broker") if node.is_up])

    def _gateway(self) -> Node:
        """One of those that have people: after a death most of them are elsewhere."""
        progress = self._world.progress()
        people: Counter[str] = Counter()
        for server, count in progress.servers.items() if progress is not None else ():
            # A worker's name is its gateway's and a number.
            people[server.partition(".")[0]] += count
        nodes = [node for node in self._world.fleet.of("gateway") if node.is_up]
        return self._rng.choices(nodes, [1 + people[node.name] for node in nodes])[0]

    async def kill_shard(self) -> None:
        """The process dies, and its port refuses; or the whole machine, and nobody can tell but by its silence."""
        node = self._shard()
        dies = self._rng.choice(["process", "machine"])
        async with self._fault("kill_shard", f"{node.name} ({dies})"):
            if dies == "process":
                self._world.link_taps[node.name].shut()
            await in_thread(partial(self._world.fleet.kill, node.name))
            if not self._world.takes_over:
                self._world.link_taps[node.name].open()
                await in_thread(partial(self._world.fleet.start, node.name))
                return
            await trio.sleep(self._rng.uniform(3.0, 5.0))
        # It flows without the one that died.
        await self._return(node)

    async def _return(self, node: Node) -> None:
        """Start it again: its own fault of its own kind, since slots move."""
        kind = "shard_returns" if node.role == "broker" else "gateway_returns"
        async with self._fault(kind, node.name):
            if node.role == "broker":
                self._world.link_taps[node.name].open()
            await in_thread(partial(self._world.fleet.start, node.name))

    async def drain_shard(self) -> None:
        """With a map that never changes that is a restart, and not a move."""
        node, fleet = self._shard(), self._world.fleet
        async with self._fault("drain_shard" if self._world.takes_over else "restart_shard", node.name):
            fleet.ask_to_leave(node.name)
            await in_thread(partial(fleet.wait_left, node.name))
            if not self._world.takes_over:
                await in_thread(partial(fleet.start, node.name))
                return
        await self._return(node)

    async def freeze_shard(self) -> None:
        """Longer than a lease: somebody else takes over, and it wakes up in another world."""
        await self._freeze(self._shard(), self._rng.uniform(2.5, 6.0), "freeze_shard")

    async def hold_up_shard(self) -> None:
        """Shorter than a lease."""
        await self._freeze(self._shard(), self._rng.uniform(0.2, 1.2), "hold_up_shard")

    async def _freeze(self, node: Node, seconds: float, kind: str) -> None:
        fleet = self._world.fleet
        async with self._fault(kind, f"{node.name} for {seconds:.1f} s"):
            fleet.freeze(node.name)
            try:
                await trio.sleep(seconds)
            finally:
                fleet.thaw(node.name)

    # --- gateways ------------------------------------------------------------------------------------

    async def kill_gateway(self) -> None:
        """All its processes, or of one with workers the parent alone: then they leave by themselves, with a goaway."""
        node, fleet = self._gateway(), self._world.fleet
        is_parent_alone = bool(node.arguments) and self._rng.random() < 0.5
        async with self._fault("kill_gateway", node.name + (" (its parent)" if is_parent_alone else "")):
            if is_parent_alone:
                os.kill(node.pid, signal.SIGKILL)
            else:
                await in_thread(partial(fleet.kill, node.name))
            await trio.sleep(self._rng.uniform(1.0, 3.0))
            await in_thread(partial(fleet.start, node.name))

    async def kill_worker(self) -> None:
        """One of a gateway's processes; its parent, which the gateway outlives, starts another."""
        fleet = self._world.fleet
        node = self._rng.choice([node for node in fleet.of("gateway") if node.arguments])
        async with self._fault("kill_worker", f"of {node.name}"):
            os.kill(self._rng.choice(fleet.workers(node.name)), signal.SIGKILL)

    async def drain_gateway(self) -> None:
        node, fleet = self._gateway(), self._world.fleet
        async with self._fault("drain_gateway", node.name):
            fleet.ask_to_leave(node.name)
            await in_thread(partial(fleet.wait_left, node.name))
            await in_thread(partial(fleet.start, node.name))

    async def freeze_gateway(self) -> None:
        await self._freeze(self._gateway(), self._rng.uniform(0.5, 7.0), "freeze_gateway")

    async def kill_shard_and_gateway(self) -> None:
        shard, gateway, fleet = self._shard(), self._gateway(), self._world.fleet
        async with self._fault("kill_shard_and_gateway", f"{shard.name} and {gateway.name}"):
            await in_thread(partial(fleet.kill, shard.name))
            await in_thread(partial(fleet.kill, gateway.name))
            await trio.sleep(self._rng.uniform(0.5, 2.0))
            await in_thread(partial(fleet.start, gateway.name, shard.name))

    # --- links ----------------------------------------------------------------------------------------

    async def cut_links(self) -> None:
        name = self._shard().name
        async with self._fault("cut_links", f"of {name}"):
            self._world.link_taps[name].cut(self._rng, self._rng.choice([0.3, 1.0]))

    async def hold_links(self) -> None:
        """Shorter and longer than a link waits for a sign of life."""
        name, seconds = self._shard().name, self._rng.uniform(0.5, 7.0)
        await self._hold(self._world.link_taps[name], f"of {name}", seconds, "hold_links")

    async def cut_store_links(self) -> None:
        name = self._shard().name
        async with self._fault("cut_store_links", f"of {name}"):
            self._world.store_taps[name].cut(self._rng, 1.0)

    async def hold_store_links(self) -> None:
        """A shard that reaches its gateways and not its store: it loses its slots, and must not know better."""
        name, seconds = self._shard().name, self._rng.uniform(0.5, 5.0)
        await self._hold(self._world.store_taps[name], f"of {name}", seconds, "hold_store_links")

    async def _hold(self, tap: Tap, target: str, seconds: float, kind: str) -> None:
        async with self._fault(kind, f"{target} for {seconds:.1f} s"):
            tap.hold()
            try:
                await trio.sleep(seconds)
            finally:
                tap.release()

    # --- the store ----------------------------------------------------------------------------------------

    async def restart_store(self) -> None:
        store = self._world.store
        async with self._fault("restart_store", "by SIGTERM"):
            await store.stop()
            await store.start()

    async def kill_store(self) -> None:
        store, away_s = self._world.store, self._rng.uniform(0.0, 2.0)
        async with self._fault("kill_store", f"for {away_s:.1f} s"):
            store.kill()
            await trio.sleep(away_s)
            await store.start()

    async def freeze_store(self) -> None:
        store, seconds = self._world.store, self._rng.uniform(0.3, 3.0)
        async with self._fault("freeze_store", f"for {seconds:.1f} s"):
            store.freeze()
            try:
                await trio.sleep(seconds)
            finally:
                store.thaw()

    async def forget(self) -> None:
        """The store comes back without its last half second, as after a failover: shards that live must know better.

        Nothing changed hands in that time, and no shard dies: what is lost then is accounted for, not hidden.
        """
        store = self._world.store
        kept = store.log_bytes()
        await trio.sleep(0.5)
        async with self._fault("forget", "the last half second"):
            store.kill()
            lost = store.forget(kept)
            await store.start()
            self._world.say(f"the store forgot {lost} bytes")

    # --- the map ------------------------------------------------------------------------------------------

    async def move_slots(self) -> None:
        """An operator moves the slots of a few rooms to one shard, and later lets the map decide again."""
        rooms, to = self._rng.sample(list(self._world.rooms), ROOMS_MOVED), self._shard()
        slots = [str(slot_of(RoomName(room))) for room in rooms]
        async with self._fault("move_slots", f"{', '.join(slots)} to {to.name}"):
            await self._cluster("move", *slots, "--to", to.name)
        async with self._fault("rebalance", ""):
            await self._cluster("rebalance")

    async def kill_during_move(self) -> None:
        """Slots are on their way to a shard, or from it, when it dies; the operator's command is repeated."""
        rooms, to = self._rng.sample(list(self._world.rooms), ROOMS_MOVED), self._shard()
        slots = [str(slot_of(RoomName(room))) for room in rooms]
        victim, fleet = self._rng.choice([to, self._shard()]), self._world.fleet
        async with self._fault("kill_during_move", f"{', '.join(slots)} to {to.name}, {victim.name} dies"):
            async with trio.open_nursery() as nursery:
                # What becomes of a command whose target dies is its own business; that it ends is ours.
                command = partial(fleet.parvis, "cluster", "move", *slots, "--to", to.name)
                nursery.start_soon(in_thread, command)
                await trio.sleep(self._rng.uniform(0.5, 2.0))
                await in_thread(partial(fleet.kill, victim.name))
                await trio.sleep(self._rng.uniform(0.5, 2.0))
                await in_thread(partial(fleet.start, victim.name))
            await self._cluster("move", *slots, "--to", to.name)
        async with self._fault("rebalance", ""):
            await self._cluster("rebalance")

    async def kill_two_shards(self) -> None:
        """Most of the cluster at once: the one that is left serves all."""
        fleet = self._world.fleet
        names = self._rng.sample([node.name for node in fleet.of("broker") if node.is_up], 2)
        async with self._fault("kill_two_shards", " and ".join(names)):
            for name in names:
                await in_thread(partial(fleet.kill, name))
            await trio.sleep(self._rng.uniform(3.0, 5.0))
        for name in names:
            await self._return(fleet.nodes[name])

    async def add_and_remove_shard(self) -> None:
        """One more shard joins on a working evening, and leaves again."""
        fleet = self._world.fleet
        spare = [node for node in fleet.of("broker") if not node.is_up]
        if not spare:
            return
        node = spare[0]
        async with self._fault("shard_starts", node.name):
            await in_thread(partial(fleet.start, node.name))
        async with self._fault("add_shard", node.name):
            await self._cluster("add", node.name)
        await trio.sleep(self._rng.uniform(1.0, 2.0))
        async with self._fault("remove_shard", node.name):
            await self._cluster("drain", node.name)
        async with self._fault("shard_ends", node.name):
            fleet.ask_to_leave(node.name)
            await in_thread(partial(fleet.wait_left, node.name))

    async def _cluster(self, *arguments: str) -> None:
        done = await in_thread(partial(self._world.fleet.parvis, "cluster", *arguments))
        if done.returncode != 0:
            self.failed_commands.append(f"parvis cluster {' '.join(arguments)}: {done.returncode} {done.stdout} {done.stderr}")


KINDS: Final[dict[str, Callable[[Nemesis], Awaitable[None]]]] = {
    "kill_shard": Nemesis.kill_shard,
    "drain_shard": Nemesis.drain_shard,
    "freeze_shard": Nemesis.freeze_shard,
    "hold_up_shard": Nemesis.hold_up_shard,
    "kill_gateway": Nemesis.kill_gateway,
    "kill_worker": Nemesis.kill_worker,
    "drain_gateway": Nemesis.drain_gateway,
    "freeze_gateway": Nemesis.freeze_gateway,
    "kill_shard_and_gateway": Nemesis.kill_shard_and_gateway,
    "cut_links": Nemesis.cut_links,
    "hold_links": Nemesis.hold_links,
    "cut_store_links": Nemesis.cut_store_links,
    "hold_store_links": Nemesis.hold_store_links,
    "restart_store": Nemesis.restart_store,
    "kill_store": Nemesis.kill_store,
    "freeze_store": Nemesis.freeze_store,
    "forget": Nemesis.forget,
    "move_slots": Nemesis.move_slots,
    "kill_during_move": Nemesis.kill_during_move,
    "kill_two_shards": Nemesis.kill_two_shards,
    "add_and_remove_shard": Nemesis.add_and_remove_shard,
}
"""What can go wrong; a run with a static map or a store in a file has only those that do not need more."""

NEED_REDIS: Final = frozenset({
    "cut_store_links", "hold_store_links", "restart_store", "kill_store", "freeze_store", "forget", "move_slots",
    "kill_during_move", "kill_two_shards", "add_and_remove_shard", "kill_worker",
})  # fmt: skip

PLANNED: Final = ("drain_shard", "shard_returns", "move_slots", "rebalance", "add_shard", "remove_shard")
"""Faults in which slots change hands between shards that live."""

DRAINS: Final = ("drain_gateway", "drain_shard", "restart_shard")
"""Nodes that leave on purpose: people move before, and notice nothing."""
