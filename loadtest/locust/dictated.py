"""A load that somebody else decides: so many users of each class, whenever they say so.  Pure.

Behind a stock locust master its numbers take the place of a scenario's shape.  Arrivals stay the
scenario's own; several such runs, one behind each of the master's workers, share them evenly.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from loadtest.people.shapes import Load, LoadTestShape
from loadtest.workers.dispatch import Kind

# A ramp comes as a step each second; spread over most of that second it is a slope again.
STEP_S: Final = 0.8


class Dictated(LoadTestShape):
    """Its `tick` repeats what it was told last."""

    abstract = True
    run_time_s = None

    def __init__(self, kinds: Iterable[Kind]) -> None:
        super().__init__()
        self._arrivals = {kind.name: kind.arrivals_per_s for kind in kinds if kind.arrivals_per_s is not None}
        self._by_class: dict[str, int] = {}
        self._spawn_per_s = 1.0
        self.runs = 1
        """How many runs share the arrivals."""

    def want(self, by_class: Mapping[str, int]) -> None:
        """From now on so many users of each class, in all."""
        names = {*by_class, *self._by_class}
        changed = sum(abs(by_class.get(name, 0) - self._by_class.get(name, 0)) for name in names)
        if changed:
            self._spawn_per_s = changed / STEP_S
        self._by_class = dict(by_class)

    def tick(self) -> Load:
        arrivals = {name: per_s / self.runs for name, per_s in self._arrivals.items()}
        return Load(sum(self._by_class.values()), self._spawn_per_s, arrivals, by_class=self._by_class)
