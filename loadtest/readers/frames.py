"""Websocket frames as a reading client needs them: whole messages out of any cutting of a server's stream.  Pure.

The lean receive path: about 1 us a frame, for tens of thousands of connections of one
process.  RFC 6455's client side without extensions: lengths of 7, 16 and 64 bits,
fragments, control frames between them, the close.  What a server may not send is a
`Violation`, and nothing is read after it.  Knows nothing of what the messages mean;
wsproto is the oracle of all of it.
"""

from codecs import IncrementalDecoder, getincrementaldecoder
from typing import Final, NamedTuple

from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT
from wire.limits import SERVER_MESSAGE_BYTES_MAX

_UTF8: Final = getincrementaldecoder("utf-8")
_FINAL: Final = 0x80
_MASKED: Final = 0x80
_CONTINUATION: Final = 0x0
_WHOLE_BINARY: Final = _FINAL | OPCODE_BINARY
_CONTROL: Final = frozenset({OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG})
_PROTOCOL: Final = 1002
_INVALID_DATA: Final = 1007
_TOO_BIG: Final = 1009
NO_CODE: Final = 1005
"""RFC 6455's code for a close frame that has none; never sent."""
# Codes below 3000 that may stand in a close frame (RFC 6455, 7.4, and its registry).
_CLOSE_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1014)})


class Frame(NamedTuple):
    """A whole message (text or binary, put together from its fragments) or one control frame."""

    opcode: int
    payload: bytes


class Violation(NamedTuple):
    """What the server may not have sent: the close code it earns, and a plain sentence."""

    code: int
    sentence: str


class FrameReader:
    """One connection's stream.

    Invariant: what `take` answered so far, and `violation`, depend on the bytes given so
    far and not on how they were cut.
    """

    __slots__ = ("_fragments", "_fragments_bytes", "_opcode", "_text", "bytes_max", "is_over", "rest", "violation")

    def __init__(self, bytes_max: int = SERVER_MESSAGE_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        """Of one message, all its fragments together."""
        self.rest = b""
        """The beginning of a frame whose end has not come yet; below `bytes_max` plus a header."""
        self.violation: Violation | None = None
        self.is_over = False
        """After a close frame or a violation: whatever follows is not read."""
        self._opcode = 0
        """Of the message whose fragments are being collected; 0 between messages."""
        self._fragments: list[bytes] | None = None
        self._fragments_bytes = 0
        self._text: IncrementalDecoder | None = None

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins a message: nothing is half received."""
        return not self.rest and not self._opcode

    def take(self, data: bytes) -> list[Frame]:
        """All messages and control frames that `data` completes, in order."""
        frames: list[Frame] = []
        if self.is_over:
            return frames
        if self.rest:
            data, self.rest = self.rest + data, b""
        at, end = 0, len(data)
        while end - at >= 2:
            length, payload = data[at + 1], at + 2
            if length == 126:
                payload = at + 4
                length = data[at + 2] << 8 | data[at + 3] if payload <= end else -1
            elif length == 127:
                payload = at + 10
                length = int.from_bytes(data[at + 2 : payload], "big") if payload <= end else -1
            first, stop = data[at], payload + length
            is_short = length <= self.bytes_max and payload - at == (2 if length < 126 else 4)
            if is_short and first == _WHOLE_BINARY and not self._opcode:
                # The usual frame needs no judge; a masked one has a length above 127 in two bytes of header.
                if stop > end:
                    break
                frames.append(Frame(OPCODE_BINARY, data[payload:stop]))
                at = stop
                continue
            self.violation = self._judge(first, data[at + 1], length)
            if self.violation is not None or length < 0 or stop > end:
                break
            at = stop
            self._finish(first, data[payload:stop], frames)
            if self.is_over or self.violation is not None:
                break
        if self.violation is not None:
            self._stop()
        elif not self.is_over:
            self.rest = data[at:] if at else data
        return frames

    def _judge(self, first: int, second: int, length: int) -> Violation | None:
        """A header that is not the usual one; `length` is -1 while its bytes have not all come."""
        opcode, short = first & 0x0F, second & 0x7F
        if first & 0x70:
            return Violation(_PROTOCOL, "a frame has reserved bits, and no extension was agreed on")
        if second & _MASKED:
            return Violation(_PROTOCOL, "a frame of the server is masked")
        if opcode in _CONTROL:
            if not first & _FINAL:
                return Violation(_PROTOCOL, "a control frame is a fragment")
            if short > 125:
                return Violation(_PROTOCOL, "a control frame is longer than 125 bytes")
            return None
        if opcode not in (_CONTINUATION, OPCODE_TEXT, OPCODE_BINARY):
            return Violation(_PROTOCOL, f"opcode {opcode:#x} means nothing")
        if opcode == _CONTINUATION and not self._opcode:
            return Violation(_PROTOCOL, "a message goes on that never began")
        if opcode != _CONTINUATION and self._opcode:
            return Violation(_PROTOCOL, "a message begins within another one")
        if length >= 0 and not _is_shortest(2 if short < 126 else 4 if short == 126 else 10, length):
            return Violation(_PROTOCOL, "a frame's length is not in its shortest form")
        if length > self.bytes_max - self._fragments_bytes:
            return Violation(_TOO_BIG, f"a message exceeds {self.bytes_max} bytes")
        return None

    def _finish(self, first: int, payload: bytes, frames: list[Frame]) -> None:
        """A whole frame of the rarer sort: control, text, fragment, or very long."""
        opcode = first & 0x0F
        if opcode in _CONTROL:
            self.violation = _judge_close(payload) if opcode == OPCODE_CLOSE else None
            if self.violation is None:
                frames.append(Frame(opcode, payload))
                if opcode == OPCODE_CLOSE:
                    self._stop()
            return
        if self._fragments is None:
            self._fragments, self._opcode = [], opcode
            self._text = _UTF8() if opcode == OPCODE_TEXT else None
        is_final = bool(first & _FINAL)
        if self._text is not None and not _goes_on(self._text, payload, is_final):
            self.violation = Violation(_INVALID_DATA, "a text is not UTF-8")
            return
        self._fragments.append(payload)
        self._fragments_bytes += len(payload)
        if is_final:
            frames.append(Frame(self._opcode, b"".join(self._fragments)))
            self._opcode, self._fragments, self._fragments_bytes = 0, None, 0

    def _stop(self) -> None:
        self.is_over = True
        self._opcode, self._fragments, self._fragments_bytes = 0, None, 0


def read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame that `FrameReader` let through."""
    return (int.from_bytes(payload[:2], "big"), payload[2:].decode()) if payload else (NO_CODE, "")


def _is_shortest(header_bytes: int, length: int) -> bool:
    """Whether a length is in the shortest of its three forms, and below 2**63; one still to come passes."""
    if header_bytes == 2 or length < 0:
        return True
    return 125 < length < 65536 if header_bytes == 4 else 65535 < length < 1 << 63


def _judge_close(payload: bytes) -> Violation | None:
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _CLOSE_CODES or 3000 <= code <= 4999):
        return Violation(_PROTOCOL, "a close frame has no code that may be sent")
    is_text = _goes_on(_UTF8(), payload[2:], is_final=True)
    return None if is_text else Violation(_INVALID_DATA, "the reason of a close frame is not UTF-8")


def _goes_on(text: IncrementalDecoder, data: bytes, is_final: bool) -> bool:
    """Whether a text is still UTF-8 with these bytes, and whole if they are its last."""
    try:
        text.decode(data, is_final)
    except UnicodeDecodeError:
        return False
    return True
