"""Faults planted in a proxy between a real gateway and its readers: each is found and named, and an honest proxy is clean.

The gateway is `parvis up` as a program; somebody publishes straight to it.  An auditor reads through the proxy and
another one beside it straight from the gateway; or three lean readers do, through the proxy, of which one meets the fault.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio

from client.client import connect
from client.connection import dial
from loadtest.audits.auditor import Auditor
from loadtest.audits.ledger import Ledger
from loadtest.audits.places import Places
from loadtest.audits.sightings import Sightings
from loadtest.audits.stamp import message_id, stamp_text
from loadtest.connections.dialing import Dialer, find_targets
from loadtest.figures.tally import Tally
from loadtest.readers.pool import ReaderPool
from tests.support.faulty_edge import FaultyEdge, SwapOnce, Tamper, alter, double, drop, honest, misplace
from tests.support.tree import ROOT
from wire.client_messages import Ack

MESSAGES = 12
PLANTED = 5
LEAN_READERS = 3
SETTLE_S = 20.0


@pytest.fixture(scope="module")
def gateway_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """`parvis up` for all tests of this file: each talks in rooms of its own."""
    directory = tmp_path_factory.mktemp("faults")
    log = directory / "up.log"
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "parvis", "up", "--data-dir", str(directory / "data"), "--port", "0"],
            stdout=subprocess.PIPE, stderr=err, cwd=ROOT, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        banner = ""
        while "Ctrl-C" not in banner:
            line = process.stdout.readline()
            assert line, f"parvis up ended before it was up: {log.read_text()}"
            banner += line
        address = re.search(r"ws://127\.0\.0\.1:(\d+)/", banner)
        assert address is not None
        yield int(address[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()


class Case:
    """Auditors or lean readers, and a publisher, in one room or more."""

    def __init__(self, port: int, rooms: Sequence[str], tamper: Tamper, nursery: trio.Nursery) -> None:
        self.rooms = rooms
        self.edge = FaultyEdge(port, tamper)
        self.tally = Tally()
        self.sightings = Sightings("k7", self.tally)
        self.ledger = Ledger()
        self.acked = Places()
        self.auditors: list[Auditor] = []
        self._straight = f"ws://127.0.0.1:{port}/"
        self._nursery = nursery
        self._sequence = 0

    async def begin(self) -> None:
        await self._nursery.start(self.edge.run)
        for url in (self.edge.url, self._straight):
            name = f"auditor-{len(self.auditors)}"
            auditor = Auditor(name, "k7", self.tally, self.sightings, now_us)
            self.auditors.append(auditor)
            self._nursery.start_soon(auditor.run, [url], self.rooms, Random(name), dial)
        while not all(auditor.meter.server for auditor in self.auditors):
            await trio.sleep(0.01)

    async def begin_lean(self) -> ReaderPool:
        await self._nursery.start(self.edge.run)
        dialer = Dialer(await find_targets([self.edge.url]))
        pool = ReaderPool(dialer, self.tally, run="k7", offset_us=0, rng=Random(1))
        await self._nursery.start(pool.run)
        for _ in range(LEAN_READERS):
            pool.open(self.rooms, "Lurker")
        while pool.connected < LEAN_READERS:
            await trio.sleep(0.01)
        return pool

    async def finish_lean(self, pool: ReaderPool) -> list[tuple[str, str, int, int]]:
        for placed in self.acked.take():
            self.ledger.acked(placed)
        while pool.behind(self.ledger.heads()):
            await trio.sleep(0.01)
        pool.conclude(self.ledger.heads())
        return [(each.kind, each.room, each.offset, each.count) for each in self.tally.take()[2]]

    async def publish(self, count: int = MESSAGES) -> None:
        """To every room, in order, each acknowledged."""
        async with connect([self._straight], rng=Random(1), rooms=self.rooms) as client:
            for _ in range(count):
                for room in self.rooms:
                    self._sequence += 1
                    message = message_id("k7", 0, self._sequence)
                    text = stamp_text("good evening", room, now_us(), 0, self._sequence)
                    outcome = await client.publish(room, text, message)
                    assert isinstance(outcome, Ack), outcome
                    self.acked.add(room, outcome.epoch, outcome.offset, message)

    async def finish(self) -> list[tuple[str, str, int, int, str]]:
        """Close the audits and the ledger; what was found, as (kind, room, offset, count, client)."""
        for placed in self.acked.take():
            self.ledger.acked(placed)
        async with trio.open_nursery() as nursery:
            for auditor in self.auditors:
                nursery.start_soon(auditor.finish, self.ledger.heads(), SETTLE_S)
        for placed in self.sightings.take():
            self.ledger.seen(placed)
        findings = [*self.tally.take()[2], *self.ledger.close()]
        assert self.ledger.unjudged == 0
        return [(each.kind, each.room, each.offset, each.count, each.client) for each in findings]


def now_us() -> int:
    return time.monotonic_ns() // 1000


@asynccontextmanager
async def case_of(port: int, *rooms: str, tamper: Tamper = honest) -> AsyncIterator[Case]:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            case = Case(port, rooms, tamper, nursery)
            yield case
            nursery.cancel_scope.cancel()


async def test_an_honest_proxy_is_found_so(gateway_port: int) -> None:
    async with case_of(gateway_port, "square/honest-1", "square/honest-2") as case:
        await case.begin()
        await case.publish(8)
        await case.edge.cut()
        await case.publish(2)
        assert await case.finish() == []


@pytest.mark.parametrize(
    ("plant", "kind"),
    [(drop, "lost"), (double, "duplicated"), (SwapOnce, "reordered"), (alter, "altered")],
)
async def test_a_planted_fault_is_named(gateway_port: int, plant: Callable[[str, int], Tamper], kind: str) -> None:
    room = f"square/planted-{kind}"
    async with case_of(gateway_port, room, tamper=plant(room, PLANTED)) as case:
        await case.begin()
        await case.publish()
        found = await case.finish()
    # Both auditors are of one process: that one was sent another text than the other is a finding, too.
    assert set(found) == {(kind, room, PLANTED, 1, client) for client in _witnesses(found)}
    assert "auditor-0" in _witnesses(found)
    assert kind == "altered" or len(found) == 1


def _witnesses(found: Sequence[tuple[str, str, int, int, str]]) -> set[str]:
    return {client for *_, client in found}


async def test_an_event_under_another_rooms_name_is_found_in_both(gateway_port: int) -> None:
    room, other = "square/misplaced", "square/elsewhere"
    async with case_of(gateway_port, room, tamper=misplace(room, PLANTED, other)) as case:
        await case.begin()
        await case.publish()
        found = await case.finish()
    assert found == [("wrong_room", other, PLANTED, 1, "auditor-0"), ("lost", room, PLANTED, 1, "auditor-0")]


async def test_an_event_under_the_name_of_a_room_that_was_joined_is_found_by_its_stamp(gateway_port: int) -> None:
    room, other = "square/misplaced-2", "square/elsewhere-2"
    async with case_of(gateway_port, room, other, tamper=misplace(room, PLANTED, other)) as case:
        await case.begin()
        await case.publish(9)
        found = await case.finish()
    assert ("wrong_room", other, PLANTED, 1, "auditor-0") in found
    assert ("lost", room, PLANTED, 1, "auditor-0") in found


async def test_a_hole_in_a_resume_is_a_resume_gap(gateway_port: int) -> None:
    room = "square/planted-resume"
    async with case_of(gateway_port, room, tamper=drop(room, 9)) as case:
        await case.begin()
        await case.publish(6)
        await case.edge.cut()
        await case.publish(6)
        found = await case.finish()
    assert found == [("resume_gap", room, 9, 1, "auditor-0")]


async def test_a_message_that_nobody_is_sent_is_the_heads_to_find(gateway_port: int) -> None:
    room = "square/planted-last"
    async with case_of(gateway_port, room, tamper=lambda _, event: [event] if event.offset < MESSAGES else []) as case:
        await case.begin()
        await case.publish()
        case.auditors[1].leave()
        (placed,) = case.acked.take()
        await case.auditors[0].finish({room: (placed.epoch, MESSAGES)}, 2.0)
        (finding,) = case.tally.take()[2]
    assert (finding.kind, finding.room, finding.offset, finding.client) == ("undelivered", room, MESSAGES, "auditor-0")


async def test_lean_readers_find_an_honest_proxy_so(gateway_port: int) -> None:
    async with case_of(gateway_port, "square/lean-1", "square/lean-2") as case:
        pool = await case.begin_lean()
        await case.publish(6)
        await case.edge.cut()
        while pool.connected < LEAN_READERS:
            await trio.sleep(0.01)
        await case.publish(2)
        assert await case.finish_lean(pool) == []


@pytest.mark.parametrize(
    ("plant", "kind"),
    [(drop, "lost"), (double, "duplicated"), (SwapOnce, "reordered"), (alter, "altered")],
)
async def test_lean_readers_name_a_planted_fault(gateway_port: int, plant: Callable[[str, int], Tamper], kind: str) -> None:
    room = f"square/lean-{kind}"
    async with case_of(gateway_port, room, tamper=plant(room, PLANTED)) as case:
        pool = await case.begin_lean()
        await case.publish()
        found = await case.finish_lean(pool)
    assert set(found) == {(kind, room, PLANTED, 1)}
    assert kind == "altered" or len(found) == 1


async def test_lean_readers_find_an_event_under_another_rooms_name_in_both(gateway_port: int) -> None:
    room, other = "square/lean-misplaced", "square/lean-elsewhere"
    async with case_of(gateway_port, room, tamper=misplace(room, PLANTED, other)) as case:
        pool = await case.begin_lean()
        await case.publish()
        found = await case.finish_lean(pool)
    assert ("wrong_room", other, PLANTED, 1) in found
    assert ("lost", room, PLANTED, 1) in found
