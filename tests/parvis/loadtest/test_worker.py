"""A worker process: what it says of itself, and what ends it.  tests/parvis/loadtest/test_run.py has whole ones."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import trio

from loadtest.figures.messages import Hello
from loadtest.master.admission import Terms, admit
from loadtest.master.channel import to_worker
from loadtest.people.scenario import load_scenario
from loadtest.verdicts.verdict import Exit
from parvis import VERSION
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.reading import NoRun
from parvis.loadtest.worker import Worker
from runtime.lifecycle import Lifecycle
from runtime.process_list import boot_id
from runtime.sockets import SocketNetwork
from tests.support.tiny_scenario import tiny_scenario
from tests.support.tree import ROOT

DEADLINE_S = 60.0


async def test_a_worker_says_who_it_is_and_leaves_at_the_first_signal(
    tmp_path: Path, nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = load_scenario(tiny_scenario(tmp_path))
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    flags = LoadtestFlags(scenario_file=str(scenario.path), worker=True, master_port=listener.port)
    lifecycle, ends = Lifecycle(), []

    async def work() -> None:
        ends.append(await Worker(flags, scenario, "w-7").run(lifecycle))

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as work_nursery:
            work_nursery.start_soon(work)
            await listener.wait_acceptable()
            channel = to_worker(listener.try_accept())
            nursery.start_soon(channel.write)
            hello, welcome = await admit(
                channel, Terms(VERSION, scenario.digest, boot_id()), take_index=_first, clock_us=lambda: 1, rng=Random(1)
            )
            lifecycle.start_drain("SIGINT")
    assert (hello.name, hello.pid, hello.boot_id) == ("w-7", os.getpid(), boot_id())
    assert hello.clients_max > 0
    assert welcome.index == 0
    assert ends == [Exit.PASS]
    assert capsys.readouterr().out == f"looks for the master at 127.0.0.1:{listener.port}\n", "who waits says for what"


def _first(_hello: Hello) -> int:
    return 0


async def test_a_worker_whose_master_is_gone_says_so(tmp_path: Path) -> None:
    scenario = load_scenario(tiny_scenario(tmp_path))
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    flags = LoadtestFlags(scenario_file=str(scenario.path), worker=True, master_port=listener.port)

    async def hang_up() -> None:
        await listener.wait_acceptable()
        listener.try_accept().close()

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up)
            with pytest.raises(ExceptionGroup) as ended:
                await Worker(flags, scenario, "w-7").run(Lifecycle())
    [no] = ended.value.exceptions
    assert isinstance(no, NoRun)
    assert no.code is Exit.INVALID
    assert "is gone" in str(no)


async def test_a_worker_of_a_command_ends_with_its_standard_input(tmp_path: Path) -> None:
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    process = await trio.lowlevel.open_process(
        [
            sys.executable, "-m", "parvis", "loadtest", "--worker", "--supervised", "--master-port", str(listener.port),
            "-f", tiny_scenario(tmp_path),
        ],
        stdin=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    try:
        with trio.fail_after(DEADLINE_S):
            await listener.wait_acceptable()
            assert process.stdin is not None
            await process.stdin.aclose()
            assert await process.wait() == 0
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
    listener.close()
