"""The publishing side: a few connections that speak by the clock, in a process of its own that is not counted.

Open loop: what is due is sent, whether or not earlier messages were acknowledged; if this
process or the server is late, the latency still counts from the intended moment.  Which
offset a message got is known from its acknowledgement only, so connections may overtake
one another.
"""

import os
import random
import resource
import select
import socket
import sys
import time

from bench.latency import LatencyHistogram
from bench.orders import Close, Connected, Done, Failed, OpenSpeakers, Report, Speak, Spoken, decode_order, encode_line
from bench.schedule import Schedule
from bench.stream import StreamError, is_event, split_frames
from loadtest.connections.greeting import Greeting, joins_of, message_frame
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Ack, Event, Ping, Pong, Publish, Refused, Unknown, Welcome
from wire.errors import PeerError
from wire.frames import OPCODE_BINARY

CONNECT_TIMEOUT_S = 10.0
ID_CHARS = 10
# A request's number says its run and its message, so that a late answer of an earlier run is known.
_RUNS_KNOWN = 1 << 11
_MESSAGES_PER_RUN_MAX = 1 << 20
_AT_LIKELY = 1_800_000_000_000


class Speaker:
    """One publishing connection and what it has not yet written or read."""

    __slots__ = ("is_closed", "mask", "rest", "sock", "unsent", "welcome")

    def __init__(self, sock: socket.socket, welcome: Welcome, rest: bytes, mask: bytes) -> None:
        self.sock = sock
        self.welcome = welcome
        self.rest = rest
        self.mask = mask
        self.unsent = bytearray()
        self.is_closed = False
        """The server has closed it: what it should have said since then stays unanswered."""


class _Run:
    """What becomes of one run's messages."""

    def __init__(self, schedule: Schedule, number: int) -> None:
        if schedule.messages > _MESSAGES_PER_RUN_MAX:
            raise ValueError(f"{schedule.messages} messages exceed {_MESSAGES_PER_RUN_MAX} a run")
        self.schedule = schedule
        self._first = number % _RUNS_KNOWN * _MESSAGES_PER_RUN_MAX
        self.offsets = [0] * schedule.messages
        self.sent_at = [0.0] * schedule.messages
        self.sent = self.acknowledged = 0
        self.refused: dict[str, int] = {}
        self.late = LatencyHistogram()
        self.acks = LatencyHistogram()

    @property
    def answered(self) -> int:
        return self.acknowledged + sum(self.refused.values())

    def request_number(self, k: int) -> int:
        return self._first + k

    def hear(self, message: Ack | Refused | Unknown, now: float) -> None:
        """An answer; those to earlier runs are too late to count."""
        k = message.n - self._first
        if not 0 <= k < self.sent:
            return
        if isinstance(message, Ack):
            self.offsets[k] = message.offset
            self.acknowledged += 1
            self.acks.record(int((now - self.sent_at[k]) * 1e6))
        else:
            code = message.code if isinstance(message, Refused) else "unknown"
            self.refused[code] = self.refused.get(code, 0) + 1


