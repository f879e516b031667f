"""A worker behind a locust master, with runs that are only told of; a real locust is in test_locust_contract.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.lowlevel
import trio.testing

from loadtest.figures.record import ExceptionRecord, FoundRecord, Moment, RunRecord, Verdict, WorkerProbe
from loadtest.figures.tally import Tally
from loadtest.figures.totals import Totals
from loadtest.locust.dictated import Dictated
from loadtest.locust.link import LocustLink
from loadtest.locust.session import SETTLE_WORD, WORKERS_WORD, LocustSession
from loadtest.locust.words import Job, NotLocust, Said
from loadtest.locust.worker import Course, LocustWorker, NoLocust
from loadtest.master.collector import Closed, Collector
from loadtest.master.master import RunFailed
from loadtest.workers.dispatch import Kind

KINDS = [Kind("Citizen"), Kind("Reporter", arrivals_per_s=8.0)]
WALL = 5000.0


class FakeLink:
    """Both ends of a link in memory."""

    def __init__(self) -> None:
        self.say, self._heard = trio.open_memory_channel[Said | NotLocust](100)
        self.sent: list[Said] = []
        self.is_full = self.is_closed = False
        self.nodes: list[str] = []

    def send_nowait(self, said: Said) -> bool:
        if not self.is_full:
            self.sent.append(said)
        return not self.is_full

    async def receive(self) -> Said:
        said = await self._heard.receive()
        if isinstance(said, NotLocust):
            raise said
        return said

    def redial(self, node: str) -> None:
        self.nodes.append(node)

    async def aclose(self) -> None:
        self.is_closed = True


def second(at_s: float, users: dict[str, int], published: int = 0) -> Closed:
    tally, totals = Tally(), Totals()
    tally.row("publish").latencies.record(1000, published)
    totals.add(tally.take()[0])
    count = sum(users.values())
    workers = [WorkerProbe("a", count, 0.25, 1000, 0, "running"), WorkerProbe("b", 0, 0.5, 2000, 0, "running")]
    return Closed(Moment(at_s, count, count, users, count, {}, {}, {}, 0, [], workers), totals)


def record_of(collector: Collector, verdict: Verdict) -> RunRecord:
    return RunRecord(
        1, "numbers", "", 3.0, [], [], {}, 1, [], [], dict(collector.counts), {}, list(collector.findings), [], verdict, 0.0,
        exceptions=collector.exceptions,
    )  # fmt: skip


@dataclass
class Rig:
    """A worker and its two surroundings: the master's words, and what a run does."""

    link: FakeLink
    session: LocustSession
    worker: LocustWorker
    said: list[str]
    courses: list[Course] = field(default_factory=list)
    collector: Collector = field(default_factory=Collector)
    verdict: Verdict = field(default_factory=lambda: Verdict("PASS", 0, []))
    failure: RunFailed | None = None
    is_over: trio.Event = field(default_factory=trio.Event)

    async def carry_out(self, course: Course) -> RunRecord:
        self.courses.append(course)
        if self.failure is not None:
            raise self.failure
        await course.over.wait()
        return record_of(self.collector, self.verdict)

    async def hear(self, kind: str, data: object = None) -> None:
        self.link.say.send_nowait(Said(kind, data, "here_1"))
        await trio.testing.wait_all_tasks_blocked()

    async def spawn(self, at: float = 1.0, **users: int) -> None:
        await self.hear("spawn", {"timestamp": at, "user_classes_count": users, "host": "ws://a", "stop_timeout": 0})

    async def second(self, at_s: float, users: dict[str, int], published: int = 0) -> None:
        self.courses[-1].hear(second(at_s, users, published), self.collector)
        # The report is made in a thread.
        while not self.stats or self.stats[-1]["user_count"] != sum(users.values()):
            await trio.lowlevel.checkpoint()

    def sent(self, kind: str) -> list[Any]:
        return [said.data for said in self.link.sent if said.type == kind]

    @property
    def stats(self) -> list[Any]:
        return self.sent("stats")

    def kinds(self) -> list[str]:
        return [said.type for said in self.link.sent if said.type != "heartbeat"]


@asynccontextmanager
async def a_rig() -> AsyncIterator[Rig]:
    """A worker whose master has answered; cancelled at the end of the block if it is still there."""
    link, said = FakeLink(), list[str]()
    session = LocustSession("here_1", frozenset(kind.name for kind in KINDS), trio.current_time())

    async def carry_out(course: Course) -> RunRecord:
        return await rig.carry_out(course)

    worker = LocustWorker(
        cast(LocustLink, link), session, KINDS, carry_out, wall_clock=lambda: WALL, say=said.append
    )
    rig = Rig(link, session, worker, said)

    async def run() -> None:
        await worker.run()
        rig.is_over.set()

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await rig.hear("ack", {"index": 0})
            link.sent.clear()
            yield rig
            nursery.cancel_scope.cancel()
    assert link.is_closed


