"""TLS for readers: a socket that does not block and looks like a plain one to whoever reads it by edges.

Costs a reader some 50 KiB where a plain one costs 2, and 10 us a frame: a test of many clients
belongs behind the balancer that ends TLS, this is for what is in front of it.
"""

import socket
import ssl
from typing import Final

_RECEIVE_BYTES: Final = 64 * 1024


class SecureSocket:
    """`raw` is connected, or is being connected; raises what a socket raises, `ConnectionError` for what TLS does not like."""

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._raw = raw
        self._host = host
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake(self) -> bool:
        """Go on with the handshake as far as bytes have come; whether it is done."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                try:
                    data = self._raw.recv(_RECEIVE_BYTES)
                except BlockingIOError:
                    return False
                if not data:
                    raise ConnectionError(f"no TLS with {self._host}: it ended the connection") from None
                self._incoming.write(data)
            except ssl.SSLError as error:
                raise ConnectionError(f"no TLS with {self._host}: {error.reason or error}") from error
            else:
                self._flush()
                return True

    def recv(self, _: int) -> bytes:
        """All that is there, however much; ``b""`` is the end."""
        parts: list[bytes] = []
        while True:
            try:
                data = self._raw.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                break
            if not data:
                # Nothing of it is lost: whoever is told of the end asks again.
                return b"".join(parts)
            self._incoming.write(data)
            if not self._read_into(parts):
                return b"".join(parts)
        if not parts:
            raise BlockingIOError
        return b"".join(parts)

    def _read_into(self, parts: list[bytes]) -> bool:
        """What the bytes so far give; False at TLS's own goodbye."""
        try:
            while data := self._tls.read(_RECEIVE_BYTES):
                parts.append(data)
        except ssl.SSLWantReadError:
            self._flush()
            return True
        except ssl.SSLZeroReturnError:
            return False
        except ssl.SSLError as error:
            raise ConnectionError(f"broken TLS with {self._host}: {error.reason or error}") from error
        return False

    def send(self, data: bytes) -> int:
        """All of `data`, or an error: half a record is of no use to anybody."""
        self._tls.write(data)
        self._flush()
        return len(data)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and self._raw.send(data) < len(data):
            raise ConnectionError("the server takes no more bytes")

    def connect_ex(self, address: tuple[str | int | bytes, ...]) -> int:
        return self._raw.connect_ex(address)

    def getsockopt(self, level: int, option: int) -> int:
        return self._raw.getsockopt(level, option)

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        self._raw.setsockopt(level, option, value)

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
