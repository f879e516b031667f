"""Client messages to bytes and back, in both forms: total, bounded, strict.

Any bytes give a message, a `BadMessage` (well-formed, but not one of ours: refused, the
connection stays) or `PeerError` (not even a map of ours: the connection ends).  msgspec
checks each field while it reads, and builds nothing for what it refuses, so nested
rubbish of 64 KiB costs no memory.
"""

from enum import Enum
from typing import Final

import msgspec

from wire.client_messages import (
    SUBPROTOCOL_JSON,
    SUBPROTOCOL_MSGPACK,
    AnyClientMessage,
    AnyServerMessage,
    ClientMessage,
    ServerMessage,
)
from wire.codes import CloseCode, Refusal
from wire.errors import PeerError
from wire.limits import CLIENT_FRAME_BYTES_MAX


class Form(Enum):
    """How messages are written on one connection; the value is the websocket subprotocol."""

    MSGPACK = SUBPROTOCOL_MSGPACK
    JSON = SUBPROTOCOL_JSON


class BadMessage(msgspec.Struct, frozen=True):
    """A map that is none of our messages: told to the client as a refusal of request `n`."""

    n: int
    refusal: Refusal
    detail: str


class _Envelope(msgspec.Struct):
    """Enough of any map to refuse it by name and number."""

    t: str
    n: int = 0


_MSGPACK_CLIENT: Final[msgspec.msgpack.Decoder[AnyClientMessage]] = msgspec.msgpack.Decoder(AnyClientMessage)
_JSON_CLIENT: Final[msgspec.json.Decoder[AnyClientMessage]] = msgspec.json.Decoder(AnyClientMessage)
_MSGPACK_SERVER: Final[msgspec.msgpack.Decoder[AnyServerMessage]] = msgspec.msgpack.Decoder(AnyServerMessage)
_JSON_SERVER: Final[msgspec.json.Decoder[AnyServerMessage]] = msgspec.json.Decoder(AnyServerMessage)
_MSGPACK_ENVELOPE: Final = msgspec.msgpack.Decoder(_Envelope)
_JSON_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_MSGPACK_ENCODER: Final = msgspec.msgpack.Encoder()
_JSON_ENCODER: Final = msgspec.json.Encoder()

_KNOWN_TAGS: Final = frozenset(
    str(kind.__struct_config__.tag) for kind in ClientMessage.__subclasses__()
)
_KNOWN_SERVER_TAGS: Final = frozenset(
    str(kind.__struct_config__.tag) for kind in ServerMessage.__subclasses__()
)

# What msgspec raises on hostile bytes, found by fuzzing: its own errors, a RecursionError on
# deep nesting, a UnicodeDecodeError on a string that is not UTF-8.
_DECODE_ERRORS: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


def decode_client_message(data: bytes, form: Form) -> AnyClientMessage | BadMessage:
    """Read one frame of a client; raises `PeerError` when it is not a map of ours at all."""
    if len(data) > CLIENT_FRAME_BYTES_MAX:
        raise PeerError(CloseCode.TOO_BIG, f"frame of {len(data)} bytes exceeds {CLIENT_FRAME_BYTES_MAX}")
    decoder = _MSGPACK_CLIENT if form is Form.MSGPACK else _JSON_CLIENT
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        return _refuse_map(data, form, error)
    except _DECODE_ERRORS as error:
        raise PeerError(CloseCode.BAD_REQUEST, f"frame of {len(data)} bytes is not {form.value}") from error


def _refuse_map(data: bytes, form: Form, error: msgspec.ValidationError) -> BadMessage:
    """Name the request that is refused; a map without even a kind ends the connection."""
    envelope_decoder = _MSGPACK_ENVELOPE if form is Form.MSGPACK else _JSON_ENVELOPE
    try:
        envelope = envelope_decoder.decode(data)
    except _DECODE_ERRORS as second:
        raise PeerError(CloseCode.BAD_REQUEST, "a message is a map with its kind in t and its number in n") from second
    known = envelope.t in _KNOWN_TAGS
    refusal = Refusal.BAD_MESSAGE if known else Refusal.UNKNOWN_KIND
    # msgspec's sentence names the field and the type or bound, never the value.
    detail = str(error) if known else ""
    n = envelope.n if 0 <= envelope.n < 2**31 else 0
    return BadMessage(n, refusal, detail)


def decode_server_message(data: bytes, form: Form) -> AnyServerMessage:
    """Read one frame of a gateway; raises `PeerError` on anything that is none of ours."""
    decoder = _MSGPACK_SERVER if form is Form.MSGPACK else _JSON_SERVER
    try:
        return decoder.decode(data)
    except _DECODE_ERRORS as error:
        raise PeerError(CloseCode.BAD_REQUEST, f"frame of {len(data)} bytes is no server message: {error}") from error


def is_unknown_server_kind(data: bytes, form: Form) -> bool:
    """Whether this is a message of a newer server, of a kind to be ignored, rather than a broken one."""
    envelope_decoder = _MSGPACK_ENVELOPE if form is Form.MSGPACK else _JSON_ENVELOPE
    try:
        return envelope_decoder.decode(data).t not in _KNOWN_SERVER_TAGS
    except _DECODE_ERRORS:
        return False


def encode(message: ClientMessage | ServerMessage, form: Form) -> bytes:
    """One message as the payload of one websocket frame."""
    encoder = _MSGPACK_ENCODER if form is Form.MSGPACK else _JSON_ENCODER
    return encoder.encode(message)


def recode_event(payload: bytes) -> bytes:
    """An event's msgpack payload as JSON: done once per event and feed while a JSON reader is there."""
    return _JSON_ENCODER.encode(_MSGPACK_SERVER.decode(payload))
