"""A client's bytes to whole messages: wsproto's Connection inside our bounds.  Pure.

wsproto knows the websocket protocol (masking, reserved bits, fragments, UTF-8, close
codes).  `_Bounds` sits in it as an extension, the public hook that sees every header
before its payload, so that what is too large or of the wrong type is refused from the
header.  The same hook counts consumed bytes: between two messages this object holds
nothing of the peer's, and the reader drops it (1.9 KiB an idle connection).

Where compression was agreed on, the same hook inflates what comes (gateway/deflate.py), under the
same bound, and gives wsproto the whole message.  wsproto's own PerMessageDeflate knows no bound;
it is the oracle of the tests.
"""

from collections.abc import Iterator

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, ParseFailed, RsvBits
from wsproto.utilities import ProtocolError

from gateway.deflate import Inflater, deflated_bytes_max
from wire.client_codec import Form
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.frames import header_length
from wire.limits import CLIENT_FRAGMENTS_MAX

_MASK_BYTES = 4
_NO_RESERVED_BITS = RsvBits(False, False, False)
_DEFLATED_BIT = RsvBits(True, False, False)
_CONTROL_BIT = 0x8

ControlFrame = Ping | Pong | CloseConnection
"""What `next_event` answers beside messages; a CloseConnection is always the peer's own."""


class _Bounds(Extension):
    """Refuses frames from their header, and inflates messages if that was agreed on.  It negotiates nothing itself.

    wsproto asks `frame_inbound_header` again when a header comes in pieces, so that method
    only remembers; `frame_inbound_complete` counts.
    """

    name = "bounds"

    def __init__(self, form: Form, message_bytes_max: int, deflates: bool) -> None:
        self._wanted = Opcode.BINARY if form is Form.MSGPACK else Opcode.TEXT
        self._message_bytes_max = message_bytes_max
        self._deflates = deflates
        self._is_deflated = False
        """Whether the message under way is."""
        self._inflater: Inflater | None = None
        """What has come of it, from its first payload on."""
        self._opcode = Opcode.CONTINUATION
        self._length = 0
        self._message_bytes = 0
        self._fragments = 0
        self.consumed = 0
        """Bytes of all complete frames, headers included."""
        self.refusal: PeerError | None = None

    def offer(self) -> bool:
        return False

    def enabled(self) -> bool:
        return True

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._opcode = opcode
        self._length = payload_length
        if opcode & _CONTROL_BIT:
            return _NO_RESERVED_BITS
        if opcode is not self._wanted and opcode is not Opcode.CONTINUATION:
            return self._refuse(CloseCode.UNSUPPORTED_DATA, f"this subprotocol takes {self._wanted.name.lower()} frames only")
        may_be_deflated = self._deflates and opcode is not Opcode.CONTINUATION
        if may_be_deflated:
            self._is_deflated = rsv.rsv1
        bytes_max = deflated_bytes_max(self._message_bytes_max) if self._is_deflated else self._message_bytes_max
        message_bytes = self._message_bytes + payload_length
        if message_bytes > bytes_max:
            return self._refuse(CloseCode.TOO_BIG, f"message of {message_bytes} bytes exceeds {bytes_max}")
        if self._fragments >= CLIENT_FRAGMENTS_MAX:
            return self._refuse(CloseCode.TOO_BIG, f"message of more than {CLIENT_FRAGMENTS_MAX} fragments")
        return _DEFLATED_BIT if may_be_deflated else _NO_RESERVED_BITS

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        if not self._is_deflated or self._opcode & _CONTROL_BIT:
            return data
        return self._inflate(data) or b""

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        self.consumed += header_length(self._length) + _MASK_BYTES + self._length
        if self._opcode & _CONTROL_BIT:
            return None
        if not fin:
            self._message_bytes += self._length
            self._fragments += 1
            return None
        self._message_bytes = 0
        self._fragments = 0
        if not self._is_deflated:
            return None
        self._is_deflated = False
        return self._inflate(None)

    def _inflate(self, data: bytes | None) -> bytes | CloseReason | None:
        """Take a piece of the message under way, or, given None, answer with all of it."""
        if self._inflater is None:
            self._inflater = Inflater(self._message_bytes_max)
        try:
            if data is not None:
                self._inflater.feed(data)
                return None
            payload = self._inflater.finish()
        except PeerError as error:
            self.refusal = error
            return CloseReason(error.code)
        self._inflater = None
        return payload

    def _refuse(self, code: CloseCode, message: str) -> CloseReason:
        self.refusal = PeerError(code, message)
        return CloseReason(code)


class InboundFrames:
    """The frames of one client.  Invariant: it holds at most one message of `message_bytes_max` and one read."""

    __slots__ = ("_bounds", "_connection", "_events", "_fed", "_partial")

    def __init__(self, form: Form, message_bytes_max: int, *, deflates: bool = False) -> None:
        self._bounds = _Bounds(form, message_bytes_max, deflates)
        self._connection = Connection(ConnectionType.SERVER, extensions=[self._bounds])
        self._events: Iterator[Event] = iter(())
        self._fed = 0
        # A bytearray, since a frame may come a byte at a time: 64 Ki one-byte objects are 2 MiB.
        self._partial: bytearray | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes; only when `next_event` has answered None."""
        self._fed += len(data)
        self._connection.receive_data(data)
        self._events = self._connection.events()

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing at all is held: every byte so far belongs to a message that was given out."""
        return self._partial is None and self._fed == self._bounds.consumed

    def next_event(self) -> bytes | ControlFrame | None:
        """The next message or control frame; None when more bytes are needed.

        Raises `PeerError`: 1002 for a broken protocol, 1003 for the wrong type of frame,
        1007 for text that is not UTF-8 or what cannot be inflated, 1009 for too much.  Nothing may be asked after it.
        """
        try:
            for event in self._events:
                if isinstance(event, BytesMessage):
                    payload = bytes(event.data)
                elif isinstance(event, TextMessage):
                    payload = event.data.encode()
                elif isinstance(event, CloseConnection) and self._connection.state is not ConnectionState.REMOTE_CLOSING:
                    raise self._bounds.refusal or _protocol_error(event)
                else:
                    assert isinstance(event, Ping | Pong | CloseConnection), "wsproto's server side yields no other event"
                    return event
                message = self._assemble(payload, event.message_finished)
                if message is not None:
                    return message
        except (ProtocolError, ParseFailed, ValueError) as error:
            # wsproto turns the peer's errors into events; should one get through, it is the peer's all the same.
            raise PeerError(CloseCode.PROTOCOL, "a frame could not be understood") from error
        return None

    def _assemble(self, payload: bytes, is_last: bool) -> bytes | None:
        """Join a message's pieces; None until the last."""
        if self._partial is None:
            if is_last:
                return payload
            self._partial = bytearray(payload)
            return None
        self._partial += payload
        if not is_last:
            return None
        whole = bytes(self._partial)
        self._partial = None
        return whole


def _protocol_error(event: CloseConnection) -> PeerError:
    """wsproto's verdict as ours.  Its sentences name bits and lengths; the one about UTF-8 would quote bytes."""
    if event.code == CloseReason.INVALID_FRAME_PAYLOAD_DATA:
        return PeerError(CloseCode.INVALID_DATA, "a text was not UTF-8")
    return PeerError(CloseCode.PROTOCOL, event.reason or "the websocket protocol was broken")
