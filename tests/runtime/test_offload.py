"""Worker lanes: jobs run to their end and in order, whoever still waits for them."""

import threading

import pytest
import trio

from runtime import offload
from runtime.offload import OffloadFull, OffloadTimeout, ThreadLane


@pytest.fixture
def lane() -> ThreadLane:
    return ThreadLane("test-lane")


async def test_a_job_runs_on_the_lanes_own_thread_and_answers(lane: ThreadLane) -> None:
    assert await lane(threading.current_thread, deadline_s=5) is not threading.current_thread()
    assert (await lane(threading.current_thread, deadline_s=None)).name == "test-lane-0"
    lane.close()


async def test_what_a_job_raises_reaches_its_waiter(lane: ThreadLane) -> None:
    with pytest.raises(ZeroDivisionError):
        await lane(lambda: 1 / 0, deadline_s=5)
    assert await lane(lambda: "still here", deadline_s=5) == "still here"
    lane.close()


async def test_a_deadline_ends_the_waiting_and_not_the_job(lane: ThreadLane) -> None:
    may_go, effects = threading.Event(), []

    def slow() -> None:
        may_go.wait(5)
        effects.append("written")

    with pytest.raises(OffloadTimeout, match=r"lane test-lane: no end of the job within 0\.01 s"):
        await lane(slow, deadline_s=0.01)
    assert effects == []
    may_go.set()
    await lane(lambda: effects.append("next"), deadline_s=5)
    assert effects == ["written", "next"]
    lane.close()


async def test_a_cancelled_waiter_leaves_its_job_running(lane: ThreadLane) -> None:
    may_go, effects = threading.Event(), []
    with trio.move_on_after(0.01) as scope:
        await lane(lambda: effects.append(may_go.wait(5)), deadline_s=5)
    assert scope.cancelled_caught
    may_go.set()
    await lane(lambda: None, deadline_s=5)
    assert effects == [True]
    lane.close()


async def test_jobs_of_one_thread_run_one_by_one_in_order(lane: ThreadLane) -> None:
    order: list[int] = []
    async with trio.open_nursery() as nursery:
        for n in range(50):
            await trio.lowlevel.checkpoint()
            nursery.start_soon(lambda n=n: lane(lambda: order.append(n), deadline_s=5))
            await trio.testing.wait_all_tasks_blocked()
    assert order == list(range(50))
    lane.close()


async def test_two_threads_run_two_jobs_at_once() -> None:
    lane = ThreadLane("wide", threads=2)
    together = threading.Barrier(2, timeout=5)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(lambda: lane(together.wait, deadline_s=5))
    lane.close()


async def test_an_error_that_nobody_waits_for_is_still_heard_of() -> None:
    unseen: list[BaseException] = []
    lane = ThreadLane("heard", on_unseen_error=unseen.append)
    may_go = threading.Event()

    def fail_late() -> None:
        may_go.wait(5)
        raise ValueError("late")

    with pytest.raises(OffloadTimeout):
        await lane(fail_late, deadline_s=0.01)
    may_go.set()
    await lane(lambda: None, deadline_s=5)
    assert [str(error) for error in unseen] == ["late"]
    lane.close()


async def test_a_lane_that_is_hopelessly_behind_takes_nothing_more(lane: ThreadLane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "JOBS_WAITING_MAX", 2)
    may_go, has_begun = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def hold() -> None:
        token.run_sync_soon(has_begun.set)
        may_go.wait(5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: lane(hold, deadline_s=5))
        await has_begun.wait()
        for _ in range(2):
            nursery.start_soon(lambda: lane(lambda: None, deadline_s=5))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(OffloadFull, match="2 jobs waiting"):
            await lane(lambda: None, deadline_s=5)
        may_go.set()
    lane.close()


async def test_a_closed_lane_finishes_what_it_was_given(lane: ThreadLane) -> None:
    done = threading.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: lane(done.set, deadline_s=5))
        await trio.testing.wait_all_tasks_blocked()
        lane.close()
        lane.close()
    assert done.is_set()
    with pytest.raises(AssertionError, match="after its end"):
        await lane(lambda: None, deadline_s=5)


def test_a_job_that_outlives_the_event_loop_harms_nobody() -> None:
    may_go, ended = threading.Event(), threading.Event()
    lane = ThreadLane("outliving")

    async def leave() -> None:
        with trio.move_on_after(0.01):
            await lane(lambda: may_go.wait(5), deadline_s=None)

    trio.run(leave)
    may_go.set()

    async def come_again() -> None:
        await lane(ended.set, deadline_s=5)

    trio.run(come_again)
    assert ended.is_set()
    lane.close()
