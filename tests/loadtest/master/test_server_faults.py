"""A plan of faults, carried out on processes that only look like a server."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
import trio.testing

from loadtest.figures.messages import Hit
from loadtest.figures.record import Mark
from loadtest.master.fault_plan import parse_faults
from loadtest.master.server_faults import FaultsOnDemand, why_impossible
from runtime.process_list import ListedAs, ListedProcess, ProcessList, listed, read_processes

PROGRAM = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]


class Server:
    """Two gateways and a shard that do nothing, listed in `data_dir`; all are ended with the test."""

    def __init__(self, data_dir: Path, processes: ProcessList, stack: ExitStack) -> None:
        self.data_dir = data_dir
        self.processes = processes
        self.by_name: dict[str, subprocess.Popen[bytes]] = {}
        for role, name in (("gateway", "gateway-1"), ("gateway", "gateway-2"), ("shard", "shard-1")):
            process = stack.enter_context(subprocess.Popen([*PROGRAM, role], stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            ListedAs(processes, role, name).began(process.pid, role)
            self.by_name[name] = process

    def wait_stopped(self, name: str) -> None:
        """The kernel stops a process when it next looks at it: a moment after the signal."""
        os.waitid(os.P_PID, self.by_name[name].pid, os.WSTOPPED)

    def wait_woken(self, name: str) -> None:
        os.waitid(os.P_PID, self.by_name[name].pid, os.WCONTINUED)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with listed(tmp_path) as processes, ExitStack() as stack:
        yield Server(tmp_path, processes, stack)


async def carry_out(data_dir: Path, *lines: str) -> tuple[list[Hit], list[Mark]]:
    hits: list[Hit] = []
    marks: list[Mark] = []
    await FaultsOnDemand(parse_faults(lines), data_dir, hits.append, marks.append).run()
    return hits, marks


async def test_faults_of_a_role_take_its_processes_in_turn(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    _, marks = await carry_out(server.data_dir, "30s kill gateway", "40s kill gateway", "50s restart shard")
    assert [(mark.at_s, mark.kind, mark.text) for mark in marks] == [
        (30, "fault", "kill gateway-1"), (40, "fault", "kill gateway-2"), (50, "fault", "restart shard-1"),
    ]  # fmt: skip
    assert server.by_name["gateway-1"].wait(10) == server.by_name["gateway-2"].wait(10) == -signal.SIGKILL
    assert server.by_name["shard-1"].wait(10) == -signal.SIGTERM


async def test_a_process_may_be_meant_by_its_own_name(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    await carry_out(server.data_dir, "1s kill gateway-2")
    assert server.by_name["gateway-2"].wait(10) == -signal.SIGKILL
    assert server.by_name["gateway-1"].poll() is None


async def test_a_frozen_process_stands_still_until_its_time_is_over(server: Server, mock_clock: trio.testing.MockClock) -> None:
    marks: list[Mark] = []
    faults = FaultsOnDemand(parse_faults(["1s freeze shard 3s"]), server.data_dir, pytest.fail, marks.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(faults.run)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1)
        await trio.testing.wait_all_tasks_blocked()
        server.wait_stopped("shard-1")
        assert marks == [Mark(1, "fault", "freeze shard-1 for 3s", 3)]
        mock_clock.jump(3)
    server.wait_woken("shard-1")


async def test_whoever_is_frozen_is_woken_when_the_run_is_cancelled(server: Server, mock_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FaultsOnDemand(parse_faults(["0 freeze shard 1h"]), server.data_dir, pytest.fail, lambda _: None).run)
        await trio.testing.wait_all_tasks_blocked()
        server.wait_stopped("shard-1")
        nursery.cancel_scope.cancel()
    server.wait_woken("shard-1")


async def test_one_that_was_ended_while_it_was_frozen_is_told(server: Server, mock_clock: trio.testing.MockClock) -> None:
    marks: list[Mark] = []
    faults = FaultsOnDemand(parse_faults(["0 freeze shard 3s"]), server.data_dir, pytest.fail, marks.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(faults.run)
        await trio.testing.wait_all_tasks_blocked()
        server.by_name["shard-1"].kill()
        server.by_name["shard-1"].wait(10)
        mock_clock.jump(3)
    assert [mark.kind for mark in marks] == ["fault", "failed"]
    assert "wake shard-1" in marks[1].text


async def test_what_befalls_clients_goes_to_the_workers(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    hits, marks = await carry_out(server.data_dir, "60s slow-readers 100 10s", "70s half-open 50")
    assert hits == [Hit("slow-readers", 100, 10), Hit("half-open", 50, 0)]
    assert marks == [Mark(60, "fault", "slow-readers 100 10s", 10), Mark(70, "fault", "half-open 50")]


async def test_a_reused_process_id_is_a_failed_fault_and_nobody_is_signalled(
    server: Server, autojump_clock: trio.testing.MockClock
) -> None:
    [shard] = [each for each in read_processes(server.data_dir) if each.role == "shard"]
    server.processes.put(ListedProcess("shard", "shard-1", shard.pid, shard.started_ticks - 1, "shard"))
    _, marks = await carry_out(server.data_dir, "1s kill shard")
    assert [(mark.kind, mark.text) for mark in marks] == [
        ("failed", f"kill shard: shard-1 (process {shard.pid}) has ended")
    ]  # fmt: skip
    assert server.by_name["shard-1"].poll() is None


async def test_a_role_that_has_gone_meanwhile_is_a_failed_fault(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    server.processes.drop("shard-1")
    _, [mark] = await carry_out(server.data_dir, "1s kill shard")
    assert mark.text == "kill shard: no such process runs now"


def test_a_plan_that_cannot_be_carried_out_is_refused_before_the_run(server: Server, tmp_path: Path) -> None:
    plan = parse_faults(["1s malformed 3", "30s kill store"])
    assert why_impossible(parse_faults(["1s malformed 3"]), None) is None
    assert why_impossible(parse_faults(["1s kill shard", "2s freeze gateway-2 1s"]), server.data_dir) is None
    assert "needs --target-data-dir DIR" in (why_impossible(plan, None) or "")
    assert "the processes of" in (told := why_impossible(plan, server.data_dir) or "")
    assert "are gateway-1, gateway-2, shard-1" in told
    assert "no parvis up runs with the data directory" in (why_impossible(plan, tmp_path / "elsewhere") or "")


def test_a_parvis_of_one_process_has_no_roles_to_hit(tmp_path: Path) -> None:
    with listed(tmp_path) as processes:
        ListedAs(processes, "up", "up").began(os.getpid(), "py")
        told = why_impossible(parse_faults(["1s kill shard"]), tmp_path) or ""
    assert "is one process; start it with parvis up --gateways 2 --shards 2" in told


async def test_whoever_is_frozen_is_woken_even_if_it_cannot_be_told(server: Server, mock_clock: trio.testing.MockClock) -> None:
    def mark(_mark: Mark) -> None:
        raise OSError("there is no terminal")

    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        await FaultsOnDemand(parse_faults(["0 freeze shard 1h"]), server.data_dir, pytest.fail, mark).run()
    state = Path("/proc", str(server.by_name["shard-1"].pid), "stat").read_text().rpartition(")")[2].split()[0]
    assert state != "T"
