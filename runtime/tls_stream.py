"""TLS over a non-blocking byte stream: plaintext on one side, what the kernel takes and gives on the other.

The engine under runtime/tls_transport.py.  OpenSSL works on buffers in memory (`ssl.MemoryBIO`), so nothing here
waits: bytes go in and out through the two functions of the stream below.

The hard part is a promise that OpenSSL cannot take back.  A record that was encrypted has its place in the stream,
even if the kernel takes none of it, while callers of `send` may change their mind about all that was not taken (a
reader that lags reads the next events from a ring).  So a buffer of which only a part left is told to be cut *behind
its first byte* and before its last: the caller keeps the rest, has a writer for it, and comes back with it first, as
for any cut buffer (gateway/outbox.py).  What is encrypted and not sent is thereby on the caller's account, and a
buffer is told to be taken when its last record has left.

What OpenSSL says by itself (session tickets, answers to key updates, alerts) goes out in its place between records,
with the next `send` or `recv`.
"""

import errno
import ssl
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from wire.limits import (
    TLS_HANDSHAKE_BYTES_MAX,
    TLS_READ_BYTES,
    TLS_READS_PER_RECV_MAX,
    TLS_RECORD_BYTES,
    TLS_UNSENT_BYTES_MAX,
    TLS_WRITE_BYTES_MAX,
)


class HandshakeStep(Enum):
    """What a handshake needs to go on."""

    OVER = "over"
    WANTS_BYTES = "wants_bytes"
    WANTS_ROOM = "wants_room"


class HandshakeTooLarge(OSError):
    """The peer has sent more than any honest handshake has."""


