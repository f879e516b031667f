"""What a scenario's code can ask about the run it is in: `self.environment`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from loadtest.people.hooks import Events


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

    @property
    def host(self) -> str | None:
        """The first gateway's address."""
        return self.hosts[0] if self.hosts else None

    @property
    def parsed_options(self) -> SimpleNamespace:
        """The options as attributes, as locust has them."""
        return SimpleNamespace(**self.options)
