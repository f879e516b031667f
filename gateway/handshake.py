"""What a websocket upgrade request must look like, and what is answered.  Pure: bytes in, a verdict out.

httptools (llhttp, in C) reads the head and refuses what is not HTTP: control characters,
folded lines, bare line feeds, spaces before a colon.  All else is decided here on bytes,
never on text: a byte >= 0x80 in a header ended whole servers that decoded it first.
A head is bounded in bytes and lines before anything of it is believed.
"""

import binascii
import hashlib
from dataclasses import dataclass
from enum import Enum

import httptools

from gateway.extensions import MalformedExtensions, agree_on_deflate
from wire.client_codec import Form
from wire.limits import HANDSHAKE_BYTES_MAX, HANDSHAKE_HEADERS_MAX

# RFC 6455, 1.3: what the server adds to the key, so that no other protocol's echo passes for an answer.
_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_CHARS = 24
_KEY_BYTES = 16

# A browser's script cannot read a 503 and comes back after 1 to 10 s by itself (DESIGN, section 10);
# this is the middle, for other clients and for balancers.
BUSY_RETRY_AFTER_S = 5

_ANY_ORIGIN = "*"


@dataclass(frozen=True, slots=True)
class RefusalAnswer:
    """One refusal as HTTP says it; `key` is its name in metrics
    (runtime/metrics.py, HANDSHAKE_REFUSALS), `fields` are further header lines."""

    status: int
    phrase: str
    key: str
    sentence: str
    fields: str = ""


class UpgradeRefusal(Enum):
    """Every "no" to a handshake."""

    NOT_HTTP = RefusalAnswer(400, "Bad Request", "not_http", "This is not an HTTP/1.1 request.")
    HTTP_VERSION = RefusalAnswer(400, "Bad Request", "http_version", "A websocket begins with HTTP/1.1.")
    TARGET = RefusalAnswer(400, "Bad Request", "target", "The request target must be a path that begins with a slash.")
    HOST = RefusalAnswer(400, "Bad Request", "host", "There must be exactly one Host header, in ASCII.")
    PROXY_HEADER = RefusalAnswer(
        400, "Bad Request", "proxy_header", "A connection from this address begins with a PROXY header of version 2."
    )
    BODY = RefusalAnswer(400, "Bad Request", "body", "An upgrade request has no body.")
    REPEATED = RefusalAnswer(
        400, "Bad Request", "repeated", "Origin, Sec-WebSocket-Version and Sec-WebSocket-Key may be given once."
    )
    KEY = RefusalAnswer(400, "Bad Request", "key", "There must be one Sec-WebSocket-Key, 16 bytes in base64.")
    SUBPROTOCOL = RefusalAnswer(
        400, "Bad Request", "subprotocol", "Offer one of these in Sec-WebSocket-Protocol: {subprotocols}."
    )
    ORIGIN = RefusalAnswer(403, "Forbidden", "origin", "Pages of this origin may not connect here.")
    METHOD = RefusalAnswer(405, "Method Not Allowed", "method", "Only GET is understood here.", "Allow: GET\r\n")
    DEADLINE = RefusalAnswer(408, "Request Timeout", "deadline", "The request did not arrive in time.")
    NOT_UPGRADE = RefusalAnswer(
        426,
        "Upgrade Required",
        "not_upgrade",
        "This is a websocket address: connect with a websocket client that speaks one of {subprotocols}."
        " If you did, a proxy on the way removed the Upgrade or Connection header.",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    )
    VERSION = RefusalAnswer(
        426,
        "Upgrade Required",
        "websocket_version",
        "Only version 13 of the websocket protocol is spoken here.",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    )
    EXTENSIONS = RefusalAnswer(
        400, "Bad Request", "extensions", "Sec-WebSocket-Extensions must list extensions as RFC 6455, 9.1 has it."
    )
    ADDRESS = RefusalAnswer(
        429,
        "Too Many Requests",
        "address",
        "There are too many connections from your address, or they come too fast.",
        f"Retry-After: {BUSY_RETRY_AFTER_S}\r\n",
    )
    TOO_LARGE = RefusalAnswer(
        431,
        "Request Header Fields Too Large",
        "too_large",
        f"A request head may have {HANDSHAKE_BYTES_MAX} bytes and {HANDSHAKE_HEADERS_MAX} header lines.",
    )
    BUSY = RefusalAnswer(
        503,
        "Service Unavailable",
        "busy",
        "This server takes no more connections now.",
        f"Retry-After: {BUSY_RETRY_AFTER_S}\r\n",
    )

    @property
    def answer(self) -> RefusalAnswer:
        return self.value

    @property
    def leaves_bytes_unread(self) -> bool:
        """Whether more of the request may still come: closing at once would reset the answer away."""
        return self in _UNREAD


