"""A worker's work: it follows goals, falls silent, finishes, and tells of everything once."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from loadtest import Reader, User, constant, per_second, task
from loadtest.figures.messages import Beat, Finish, Goal, Hit, Hush, Stretch
from loadtest.figures.tally import Tally
from loadtest.people.environment import Environment
from loadtest.people.hooks import Events
from loadtest.people.scenario import Cast
from loadtest.people.tasks import Chosen
from loadtest.people.users import Person
from loadtest.workers.runner import Runner
from tests.support.honest_gateway import HonestGateway
from tests.support.loadtest_ground import RUN, GatewayDials, now_us

ROOM = "square/main"


class Citizen(User):
    rooms = (ROOM,)
    wait_time = constant(1)

    @task
    async def talk(self) -> None:
        await self.publish(self.room, "bonsoir")

    @task
    async def stumble(self) -> None:
        raise ValueError("a stone")


class Host(User):
    rooms = (ROOM,)
    fixed_count = 2

    @task
    async def sit(self) -> None:
        await trio.sleep(3)


class Passer(Reader):
    rooms = (ROOM,)
    audit_share = 0.25


class Speaker(User):
    rooms = (ROOM,)
    arrivals = per_second(4)

    @task
    async def speak(self) -> None:
        await self.publish(self.room, "on the stage")


class _Readers:
    """Lean readers that are numbers."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.hits: list[Hit] = []
        self.finished: list[tuple[Mapping[str, tuple[str, int]], float]] = []
        self.runs = False

    def open(self, name: str, rooms: tuple[str, ...]) -> None:
        assert rooms == (ROOM,)
        self.count[name] += 1

    def close(self, name: str) -> None:
        self.count[name] -= 1

    def living(self, name: str) -> int:
        return self.count[name]

    def servers(self) -> Counter[str]:
        return Counter({"gateway-9": self.count.total()})

    def hit(self, hit: Hit) -> None:
        self.hits.append(hit)

    async def run(self) -> None:
        self.runs = True
        await trio.sleep_forever()

    async def finish(self, heads: Mapping[str, tuple[str, int]], settle_s: float) -> None:
        await trio.lowlevel.checkpoint()
        self.finished.append((heads, settle_s))
        self.count.clear()


class _Rig:
    def __init__(self, nursery: trio.Nursery, *kinds: type[Person]) -> None:
        self.gateway = HonestGateway(nursery)
        self.readers = _Readers()
        self.fired: list[str] = []
        self.events = Events()
        for hook in self.events.all():
            hook.add_listener(lambda _name=hook.name, **values: self.fired.append(_name))
        self.events.spawning_complete.add_listener(lambda user_count: self.fired.append(str(user_count)))
        environment = Environment(self.events, GatewayDials.urls, run=RUN, worker_index=1, seed=5)
        cast = Cast({kind.__name__: kind for kind in kinds}, Chosen())
        self.runner = Runner(cast, environment, GatewayDials(self.gateway), self.readers, Tally(), now_us)
        self.has_ended = trio.Event()

    async def run(self) -> None:
        await self.runner.run()
        self.has_ended.set()

    def goal(self, spawn_per_s: float = 1.0, arrivals: dict[str, Stretch] | None = None, **users: int) -> None:
        self.runner.goal(Goal(users, spawn_per_s, arrivals or {}))

    def users(self) -> dict[str, int]:
        return self.runner.beat().users

    @property
    def told(self) -> list[str]:
        return [name for name in self.fired if name not in ("request", "user_error")]


@asynccontextmanager
async def _running(*kinds: type[Person]) -> AsyncIterator[_Rig]:
    async with trio.open_nursery() as nursery:
        rig = _Rig(nursery, *kinds)
        nursery.start_soon(rig.run)
        await wait_all_tasks_blocked()
        yield rig
        nursery.cancel_scope.cancel()


async def test_users_come_from_the_runs_zero_on_at_the_goals_pace_and_fixed_ones_first(autojump_clock: MockClock) -> None:
    async with _running(Citizen, Host, Passer) as rig:
        rig.goal(Host=2, Citizen=4, Passer=4)
        rig.runner.begin(now_us() + 5_000_000)
        await trio.sleep(4.9)
        assert (rig.users(), rig.told) == ({}, ["init"])
        await trio.sleep(1.6)
        assert rig.users() == {"Host": 2}
        assert rig.told == ["init", "test_start"]
        await trio.sleep(8)
        assert rig.users() == {"Host": 2, "Citizen": 4, "Passer": 4}
        assert rig.told == ["init", "test_start", "spawning_complete", "10"]


