"""From the first signal to the exit code: starting, ready, draining, stopped.

Leaving on purpose is a normal way to end: the first SIGTERM or SIGINT starts the drain, and
a process that drained exits 0.  A second one ends it at once.  SIGHUP asks a service for its
files to be read again; from a terminal that is gone it is a farewell, as it always was, and
what is no service keeps its usual meaning.  Signals are handled here, at the edge of the
process, and nowhere in a role: a role waits for `Lifecycle.wait_drain` and
`Lifecycle.wait_reload`.
"""

import os
import signal
import time
from collections.abc import Awaitable, Callable
from enum import Enum, IntEnum

import trio


class ExitCode(IntEnum):
    """What the process tells its supervisor; 64 and above as in sysexits(3), 128 + n for a signal."""

    OK = 0
    BUG = 1
    USAGE = 2
    DATA = 65
    """The data directory holds something that cannot be used, or cannot be written."""
    UNAVAILABLE = 69
    """Something that is needed to start is not there: an address is taken, a store is away."""
    BUSY = 75
    """Another process uses the data directory; trying again later may work."""
    CONFIG = 78
    INTERRUPTED = 128 + signal.SIGINT
    TERMINATED = 128 + signal.SIGTERM


class State(Enum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class Lifecycle:
    """The state of one process, or of one role in a test; goes forward only."""

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """`wall_clock` is seconds since 1970, for what leaves the process with a date on it; a simulation gives its own."""
        self.wall_clock = wall_clock
        self.state = State.STARTING
        self.drain_reason = ""
        self.reloads_asked = 0
        self._drain = trio.Event()
        self._reload = trio.Event()

    @property
    def is_draining(self) -> bool:
        return self._drain.is_set()

    def started(self) -> None:
        """All roles listen: ready, unless the drain has begun meanwhile."""
        if self.state is State.STARTING:
            self.state = State.READY

    def start_drain(self, reason: str) -> None:
        """Begin to leave; the first reason stays.  Idempotent."""
        if not self.is_draining:
            self.state = State.DRAINING
            self.drain_reason = reason
            self._drain.set()

    async def wait_drain(self) -> None:
        await self._drain.wait()

    def ask_reload(self) -> None:
        """Files that may have changed (a certificate) are to be read again now."""
        self.reloads_asked += 1
        self._reload.set()
        self._reload = trio.Event()

    async def wait_reload(self, seen: int) -> int:
        """Until more reloads were asked for than the `seen` ones; how many there are now."""
        while self.reloads_asked == seen:
            await self._reload.wait()
        return self.reloads_asked

    def stopped(self) -> None:
        """The last role has ended."""
        self.start_drain("stopped")
        self.state = State.STOPPED

    def why_not_ready(self) -> str | None:
        """One reason for /readyz; None while ready."""
        if self.state is State.READY:
            return None
        return f"draining: {self.drain_reason}" if self.state is State.DRAINING else self.state.value


def run_process(main: Callable[[Lifecycle], Awaitable[ExitCode | None]], *, is_service: bool = False) -> ExitCode:
    """Run `main` in a new event loop until it returns; answers the code to exit with.

    A service hears SIGHUP as a wish to reload; to any other command it is what it was when it started.

    `main` drains when its lifecycle says so; its own code (None: OK) is the process's.  A bug
    leaves as the exception it is.  After the second signal the handlers are the system's
    again, so a third one ends even a process that hangs in its cleanup.
    """
    try:
        code = trio.run(_supervised, main, is_service)
    except* KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    return code


async def _supervised(main: Callable[[Lifecycle], Awaitable[ExitCode | None]], is_service: bool) -> ExitCode:
    """Own `main` and the task that hears signals; the nursery ends with the first of them."""
    lifecycle = Lifecycle()
    code = ExitCode.OK
    had_terminal = _has_terminal()
    heard = (signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if is_service else []))
    async with trio.open_nursery() as nursery:

        async def hear_signals(*, task_status: trio.TaskStatus[None]) -> None:
            nonlocal code
            with trio.open_signal_receiver(*heard) as signals:
                task_status.started()
                is_second = False
                async for number in signals:
                    if number == signal.SIGHUP:
                        if had_terminal and not _has_terminal():
                            lifecycle.start_drain("the terminal is gone")
                        else:
                            lifecycle.ask_reload()
                        continue
                    # Signals are counted, not drains: a worker whose parent has asked it to leave gets the service's
                    # first signal a moment later, and must not take it for somebody's loss of patience.
                    if is_second:
                        code = ExitCode(128 + number)
                        nursery.cancel_scope.cancel()
                        return
                    is_second = True
                    lifecycle.start_drain(signal.Signals(number).name)

        await nursery.start(hear_signals)
        code = await main(lifecycle) or ExitCode.OK
        lifecycle.stopped()
        nursery.cancel_scope.cancel()
    return code


def _has_terminal() -> bool:
    """Whether a person's terminal is behind standard input; one that was closed answers no more."""
    return os.isatty(0)
