"""A run from the first worker to the record, over real sockets."""

import msgspec
import pytest
import trio

from loadtest.figures.messages import Hit
from loadtest.figures.record import Mark
from loadtest.master.admission import NotAdmitted
from loadtest.master.master import RunFailed
from loadtest.master.steering import NotNow
from loadtest.workers.worker import WorkRefused
from tests.support.loadtest_run import NumberWork, a_run
from wire.errors import PeerError


async def test_a_run_of_two_workers_ends_with_a_record_of_both() -> None:
    async with a_run(2, run_time_s=2) as run:
        run.start_worker("w-1")
        run.start_worker("w-2")
        record = await run.end()
    assert run.ends == [None, None]
    assert record.verdict.word == "PASS"
    assert record.counts["connects"] == 10
    assert record.seconds == pytest.approx(2, abs=0.9)
    assert [moment.at_s for moment in record.moments] == [float(n) for n in range(1, len(record.moments) + 1)]
    assert max(moment.users for moment in record.moments) == 10
    assert sum(moment.counts_per_s.get("acked", 0) for moment in record.moments) == record.counts["acked"]
    assert [closed.moment for closed in run.seconds] == record.moments
    assert {work.prepare.run for work in run.works} == {run.works[0].prepare.run}
    assert record.clock_error_ms == 0


async def test_a_worker_that_dies_is_told_of_and_the_other_takes_its_share() -> None:
    async with a_run(2, run_time_s=3) as run:
        first = run.start_worker("w-1")
        run.start_worker("w-2")
        await run.master.begun.wait()
        await run.until("the run begins")
        first.cancel()
        await run.until("w-1 is lost")
        record = await run.end()
    assert record.moments[-2].users == 10
    assert [note for note in record.notes if "w-1 is lost" in note]
    assert [mark.kind for mark in record.marks] == ["worker"]
    assert record.verdict.word == "PASS"


async def test_the_last_workers_death_makes_the_run_invalid() -> None:
    async with a_run(1) as run:
        only = run.start_worker("w-1")
        await run.until("the run begins")
        only.cancel()
        record = await run.end()
    assert (record.verdict.word, record.verdict.code) == ("INVALID", 3)
    assert "no worker was left" in record.verdict.reasons[0]


async def test_a_run_is_started_edited_and_stopped_by_a_person() -> None:
    async with a_run(1, by_itself=False) as run:
        assert run.master.standing.phase == "waiting"
        assert "0 of 1" in run.master.standing.sentence
        with pytest.raises(NotNow):
            run.master.stop()
        run.start_worker("w-1")
        await run.until("all workers are ready")
        assert run.master.standing.phase == "ready"
        run.master.start(3, 10.0)
        await run.master.begun.wait()
        assert run.master.standing.users == 3
        run.master.edit(7, 10.0)
        while run.master.standing.phase != "running":
            await trio.sleep(0.01)
        assert run.master.standing.sentence == "7 users"
        assert run.master.record().counts["connects"] == 7
        run.master.stop()
        assert run.master.standing.phase == "stopping"
        record = await run.end()
    assert run.master.standing.phase == "ended"
    assert run.works[0].finish_order is not None
    assert "edited" in record.notes[0]


async def test_hits_reach_the_workers_and_marks_the_time_line() -> None:
    async with a_run(1, run_time_s=2) as run:
        run.start_worker("w-1")
        await run.until("the run begins")
        run.master.hit(Hit("slow-readers", 3, 1.0))
        run.master.mark(Mark(0.5, "fault", "slow-readers 3"))
        record = await run.end()
    assert run.works[0].hits == [Hit("slow-readers", 3, 1.0)]
    assert [mark.text for mark in record.moments[0].marks] == ["slow-readers 3"]


async def test_a_worker_that_cannot_do_it_ends_the_run_with_its_sentence() -> None:
    async with a_run(2) as run:
        run.start_worker("w-1")
        run.start_worker("w-2", refuses=WorkRefused("10.0.0.9 is no address of this machine", 2))
        with pytest.raises(RunFailed, match="no address of this machine") as failed:
            await run.end()
    assert failed.value.code == 2


async def test_a_worker_with_another_scenario_is_turned_away_and_the_run_waits() -> None:
    async with a_run(1, run_time_s=1) as run:
        run.start_worker("w-1", scenario="another")
        await run.until("was turned away: the worker's scenario is not the master's")
        assert run.master.standing.phase == "waiting"
        run.start_worker("w-2")
        await run.end()
    assert isinstance(run.ends[0], NotAdmitted)


@pytest.mark.parametrize(("by_itself", "code"), [(True, 3), (False, 0)])
async def test_whoever_gives_up_before_the_beginning_has_no_run(by_itself: bool, code: int) -> None:
    async with a_run(2, by_itself=by_itself) as run:
        run.start_worker("w-1")
        await run.until("w-1 is here")
        run.master.give_up("Ctrl-C")
        with pytest.raises(RunFailed, match="before it began") as failed:
            await run.end()
    assert failed.value.code == code
    assert run.ends == [None]


async def test_a_reason_from_outside_ends_it() -> None:
    async with a_run(2) as run:
        run.master.fail("worker 1 did not start", 3)
        with pytest.raises(RunFailed, match="worker 1 did not start"):
            await run.end()


async def test_a_run_that_nobody_could_connect_in_is_unreachable() -> None:
    async with a_run(1, users=0, run_time_s=1) as run:
        run.start_worker("w-1")
        await run.until("w-1 is here")
        while not run.works:
            await trio.sleep(0.01)
        run.works[0].tally.counts["connects_failed"] += 9
        record = await run.end()
    assert (record.verdict.word, record.verdict.code) == ("UNREACHABLE", 4)


async def test_a_beat_of_a_time_that_has_not_come_ends_its_worker_and_nothing_else() -> None:
    async with a_run(2, run_time_s=1) as run:
        run.start_worker("w-1")
        run.start_worker("w-2")
        await run.until("the run begins")
        beat = msgspec.structs.replace(run.works[0].beat(), at_us=1 << 60)
        with pytest.raises(PeerError, match="has not come"):
            run.master.worker_said(0, beat)
        record = await run.end()
    assert len(record.moments) < 60


async def test_the_end_of_the_load_is_known_before_that_of_the_run() -> None:
    async with a_run(1) as run:
        run.start_worker("w-1")
        await run.until("the run begins")
        assert not run.master.load_ended.is_set()
        run.master.stop()
        assert run.master.load_ended.is_set()
        assert not run.over.is_set()
        await run.end()


async def test_a_run_in_which_nobody_was_answered_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    # Users who wait for a server that takes connections and says nothing.
    monkeypatch.setattr(NumberWork, "goal", lambda work, goal: work.users.update(goal.users))
    async with a_run(1, run_time_s=3) as run:
        run.start_worker("w-1")
        record = await run.end()
    assert (record.verdict.word, record.verdict.code) == ("UNREACHABLE", 4)
    assert "and refused nobody" in record.verdict.reasons[0]


async def test_a_scenario_on_one_worker_ends_the_run_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    beat = NumberWork.beat
    async with a_run(2) as run:
        run.start_worker("w-1")
        run.start_worker("w-2")
        await run.until("the run begins")
        wishing = run.works[0]
        monkeypatch.setattr(
            NumberWork, "beat",
            lambda work: msgspec.structs.replace(beat(work), wish="the scenario ended it: enough" if work is wishing else ""),
        )  # fmt: skip
        await run.until("the run ends: the scenario ended it: enough")
        record = await run.end()
    assert run.ends == [None, None]
    assert record.verdict.word == "PASS"
