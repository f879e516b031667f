"""A Redis that says what a test wants it to: between a client and a real server, or with no server behind it.

Each command is shown to the test, which answers it with bytes, cuts the connection in the
middle of them, keeps silent, or lets it through.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import hiredis

from runtime.redis_connection import pack
from runtime.schema import RedisSettings

INFO: Final = b"redis_version:7.0.15\r\nrun_id:fake\r\nrole:master\r\nmaster_replid:fake\r\n"


@dataclass(frozen=True)
class Cut:
    """Write these bytes, then close the connection."""

    data: bytes = b""


class Silence:
    """Answer nothing, to this command and all that follow on its connection."""


Answer = bytes | Cut | Silence | None
"""None lets a command through to the server behind."""


def encoded(reply: Any) -> bytes:
    """A reply as it travels."""
    if isinstance(reply, hiredis.ReplyError):
        return b"-" + str(reply).encode() + b"\r\n"
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if reply is None:
        return b"$-1\r\n"
    return b"*%d\r\n" % len(reply) + b"".join(encoded(each) for each in reply)


class RedisProxy:
    """See the module.  `answer` may be changed at any time; it runs in the thread of a connection."""

    def __init__(self, answer: Callable[[list[bytes]], Answer], upstream_port: int | None = None) -> None:
        self.answer = answer
        self.commands: list[list[bytes]] = []
        """All that were received, of all connections, in order."""
        self.connections = 0
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings(url=f"redis://127.0.0.1:{self.port}/0", timeout_s=5.0)

    @property
    def hasty(self) -> RedisSettings:
        """For tests that wait for the timeout itself."""
        return RedisSettings(url=self.settings.url, timeout_s=0.3)

    def count(self, *word: bytes) -> int:
        """How many commands began with these words."""
        return sum(1 for command in self.commands if tuple(command[: len(word)]) == word)

    def close(self) -> None:
        # Shut down first: closing alone does not wake a thread that waits in accept or recv.
        for sock in (self._listener, *self._sockets):
            with suppress(OSError):  # its peer was first
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        reader = hiredis.Reader(notEnoughData=self)
        upstream = _Upstream(self._upstream_port) if self._upstream_port is not None else None
        try:
            while data := client.recv(65536):
                reader.feed(data)
                while (command := reader.gets()) is not self:
                    self.commands.append(command)
                    answer = self.answer(command)
                    if isinstance(answer, Silence):
                        while client.recv(65536):
                            continue
                        return
                    if isinstance(answer, Cut):
                        client.sendall(answer.data)
                        return
                    client.sendall(answer if answer is not None else self._pass_on(command, upstream))
        except OSError:
            # The client has gone, or the test is over.
            return
        finally:
            client.close()
            if upstream is not None:
                upstream.close()

    def _pass_on(self, command: Sequence[bytes], upstream: "_Upstream | None") -> bytes:
        if upstream is not None:
            return encoded(upstream.ask(command))
        return encoded(INFO) if command[0] == b"INFO" else b"+OK\r\n"


class _Upstream:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._reader = hiredis.Reader(notEnoughData=self)

    def ask(self, command: Sequence[bytes]) -> Any:
        self._socket.sendall(pack(*command))
        while (reply := self._reader.gets()) is self:
            data = self._socket.recv(65536)
            if not data:
                raise OSError("the server behind the proxy has gone")
            self._reader.feed(data)
        return reply

    def close(self) -> None:
        self._socket.close()


def let_through(_: list[bytes]) -> Answer:
    """Every command to the server behind."""
    return None


@contextmanager
def redis_proxy(answer: Callable[[list[bytes]], Answer] = let_through, upstream_port: int | None = None) -> Iterator[RedisProxy]:
    proxy = RedisProxy(answer, upstream_port)
    try:
        yield proxy
    finally:
        proxy.close()
