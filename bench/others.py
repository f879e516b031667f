"""How much of the machine somebody else used meanwhile: what tells a slow program from a busy machine."""

import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

from bench.procfs import cpu_seconds

# A cluster on one machine takes most of two cores when nodes start; what others take then is missing, and all takes longer.
OTHERS_SHARE_MAX = 0.10
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IDLE, _IOWAIT = 3, 4


class OthersShare:
    """From its making to `now`: the share of all cores that neither we, nor what we started, nor nobody used."""

    def __init__(self, running: Sequence[int]) -> None:
        """`running` are the processes that we have started and that live now."""
        self._began = time.monotonic()
        self._busy_s = _busy_seconds()
        self._own_s = _own_seconds(running)

    def now(self, running: Sequence[int]) -> float:
        seconds = (time.monotonic() - self._began) * len(os.sched_getaffinity(0))
        others_s = (_busy_seconds() - self._busy_s) - (_own_seconds(running) - self._own_s)
        return max(0.0, others_s / seconds)


def _busy_seconds() -> float:
    """CPU time of everybody since the machine's start, time that a hypervisor took away included."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[_IDLE] - fields[_IOWAIT]) / _TICKS_PER_S


def _own_seconds(running: Sequence[int]) -> float:
    """Ours, that of children who have ended, and that of those who run."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + cpu_seconds(list(running))
