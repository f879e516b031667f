"""What users do: tasks, sets of tasks, tags; locust's, with async bodies.

A set picks a task (at random by weight, or in order), runs it, waits, and picks the next.  A
set can be a task of another one: it then runs until a task of it calls `interrupt`.  A task
that raises is counted and the user goes on.  Between two tasks others always get their turn,
whether or not the tasks wait for anything themselves.
"""

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Any, ClassVar, Final, NoReturn, Protocol, TypeVar, overload

import trio

from loadtest.people.waits import Pacing, WaitTime
from wire.limits import CLOSE_GRACE_S

WEIGHT_MAX: Final = 10_000


class Control(Exception):
    """A wish that a task states by raising it."""


class StopUser(Control):
    """Raised in a task: this user is done and leaves."""


class InterruptTaskSet(Control):
    """Raised by `TaskSet.interrupt`."""

    def __init__(self, reschedule: bool = True) -> None:
        super().__init__()
        self.reschedule = reschedule


class RescheduleTask(Control):
    """Raised in a task: leave it, wait, take the next."""


class RescheduleTaskImmediately(Control):
    """Raised in a task: leave it, take the next at once."""


Body = Callable[[Any], Awaitable[None]]
Task = Body | type["TaskSet"]
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@overload
def task(weight: int) -> Callable[[Decorated], Decorated]: ...
@overload
def task(weight: Decorated) -> Decorated: ...


def task(weight: Any = 1) -> Any:
    """Marks a method, or a nested `TaskSet`, as a task: ``@task`` or ``@task(3)``, three times as often."""
    if callable(weight):
        return _marked(weight, 1)
    _check_weight(weight)
    return lambda decorated: _marked(decorated, weight)


def tag(*tags: str) -> Callable[[Decorated], Decorated]:
    """Names a task, or all tasks of a set, so that `--tags` and `--exclude-tags` can choose."""
    if not tags or not all(isinstance(each, str) for each in tags):
        raise ValueError("@tag needs names: @tag('writes')")

    def tagged(decorated: Decorated) -> Decorated:
        targets = tasks_of(decorated) if isinstance(decorated, type) else (decorated,)
        for target in targets:
            if isinstance(target, type):
                tagged(target)
            else:
                target.task_tags = tags_of(target) | set(tags)  # type: ignore[union-attr]
        return decorated

    return tagged


def tags_of(body: Callable[..., Any]) -> set[str]:
    return getattr(body, "task_tags", set())


def _marked(decorated: Any, weight: int) -> Any:
    if not isinstance(decorated, type) and not inspect.iscoroutinefunction(decorated):
        raise TypeError(f"the task {decorated.__qualname__} must be written async def")
    decorated.task_weight = weight
    return decorated


def _check_weight(weight: object) -> None:
    if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= WEIGHT_MAX:
        raise ValueError(f"a task's weight is a whole number from 0 to {WEIGHT_MAX}, not {weight!r}")


def tasks_of(holder: type) -> Sequence[Task]:
    """The tasks of a user or task set class, each as often as it weighs."""
    return getattr(holder, "tasks", ())


def collect(holder: type) -> list[Task]:
    """What a class inherits, then its `tasks` list or dict, then its methods and sets marked as tasks."""
    found = [each for base in holder.__bases__ for each in tasks_of(base)]
    own = vars(holder)
    found += _written(holder, own.get("tasks"))
    for value in own.values():
        found += _declared(value)
    return found


def collect_in_order(holder: type) -> list[Task]:
    """The same, with the `tasks` list where it stands among the methods."""
    found = [each for base in holder.__bases__ for each in tasks_of(base)]
    for name, value in vars(holder).items():
        found += _written(holder, value) if name == "tasks" else _declared(value)
    return found


def _declared(value: object) -> list[Task]:
    weight = getattr(value, "task_weight", 0) if callable(value) else 0
    return [value] * weight  # type: ignore[list-item]  # only tasks bear a weight


def _written(holder: type, tasks: Any) -> Iterator[Task]:
    if tasks is not None and not isinstance(tasks, (list, tuple, dict)):
        raise TypeError(f"tasks of {holder.__name__} must be a list of tasks, or a dict of tasks and weights")
    pairs: Iterable[Any] = tasks.items() if isinstance(tasks, dict) else tasks or ()
    for each in pairs:
        body, weight = each if isinstance(each, tuple) else (each, 1)
        _check_weight(weight)
        if not (isinstance(body, type) and issubclass(body, TaskSet)) and not inspect.iscoroutinefunction(body):
            raise TypeError(f"tasks of {holder.__name__}: {getattr(body, '__name__', body)!r} is neither async def nor a TaskSet")
        yield from [body] * weight


class Chosen:
    """The tasks that `--tags` and `--exclude-tags` leave, of every class."""

    def __init__(self, tags: Iterable[str] = (), exclude_tags: Iterable[str] = ()) -> None:
        self._tags = set(tags)
        self._exclude_tags = set(exclude_tags)
        self._tasks: dict[type, list[Task]] = {}

    def tasks(self, holder: type) -> list[Task]:
        """Of a user or task set class; a set in which nothing is left is left out."""
        if holder not in self._tasks:
            self._tasks[holder] = [each for each in tasks_of(holder) if self._passes(each)]
        return self._tasks[holder]

    def _passes(self, each: Task) -> bool:
        if isinstance(each, type):
            return bool(self.tasks(each))
        tags = tags_of(each)
        return not (self._tags and not tags & self._tags) and not tags & self._exclude_tags


