"""An observer sees a client's connections as they are: repeats, holes and what does not count as well."""

from contextlib import AbstractAsyncContextManager
from random import Random

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from client.client import Client, connect
from client.effects import ConnectionId
from client.updates import HistoryPage
from tests.support.honest_gateway import HonestGateway
from wire.client_messages import AnyServerMessage, ClientMessage, Event

ROOM = "town/square"


class Diary:
    """Writes everything down, as (connection, what, about what)."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, str, object]] = []

    def dialled(self, connection: ConnectionId, url: str) -> None:
        self.entries.append((connection, "dialled", url))

    def opened(self, connection: ConnectionId) -> None:
        self.entries.append((connection, "opened", ""))

    def sent(self, connection: ConnectionId, message: ClientMessage) -> None:
        self.entries.append((connection, "sent", message.__struct_config__.tag))

    def received(self, connection: ConnectionId, message: AnyServerMessage | HistoryPage) -> None:
        what = message.offset if isinstance(message, Event) else type(message).__name__.lower()
        self.entries.append((connection, "received", what))

    def broken(self, connection: ConnectionId, reason: str) -> None:
        self.entries.append((connection, "broken", reason))

    def failed(self, connection: ConnectionId, reason: str) -> None:
        self.entries.append((connection, "failed", reason))

    def closed(self, connection: ConnectionId, code: int, reason: str) -> None:
        self.entries.append((connection, "closed", code))

    def of(self, connection: int) -> list[tuple[str, object]]:
        return [entry[1:] for entry in self.entries if entry[0] == connection]


def _connect(gateway: HonestGateway, diary: Diary) -> AbstractAsyncContextManager[Client]:
    return connect(["ws://a"], rng=Random(1), rooms=[ROOM], dial_url=gateway.dial, observer=diary)


async def test_a_connection_is_told_from_its_dial_to_its_end(autojump_clock: MockClock) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        gateway = HonestGateway(nursery)
        async with _connect(gateway, diary) as client:
            await client.publish(ROOM, "hello")
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert diary.of(1) == [
        ("dialled", "ws://a"),
        ("opened", ""),
        ("sent", "hello"),
        ("received", "welcome"),
        ("sent", "publish"),
        ("received", "ack"),
        ("received", 1),
        ("closed", 1000),
    ]


async def test_what_the_client_leaves_out_is_seen(autojump_clock: MockClock) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        gateway = HonestGateway(nursery)
        gateway.lose = {2}
        async with _connect(gateway, diary):
            await wait_all_tasks_blocked()
            first = gateway.say(ROOM, "one")
            gateway.fan_out(first)
            gateway.say(ROOM, "two")
            gateway.say(ROOM, "three")
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    # The first one twice, then the third, which makes the client ask for what lies between.
    assert [what for how, what in diary.of(1) if how in {"sent", "received"}] == [
        "hello", "welcome", 1, 1, 3, "leave", "join", "left", "joined", 2, 3,
    ]  # fmt: skip


async def test_what_is_no_message_is_seen(autojump_clock: MockClock) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        gateway = HonestGateway(nursery)
        async with _connect(gateway, diary):
            await wait_all_tasks_blocked()
            gateway.peers[0].send_raw(b"\xc1")
            await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [how for how, _ in diary.of(1)][-2:] == ["broken", "closed"]


async def test_a_dial_that_fails_is_its_connections_last_word(autojump_clock: MockClock) -> None:
    diary = Diary()
    async with trio.open_nursery() as nursery:
        gateway = HonestGateway(nursery)
        gateway.refuse_dials = True
        async with _connect(gateway, diary):
            await wait_all_tasks_blocked()
            assert diary.of(1) == [("dialled", "ws://a"), ("failed", "nobody listens")]
        nursery.cancel_scope.cancel()
