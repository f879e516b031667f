"""The simulated network: the contract of the real one, and the faults it is there for."""

import math
from random import Random

import pytest
import trio
from trio.testing import MockClock

from runtime.streams import recv_exactly, recv_some, send_all
from runtime.transport import Network, Transport
from tests.support.sim_network import SimNetwork, Weather
from tests.support.transport_contract import TransportContract, accept_one, fill


class TestSimNetwork(TransportContract):
    @pytest.fixture
    def network(self) -> Network:
        return SimNetwork(Random(1)).node("a")


@pytest.fixture
def fabric() -> SimNetwork:
    return SimNetwork(Random(7))


async def connected(fabric: SimNetwork) -> tuple[Transport, Transport]:
    listener = await fabric.node("b").listen("host", 0)
    near = await fabric.node("a").connect("host", listener.port)
    return near, await accept_one(listener)


def test_the_same_seed_delays_the_same() -> None:
    async def arrivals(seed: int) -> list[float]:
        near, far = await connected(SimNetwork(Random(seed)))
        seen = []
        for _ in range(20):
            await send_all(near, b"x" * 500)
            await recv_exactly(far, 500)
            seen.append(trio.current_time())
        return seen

    def play(seed: int) -> list[float]:
        return trio.run(arrivals, seed, clock=MockClock(autojump_threshold=0))

    assert play(3) == play(3) != play(4)


async def test_a_cut_resets_both_ends_after_some_of_what_was_under_way(fabric: SimNetwork, autojump_clock: MockClock) -> None:
    near, far = await connected(fabric)
    for letter in b"abcdefgh":
        near.try_send(bytes([letter]))
    next(iter(fabric.connections.values())).cut()
    got: list[bytes] = []

    async def read_on() -> None:
        while True:
            got.append(await recv_some(far))

    with pytest.raises(ConnectionResetError):
        await read_on()
    assert b"abcdefgh".startswith(b"".join(got))
    with pytest.raises(BrokenPipeError):
        near.try_send(b"x")
    with pytest.raises(ConnectionResetError):
        await recv_some(near)


async def test_a_stall_holds_everything_back_and_keeps_the_order(fabric: SimNetwork, autojump_clock: MockClock) -> None:
    near, far = await connected(fabric)
    began = trio.current_time()
    fabric.part("a", "b", began + 5)
    await send_all(near, b"one two")
    near.close()
    assert await recv_exactly(far, 7) == b"one two"
    assert trio.current_time() >= began + 5
    assert await recv_some(far) == b""


async def test_a_pulled_cable_tells_nobody_that_the_other_end_has_closed(fabric: SimNetwork, autojump_clock: MockClock) -> None:
    near, far = await connected(fabric)
    next(iter(fabric.connections.values())).stall(math.inf)
    near.close()
    with trio.move_on_after(100) as patience:
        await far.wait_readable()
    assert patience.cancelled_caught
    assert far.try_send(b"into the void") == 13


async def test_who_is_parted_cannot_connect_before_the_time(fabric: SimNetwork, autojump_clock: MockClock) -> None:
    listener = await fabric.node("b").listen("host", 0)
    until = trio.current_time() + 3
    fabric.part("b", "a", until)
    await fabric.node("c").connect("host", listener.port)
    assert trio.current_time() < until
    await fabric.node("a").connect("host", listener.port)
    assert trio.current_time() >= until


async def test_a_refusing_port_refuses_for_its_time(fabric: SimNetwork, autojump_clock: MockClock) -> None:
    listener = await fabric.node("b").listen("host", 0)
    fabric.refuse(listener.port, trio.current_time() + 3)
    with pytest.raises(ConnectionRefusedError):
        await fabric.node("a").connect("host", listener.port)
    await trio.sleep(3)
    await fabric.node("a").connect("host", listener.port)


async def test_a_dead_node_lets_go_of_its_ports_and_connections(fabric: SimNetwork, autojump_clock: MockClock) -> None:
    near, far = await connected(fabric)
    port = next(iter(fabric.listeners))
    fabric.node_died("b")
    assert await recv_some(near) == b""
    await fabric.node("b").listen("host", port)
    near.close()
    assert not fabric.connections
    far.close()


async def test_unread_bytes_turn_a_close_into_a_reset(fabric: SimNetwork, autojump_clock: MockClock) -> None:
    near, far = await connected(fabric)
    await send_all(near, b"never read")
    await far.wait_readable()
    far.close()
    with pytest.raises(ConnectionResetError):
        await recv_some(near)


async def test_sends_are_cut_when_the_weather_says_so(autojump_clock: MockClock) -> None:
    near, far = await connected(SimNetwork(Random(1), Weather(cut_send_chance=1.0, buffer_bytes=(4096, 4096))))
    first = near.try_send(b"x" * 1000)
    assert 0 < first < 1000
    await fill(near)
    with pytest.raises(BlockingIOError):
        near.try_send(b"x")
    assert len(await recv_some(far)) <= 4096
