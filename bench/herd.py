"""Thousands of readers who come back when their gateway dies, in one lean process, which is not counted.

Raw sockets and one epoll, like `bench.load`; but each reader lives on by the rules of
clients: it resumes from its position at the next address, with the jitter and the delays of
`client.reconnect` itself, so the storm that a gateway's death makes is the real one.

    python -m bench.herd '{"urls": ..., ...}'

Lines of JSON go out: `Gathered`, then a `Pulse` every half second.  A line on standard
input, ``report SECONDS`` (monotonic, when the gateway was killed), ends it with a `Report`.
"""

import heapq
import itertools
import os
import random
import select
import socket
import sys
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from bench.latency import LatencyHistogram
from bench.stream import EventCounter, StreamError
from client.reconnect import Reconnect
from loadtest.connections.greeting import Greeting, joins_of, message_frame
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Joined, Ping, Pong, Position
from wire.frames import OPCODE_CLOSE, OPCODE_PING

RECEIVE_BYTES = 256 * 1024
HANDSHAKES_AT_ONCE = 64
PULSE_S = 0.5
HANDSHAKE_DEADLINE_S = 10.0


class Order(Struct, frozen=True):
    host: str
    ports: list[int]
    rooms: list[str]
    each: int
    """Readers at each gateway."""


class Gathered(Struct, frozen=True, tag=True):
    connections: int


class Pulse(Struct, frozen=True, tag=True):
    open: int
    away: int


class Report(Struct, frozen=True, tag=True):
    """What became of those who lost their connection."""

    lost: int
    resumed: int
    not_recovered: int
    p50_s: float
    p99_s: float
    longest_s: float
    attempts_failed: int
    """Handshakes that never opened: refused, reset, or without an answer."""
    refused_busy: int
    events_lost: int
    events_repeated: int
    behind: list[int]
    """Of each room, the lowest offset that any of its readers has."""


Said = Gathered | Pulse | Report


class Member:
    """One reader, over as many connections as it takes."""

    __slots__ = (
        "away_since", "back_at", "counter", "epoch", "guest", "handshake", "opened_at", "reconnect", "room", "session", "sock",
    )  # fmt: skip

    def __init__(self, room: int, reconnect: Reconnect) -> None:
        self.room = room
        self.reconnect = reconnect
        self.sock: socket.socket | None = None
        self.handshake: Greeting | None = None
        """While a connection is being opened."""
        self.counter: EventCounter | None = None
        self.epoch = self.guest = self.session = ""
        self.opened_at = 0.0
        self.away_since = 0.0
        self.back_at = 0.0


