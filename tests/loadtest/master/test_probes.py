"""CPU and memory of the server, from outside."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import trio

from loadtest.figures.record import ServerProbe
from loadtest.master import probes
from loadtest.master.probes import ListedProcesses, LocalProcesses, Probes, Scrape, listeners, parse_figures
from runtime.process_list import ListedAs, ListedProcess, listed
from runtime.sockets import SocketNetwork

OURS = """\
# TYPE parvis_cpu_seconds_total counter
parvis_cpu_seconds_total{worker="1"} 2.5
parvis_cpu_seconds_total{worker="2"} 0.5
# TYPE parvis_resident_memory_bytes gauge
parvis_resident_memory_bytes{worker="1"} 1000
parvis_resident_memory_bytes{worker="2"} 2000
"""
THEIRS = """\
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 7
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 9000
# TYPE else gauge
else{worker="1"} 3
"""


def test_processes_behind_one_port_are_told_apart() -> None:
    assert parse_figures(OURS, "x") == {"1": (2.5, 1000), "2": (0.5, 2000)}


def test_what_other_libraries_call_it_is_understood() -> None:
    assert parse_figures(THEIRS, "x") == {"x": (7.0, 9000)}


def test_figures_that_are_no_amount_are_passed_over() -> None:
    text = OURS + 'parvis_resident_memory_bytes{worker="3"} +Inf\nparvis_resident_memory_bytes{worker="4"} NaN\n'
    assert parse_figures(text, "x") == parse_figures(OURS, "x")


@asynccontextmanager
async def _serving(answer: bytes) -> AsyncIterator[str]:
    """Somebody who gives every connection this answer."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(answer)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}/metrics"
        nursery.cancel_scope.cancel()


async def test_a_scrape_reads_the_figures_of_an_admin_port() -> None:
    async with _serving(b"HTTP/1.1 200 OK\r\n\r\n" + OURS.encode()) as url:
        assert await Scrape(url, SocketNetwork()).look() == {"1": (2.5, 1000), "2": (0.5, 2000)}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "it answered HTTP/1.1 404"),
        (b"", "it answered nothing"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "."),
        (b"HTTP/1.1 200 OK\r\n\r\n", "neither CPU nor memory"),
    ],
)
async def test_who_answers_something_else_is_no_source(answer: bytes, why: str) -> None:
    async with _serving(answer) as url:
        with pytest.raises(ValueError, match=why):
            await Scrape(url, SocketNetwork()).look()


@pytest.mark.parametrize("url", ["https://h/metrics", "http://", "http://h:nine/"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="write it as http://HOST:9001/metrics"):
        Scrape(url, SocketNetwork())


class Told:
    """A source that says what a test wants."""

    def __init__(self, name: str, look: Callable[[], Awaitable[dict[str, tuple[float, int]]]]) -> None:
        self.name = name
        self.look = look


async def test_a_share_is_what_was_used_since_the_look_before(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    used = iter([10.0, 10.5, 11.5, 0.25])

    async def look() -> dict[str, tuple[float, int]]:
        await trio.lowlevel.checkpoint()
        return {"gateway-1": (next(used), 77)}

    told: list[list[ServerProbe]] = []
    nursery.start_soon(Probes([Told("x", look)], told.append, lambda _: None).run)
    await trio.sleep(3.5)
    nursery.cancel_scope.cancel()
    # The last look finds a process that was started again: it has used less than before.
    assert [each.cpu_share for [each] in told] == [0.0, 0.5, 1.0, 0.0]
    assert told[0] == [ServerProbe("gateway-1", 0.0, 77)]


async def test_what_cannot_be_seen_is_said_once_and_the_others_are_seen(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    async def fail() -> dict[str, tuple[float, int]]:
        raise OSError("nobody is there")

    async def sleep() -> dict[str, tuple[float, int]]:
        await trio.sleep_forever()
        raise AssertionError

    async def work() -> dict[str, tuple[float, int]]:
        return {"shard-1": (1.0, 5)}

    told: list[list[ServerProbe]] = []
    warned: list[str] = []
    sources = [Told("a", fail), Told("b", sleep), Told("c", work)]
    nursery.start_soon(Probes(sources, told.append, warned.append).run)
    await trio.sleep(4.5)
    nursery.cancel_scope.cancel()
    assert sorted(warned) == [
        "the server's CPU and memory cannot be seen at a: nobody is there",
        "the server's CPU and memory cannot be seen at b: no answer in time",
    ]
    assert all([each.name for each in moment] == ["shard-1"] for moment in told)


async def test_the_process_that_listens_on_a_port_of_this_machine_is_found() -> None:
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    assert [process.pid for process in listeners(frozenset([listener.port]))] == [os.getpid()]
    found = await LocalProcesses([listener.port]).look()
    listener.close()
    ours = [figures for name, figures in found.items() if name.endswith(f"({os.getpid()})")]
    assert len(ours) == 1
    assert ours[0][0] > 0
    assert ours[0][1] > 1_000_000


async def test_processes_that_a_data_directory_lists_are_called_by_their_names(tmp_path: Path) -> None:
    source = ListedProcesses(tmp_path)
    with pytest.raises(ValueError, match="no parvis up runs with the data directory"):
        await source.look()
    with listed(tmp_path) as processes:
        ListedAs(processes, "gateway", "gateway-1").began(os.getpid(), "py")
        ended = ListedProcess("shard", "shard-1", os.getpid(), 1, "py")
        processes.put(ended)
        [(name, (cpu_s, rss_bytes))] = (await source.look()).items()
    assert name == "gateway-1"
    assert cpu_s > 0
    assert rss_bytes > 1 << 20


async def test_nobody_on_the_port_is_no_source() -> None:
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    listener.close()
    with pytest.raises(ValueError, match="name its metrics with --observe"):
        await LocalProcesses([listener.port]).look()


def test_a_process_is_called_what_people_call_it() -> None:
    words = [sys.executable, "-c", "print(flush=True); input()", "gateway", "gateway.id=gateway-7"]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        # The kernel shows no words of a program in its very first moment.
        assert child.stdout.readline() == b"\n"
        assert probes._name(psutil.Process(child.pid))[0] == f"gateway-7 ({child.pid})"
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()
        child.stdout.close()
    assert probes._name(psutil.Process(os.getpid()))[0].startswith("python")
