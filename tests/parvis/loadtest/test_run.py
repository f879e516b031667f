"""A run as its user has it: two workers of which one is killed, the page, signals, a master and a worker by hand."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import trio

from loadtest.figures.record import RunRecord
from loadtest.figures.totals import Totals
from loadtest.master.collector import Closed, Collector
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.reading import NoRun, read_flags
from parvis.loadtest.run import LoadTest
from tests.support import run_record
from tests.support.http import fetch
from tests.support.parvis_program import parvis_up, run_parvis
from tests.support.tiny_scenario import tiny_scenario
from tests.support.tree import ROOT

DEADLINE_S = 60.0


class LoadTestProgram:
    """`parvis loadtest`, running."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.out = ""

    async def until(self, what: str) -> re.Match[str]:
        """Read its standard output until that is said."""
        assert self.process.stdout is not None
        with trio.fail_after(DEADLINE_S):
            while (found := re.search(what, self.out)) is None:
                data = await self.process.stdout.receive_some(4096)
                assert data, f"it ended before it said {what!r}: {self.out}"
                self.out += data.decode()
        return found

    async def end(self) -> int:
        """Read to the end; the exit code."""
        assert self.process.stdout is not None
        with trio.fail_after(DEADLINE_S):
            while data := await self.process.stdout.receive_some(4096):
                self.out += data.decode()
            return await self.process.wait()

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


