"""A shard on a store that can forget, and a gateway that listens to one of its rooms and believes nothing twice."""

from dataclasses import dataclass, field
from random import Random

import pytest

from broker.journal.protocol import Unavailable
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.forgetful_journal import ForgetfulJournal
from tests.support.shard_driver import ROOM, ShardDriver, message
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Event
from wire.names import Epoch, RoomName
from wire.node_messages import (
    Attached,
    AttachRefused,
    Batch,
    CommandRefused,
    Committed,
    HideFrames,
    NodeFrame,
    NodeMessage,
    Reattach,
)


def event_of(frame: NodeFrame) -> Event:
    event = decode_server_message(frame.frame, Form.MSGPACK)
    assert isinstance(event, Event)
    return event


@dataclass
class Gateway:
    """A feed of one room as a gateway has it: it goes on from its position, whatever it is told."""

    driver: ShardDriver
    link: int
    epoch: str = ""
    offset: int = 0
    chain: bytes = b""
    shown: dict[tuple[str, int], Event] = field(default_factory=dict)
    epochs: list[str] = field(default_factory=list)
    answers: list[Committed | CommandRefused] = field(default_factory=list)
    _generation: int = 0

    def enter(self) -> "Gateway":
        self.driver.open_link(self.link)
        self.attach()
        return self

    def attach(self) -> None:
        self._ask()
        self.listen()

    def _ask(self) -> None:
        self._generation += 1
        self.driver.attach(self.link, self._generation, epoch=self.epoch, offset=self.offset, chain=self.chain)

    def listen(self) -> None:
        while told := self.driver.take(self.link):
            for each in told:
                if getattr(each, "generation", self._generation) == self._generation:
                    self._hear(each)

    def _hear(self, told: NodeMessage) -> None:
        match told:
            case Attached():
                if told.epoch != self.epoch:
                    self.epochs.append(told.epoch)
                    self.epoch, self.offset = told.epoch, told.since
                self._show(told.frames)
                self.chain = told.chain
            case Batch():
                self._show(told.frames)
                self.chain = told.chain
            case HideFrames():
                self.shown.update({(self.epoch, frame.offset): event_of(frame) for frame in told.tombstones})
            case Reattach():
                self._ask()
            case AttachRefused():
                assert told.code == "unavailable"
                self.driver.commit()
                self._ask()
            case Committed() | CommandRefused():
                self.answers.append(told)

    def _show(self, frames: list[NodeFrame]) -> None:
        for frame in frames:
            assert frame.offset == self.offset + 1, "no gap and no repetition that nobody spoke of"
            self.offset = frame.offset
            self.shown[self.epoch, frame.offset] = event_of(frame)

    @property
    def acked(self) -> dict[int, tuple[str, int]]:
        return {a.request: (a.epoch, a.offset) for a in self.answers if isinstance(a, Committed)}


@dataclass
class Town:
    """A shard, a gateway that listens, and a store that can forget."""

    store: ForgetfulJournal
    journal: FaultyJournal
    driver: ShardDriver
    gateway: Gateway

    def say(self, *numbers: int, text: str = "") -> None:
        for number in numbers:
            self.driver.say(self.gateway.link, message(number, text or f"text {number}"))
        self.commit()

    def commit(self) -> None:
        self.driver.commit()
        self.gateway.listen()

    def commit_unknown(self, fault: Fault) -> None:
        group = self.driver.take_group()
        if not group:
            return
        self.journal.fail("commit", fault)
        with pytest.raises(Unavailable):
            self.journal.commit(group)
        self.driver.reclaim(self.driver.lose(group))
        self.commit()

    def fall_back(self, keep: int) -> None:
        """The store forgets all but so many changes."""
        self.store.fail_over(keep)

    def notice(self) -> None:
        """The shard finds that the store is another one."""
        self.driver.shard.verify_heads()
        self.commit()

    def restart(self) -> None:
        """The shard is killed; the gateway finds its successor, and asks for its room when it is told to.

        Each successor draws other epoch names than those before it, as from a real source of random bytes.
        """
        killed_ms = self.driver.now_ms
        self.driver = ShardDriver(self.journal, seed=killed_ms)
        self.driver.now_ms = killed_ms + 1000
        self.gateway.driver = self.driver
        self.driver.open_link(self.gateway.link)

    def log(self, epoch: str = "") -> dict[tuple[str, int], str]:
        """What the store has: (epoch, offset) -> id."""
        epoch = epoch or self.gateway.epoch
        return {(epoch, e.offset): e.id for e in self.store.read(RoomName(ROOM), Epoch(epoch), 0, 100_000)}


def town() -> Town:
    store = ForgetfulJournal("store")
    journal = FaultyJournal(store, Random(1))
    driver = ShardDriver(journal)
    return Town(store, journal, driver, Gateway(driver, 1).enter())
