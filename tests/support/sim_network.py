"""A network inside one process and under one seed: streams that delay, fill up, stall, break and refuse.

Every node has a view of its own (`SimNetwork.node`), so that faults can name who is cut from
whom.  A connection is two pipes; what is sent is a chunk that arrives after a seeded delay, in
order, and counts against the pipe's buffer until it is read.  Time is trio's, randomness the
one given `Random`: two runs of a seed are the same to the bit.

As TCP does it: a closed end is known to the other after a delay, after all that was sent
before; unread bytes turn a close into a reset; a cut delivers some part of what was under way.
It passes the contract suite of the real network (tests/sim/test_sim_network.py).
"""

import errno
import math
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import trio

from runtime.transport import Listener, Network, Transport
from tests.support.sim_pipe import Pipe

BACKLOG = 128
# Up to here a send is taken whole or not at all, as a kernel does it with small messages.
WHOLE_SEND_BYTES = 64


@dataclass(frozen=True)
class Weather:
    """How the network is when nobody breaks it."""

    latency_s: tuple[float, float] = (0.0002, 0.004)
    """Each chunk takes a time between these."""
    slow_chance: float = 0.01
    slow_s: float = 0.3
    """Some chunks take up to this."""
    cut_send_chance: float = 0.05
    """How often a send of more than WHOLE_SEND_BYTES is taken in part though there is room."""
    buffer_bytes: tuple[int, int] = (2 * 1024, 64 * 1024)


class SimTransport:
    """One end of a connection."""

    def __init__(self, out: Pipe, into: Pipe, peer: str, on_close: Callable[[], None]) -> None:
        self._out = out
        self._into = into
        self._on_close = on_close
        self._is_closed = False
        self.peer = peer

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def try_send(self, data: bytes | memoryview) -> int:
        self._check_open()
        return self._out.send(data)

    def try_recv(self, bytes_max: int) -> bytes:
        self._check_open()
        return self._into.recv(bytes_max)

    def _check_open(self) -> None:
        if self._is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    async def wait_readable(self) -> None:
        await self._wait(self._into.news_for_reader, self._into.readable_at)

    async def wait_writable(self) -> None:
        await self._wait(self._out.news_for_writer, self._out.writable_at)

    async def _wait(self, news: trio.lowlevel.ParkingLot, ready_at: Callable[[], float]) -> None:
        # Always a checkpoint, as waiting on a descriptor is.
        await trio.lowlevel.checkpoint()
        while True:
            if self._is_closed:
                raise trio.ClosedResourceError("this end was closed")
            at = ready_at()
            if at <= trio.current_time():
                return
            with trio.move_on_at(at):
                await news.park()

    def close(self) -> None:
        if not self._is_closed:
            self._leave(self._into.reader_leaves())

    def abort(self) -> None:
        if not self._is_closed:
            self._into.reader_leaves()
            self._out.cut(keep_some=False)
            self._leave(unread=True)

    def _leave(self, unread: bool) -> None:
        self._is_closed = True
        self._out.finish(reset=unread)
        self._into.news_for_reader.unpark_all()
        self._out.news_for_writer.unpark_all()
        self._on_close()


class Connection:
    """Two ends and what may befall them: the handle for faults."""

    def __init__(self, fabric: "SimNetwork", number: int, near: str, far: str, address: str) -> None:
        self.near = near
        self.far = far
        self._pipes = (Pipe(fabric, fabric.capacity()), Pipe(fabric, fabric.capacity()))
        there, back = self._pipes
        forget = lambda: fabric.forget_if_over(number)  # noqa: E731 -- the same for both ends
        self.ends = (SimTransport(there, back, address, forget), SimTransport(back, there, f"{near}#{number}", forget))

    def cut(self) -> None:
        """Both ends find a reset."""
        for pipe in self._pipes:
            pipe.cut(keep_some=True)

    def stall(self, until: float) -> None:
        """Nothing arrives before `until`, in either direction; `math.inf`: a cable that was pulled."""
        for pipe in self._pipes:
            pipe.hold(until)

    def is_between(self, one: str, other: str) -> bool:
        return {self.near, self.far} == {one, other}


class SimListener:
    """A listening port."""

    def __init__(self, fabric: "SimNetwork", node: str, host: str, port: int) -> None:
        self.node = node
        self.host = host
        self.port = port
        self._fabric = fabric
        self._waiting: deque[SimTransport] = deque()
        self._news = trio.lowlevel.ParkingLot()
        self._is_closed = False

    def admit(self, transport: SimTransport) -> bool:
        if len(self._waiting) >= BACKLOG:
            return False
        self._waiting.append(transport)
        self._news.unpark_all()
        return True

    def try_accept(self) -> Transport:
        if self._is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if not self._waiting:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self._waiting.popleft()

    async def wait_acceptable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._waiting:
            if self._is_closed:
                raise trio.ClosedResourceError("this listener was closed")
            await self._news.park()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            if self._fabric.listeners.get(self.port) is self:
                del self._fabric.listeners[self.port]
            for transport in self._waiting:
                transport.abort()
            self._news.unpark_all()


