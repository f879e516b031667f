"""What a scenario's code can ask about the run it is in: `self.environment`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

from loadtest.people.hooks import Events

REASON_CHARACTERS_MAX: Final = 200


class RunnerHandle:
    """`self.environment.runner`: how a scenario that has seen enough ends the run."""

    def __init__(self) -> None:
        self.wish = ""
        """Why the run shall end; empty while it goes on.  The first reason stays."""

    def quit(self, why: str = "") -> None:
        """End the whole run in order, on all workers, within about a second: users leave, audits and verdict follow."""
        self.wish = self.wish or f"the scenario ended it{f': {why}' if why else ''}"[:REASON_CHARACTERS_MAX]

    stop = quit
    """Locust has both; a run of ours has one end."""


@dataclass
class Environment:
    """One for each process of a run."""

    events: Events
    hosts: Sequence[str]
    """Websocket addresses of the gateways."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The scenario's own options, with the command's values."""
    tags: Sequence[str] = ()
    exclude_tags: Sequence[str] = ()
    run: str = ""
    """The run's short random name."""
    seed: int = 0
    worker_index: int = 0
    """Of this process, from 0."""
    workers: int = 1
    """How many processes the run is expected to have."""
    user_count: int = 0
    """Users and readers that live in this process now."""
    runner: RunnerHandle = field(default_factory=RunnerHandle)
    """``self.environment.runner.quit("the room is full")`` ends the run, as in locust."""

    @property
    def host(self) -> str | None:
        """The first gateway's address."""
        return self.hosts[0] if self.hosts else None

    @property
    def process_exit_code(self) -> None:
        """Locust's way to judge a run; ours is `--fail-if`, and a scenario that tries is told so."""

    @process_exit_code.setter
    def process_exit_code(self, code: object) -> None:
        raise AttributeError("the verdict is the exit code: say what must not be with --fail-if")

    @property
    def parsed_options(self) -> SimpleNamespace:
        """The options as attributes, as locust has them."""
        return SimpleNamespace(**self.options)