class TlsStream:
    """One connection's TLS.  Invariant: at most TLS_UNSENT_BYTES_MAX bytes are encrypted and not sent."""

    __slots__ = (
        "_handshake_bytes",
        "_incoming",
        "_is_closed",
        "_is_open",
        "_outgoing",
        "_owed",
        "_tls",
        "_try_recv",
        "_try_send",
        "_unsent",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        try_send: Callable[[bytes], int],
        try_recv: Callable[[int], bytes],
        *,
        server_name: str = "",
    ) -> None:
        """`server_name` makes this the client's side, which believes that name only; "": the server's."""
        self._try_send = try_send
        self._try_recv = try_recv
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=not server_name, server_hostname=server_name or None
        )
        self._unsent = b""
        """Ciphertext that the kernel has not taken."""
        self._owed = 0
        """So many bytes at the beginning of the caller's rest are encrypted already."""
        self._handshake_bytes = 0
        self._is_open = False
        self._is_closed = False
        if server_name:
            self._advance()

    # --- the handshake ---------------------------------------------------------------------------

    def step_handshake(self) -> HandshakeStep:
        """Go as far as is possible now.

        Raises `ssl.SSLError` for a peer with which there is no TLS (then `refuse` it), `HandshakeTooLarge`, and
        another `OSError` when it has left.
        """
        while not self._is_open:
            if not self._flush():
                return HandshakeStep.WANTS_ROOM
            try:
                data = self._try_recv(TLS_READ_BYTES)
            except BlockingIOError:
                return HandshakeStep.WANTS_BYTES
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "left during the TLS handshake")
            self._handshake_bytes += len(data)
            if self._handshake_bytes > TLS_HANDSHAKE_BYTES_MAX:
                raise HandshakeTooLarge(errno.EMSGSIZE, f"a TLS handshake of more than {TLS_HANDSHAKE_BYTES_MAX} bytes")
            self._incoming.write(data)
            self._advance()
        return HandshakeStep.OVER if self._flush() else HandshakeStep.WANTS_ROOM

    def _advance(self) -> None:
        try:
            self._tls.do_handshake()
            self._is_open = True
        except ssl.SSLWantReadError:
            # The usual case: what we have to say is in the buffer, and the peer's answer is not here yet.
            pass
        finally:
            self._gather()

    def refuse(self, plain: bytes = b"") -> None:
        """Last words to a peer whose handshake failed: TLS's own alert, or `plain` for one that speaks no TLS."""
        self._say_once(plain or self._unsent)
        self._unsent = b""

    # --- the open stream -------------------------------------------------------------------------

    def send(self, data: bytes | memoryview) -> int:
        """`Transport.try_send`.  After a part was taken the next call begins with the rest."""
        if not self._is_open or self._is_closed:
            raise OSError(errno.ENOTCONN, "the TLS stream is not open")
        if not self._flush():
            raise BlockingIOError(errno.EAGAIN, "the stream below takes no more now")
        size = len(data)
        taken, self._owed = self._owed, 0
        assert taken <= size, "who was told that a buffer is cut comes back with all of its rest"
        while taken < size:
            part = data[taken : taken + TLS_WRITE_BYTES_MAX]
            self._encrypt(part)
            if not self._flush():
                return self._cut(taken, taken + len(part))
            taken += len(part)
        return taken

    def _cut(self, taken: int, encrypted: int) -> int:
        """How many bytes are told to be taken, of which so many have left, when so many are encrypted.

        0 would leave the caller free to send something else instead, and all would leave nobody to send what is here.
        (A lone byte is told as taken, and leaves with whatever is sent or received next; no frame is so short.)
        """
        told = max(taken, 1)
        self._owed = encrypted - told
        return told

    def _encrypt(self, part: bytes | memoryview) -> None:
        """Into records, which are taken out one by one: the buffer between keeps the size of the largest for ever."""
        records = []
        for start in range(0, len(part), TLS_RECORD_BYTES):
            self._tls.write(part[start : start + TLS_RECORD_BYTES])
            records.append(self._outgoing.read())
        self._unsent = records[0] if len(records) == 1 else b"".join(records)

    def recv(self, bytes_max: int) -> bytes:
        """`Transport.try_recv`: at most one record's plaintext.  A TLS goodbye is an end of the stream like any other."""
        if not self._is_open or self._is_closed:
            raise OSError(errno.ENOTCONN, "the TLS stream is not open")
        for _ in range(TLS_READS_PER_RECV_MAX):
            data: bytes | None = None
            try:
                data = self._tls.read(bytes_max)
            except ssl.SSLWantReadError:
                # What is here is less than a record, or no data at all.
                pass
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError:
                self._gather()
                self._flush()
                raise
            if self._outgoing.pending:
                self._answer()
            if data is not None:
                return data
            encrypted = self._try_recv(TLS_READ_BYTES)
            if not encrypted:
                return b""
            self._incoming.write(encrypted)
        # More than a record, and nothing to read in it: others have their turn first.
        raise BlockingIOError(errno.EAGAIN, "nothing to read so far")

    @property
    def holds_bytes(self) -> bool:
        """Whether `recv` may find something that the stream below knows nothing of any more."""
        return not self._is_closed and (self._incoming.pending > 0 or self._tls.pending() > 0)

    def close(self, *, says_goodbye: bool) -> None:
        """Nothing is sent or received any more; the stream below is its owner's to close.  Idempotent.

        TLS's goodbye is said only between two whole buffers: after half a frame it would vouch for it.
        """
        if says_goodbye and self._is_open and not self._is_closed and not self._unsent and not self._owed:
            # Ours is written first; the peer's, which OpenSSL then looks for, is nothing to wait for.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._say_once(self._outgoing.read())
        self._is_closed = True
        self._unsent = b""

    # --- what is on its way out --------------------------------------------------------------------

    def _answer(self) -> None:
        """Send what OpenSSL says by itself; a peer that asks and asks, and reads nothing, is left."""
        self._gather()
        if not self._flush() and len(self._unsent) > TLS_UNSENT_BYTES_MAX:
            raise ConnectionAbortedError(errno.ECONNABORTED, "asks for TLS answers and reads none")

    def _gather(self) -> None:
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()

    def _flush(self) -> bool:
        """Offer what is encrypted to the stream below; whether nothing waits any more."""
        if self._unsent:
            try:
                self._unsent = self._unsent[self._try_send(self._unsent) :]
            except BlockingIOError:
                return False
        return not self._unsent

    def _say_once(self, words: bytes) -> None:
        """The last of a connection, if the kernel takes it: nobody waits for it, and who has left misses nothing."""
        if words:
            try:
                self._try_send(words)
            except OSError:
                return
