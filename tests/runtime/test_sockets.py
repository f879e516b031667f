"""The real network: the contract, and what only sockets have."""

import os
import socket

import pytest
import trio

from runtime.sockets import SocketNetwork, SocketTransport, adopt_listener
from runtime.transport import Network
from tests.support.transport_contract import TransportContract, accept_one


class TestSocketNetwork(TransportContract):
    @pytest.fixture
    def network(self) -> Network:
        return SocketNetwork()


async def test_the_seam_costs_nothing_since_the_methods_are_the_sockets_own() -> None:
    near, far = SocketNetwork().pair()
    assert near.try_send.__self__.__class__ is socket.socket
    assert type(near.try_send).__name__ == "builtin_function_or_method"
    assert type(near.try_recv).__name__ == "builtin_function_or_method"
    near.close()
    far.close()


async def test_accepted_sockets_inherit_the_send_buffer_and_no_delay() -> None:
    network = SocketNetwork()
    listener = await network.listen("127.0.0.1", 0, send_buffer_bytes=32 * 1024)
    near = await network.connect("127.0.0.1", listener.port)
    far = await accept_one(listener)
    assert isinstance(far, SocketTransport)
    # Linux answers twice what was asked for: half is its own bookkeeping (socket(7)).
    assert far._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 64 * 1024
    assert far._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert far._sock.getblocking() is False
    for thing in (near, far, listener):
        thing.close()


async def test_a_peer_is_named_by_address_and_port() -> None:
    network = SocketNetwork()
    listener = await network.listen("127.0.0.1", 0)
    near = await network.connect("localhost", listener.port)
    far = await accept_one(listener)
    assert near.peer == f"127.0.0.1:{listener.port}"
    assert far.peer.startswith("127.0.0.1:")
    for thing in (near, far, listener):
        thing.close()


async def test_an_ipv6_peer_is_named_in_brackets() -> None:
    network = SocketNetwork()
    listener = await network.listen("::1", 0)
    near = await network.connect("::1", listener.port)
    assert near.peer == f"[::1]:{listener.port}"
    near.close()
    listener.close()


async def test_a_cancelled_connect_leaves_no_descriptor() -> None:
    # A listening socket without room: the third connect hangs in the kernel's queue.
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    network = SocketNetwork()
    held = []
    with trio.move_on_after(0.3):
        while True:
            held.append(await network.connect("127.0.0.1", port))
    probe = socket.socket()
    lowest_free = probe.fileno()
    probe.close()
    with trio.move_on_after(0.1) as scope:
        await network.connect("127.0.0.1", port)
    assert scope.cancelled_caught
    probe = socket.socket()
    assert probe.fileno() == lowest_free
    probe.close()
    for transport in held:
        transport.close()
    full.close()


async def test_a_name_nobody_knows_is_an_os_error() -> None:
    with pytest.raises(OSError):  # noqa: PT011 -- gaierror, whose text is the resolver's
        await SocketNetwork().connect("no-such-host.invalid", 1)


async def test_connections_to_a_shared_port_are_dealt_out_and_each_socket_serves_its_own() -> None:
    network = SocketNetwork()
    doors = await network.listen_shared("127.0.0.1", 0, 3, send_buffer_bytes=32 * 1024)
    ports = {door.getsockname()[1] for door in doors}
    assert len(ports) == 1
    (port,) = ports
    callers = [await network.connect("127.0.0.1", port) for _ in range(60)]
    taken = []
    for door in doors:
        # As a worker gets it: a descriptor of its own for the same socket.
        listener = adopt_listener(os.dup(door.fileno()))
        assert (listener.host, listener.port) == ("127.0.0.1", port)
        mine = 0
        while True:
            try:
                transport = listener.try_accept()
            except BlockingIOError:
                break
            mine += 1
            transport.close()
        taken.append(mine)
        listener.close()
    assert sum(taken) == len(callers)
    assert all(taken), "sixty connections, and none for one of three: once in ten billion runs"
    for caller in callers:
        caller.close()
    assert all(door.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for door in doors), "the sockets outlive who used them"
    for door in doors:
        door.close()


async def test_a_port_in_use_is_not_shared_with_a_stranger() -> None:
    network = SocketNetwork()
    doors = await network.listen_shared("127.0.0.1", 0, 2)
    with pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1:\d+"):
        await network.listen_shared("127.0.0.1", doors[0].getsockname()[1], 2)
    for door in doors:
        door.close()


async def test_what_is_no_listening_socket_is_not_taken_for_one() -> None:
    near, far = socket.socketpair()
    with pytest.raises(OSError, match="is no listening socket"):
        adopt_listener(near.detach())
    far.close()
