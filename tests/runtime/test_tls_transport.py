"""runtime/tls_transport.py: the contract of every network, kept by TLS on sockets, and what only TLS has."""

import gc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from runtime.sockets import SocketNetwork
from runtime.tls_transport import TlsListener, TlsTransport
from runtime.transport import Listener, Network, Transport
from tests.support.tls import Ends, TlsNetwork, write_pair
from tests.support.transport_contract import TransportContract, accept_one


class TestTlsNetwork(TransportContract):
    @pytest.fixture
    def network(self, tmp_path: Path) -> Network:
        return TlsNetwork(write_pair(tmp_path))

    async def _connected(self, network: Network) -> tuple[Listener, Transport, Transport]:
        listener, near, far = await super()._connected(network)
        assert isinstance(near, TlsTransport)
        assert isinstance(far, TlsTransport)
        Ends(near, far).shake_hands()
        return listener, near, far


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[tuple[Transport, Transport]]:
    near, far = TlsNetwork(write_pair(tmp_path)).pair()
    yield near, far
    near.close()
    far.close()


async def test_bytes_that_the_kernel_knows_nothing_of_any_more_are_told_at_once(ends: tuple[Transport, Transport]) -> None:
    near, far = ends
    near.try_send(b"one")
    near.try_send(b"two")
    await far.wait_readable()
    assert far.try_recv(2) == b"on"
    # All has been taken from the kernel: only the engine knows that there is more.
    with trio.fail_after(5):
        await far.wait_readable()
        assert far.try_recv(100) == b"e"
        await far.wait_readable()
        assert far.try_recv(100) == b"two"
    with pytest.raises(BlockingIOError):
        far.try_recv(100)


async def test_a_closed_connection_is_gone_without_the_collector(tmp_path: Path) -> None:
    near, far = TlsNetwork(write_pair(tmp_path)).pair()
    assert isinstance(near, TlsTransport)
    gone = weakref.ref(near._stream._tls)
    near.close()
    gc.disable()
    try:
        del near
        assert gone() is None
    finally:
        gc.enable()
    far.close()


async def test_a_listener_gives_each_connection_the_context_of_its_accept(tmp_path: Path) -> None:
    network = TlsNetwork(write_pair(tmp_path))
    asked = []

    def current() -> object:
        asked.append(len(asked))
        return network._server

    below = await SocketNetwork().listen("127.0.0.1", 0)
    listener = TlsListener(below, current)  # type: ignore[arg-type]
    for _ in range(2):
        near = await network.connect("127.0.0.1", listener.port)
        far = await accept_one(listener)
        assert isinstance(near, TlsTransport)
        assert isinstance(far, TlsTransport)
        Ends(near, far).shake_hands()
        near.close()
        far.close()
    assert asked == [0, 1]
    listener.close()
