import errno
import gc
import itertools
import random
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import structlog
import trio
from structlog.testing import LogCapture
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.accept import ACCEPTS_PER_CHECKPOINT, Admission, accept_forever, accept_waiting
from gateway.handshake import UpgradeRefusal
from gateway.peer import PeerClosed, PeerGone
from gateway.upgrade import UpgradeRefused
from runtime.metrics import GatewayCounters
from runtime.sockets import SocketNetwork
from runtime.transport import Transport
from tests.support.edge_server import descriptors
from tests.support.transport_contract import recv_some
from wire.codes import CloseCode
from wire.errors import PeerError


class ScriptedListener:
    """Answers `try_accept` from a list, then has nobody; counts how often it was asked."""

    host = "127.0.0.1"
    port = 1

    def __init__(self, answers: list[Transport | OSError]) -> None:
        self.answers = answers
        self.asked = 0
        self.is_closed = False
        self._arrival = trio.Event()

    def offer(self, *transports: Transport) -> None:
        """More callers arrive."""
        self.answers += transports
        self._arrival.set()

    def try_accept(self) -> Transport:
        self.asked += 1
        if not self.answers:
            raise BlockingIOError
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def wait_acceptable(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_closed:
            raise trio.ClosedResourceError
        while not self.answers:
            self._arrival = trio.Event()
            await self._arrival.wait()

    def close(self) -> None:
        self.is_closed = True


class Loop:
    """An accept loop over a scripted listener, in the test's nursery."""

    def __init__(self, answers: list[Transport | OSError], *, pending_max: int = 100) -> None:
        self.listener = ScriptedListener(answers)
        self.admission = Admission(100, 100, pending_max)
        self.counters = GatewayCounters()
        self.log = LogCapture()
        self.handled: list[Transport] = []

    async def handle(self, transport: Transport) -> None:
        self.handled.append(transport)
        self.admission.handshake_over()

    async def run(self, nursery: trio.Nursery, handle: Callable[[Transport], Awaitable[None]] | None = None) -> None:
        await accept_forever(
            self.listener,
            handle or self.handle,
            nursery,
            admission=self.admission,
            log=structlog.wrap_logger(None, processors=[self.log]),
            counters=self.counters,
            rng=random.Random(7),
        )

    async def run_until_idle(self, handle: Callable[[Transport], Awaitable[None]] | None = None) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(self.run, nursery, handle))
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()


def pairs(count: int) -> tuple[list[Transport], list[Transport]]:
    made = [SocketNetwork().pair() for _ in range(count)]
    return [near for near, _ in made], [far for _, far in made]


def close_all(transports: list[Transport]) -> None:
    for transport in transports:
        transport.close()


async def test_all_that_wait_are_accepted_and_others_get_their_turn_between() -> None:
    near, far = pairs(6 * ACCEPTS_PER_CHECKPOINT)
    loop = Loop(list(near))
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(loop.listener.asked)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(loop.run, nursery))
        nursery.start_soon(other)
        while len(loop.handled) < len(near):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    # Two, since trio shuffles who goes first in a round.
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 2 * ACCEPTS_PER_CHECKPOINT
    assert loop.counters.accepted == len(near)
    assert loop.admission.connections_open == 0
    close_all(far)


async def test_a_connection_is_closed_when_its_handler_is_done() -> None:
    near, far = pairs(1)
    await Loop(list(near)).run_until_idle()
    assert await recv_some(far[0]) == b""
    close_all(far)


_BUGS = [RuntimeError(), AssertionError(), KeyError("bug"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bug"), MemoryError()]


@pytest.mark.parametrize("bug", _BUGS, ids=lambda bug: type(bug).__name__)
@pytest.mark.parametrize("grouped", [False, True])
async def test_whatever_a_handler_raises_ends_its_connection_alone(bug: Exception, grouped: bool) -> None:
    """In trio an exception that leaves a task is a lost process: trio-websocket's server died of one."""
    near, far = pairs(3)
    loop = Loop([near[0]])
    error: Exception = ExceptionGroup("several", [bug, PeerGone("and this")]) if grouped else bug

    async def handle(transport: Transport) -> None:
        loop.admission.handshake_over()
        if transport is near[1]:
            raise error
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(loop.run, nursery, handle))
        await wait_all_tasks_blocked()
        loop.listener.offer(*near[1:])
        await wait_all_tasks_blocked()
        assert loop.counters.connection_errors == 1
        assert loop.admission.connections_open == 2
        assert await recv_some(far[1]) == b""
        with pytest.raises(BlockingIOError):
            far[2].try_recv(1)
        nursery.cancel_scope.cancel()
    (line,) = loop.log.entries
    assert line["event"] == "connection_failed"
    assert isinstance(line["exc_info"], ExceptionGroup)
    assert line["log_level"] == "error"
    close_all(far)


async def test_many_bugs_are_all_counted_and_one_line_tells_of_them(autojump_clock: MockClock) -> None:
    near, far = pairs(5)
    loop = Loop(list(near[:4]))

    async def handle(_transport: Transport) -> None:
        loop.admission.handshake_over()
        raise RuntimeError("bug")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(loop.run, nursery, handle))
        await trio.sleep(11.0)
        loop.listener.offer(near[4])
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert loop.counters.connection_errors == 5
    assert [line.get("held_back", 0) for line in loop.log.entries] == [0, 3]
    close_all(far)


_ORDINARY = [PeerGone(""), PeerClosed(1000), PeerError(CloseCode.PROTOCOL, ""), UpgradeRefused(UpgradeRefusal.KEY)]


