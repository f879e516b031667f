"""The worker processes that a load test starts itself."""

from pathlib import Path

import psutil
import pytest
import trio

from loadtest.master.master import RunFailed
from parvis.loadtest.workers import LocalWorkers
from tests.support.loadtest_run import DEADLINE_S, a_run
from tests.support.tiny_scenario import tiny_scenario


async def test_a_worker_that_does_not_start_ends_the_run_with_its_code() -> None:
    async with a_run(1) as run:
        over = trio.Event()
        run.nursery.start_soon(LocalWorkers(1, ["-f", "nowhere.py", "--worker"], b"s").run, run.master, over)
        with pytest.raises(RunFailed, match=r"worker-1 did not start \(exit code 2\)") as failed:
            await run.end()
        assert failed.value.code == 2
        over.set()


async def test_workers_end_with_the_task_that_keeps_them(tmp_path: Path) -> None:
    path = tiny_scenario(tmp_path)
    async with a_run(3) as run:
        workers = LocalWorkers(3, ["--worker", "--master-port", "1", "-f", path], b"s")
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(workers.run, run.master, over)
            with trio.fail_after(DEADLINE_S):
                while len(workers.pids) < 3:
                    await trio.sleep(0.01)
            pids = list(workers.pids.values())
            assert sorted(workers.pids) == ["worker-1", "worker-2", "worker-3"]
            nursery.cancel_scope.cancel()
        assert not workers.pids
        assert not [pid for pid in pids if psutil.pid_exists(pid)]


async def test_who_does_not_leave_when_the_run_is_over_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_scenario(tmp_path)
    monkeypatch.setattr("parvis.loadtest.workers.LEAVE_S", 0.1)
    async with a_run(1) as run:
        # There is no master on that port: it would look for one for a minute.
        workers = LocalWorkers(1, ["--worker", "--master-port", "1", "-f", path], b"s")
        over = trio.Event()
        over.set()
        with trio.fail_after(DEADLINE_S):
            await workers.run(run.master, over)
        assert not workers.pids
