"""A whole cluster under one seed: two shards, two gateways, six people, and everything that goes wrong.

`simulate(seed)` runs it to its end in one event loop on a clock that jumps, and reports what
broke a promise.  First people talk while the nemesis breaks things; then all heals, and by then
at the latest everything that should get through must get through: every message acknowledged,
every reader at the end of its room's log.  The same seed gives the same report, to the bit.
"""

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

import trio
import trio.testing

from broker.journal.protocol import LoadedRoom
from broker.room import Room
from client.updates import Stopped
from runtime.metrics import DirectoryCounters
from runtime.offload import Offload
from runtime.schema import GatewaySettings
from shard_router.cluster_directory import ClusterDirectory, new_member, probe_by
from shard_router.cluster_records import Role
from tests.support.cluster import SECRETS, Cluster
from tests.support.cluster_store_model import ClusterStoreClient, ClusterStoreModel
from tests.support.faulty_journal import FaultyJournal
from tests.support.forgetful_journal import ForgetfulJournal
from tests.support.history import Kept, Place, violations
from tests.support.people import Person, epochs_of, person
from tests.support.sim_chronicle import Chronicle, TracedWitness
from tests.support.sim_faults import KINDS, LAGS_S, MOVING_KINDS, Nemesis
from tests.support.sim_lane import LanePace, SimLane
from tests.support.sim_memory import SharedMemory
from tests.support.sim_network import SimNetwork
from tests.support.sim_stream import dialer
from wire.client_codec import Form
from wire.client_messages import Ack, Joined, Skipped
from wire.limits import OUTBOX_BEHIND_BYTES_MAX
from wire.names import Epoch, RoomName

# Each lies on a shard of its own; the simulation checks it.
ROOMS = ("town/square", "town/park")
NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Fay")
SHARD_PORTS = {"shard-1": 7001, "shard-2": 7002}
GATEWAY_PORTS = {"gateway-1": 8001, "gateway-2": 8002}
HOST = "127.0.0.1"
# Stopping and starting nodes is over by then, after the last fault: no step of it waits longer than a drain or a job.
NODES_RETURN_S = 60.0
# So long after the last fault every shard has found out that the store is another one, and what it has forgotten:
# a second to look, up to a deadline for a job under way, and claims that are tried again every two seconds.
FOUND_OUT_S = 15.0
# The most that ten seeds took in one moment is 186.
STEPS_AT_ONCE_MAX = 50_000
# More than everybody can say, twice over.
ENTRIES_MAX = 100_000
# An evening of the year 2027, in seconds since 1970.
BEGAN_S = 1_800_000_000.0


@dataclass(frozen=True)
class Plan:
    """How long it goes on, and what goes wrong."""

    faults: tuple[str, ...] = tuple(KINDS)
    is_moving: bool = False
    """Whether slots change hands: nodes have a directory that can change, and the faults of `MOVING_KINDS` are for them."""
    fault_pause_s: float = 1.2
    faults_s: float = 20.0
    messages: int = 12
    """Of each person; the last is said after all has healed."""
    speak_pause_s: float = 1.5
    wander_chance: float = 0.1
    """How often somebody leaves the room for a while before they speak."""
    regret_chance: float = 0.15
    """How often somebody removes again what they said."""
    patience_s: float = 180.0
    """So long after the last fault everything must have got through.  A client finds out that its
    cable was pulled after 35 s, at the latest; a publish then waits 30 s for an answer."""


MOVING = Plan(is_moving=True, faults=tuple(MOVING_KINDS))
"""Slots change hands: members come, go, and are cut off from what says who owns what."""


@dataclass
class Report:
    """What a simulation came to.  Two of one seed are equal when their digests are."""

    seed: int
    digest: str
    violations: list[str]
    lines: list[str] = field(repr=False)
    faults: Counter[str]
    acknowledged: int
    simulated_s: float
    is_moving: bool = False


def simulate(seed: int, plan: Plan | None = None) -> Report:
    """Run one seed to its end; not from inside an event loop."""
    return _Simulation(seed, plan or Plan()).run()