class SimNetwork:
    """All nodes' network: listeners, connections, and the faults between them."""

    def __init__(self, rng: Random, weather: Weather | None = None) -> None:
        self.rng = rng
        self.weather = weather or Weather()
        self.listeners: dict[int, SimListener] = {}
        self.connections: dict[int, Connection] = {}
        """Those with an end still open, in order of age."""
        self._parted: dict[tuple[str, str], float] = {}
        self._refusing: dict[int, float] = {}
        self._next_port = 20_000
        self._next_connection = 1

    def node(self, name: str) -> Network:
        """The network as `name` has it."""
        return _NodeNetwork(self, name)

    # --- luck ---------------------------------------------------------------------------------

    def delay(self) -> float:
        if self.rng.random() < self.weather.slow_chance:
            return self.rng.uniform(0, self.weather.slow_s)
        return self.rng.uniform(*self.weather.latency_s)

    def cut_send(self, count: int) -> int:
        if count > WHOLE_SEND_BYTES and self.rng.random() < self.weather.cut_send_chance:
            return self.rng.randint(1, count)
        return count

    def capacity(self) -> int:
        return self.rng.randint(*self.weather.buffer_bytes)

    # --- listening and connecting ------------------------------------------------------------------

    def listen(self, node: str, host: str, port: int) -> SimListener:
        if port == 0:
            port, self._next_port = self._next_port, self._next_port + 1
        if port in self.listeners:
            raise OSError(errno.EADDRINUSE, f"cannot listen on {host}:{port}: {os.strerror(errno.EADDRINUSE)}")
        listener = self.listeners[port] = SimListener(self, node, host, port)
        return listener

    async def connect(self, node: str, host: str, port: int) -> SimTransport:
        await trio.sleep(self.delay())
        while (until := self._parted_until(node, port)) > trio.current_time():
            await trio.sleep_until(until)
        listener = self.listeners.get(port)
        if listener is not None and self._refusing.get(port, 0.0) <= trio.current_time():
            connection = self.connection(node, listener.node, f"{host}:{port}")
            if listener.admit(connection.ends[1]):
                return connection.ends[0]
            connection.ends[1].abort()
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"cannot connect to {host}:{port}: {os.strerror(errno.ECONNREFUSED)}")

    def _parted_until(self, node: str, port: int) -> float:
        listener = self.listeners.get(port)
        return self._parted.get(_pair(node, listener.node), 0.0) if listener is not None else 0.0

    def connection(self, near: str, far: str, address: str) -> Connection:
        number, self._next_connection = self._next_connection, self._next_connection + 1
        it = self.connections[number] = Connection(self, number, near, far, address)
        return it

    def forget_if_over(self, number: int) -> None:
        if all(end.is_closed for end in self.connections[number].ends):
            del self.connections[number]

    # --- faults -----------------------------------------------------------------------------------

    def part(self, one: str, other: str, until: float) -> None:
        """Nothing passes between two nodes before `until`; what was sent arrives then."""
        self._parted[_pair(one, other)] = until
        for connection in list(self.connections.values()):
            if connection.is_between(one, other):
                connection.stall(until)

    def refuse(self, port: int, until: float) -> None:
        """Refuse to connect to a port before `until`, whoever listens."""
        self._refusing[port] = until

    def node_died(self, name: str) -> None:
        """What a kernel does for a process that is gone: close all it had."""
        for listener in [each for each in self.listeners.values() if each.node == name]:
            listener.close()
        for connection in list(self.connections.values()):
            for owner, end in zip((connection.near, connection.far), connection.ends, strict=True):
                if owner == name:
                    end.close()

    def strand(self, name: str) -> None:
        """A machine that lost its network: its connections break, its ports can be another's, and it runs on."""
        for port in [port for port, each in self.listeners.items() if each.node == name]:
            del self.listeners[port]
        for connection in list(self.connections.values()):
            if name in (connection.near, connection.far):
                connection.cut()

    def heal(self) -> None:
        """Lift every stall and refusal that would have ended.  What was cut or pulled stays so."""
        self._parted.clear()
        self._refusing.clear()
        now = trio.current_time()
        for connection in list(self.connections.values()):
            for pipe in connection._pipes:
                if now < pipe.held_until < math.inf:
                    pipe.hold(now)


class _NodeNetwork:
    """`Network` for one node."""

    def __init__(self, fabric: SimNetwork, name: str) -> None:
        self._fabric = fabric
        self._name = name

    async def listen(self, host: str, port: int, *, send_buffer_bytes: int = 0) -> Listener:
        await trio.lowlevel.checkpoint()
        return self._fabric.listen(self._name, host, port)

    async def connect(self, host: str, port: int) -> Transport:
        return await self._fabric.connect(self._name, host, port)

    def pair(self) -> tuple[Transport, Transport]:
        near, far = self._fabric.connection(self._name, self._name, "pair").ends
        far.peer = "pair"
        return near, far


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)