@pytest.mark.parametrize("end", _ORDINARY, ids=lambda end: type(end).__name__)
async def test_how_connections_usually_end_is_no_error(end: Exception) -> None:
    near, far = pairs(1)
    loop = Loop(list(near))

    async def handle(_transport: Transport) -> None:
        loop.admission.handshake_over()
        raise end

    await loop.run_until_idle(handle)
    assert loop.counters.connection_errors == 0
    assert loop.log.entries == []
    close_all(far)


async def test_a_cancellation_passes_the_boundary_and_still_closes() -> None:
    near, far = pairs(1)
    loop = Loop(list(near))
    ended = False

    async def handle(_transport: Transport) -> None:
        nonlocal ended
        loop.admission.handshake_over()
        try:
            await trio.sleep_forever()
        finally:
            ended = True

    await loop.run_until_idle(handle)
    assert ended
    assert loop.admission.connections_open == 0
    assert await recv_some(far[0]) == b""
    close_all(far)


async def test_beyond_the_bound_of_handshakes_callers_are_turned_away_unread() -> None:
    near, far = pairs(3)
    loop = Loop(list(near), pending_max=1)

    async def stay(_transport: Transport) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(loop.run, nursery, stay))
        await wait_all_tasks_blocked()
        assert loop.counters.accepted == 3
        assert loop.counters.shed == 2
        assert loop.admission.connections_open == 1
        for turned_away in far[1:]:
            assert (await recv_some(turned_away)).startswith(b"HTTP/1.1 503 ")
            assert await recv_some(turned_away) == b""
        loop.admission.handshake_over()
        nursery.cancel_scope.cancel()
    close_all(far)


async def test_turning_away_who_has_left_hurts_nobody() -> None:
    near, far = pairs(2)
    close_all(far)
    loop = Loop(list(near), pending_max=0)
    await loop.run_until_idle()
    assert loop.counters.shed == 2


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_out_of_resources_it_backs_off_and_comes_back(number: int, autojump_clock: MockClock) -> None:
    near, far = pairs(1)
    shortage: list[Transport | OSError] = [OSError(number, "none left") for _ in range(40)]
    loop = Loop([*shortage, *near])
    accepted = trio.Event()

    async def handle(_transport: Transport) -> None:
        loop.admission.handshake_over()
        accepted.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(loop.run, nursery, handle))
        with trio.fail_after(120):
            await accepted.wait()
        nursery.cancel_scope.cancel()
    # Never a spin: 40 errors take at least so long when each pause at least doubles from 25 ms to 0.5 s.
    assert trio.current_time() >= 5.0
    assert loop.counters.accept_errors >= 20
    lines = loop.log.entries
    assert all(line["event"] == "accept_failed" for line in lines)
    assert len(lines) <= 1 + trio.current_time() / 10.0
    close_all(far)


async def test_out_of_descriptors_one_caller_at_a_time_is_closed_in_the_spares_place(autojump_clock: MockClock) -> None:
    near, far = pairs(1)
    gc.collect()  # what an earlier test left to it would be missing from a later count
    before = descriptors()
    loop = Loop([OSError(errno.EMFILE, "none left"), *near])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(loop.run, nursery))
        await trio.sleep(5.0)
        # The spare is open again; the caller's socket is not.
        assert descriptors() == before
        nursery.cancel_scope.cancel()
    assert loop.handled == []
    assert loop.counters.shed == 1
    assert loop.admission.connections_open == 0
    assert descriptors() == before - 1
    close_all(far)


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EPERM])
async def test_an_error_of_one_caller_is_passed_over(number: int) -> None:
    near, far = pairs(1)
    loop = Loop([OSError(number, "that one"), *near])
    await loop.run_until_idle()
    assert loop.handled == near
    assert loop.counters.accept_errors == (0 if number == errno.ECONNABORTED else 1)
    close_all(far)


@pytest.mark.parametrize("how", ["while it waits", "before it accepts"])
async def test_a_closed_listener_ends_the_loop(how: str) -> None:
    loop = Loop([OSError(errno.EBADF, "closed")])
    if how == "while it waits":
        loop.listener.close()
    async with trio.open_nursery() as nursery:
        await loop.run(nursery)


async def test_before_a_listener_is_closed_all_that_wait_in_its_queue_are_taken_in(nursery: trio.Nursery) -> None:
    """Closing a listener resets what waits in its queue."""
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    callers = [await SocketNetwork().connect("127.0.0.1", listener.port) for _ in range(3 * ACCEPTS_PER_CHECKPOINT)]
    loop = Loop([], pending_max=len(callers) - 1)
    accept_waiting(
        listener, loop.handle, nursery,
        admission=loop.admission, log=structlog.wrap_logger(None, processors=[loop.log]), counters=loop.counters,
    )  # fmt: skip
    listener.close()
    await wait_all_tasks_blocked()
    assert len(loop.handled) == len(callers) - 1
    assert [await recv_some(caller) for caller in callers[:-1]] == [b""] * (len(callers) - 1), "closed in order, not reset"
    assert b"503" in await recv_some(callers[-1]), "over the budget they are told as ever"


async def test_an_error_of_the_last_accepts_is_logged_and_the_door_still_closes(nursery: trio.Nursery) -> None:
    loop = Loop([OSError(errno.EMFILE, "too many open files")])
    accept_waiting(
        loop.listener, loop.handle, nursery,
        admission=loop.admission, log=structlog.wrap_logger(None, processors=[loop.log]), counters=loop.counters,
    )  # fmt: skip
    assert loop.counters.accept_errors == 1