async def test_users_leave_at_the_goals_pace_too(autojump_clock: MockClock) -> None:
    async with _running(Citizen, Passer) as rig:
        rig.runner.begin(now_us())
        rig.goal(100.0, Citizen=6, Passer=6)
        await trio.sleep(1)
        rig.goal(2.0, Citizen=1)
        await trio.sleep(2.4)
        assert sum(rig.users().values()) in (7, 8)
        await trio.sleep(10)
        assert rig.users() == {"Citizen": 1}
        assert rig.told.count("spawning_complete") == 2


async def test_a_new_goal_is_followed_at_once_and_gives_no_head_start(autojump_clock: MockClock) -> None:
    async with _running(Citizen) as rig:
        rig.runner.begin(now_us())
        for wanted in range(10, 20):
            rig.goal(1.0, Citizen=wanted)
            await trio.sleep(0.25)
        assert rig.users()["Citizen"] in (3, 4)


async def test_a_class_that_this_run_does_not_have_is_nobody(autojump_clock: MockClock) -> None:
    async with _running(Citizen) as rig:
        rig.runner.begin(now_us())
        rig.goal(10.0, {"Left out": Stretch(0, 0, 0, 1.0, 0, 1)}, Citizen=1, Other=5)
        await trio.sleep(1)
        assert rig.users() == {"Citizen": 1}


async def test_readers_are_lean_but_for_a_share_that_audits(autojump_clock: MockClock) -> None:
    async with _running(Passer) as rig:
        rig.runner.begin(now_us())
        rig.goal(100.0, Passer=8)
        await trio.sleep(1)
        assert rig.readers.runs
        assert rig.readers.count == {"Passer": 6}
        assert {peer.name for peer in rig.gateway.peers} == {"Passer-auditor-0@1", "Passer-auditor-1@1"}
        beat = rig.runner.beat()
        assert (beat.users, beat.connected, beat.servers["gateway-9"]) == ({"Passer": 8}, 8, 6)


async def test_a_beat_tells_of_everything_once(autojump_clock: MockClock) -> None:
    async with _running(Citizen) as rig:
        rig.runner.begin(now_us())
        rig.goal(100.0, Citizen=5)
        await trio.sleep(10.5)
        beat = rig.runner.beat()
        rows = {row.name: row for row in beat.rows}
        assert beat.number == 1
        assert beat.at_us == now_us()
        assert beat.counts["acked"] == rows["publish"].count == len(beat.acked[0].pairs) // 2 > 0
        assert beat.counts["connects"] == 5
        assert beat.counts["audited"] == 5 * len(rig.gateway.room(ROOM).events) or beat.counts["audited"] > 0
        assert all(beat.counts.values()), "a count that is 0 is left out"
        (raised,) = beat.raised
        assert raised.message == "ValueError: a stone"
        assert "in stumble" in raised.traceback
        assert raised.count + beat.counts["publishes"] == 5 * 11
        again = rig.runner.beat()
        assert (again.number, again.rows, again.counts, again.acked, again.raised) == (2, [], {}, [], [])


async def test_plans_are_followed_and_may_change(autojump_clock: MockClock) -> None:
    async with _running(Speaker) as rig:
        rig.runner.begin(now_us())
        rig.goal(100.0, {"Speaker": Stretch(now_us(), 0, now_us() + 500_000, 4.0, 0, 1)}, Speaker=2)
        await trio.sleep(2.1)
        assert rig.runner.beat().counts["slots"] == 7
        rig.goal(100.0, {"Speaker": Stretch(now_us(), 7, now_us() + 250_000, 0.5, 0, 1)}, Speaker=2)
        await trio.sleep(5)
        assert rig.runner.beat().counts["slots"] == 3


async def test_hush_lets_tasks_end_and_cancels_what_is_left_exactly_then(autojump_clock: MockClock) -> None:
    async with _running(Citizen, Host, Passer) as rig:
        rig.runner.begin(now_us())
        rig.goal(100.0, Citizen=3, Host=2, Passer=4)
        await trio.sleep(1)
        rig.goal(100.0, Citizen=30, Host=2, Passer=4)
        began = trio.current_time()
        await rig.runner.hush(Hush(0.75))
        assert trio.current_time() - began == pytest.approx(0.75)
        published = rig.runner.beat().counts["publishes"]
        assert published
        await trio.sleep(5)
        assert "publishes" not in rig.runner.beat().counts
        assert rig.users() == {"Passer": 4}, "readers and auditors stay, and goals are void"
        assert rig.told[-1] == "test_stopping"


async def test_finish_ends_audits_and_everything(autojump_clock: MockClock) -> None:
    async with _running(Citizen, Passer) as rig:
        rig.runner.begin(now_us())
        rig.goal(100.0, Citizen=2, Passer=4)
        await trio.sleep(5)
        await rig.runner.hush(Hush(1.0))
        head = len(rig.gateway.room(ROOM).events)
        await rig.runner.finish(Finish({ROOM: ("e1", head)}, 5.0))
        await rig.has_ended.wait()
        assert rig.readers.finished == [({ROOM: ("e1", head)}, 5.0)]
        beat = rig.runner.beat()
        assert (beat.users, beat.connected, beat.findings) == ({}, 0, [])
        assert [each.watched for each in beat.seen if each.room == ROOM] != []
        assert rig.told[-3:] == ["test_stopping", "test_stop", "quitting"]


