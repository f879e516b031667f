"""A server of one room that only sends: the same event frame to every connection, one after another, paced.

What a reader costs must not depend on a real server's frames happening to be joined.  An event
begins only when the readers have long read the one before, each frame is a send of its own, and
Nagle's algorithm is off; whether nothing was joined all the same is counted by who reads.

    python -m bench.loadtest_emitter

The first line says its port.  Each line in is an `Emit`, each answer an `Emitted`.
"""

import base64
import hashlib
import select
import socket
import sys
import time

import msgspec

from bench.loadtest_words import Emit, Emitted
from loadtest.audits.stamp import message_id, stamp_text
from wire.client_codec import Form, encode
from wire.client_messages import PROTOCOL_VERSION, Event, Joined, Welcome
from wire.frames import OPCODE_BINARY, frame

HOST = "127.0.0.1"
ROOM = "bench/r000"
RUN = "bench"
WORDS = "x" * 28
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Quiet for so long before the first event: who was welcomed last has read its welcome.
_LEAD_S = 0.3


class Emitter:
    """All connections, and the room's head."""

    def __init__(self) -> None:
        self.listener = socket.create_server((HOST, 0), backlog=1024)
        self._epoll = select.epoll()
        self._epoll.register(self.listener.fileno(), select.EPOLLIN)
        self._members: dict[int, socket.socket] = {}
        self._entering: dict[int, tuple[socket.socket, bytes]] = {}
        self._head = 0

    def turn(self, patience_s: float) -> None:
        """Let people in; what members say (pongs, goodbyes) is read over."""
        for fd, _ in self._epoll.poll(patience_s):
            if fd == self.listener.fileno():
                sock, _ = self.listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._entering[sock.fileno()] = (sock, b"")
                self._epoll.register(sock.fileno(), select.EPOLLIN)
            elif fd in self._entering:
                self._enter(fd)
            elif not self._members[fd].recv(65536):
                self._members.pop(fd).close()

    def _enter(self, fd: int) -> None:
        sock, before = self._entering[fd]
        data = before + sock.recv(65536)
        head, is_whole, rest = data.partition(b"\r\n\r\n")
        if before.startswith(b"upgraded"):
            # Any frame is the hello: there is one room, and everybody enters it.
            del self._entering[fd]
            joined = Joined(0, ROOM, "bench", self._head, self._head, present=len(self._members) + 1)
            welcome = Welcome(PROTOCOL_VERSION, "emitter", "session", "guest", "author", "name", 25_000, [joined])
            sock.send(frame(OPCODE_BINARY, encode(welcome, Form.MSGPACK)))
            self._members[fd] = sock
        elif is_whole:
            at = head.lower().index(b"sec-websocket-key:") + len(b"sec-websocket-key:")
            accept = base64.b64encode(hashlib.sha1(head[at:].split(b"\r\n")[0].strip() + _GUID).digest())
            sock.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                b"Sec-WebSocket-Protocol: parvis.v1.msgpack\r\n\r\n" % accept
            )
            self._entering[fd] = (sock, b"upgraded" + rest)
        else:
            self._entering[fd] = (sock, data)

    def emit(self, order: Emit) -> Emitted:
        sockets = list(self._members.values())
        start, blocked, late_s = time.monotonic() + _LEAD_S, 0, 0.0
        for number in range(order.events):
            due = start + number / order.per_s
            while (wait_s := due - time.monotonic()) > 0:
                time.sleep(wait_s)
            late_s = max(late_s, -wait_s)
            self._head += 1
            text = stamp_text(WORDS, ROOM, int(due * 1e6), 0, self._head)
            event = Event(ROOM, self._head, 1_800_000_000_000, "message", "author", "name", message_id(RUN, 0, self._head), text)
            data = frame(OPCODE_BINARY, encode(event, Form.MSGPACK))
            for sock in sockets:
                try:
                    sock.send(data)
                except BlockingIOError:
                    blocked += 1
        return Emitted(len(sockets) * order.events - blocked, blocked, late_s * 1000)


def main() -> None:
    emitter = Emitter()
    print(emitter.listener.getsockname()[1], flush=True)
    orders = select.poll()
    orders.register(0, select.POLLIN)
    while True:
        while not orders.poll(0):
            emitter.turn(0.02)
        line = sys.stdin.buffer.readline()
        if not line:
            return
        sys.stdout.buffer.write(msgspec.json.encode(emitter.emit(msgspec.json.decode(line, type=Emit))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
