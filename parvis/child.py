"""One process of a parvis that runs as several: started, watched, started again, and asked to leave.

A child says ``ready PORT ADMIN_PORT`` on its standard output once it serves.  Its standard input is a
pipe that nobody writes to: when it ends, the child drains, whether the parent has asked it to leave or
is gone.  Children stand in a session of their own, so that Ctrl-C reaches the parent alone and they leave
in order.  A supervisor that sends SIGTERM to all of a service's processes, as systemd does, only makes
them begin together: the parent adds no second signal, which would end them at once.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

import trio
from structlog.typing import FilteringBoundLogger

from parvis.errors import StartError
from runtime.backoff import Backoff
from runtime.lifecycle import ExitCode, Lifecycle
from runtime.process_list import ListedAs

READY_WORD: Final = "ready"
RESTART_BASE_S: Final = 0.5
RESTART_CAP_S: Final = 10.0
# A child that served for so long had nothing wrong from its start: the next failure is a first one.
STEADY_AFTER_S: Final = 30.0
# Beyond its own drain deadline: what it does after it takes a second or two.
LEAVE_SLACK_S: Final = 5.0
_LINE_BYTES_MAX: Final = 256


@dataclass(slots=True)
class Child:
    """What to start, and how it is doing.

    `arguments` gives the words after ``python -m parvis`` for the port to listen on: 0 the first time, then
    the one it had, so that a restart is found where the others look for it.
    """

    name: str
    arguments: Callable[[int], Sequence[str]]
    inherited_fds: Sequence[int]
    """Open in the child under the same numbers: a lock that ends with the last process that holds it, a socket to accept from."""
    drain_deadline_s: float
    log: FilteringBoundLogger
    rng: Random
    listed_as: ListedAs | None = None
    """Its place in the list of processes, where there is one."""
    port: int = 0
    admin_port: int = 0
    is_up: bool = False
    restarts: int = 0
    last_exit_code: int | None = None
    _process: trio.Process | None = None

    async def run(self, leave: trio.Event, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep it running until `leave`; reports its port when it serves for the first time.

        Raises `StartError`, with the child's own exit code, when it does not come up at all.
        """
        backoff = Backoff(self.rng, RESTART_BASE_S, RESTART_CAP_S)
        has_served = False
        while not leave.is_set():
            began_at = trio.current_time()
            code = await self._run_once(leave, trio.TASK_STATUS_IGNORED if has_served else task_status)
            if not has_served and self.port == 0:
                if not leave.is_set():
                    raise StartError(f"{self.name} did not start (exit code {code})", _code_of(code))
                task_status.started(self.port)
            has_served = True
            if leave.is_set():
                return
            if trio.current_time() - began_at > STEADY_AFTER_S:
                backoff.reset()
            delay_s = RESTART_BASE_S + backoff.next_delay()
            self.restarts += 1
            self.log.error("process_ended", process=self.name, exit_code=code, restart_in_s=round(delay_s, 1))
            with trio.move_on_after(delay_s):
                await leave.wait()

    def ask_reload(self) -> None:
        """Have it read its files again; one that does not serve yet has read them just now, and may not hear signals."""
        if self.is_up and self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    async def _run_once(self, leave: trio.Event, task_status: trio.TaskStatus[int]) -> int:
        """From start to exit; the process never outlives this call."""
        arguments = self.arguments(self.port)
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "parvis", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            pass_fds=tuple(self.inherited_fds),
        )
        self._process = process
        try:
            self._list(process.pid, arguments[0])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ask_to_leave, process, leave)
                if await self._wait_ready(process):
                    self.is_up = True
                    self._list(process.pid, arguments[0])
                    task_status.started(self.port)
                self.last_exit_code = code = await process.wait()
                nursery.cancel_scope.cancel()
            return code
        finally:
            self.is_up = False
            process.kill()
            if self.listed_as is not None:
                self.listed_as.ended()
            with trio.CancelScope(shield=True):
                await process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        await pipe.aclose()

    def _list(self, pid: int, word: str) -> None:
        if self.listed_as is not None:
            self.listed_as.began(pid, word, self.admin_port if self.is_up else 0)

    async def _wait_ready(self, process: trio.Process) -> bool:
        """Take its ports from its first line; False when it ended before it said so."""
        assert process.stdout is not None, "the child was started with a pipe"
        line = b""
        while b"\n" not in line and len(line) < _LINE_BYTES_MAX:
            data = await process.stdout.receive_some(_LINE_BYTES_MAX)
            if not data:
                return False
            line += data
        word, *ports = line.decode("ascii", "replace").split()
        assert word == READY_WORD, f"{self.name} said {word!r} and not that it is ready"
        self.port, self.admin_port = map(int, ports)
        return True

    async def _ask_to_leave(self, process: trio.Process, leave: trio.Event) -> None:
        """The end of its standard input when it is time, SIGKILL when it does not go."""
        await leave.wait()
        assert process.stdin is not None, "the child was started with a pipe"
        await process.stdin.aclose()
        await trio.sleep(self.drain_deadline_s + LEAVE_SLACK_S)
        self.log.error("process_killed", process=self.name, after_s=self.drain_deadline_s + LEAVE_SLACK_S)
        process.kill()


async def start_all(nursery: trio.Nursery, children: Sequence[Child], leave: trio.Event) -> None:
    """All at once, since each takes a moment to load; returns when all serve."""
    async with trio.open_nursery() as starting:
        for each in children:
            starting.start_soon(nursery.start, each.run, leave)


async def pass_on_reloads(lifecycle: Lifecycle, children: Sequence[Child]) -> None:
    """Each SIGHUP of the parent to its children, which stand in sessions of their own; until cancelled."""
    seen = lifecycle.reloads_asked
    while True:
        seen = await lifecycle.wait_reload(seen)
        for each in children:
            each.ask_reload()


def _code_of(code: int) -> ExitCode:
    """A child's exit code as ours; what is none of ours is a bug."""
    with suppress(ValueError):
        return ExitCode(code)
    return ExitCode.BUG
