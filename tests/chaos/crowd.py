"""Some of the people of a chaos run, as a process of its own: they talk, follow the rules, and write down what they saw.

    python -m tests.chaos.crowd '{"number": 1, "urls": [...], ...}'       (an Order; the driver starts it)

They are the real Python client: it reconnects, resumes and moves by the rules of
docs/protocol.md.  A message whose outcome is unknown, or whose refusal is temporary, is
sent again with its id until it is in the log.  Orders come as lines on standard input:
``stop`` ends the talking, ``heads {...}`` names where each room's log ends.  Every quarter of
a second a line of `Progress` goes out.
"""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random

import msgspec
import trio
from msgspec import Struct

from client.client import Client, connect
from client.updates import Connected, PublishOutcome, Reconnecting, Stopped
from tests.chaos import chronicle as lines
from tests.chaos.chronicle import Chronicle, now
from tests.support.history import Place, Seen, Witness
from wire.client_messages import Ack, Refused, Stale

PROGRESS_S = 0.25
# A first retry comes soon, as a person's click does; a server's own advice goes before it.
AGAIN_AFTER_S = 0.05
CATCH_UP_DEADLINE_S = 30.0
# Messages that their authors take back at once: what was removed must stay so, whoever dies.
TAKEN_BACK_SHARE = 0.03


class Order(Struct, frozen=True):
    """What one crowd is to do."""

    number: int
    urls: list[str]
    rooms: list[str]
    people_per_room: int
    publishes_per_s: float
    seed: int
    file: str


class Progress(Struct, frozen=True):
    """How a crowd is doing."""

    connected: int
    open: int
    """Messages that were said and are not in the log yet."""
    oldest_s: float
    """How long the oldest of them has waited."""
    acked: int
    is_talking: bool
    servers: dict[str, int]
    """How many are connected to each gateway."""


class Report(Struct, frozen=True):
    """A crowd's last word: who did not reach the end of the log."""

    behind: list[str]


class Somebody:
    """One client in one room."""

    def __init__(self, name: str, room: str, client: Client, file: Chronicle) -> None:
        self.name = name
        self.room = room
        self.client = client
        self.server = ""
        """The gateway it is connected to."""
        self.heard_up_to: tuple[str, int] = ("", 0)
        self._witness = Witness(name, room)
        self._file = file

    async def listen(self) -> None:
        file, witness, entries = self._file, self._witness, self._witness.entries
        async for update in self.client.events():
            witness.saw(update)
            for entry in entries:
                self._write(entry, type(update).__name__.lower())
            entries.clear()
            match update:
                case Stale():
                    file.write(lines.Stale(now(), self.name, update.room, update.stale))
                case Connected():
                    self.server = update.server
                    file.write(lines.Connected(now(), self.name, update.server, update.moved))
                case Reconnecting():
                    self.server = ""
                    file.write(lines.Lost(now(), self.name, update.code, update.reason))
                case Stopped():
                    self.server = ""
                    file.write(lines.Stopped(now(), self.name, update.code, update.reason))

    def _write(self, entry: Seen | Place, why: str) -> None:
        self.heard_up_to = (entry.epoch, entry.offset)
        if isinstance(entry, Seen):
            self._file.write(lines.Saw(now(), self.name, self.room, entry.epoch, entry.offset, entry.id))
        else:
            self._file.write(lines.Placed(now(), self.name, self.room, entry.epoch, entry.offset, entry.continues, why))

    async def say(self, message_id: str) -> Ack | None:
        """Publish until it is in the log, or never will be."""
        text = f"I am {self.name}, and this is {message_id}."
        return await self._insist(message_id, lambda: self.client.publish(self.room, text, message_id))

    async def take_back(self, said: Ack, removal_id: str) -> None:
        """Remove one's own message; that is an event like any other."""
        removal = await self._insist(removal_id, lambda: self.client.delete(self.room, said.offset, removal_id))
        if removal is not None:
            self._file.write(
                lines.Removed(now(), self.name, self.room, said.epoch, said.offset, removal.epoch, removal.offset)
            )

    async def _insist(self, message_id: str, ask: Callable[[], Awaitable[PublishOutcome]]) -> Ack | None:
        """Ask again, with the same id, until it is in the log or never will be."""
        file = self._file
        file.write(lines.Said(now(), self.name, self.room, message_id))
        while True:
            outcome = await ask()
            if isinstance(outcome, Ack):
                file.write(
                    lines.Acked(
                        now(), self.name, self.room, message_id, outcome.epoch, outcome.offset, outcome.duplicate
                    )
                )
                return outcome
            is_final = isinstance(outcome, Refused) and not outcome.temporary
            code = outcome.code if isinstance(outcome, Refused) else "unknown"
            file.write(lines.Failed(now(), self.name, self.room, message_id, code, is_final))
            if is_final:
                return None
            await trio.sleep(max(outcome.retry_after_ms / 1000, AGAIN_AFTER_S))
            file.write(lines.Again(now(), self.name, self.room, message_id))


