"""Carries out a plan of faults: signals to processes of the server, hits on clients through the workers.

Whom to signal stands in the data directory of the `parvis up` under test (`runtime/process_list.py`),
so this works on its own machine only, and reaches nothing but its processes.  Who was killed
or restarted is started again by `parvis up`, as always.  Whoever was frozen is woken in all
cases, also when the run is cancelled.
"""

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import trio

from loadtest.figures.messages import Hit
from loadtest.figures.record import Mark
from loadtest.master.durations import spoken
from loadtest.master.fault_plan import ROLES, Fault, ServerFault
from runtime.process_list import ListedProcess, NotRunning, read_processes, send_signal

_SIGNALS: Final = {"kill": signal.SIGKILL, "restart": signal.SIGTERM, "freeze": signal.SIGSTOP}


def why_impossible(plan: Sequence[Fault], data_dir: Path | None) -> str | None:
    """One plain sentence when a fault of the plan cannot be carried out as things stand; None when all can."""
    for fault in plan:
        if not isinstance(fault, ServerFault):
            continue
        if data_dir is None:
            return f'"{fault.text}" needs --target-data-dir DIR, the data directory of the parvis up under test, on this machine'
        try:
            listed = read_processes(data_dir)
        except NotRunning as error:
            return str(error)
        if not _meant(listed, fault.target):
            return f'"{fault.text}" finds nobody: {_who_runs(listed, data_dir)}'
    return None


def _meant(listed: Sequence[ListedProcess], target: str) -> list[ListedProcess]:
    return sorted((each for each in listed if target in (each.role, each.name)), key=lambda each: each.name)


def _who_runs(listed: Sequence[ListedProcess], data_dir: Path) -> str:
    names = sorted(each.name for each in listed if each.role in ROLES)
    if names:
        return f"the processes of {data_dir} are {', '.join(names)}"
    return f"the parvis of {data_dir} is one process; start it with parvis up --gateways 2 --shards 2"


class FaultsOnDemand:
    """A plan, and what has become of it.

    `hit` gives a hit to the workers, and `mark` puts something on the time line of the run;
    both return at once.
    """

    def __init__(
        self, plan: Sequence[Fault], data_dir: Path | None, hit: Callable[[Hit], None], mark: Callable[[Mark], None]
    ) -> None:
        self._plan = sorted(plan, key=lambda fault: fault.at_s)
        self._data_dir = data_dir
        self._hit = hit
        self._mark = mark
        self._befell: Counter[str] = Counter()
        """How often each target was chosen: faults of one role take its processes in turn."""

    async def run(self) -> None:
        """Call it at the start of the run; returns when the last fault is over.  Its nursery owns those that last."""
        began_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            for fault in self._plan:
                await trio.sleep_until(began_at + fault.at_s)
                at_s = trio.current_time() - began_at
                if isinstance(fault, ServerFault):
                    await nursery.start(self._befall, fault, at_s)
                else:
                    self._hit(Hit(fault.kind, fault.count, fault.seconds))
                    self._mark(Mark(at_s, "fault", fault.text, fault.seconds))

    async def _befall(self, fault: ServerFault, at_s: float, *, task_status: trio.TaskStatus[None]) -> None:
        """One fault of one process; a failure of it is a mark, too: the run goes on without it."""
        try:
            process = self._choose(fault)
            send_signal(process, _SIGNALS[fault.action])
        except NotRunning as error:
            self._mark(Mark(at_s, "failed", f"{fault.text}: {error}"))
            task_status.started()
            return
        span = f" for {spoken(fault.seconds)}" if fault.seconds else ""
        try:
            self._mark(Mark(at_s, "fault", f"{fault.action} {process.name}{span}", fault.seconds))
            task_status.started()
            await trio.sleep(fault.seconds)
        finally:
            if fault.action == "freeze":
                self._wake(process, at_s + fault.seconds)

    def _choose(self, fault: ServerFault) -> ListedProcess:
        assert self._data_dir is not None, "the command has refused such a plan"
        meant = _meant(read_processes(self._data_dir), fault.target)
        if not meant:
            raise NotRunning("no such process runs now")
        self._befell[fault.target] += 1
        return meant[(self._befell[fault.target] - 1) % len(meant)]

    def _wake(self, process: ListedProcess, at_s: float) -> None:
        try:
            send_signal(process, signal.SIGCONT)
        except NotRunning as error:
            # Somebody ended it while it was frozen: there is nobody to wake, and the time line says why.
            self._mark(Mark(at_s, "failed", f"wake {process.name}: {error}"))
