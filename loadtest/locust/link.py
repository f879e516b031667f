"""The ZeroMQ socket to a locust master, in trio's event loop.

ZeroMQ works in threads of its own and tells of news through one descriptor, which trio waits
for.  That descriptor is edge-triggered: it is readable once for whatever has come since
somebody last asked the socket anything (zmq_getsockopt(3), ZMQ_FD).  So after every send we
look whether something came in the meantime, or its reader would sleep over it.
"""

import socket
from contextlib import suppress
from typing import Final

import trio
import zmq

from loadtest.locust.words import MESSAGE_BYTES_MAX, Said, decode, encode

# What may wait for a master that is away for a moment: minutes of heartbeats and figures.
WAITING_MAX: Final = 1000
# How long the last words may take to leave.
LINGER_MS: Final = 1000


class LocustLink:
    """One DEALER socket.  One task receives; sending never waits."""

    def __init__(self, host: str, port: int, node: str) -> None:
        """`host` is a name or an address.  Raises `OSError` when the name is not known."""
        [(family, *_), *_] = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)
        self._is_ipv6 = family == socket.AF_INET6
        self._address = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        self._node = node
        self._context = zmq.Context()
        self._receiving: trio.CancelScope | None = None
        self._socket = self._open()

    def _open(self) -> "zmq.Socket[bytes]":
        opened = self._context.socket(zmq.DEALER)
        opened.setsockopt(zmq.LINGER, 0)
        opened.setsockopt(zmq.SNDHWM, WAITING_MAX)
        opened.setsockopt(zmq.RCVHWM, WAITING_MAX)
        opened.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
        opened.setsockopt(zmq.TCP_KEEPALIVE, 1)
        opened.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 30)
        opened.setsockopt(zmq.IPV6, int(self._is_ipv6))
        # The master answers to this name; a second connection of one name is not heard while the first one stands.
        opened.setsockopt(zmq.IDENTITY, self._node.encode())
        opened.connect(self._address)
        return opened

    def send_nowait(self, said: Said) -> bool:
        """False: too much waits already, and this is dropped."""
        try:
            self._socket.send(encode(said), zmq.NOBLOCK)
        except zmq.Again:
            return False
        if self._receiving is not None and self._socket.poll(0, zmq.POLLIN):
            self._receiving.cancel()
        return True

    async def receive(self) -> Said:
        """The next message; raises `NotLocust` for bytes that are none."""
        while True:
            try:
                data = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                await self._wait_news()
                continue
            await trio.lowlevel.checkpoint()
            return decode(data)

    async def _wait_news(self) -> None:
        """Until the descriptor, a send or a redial gives a reason to ask the socket again."""
        with trio.CancelScope() as self._receiving, suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_readable(self._socket.FD)
        self._receiving = None

    def redial(self, node: str) -> None:
        """A new connection by another name; what was not sent yet is dropped."""
        self._node = node
        trio.lowlevel.notify_closing(self._socket.FD)
        self._socket.close(linger=0)
        self._socket = self._open()

    async def aclose(self) -> None:
        """Give the last words LINGER_MS to leave, when nobody receives any more; in a thread, since ZeroMQ blocks for it."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._context.destroy, LINGER_MS)
