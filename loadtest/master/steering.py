"""A run that can be looked at and steered: what the web view asks of a master.

The master implements it (`loadtest/master/master.py`).  Everything here is called from the master's
own event loop, returns at once and never waits for a worker: what was wished is seen to
happen in the seconds that follow.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from loadtest.figures.record import Moment, RunRecord

Phase = Literal["waiting", "ready", "spawning", "running", "stopping", "ended"]
"""
`waiting` for workers, `ready` for somebody who starts it, `spawning` until the users wanted are
there, `running`, `stopping` while users leave and audits are closed, `ended` with the verdict.
"""


class Standing(Struct, frozen=True):
    """Where the run stands, and what was asked of it."""

    phase: Phase
    sentence: str
    """One plain sentence for people: what it does now, or waits for."""
    scenario: str
    hosts: list[str]
    users: int
    """Wanted now."""
    spawn_per_s: float
    shape: str | None
    """The name of the shape that decides both; None when people do."""
    seconds: float
    """Since the start; 0 before."""
    seconds_planned: float | None
    """How long it is to last; None until somebody stops it."""
    workers_expected: int


class LogLine(Struct, frozen=True):
    """Something that happened, as the terminal says it."""

    at: str
    """ISO 8601, UTC."""
    level: Literal["info", "warning", "error"]
    text: str


class NotNow(Exception):
    """What was asked for cannot be done; the message is one plain sentence that says what to do instead."""


class Steered(Protocol):
    """A run.  Its moments only grow."""

    @property
    def standing(self) -> Standing: ...

    @property
    def moments(self) -> Sequence[Moment]:
        """All so far, in order; one a second, and none is changed once it is there."""

    @property
    def log(self) -> Sequence[LogLine]:
        """The newest lines, oldest first; at most some hundreds."""

    def record(self) -> RunRecord:
        """The run so far as a document, with the verdict that it would have if it ended now."""

    def start(self, users: int, spawn_per_s: float) -> None:
        """Begin the run; raises `NotNow` unless it is `ready`.  With a shape both numbers are left aside."""

    def edit(self, users: int, spawn_per_s: float) -> None:
        """From now on so many; raises `NotNow` unless it is spawning or running, and when a shape decides."""

    def stop(self) -> None:
        """End the run in order: users leave, audits are closed, the verdict follows.  Raises `NotNow` when it has not begun."""
