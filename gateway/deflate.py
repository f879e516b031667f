"""permessage-deflate (RFC 7692) on the bytes of one message.  Pure.

No context is taken over, in either direction.  So a message is deflated by itself: the same
bytes fit every reader of a room, frames can be joined into one buffer, and an idle connection
holds no window (32 KiB and more each way).  The price: a message can refer to nothing before
it, and a short one hardly shrinks.

Only what everyone in a room reads is deflated: events.  A welcome with its tokens never is,
so no length tells anything about a secret.
"""

import zlib
from enum import Enum

from wire.client_codec import Form
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.limits import DEFLATE_BYTES_MIN, DEFLATE_FINAL_BLOCKS_MAX


class Deflated(Enum):
    """A form whose events are deflated where that makes them shorter; the value is the form underneath."""

    MSGPACK = Form.MSGPACK
    JSON = Form.JSON


EventForm = Form | Deflated
"""How the events of a room look to one reader: a feed's members are kept by it."""

# What both sides agreed on; less than zero asks zlib for bare deflate.
_WINDOW_BITS = -15

# What the sender of a message takes off its end and the receiver puts back (RFC 7692, 7.2.1 and 7.2.2).
_TAIL = b"\x00\x00\xff\xff"
# A final block of nothing behind it: the inflater says that it is at the end only if the message was whole.
_END = b"\x03\x00"


def message_form(form: EventForm) -> Form:
    """The form of the messages themselves."""
    return form.value if isinstance(form, Deflated) else form


def deflate(payload: bytes) -> bytes | None:
    """One message's payload, deflated; None where that does not make it shorter, or is not worth trying.

    zlib's defaults: with any level, a smaller window or less memory a line of chat takes the same 11 us.
    """
    length = len(payload)
    if length < DEFLATE_BYTES_MIN:
        return None
    deflater = zlib.compressobj(wbits=_WINDOW_BITS)
    deflated = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    assert deflated.endswith(_TAIL), "a flush ends with an empty block"
    return deflated[: -len(_TAIL)] if len(deflated) - len(_TAIL) < length else None


def deflated_bytes_max(bytes_max: int) -> int:
    """What a message of `bytes_max` may take when it does not shrink: zlib adds up to 4 % with the least memory."""
    return bytes_max + bytes_max // 25 + 64


class Inflater:
    """One message on its way in; raises `PeerError`: 1009 for more than `bytes_max`, 1007 for what is no whole message.

    The bound holds while it inflates: zlib stops at one byte more, so 64 KiB that stand for 64 MiB cost what
    64 KiB cost.  (`decompressobj.flush` knows no bound and is not called.)
    """

    __slots__ = ("_bytes_max", "_final_blocks", "_inflater", "_payload")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._inflater = zlib.decompressobj(_WINDOW_BITS)
        self._payload = bytearray()
        self._final_blocks = 0

    def feed(self, data: bytes) -> None:
        """The next piece of the message, as it was sent."""
        while data:
            if self._inflater.eof:
                # A message may have final blocks in its middle (RFC 7692, 7.2.3.4); behind one begins another stream.
                self._final_blocks += 1
                if self._final_blocks > DEFLATE_FINAL_BLOCKS_MAX:
                    raise PeerError(
                        CloseCode.TOO_BIG, f"a deflated message has more than {DEFLATE_FINAL_BLOCKS_MAX} final blocks"
                    )
                self._inflater = zlib.decompressobj(_WINDOW_BITS)
            try:
                self._payload += self._inflater.decompress(data, self._bytes_max + 1 - len(self._payload))
            except zlib.error as error:
                raise PeerError(CloseCode.INVALID_DATA, "a deflated message could not be inflated") from error
            if len(self._payload) > self._bytes_max:
                raise PeerError(CloseCode.TOO_BIG, f"a message inflates to more than {self._bytes_max} bytes")
            data = self._inflater.unused_data

    def finish(self) -> bytes:
        """The whole payload; nothing may be fed or asked after it."""
        self.feed(_TAIL + _END)
        if not self._inflater.eof:
            raise PeerError(CloseCode.INVALID_DATA, "a deflated message does not end where it should")
        return bytes(self._payload)