_UNREAD = frozenset(
    {
        UpgradeRefusal.NOT_HTTP,
        UpgradeRefusal.TOO_LARGE,
        UpgradeRefusal.METHOD,
        UpgradeRefusal.BODY,
        UpgradeRefusal.PROXY_HEADER,
    }
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A good request: the form both sides will speak, and the whole 101 to send."""

    form: Form
    origin: str
    """The page's origin, "" when the client named none (then it is no browser)."""
    response: bytes
    deflates: bool = False
    """Whether permessage-deflate was agreed on."""


def refusal_response(refusal: UpgradeRefusal, subprotocols: tuple[Form, ...]) -> bytes:
    """The whole plain HTTP answer; the connection is closed after it."""
    answer = refusal.answer
    sentence = answer.sentence.format(subprotocols=", ".join(form.value for form in subprotocols))
    # RFC 9110, 7.8: who sends Upgrade names it in Connection too.
    connection = "close, Upgrade" if answer.status == 426 else "close"
    return plain_answer(answer.status, answer.phrase, sentence, f"Connection: {connection}\r\n{answer.fields}")


def plain_answer(status: int, phrase: str, sentence: str, fields: str = "Connection: close\r\n") -> bytes:
    """One sentence as a whole HTTP answer; `fields` are header lines."""
    return (
        f"HTTP/1.1 {status} {phrase}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(sentence) + 1}\r\n"
        f"{fields}\r\n{sentence}\n"
    ).encode()


# The header lines that decide; all others are counted and forgotten.
_DECIDING = frozenset(
    {
        b"host",
        b"upgrade",
        b"connection",
        b"origin",
        b"content-length",
        b"transfer-encoding",
        b"sec-websocket-version",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
        b"x-forwarded-for",
    }
)
_NONE: list[bytes] = []


class RequestHead:
    """One request head on its way in.  Invariant: it holds at most HANDSHAKE_BYTES_MAX bytes of the peer's."""

    __slots__ = ("_bytes_left", "_fields", "_is_complete", "_lines", "_parser", "_target", "leftover")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._bytes_left = HANDSHAKE_BYTES_MAX
        self._lines = 0
        self._target = b""
        self._fields: dict[bytes, list[bytes]] = {}
        self._is_complete = False
        self.leftover = b""
        """What came behind the head in the same read: the first frames of a hasty client."""

    # Called by httptools, from inside `feed`.

    def on_url(self, url: bytes) -> None:
        self._target = self._target or url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        name = name.lower()
        if name in _DECIDING:
            # llhttp leaves the space behind a value in place.
            self._fields.setdefault(name, []).append(value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        self._is_complete = True

    @property
    def bytes_wanted(self) -> int:
        """How much may still be read before the head is too large."""
        return self._bytes_left

    def feed(self, data: bytes) -> UpgradeRefusal | bool:
        """Take the next bytes, at most `bytes_wanted`; True when the head is complete."""
        assert 0 < len(data) <= self._bytes_left, "the reader asks for no more than is wanted"
        self._bytes_left -= len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.leftover = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            # Also when a complete head is followed by a body that makes no sense.
            if not self._is_complete:
                return UpgradeRefusal.NOT_HTTP
        if self._lines > HANDSHAKE_HEADERS_MAX or (not self._is_complete and self._bytes_left == 0):
            return UpgradeRefusal.TOO_LARGE
        return self._is_complete

    @property
    def forwarded_for(self) -> list[bytes]:
        """The ``X-Forwarded-For`` lines in their order; whom to believe is gateway/proxies.py's question."""
        return self._fields.get(b"x-forwarded-for", _NONE)

    def judge(
        self, origins: tuple[str, ...], subprotocols: tuple[Form, ...], *, deflates: bool = False
    ) -> Accepted | UpgradeRefusal:
        """Decide on a complete head; the first reason to refuse is the one that is told.

        `deflates` lets it agree on compression; without, what is offered is not even read.
        """
        assert self._is_complete, "a head is judged when all of it has arrived"
        return self._refuse_request() or self._refuse_websocket(origins) or self._accept(subprotocols, deflates)

    def _refuse_request(self) -> UpgradeRefusal | None:
        """What makes it a bad HTTP request, or none that asks for an upgrade."""
        fields = self._fields
        if self._parser.get_http_version() != "1.1":
            return UpgradeRefusal.HTTP_VERSION
        if self._parser.get_method() != b"GET":
            return UpgradeRefusal.METHOD
        if not self._target.startswith(b"/"):
            return UpgradeRefusal.TARGET
        hosts = fields.get(b"host", _NONE)
        if len(hosts) != 1 or not hosts[0] or not hosts[0].isascii():
            return UpgradeRefusal.HOST
        if b"transfer-encoding" in fields or any(length.strip(b"0") for length in fields.get(b"content-length", _NONE)):
            return UpgradeRefusal.BODY
        if b"websocket" in self._tokens(b"upgrade") and b"upgrade" in self._tokens(b"connection"):
            return None
        return UpgradeRefusal.NOT_UPGRADE

    def _refuse_websocket(self, origins: tuple[str, ...]) -> UpgradeRefusal | None:
        """What makes it a bad websocket handshake (RFC 6455, 4.2.1), or one of a page we do not know."""
        versions = self._fields.get(b"sec-websocket-version", _NONE)
        keys = self._fields.get(b"sec-websocket-key", _NONE)
        named = self._fields.get(b"origin", _NONE)
        if max(len(versions), len(keys), len(named)) > 1:
            return UpgradeRefusal.REPEATED
        if versions != [b"13"]:
            return UpgradeRefusal.VERSION
        if not keys or not _is_key(keys[0]):
            return UpgradeRefusal.KEY
        if named and _ANY_ORIGIN not in origins and _text(named[0]) not in origins:
            return UpgradeRefusal.ORIGIN
        return None

    def _accept(self, subprotocols: tuple[Form, ...], deflates: bool) -> Accepted | UpgradeRefusal:
        """Agree on the first of our subprotocols that the client offers, and on compression if both sides want it."""
        extensions = None
        if deflates:
            try:
                extensions = agree_on_deflate(self._fields.get(b"sec-websocket-extensions", _NONE))
            except MalformedExtensions:
                return UpgradeRefusal.EXTENSIONS
        lines = self._fields.get(b"sec-websocket-protocol", _NONE)
        # Letter by letter, unlike other tokens (RFC 6455, 4.1).
        offered = [name.strip(b" \t") for line in lines for name in line.split(b",")]
        for form in subprotocols:
            if form.value.encode() in offered:
                key = self._fields[b"sec-websocket-key"][0]
                named = self._fields.get(b"origin", _NONE)
                response = _switching_protocols(key, form, extensions)
                return Accepted(form, _text(named[0]) if named else "", response, extensions is not None)
        return UpgradeRefusal.SUBPROTOCOL

    def _tokens(self, name: bytes) -> list[bytes]:
        """The members of a comma-separated header, lower case."""
        return [token.strip(b" \t") for line in self._fields.get(name, _NONE) for token in line.lower().split(b",")]


def _text(value: bytes) -> str:
    # latin-1 maps each byte to a character and cannot fail.
    return value.decode("latin-1")


def _is_key(value: bytes) -> bool:
    if len(value) != _KEY_CHARS:
        return False
    try:
        return len(binascii.a2b_base64(value, strict_mode=True)) == _KEY_BYTES
    except binascii.Error:
        return False


def _switching_protocols(key: bytes, form: Form, extensions: bytes | None) -> bytes:
    digest = hashlib.sha1(key + _ACCEPT_GUID, usedforsecurity=False).digest()
    accept = binascii.b2a_base64(digest, newline=False)
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\nSec-WebSocket-Protocol: "
        + form.value.encode()
        + (b"" if extensions is None else b"\r\nSec-WebSocket-Extensions: " + extensions)
        + b"\r\n\r\n"
    )
