"""What a run was asked for, in the words of a command line that has been understood.  Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from loadtest.figures.messages import Prepare
from loadtest.verdicts.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class RunPlan:
    """When a run begins and how it ends."""

    workers_expected: int
    starts_by_itself: bool
    run_time_s: float | None
    """The run ends then, whatever a shape says; None: the shape decides, or whoever stops it."""
    stop_timeout_s: float
    """What tasks have for ending by themselves."""
    settle_s: float
    """How long auditors may take to reach the heads."""
    workers_wait_s: float | None = None
    """How long expected workers are waited for; None: for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Everything that is the same for the whole run."""

    plan: RunPlan
    scenario: str
    hosts: tuple[str, ...]
    seed: int
    source_ips: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    connects_per_s_max: float = 1000.0
    """Of all workers together."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The scenario's own."""
    thresholds: tuple[Threshold, ...] = ()
    command: tuple[str, ...] = ()
    machine: Mapping[str, str] = field(default_factory=dict)
    """What a figure depends on, for the record."""

    def prepare(self, run: str, index: int) -> Prepare:
        """The orders of worker `index`, its share of the rate and of the source addresses."""
        workers = max(1, self.plan.workers_expected)
        # Each address has its own ports: dealt out, so that no two workers of a machine want the same ones.
        own_ips = self.source_ips[index % workers :: workers] or self.source_ips
        return Prepare(
            run=run,
            seed=self.seed,
            hosts=list(self.hosts),
            source_ips=list(own_ips),
            tags=list(self.tags),
            exclude_tags=list(self.exclude_tags),
            connects_per_s_max=self.connects_per_s_max / workers,
            options=dict(self.options),
            workers=workers,
        )
