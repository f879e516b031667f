"""How a run's load changes: `LoadTestShape.tick`, asked once a second.  Pure.

A shape sees the time since the start and the number of users, and says what should be.  What
the command gave (`-u`, `-r`, `-t`) is in `users`, `spawn_rate` and `run_time_s`, in place of the
class's own values: a shape that uses these can be run with ten users, and with ten thousand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Final

from loadtest.workers.arrivals import ARRIVALS_PER_S_MAX

USERS_MAX: Final = 10_000_000


class ShapeError(Exception):
    """A `tick` answered something that is no load; one plain sentence."""


@dataclass(frozen=True, slots=True)
class Load:
    """What should be, from now on."""

    users: int
    """In all."""
    spawn_rate: float
    """Users to start or stop a second, until there are as many."""
    arrivals_per_s: Mapping[Any, float] | float | None = None
    """Open-model slots a second: of classes (or their names), or of all that have a plan together; None: as the classes say."""
    classes: Sequence[Any] | None = None
    """The classes (or their names) that new users are of; None: of all."""
    by_class: Mapping[Any, int] | None = None
    """Exactly so many of each class (or its name), whatever the weights; `users` is their sum then."""


class LoadTestShape:
    """Inherit, and write `tick`."""

    abstract: ClassVar[bool] = True
    users: int = 100
    spawn_rate: float = 10.0
    run_time_s: float | None = 60.0
    """None: until it is stopped."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "abstract" not in vars(cls):
            cls.abstract = False

    def __init__(self) -> None:
        self.options: Mapping[str, Any] = {}
        """The scenario's own options."""
        self._at_s = 0.0
        self._zero_s = 0.0
        self._user_count = 0

    def tick(self) -> Load | tuple[Any, ...] | None:
        """`Load`, or locust's `(users, spawn_rate)` or `(users, spawn_rate, [classes])`; None ends the run."""
        raise NotImplementedError

    def get_run_time(self) -> float:
        """Seconds since the start, or since `reset_time`."""
        return self._at_s - self._zero_s

    def reset_time(self) -> None:
        self._zero_s = self._at_s

    def get_current_user_count(self) -> int:
        """Users that live now, on all workers."""
        return self._user_count

    def load_at(self, run_time_s: float, user_count: int) -> Load | None:
        """Ask `tick`; raises ShapeError for what is no load."""
        self._at_s, self._user_count = run_time_s, user_count
        name = type(self).__name__
        try:
            answer = self.tick()
        except Exception as error:
            raise ShapeError(f"{name}.tick raised {type(error).__name__} after {run_time_s:.0f} s: {error}") from error
        if answer is None:
            return None
        load = _as_load(answer)
        if load is None:
            raise ShapeError(f"{name}.tick answered {answer!r}: it must be (users, spawn_rate), a Load, or None to stop")
        if not (isfinite(load.users) and 0 <= load.users <= USERS_MAX):
            raise ShapeError(f"{name}.tick asks for {load.users} users: it must be from 0 to {USERS_MAX}")
        if not (isfinite(load.spawn_rate) and load.spawn_rate > 0):
            raise ShapeError(f"{name}.tick answered a spawn rate of {load.spawn_rate}: it must be above 0")
        for rate in _rates(load):
            if not 0 <= rate <= ARRIVALS_PER_S_MAX:
                raise ShapeError(f"{name}.tick asks for {rate} arrivals a second: it must be from 0 to {ARRIVALS_PER_S_MAX:.0f}")
        return load


class Steady(LoadTestShape):
    """All users as fast as the spawn rate has it, then on until the time is over: a run without a shape of its own."""

    abstract = True

    def tick(self) -> Load | None:
        if self.run_time_s is not None and self.get_run_time() >= self.run_time_s:
            return None
        return Load(self.users, self.spawn_rate)


def _as_load(answer: object) -> Load | None:
    match answer:
        case Load():
            return answer
        case (int() | float() as users, int() | float() as spawn_rate):
            return Load(round(users), float(spawn_rate))
        case (int() | float() as users, int() | float() as spawn_rate, (None | [*_]) as classes):
            return Load(round(users), float(spawn_rate), classes=classes)
        case _:
            return None


def _rates(load: Load) -> list[float]:
    match load.arrivals_per_s:
        case None:
            return []
        case Mapping() as by_class:
            return list(by_class.values())
        case rate:
            return [rate]
