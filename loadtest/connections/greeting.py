"""The client's half of a connection's beginning: upgrade, hello with joins, welcome.  Pure.

Sans I/O: bytes in, bytes out, until one of `welcome`, `refused` or `rejected` is set.  It
is an object of its own so that nothing of it is kept for a connection that is open.
"""

import base64
import hashlib
import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from loadtest.readers.frames import FrameReader, read_close
from wire.client_codec import Form, decode_server_message, encode, is_unknown_server_kind
from wire.client_messages import PROTOCOL_VERSION, ClientMessage, Hello, JoinRequest, Position, Refused, Welcome
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG
from wire.limits import HANDSHAKE_BYTES_MAX

_ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# An answer's head is ours and small; a proxy may add to it.
_HEAD_BYTES_MAX: Final = 2 * HANDSHAKE_BYTES_MAX


class Rejected(NamedTuple):
    """Neither a welcome nor a `refused`: the connection came to nothing.

    `code` is what a report counts it under: ``http 503``, a close code such as ``3013``,
    or ``protocol`` for what no server of ours says.
    """

    code: str
    sentence: str
    retry_after_s: float = 0.0
    close_code: int = 0
    """What it was closed with, if it was; the code says whether to come back."""


class Greeting:
    """Says what to send and reads what comes, until it is known how the connection began.

    Every request is answered before the next is sent, as a browser does it: an upgrade
    and a hello in one packet would take another path through the server.
    """

    __slots__ = ("_accept", "_head", "_hello", "_mask", "frames", "refused", "rejected", "request", "rest", "welcome")

    def __init__(
        self,
        authority: str,
        path: str,
        joins: Iterable[JoinRequest],
        *,
        key: bytes,
        mask: bytes,
        client: str = "",
        name: str = "",
        guest: str = "",
        session: str = "",
    ) -> None:
        """`authority` is host and port as in the address; `key` is 16 random bytes, `mask` 4.

        Who comes back says in each join where it was (`since`), and who it is.
        """
        encoded_key = base64.b64encode(key)
        self._accept = base64.b64encode(hashlib.sha1(encoded_key + _ACCEPT_GUID).digest())
        self.request = (
            b"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n"
            % ((path or "/").encode(), authority.encode(), encoded_key, Form.MSGPACK.value.encode())
        )
        hello = Hello(PROTOCOL_VERSION, client=client, guest=guest, session=session, name=name, joins=list(joins))
        self._hello = message_frame(hello, mask)
        self._mask = mask
        self._head: bytes | None = b""
        """Of the server's answer, as far as it has come; None once it was read."""
        self.frames = FrameReader()
        self.welcome: Welcome | None = None
        self.refused: Refused | None = None
        """Instead of a welcome: the gateway has no room now, says when it may have, and closes."""
        self.rejected: Rejected | None = None
        self.rest = b""
        """What came behind the welcome, to be read by the frame reader of what follows."""

    @property
    def is_done(self) -> bool:
        return self.welcome is not None or self.refused is not None or self.rejected is not None

    def receive(self, data: bytes) -> bytes:
        """Read on; answers what is to be sent now.  ``b""`` given is the end of the stream."""
        if self.is_done:
            return b""
        if not data:
            upgraded = "after" if self._head is None else "before"
            self.rejected = Rejected("closed", f"the server ended the connection {upgraded} the upgrade")
            return b""
        reply = b""
        if self._head is not None:
            head, found, data = (self._head + data).partition(b"\r\n\r\n")
            if not found:
                self._head = head
                if len(head) > _HEAD_BYTES_MAX:
                    self._reject("the head of the server's answer does not end")
                return b""
            self._head = None
            self._read_head(head)
            if self.is_done:
                return b""
            reply = self._hello
        return reply + self._read_frames(data)

    def _read_frames(self, data: bytes) -> bytes:
        """Up to the welcome; what lies behind it stays bytes, for whoever reads on."""
        reply = b""
        while not self.is_done:
            held = len(self.frames.rest)
            cut = _first_frame_end(self.frames.rest + data) - held
            piece, data = data[:cut], data[cut:]
            frames = self.frames.take(piece)
            if self.frames.violation is not None:
                self._reject(self.frames.violation.sentence)
            for frame in frames:
                if frame.opcode == OPCODE_PING:
                    reply += masked_frame(frame.payload, self._mask, OPCODE_PONG)
                elif frame.opcode == OPCODE_CLOSE:
                    code, reason = read_close(frame.payload)
                    self.rejected = Rejected(str(code), reason or "closed instead of a welcome", close_code=code)
                elif frame.opcode == OPCODE_BINARY:
                    self._read_message(frame.payload)
                elif frame.opcode != OPCODE_PONG:
                    self._reject("a text frame, though binary ones were agreed on")
            if not data:
                break
        self.rest = data
        return reply

    def _read_message(self, payload: bytes) -> None:
        try:
            message = decode_server_message(payload, Form.MSGPACK)
        except PeerError as error:
            if not is_unknown_server_kind(payload, Form.MSGPACK):
                self._reject(error.message)
            return
        if isinstance(message, Refused):
            self.refused = message
        elif isinstance(message, Welcome):
            self.welcome = message
        else:
            self._reject(f"{type(message).__name__} instead of a welcome")

    def _read_head(self, head: bytes) -> None:
        status, *lines = head.split(b"\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        version, _, answer = status.partition(b" ")
        code = answer[:3]
        if not version.startswith(b"HTTP/1.") or not code.isdigit():
            self._reject("the server's answer is no HTTP")
        elif code != b"101":
            advice = headers.get(b"retry-after", b"")
            retry_after_s = float(advice) if advice.isdigit() else 0.0
            self.rejected = Rejected(f"http {code.decode()}", answer.decode(errors="replace"), retry_after_s)
        elif headers.get(b"sec-websocket-accept") != self._accept:
            self._reject("upgraded, but not in answer to our key")
        elif headers.get(b"sec-websocket-protocol") != Form.MSGPACK.value.encode():
            self._reject(f"upgraded, but not to {Form.MSGPACK.value}")

    def _reject(self, sentence: str) -> None:
        self.rejected = Rejected("protocol", sentence, close_code=CloseCode.PROTOCOL)


def joins_of(rooms: Iterable[str], since: Mapping[str, Position], limit: int = 0) -> list[JoinRequest]:
    """The joins of a hello: each room from where its reader was, if it was there, else with its last `limit` events."""
    return [JoinRequest(room, since.get(room), limit=limit) for room in rooms]


def message_frame(message: ClientMessage, mask: bytes) -> bytes:
    """One message as one frame; `mask` is 4 bytes."""
    return masked_frame(encode(message, Form.MSGPACK), mask)


def masked_frame(payload: bytes, mask: bytes, opcode: int = OPCODE_BINARY) -> bytes:
    """One frame as a client must send it; `mask` is 4 bytes."""
    length, first = len(payload), 0x80 | opcode
    if length < 126:
        header = bytes((first, 0x80 | length))
    elif length < 65536:
        header = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        header = struct.pack("!BBQ", first, 0x80 | 127, length)
    key = (mask * (length // 4 + 1))[:length]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return header + mask + masked.to_bytes(length, "big")


def _first_frame_end(data: bytes) -> int:
    """Where the frame that begins `data` ends; all of it when the end has not come yet, or the frame is none."""
    if len(data) < 2:
        return len(data)
    length, payload = data[1] & 0x7F, 2
    if length > 125:
        payload = 4 if length == 126 else 10
        length = int.from_bytes(data[2:payload], "big")
    return min(len(data), payload + length)
