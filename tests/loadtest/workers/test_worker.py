"""A worker alone with a master that a test plays."""

import contextlib
from random import Random

import pytest
import trio

from loadtest.figures.messages import (
    MESSAGES_VERSION,
    Beat,
    Ended,
    Failed,
    Finish,
    Goal,
    Hello,
    Hit,
    Hush,
    Hushed,
    Prepare,
    Probe,
    Probed,
    Quit,
    Ready,
    Start,
    Welcome,
)
from loadtest.master.admission import Terms, ToWorker, admit
from loadtest.master.channel import to_worker
from loadtest.workers import worker
from loadtest.workers.worker import MasterLost, WorkRefused, run_worker
from runtime.sockets import SocketNetwork
from runtime.transport import Listener
from tests.support.loadtest_run import DEADLINE_S, NumberWork, clock_us

PREPARE = Prepare("run", 1, ["ws://h"], [], [], [], 100.0, {})
OWN = Hello(MESSAGES_VERSION, "0.1", "w-1", "host", "boot", 1, 2, "digest", 1000, b"", b"")


class Stage:
    """One worker, and the master's end of its channel."""

    def __init__(self, nursery: trio.Nursery, listener: Listener) -> None:
        self.nursery = nursery
        self.listener = listener
        self.works: list[NumberWork] = []
        self.refuses: WorkRefused | None = None
        self.end: Exception | None = None
        self.over = trio.Event()
        nursery.start_soon(self._run)

    async def _run(self) -> None:
        try:
            await run_worker(
                SocketNetwork(), "127.0.0.1", self.listener.port, OWN, b"s", self._make, clock_us=clock_us, rng=Random(3)
            )
        except (MasterLost, WorkRefused) as error:
            self.end = error
        self.over.set()

    async def _make(self, prepare: Prepare, _welcome: Welcome) -> NumberWork:
        await trio.lowlevel.checkpoint()
        if self.refuses is not None:
            raise self.refuses
        self.works.append(NumberWork(prepare))
        return self.works[-1]

    async def take_in(self) -> ToWorker:
        while True:
            try:
                transport = self.listener.try_accept()
                break
            except BlockingIOError:
                await self.listener.wait_acceptable()
        channel = to_worker(transport)
        self.nursery.start_soon(_write, channel)
        await admit(channel, Terms("0.1", "digest", "boot", b"s"), take_index=lambda _: 0, clock_us=clock_us, rng=Random(4))
        return channel

    async def wait_over(self) -> Exception | None:
        with trio.fail_after(DEADLINE_S):
            await self.over.wait()
        return self.end


async def _write(channel: ToWorker) -> None:
    with contextlib.suppress(OSError, trio.ClosedResourceError):
        await channel.write()


@pytest.fixture
async def stage(nursery: trio.Nursery) -> Stage:
    return Stage(nursery, await SocketNetwork().listen("127.0.0.1", 0))


async def test_a_worker_follows_a_run_from_its_orders_to_its_end(stage: Stage) -> None:
    master = await stage.take_in()
    master.send_nowait(PREPARE)
    assert await master.receive() == Ready()
    master.send_nowait(Probe(9))
    answer = await master.receive()
    assert isinstance(answer, Probed)
    assert answer.n == 9
    start_us = clock_us()
    master.send_nowait(Start(start_us))
    master.send_nowait(Goal({"Citizen": 3}, 1.0, {}))
    master.send_nowait(Hit("slow", 1, 1.0))
    beats = [await master.receive(), await master.receive()]
    assert [beat.users for beat in beats if isinstance(beat, Beat)] == [{"Citizen": 3}] * 2
    assert stage.works[0].began_us == start_us
    assert stage.works[0].hits == [Hit("slow", 1, 1.0)]
    master.send_nowait(Hush(1.0))
    said = []
    while not said or said[-1] != Hushed():
        said.append(await master.receive())
    assert isinstance(said[-2], Beat)
    master.send_nowait(Finish({}, 1.0))
    while said[-1] != Ended():
        said.append(await master.receive())
    assert isinstance(said[-2], Beat)
    master.send_nowait(Quit())
    assert await stage.wait_over() is None


async def test_beats_fall_on_whole_seconds_of_the_run(stage: Stage) -> None:
    master = await stage.take_in()
    master.send_nowait(PREPARE)
    await master.receive()
    start_us = clock_us() - 10_400_000
    master.send_nowait(Start(start_us))
    beat = await master.receive()
    assert isinstance(beat, Beat)
    # Not before the second is over; how late a busy machine makes it is not the worker's.
    assert (beat.at_us - start_us) / 1e6 >= 11.0
    assert beat.number == 1


async def test_a_lost_master_ends_the_worker_and_its_users(stage: Stage) -> None:
    master = await stage.take_in()
    master.send_nowait(PREPARE)
    await master.receive()
    master.close()
    assert "is gone" in str(await stage.wait_over())


async def test_a_master_that_says_nothing_is_gone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MASTER_SILENT_S", 0.05)
    await stage.take_in()
    assert "has said nothing" in str(await stage.wait_over())


async def test_orders_that_cannot_be_carried_out_are_told_to_both(stage: Stage) -> None:
    stage.refuses = WorkRefused("10.0.0.9 is no address of this machine", 2)
    master = await stage.take_in()
    master.send_nowait(PREPARE)
    assert await master.receive() == Failed("10.0.0.9 is no address of this machine", 2)
    master.send_nowait(Quit())
    assert await stage.wait_over() is stage.refuses


async def test_a_master_that_begins_in_the_middle_is_left(stage: Stage) -> None:
    master = await stage.take_in()
    master.send_nowait(Goal({}, 1.0, {}))
    assert "before it said what for" in str(await stage.wait_over())


async def test_a_master_that_does_not_come_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    port = listener.port
    listener.close()
    monkeypatch.setattr(worker, "MASTER_WAIT_S", 0.3)

    async def no_work(_prepare: Prepare, _welcome: Welcome) -> NumberWork:
        raise AssertionError

    with pytest.raises(MasterLost, match="there is no master at"):
        await run_worker(SocketNetwork(), "127.0.0.1", port, OWN, b"s", no_work, clock_us=clock_us, rng=Random(3))
