"""parvis/child.py: a process that is watched, tried with small programs in place of parvis."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
import trio

import parvis.child
from parvis.child import Child, pass_on_reloads
from parvis.errors import explain
from runtime.lifecycle import ExitCode, Lifecycle
from runtime.logs import make_logger
from runtime.process_list import ListedAs, is_running, listed, read_processes
from runtime.schema import LogSettings


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `python -m parvis` means to the child under test: a module of that name, written by each test."""
    (tmp_path / "parvis").mkdir()
    # A package, not only a folder: an installed parvis would win over a folder.
    (tmp_path / "parvis" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parvis.child, "RESTART_BASE_S", 0.001)
    monkeypatch.setattr(parvis.child, "LEAVE_SLACK_S", 0.0)
    return tmp_path / "parvis" / "__main__.py"


@pytest.fixture
def child(tmp_path: Path) -> Child:
    def arguments(port: int) -> Sequence[str]:
        return ["word", str(port)]

    log = make_logger(LogSettings(), stream=(tmp_path / "log").open("w"))
    return Child("gateway-1", arguments, inherited_fds=(sys.stderr.fileno(),), drain_deadline_s=0.1, log=log, rng=Random(1))


SERVE = """
import os, signal, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("ready", int(sys.argv[2]) or 4000 + len(open("runs", "a+").read() or ""), 5000, flush=True)
open("runs", "a").write("x")
"""


async def test_it_reports_its_port_and_leaves_when_asked(program: Path, child: Child) -> None:
    program.write_text(SERVE + "signal.pause()")
    leave = trio.Event()
    async with trio.open_nursery() as inner:
        assert await inner.start(child.run, leave) == 4000
        assert child.admin_port == 5000
        assert child.is_up
        leave.set()
    assert not child.is_up
    assert child.restarts == 0


async def test_one_that_dies_is_started_again_on_the_same_port(program: Path, child: Child) -> None:
    program.write_text(SERVE + "\nif len(open('runs').read()) < 3: os._exit(7)\nsignal.pause()")
    leave = trio.Event()
    with trio.fail_after(30):
        async with trio.open_nursery() as inner:
            await inner.start(child.run, leave)
            while not (child.restarts == 2 and child.is_up):
                await trio.sleep(0.01)
            assert child.port == 4000
            leave.set()


async def test_it_is_listed_under_its_name_for_as_long_as_it_runs(program: Path, child: Child, tmp_path: Path) -> None:
    program.write_text(SERVE + "\nif len(open('runs').read()) < 2: os._exit(7)\nsignal.pause()")
    leave = trio.Event()
    with trio.fail_after(30), listed(tmp_path) as processes:
        child.listed_as = ListedAs(processes, "gateway", child.name)
        async with trio.open_nursery() as inner:
            await inner.start(child.run, leave)
            while not (child.restarts == 1 and child.is_up):
                await trio.sleep(0.01)
            [entry] = read_processes(tmp_path)
            assert (entry.role, entry.name, entry.word, entry.admin_port) == ("gateway", "gateway-1", "word", 5000)
            assert is_running(entry)
            leave.set()
        assert read_processes(tmp_path) == []


@pytest.mark.parametrize(("code", "told"), [(69, ExitCode.UNAVAILABLE), (65, ExitCode.DATA), (9, ExitCode.BUG)])
async def test_one_that_never_serves_ends_the_start_with_its_code(program: Path, child: Child, code: int, told: ExitCode) -> None:
    program.write_text(f"import sys; sys.exit({code})")
    with pytest.raises(ExceptionGroup) as raised:
        async with trio.open_nursery() as inner:
            await inner.start(child.run, trio.Event())
    error = explain(raised.value)
    assert error is not None
    assert (str(error), error.code) == (f"gateway-1 did not start (exit code {code})", told)


async def test_one_that_does_not_leave_is_killed(program: Path, child: Child) -> None:
    program.write_text("import signal\nprint('ready 1 2', flush=True)\nsignal.pause()")
    leave = trio.Event()
    with trio.fail_after(30):
        async with trio.open_nursery() as inner:
            await inner.start(child.run, leave)
            leave.set()


async def test_a_cancelled_parent_leaves_no_process_behind(program: Path, child: Child) -> None:
    program.write_text(SERVE + "\nopen('pid', 'w').write(str(os.getpid()))\nsignal.pause()")
    async with trio.open_nursery() as inner:
        await inner.start(child.run, trio.Event())
        while not (Path("pid").exists() and Path("pid").read_text()):
            await trio.sleep(0.01)
        pid = int(Path("pid").read_text())
        os.kill(pid, 0)
        inner.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_it_is_asked_once_and_without_a_signal_which_others_may_have_sent_already(program: Path, child: Child) -> None:
    program.write_text(SERVE + "\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(9))\nsignal.pause()")
    leave = trio.Event()
    with trio.fail_after(30):
        async with trio.open_nursery() as inner:
            await inner.start(child.run, leave)
            # Standard input is open and silent for as long as the parent wants it to live.
            await trio.sleep(0.1)
            assert child.is_up
            leave.set()
    assert child.last_exit_code == 0


HEAR = SERVE.replace("print(", "signal.signal(signal.SIGHUP, lambda *_: open('reloads', 'a').write('x'))\nprint(", 1)


async def test_a_reload_reaches_who_serves_and_spares_who_does_not_yet(program: Path, child: Child, tmp_path: Path) -> None:
    program.write_text(HEAR + "while True: signal.pause()")
    child.ask_reload()
    lifecycle, leave = Lifecycle(), trio.Event()
    async with trio.open_nursery() as outer:
        outer.start_soon(pass_on_reloads, lifecycle, [child])
        async with trio.open_nursery() as inner:
            await inner.start(child.run, leave)
            lifecycle.ask_reload()
            with trio.fail_after(30):
                while not (tmp_path / "reloads").exists():
                    await trio.sleep(0.01)
            leave.set()
        child.ask_reload()
        outer.cancel_scope.cancel()
    assert child.restarts == 0