@contextmanager
def _trio_of_one_seed(seed: int) -> Iterator[None]:
    """trio's own choice among runnable tasks follows the seed too."""
    core = trio._core._run
    before = core._ALLOW_DETERMINISTIC_SCHEDULING
    core._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    core._r.seed(seed)
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]


class _SpinWatch(trio.abc.Instrument):
    """Ends a world in which tasks run and time does not pass: a loop that waits for nothing."""

    def __init__(self) -> None:
        self.scope: trio.CancelScope | None = None
        self.found = ""
        self._at = 0.0
        self._steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        now = trio.current_time()
        if now != self._at:
            self._at, self._steps = now, 0
        self._steps += 1
        if self._steps == STEPS_AT_ONCE_MAX and self.scope is not None:
            self.found = task.name
            self.scope.cancel()


class _Simulation:
    """One world; see `tests.support.sim_faults.World` for what of it can be broken."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self._seed = seed
        self._plan = plan
        self.chronicle = Chronicle()
        self.network = SimNetwork(self._rng("network"))
        # In every third world an acknowledgement waits for the replica, and nothing acknowledged is ever lost.
        wait_replicas = int(self._rng("store").random() < 1 / 3)
        self.store = ForgetfulJournal(f"store of seed {seed}", clock=self._time, wait_replicas=wait_replicas)
        self.store.lag_s = self._rng("store").choice(LAGS_S)
        self.memory = SharedMemory(self.store, self._owner_of, self._room_at)
        self.journal = FaultyJournal(self.store, self._rng("journal"))
        self.pace = LanePace()
        self.directory_store = ClusterStoreModel()
        self.directory_clients: dict[str, ClusterStoreClient] = {}
        self.gateway_ports = GATEWAY_PORTS
        self.people = NAMES
        self._lanes: dict[str, SimLane] = {}
        self._all_lanes: list[SimLane] = []
        self._lane_rng = self._rng("lanes")
        self._directory_rng = self._rng("directory")
        self._here: list[Person] = []
        self._simulated_s = 0.0
        self._nemesis: Nemesis | None = None
        self._spin_watch = _SpinWatch()

    def _rng(self, role: str) -> Random:
        """A source of its own for each role: what one draws does not shift the others."""
        return Random(f"{self._seed} {role}")

    def run(self) -> Report:
        with _trio_of_one_seed(self._seed):
            try:
                trio.run(self._live, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[self._spin_watch])
            except Exception:  # noqa: BLE001 -- the boundary of the simulated world: whatever ends it is a finding, with its seed
                self.chronicle.problems.append(f"the world ended:\n{traceback.format_exc()}")
        found = [*self.chronicle.problems, *self._broken_promises()]
        return Report(
            seed=self._seed,
            digest=self.chronicle.digest(),
            violations=found,
            lines=self.chronicle.lines,
            faults=self._nemesis.done if self._nemesis is not None else Counter(),
            acknowledged=sum(len(somebody.witness.acked) for somebody in self._here),
            simulated_s=self._simulated_s,
            is_moving=self._plan.is_moving,
        )

    # --- the world ----------------------------------------------------------------------------

    async def _live(self) -> None:
        plan = self._plan
        with trio.move_on_after(plan.faults_s + NODES_RETURN_S + 2 * plan.patience_s) as world_time:
            self._spin_watch.scope = world_time
            await self._live_in_time()
        if self._spin_watch.found:
            self.chronicle.problem(f"{self._spin_watch.found} runs on and on, and time stands still")
        elif world_time.cancelled_caught:
            self.chronicle.problem(f"the world did not end: {self._nemesis.away if self._nemesis else 'it never began'}")

    async def _live_in_time(self) -> None:
        plan = self._plan
        async with trio.open_nursery() as world:
            await self._build(world)
            nemesis = self._nemesis = Nemesis(self, self._rng("faults"), plan.faults, plan.fault_pause_s)
            healed = trio.Event()
            async with trio.open_nursery() as acting:
                for somebody in self._here:
                    acting.start_soon(self._speak, somebody, healed)
                await nemesis.run(plan.faults_s)
                await trio.sleep(FOUND_OUT_S)
                for missing in self.memory.still_missing():
                    self.chronicle.problem(missing)
                healed.set()
                acting.cancel_scope.deadline = trio.current_time() + plan.patience_s
            with trio.move_on_after(plan.patience_s):
                await self._wait_converged()
            self._simulated_s = trio.current_time()
            nemesis.count_all()
            world.cancel_scope.cancel()

    async def _build(self, world: trio.Nursery) -> None:
        """Start every node, and let everybody come in; all of it lives in `world`."""
        self._world = world
        self.cluster = Cluster(
            world, journal=self.journal, networks=self.network.node, lanes=self._lane, rng=self._rng("nodes"),
            wall_clock=lambda: BEGAN_S + trio.current_time(), gateway=self._gateway_settings(),
            shard_ports=SHARD_PORTS, host=HOST, log=self.chronicle.log(),
            directories=self._directory if self._plan.is_moving else None,
        )  # fmt: skip
        for shard in SHARD_PORTS:
            await self.cluster.start_shard(shard)
        for gateway, port in GATEWAY_PORTS.items():
            await self.cluster.start_gateway(gateway, port=port)
        for number in range(len(NAMES)):
            await world.start(self._be_there, number)

    def _directory(self, role: Role, node: str, address: str) -> ClusterDirectory:
        client = self.directory_clients[node] = self.directory_store.client()
        rng = Random(self._directory_rng.getrandbits(64))
        return ClusterDirectory(
            client, self._lane(f"{node}-directory"), new_member(role, node, rng, address=address, weight=100),
            cluster="town", secrets=SECRETS, probe=probe_by(self.network.node(node)), rng=rng,
            log=self.chronicle.log().bind(node=node), counters=DirectoryCounters(),
        )  # fmt: skip

    def _gateway_settings(self) -> GatewaySettings:
        """In some seeds little is kept for slow readers, so that they are told to resume."""
        behind = self._rng("settings").choice((4096, OUTBOX_BEHIND_BYTES_MAX))
        return GatewaySettings(drain_deadline_s=2.0, drain_notice_s=0.0, outbox_behind_bytes_max=behind)

    def _lane(self, name: str) -> Offload:
        lane = SimLane(name, self._lane_rng, self.pace)
        self._lanes[name] = lane
        self._all_lanes.append(lane)
        self._world.start_soon(lane.run)
        return lane

    def lanes_of(self, node: str) -> list[SimLane]:
        return [self._lanes.pop(name) for name in list(self._lanes) if name.rpartition("-")[0] == node]

    def store_died(self) -> None:
        for lane in self._all_lanes:
            lane.store_died()

    def _time(self) -> float:
        """The world's time; before and after it, none passes."""
        try:
            return trio.current_time()
        except RuntimeError:
            return 0.0

    def _owner_of(self, room: str) -> str:
        return self.cluster.owner_of(room)

    def _room_at(self, node: str, name: str) -> Room | None:
        """A room as a shard has it that lives."""
        if self._nemesis is None or node in self._nemesis.away:
            return None
        server = self.cluster.shards[node].server
        return server.shard.room_before(RoomName(name)) if server is not None else None

    # --- people -------------------------------------------------------------------------------------

    async def _be_there(self, number: int, *, task_status: trio.TaskStatus[None]) -> None:
        name = NAMES[number]
        urls = [f"ws://{HOST}:{port}" for port in GATEWAY_PORTS.values()]
        form = Form.JSON if number % 3 == 2 else Form.MSGPACK
        async with person(
            name, urls, seed=self._seed, room=ROOMS[number % len(ROOMS)], form=form, dial_url=dialer(self.network.node(name))
        ) as somebody:
            somebody.witness = witness = TracedWitness(name, somebody.room)
            witness.chronicle = self.chronicle
            self._here.append(somebody)
            task_status.started()
            await trio.sleep_forever()

    async def _wander(self, somebody: Person, rng: Random) -> None:
        """Leave the room, look elsewhere for a while, and go on where one was."""
        since = await somebody.client.leave(somebody.room)
        await trio.sleep(rng.uniform(0, 3.0))
        while not isinstance(joined := await somebody.client.join(somebody.room, since), Joined):
            self.chronicle.write(somebody.name, joined)
            await trio.sleep(max(joined.retry_after_ms / 1000, 0.05))

    async def _speak(self, somebody: Person, healed: trio.Event) -> None:
        rng = self._rng(somebody.name)
        for number in range(self._plan.messages):
            if number == self._plan.messages - 1:
                await healed.wait()
            await trio.sleep(rng.expovariate(1 / self._plan.speak_pause_s))
            if rng.random() < self._plan.wander_chance:
                await self._wander(somebody, rng)
            message_id = f"{somebody.name}-{number}"
            text = f"{number} " + "la" * rng.randint(0, 200)
            outcome = await somebody.say(text, message_id)
            self.chronicle.write(somebody.name, outcome)
            if isinstance(outcome, Ack) and rng.random() < self._plan.regret_chance:
                await trio.sleep(rng.expovariate(1 / self._plan.speak_pause_s))
                await somebody.take_back(outcome, f"{message_id}-gone")
                self.chronicle.write(somebody.name, f"took {message_id} back")

    def _messages_of(self, somebody: Person) -> list[str]:
        return [f"{somebody.name}-{number}" for number in range(self._plan.messages)]

    # --- judging ----------------------------------------------------------------------------------------

    async def _wait_converged(self) -> None:
        while any(self._lag_of(somebody) for somebody in self._here):
            await trio.sleep(0.1)

    def _room(self, name: str) -> LoadedRoom | None:
        return self.store.contents.load(RoomName(name), 1, 1, 0, 0)

    def _lag_of(self, somebody: Person) -> str:
        """What somebody has not seen of their room; "" when they have all."""
        room = self._room(somebody.room)
        if room is None:
            return ""
        seen = somebody.witness.events[-1] if somebody.witness.events else None
        at = (seen.epoch, seen.offset) if seen is not None else ("", 0)
        return "" if at == (room.head.epoch, room.head.offset) else f"{at} of {(room.head.epoch, room.head.offset)}"

    def _broken_promises(self) -> list[str]:
        found: list[str] = []
        for room in ROOMS:
            people = [somebody for somebody in self._here if somebody.room == room]
            loaded = self._room(room)
            epochs = list(dict.fromkeys([*epochs_of(people), *([loaded.head.epoch] if loaded else [])]))
            log = [
                Kept(epoch, entry.offset, entry.id, bool(entry.removed))
                for epoch in epochs
                for entry in self.store.contents.read(RoomName(room), Epoch(epoch), 0, ENTRIES_MAX)
            ]
            forgotten = self.memory.forgotten.get(room, {})
            found += violations([somebody.witness for somebody in people], log, forgotten)
            for somebody in people:
                found += self._unkept_to(somebody, may_start_over=bool(forgotten))
        if self.chronicle.epochs_ended and not self.memory.forgotten:
            found.append(f"{self.chronicle.epochs_ended} epochs were ended, though somebody alive knew all that was forgotten")
        return found

    def _unkept_to(self, somebody: Person, *, may_start_over: bool) -> Iterator[str]:
        """What must not happen to anybody where everything heals; who `may_start_over` was in a room that lost something."""
        witness, name = somebody.witness, somebody.name
        for message_id in self._messages_of(somebody):
            if message_id in witness.refused:
                yield f"{message_id} was refused for good"
            elif message_id not in witness.acked:
                yield f"stuck: {message_id} was never acknowledged"
        if lag := self._lag_of(somebody):
            yield f"stuck: {name} has seen {lag}"
        places = [entry for entry in witness.entries if isinstance(entry, Place)]
        if sum(not place.continues for place in places) > 1 and not may_start_over:
            yield f"{name} was told to start over: {places}"
        for update in somebody.updates:
            if isinstance(update, Skipped | Stopped):
                yield f"{name} was told {update}"
