"""Event hooks: how a scenario takes part in what happens, in locust's form.

    @events.test_start.add_listener
    def prepare(environment, **kwargs): ...

Listeners are plain functions, called in order, at once: whoever fires an event does not wait.
One that raises is logged the first time and told every time, as a task's errors are, and the run goes
on.  A process has one scenario, so there is one `events`, the same in the scenario and in the program.
"""

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import structlog

from loadtest.people.tasks import Control

Listener = TypeVar("Listener", bound=Callable[..., Any])

_log: Final = structlog.get_logger("loadtest.people.hooks")


class EventHook:
    """One kind of event."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.errors = 0
        """How often a listener raised."""
        self.told: Callable[[Exception], None] | None = None
        """Told of each of these, while a run goes on."""
        self._listeners: list[Callable[..., Any]] = []
        self._logged: set[Callable[..., Any]] = set()

    def add_listener(self, listener: Listener, *, first: bool = False) -> Listener:
        """Call it on every event from now on, with the event's values as keywords.  Raises TypeError for an async one."""
        if inspect.iscoroutinefunction(listener):
            raise TypeError(f"a listener of {self.name} is a plain function: write def, not async def")
        self._listeners.insert(0 if first else len(self._listeners), listener)
        return listener

    def remove_listener(self, listener: Callable[..., Any]) -> None:
        self._listeners.remove(listener)

    def fire(self, *, reverse: bool = False, **values: Any) -> None:
        """Tell all listeners; `StopUser` and the like of `loadtest/people/tasks.py` pass through."""
        for listener in self._listeners[::-1] if reverse else self._listeners.copy():
            try:
                listener(**values)
            except Control:
                raise
            except Exception as error:  # noqa: BLE001  # a scenario's own code: counted and logged, and no reason to end a run
                self.errors += 1
                if self.told is not None:
                    self.told(error)
                if listener not in self._logged:
                    self._logged.add(listener)
                    _log.exception("a listener raised; it is logged once", event_hook=self.name, listener=repr(listener))

    def forget(self) -> None:
        self._listeners.clear()
        self._logged.clear()
        self.errors = 0

    @contextmanager
    def measure(self, request_type: str, name: str, response_length: int = 0, context: Any = None) -> Iterator[dict[str, Any]]:
        """Fire a request with the time that the block takes; an exception in it makes it a failure and ends there."""
        meta: dict[str, Any] = {
            "request_type": request_type, "name": name, "response_length": response_length,
            "context": context or {}, "exception": None, "start_time": time.time(),
        }  # fmt: skip
        began = time.perf_counter()
        try:
            yield meta
        except Control:
            raise
        except Exception as error:  # noqa: BLE001  # told to the listeners, as locust does
            meta["exception"] = error
        meta["response_time"] = (time.perf_counter() - began) * 1000
        self.fire(**meta)


class Events:
    """All hooks.  What each is called with stands beside it; all take more keywords later, so end with ``**kwargs``."""

    def __init__(self) -> None:
        self.init = EventHook("init")
        """environment: the scenario is loaded and told what kind of run it will be."""
        self.test_start = EventHook("test_start")
        """environment: on each worker, at the run's zero."""
        self.spawning_complete = EventHook("spawning_complete")
        """user_count: this worker has as many users as it shall have; again after each change."""
        self.request = EventHook("request")
        """request_type, name, response_time (ms), response_length, exception, context: something was measured."""
        self.user_error = EventHook("user_error")
        """user_instance, exception, tb: a task raised; the user goes on."""
        self.test_stopping = EventHook("test_stopping")
        """environment: before users are stopped."""
        self.test_stop = EventHook("test_stop")
        """environment: no user is left."""
        self.quitting = EventHook("quitting")
        """environment: the process is about to end."""

    def __getattr__(self, name: str) -> EventHook:
        raise AttributeError(f"there is no event named {name}; there are {', '.join(hook.name for hook in self.all())}")

    def all(self) -> list[EventHook]:
        return list(vars(self).values())

    @property
    def errors(self) -> int:
        """How often listeners raised, of all hooks."""
        return sum(hook.errors for hook in self.all())

    def forget(self) -> None:
        """Back to how it was before any scenario was loaded."""
        for hook in self.all():
            hook.forget()


events: Final = Events()