async def test_finish_without_a_hush_cancels_tasks_at_once(autojump_clock: MockClock) -> None:
    async with _running(Host) as rig:
        rig.runner.begin(now_us())
        rig.goal(100.0, Host=2)
        await trio.sleep(1)
        began = trio.current_time()
        await rig.runner.finish(Finish({}, 5.0))
        await rig.has_ended.wait()
        assert trio.current_time() == began


async def test_a_fault_is_the_readers_to_make(autojump_clock: MockClock) -> None:
    async with _running(Passer) as rig:
        rig.runner.hit(Hit("slow-readers", 3, 1.0))
        assert rig.readers.hits == [Hit("slow-readers", 3, 1.0)]


async def test_a_listener_that_raises_is_told_like_a_task(autojump_clock: MockClock) -> None:
    async with _running(Passer) as rig:
        rig.events.test_start.add_listener(lambda **_: 1 / 0)
        rig.runner.begin(now_us())
        await trio.sleep(1)
        (raised,) = rig.runner.beat().raised
        assert (raised.count, raised.message) == (1, "ZeroDivisionError: division by zero")
        assert rig.events.errors == 1
        assert "test_start" in rig.told


async def test_a_scenario_may_wish_the_end(autojump_clock: MockClock) -> None:
    class Leader(User):
        rooms = (ROOM,)
        wait_time = constant(1)

        @task
        async def end(self) -> None:
            self.environment.runner.quit("all is said")

    async with _running(Leader) as rig:
        rig.runner.begin(now_us())
        rig.goal(1.0, Leader=0)
        await trio.sleep(1)
        assert rig.runner.beat().wish == ""
        rig.goal(1.0, Leader=1)
        await trio.sleep(2)
        assert rig.runner.beat().wish == rig.runner.beat().wish == "the scenario ended it: all is said"


async def test_listeners_of_a_run_are_gone_with_it(autojump_clock: MockClock) -> None:
    async with _running(Citizen) as rig:
        before = [list(hook._listeners) for hook in Events().all()]
        rig.runner.begin(now_us())
        await rig.runner.finish(Finish({}, 0.0))
        await rig.has_ended.wait()
        assert len(rig.events.request._listeners) == len(rig.events.user_error._listeners) == 1
        assert before == [[]] * len(before)


async def test_users_who_never_wait_keep_nobody_from_connecting_and_no_beat_from_being_told() -> None:
    class Spinner(User):
        rooms = (ROOM,)

        @task
        async def spin(self) -> None:
            """No await at all, and `wait_time` is 0."""

    # In real time: with users who never wait a clock that jumps when all do would stand still.
    async with _running(Spinner, Citizen) as rig:
        rig.runner.begin(now_us())
        rig.goal(1000.0, Spinner=20)
        beats: list[Beat] = []
        with trio.fail_after(60):
            while sum(beat.counts.get("connects", 0) for beat in beats) < 20:
                await trio.sleep(0.05)
                beats.append(rig.runner.beat())
            rig.goal(1000.0, Spinner=20, Citizen=30)
            while sum(beat.counts.get("connects", 0) for beat in beats) < 50:
                await trio.sleep(0.05)
                beats.append(rig.runner.beat())
            await rig.runner.hush(Hush(5.0))
            await rig.runner.finish(Finish({}, 0.0))
        assert rig.users() == {}


async def test_one_seed_makes_the_same_choices(autojump_clock: MockClock) -> None:
    async def chosen() -> list[Any]:
        class Chooser(User):
            rooms = (ROOM,)
            wait_time = constant(1)
            told: tuple[float, ...] = ()

            @task
            async def choose(self) -> None:
                Chooser.told += (self.random.random(),)

        async with _running(Chooser) as rig:
            rig.runner.begin(now_us())
            rig.goal(10.0, Chooser=3)
            await trio.sleep(5.55)
        return sorted(Chooser.told)

    assert await chosen() == await chosen()


async def test_the_wait_for_the_start_makes_no_generator_look_fit(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    rig = _Rig(nursery, Citizen)
    nursery.start_soon(rig.run)
    await trio.sleep(3600)
    fitness = rig.runner._check.fitness
    assert fitness.seconds == 0
    rig.runner.begin(now_us() + 500_000)
    await trio.sleep(1)
    # Seconds of this machine's clock, not of the test's.
    assert fitness.seconds > 0
    await rig.runner.finish(Finish({}, 1.0))
    await rig.has_ended.wait()
