"""What every network must do, as tests: the real one and the simulator's pass the same suite.

A test module subclasses `TransportContract` as `TestSomething` and gives it a `network`
fixture; `host` is an address that network can listen on.
"""

import contextlib

import pytest
import trio

from runtime.streams import recv_exactly, recv_some, send_all
from runtime.transport import Listener, Network, Transport


async def accept_one(listener: Listener) -> Transport:
    while True:
        try:
            return listener.try_accept()
        except BlockingIOError:
            await listener.wait_acceptable()


async def fill(transport: Transport) -> tuple[int, bytes]:
    """Send until the stream takes no more; how many bytes it took, and what is left of the last buffer."""
    taken, rest = 0, b""
    while True:
        rest = rest or b"x" * 65536
        try:
            sent = transport.try_send(rest)
        except BlockingIOError:
            return taken, rest
        taken, rest = taken + sent, rest[sent:]


async def send_for(transport: Transport, seconds: float) -> None:
    """Send a byte now and then: the peer's reset takes a round trip to arrive."""
    with trio.fail_after(seconds):
        while True:
            transport.try_send(b"x")
            await trio.sleep(0.001)


class TransportContract:
    """Subclass with a `network` fixture."""

    host = "127.0.0.1"

    async def _connected(self, network: Network) -> tuple[Listener, Transport, Transport]:
        listener = await network.listen(self.host, 0)
        near = await network.connect(self.host, listener.port)
        return listener, near, await accept_one(listener)

    async def test_a_listener_on_port_0_tells_its_real_port(self, network: Network) -> None:
        listener = await network.listen(self.host, 0)
        assert listener.port > 0
        assert listener.host == self.host
        listener.close()

    async def test_bytes_arrive_in_order_both_ways(self, network: Network) -> None:
        listener, near, far = await self._connected(network)
        await send_all(near, b"question")
        assert await recv_exactly(far, 8) == b"question"
        await send_all(far, b"answer")
        assert await recv_exactly(near, 6) == b"answer"
        for thing in (near, far, listener):
            thing.close()

    async def test_nothing_to_accept_is_blocking(self, network: Network) -> None:
        listener = await network.listen(self.host, 0)
        with pytest.raises(BlockingIOError):
            listener.try_accept()
        listener.close()

    async def test_nothing_to_read_is_blocking(self, network: Network) -> None:
        near, far = network.pair()
        with pytest.raises(BlockingIOError):
            near.try_recv(100)
        near.close()
        far.close()

    async def test_recv_answers_at_most_what_was_asked_for(self, network: Network) -> None:
        near, far = network.pair()
        await send_all(near, b"abcdef")
        await far.wait_readable()
        assert far.try_recv(2) == b"ab"
        assert far.try_recv(100) == b"cdef"
        near.close()
        far.close()

    async def test_a_full_stream_is_blocking_and_writable_again_once_read(self, network: Network) -> None:
        listener, near, far = await self._connected(network)
        taken, rest = await fill(near)
        assert taken > 0
        read = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, near, rest)
            while read < taken + len(rest):
                read += len(await recv_some(far))
        assert near.try_send(b"more") == 4
        for thing in (near, far, listener):
            thing.close()

    async def test_the_end_of_the_stream_is_empty_bytes_after_all_that_was_sent(self, network: Network) -> None:
        listener, near, far = await self._connected(network)
        await send_all(near, b"last words")
        near.close()
        assert await recv_exactly(far, 10) == b"last words"
        assert await recv_some(far) == b""
        far.close()
        listener.close()

    async def test_sending_to_a_peer_that_left_raises_an_os_error(self, network: Network) -> None:
        listener, near, far = await self._connected(network)
        far.close()
        with pytest.raises(OSError) as raised:  # noqa: PT011 -- the exact errno is the network's business
            await send_for(near, 5.0)
        assert not isinstance(raised.value, BlockingIOError)
        near.close()
        listener.close()

    async def test_close_wakes_who_waits(self, network: Network) -> None:
        near, far = network.pair()
        await fill(near)
        woken: list[str] = []

        async def wait_closed(wait: str) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await getattr(near, wait)()
            woken.append(wait)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_closed, "wait_readable")
            nursery.start_soon(wait_closed, "wait_writable")
            await trio.testing.wait_all_tasks_blocked()
            near.close()
        assert sorted(woken) == ["wait_readable", "wait_writable"]
        far.close()

    async def test_closing_a_listener_wakes_its_acceptor(self, network: Network) -> None:
        listener = await network.listen(self.host, 0)

        async def wait_closed() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listener.wait_acceptable()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_closed)
            await trio.testing.wait_all_tasks_blocked()
            listener.close()

    async def test_close_is_idempotent_and_final(self, network: Network) -> None:
        near, far = network.pair()
        near.close()
        near.close()
        with pytest.raises(OSError):  # noqa: PT011 -- any errno says that it is over
            near.try_send(b"x")
        with pytest.raises(OSError):  # noqa: PT011
            near.try_recv(1)
        with pytest.raises(trio.ClosedResourceError):
            await near.wait_readable()
        with pytest.raises(trio.ClosedResourceError):
            await near.wait_writable()
        far.close()

    async def test_abort_throws_away_what_the_peer_has_not_taken(self, network: Network) -> None:
        listener, near, far = await self._connected(network)
        taken, _ = await fill(near)
        near.abort()
        near.abort()
        received = 0
        with contextlib.suppress(ConnectionResetError), trio.fail_after(5):
            while chunk := await recv_some(far):
                received += len(chunk)
        assert received < taken
        with pytest.raises(OSError):  # noqa: PT011
            near.try_send(b"x")
        far.close()
        listener.close()

    async def test_connecting_to_nobody_is_an_os_error(self, network: Network) -> None:
        listener = await network.listen(self.host, 0)
        port = listener.port
        listener.close()
        with pytest.raises(OSError, match=str(port)):
            await network.connect(self.host, port)

    async def test_a_taken_address_is_an_os_error_that_names_it(self, network: Network) -> None:
        listener = await network.listen(self.host, 0)
        with pytest.raises(OSError, match=str(listener.port)):
            await network.listen(self.host, listener.port)
        listener.close()

    async def test_a_pair_is_named_and_both_ends_speak(self, network: Network) -> None:
        near, far = network.pair()
        assert near.peer == "pair"
        await send_all(near, b"ping")
        assert await recv_exactly(far, 4) == b"ping"
        await send_all(far, b"pong")
        assert await recv_exactly(near, 4) == b"pong"
        near.close()
        far.close()
