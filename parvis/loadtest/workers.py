"""The workers that a load test starts on its own machine: processes of parvis, watched until they end.

A worker is not started again: what it had measured is gone with it, and its share goes to the
others (`loadtest/master/conductor.py`).  Its standard input is a pipe that nobody writes to: when it
ends, with the master's process at the latest, the worker ends.  Like other children of ours it
stands in a session of its own, so that Ctrl-C reaches the master alone.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import trio

from loadtest.master.master import Master
from parvis.loadtest.reading import SECRET_VARIABLE

# For a worker that has been told that it may go.
LEAVE_S: Final = 5.0


class LocalWorkers:
    """So many worker processes of one master."""

    def __init__(self, count: int, words: Sequence[str], secret: bytes) -> None:
        """`words` follow ``python -m parvis loadtest``; a name is added to them."""
        self._count = count
        self._words = words
        self._environment = {**os.environ, SECRET_VARIABLE: secret.decode()}
        self.pids: dict[str, int] = {}
        """Those that run, by name."""

    async def run(self, master: Master, over: trio.Event) -> None:
        """Until all have ended, which they are given LEAVE_S for once the run is `over`."""
        async with trio.open_nursery() as nursery:
            for number in range(1, self._count + 1):
                nursery.start_soon(self._keep, f"worker-{number}", master, over)

    async def _keep(self, name: str, master: Master, over: trio.Event) -> None:
        # What a scenario prints goes where errors go: standard output belongs to the results.
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "parvis", "loadtest", *self._words, "--name", name],
            stdin=subprocess.PIPE,
            stdout=sys.stderr.fileno(),
            env=self._environment,
            start_new_session=True,
        )
        self.pids[name] = process.pid
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_end_when, over, process)
                code = await process.wait()
                nursery.cancel_scope.cancel()
            if not over.is_set():
                # Nothing happens when the master knows it already, or when others go on.
                master.worker_ended(name, code)
        finally:
            del self.pids[name]
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                if process.stdin is not None:
                    await process.stdin.aclose()


async def _end_when(over: trio.Event, process: trio.Process) -> None:
    await over.wait()
    await trio.sleep(LEAVE_S)
    process.kill()

