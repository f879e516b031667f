"""The client's half of a connection's beginning: upgrade, hello with joins, welcome.  Sans I/O."""

import base64
import hashlib
import struct

from bench.stream import StreamError, split_frames
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import PROTOCOL_VERSION, ClientMessage, Hello, JoinRequest, Position, Refused, Welcome

_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_BYTES_MAX = 16 * 1024


def masked_frame(payload: bytes, mask: bytes, opcode: int = 0x2) -> bytes:
    """One frame as a client must send it; `mask` is 4 bytes."""
    length = len(payload)
    header = bytes((0x80 | opcode, 0x80 | length)) if length < 126 else struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    key = (mask * (length // 4 + 1))[:length]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return header + mask + masked.to_bytes(length, "big")


def message_frame(message: ClientMessage, mask: bytes) -> bytes:
    return masked_frame(encode(message, Form.MSGPACK), mask)


class Handshake:
    """Says what to send and reads what comes, until the welcome is there.

    Every request is answered before the next is sent, as a browser does it: an upgrade
    and a hello in one packet would measure another server path.
    """

    __slots__ = ("_accept", "_data", "_hello", "_upgraded", "refused", "request", "rest", "welcome")

    def __init__(
        self, host: str, port: int, rooms: list[str], key: bytes, mask: bytes, name: str = "",
        since: dict[str, Position] | None = None, guest: str = "", session: str = "",
    ) -> None:
        """`key` is 16 random bytes, `mask` 4; history is not asked for, so live events are all that follows.

        Who comes back says where it was in each room (`since`), and who it is.
        """
        encoded_key = base64.b64encode(key)
        self._accept = base64.b64encode(hashlib.sha1(encoded_key + _ACCEPT_GUID).digest())
        self.request = (
            b"GET /ws HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n"
            % (host.encode(), port, encoded_key, Form.MSGPACK.value.encode())
        )
        joins = [JoinRequest(room, (since or {}).get(room), limit=0) for room in rooms]
        hello = Hello(PROTOCOL_VERSION, client="bench", guest=guest, session=session, name=name, joins=joins)
        self._hello = message_frame(hello, mask)
        self._data = bytearray()
        self._upgraded = False
        self.welcome: Welcome | None = None
        self.refused: Refused | None = None
        """Instead of a welcome: the gateway has no room now, says when it may have, and closes."""
        self.rest = b""
        """What came behind the welcome."""

    def receive(self, data: bytes) -> bytes:
        """Read on; answers what is to be sent now.  Done when `welcome` is set; raises `StreamError`."""
        self._data += data
        reply = b""
        if not self._upgraded:
            head, found, rest = bytes(self._data).partition(b"\r\n\r\n")
            if not found:
                if len(self._data) > _HEAD_BYTES_MAX:
                    raise StreamError("the answer to the upgrade does not end")
                return b""
            self._check_upgrade(head)
            self._upgraded, self._data, reply = True, bytearray(rest), self._hello
        for _, start, end in split_frames(self._data, len(self._data)):
            message = decode_server_message(bytes(self._data[start:end]), Form.MSGPACK)
            if isinstance(message, Refused):
                self.refused = message
                break
            if not isinstance(message, Welcome):
                raise StreamError(f"{type(message).__name__} instead of a welcome")
            self.welcome, self.rest = message, bytes(self._data[end:])
            break
        return reply

    def _check_upgrade(self, head: bytes) -> None:
        status, *lines = head.split(b"\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if not status.startswith(b"HTTP/1.1 101 ") or headers.get(b"sec-websocket-accept") != self._accept:
            raise StreamError(f"not upgraded: {status.decode(errors='replace')}")
        if headers.get(b"sec-websocket-protocol") != Form.MSGPACK.value.encode():
            raise StreamError("upgraded, but to another subprotocol")