async def test_a_spawn_begins_a_run_and_the_next_ones_change_it() -> None:
    async with a_rig() as rig:
        await rig.hear(WORKERS_WORD, {"workers": 2})
        await rig.spawn(1.0, Citizen=2, Reporter=1)
        [course] = rig.courses
        assert course.job.host == "ws://a"
        load = course.shape.tick()
        assert (load.by_class, load.arrivals_per_s) == ({"Citizen": 2, "Reporter": 1}, {"Reporter": 4.0})
        await rig.spawn(2.0, Citizen=4, Reporter=1)
        await rig.hear(WORKERS_WORD, {"workers": 4})
        load = course.shape.tick()
        assert (load.by_class, load.arrivals_per_s) == ({"Citizen": 4, "Reporter": 1}, {"Reporter": 2.0})
        assert len(rig.courses) == 1


async def test_each_second_is_told_and_users_that_are_there_complete_the_spawning() -> None:
    async with a_rig() as rig:
        await rig.spawn(Citizen=2)
        await rig.second(1.0, {"Citizen": 1}, published=5)
        assert rig.sent("spawning_complete") == []
        await rig.second(2.0, {"Citizen": 2}, published=7)
        assert rig.sent("spawning_complete") == [{"user_classes_count": {"Citizen": 2}, "user_count": 2}]
        assert [[entry["num_requests"] for entry in body["stats"]] for body in rig.stats] == [[5], [7]]
        assert [body["stats_total"]["last_request_timestamp"] for body in rig.stats] == [WALL, WALL + 1]
        await trio.sleep(1.2)
        assert rig.sent("heartbeat")[-1] == {"state": "running", "current_cpu_usage": 50.0, "current_memory_usage": 3000}


def test_seconds_that_were_not_told_yet_are_added_up_and_violations_told_once() -> None:
    course, collector = Course(Job(1.0, {}, "", 0), Dictated(KINDS), lambda: WALL), Collector()
    assert course.take() is None
    collector.found(FoundRecord("lost", "square/a", 7, 2, "auditor 1", "never came"))
    course.hear(second(1.0, {"Citizen": 1}, 5), collector)
    course.hear(second(2.0, {"Citizen": 2}, 6), collector)
    first = course.take()
    collector.found(FoundRecord("lost", "square/b", 1, 1, "auditor 1", "never came"))
    course.hear(second(3.0, {"Citizen": 2}, 1), collector)
    then = course.take()
    assert first is not None
    assert then is not None
    told = cast(list[Any], [first(), then()])
    assert [{entry["name"]: entry["num_requests"] for entry in body["stats"]} for body in told] == [
        {"publish": 11, "audit": 2}, {"publish": 1, "audit": 1},
    ]  # fmt: skip
    assert told[0]["stats_total"]["start_time"] == WALL - 1
    assert (told[0]["stats_total"]["last_request_timestamp"], told[0]["user_count"]) == (WALL + 1, 2)
    assert [[each["error"] for each in body["errors"].values()] for body in told] == [
        ["lost: square/a at offset 7: never came"], ["lost: square/b at offset 1: never came"],
    ]  # fmt: skip


async def test_a_stop_ends_the_run_tells_its_last_figures_and_then_that_it_is_free() -> None:
    async with a_rig() as rig:
        await rig.spawn(Citizen=1)
        await rig.second(1.0, {"Citizen": 1}, published=1)
        rig.collector.found(FoundRecord("lost", "square/a", 7, 2, "the ledger", "acknowledged and never read"))
        rig.verdict = Verdict("MISS", 1, ["2 offsets were lost"])
        await rig.hear("stop")
        while "client_ready" not in rig.kinds():
            await trio.lowlevel.checkpoint()
        assert rig.kinds()[-4:] == ["exception", "stats", "client_stopped", "client_ready"]
        assert rig.sent("exception")[-1]["msg"] == "MISS: 2 offsets were lost"
        assert rig.stats[-1]["stats_total"]["num_failures"] == 2
        assert rig.said[-1] == "the run is over: MISS; 2 offsets were lost"
        await rig.spawn(2.0, Citizen=3)
        assert len(rig.courses) == 2


async def test_what_a_scenario_raises_is_told_once() -> None:
    raised = ExceptionRecord(3, "ValueError: no", "line 7", ["a"])
    async with a_rig() as rig:
        await rig.spawn(Citizen=1)
        rig.verdict = Verdict("PASS", 0, [])
        rig.collector._raised["ValueError: no", "line 7"] = raised
        await rig.second(1.0, {"Citizen": 1})
        rig.collector._raised["ValueError: no", "line 7"] = msgspec.structs.replace(raised, count=9)
        await rig.second(2.0, {})
        await rig.hear("stop")
        assert rig.sent("exception") == [{"msg": "ValueError: no", "traceback": "line 7"}]


async def test_a_run_that_cannot_be_made_is_a_sentence_on_its_page_and_is_tried_again_when_somebody_starts_again() -> None:
    async with a_rig() as rig:
        rig.failure = RunFailed("nobody answers at ws://a: start it, or name another with --host", 4)
        await rig.spawn(Citizen=1)
        await rig.spawn(2.0, Citizen=2)
        assert [each["msg"] for each in rig.sent("exception")] == [str(rig.failure)]
        assert rig.said[-1] == str(rig.failure)
        assert "client_ready" not in rig.kinds()
        await rig.hear("stop")
        assert rig.kinds()[-2:] == ["client_stopped", "client_ready"]
        await rig.spawn(3.0, Citizen=1)
        assert len(rig.courses) == 2


