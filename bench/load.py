"""The reading side: thousands of subscribers in one lean process, which is not counted.

Raw non-blocking sockets and one epoll: a subscriber costs a receive and a few lines of
Python per *buffer*, however many frames are joined in it (`bench.stream`).  Everything
that can wait waits for the end of the run: latencies, audits.  Orders come as JSON lines
on stdin, reports go to stdout (`bench.orders`).
"""

import os
import random
import resource
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable

from bench.audit import audit
from bench.orders import (
    Begin,
    Close,
    Connect,
    Connected,
    Done,
    Evaluate,
    Failed,
    Measured,
    Report,
    Settle,
    Settled,
    Stall,
    decode_order,
    encode_line,
)
from bench.schedule import Deliveries, Schedule
from bench.stream import EventCounter, StreamError
from loadtest.connections.greeting import Greeting, joins_of, message_frame
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Joined, Ping, Pong, Skipped
from wire.errors import PeerError
from wire.frames import OPCODE_CLOSE, OPCODE_PING

# 256 KiB: what one receive may bring; a buffer of the server's fan-out is at most 64 KiB.
RECEIVE_BYTES = 256 * 1024
# Handshakes under way at once: below the smallest listen backlog of the servers (100).
HANDSHAKES_AT_ONCE = 64
CONNECT_DEADLINE_S = 60.0
PUMP_S = 0.05


class Reader:
    """One subscriber: its socket, its place, and for an auditor the tape of all it got."""

    __slots__ = ("announced", "counter", "receive", "room_index", "sock", "tape")

    def __init__(self, sock: socket.socket, counter: EventCounter, room_index: int, audited: bool) -> None:
        self.sock = sock
        self.receive = sock.recv_into
        self.counter = counter
        self.announced = 0
        """Offsets that the server said it would not send."""
        self.room_index = room_index
        self.tape: list[bytes] | None = [] if audited else None


