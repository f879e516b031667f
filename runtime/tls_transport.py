"""TLS at the seam of transport.py: a transport over another one, and a listener whose connections are such.

`try_send` and `try_recv` are the engine's own methods, so whoever stores them (the fan-out) holds no wrapper, and
closing a connection leaves no reference cycle for the collector to find.
"""

import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import trio

from runtime.tls_stream import HandshakeStep, TlsStream
from runtime.transport import Listener, Transport


class TlsTransport:
    """One connection; nothing is sent or received before `step_handshake` has said that the handshake is over."""

    __slots__ = ("_below", "_stream", "peer", "try_recv", "try_send")

    try_send: Callable[[bytes | memoryview], int]
    try_recv: Callable[[int], bytes]

    def __init__(self, below: Transport, context: ssl.SSLContext, *, server_name: str = "") -> None:
        """`server_name` makes this the client's side; "": the server's."""
        self._below = below
        self._stream = TlsStream(context, below.try_send, below.try_recv, server_name=server_name)
        self.peer = below.peer
        self.try_send = self._stream.send
        self.try_recv = self._stream.recv

    @property
    def below(self) -> Transport:
        """The stream that carries it, for what a proxy says before the handshake."""
        return self._below

    def step_handshake(self) -> HandshakeStep:
        """See `TlsStream.step_handshake`; wait for what it wants, then call it again."""
        return self._stream.step_handshake()

    def refuse(self, plain: bytes = b"") -> None:
        """See `TlsStream.refuse`."""
        self._stream.refuse(plain)

    # Plain functions that answer another's coroutine: a coroutine of their own would cost each idle connection 0.2 KiB.

    def wait_readable(self) -> Coroutine[Any, Any, None]:
        """Returns after one checkpoint when bytes wait in the engine: of them the kernel will not tell."""
        if self._stream.holds_bytes:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 -- whoever called this awaits it
        return self._below.wait_readable()

    def wait_writable(self) -> Coroutine[Any, Any, None]:
        return self._below.wait_writable()

    def close(self) -> None:
        self._stream.close(says_goodbye=True)
        self._below.close()

    def abort(self) -> None:
        self._stream.close(says_goodbye=False)
        self._below.abort()


class TlsListener:
    """Another listener's connections, each with the context that `current` gives at its accept."""

    __slots__ = ("_below", "_current", "host", "port")

    def __init__(self, below: Listener, current: Callable[[], ssl.SSLContext]) -> None:
        self._below = below
        self._current = current
        self.host, self.port = below.host, below.port

    def try_accept(self) -> Transport:
        return TlsTransport(self._below.try_accept(), self._current())

    async def wait_acceptable(self) -> None:
        await self._below.wait_acceptable()

    def close(self) -> None:
        self._below.close()
