"""The seam under every connection: plain sockets, TLS, and the simulator's network.

A transport is a non-blocking byte stream.  `try_send` and `try_recv` are attributes, not
methods of a wrapper: for a plain socket they *are* `socket.send` and `socket.recv`, so the
fan-out pays nothing for the seam (a Python wrapper costs 0.1 us of the 3 us a send takes).
"""

from collections.abc import Callable
from typing import Protocol


class Transport(Protocol):
    """One connected byte stream.

    `try_send(data)` takes what it can and answers how many bytes that was; it raises
    `BlockingIOError` when it can take nothing now, another `OSError` when the stream is dead.
    After a part was taken the next call begins with the rest, which over TLS may be encrypted
    already: what was told as taken arrives for certain only when the rest is taken, too.
    `try_recv(n)` answers at most n bytes, ``b""`` at the peer's end of stream, and raises
    likewise.  At most one task waits for each direction.
    """

    try_send: Callable[[bytes | memoryview], int]
    try_recv: Callable[[int], bytes]
    peer: str
    """Where the other end is, for logs: ``127.0.0.1:40312`` or ``pair``."""

    async def wait_readable(self) -> None: ...
    async def wait_writable(self) -> None: ...
    def close(self) -> None:
        """Let go of the stream at once; idempotent.  A task that waits gets `trio.ClosedResourceError`."""

    def abort(self) -> None:
        """`close`, and what the peer has not taken is thrown away: a dead reader keeps no kernel memory."""


class Listener(Protocol):
    """A bound, listening address.  `port` is the real one when 0 was asked for."""

    host: str
    port: int

    def try_accept(self) -> Transport:
        """The next connection; `BlockingIOError` when there is none, another `OSError` as accept(2) gives it (EMFILE)."""

    async def wait_acceptable(self) -> None: ...
    def close(self) -> None: ...


class Network(Protocol):
    """How a role listens and connects; given to it, never global."""

    async def listen(self, host: str, port: int, *, send_buffer_bytes: int = 0) -> Listener: ...
    async def connect(self, host: str, port: int) -> Transport:
        """Raises `OSError` when there is nobody; the caller sets the deadline."""

    def pair(self) -> tuple[Transport, Transport]:
        """Two ends of one stream inside this process."""