class LoadSide:
    """All subscribers of one process; one method an order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._epoll = select.epoll()
        self._readers: dict[int, Reader] = {}
        self._stalled: list[socket.socket] = []
        self._rooms: list[str] = []
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._closed = 0
        self._receives = 0
        self._tape_starts: dict[int, int] = {}
        self._begin_cpu_s = 0.0
        self._baseline: dict[int, tuple[int, int, int, int]] = {}
        self._forget_samples()

    def _forget_samples(self) -> None:
        self._sample_rooms = array("H")
        self._sample_offsets = array("Q")
        self._sample_counts = array("L")
        self._sample_times = array("d")

    # --- opening -----------------------------------------------------------------------

    def connect(self, order: Connect) -> Connected:
        """Open all subscribers, a bounded number of handshakes at a time."""
        self._rooms = order.rooms
        wanted = [(room, place) for place in range(order.each) for room in range(len(order.rooms))]
        began = time.monotonic()

        def opened(sock: socket.socket, handshake: Greeting, index: int) -> None:
            room, place = wanted[index]
            self._add(sock, handshake, room, audited=place % order.audit_every == 0)

        self._open(len(wanted), lambda index: self._handshake(order.host, order.port, order.rooms[wanted[index][0]]), opened)
        return Connected(connections=len(wanted), seconds=time.monotonic() - began)

    def stall(self, order: Stall) -> Connected:
        """Open subscribers whose sockets are never read again.

        The small buffer is set before connecting: the window is agreed on then.
        """
        began = time.monotonic()
        ports: list[int] = []

        def opened(sock: socket.socket, handshake: Greeting, index: int) -> None:
            _join_of(handshake)
            ports.append(sock.getsockname()[1])
            self._stalled.append(sock)

        self._open(
            order.count, lambda index: self._handshake(order.host, order.port, order.room), opened, order.receive_buffer_bytes
        )
        return Connected(connections=order.count, seconds=time.monotonic() - began, ports=ports)

    def _handshake(self, host: str, port: int, room: str) -> tuple[tuple[str, int], Greeting]:
        key, mask = self._rng.randbytes(16), self._rng.randbytes(4)
        return (host, port), Greeting(f"{host}:{port}", "/ws", joins_of([room], {}), key=key, mask=mask, client="bench")

    def _open(
        self,
        count: int,
        make: Callable[[int], tuple[tuple[str, int], Greeting]],
        opened: Callable[[socket.socket, Greeting, int], None],
        receive_buffer_bytes: int = 0,
    ) -> None:
        deadline = time.monotonic() + CONNECT_DEADLINE_S
        pending: dict[int, tuple[socket.socket, Greeting, int]] = {}
        started = 0
        while started < count or pending:
            if time.monotonic() > deadline:
                raise StreamError(f"{started - len(pending)} of {count} connections were open after {CONNECT_DEADLINE_S:.0f} s")
            while started < count and len(pending) < HANDSHAKES_AT_ONCE:
                address, handshake = make(started)
                sock = socket.socket()
                if receive_buffer_bytes:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
                sock.connect(address)
                sock.setblocking(False)
                sock.send(handshake.request)
                pending[sock.fileno()] = (sock, handshake, started)
                self._epoll.register(sock.fileno(), select.EPOLLIN)
                started += 1
            for fd, _ in self._epoll.poll(PUMP_S):
                if fd not in pending:
                    self._read_from(fd)
                    continue
                sock, handshake, index = pending[fd]
                reply = handshake.receive(sock.recv(65536))
                if handshake.rejected is not None:
                    raise StreamError(f"connection {index}: {handshake.rejected.sentence}")
                if reply:
                    sock.send(reply)
                if handshake.welcome is not None:
                    del pending[fd]
                    self._epoll.unregister(fd)
                    opened(sock, handshake, index)

    def _add(self, sock: socket.socket, handshake: Greeting, room: int, audited: bool) -> None:
        joined = _join_of(handshake)
        reader = Reader(sock, EventCounter(self._rooms[room], joined.offset), room, audited)
        reader.counter.rest = handshake.rest
        self._readers[sock.fileno()] = reader
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    # --- reading -----------------------------------------------------------------------

    def pump(self, timeout_s: float) -> bool:
        """Take what is there; False when nothing came within `timeout_s`."""
        ready = self._epoll.poll(timeout_s)
        for fd, _ in ready:
            self._read_from(fd)
        return bool(ready)

    def _read_from(self, fd: int) -> None:
        """The hot path of the load side: about 3 us."""
        reader = self._readers.get(fd)
        if reader is None:
            return
        counter = reader.counter
        kept = len(counter.rest)
        try:
            if kept:
                self._buffer[:kept] = counter.rest
                got = reader.receive(self._view[kept:])
            else:
                got = reader.receive(self._buffer)
        except BlockingIOError:
            return
        except ConnectionError:
            got = 0
        if not got:
            self._drop(fd)
            return
        at = time.monotonic()
        self._receives += 1
        if reader.tape is not None:
            reader.tape.append(bytes(self._view[kept : kept + got]))
        events = counter.take(self._buffer, kept + got)
        if events:
            self._sample_rooms.append(reader.room_index)
            self._sample_offsets.append(counter.offset)
            self._sample_counts.append(events)
            self._sample_times.append(at)
        if counter.others:
            try:
                self._answer(reader)
            except OSError:
                # A server that is about to close a reader takes no answers from it.
                self._drop(fd)

    def _answer(self, reader: Reader) -> None:
        """Pings of both kinds are answered, skips noted; counts and the like are read over.

        A close frame is followed by the end of the stream, which is counted.
        """
        counter = reader.counter
        mask = self._rng.randbytes(4)
        for opcode, payload in counter.others:
            if opcode == OPCODE_PING:
                reader.sock.send(b"\x8a" + bytes((0x80 | len(payload),)) + bytes(4) + payload)
            elif opcode != OPCODE_CLOSE:
                message = decode_server_message(payload, Form.MSGPACK)
                if isinstance(message, Ping):
                    room = self._rooms[reader.room_index]
                    reader.sock.send(message_frame(Pong(seen={room: counter.offset}), mask))
                elif isinstance(message, Skipped):
                    reader.announced += message.last - message.first + 1
        counter.others.clear()

    def _drop(self, fd: int) -> None:
        self._epoll.unregister(fd)
        self._readers.pop(fd).sock.close()
        self._closed += 1

    # --- measuring -----------------------------------------------------------------------

    def begin(self) -> Done:
        self._forget_samples()
        self._closed = self._receives = 0
        self._tape_starts = {}
        self._baseline = {}
        for fd, reader in self._readers.items():
            counter = reader.counter
            self._baseline[fd] = (counter.events, counter.lost, counter.repeated, reader.announced)
            if reader.tape is not None:
                reader.tape = [counter.rest] if counter.rest else []
                self._tape_starts[fd] = counter.offset
        self._begin_cpu_s = _cpu_s()
        return Done()

    def settle(self, order: Settle) -> Settled:
        deadline = time.monotonic() + order.deadline_s
        quiet_since = time.monotonic()
        while True:
            # Asking all readers takes 0.3 ms: not after every buffer.
            missing = any(reader.counter.offset < order.heads[reader.room_index] for reader in self._readers.values())
            now = time.monotonic()
            if not missing or now > deadline or now - quiet_since > order.quiet_s:
                return Settled(complete=not missing, at=now)
            while time.monotonic() < now + PUMP_S:
                if self.pump(PUMP_S):
                    quiet_since = time.monotonic()

    def evaluate(self, order: Evaluate) -> Measured:
        """Figures of everything since `begin`; readers that were closed are reported, their frames no longer counted."""
        cpu_s = _cpu_s() - self._begin_cpu_s
        schedule = Schedule(order.start, order.rate, len(order.offsets), order.seconds)
        deliveries = Deliveries(schedule, order.offsets)
        samples = zip(self._sample_rooms, self._sample_offsets, self._sample_counts, self._sample_times, strict=True)
        for room, last, count, at in samples:
            deliveries.add(room, last, count, at)
        events = lost = unannounced = repeated = audited = violations = 0
        for fd, reader in self._readers.items():
            counter = reader.counter
            events_before, lost_before, repeated_before, announced_before = self._baseline[fd]
            events += counter.events - events_before
            lost += counter.lost - lost_before
            unannounced += abs(counter.lost - lost_before - (reader.announced - announced_before))
            repeated += counter.repeated - repeated_before
            if reader.tape is not None:
                findings = audit(b"".join(reader.tape), self._rooms[reader.room_index], self._tape_starts[fd])
                audited += findings.events
                violations += not findings.honest or findings.events != counter.events - events_before
        took = deliveries.histogram
        return Measured(
            deliveries=events, lost=lost, unannounced=unannounced, repeated=repeated, closed=self._closed,
            unplanned=deliveries.unplanned,
            audited=audited, violations=violations,
            p50_ms=took.percentile_us(50) / 1e3, p99_ms=took.percentile_us(99) / 1e3, max_ms=took.maximum_us / 1e3,
            frame_bytes=max((reader.counter.frame_bytes for reader in self._readers.values()), default=0),
            receives=self._receives, cpu_s=cpu_s,
        )  # fmt: skip

    def close(self) -> Done:
        for sock in self._stalled:
            sock.close()
        for reader in self._readers.values():
            reader.sock.close()
        self._epoll.close()
        self._epoll = select.epoll()
        self._readers, self._stalled = {}, []
        return Done()

    def carry_out(self, line: bytes) -> Report:
        order = decode_order(line)
        match order:
            case Connect():
                return self.connect(order)
            case Stall():
                return self.stall(order)
            case Begin():
                return self.begin()
            case Settle():
                return self.settle(order)
            case Evaluate():
                return self.evaluate(order)
            case Close():
                return self.close()
            case _:
                return Failed(reason=f"a reader cannot {type(order).__name__}")


def _join_of(handshake: Greeting) -> Joined:
    welcome = handshake.welcome
    if welcome is None or len(welcome.joins) != 1 or not isinstance(welcome.joins[0], Joined):
        raise StreamError(f"not joined: {welcome}")
    return welcome.joins[0]


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Carry out orders until stdin ends; between them, keep reading."""
    side = LoadSide(random.Random(os.urandom(8)))
    orders = select.poll()
    orders.register(0, select.POLLIN)
    while True:
        while not orders.poll(0):
            side.pump(0.01)
        line = sys.stdin.buffer.readline()
        if not line:
            return
        try:
            report = side.carry_out(line)
        except (StreamError, PeerError, OSError) as error:
            report = Failed(reason=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(encode_line(report))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