def known_tags(holders: Iterable[type]) -> set[str]:
    """Every tag of these classes and the sets in them."""
    found: set[str] = set()
    for each in {each for holder in holders for each in tasks_of(holder)}:
        found |= known_tags([each]) if isinstance(each, type) else tags_of(each)
    return found


class Doer(Protocol):
    """The user, as its task sets see it."""

    chosen: Chosen
    wait_time: ClassVar[Any]
    random: Random

    @property
    def is_stopping(self) -> bool: ...
    async def begin_task(self) -> None: ...
    async def pause(self, waiting: Any, wait_time: Any) -> None: ...
    def failed(self, error: Exception) -> None: ...


class TaskSet:
    """A set of tasks that a user runs, again and again, until `interrupt`."""

    tasks: ClassVar[Any] = []
    """A list of tasks, each picked as often as it stands there, or a dict of tasks and weights."""
    wait_time: ClassVar[WaitTime | None] = None
    """Seconds between tasks; None: as the user has it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.tasks = collect(cls)

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        """The set that runs this one, or the user."""
        self.user: Any = parent.user if isinstance(parent, TaskSet) else parent
        self.tasks = self._choose()  # type: ignore[misc]  # of this instance: what the tags leave
        self.pacing = Pacing()
        self._queue: deque[Task] = deque()

    @property
    def random(self) -> Random:
        return self.user.random  # type: ignore[no-any-return]

    @property
    def client(self) -> Any:
        """The user's own."""
        return self.user.client

    async def on_start(self) -> None:
        """Called when a user begins this set."""

    async def on_stop(self) -> None:
        """Called when a user leaves this set: by `interrupt`, or because it stops."""

    def interrupt(self, reschedule: bool = True) -> NoReturn:
        """Leave this set.  Its parent takes its next task at once, or waits first."""
        raise InterruptTaskSet(reschedule)

    def schedule_task(self, body: Task, first: bool = False) -> None:
        """Run it next after what is scheduled already, or before that."""
        if first:
            self._queue.appendleft(body)
        else:
            self._queue.append(body)

    def get_next_task(self) -> Task:
        """Which task is next when none is scheduled."""
        return self.random.choice(self.tasks)  # type: ignore[no-any-return]

    async def wait(self) -> None:
        """Wait as between two tasks.  A user that shall stop stops here at once."""
        await self.user.pause(self, self.wait_time)

    async def run(self) -> None:
        """Until a task of it raises `Control`, or it is cancelled.  Started by whoever holds the set."""
        try:
            await self.on_start()
            while True:
                await self._run_next()
        except InterruptTaskSet as interrupt:
            await self._leave()
            raise (RescheduleTaskImmediately if interrupt.reschedule else RescheduleTask)() from interrupt
        except StopUser:
            await self._leave()
            raise
        except trio.Cancelled:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_GRACE_S), suppress(Control):
                await self._leave()
            raise

    async def _run_next(self) -> None:
        try:
            if self.user.is_stopping:
                raise StopUser
            body = self._queue.popleft() if self._queue else self.get_next_task()
            await self._run_task(body)
        except RescheduleTaskImmediately:
            # Nothing may have been waited for: a set that interrupts itself at once must not keep others out.
            await trio.lowlevel.checkpoint()
            return
        except RescheduleTask:
            pass
        except Control:
            raise
        except Exception as error:  # noqa: BLE001  # a task's own: counted with its traceback, the user goes on
            self.user.failed(error)
        await self.wait()

    async def _run_task(self, body: Task) -> None:
        if isinstance(body, type):
            await body(self).run()
            return
        await self.user.begin_task()
        if getattr(body, "__self__", None) is self:
            await body()  # type: ignore[call-arg]  # a bound method, scheduled by the set itself
        else:
            await body(self._subject())

    def _choose(self) -> list[Task]:
        return self.user.chosen.tasks(type(self))  # type: ignore[no-any-return]

    def _subject(self) -> Any:
        """What a task is called with."""
        return self

    async def _leave(self) -> None:
        try:
            await self.on_stop()
        except Control:
            raise
        except Exception as error:  # noqa: BLE001  # as in a task
            self.user.failed(error)


class SequentialTaskSet(TaskSet):
    """Runs its tasks in the order in which they are written, again and again; one of weight 3 three times in a row."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super(TaskSet, cls).__init_subclass__(**kwargs)
        cls.tasks = collect_in_order(cls)

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self._place = -1

    def get_next_task(self) -> Task:
        self._place = (self._place + 1) % len(self.tasks)
        return self.tasks[self._place]  # type: ignore[no-any-return]


class RootTaskSet(TaskSet):
    """A user's own tasks: methods of the user, called with it."""

    async def wait(self) -> None:
        await self.user.pause(self.user, None)

    def _choose(self) -> list[Task]:
        return self.user.chosen.tasks(type(self.user))  # type: ignore[no-any-return]

    def _subject(self) -> Any:
        return self.user