class Herd:
    """All of them; `run` returns when the report is asked for."""

    def __init__(self, order: Order, rng: random.Random) -> None:
        self._order = order
        self._rng = rng
        self._epoll = select.epoll()
        self._by_fd: dict[int, Member] = {}
        self._due: list[tuple[float, int, Member]] = []
        self._numbers = itertools.count()
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._opening = 0
        self._open = 0
        self._attempts_failed = self._refused_busy = self._not_recovered = 0
        self._members: list[Member] = []

    # --- coming ------------------------------------------------------------------------------------

    def gather(self) -> Gathered:
        """Everybody enters, so many handshakes at a time; each gateway gets as many."""
        order = self._order
        gateways = len(order.ports)
        urls = [str(port) for port in order.ports]
        for number in range(order.each * gateways):
            # Who begins at one address has the next one for the day it dies.
            first = number % gateways
            reconnect = Reconnect(urls, self._rng, first)
            self._members.append(Member(number // gateways % len(order.rooms), reconnect))
        waiting = iter(self._members)
        while self._open < len(self._members):
            while self._opening < HANDSHAKES_AT_ONCE:
                member = next(waiting, None)
                if member is None:
                    break
                self._dial(member)
            self._turn(0.05)
        self._attempts_failed = self._refused_busy = 0
        return Gathered(connections=self._open)

    def _dial(self, member: Member) -> None:
        order = self._order
        port = int(member.reconnect.next_url())
        sock = socket.socket()
        sock.setblocking(False)
        since: dict[str, Position] = {}
        room = order.rooms[member.room]
        if member.counter is not None:
            since[room] = Position(member.epoch, member.counter.offset)
        member.handshake = Greeting(
            f"{order.host}:{port}", "/ws", joins_of([room], since), key=self._rng.randbytes(16), mask=self._rng.randbytes(4),
            client="bench", guest=member.guest, session=member.session,
        )  # fmt: skip
        member.sock, member.opened_at = sock, time.monotonic()
        self._opening += 1
        error = sock.connect_ex((order.host, port))
        if error not in (0, 115):
            self._never_opened(member)
            return
        self._by_fd[sock.fileno()] = member
        self._epoll.register(sock.fileno(), select.EPOLLOUT | select.EPOLLIN)
        self._at(member.opened_at + HANDSHAKE_DEADLINE_S, member)

    def _at(self, when: float, member: Member) -> None:
        heapq.heappush(self._due, (when, next(self._numbers), member))

    # --- turning --------------------------------------------------------------------------------------

    def _turn(self, patience_s: float) -> None:
        """What is due, then what is there."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, member = heapq.heappop(self._due)
            if member.sock is None:
                self._dial(member)
            elif member.handshake is not None and now - member.opened_at >= HANDSHAKE_DEADLINE_S:
                self._never_opened(member)
        if self._due:
            patience_s = min(patience_s, max(0.0, self._due[0][0] - now))
        for fd, events in self._epoll.poll(patience_s):
            member_there = self._by_fd.get(fd)
            if member_there is not None:
                self._look(fd, member_there, events)

    def _look(self, fd: int, member: Member, events: int) -> None:
        if member.handshake is None:
            self._read(fd, member)
            return
        assert member.sock is not None
        try:
            if events & select.EPOLLOUT:
                member.sock.send(member.handshake.request)
                self._epoll.modify(fd, select.EPOLLIN)
                return
            reply = member.handshake.receive(member.sock.recv(65536))
            if reply:
                member.sock.send(reply)
        except BlockingIOError:
            return
        except OSError:
            self._never_opened(member)
            return
        if member.handshake.rejected is not None:
            self._never_opened(member)
        elif member.handshake.refused is not None:
            self._refused_busy += 1
            retry_after_s = member.handshake.refused.retry_after_ms / 1000
            self._forget(member)
            self._at(time.monotonic() + member.reconnect.delay_after_close(0.0, retry_after_s), member)
        elif member.handshake.welcome is not None:
            self._welcomed(member, member.handshake)

    def _welcomed(self, member: Member, handshake: Greeting) -> None:
        welcome = handshake.welcome
        assert welcome is not None
        joined = welcome.joins[0]
        if not isinstance(joined, Joined):
            raise StreamError(f"not joined: {joined}")
        member.guest, member.session = welcome.guest, welcome.session
        member.reconnect.welcomed()
        if member.counter is None:
            member.counter = EventCounter(self._order.rooms[member.room], joined.offset)
        elif not joined.recovered:
            self._not_recovered += 1
            member.counter = EventCounter(self._order.rooms[member.room], joined.since)
        member.epoch = joined.epoch
        member.counter.rest = handshake.rest
        member.handshake = None
        member.back_at = time.monotonic()
        self._opening -= 1
        self._open += 1

    def _never_opened(self, member: Member) -> None:
        self._attempts_failed += 1
        self._forget(member)
        self._at(time.monotonic() + member.reconnect.delay_after_unopened(), member)

    def _forget(self, member: Member) -> None:
        """Close what was being opened."""
        self._opening -= 1
        self._close(member)
        member.handshake = None

    def _close(self, member: Member) -> None:
        assert member.sock is not None
        if self._by_fd.pop(member.sock.fileno(), None) is not None:
            self._epoll.unregister(member.sock.fileno())
        member.sock.close()
        member.sock = None

    def _read(self, fd: int, member: Member) -> None:
        counter, sock = member.counter, member.sock
        assert counter is not None, "who reads was welcomed"
        assert sock is not None, "who reads has a socket"
        kept = len(counter.rest)
        self._buffer[:kept] = counter.rest
        try:
            got = sock.recv_into(self._view[kept:])
        except BlockingIOError:
            return
        except ConnectionError:
            got = 0
        if not got:
            self._lost(member, counter)
            return
        counter.take(self._buffer, kept + got)
        if counter.others:
            self._answer(member, counter)

    def _lost(self, member: Member, counter: EventCounter) -> None:
        counter.rest = b""
        now = time.monotonic()
        member.away_since = now
        self._open -= 1
        self._close(member)
        self._at(now + member.reconnect.delay_after_close(now - member.back_at, 0.0), member)

    def _answer(self, member: Member, counter: EventCounter) -> None:
        assert member.sock is not None
        for opcode, payload in counter.others:
            if opcode == OPCODE_PING:
                member.sock.send(b"\x8a" + bytes((0x80 | len(payload),)) + bytes(4) + payload)
            elif opcode != OPCODE_CLOSE and isinstance(decode_server_message(payload, Form.MSGPACK), Ping):
                seen = {self._order.rooms[member.room]: counter.offset}
                member.sock.send(message_frame(Pong(seen=seen), self._rng.randbytes(4)))
        counter.others.clear()

    # --- reporting --------------------------------------------------------------------------------------

    def run(self, say: Callable[[Struct], None]) -> None:
        orders = select.poll()
        orders.register(0, select.POLLIN)
        pulse_at = 0.0
        while True:
            self._turn(0.02)
            now = time.monotonic()
            if now >= pulse_at:
                pulse_at = now + PULSE_S
                say(Pulse(open=self._open, away=len(self._members) - self._open))
                if orders.poll(0):
                    line = sys.stdin.buffer.readline()
                    if line:
                        say(self._report(float(line.split()[1])))
                    return

    def _report(self, killed_at: float) -> Report:
        took = LatencyHistogram()
        lost = [member for member in self._members if member.away_since >= killed_at]
        back = [member for member in lost if member.back_at > member.away_since]
        for member in back:
            took.record(int((member.back_at - killed_at) * 1e6))
        counters = [(member.room, member.counter) for member in self._members if member.counter is not None]
        behind = [min(counter.offset for at, counter in counters if at == room) for room in range(len(self._order.rooms))]
        return Report(
            lost=len(lost), resumed=len(back), not_recovered=self._not_recovered, p50_s=took.percentile_us(50) / 1e6,
            p99_s=took.percentile_us(99) / 1e6, longest_s=took.maximum_us / 1e6, attempts_failed=self._attempts_failed,
            refused_busy=self._refused_busy, events_lost=sum(counter.lost for _, counter in counters),
            events_repeated=sum(counter.repeated for _, counter in counters), behind=behind,
        )  # fmt: skip


def _say(message: Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    herd = Herd(msgspec.json.decode(sys.argv[1], type=Order), random.Random(os.urandom(8)))
    _say(herd.gather())
    herd.run(_say)


if __name__ == "__main__":
    main()
