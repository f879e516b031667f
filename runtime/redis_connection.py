"""One connection to one Redis: commands out in one piece, replies in, and over for good when anything goes wrong.

redis-py connects (address, TLS, password, database) and packs; the exchange is ours, since
what a caller must know is whether its commands *may have been carried out*, and redis-py's
retries and health checks blur exactly that.  Error replies are values: in a pipeline each
command has its own.  A connection on which an exchange ended early is closed, never used
again: its next reply would be the answer to an older question.
"""

import select
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import hiredis
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError

from runtime.redis_url import Address, RedisPlace
from runtime.schema import RedisSettings

ReplyError = hiredis.ReplyError
Reply = Any
"""bytes, int, None, a `ReplyError`, or a list of replies: as the command says."""
Argument = bytes | str | int | float

VERSION_MIN: Final = (7, 0)
_RECEIVE_BYTES: Final = 64 * 1024
_NOT_YET: Final = object()


class RedisAway(Exception):
    """Redis cannot be reached, did not answer in time, or says that it cannot serve now.

    `maybe_done`: commands may have been carried out all the same.
    """

    def __init__(self, sentence: str, *, maybe_done: bool = False) -> None:
        super().__init__(sentence)
        self.maybe_done = maybe_done


class RedisConnection:
    """See the module.  One thread at a time."""

    def __init__(
        self, place: RedisPlace, address: Address | None, settings: RedisSettings, *, with_password: bool = True
    ) -> None:
        """Connect and make ourselves known; raises `RedisAway`.  `address` is None for a unix socket."""
        self.name = shown(address) if address is not None else place.path
        self._timeout_s = settings.timeout_s
        self._connection = _redis_py_connection(place, address, settings, with_password)
        try:
            self._connection.connect()
        except RedisError as error:
            raise RedisAway(f"Redis {self.name}: {_cause(error)}") from error
        self._socket: socket.socket = self._connection._get_socket()
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        self._buffer = bytearray(_RECEIVE_BYTES)
        self.why_cut = ""
        """Why the last `receive` answered less than it was asked for."""
        self._awaited = 0
        """Replies of commands that were sent and not yet received."""
        self.is_open = True

    def close(self) -> None:
        self.is_open = False
        self._connection.disconnect()

    def is_stale(self) -> bool:
        """Whether the server has closed it, or says something that nobody asked for: not to be used any more.

        Found out without sending, so that a restart of an idle server makes no outcome unknown.
        """
        if not self.is_open or self._awaited or self._reader.has_data():
            return True
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return bool(poller.poll(0))

    def send(self, packed: bytes, replies: int) -> None:
        """Send commands that make so many replies; raises `RedisAway`."""
        try:
            self._socket.settimeout(self._timeout_s)
            self._awaited += replies
            self._socket.sendall(packed)
        except OSError as error:
            self.close()
            raise RedisAway(f"Redis {self.name}: {_cause(error)} while it was written to", maybe_done=True) from error

    def receive(self, replies: int, deadline_s: float) -> list[Reply]:
        """The next replies, in order, until `deadline_s` of the monotonic clock.

        Answers fewer when the connection failed or time was up: the connection is then closed,
        and `why_cut` says what happened.
        """
        received: list[Reply] = []
        take, feed, buffer = self._reader.gets, cast(Callable[[bytearray, int, int], None], self._reader.feed), self._buffer
        try:
            while True:
                while (reply := take()) is not _NOT_YET:
                    received.append(reply)
                    if len(received) == replies:
                        self._awaited -= replies
                        return received
                # At least a little, so that replies that have arrived are read whatever the time is.
                self._socket.settimeout(max(0.001, deadline_s - time.monotonic()))
                count = self._socket.recv_into(buffer)
                if not count:
                    self.why_cut = f"Redis {self.name}: closed the connection in the middle of a reply"
                    break
                feed(buffer, 0, count)
        except TimeoutError:
            self.why_cut = f"Redis {self.name}: no answer within {self._timeout_s:g} s"
        except OSError as error:
            self.why_cut = f"Redis {self.name}: {_cause(error)}"
        except hiredis.ProtocolError as error:
            self.why_cut = f"Redis {self.name}: does not speak Redis' protocol: {error}"
        self.close()
        return received

    def exchange(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Send commands together and answer all replies; raises `RedisAway` when any is missing."""
        return self.exchange_packed(b"".join([pack(*command) for command in commands]), len(commands))

    def exchange_packed(self, packed: bytes, count: int) -> list[Reply]:
        """As `exchange`, for `count` commands that are packed already."""
        self.send(packed, count)
        replies = self.receive(count, self.deadline())
        if len(replies) < count:
            raise RedisAway(self.why_cut, maybe_done=True)
        return replies

    def call(self, *command: Argument) -> Reply:
        """One command, one reply; error replies are values here too."""
        return self.exchange([command])[0]

    def deadline(self) -> float:
        """When an answer to what is sent now is due."""
        return time.monotonic() + self._timeout_s


def pack(*command: Argument) -> bytes:
    """One command as Redis reads it."""
    # Its stub knows tuples of one argument only.
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return packed


def shown(address: Address) -> str:
    """An address as people write it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def code_of(error: ReplyError) -> str:
    """The word an error reply begins with: ``MOVED``, ``OOM``, ``ERR``."""
    return str(error).partition(" ")[0]


def password_of(settings: RedisSettings) -> str | None:
    """Read anew for each connection, so that a password can be changed under a running program; raises `RedisAway`."""
    if not settings.password_file:
        return None
    try:
        lines = Path(settings.password_file).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RedisAway(f"redis.password_file {settings.password_file} cannot be read: {_cause(error)}") from error
    if not lines or not lines[0].strip():
        raise RedisAway(f"redis.password_file {settings.password_file} holds no password in its first line")
    return lines[0].strip()


def _redis_py_connection(
    place: RedisPlace, address: Address | None, settings: RedisSettings, with_password: bool
) -> Any:
    """Not connected yet.  `Any`: redis-py leaves these classes partly untyped."""
    options: dict[str, Any] = {
        "db": place.database if place.topology != "cluster" else 0,
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.timeout_s,
        "protocol": 2,
        "driver_info": None,
    }
    if with_password and settings.password_file:
        options["password"] = password_of(settings)
        options["username"] = settings.username or None
    kind: Any
    if address is None:
        kind = UnixDomainSocketConnection
        return kind(path=place.path, **options)
    kind = SSLConnection if place.tls else Connection
    return kind(host=address[0], port=address[1], **options)


def _cause(error: BaseException) -> str:
    """What went wrong, in the words of whoever said it first."""
    for said in (error, error.__context__):
        if isinstance(said, OSError) and said.strerror:
            return said.strerror
    return str(error).rstrip(".") or type(error).__name__
