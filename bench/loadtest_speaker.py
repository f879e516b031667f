"""One connection that speaks in every room by the clock, stamped as the load test's users do it.

Blocking, in the bench's own process.
"""

import os
import select
import socket
import time

from bench.child import LoadFailed
from bench.loadtest_emitter import HOST, RUN, WORDS
from loadtest.audits.stamp import message_id, stamp_text
from loadtest.connections.greeting import Greeting, joins_of, message_frame
from loadtest.readers.frames import FrameReader
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Ack, Ping, Pong, Publish
from wire.frames import OPCODE_BINARY

_TIMEOUT_S = 30.0
_POLL_S = 0.01


class Speaker:
    """Every message is spoken once; none that is not acknowledged is forgiven."""

    def __init__(self, port: int, rooms: list[str]) -> None:
        self._rooms = rooms
        self._mask = os.urandom(4)
        self._frames = FrameReader()
        self._numbers = 0
        self._acked = 0
        self._socket = socket.create_connection((HOST, port), _TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        greeting = Greeting(f"{HOST}:{port}", "/", joins_of(rooms, {}), key=os.urandom(16), mask=self._mask, client="bench")
        self._socket.sendall(greeting.request)
        while not greeting.is_done:
            self._socket.sendall(greeting.receive(self._socket.recv(65536)))
        if greeting.welcome is None:
            raise LoadFailed(f"the speaker was not welcomed: {greeting.refused or greeting.rejected}")
        self._read(greeting.rest)

    def speak(self, per_s: float, seconds: float) -> int:
        """`per_s` messages a second in each room, one room after another; answers how many each room has got."""
        each = max(1, round(per_s * seconds))
        start = time.monotonic() + _POLL_S
        for number in range(each * len(self._rooms)):
            due = start + number / (per_s * len(self._rooms))
            while (wait_s := due - time.monotonic()) > 0:
                self._listen(wait_s)
            room = self._rooms[number % len(self._rooms)]
            self._numbers += 1
            text = stamp_text(WORDS, room, int(due * 1e6), 0, self._numbers)
            publish = Publish(self._numbers, room, message_id(RUN, 0, self._numbers), text)
            self._socket.sendall(message_frame(publish, self._mask))
        deadline = time.monotonic() + _TIMEOUT_S
        while self._acked < self._numbers:
            if time.monotonic() > deadline:
                raise LoadFailed(f"{self._numbers - self._acked} of {self._numbers} messages were not acknowledged")
            self._listen(_POLL_S)
        return each

    def _listen(self, patience_s: float) -> None:
        if select.select([self._socket], [], [], min(patience_s, 1.0))[0]:
            data = self._socket.recv(65536)
            if not data:
                raise LoadFailed("the speaker lost its connection")
            self._read(data)

    def _read(self, data: bytes) -> None:
        for opcode, payload in self._frames.take(data):
            message = decode_server_message(payload, Form.MSGPACK) if opcode == OPCODE_BINARY else None
            if isinstance(message, Ack):
                self._acked += 1
            elif isinstance(message, Ping):
                self._socket.sendall(message_frame(Pong(), self._mask))

    def end(self) -> None:
        self._socket.close()