class Crowd:
    """All of one process; `run` returns when the driver has said how it ends."""

    def __init__(self, order: Order, file: Chronicle) -> None:
        self._order = order
        self._file = file
        self._rng = Random(f"crowd {order.number} of {order.seed}")
        self._people: list[Somebody] = []
        self._open: dict[str, float] = {}
        self._acked = 0
        self._is_talking = True

    async def run(self) -> None:
        order = self._order
        async with trio.open_nursery() as people_nursery:
            for place in range(order.people_per_room):
                for index, room in enumerate(order.rooms):
                    name = f"p{order.number}-{index}-{place}"
                    await people_nursery.start(self._live, name, room)
            async with trio.open_nursery() as talk_nursery:
                for index in range(len(order.rooms)):
                    talk_nursery.start_soon(self._talk, index, talk_nursery)
                talk_nursery.start_soon(self._report_progress)
                await self._obey(talk_nursery)
            people_nursery.cancel_scope.cancel()

    async def _live(self, name: str, room: str, *, task_status: trio.TaskStatus[None]) -> None:
        order = self._order
        rng = Random(f"{name} of {order.seed}")
        async with connect(order.urls, name=name, rng=rng, rooms=[room], history=300, client="chaos") as client:
            somebody = Somebody(name, room, client, self._file)
            self._people.append(somebody)
            task_status.started()
            await somebody.listen()

    async def _talk(self, index: int, talk_nursery: trio.Nursery) -> None:
        """In one room: by the clock, whatever became of the messages before."""
        order, rng = self._order, self._rng
        people = [somebody for somebody in self._people if somebody.room == order.rooms[index]]
        mean_s = len(order.rooms) / order.publishes_per_s
        due = trio.current_time() + rng.uniform(0, mean_s)
        count = 0
        while True:
            await trio.sleep_until(due)
            if not self._is_talking:
                return
            due += rng.uniform(0.5, 1.5) * mean_s
            count += 1
            message_id = f"{order.number}.{index}.{count}"
            talk_nursery.start_soon(self._say, rng.choice(people), message_id, rng.random() < TAKEN_BACK_SHARE)

    async def _say(self, somebody: Somebody, message_id: str, is_taken_back: bool) -> None:
        self._open[message_id] = now()
        said = await somebody.say(message_id)
        if is_taken_back and said is not None:
            await somebody.take_back(said, f"{message_id}.back")
        del self._open[message_id]
        self._acked += 1

    def progress(self) -> Progress:
        oldest_s = now() - min(self._open.values()) if self._open else 0.0
        servers = Counter(one.server for one in self._people if one.server)
        return Progress(servers.total(), len(self._open), oldest_s, self._acked, self._is_talking, servers)

    async def _report_progress(self) -> None:
        while True:
            _print(self.progress())
            await trio.sleep(PROGRESS_S)

    async def _obey(self, talk_nursery: trio.Nursery) -> None:
        buffered = b""
        async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stream:
            async for data in stream:
                *whole, buffered = (buffered + data).split(b"\n")
                for line in whole:
                    if line == b"stop":
                        self._is_talking = False
                    elif line.startswith(b"heads "):
                        heads = msgspec.json.decode(line.removeprefix(b"heads "), type=dict[str, tuple[str, int]])
                        behind = await self._catch_up(heads)
                        talk_nursery.cancel_scope.cancel()
                        _print(Report(behind))
                        return
        talk_nursery.cancel_scope.cancel()

    async def _catch_up(self, heads: dict[str, tuple[str, int]]) -> list[str]:
        """Wait until everybody has heard everything; who has not?"""

        def who_is_behind() -> Sequence[Somebody]:
            return [one for one in self._people if one.room in heads and one.heard_up_to != heads[one.room]]

        with trio.move_on_after(CATCH_UP_DEADLINE_S):
            while who_is_behind():
                await trio.sleep(PROGRESS_S)
        return [
            f"{one.name} in {one.room} is at {one.heard_up_to}, connected to {one.server or 'nobody'};"
            f" the log ends at {heads[one.room]}"
            for one in who_is_behind()
        ]


def _print(message: Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    with Chronicle(Path(order.file)) as file:
        trio.run(Crowd(order, file).run)


if __name__ == "__main__":
    main()
