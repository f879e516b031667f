"""`parvis loadtest --worker`: one process of users, which does what a master says."""

import os
import socket
from random import SystemRandom

import trio

from loadtest.connections.dialing import raise_descriptor_limit
from loadtest.figures.messages import MESSAGES_VERSION, Hello, Prepare, Welcome
from loadtest.master.admission import NotAdmitted
from loadtest.people.scenario import Scenario
from loadtest.verdicts.verdict import Exit
from loadtest.workers.assembly import make_work
from loadtest.workers.worker import MasterLost, Work, WorkRefused, run_worker
from parvis import VERSION
from parvis.loadtest.checks import check_hosts
from parvis.loadtest.conduct import monotonic_us
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.reading import NoRun, read_secret
from parvis.supervised import wait_parent_gone
from runtime.lifecycle import Lifecycle
from runtime.process import tune_interpreter
from runtime.process_list import boot_id
from runtime.sockets import SocketNetwork


class Worker:
    """One worker of a run."""

    def __init__(self, flags: LoadtestFlags, scenario: Scenario, name: str) -> None:
        """`name` unless the flags have one."""
        self._flags = flags
        self._scenario = scenario
        self._secret = read_secret(flags)
        self._rng = SystemRandom()
        self._hello = Hello(
            version=MESSAGES_VERSION,
            parvis=VERSION,
            name=flags.name or name,
            host=socket.gethostname(),
            boot_id=boot_id(),
            pid=os.getpid(),
            cores=len(os.sched_getaffinity(0)),
            scenario=scenario.digest,
            clients_max=raise_descriptor_limit(),
            nonce=b"",
            proof=b"",
        )

    async def run(self, lifecycle: Lifecycle) -> Exit:
        """Until the master says that it may go.  Raises `NoRun`, with a sentence that its master has been told, too."""
        tune_interpreter()
        # Who was started by a master leaves when it says so, or is gone: a signal to a whole service must not cut its end short.
        asked_to_leave = wait_parent_gone if self._flags.supervised else lifecycle.wait_drain
        async with trio.open_nursery() as nursery:

            async def leave() -> None:
                await asked_to_leave()
                nursery.cancel_scope.cancel()

            nursery.start_soon(leave)
            await self._work()
            nursery.cancel_scope.cancel()
        return Exit.PASS

    async def _work(self) -> None:
        flags = self._flags
        if not flags.supervised:
            print(f"looks for the master at {flags.master_host}:{flags.master_port}", flush=True)
        try:
            await run_worker(
                SocketNetwork(), flags.master_host, flags.master_port, self._hello, self._secret, self._make_work,
                clock_us=monotonic_us, rng=self._rng,
            )  # fmt: skip
        except NotAdmitted as no:
            raise NoRun(str(no)) from no
        except WorkRefused as no:
            raise NoRun(str(no), Exit(no.code)) from no
        except MasterLost as lost:
            raise NoRun(str(lost), Exit.INVALID) from lost

    async def _make_work(self, prepare: Prepare, welcome: Welcome) -> Work:
        if not self._flags.supervised:
            # The master's own workers need not ask again what the master has asked.
            try:
                await check_hosts(prepare.hosts, self._rng)
            except NoRun as no:
                raise WorkRefused(str(no), no.code) from no
        return await make_work(self._scenario, prepare, welcome, clock_us=monotonic_us)
