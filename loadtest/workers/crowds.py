"""The users of one class in one worker: each a task of its own with a connection of its own.

A user is connected and in its rooms before `on_start`.  It leaves when it is told to, at once
where it waits, after its task where it works, and by cancellation when its time is over; its
connection is closed in any case.  One that ends by itself is not replaced, as in locust.
"""

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

import trio

from client.client import Client, connect
from client.connection import Dial
from client.updates import PublishOutcome
from loadtest.connections.watch import Heard, Watch
from loadtest.figures.messages import Stretch
from loadtest.figures.tally import Tally
from loadtest.people.environment import Environment
from loadtest.people.tasks import Chosen, Control
from loadtest.people.users import User
from loadtest.workers.rooms import Deal
from loadtest.workers.slots import SlotFeed
from loadtest.workers.speech import Speech
from wire.client_messages import Event, Welcome

CLIENT_NAME = "parvis-loadtest-user"


class Crowd(Protocol):
    """Everybody of one class, users or readers."""

    @property
    def wanted(self) -> int:
        """How many were started and not stopped again, whether they still live or not."""

    @property
    def living(self) -> int: ...
    def start(self) -> None:
        """One more."""

    def stop(self) -> None:
        """One less."""


class Dials(Protocol):
    """`loadtest.connections.dialing.Dialer`, as users and auditors need it."""

    @property
    def urls(self) -> tuple[str, ...]: ...
    def dial(self, turn_came: Callable[[], None]) -> Dial: ...


@dataclass(frozen=True)
class Ground:
    """What all users of a worker share."""

    environment: Environment
    chosen: Chosen
    tally: Tally
    dialer: Dials
    speech: Speech
    watch: Callable[[str, Heard], Watch]
    """For a client of that name."""
    random_of: Callable[[str], Random]
    """The same for the same run, seed and name."""
    now_us: Callable[[], int]
    looked_at: Callable[[list[int]], None]
    """Told how late slots of plans were seen, in microseconds."""
    nursery: trio.Nursery
    """Of all users and their plans."""


class UserFooting:
    """One user's (`loadtest.people.users.Footing`)."""

    def __init__(self, number: int, rooms: tuple[str, ...], random: Random, ground: Ground, feed: SlotFeed | None) -> None:
        self.number = number
        self.rooms = rooms
        self.random = random
        self.chosen = ground.chosen
        self.client: Client
        self._speech = ground.speech
        self._feed = feed

    async def publish(self, room: str, text: str, intended_us: int | None) -> PublishOutcome:
        return await self._speech.publish(self.client, room, text, intended_us)

    async def wait_slot(self) -> int:
        assert self._feed is not None, "only a class with arrivals waits for slots"
        return await self._feed.wait()


class UserCrowd:
    """Users of one class."""

    def __init__(self, kind: type[User], ground: Ground) -> None:
        self.wanted = 0
        self.feed = SlotFeed(ground.tally, ground.now_us, ground.looked_at) if kind.arrivals is not None else None
        self._kind = kind
        self._ground = ground
        self._deal = Deal(kind.rooms, kind.rooms_each, ground.environment.worker_index, ground.environment.workers)
        self._next = 0
        self._living: dict[int, _Life] = {}
        """In the order they were started."""
        self._changed = trio.Event()

    @property
    def living(self) -> int:
        return len(self._living)

    def servers(self) -> Counter[str]:
        """Who is connected, by the name of the gateway."""
        return Counter(life.watch.meter.server for life in self._living.values() if life.watch and life.watch.meter.server)

    def follow(self, stretch: Stretch) -> None:
        """The class's plan, as the master tells it."""
        if self.feed is not None:
            self.feed.follow(stretch)

    def start(self) -> None:
        self.wanted += 1
        # Rooms are dealt here and not by the task: tasks begin in any order.
        life = self._living[self._next] = _Life(self._deal.next())
        self._ground.nursery.start_soon(self._live, self._next, life)
        self._next += 1

    def stop(self) -> None:
        """The newest one that still lives; nobody, when one has left by itself already."""
        self.wanted -= 1
        staying = [life for life in self._living.values() if not life.is_told]
        if len(staying) > self.wanted:
            staying[-1].end()

    def stop_all(self) -> None:
        """All at once; whoever is in a task may end it."""
        self.wanted = 0
        if self.feed is not None:
            self.feed.end()
        for life in self._living.values():
            life.end()

    def cancel_all(self) -> None:
        """Tasks that still run end now."""
        for life in self._living.values():
            life.scope.cancel()

    async def wait_quiet(self) -> None:
        """Until no task runs; connections may still be saying goodbye."""
        await self._wait(lambda: all(life.is_over for life in self._living.values()))

    async def wait_left(self) -> None:
        """Until nobody lives."""
        await self._wait(lambda: not self._living)

    async def _wait(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed = trio.Event()
            await self._changed.wait()

    async def _live(self, number: int, life: "_Life") -> None:
        try:
            await self._run_user(number, life)
        except Exception as error:  # noqa: BLE001  # of the class's own __init__, or of connecting: told, and this user is over
            message = f"{type(error).__name__}: {error}"
            self._ground.tally.raised(message, "".join(traceback.format_exception(error)))
        finally:
            del self._living[number]
            self._changed.set()

    async def _run_user(self, number: int, life: "_Life") -> None:
        ground, environment = self._ground, self._ground.environment
        # Nobody else of the run has this name.
        name = f"{self._kind.__name__}-{number}@{environment.worker_index}"
        # The client's delays depend on the network: they must not shift what the user chooses.
        rng = ground.random_of(f"{name}/client")
        footing = UserFooting(number, life.rooms, ground.random_of(name), ground, self.feed)
        user = self._kind(environment, footing)
        welcomed = trio.Event()

        def heard(message: object) -> None:
            if isinstance(message, Welcome):
                welcomed.set()

        watch = ground.watch(name, heard)
        life.watch = watch
        dial = watch.counted(ground.dialer.dial(watch.meter.turn_came))
        connected = connect(
            ground.dialer.urls, name=name, rng=rng, rooms=footing.rooms, history=0, dial_url=dial, client=CLIENT_NAME,
            observer=watch,
        )  # fmt: skip
        try:
            async with connected as footing.client, trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, user, footing.client, life)
                with life.scope:
                    await welcomed.wait()
                    life.user = user
                    if not life.is_told:
                        await user.run()
                life.is_over = True
                self._changed.set()
                watch.leave()
                nursery.cancel_scope.cancel()
        finally:
            watch.close()

    async def _listen(self, user: User, client: Client, life: "_Life") -> None:
        """Take what comes, whether or not the class wants it: unread it would fill the memory.

        A client that the server has told not to come back is over, and its user with it.
        """
        hears = type(user).on_message is not User.on_message
        async for update in client.events():
            if hears and user.has_started and isinstance(update, Event):
                try:
                    await user.on_message(update)
                except Control:
                    life.end()
                except Exception as error:  # noqa: BLE001  # as in a task
                    user.failed(error)
        life.scope.cancel()


class _Life:
    """One user's task, from outside."""

    def __init__(self, rooms: tuple[str, ...]) -> None:
        self.rooms = rooms
        self.scope = trio.CancelScope()
        self.user: User | None = None
        """None until it is connected."""
        self.watch: Watch | None = None
        self.is_told = False
        self.is_over = False
        """Its tasks have ended: what is left is a goodbye."""

    def end(self) -> None:
        self.is_told = True
        if self.user is None:
            self.scope.cancel()
        else:
            self.user.stop()
