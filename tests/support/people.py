"""People in a cluster: clients that write down what they saw, and speak until told otherwise."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import trio

from broker.journal.protocol import Journal
from client.client import Client, connect
from client.connection import Dial, dial
from client.updates import Update
from tests.support.history import Kept, Witness
from wire.client_codec import Form
from wire.client_messages import Ack, Event, Refused, Unknown
from wire.names import Epoch, RoomName

ROOM = "town/square"


class Person:
    """One client in one room, its witness, and everything it was told."""

    def __init__(self, name: str, room: str, client: Client) -> None:
        self.name = name
        self.room = room
        self.client = client
        self.witness = Witness(name, room)
        self.updates: list[Update] = []
        self._changed = trio.Event()

    async def listen(self) -> None:
        async for update in self.client.events():
            self.updates.append(update)
            self.witness.saw(update)
            self._changed.set()
            self._changed = trio.Event()

    async def say(self, text: str, message_id: str) -> Ack | Refused | Unknown:
        """Publish, and again with the same id while the outcome is unknown or the refusal temporary."""
        outcome: Ack | Refused | Unknown
        said_after = len(self.witness.entries)
        while True:
            outcome = await self.client.publish(self.room, text, message_id)
            retry_ms = 0 if isinstance(outcome, Ack) else outcome.retry_after_ms
            if isinstance(outcome, Ack) or (isinstance(outcome, Refused) and not outcome.temporary):
                self.witness.published(message_id, outcome, said_after)
                return outcome
            await trio.sleep(max(retry_ms, 50) / 1000)

    async def take_back(self, said: Ack, removal_id: str) -> None:
        """Remove one's own message; a no, as when it is not there any more, is taken as it is."""
        while True:
            outcome = await self.client.delete(self.room, said.offset, removal_id)
            if isinstance(outcome, Ack):
                self.witness.removals.append((said, outcome))
                return
            if isinstance(outcome, Refused) and not outcome.temporary:
                return
            await trio.sleep(max(outcome.retry_after_ms, 50) / 1000)

    @property
    def texts(self) -> list[str]:
        return [update.text for update in self.updates if isinstance(update, Event)]

    async def wait_for_text(self, text: str, timeout_s: float = 20.0) -> None:
        await self.wait_for(lambda: text in self.texts, timeout_s)

    async def wait_for_kind(self, kind: type, timeout_s: float = 20.0) -> None:
        await self.wait_for(lambda: any(isinstance(update, kind) for update in self.updates), timeout_s)

    async def wait_for(self, is_there: object, timeout_s: float = 20.0) -> None:
        """Until `is_there()`; looks again after every update."""
        assert callable(is_there)
        with trio.fail_after(timeout_s):
            while not is_there():
                await self._changed.wait()


@asynccontextmanager
async def person(
    name: str, urls: Sequence[str], *, seed: int = 0, room: str = ROOM, form: Form = Form.MSGPACK, dial_url: Dial = dial,
    guest_token: str | None = None, history: int = 300,
) -> AsyncIterator[Person]:  # fmt: skip
    """Somebody who has entered a room and listens."""
    rng = Random(f"{name}-{seed}")
    async with (
        connect(
            urls, name=name, rng=rng, rooms=[room], form=form, dial_url=dial_url, guest_token=guest_token, history=history
        ) as it,  # fmt: skip
        trio.open_nursery() as nursery,
    ):
        somebody = Person(name, room, it)
        nursery.start_soon(somebody.listen)
        yield somebody
        nursery.cancel_scope.cancel()


def log_of(journal: Journal, room: str, epochs: Sequence[str]) -> list[Kept]:
    """The room's log as the journal has it."""
    kept: list[Kept] = []
    for epoch in epochs:
        after = 0
        while entries := journal.read(RoomName(room), Epoch(epoch), after, 500):
            kept += [Kept(epoch, entry.offset, entry.id) for entry in entries]
            after = entries[-1].offset
    return kept


def epochs_of(people: Sequence[Person]) -> list[str]:
    """Every epoch anybody saw, in order of first sight, or had something acknowledged in."""
    witnesses = [somebody.witness for somebody in people]
    seen = [entry.epoch for witness in witnesses for entry in witness.entries]
    return list(dict.fromkeys([*seen, *(ack.epoch for witness in witnesses for ack in witness.acked.values())]))