class SpeakingSide:
    """All publishing connections of one process; one method an order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._rooms: list[str] = []
        self._speakers: list[Speaker] = []
        self._by_room: list[list[Speaker]] = []
        self._published: list[int] = []
        """Messages published in each room since its server began: the next offset is one more, so its width is known."""
        self._run_number = 0

    def open(self, order: OpenSpeakers) -> Connected:
        began = time.monotonic()
        self._rooms = order.rooms
        # Speakers that come back find the rooms as they left them.
        self._published = self._published or [0] * len(order.rooms)
        self._speakers, self._by_room = [], [[] for _ in order.rooms]
        for number in range(order.connections):
            if len(order.rooms) > order.connections:
                mine = list(range(number, len(order.rooms), order.connections))
            else:
                mine = [number % len(order.rooms)]
            speaker = self._connect(order.host, order.port, [order.rooms[room] for room in mine], f"speaker-{number:03d}")
            self._speakers.append(speaker)
            for room in mine:
                self._by_room[room].append(speaker)
        return Connected(connections=order.connections, seconds=time.monotonic() - began)

    def _connect(self, host: str, port: int, rooms: list[str], name: str) -> Speaker:
        sock = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key, mask = self._rng.randbytes(16), self._rng.randbytes(4)
        handshake = Greeting(f"{host}:{port}", "/ws", joins_of(rooms, {}), key=key, mask=mask, client="bench", name=name)
        sock.sendall(handshake.request)
        while handshake.welcome is None:
            sock.sendall(handshake.receive(sock.recv(65536)))
            if handshake.rejected is not None:
                raise StreamError(f"{name}: {handshake.rejected.sentence}")
        refusals = [join for join in handshake.welcome.joins if isinstance(join, Refused)]
        if refusals:
            raise StreamError(f"{name} was refused a room: {refusals[0].message}")
        sock.setblocking(False)
        return Speaker(sock, handshake.welcome, handshake.rest, self._rng.randbytes(4))

    def speak(self, order: Speak) -> Spoken:
        """Publish the whole schedule, then wait for the answers."""
        cpu_before = _cpu_s()
        self._run_number += 1
        schedule = Schedule(order.start, order.rate, len(self._rooms), order.seconds)
        run = _Run(schedule, self._run_number)
        bases = list(self._published)
        deadline = order.start + order.seconds + order.answer_wait_s
        while run.answered < schedule.messages:
            speakers = self._open_speakers()
            now = time.monotonic()
            if now > deadline:
                break
            due = schedule.due_by(now)
            while run.sent < due:
                self._publish(run, run.sent, bases, order.payload_bytes)
            pause = schedule.due(run.sent) - time.monotonic() if run.sent < schedule.messages else 0.05
            blocked = [fd for fd, speaker in speakers.items() if speaker.unsent]
            # select, not epoll: its timeout is in microseconds, an epoll's in milliseconds.
            readable, writable, _ = select.select(list(speakers), blocked, [], max(0.0, min(pause, 0.05)))
            for fd in writable:
                _flush(speakers[fd])
            for fd in readable:
                self._read(run, speakers[fd])
        return self._report(run, cpu_before)

    def drain(self) -> None:
        """Between runs: read over what comes, answer pings."""
        speakers = self._open_speakers()
        readable, _, _ = select.select([0, *speakers], [], [])
        for fd in readable:
            if fd != 0:
                self._read(None, speakers[fd])

    def _open_speakers(self) -> dict[int, Speaker]:
        return {speaker.sock.fileno(): speaker for speaker in self._speakers if not speaker.is_closed}

    def _publish(self, run: _Run, k: int, bases: list[int], payload_bytes: int) -> None:
        room = k % len(self._rooms)
        speakers = self._by_room[room]
        speaker = speakers[(k // len(self._rooms)) % len(speakers)]
        offset = self._published[room] = self._published[room] + 1
        message_id = f"{self._run_number:x}-{k:x}".rjust(ID_CHARS, "0")
        name, welcome = self._rooms[room], speaker.welcome
        event = Event(name, offset, _AT_LIKELY, "message", welcome.author, welcome.name, message_id)
        text = padded_text(event, payload_bytes)
        speaker.unsent += message_frame(Publish(run.request_number(k), name, message_id, text), speaker.mask)
        run.sent_at[k] = time.monotonic()
        run.late.record(int((run.sent_at[k] - run.schedule.due(k)) * 1e6))
        run.sent += 1
        _flush(speaker)

    def _read(self, run: _Run | None, speaker: Speaker) -> None:
        try:
            got = speaker.sock.recv(262144)
        except BlockingIOError:
            return
        except ConnectionError:
            got = b""
        speaker.is_closed = not got
        data = speaker.rest + got
        used = 0
        for opcode, start, end in split_frames(data, len(data)):
            used = end
            if opcode == OPCODE_BINARY and not is_event(data, start):
                self._hear(run, speaker, data[start:end])
        speaker.rest = data[used:]

    def _hear(self, run: _Run | None, speaker: Speaker, payload: bytes) -> None:
        message = decode_server_message(payload, Form.MSGPACK)
        if isinstance(message, Ping):
            speaker.unsent += message_frame(Pong(), speaker.mask)
            _flush(speaker)
        elif run is not None and isinstance(message, Ack | Refused | Unknown):
            run.hear(message, time.monotonic())

    def _report(self, run: _Run, cpu_before: float) -> Spoken:
        rooms = len(self._rooms)
        return Spoken(
            sent=run.sent, acknowledged=run.acknowledged, refused=run.refused, unanswered=run.sent - run.answered,
            closed=sum(speaker.is_closed for speaker in self._speakers),
            late_p99_ms=run.late.percentile_us(99) / 1e3, ack_p50_ms=run.acks.percentile_us(50) / 1e3,
            ack_p99_ms=run.acks.percentile_us(99) / 1e3, ack_max_ms=run.acks.maximum_us / 1e3,
            offsets=[run.offsets[room::rooms] for room in range(rooms)], cpu_s=_cpu_s() - cpu_before,
        )  # fmt: skip

    def close(self) -> Done:
        for speaker in self._speakers:
            speaker.sock.close()
        self._speakers, self._by_room = [], []
        return Done()

    def carry_out(self, line: bytes) -> Report:
        order = decode_order(line)
        match order:
            case OpenSpeakers():
                return self.open(order)
            case Speak():
                return self.speak(order)
            case Close():
                return self.close()
            case _:
                return Failed(reason=f"a speaker cannot {type(order).__name__}")


def padded_text(event: Event, payload_bytes: int) -> str:
    """A text ending in the message's id that makes the event's payload `payload_bytes` long, if there is room for any.

    A string of 32 characters needs a second length byte, so one size in between is
    missed by one.
    """
    without = len(encode(event, Form.MSGPACK))
    # An empty text is left out: the key takes 5 bytes, the string's header 1 or (from 32 on) 2.
    room = payload_bytes - without - 6
    length = max(1, room - 1 if room > 31 else room)
    return event.id.rjust(length, ".")[-length:]


def _flush(speaker: Speaker) -> None:
    if speaker.is_closed:
        return
    try:
        sent = speaker.sock.send(speaker.unsent)
    except BlockingIOError:
        return
    except ConnectionError:
        speaker.is_closed = True
        return
    del speaker.unsent[:sent]


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Carry out orders until stdin ends."""
    side = SpeakingSide(random.Random(os.urandom(8)))
    orders = select.poll()
    orders.register(0, select.POLLIN)
    while True:
        while not orders.poll(0):
            side.drain()
        line = sys.stdin.buffer.readline()
        if not line:
            return
        try:
            report = side.carry_out(line)
        except (StreamError, PeerError, OSError, ValueError) as error:
            report = Failed(reason=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(encode_line(report))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
