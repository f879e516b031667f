"""A user's footing in a run, without a run: what it publishes and what went wrong is written down."""

from collections.abc import Iterable
from random import Random
from typing import Any

import trio

from client.updates import PublishOutcome
from loadtest.people.environment import Environment
from loadtest.people.hooks import Events
from loadtest.people.tasks import Chosen
from loadtest.people.users import User
from wire.client_messages import Ack


class FakeFooting:
    """One user alone."""

    client: Any = None

    def __init__(self, chosen: Chosen | None = None, slots: Iterable[int] = ()) -> None:
        self.number = 0
        self.rooms = ("square/main",)
        self.random = Random(7)
        self.chosen = chosen or Chosen()
        self.said: list[str] = []
        self.slots = list(slots)

    async def publish(self, room: str, text: str, intended_us: int | None) -> PublishOutcome:
        await trio.lowlevel.checkpoint()
        self.said.append(text)
        return Ack(1, room, "id", "epoch", len(self.said), 0)

    async def wait_slot(self) -> int:
        if not self.slots:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return self.slots.pop(0)


class Alone:
    """Runs users of one class, and keeps their errors."""

    def __init__(self, kind: type[User], **footing: Any) -> None:
        self.environment = Environment(Events(), ["ws://127.0.0.1:1"])
        self.errors: list[Exception] = []
        self.environment.events.user_error.add_listener(lambda exception, **_: self.errors.append(exception))
        self.footing = FakeFooting(**footing)
        self.user: Any = kind(self.environment, self.footing)

    async def run(self) -> None:
        await self.user.run()
