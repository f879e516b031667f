"""The edge of a master: whatever a peer does ends with its own connection."""

from contextlib import suppress
from random import Random

import pytest
import trio

from loadtest.figures.messages import MESSAGES_VERSION, Hello, Ready, Start, Welcome, WorkerMessage
from loadtest.master import reception
from loadtest.master.admission import Terms, introduce
from loadtest.master.channel import to_master
from loadtest.master.reception import STRANGERS_MAX, Reception
from runtime.sockets import SocketNetwork
from runtime.streams import recv_some, send_all
from runtime.transport import Listener
from wire.codes import CloseCode
from wire.errors import PeerError

DEADLINE_S = 30.0


class Books:
    """A host that writes down what it is told."""

    def __init__(self) -> None:
        self.joined: list[str] = []
        self.said: list[WorkerMessage] = []
        self.left: list[str] = []
        self.refused: list[str] = []
        self.full: str | None = None
        self.angry = False

    def why_full(self) -> str | None:
        return self.full

    def worker_joined(self, index: int, hello: Hello, welcome: Welcome) -> None:
        self.joined.append(hello.name)

    def worker_said(self, index: int, message: WorkerMessage) -> None:
        if self.angry:
            raise PeerError(CloseCode.BAD_REQUEST, "that is no beat")
        self.said.append(message)

    def worker_left(self, index: int, why: str) -> None:
        self.left.append(why)

    def somebody_refused(self, sentence: str) -> None:
        self.refused.append(sentence)


class Door:
    """A reception that listens."""

    def __init__(self, nursery: trio.Nursery, listener: Listener) -> None:
        self.books = Books()
        self.it = Reception(self.books, Terms("0.1", "digest", "boot", b"s"), clock_us=lambda: 5, rng=Random(1))
        self.listener = listener
        self.nursery = nursery
        nursery.start_soon(self.it.run, listener)

    async def worker(self) -> "reception.ToWorker":
        transport = await SocketNetwork().connect("127.0.0.1", self.listener.port)
        channel = to_master(transport)
        self.nursery.start_soon(_write, channel)
        own = Hello(MESSAGES_VERSION, "0.1", "w-1", "host", "boot", 1, 2, "digest", 1000, b"", b"")
        await introduce(channel, own, b"s", clock_us=lambda: 5, rng=Random(2))
        return channel  # type: ignore[return-value]  # its two ends are one class

    async def until(self, list_: list[str]) -> None:
        with trio.fail_after(DEADLINE_S):
            while not list_:
                await trio.sleep(0.005)


async def _write(channel: object) -> None:
    with suppress(OSError, trio.ClosedResourceError):
        await channel.write()  # type: ignore[attr-defined]


@pytest.fixture
async def door(nursery: trio.Nursery) -> Door:
    return Door(nursery, await SocketNetwork().listen("127.0.0.1", 0))


async def test_a_worker_is_heard_written_to_and_its_end_told_once(door: Door) -> None:
    worker = await door.worker()
    worker.send_nowait(Ready())  # type: ignore[arg-type]
    await door.until(door.books.said)  # type: ignore[arg-type]
    assert (door.books.joined, door.books.said) == (["w-1"], [Ready()])
    assert door.it.send(0, Start(5))
    assert await worker.receive() == Start(5)  # type: ignore[comparison-overlap]
    worker.close()
    await door.until(door.books.left)
    assert door.books.left == ["its connection ended"]
    assert not door.it.send(0, Start(5))


async def test_nonsense_ends_one_worker_and_no_other(door: Door) -> None:
    door.books.angry = True
    worker = await door.worker()
    worker.send_nowait(Ready())  # type: ignore[arg-type]
    await door.until(door.books.left)
    assert door.books.left == ["that is no beat"]
    door.books.angry = False
    other = await door.worker()
    other.send_nowait(Ready())  # type: ignore[arg-type]
    await door.until(door.books.said)  # type: ignore[arg-type]


async def test_a_browser_on_the_port_is_told_whose_it_is(door: Door) -> None:
    stranger = await SocketNetwork().connect("127.0.0.1", door.listener.port)
    await send_all(stranger, b"GET / HTTP/1.1\r\n\r\n")
    said = b""
    while b"master" not in said:
        said += await recv_some(stranger)
    assert b"the port of a load test's master" in said
    await door.until(door.books.refused)
    assert "was no worker" in door.books.refused[0]


async def test_a_worker_that_comes_when_nobody_is_taken_in_is_told_why(door: Door) -> None:
    door.books.full = "the run is over"
    with pytest.raises(reception.NotAdmitted, match="the run is over"):
        await door.worker()
    await door.until(door.books.refused)


async def test_no_more_workers_than_a_master_can_have(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "WORKERS_MAX", 1)
    await door.worker()
    with pytest.raises(reception.NotAdmitted, match="has had 1 workers"):
        await door.worker()


async def test_strangers_are_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "STRANGERS_MAX", 2)
    strangers = [await SocketNetwork().connect("127.0.0.1", door.listener.port) for _ in range(3)]
    # The first two are challenged, the third is closed.
    assert await recv_some(strangers[0])
    assert await recv_some(strangers[1])
    assert await recv_some(strangers[2]) == b""
    assert STRANGERS_MAX == 64
    strangers[0].close()
    await door.until(door.books.refused)
    await door.worker()


async def test_last_words_are_waited_for(door: Door) -> None:
    worker = await door.worker()
    door.it.send(0, Start(7))
    with trio.fail_after(DEADLINE_S):
        await door.it.wait_sent()
    assert await worker.receive() == Start(7)  # type: ignore[comparison-overlap]
