"""How long a user waits between two tasks: locust's four, and any method of your own.

Each is given to a class as `wait_time`, and called with the user (or the task set) after each
task; its answer is in seconds.  Waits are of the closed model: a slower server is asked less
often.  `arrivals` (`loadtest/workers/arrivals.py`) are not.
"""

from collections.abc import Callable
from math import isfinite
from random import Random
from typing import Protocol

import trio


class Pacing:
    """What `constant_pacing` remembers of one user."""

    __slots__ = ("last_run", "last_wait")

    def __init__(self) -> None:
        self.last_run = trio.current_time()
        self.last_wait = 0.0


class Waiting(Protocol):
    """A user or a task set, as a wait sees it."""

    @property
    def random(self) -> Random: ...
    @property
    def pacing(self) -> Pacing: ...


WaitTime = Callable[[Waiting], float]


def between(shortest_s: float, longest_s: float) -> WaitTime:
    """A new random time each time, evenly distributed."""
    _check(shortest_s, "between")
    _check(longest_s, "between")
    if longest_s < shortest_s:
        raise ValueError(f"between({shortest_s}, {longest_s}): the second must not be less than the first")
    return lambda waiting: shortest_s + waiting.random.random() * (longest_s - shortest_s)


def constant(seconds: float) -> WaitTime:
    """Always the same time, from the end of a task to the beginning of the next."""
    _check(seconds, "constant")
    return lambda waiting: seconds


def constant_pacing(seconds: float) -> WaitTime:
    """A task begins every so many seconds, however long it takes; at once after one that took longer."""
    _check(seconds, "constant_pacing")

    def wait_time(waiting: Waiting) -> float:
        pacing = waiting.pacing
        now = trio.current_time()
        took = now - pacing.last_run - pacing.last_wait
        pacing.last_wait = max(0.0, seconds - took)
        pacing.last_run = now
        return pacing.last_wait

    return wait_time


def constant_throughput(tasks_per_s: float) -> WaitTime:
    """Each user begins so many tasks a second, at most: `constant_pacing` the other way round."""
    if not (isfinite(tasks_per_s) and tasks_per_s > 0):
        raise ValueError(f"constant_throughput({tasks_per_s}): it must be above 0")
    return constant_pacing(1 / tasks_per_s)


def poisson(rate_per_s: float) -> WaitTime:
    """Random times with a mean of 1 / rate, as if people came by themselves."""
    if not (isfinite(rate_per_s) and rate_per_s > 0):
        raise ValueError(f"poisson({rate_per_s}): it must be above 0")
    return lambda waiting: waiting.random.expovariate(rate_per_s)


def _check(seconds: float, name: str) -> None:
    if not (isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{name}({seconds}): a time to wait is 0 seconds or more")
