"""Who takes part: users who do things, and readers who only listen.

Both are classes of a scenario; the run makes as many of each as it is told to, by `weight`
and `fixed_count` as in locust.  A `User` is the real client with tasks.  A `Reader` costs a
few kilobytes: tens of thousands fit a process, and a share of them checks all that it reads.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, final

import trio

from client.client import Client
from client.updates import PublishOutcome
from loadtest.people.tasks import Chosen, Control, RootTaskSet, StopUser, collect
from loadtest.people.waits import Pacing, WaitTime, constant
from loadtest.workers.arrivals import Arrivals
from wire.client_messages import Event
from wire.limits import CLOSE_GRACE_S

if TYPE_CHECKING:
    from loadtest.people.environment import Environment


class Person:
    """What users and readers have in common.  Bounds are checked when a scenario is loaded (`loadtest/people/scenario.py`)."""

    abstract: ClassVar[bool] = True
    """True in a class that is only there to be inherited from."""
    weight: ClassVar[float] = 1
    """How many there are in proportion to the other classes."""
    fixed_count: ClassVar[int] = 0
    """So many, before anybody else, whatever the weights; 0: by weight."""
    host: ClassVar[str | None] = None
    """A gateway's address, ``ws://chat.example``, for when the command names none; a run has one list of them."""
    rooms: ClassVar[Sequence[str]] = ()
    """The rooms they are in."""
    rooms_each: ClassVar[int] = 0
    """Each is in so many of `rooms`, dealt out evenly; 0: in all of them."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "abstract" not in vars(cls):
            cls.abstract = False


class Reader(Person):
    """Joins, reads, and never writes."""

    abstract = True
    audit_share: ClassVar[float] = 0.02
    """So many of them decode and check every event; at least one of each worker, none for 0."""


class Footing(Protocol):
    """What a run gives to one user (`loadtest/workers/runner.py`)."""

    number: int
    rooms: tuple[str, ...]
    random: Random
    chosen: Chosen
    client: Client

    async def publish(self, room: str, text: str, intended_us: int | None) -> PublishOutcome: ...
    async def wait_slot(self) -> int:
        """The moment of the slot that begins now."""


class User(Person):
    """Somebody with a connection of their own, and tasks.  Whatever it is sent is audited, as auditors' is."""

    abstract = True
    tasks: ClassVar[Any] = []
    """A list of tasks, each picked as often as it stands there, or a dict of tasks and weights."""
    wait_time: ClassVar[WaitTime | Callable[[Any], Any]] = constant(0)
    """Seconds from a task's end to the next one's beginning: `between(1, 5)`, or a method of your own, `async` or not."""
    arrivals: ClassVar[Arrivals | None] = None
    """With `per_second(20)`, slots of a plan begin the tasks instead, on whoever is free; `wait_time` is not asked then."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.tasks = collect(cls)

    def __init__(self, environment: "Environment", footing: Footing) -> None:
        self.environment = environment
        self.footing = footing
        self.number = footing.number
        """Of this class on this worker, from 0."""
        self.rooms = footing.rooms  # type: ignore[misc]  # of this user: those it is in
        self.random = footing.random
        """Seeded by the run and the user: the same seed, the same choices."""
        self.chosen = footing.chosen
        self.pacing = Pacing()
        self.intended_us: int | None = None
        """The slot's moment on the master's clock, from which the next publish counts; None: from when it is called."""
        self.has_started = False
        self._stopping = trio.Event()
        self._idle = trio.CancelScope()
        """Of a wait that may be given up when the user shall stop."""
        self._root = RootTaskSet(self)

    @property
    def client(self) -> Client:
        """The connection: `publish`, `join`, `history` and all the rest (`client/client.py`), unmeasured."""
        return self.footing.client

    @property
    def room(self) -> str:
        """The first of `rooms`."""
        return self.rooms[0]

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    # --- for a scenario to write -------------------------------------------------------------------

    async def on_start(self) -> None:
        """Called first, once it is connected and in its rooms; what raises here ends the user."""

    async def on_stop(self) -> None:
        """Called last, within CLOSE_GRACE_S."""

    async def on_message(self, event: Event) -> None:
        """Called for events of the rooms, in order, beside the tasks, from `on_start` on; one that is too slow misses some."""

    # --- for a scenario to use ---------------------------------------------------------------------

    async def publish(self, room: str, text: str) -> PublishOutcome:
        """Say it, measured as `publish` from the intended moment to the acknowledgement."""
        intended_us, self.intended_us = self.intended_us, None
        return await self.footing.publish(room, text, intended_us)

    def measure(self, name: str, request_type: str = "WS") -> AbstractContextManager[dict[str, Any]]:
        """Measure a block as a row of its own; an exception in it is that row's failure and ends there."""
        return self.environment.events.request.measure(request_type, name)

    async def wait(self) -> None:
        """Wait as between two tasks.  A user that shall stop stops here at once."""
        await self.pause(self, None)

    async def wait_for(self, event: trio.Event) -> None:
        """Wait until it is set, by `on_message` for instance.  A user that shall stop stops here at once."""
        if self.is_stopping:
            raise StopUser
        with trio.CancelScope() as self._idle:
            await event.wait()
        if self.is_stopping:
            raise StopUser

    # --- for the run and for task sets --------------------------------------------------------------

    @final
    async def run(self) -> None:
        """From `on_start` to `on_stop`; ends when it shall stop, or by itself.  Never raises what a scenario raised."""
        try:
            await self.on_start()
            self.has_started = True
            await self._root.run()
        except Control:
            pass  # StopUser, and whatever else on_start wished
        except Exception as error:  # noqa: BLE001  # of on_start, or a bug of tasks.py: told, and this user is over
            self.failed(error)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_GRACE_S):
                try:
                    await self.on_stop()
                except Control:
                    pass  # it stops already
                except Exception as error:  # noqa: BLE001  # as in a task
                    self.failed(error)

    def stop(self) -> None:
        """After the task that runs now; at once when it waits."""
        self._stopping.set()
        self._idle.cancel()

    async def begin_task(self) -> None:
        """Called before each task body: waits for a slot where the class has a plan."""
        if type(self).arrivals is None:
            return
        with trio.CancelScope() as self._idle:
            self.intended_us = await self.footing.wait_slot()
        if self.is_stopping:
            raise StopUser

    async def pause(self, waiting: Any, wait_time: Any) -> None:
        if type(self).arrivals is not None and wait_time is None:
            await trio.lowlevel.checkpoint()
            return
        seconds = wait_time() if wait_time is not None else self.wait_time()
        if not isinstance(seconds, (int, float)):
            seconds = await seconds
        with trio.move_on_after(max(0.0, seconds)):
            await self._stopping.wait()
        if self.is_stopping:
            raise StopUser

    async def wait_stopping(self) -> None:
        await self._stopping.wait()

    def failed(self, error: Exception) -> None:
        """A task raised: counted and kept by the run (`events.user_error`)."""
        self.environment.events.user_error.fire(user_instance=self, exception=error, tb=error.__traceback__)