@asynccontextmanager
async def loadtest(*words: str, env: dict[str, str] | None = None) -> AsyncIterator[LoadTestProgram]:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "parvis", "loadtest", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **(env or {})},
    )  # fmt: skip
    try:
        yield LoadTestProgram(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            assert process.stdout is not None
            await process.stdout.aclose()


@pytest.fixture
def _hangups_count() -> Iterator[None]:
    """The tests may have been started by nohup, which programs inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.timeout(180)
async def test_a_worker_that_is_killed_is_told_of_and_its_share_goes_to_the_other(tmp_path: Path) -> None:
    record_path = tmp_path / "run.json"
    async with parvis_up(tmp_path / "data") as up:
        words = ("-f", tiny_scenario(tmp_path), "-u", "12", "-r", "100", "-t", "8", "--headless", "--processes", "2")
        async with loadtest(*words, "--host", up.websocket_urls[0], "--json", str(record_path)) as program:
            await program.until(r"users 12 of 12")
            victim = program.workers()[0]
            victim.send_signal(signal.SIGKILL)
            await program.until(r"worker-\d is lost with 6 users: its connection ended; the other worker takes its share")
            assert await program.end() == 0, program.out
            assert not psutil.pid_exists(victim.pid)
    record = json.loads(record_path.read_text())
    assert any("is lost with 6 users" in note for note in record["notes"])
    assert [mark["kind"] for moment in record["moments"] for mark in moment.get("marks", [])] == ["worker"]
    # The other one had all twelve before the end.
    assert max(moment["users"] for moment in record["moments"][5:]) == 12
    assert record["moments"][-1]["workers"][0]["state"] in ("dead", "ended", "running")
    assert "is lost with 6 users" in program.out


@pytest.mark.timeout(180)
@pytest.mark.parametrize("is_hung_up", [False, True])
@pytest.mark.usefixtures("_hangups_count")
async def test_nobody_has_to_look_on_and_a_closed_terminal_ends_it_in_order(tmp_path: Path, is_hung_up: bool) -> None:
    record_path = tmp_path / "run.json"
    async with parvis_up(tmp_path / "data") as up:
        words = ("-f", tiny_scenario(tmp_path), "-u", "6", "-r", "100", "-t", "1h" if is_hung_up else "6s", "--headless")
        async with loadtest(*words, "--json", str(record_path), "--host", up.websocket_urls[0]) as program:
            await program.until(r"users 6 of 6")
            assert program.process.stdout is not None
            await program.process.stdout.aclose()
            if is_hung_up:
                # The kernel says it, and the shell once more.
                program.process.send_signal(signal.SIGHUP)
                program.process.send_signal(signal.SIGHUP)
            with trio.fail_after(DEADLINE_S):
                assert await program.process.wait() == 0
    assert json.loads(record_path.read_text())["verdict"]["word"] == "PASS"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["one signal", "two signals"])
async def test_a_signal_ends_it_in_order_and_a_second_one_at_once(tmp_path: Path, how: str) -> None:
    record_path = tmp_path / "run.json"
    async with parvis_up(tmp_path / "data") as up:
        words = ("-f", tiny_scenario(tmp_path), "-u", "6", "-r", "100", "-t", "1h", "--headless", "--json", str(record_path))
        async with loadtest(*words, "--host", up.websocket_urls[0]) as program:
            await program.until(r"users 6 of 6")
            workers = program.workers()
            program.process.send_signal(signal.SIGINT)
            if how == "two signals":
                # The first has to be heard by itself: the kernel may join two that wait.
                await program.until("the run ends: SIGINT came")
                program.process.send_signal(signal.SIGTERM)
                assert await program.end() in (0, 143)
            else:
                assert await program.end() == 0, program.out
                assert "PASS" in program.out
                assert json.loads(record_path.read_text())["verdict"]["word"] == "PASS"
            psutil.wait_procs(workers, timeout=DEADLINE_S)
            assert not [worker for worker in workers if worker.is_running()]


@pytest.mark.timeout(180)
async def test_a_person_starts_and_stops_it_on_its_page(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        words = ("-f", tiny_scenario(tmp_path), "-t", "1h", "--web-port", "0", "--metrics-port", "0", "--autoquit", "0")
        async with loadtest(*words, "--host", up.websocket_urls[0]) as program:
            port = int((await program.until(r"Open http://127\.0\.0\.1:(\d+)/ and press Start"))[1])
            figures = int((await program.until(r"http://127\.0\.0\.1:(\d+)/metrics"))[1])
            await program.until("all workers are ready")
            page = await fetch(port, "/")
            token = re.search(rb'name="token" content="([^"]+)"', page.body)
            assert token is not None
            head = f"X-Parvis-Token: {token[1].decode()}\r\nOrigin: http://127.0.0.1:{port}\r\n"

            async def press(button: str, body: bytes = b"{}") -> int:
                about = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                return (await fetch(port, button, method="POST", head=about, body=body)).status

            assert await press("/start", b'{"users": 3, "spawn_per_s": 50}') < 300
            await program.until("users 3 of 3")
            assert await press("/edit", b'{"users": 5, "spawn_per_s": 50}') < 300
            await program.until("users 5 of 5")
            assert b"parvis_loadtest_users{" in (await fetch(figures, "/metrics")).body
            assert await press("/stop") < 300
            assert await program.end() == 0, program.out
            assert "PASS" in program.out


@pytest.mark.timeout(180)
async def test_workers_end_with_a_program_that_is_killed(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        words = ("-f", tiny_scenario(tmp_path), "-u", "4", "-t", "1h", "--headless", "--host", up.websocket_urls[0])
        async with loadtest(*words) as program:
            await program.until("the run begins")
            workers = program.workers()
            program.process.kill()
            psutil.wait_procs(workers, timeout=DEADLINE_S)
            assert not [worker for worker in workers if worker.is_running()]


class FullDisk:
    """Files of which nothing can be written any more."""

    def __init__(self) -> None:
        self.tries = 0

    def second(self, closed: Closed, run: Collector) -> None:
        self.tries += 1
        raise OSError(28, "No space left on device")

    def finish(self, record: RunRecord) -> list[str]:
        return []


def test_a_full_disk_ends_the_files_and_not_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = LoadtestFlags(scenario_file=tiny_scenario(tmp_path), headless=True)
    test, files = LoadTest(flags, read_flags(flags, [])), FullDisk()
    test._outputs = files  # type: ignore[assignment]  # all that is asked of it
    record = run_record.record(seconds=4)
    for moment in record.moments[:2]:
        test._second(Closed(moment, Totals()), Collector())
    assert files.tries == 1
    with pytest.raises(NoRun, match=r"not all of its files could be written: \[Errno 28\]"):
        test._finish(record)
    told = capsys.readouterr().out
    assert "files are not written any more" in told
    assert record.verdict.word in told


@pytest.mark.timeout(180)
async def test_a_page_quits_by_itself_when_it_was_asked_to(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        words = ("-f", tiny_scenario(tmp_path), "-u", "4", "-r", "50", "-t", "2", "--web-port=0", "--autostart", "--autoquit=0")
        async with loadtest(*words, "--host", up.websocket_urls[0]) as program:
            assert await program.end() == 0, program.out


async def test_ports_that_are_taken_are_one_sentence(tmp_path: Path) -> None:
    tiny = tiny_scenario(tmp_path)
    [taken] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = str(taken.socket.getsockname()[1])
    ended = await run_parvis("loadtest", "-f", tiny, "--web-port", port)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert f"cannot listen on 127.0.0.1:{port} for the page" in ended.err
    await taken.aclose()


async def test_a_page_that_others_could_reach_needs_a_login(tmp_path: Path) -> None:
    ended = await run_parvis("loadtest", "-f", tiny_scenario(tmp_path), "--web-host", "0.0.0.0")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "PARVIS_LOADTEST_LOGIN" in ended.err


@pytest.mark.timeout(180)
async def test_a_master_and_a_worker_that_were_started_by_hand_share_a_secret(tmp_path: Path) -> None:
    tiny, secret = tiny_scenario(tmp_path), {"PARVIS_LOADTEST_SECRET": "a secret of two"}
    async with parvis_up(tmp_path / "data") as up:
        words = ("-f", tiny, "-u", "4", "-r", "50", "-t", "2", "--headless", "--master", "--master-bind-port", "0")
        async with loadtest(*words, "--host", up.websocket_urls[0], env=secret) as master:
            port = (await master.until(r"--master-port (\d+)"))[1]
            async with loadtest("-f", tiny, "--worker", "--master-port", port) as stranger:
                assert await stranger.end() == 2
                assert "the worker's secret is not the master's" in stranger.out
            async with loadtest("-f", tiny, "--worker", "--master-port", port, env=secret) as worker:
                assert await master.end() == 0, master.out
                assert await worker.end() == 0, worker.out
    assert "was turned away" in master.out


@pytest.mark.timeout(180)
async def test_a_worker_of_another_machine_asks_for_itself_whether_the_target_is_there(tmp_path: Path) -> None:
    tiny = tiny_scenario(tmp_path)
    words = ("-f", tiny, "-t", "2", "--headless", "--master", "--master-bind-port", "0", "--host", "ws://127.0.0.1:1")
    async with loadtest(*words) as master:
        port = (await master.until(r"--master-port (\d+)"))[1]
        async with loadtest("-f", tiny, "--worker", "--master-port", port) as worker:
            assert await worker.end() == 4, worker.out
        assert await master.end() == 4, master.out
        assert "ws://127.0.0.1:1 does not welcome us" in master.out