async def test_a_run_that_ended_by_itself_is_free_again_when_somebody_says_stop() -> None:
    async with a_rig() as rig:

        async def carry_out(course: Course) -> RunRecord:
            rig.courses.append(course)
            await trio.lowlevel.checkpoint()
            return record_of(rig.collector, Verdict("MISS", 1, ["2 offsets were lost"]))

        rig.worker._carry_out = carry_out
        await rig.spawn(Citizen=1)
        await rig.spawn(2.0, Citizen=2)
        assert len(rig.courses) == 1
        assert [each["msg"] for each in rig.sent("exception")] == ["MISS: 2 offsets were lost"]
        assert rig.said[-1] == "the run ended by itself: this worker is free again when the locust master says stop"
        assert "client_ready" not in rig.kinds()
        await rig.hear("stop")
        assert rig.kinds()[-2:] == ["client_stopped", "client_ready"]
        await rig.spawn(3.0, Citizen=1)
        assert len(rig.courses) == 2


async def test_quit_ends_the_run_and_the_worker() -> None:
    async with a_rig() as rig:
        await rig.spawn(Citizen=1)
        await rig.second(1.0, {"Citizen": 1}, published=1)
        await rig.hear("quit")
        await rig.is_over.wait()
        assert rig.courses[0].why == "the locust master says quit"
        assert "client_ready" not in rig.kinds()
        assert rig.worker.record is not None


async def test_who_leaves_by_its_own_wish_says_so_last() -> None:
    async with a_rig() as rig:
        await rig.spawn(Citizen=1)
        await rig.second(1.0, {"Citizen": 1}, published=1)
        rig.worker.leave()
        await rig.is_over.wait()
        assert rig.kinds()[-2:] == ["stats", "quit"]


async def test_a_worker_without_a_run_stops_settles_and_leaves_at_once() -> None:
    async with a_rig() as rig:
        await rig.hear("stop")
        await rig.hear(SETTLE_WORD)
        await rig.hear("quit")
        await rig.is_over.wait()
        assert rig.kinds() == ["client_stopped", "client_ready", "parvis_settled"]


async def test_words_that_are_not_understood_are_said_and_the_next_ones_heard() -> None:
    async with a_rig() as rig:
        rig.link.say.send_nowait(NotLocust("bytes that are no message"))
        await rig.hear("spawn", None)
        await rig.spawn(Citizen=1)
        assert len(rig.courses) == 1
        assert [sentence.partition(": ")[2] for sentence in rig.said if "not understood" in sentence] == [
            "bytes that are no message", "a spawn without 'NoneType' object has no attribute 'get'",
        ]  # fmt: skip


async def test_a_master_that_takes_nothing_is_told_of_here() -> None:
    async with a_rig() as rig:
        rig.link.is_full = True
        await rig.hear("stop")
        assert rig.said[-1] == "the locust master takes nothing: what it should hear is dropped"


async def test_a_worker_that_finds_no_master_ends_with_a_sentence(autojump_clock: trio.testing.MockClock) -> None:
    link, session = FakeLink(), LocustSession("here_1", frozenset(), trio.current_time())

    async def carry_out(_course: Course) -> RunRecord:
        raise AssertionError("there is nobody who wants a run")

    worker = LocustWorker(cast(LocustLink, link), session, [], carry_out, wall_clock=lambda: WALL, say=lambda _: None)
    with pytest.raises(NoLocust, match="no locust master has answered for 5 minutes: start it"):
        await worker.run()
    assert link.is_closed


async def test_a_new_connection_is_made_by_the_name_that_the_conversation_asks_for() -> None:
    async with a_rig() as rig:
        await rig.hear("reconnect")
        assert rig.link.nodes == ["here_1-2"]


async def test_a_run_that_was_stopped_before_it_began_is_no_failure() -> None:
    async with a_rig() as rig:

        async def carry_out(course: Course) -> RunRecord:
            await course.over.wait()
            raise RunFailed("the run was ended before it began", 3)

        rig.worker._carry_out = carry_out
        await rig.spawn(Citizen=1)
        await rig.hear("stop")
        assert rig.kinds() == ["spawning", "client_stopped", "client_ready"]
        assert rig.said[-1] == "the run was ended before it began"


async def test_the_exit_code_is_that_of_the_last_run_also_of_one_that_could_not_be() -> None:
    async with a_rig() as rig:
        rig.verdict = Verdict("MISS", 1, ["lost 3"])
        for at, failure, code in ((1.0, None, 1), (2.0, RunFailed("nobody answers", 4), 4)):
            rig.failure = failure
            await rig.spawn(at, Citizen=1)
            await rig.hear("stop")
            assert rig.worker.code == code
        rig.failure, rig.verdict = None, Verdict("PASS", 0, [])
        await rig.spawn(3.0, Citizen=1)
        await rig.hear("stop")
        assert rig.worker.code == 0
