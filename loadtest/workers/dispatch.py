"""How many users of each class on each worker: locust's order of spawning, and as few moves as can be.  Pure.

Users are spawned one after another in an order that the classes alone decide: first those of
a fixed count, then the others so that any number of them is nearest to the weights (locust's
own rule: of A with weight 5 and B with weight 1 come AABAAAAABAAA).  Who came last leaves first.

Of each class every worker has as many as the others, or one more.  A worker that is lost
leaves its users to the others; one that joins takes what makes it even, and nobody else moves.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import log2
from typing import Any

from loadtest.figures.messages import Goal, Stretch
from loadtest.people.shapes import Load
from loadtest.workers.arrivals import Plan


@dataclass(frozen=True, slots=True)
class Kind:
    """A class as the dispatch needs it."""

    name: str
    weight: float = 1.0
    fixed_count: int = 0
    arrivals_per_s: float | None = None
    """Of its own plan; None: it has none."""


class Dispatch:
    """The users of a run, as the master wants them."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}
        assert self._kinds, "a run has classes"
        self._order: list[str] = []
        """The class of each user, in the order they were spawned."""
        self._fixed_missing = True
        self._chosen = tuple(self._kinds)
        self._next = _by_weight(self._kinds.values())
        self._on: dict[int, Counter[str]] = {}
        """Users of each class on each worker."""
        self._plans = {kind.name: Plan() for kind in self._kinds.values() if kind.arrivals_per_s is not None}

    def goals(self, load: Load, workers: Sequence[int], at_us: int) -> dict[int, Goal]:
        """What each worker is told, so that together they have this load.

        `workers` are the living ones.  Users change as soon as the goal arrives, plans at
        `at_us`, which lies far enough ahead for the goal to arrive everywhere before it.
        """
        if load.by_class is None:
            self._set_users(load.users, load.classes)
        else:
            self._dictate(load.by_class)
        self._set_workers(workers)
        self._spread()
        arrivals = self._arrivals(load, at_us)
        return {
            worker: Goal(
                {name: on[name] for name in self._kinds if on[name]},
                load.spawn_rate / len(self._on),
                {name: stretches[worker] for name, stretches in arrivals.items()},
            )
            for worker, on in self._on.items()
        }

    def users(self) -> dict[str, int]:
        """Wanted users of each class, on all workers."""
        count = Counter(self._order)
        return {name: count[name] for name in self._kinds if count[name]}

    def slots_due_by(self, at_us: int) -> int:
        """Slots of all plans that were due before `at_us`: those that no worker told of were missed."""
        return sum(plan.due_by(at_us) for plan in self._plans.values())

    # --- how many of each class ----------------------------------------------------------------------

    def _set_users(self, total: int, classes: Sequence[Any] | None) -> None:
        named = self._kinds if classes is None else {name_of(each) for each in classes}
        # A class that tags have left out may still be named by a shape.
        chosen = tuple(name for name in self._kinds if name in named)
        if chosen != self._chosen:
            self._chosen = chosen
            self._next = _by_weight(self._kinds[name] for name in chosen)
            self._fixed_missing = True
        if total < len(self._order):
            del self._order[total:]
            self._fixed_missing = True
        while len(self._order) < total:
            if self._fixed_missing:
                self._fixed_missing = False
                self._order += self._missing_of_fixed()[: total - len(self._order)]
                # Cut short by the total: what is missing then is tried again at the next change.
                self._fixed_missing = len(self._order) == total
                continue
            name = next(self._next, None)
            if name is None:
                return
            self._order.append(name)

    def _dictate(self, by_class: Mapping[Any, int]) -> None:
        named = {name_of(each): count for each, count in by_class.items()}
        self._order = [name for name in self._kinds for _ in range(named.get(name, 0))]
        self._fixed_missing = True

    def _missing_of_fixed(self) -> list[str]:
        there = Counter(self._order)
        missing = {name: self._kinds[name].fixed_count - there[name] for name in self._chosen}
        order = _by_weight(Kind(name, count) for name, count in missing.items() if count > 0)
        return [next(order) for _ in range(sum(count for count in missing.values() if count > 0))]

    # --- which worker ----------------------------------------------------------------------------------

    def _set_workers(self, workers: Sequence[int]) -> None:
        self._on = {worker: self._on.get(worker, Counter()) for worker in workers}

    def _spread(self) -> None:
        if not self._on:
            return
        wanted = Counter(self._order)
        # Those of a fixed count first: the one more of them goes to the first workers, as rooms are dealt (`rooms.py`).
        for name in sorted(self._kinds, key=lambda name: not self._kinds[name].fixed_count):
            low, high = wanted[name] // len(self._on), -(-wanted[name] // len(self._on))
            for on in self._on.values():
                on[name] = min(max(on[name], low), high)
            missing = wanted[name] - sum(on[name] for on in self._on.values())
            # Who has fewest in all is given the next, who has most gives one away.
            for _ in range(missing):
                min(self._on.values(), key=lambda on: (on[name], on.total()))[name] += 1
            for _ in range(-missing):
                max(self._on.values(), key=lambda on: (on[name], on.total()))[name] -= 1

    # --- plans -----------------------------------------------------------------------------------------

    def _arrivals(self, load: Load, at_us: int) -> dict[str, dict[int, Stretch]]:
        rates = self._rates(load.arrivals_per_s)
        return {name: self._turn(name, rates[name], at_us) for name in self._plans}

    def _turn(self, name: str, per_s: float, at_us: int) -> dict[int, Stretch]:
        """The workers that have somebody share the plan."""
        serving = [worker for worker, on in self._on.items() if on[name]]
        idle = [worker for worker, on in self._on.items() if not on[name]]
        return self._plans[name].turn(at_us, per_s, serving, idle)

    def _rates(self, asked: Mapping[Any, float] | float | None) -> dict[str, float]:
        own = {name: self._kinds[name].arrivals_per_s or 0.0 for name in self._plans}
        if asked is None:
            return own
        if isinstance(asked, Mapping):
            return own | {name_of(each): rate for each, rate in asked.items() if name_of(each) in own}
        whole = sum(own.values())
        return {name: asked * (rate / whole if whole else 1 / len(own)) for name, rate in own.items()}


def name_of(each: Any) -> str:
    """Of a class, or of its name."""
    return each if isinstance(each, str) else str(each.__name__)


def _by_weight(kinds: Iterable[Kind]) -> Iterator[str]:
    """Names for ever, each as often as it weighs, by what decreases the divergence from the weights most."""
    heap = [
        (kind.weight * log2(kind.weight / (kind.weight + 1.0)), kind.weight + 1.0, kind.weight, kind.name)
        for kind in kinds
        if kind.weight > 0 and not kind.fixed_count
    ]
    heapify(heap)
    while heap:
        _, spawned, weight, name = heap[0]
        yield name
        heapreplace(heap, (weight * log2(spawned / (spawned + 1.0)), spawned + 1.0, weight, name))
