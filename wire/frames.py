"""The websocket header that the server puts before a payload (RFC 6455, 5.2).

Server frames are never masked, so the same bytes fit every reader: that is what makes
one encoding for a whole room possible.  wsproto is the oracle of these few lines.
"""

import struct

OPCODE_TEXT = 0x1
OPCODE_BINARY = 0x2
OPCODE_CLOSE = 0x8
OPCODE_PING = 0x9
OPCODE_PONG = 0xA
# Beside an opcode: the payload is deflated (RFC 7692, 6; the first reserved bit).
DEFLATED_BIT = 0x40
_FINAL = 0x80


def frame_header(opcode: int, length: int) -> bytes:
    """The header of one final, unmasked frame of `length` payload bytes."""
    if length < 126:
        return bytes((_FINAL | opcode, length))
    if length < 65536:
        return struct.pack("!BBH", _FINAL | opcode, 126, length)
    return struct.pack("!BBQ", _FINAL | opcode, 127, length)


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole server frame."""
    return frame_header(opcode, len(payload)) + payload


def header_length(length: int) -> int:
    """How many bytes `frame_header` takes before a payload of `length` bytes."""
    return 2 if length < 126 else 4 if length < 65536 else 10
