"""One websocket to a gateway: the bytes of one connection, and nothing of what they mean.

trio-websocket does the protocol over a stream that `dial` gives, so a simulated network
can be put under it.  This is the edge of one connection: whatever its peer or the
network does ends here, as a call of `Hooks`, and never in the program's own tasks.
"""

import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol
from urllib.parse import urlsplit

import h11
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)
from wsproto.utilities import ProtocolError

from client.updates import HistoryPage
from wire.client_codec import Form, decode_server_message, encode, is_unknown_server_kind
from wire.client_messages import AnyServerMessage, ClientMessage, Event, Page
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.frames import OPCODE_CLOSE
from wire.limits import (
    CLIENT_OUTGOING_MESSAGES_MAX,
    CLOSE_GRACE_S,
    CLOSE_REASON_BYTES_MAX,
    SERVER_MESSAGE_BYTES_MAX,
)

Dial = Callable[[str], Awaitable[trio.abc.Stream]]
"""Opens a byte stream to a ``ws`` or ``wss`` address; raises `OSError` when there is nobody."""

_ABNORMAL = 1006
# Received messages that wait inside trio-websocket; beyond it TCP holds the gateway back.
_QUEUED_MESSAGES_MAX = 16
_RECEIVE_BYTES = 64 * 1024
_CLOSE_FRAME_START = bytes((0x80 | OPCODE_CLOSE,))
# What trio-websocket says of a message beyond our own bound, as if the server had closed with 1009.
_TOO_LARGE = f"Exceeded maximum message size: {SERVER_MESSAGE_BYTES_MAX} bytes"


class Hooks(Protocol):
    """Who is told.  `failed` or `closed` is the last call, made exactly once."""

    def opened(self) -> None: ...
    def received(self, message: AnyServerMessage | HistoryPage) -> None: ...
    def broken(self, reason: str) -> None:
        """A message was none of ours; the connection goes on until it is closed."""

    def failed(self, reason: str, retry_after_s: float) -> None: ...
    def closed(self, code: int, reason: str) -> None: ...


async def dial(url: str, *, local_address: str | None = None) -> trio.abc.Stream:
    """Over TCP, with TLS for ``wss``; from `local_address`, an address of this machine, if one is given."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "wss"
    stream = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80), local_address=local_address)
    # A chat line must not wait 40 ms for another one (Nagle and delayed acknowledgements).
    stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
    return await _over_tls(stream, host) if secure else stream


async def _over_tls(stream: trio.SocketStream, host: str) -> trio.abc.Stream:
    # https_compatible: gateways end a connection without TLS's own goodbye, as browsers expect it.
    secured = trio.SSLStream(stream, ssl.create_default_context(), server_hostname=host, https_compatible=True)
    try:
        # Here and not at the first send, which trio-websocket makes in a task of its own: it takes a failure
        # there for a closed connection and goes on waiting for the answer.
        await secured.do_handshake()
    except trio.BrokenResourceError as error:
        await trio.aclose_forcefully(stream)
        raise ConnectionError(f"no TLS with {host}: {error.__cause__ or error}") from error
    return secured


class Connection:
    """One connection, from dialling to its end; `run` is its life, the other methods are synchronous."""

    def __init__(self, url: str, form: Form, dial_url: Dial, hooks: Hooks) -> None:
        self._url = url
        self._form = form
        self._dial = dial_url
        self._hooks = hooks
        self._outgoing: deque[bytes] = deque()
        self._goodbye: tuple[int, str] | None = None
        self._wake_writer = trio.Event()
        self._scope = trio.CancelScope()
        self._stream: _WatchedStream | None = None
        self._is_open = False
        self._end = (_ABNORMAL, "the connection was lost")

    def send(self, message: ClientMessage) -> None:
        """Queue one message; a gateway that takes none of a full queue is left (it resumes elsewhere)."""
        if self._goodbye is not None:
            return
        if len(self._outgoing) >= CLIENT_OUTGOING_MESSAGES_MAX:
            self._end = (_ABNORMAL, f"{CLIENT_OUTGOING_MESSAGES_MAX} messages wait to be sent")
            self._scope.cancel()
            return
        self._outgoing.append(encode(message, self._form))
        self._wake_writer.set()

    def close(self, code: int, reason: str) -> None:
        """Send what waits, then a close frame; give up on both after CLOSE_GRACE_S."""
        self._goodbye = (code, reason.encode()[:CLOSE_REASON_BYTES_MAX].decode(errors="ignore"))
        if self._is_open:
            self._scope.deadline = trio.current_time() + CLOSE_GRACE_S
            self._wake_writer.set()
        else:
            self._scope.cancel()

    async def run(self) -> None:
        """Live until either side ends it.  Owns the reader and the writer task of this connection."""
        failure = ""
        retry_after_s = 0.0
        with self._scope:
            try:
                async with trio.open_nursery() as nursery:
                    websocket = await self._open(nursery)
                    self._is_open = True
                    self._hooks.opened()
                    nursery.start_soon(self._write, websocket, nursery.cancel_scope)
                    await self._read(websocket)
                    if self._goodbye is None:
                        nursery.cancel_scope.cancel()
            except* ConnectionRejected as rejections:
                rejection = next(_leaves(rejections))
                assert isinstance(rejection, ConnectionRejected)
                failure = f"the server answered {rejection.status_code}"
                retry_after_s = _retry_after_s(rejection)
            # UnicodeDecodeError: wsproto reads header bytes as ASCII.  h11: it answers what is no HTTP, which a client
            # may not.  ConnectionClosed: a send met a dead stream.
            except* (
                OSError,
                HandshakeError,
                ConnectionClosed,
                ProtocolError,
                h11.ProtocolError,
                UnicodeDecodeError,
                trio.BrokenResourceError,
                trio.ClosedResourceError,
            ) as errors:
                failure = _sentence(next(_leaves(errors)))
            finally:
                if self._stream is not None:
                    await trio.aclose_forcefully(self._stream)
        if self._is_open:
            code, reason = self._end
            self._hooks.closed(code, reason or failure)
        else:
            self._hooks.failed(failure or "given up", retry_after_s)

    async def _open(self, nursery: trio.Nursery) -> WebSocketConnection:
        """Dial and shake hands.  Has no deadline of its own: the session counts and calls `close`."""
        parts = urlsplit(self._url)
        self._stream = _WatchedStream(await self._dial(self._url))
        websocket = await wrap_client_stream(
            nursery,
            self._stream,  # type: ignore[arg-type]  # typed as a socket's, used as any stream
            parts.netloc,
            parts.path or "/",
            subprotocols=[self._form.value],
            message_queue_size=_QUEUED_MESSAGES_MAX,
            max_message_size=SERVER_MESSAGE_BYTES_MAX,
            receive_buffer_size=_RECEIVE_BYTES,
        )
        if websocket.subprotocol != self._form.value:
            raise HandshakeError(f"the server does not speak {self._form.value}")
        return websocket

    async def _read(self, websocket: WebSocketConnection) -> None:
        while True:
            try:
                data = await websocket.get_message()
            except ConnectionClosed as closed:
                if closed.reason is not None:
                    reason = closed.reason.reason or ""
                    is_servers = self._stream is not None and self._stream.has_said_goodbye and reason != _TOO_LARGE
                    self._end = (closed.reason.code if is_servers else _ABNORMAL, reason)
                return
            self._hand_over(data)

    def _hand_over(self, data: str | bytes) -> None:
        payload = data.encode() if isinstance(data, str) else data
        try:
            message = decode_server_message(payload, self._form)
            self._hooks.received(_read_page(message, self._form) if isinstance(message, Page) else message)
        except PeerError as error:
            if not is_unknown_server_kind(payload, self._form):
                self._hooks.broken(error.message)

    async def _write(self, websocket: WebSocketConnection, connection_scope: trio.CancelScope) -> None:
        """The one writer.  After the goodbye it ends the connection; else the reader does."""
        try:
            while self._goodbye is None or self._outgoing:
                while self._outgoing:
                    data = self._outgoing.popleft()
                    await websocket.send_message(data.decode() if self._form is Form.JSON else data)
                self._wake_writer = trio.Event()
                if self._goodbye is None:
                    await self._wake_writer.wait()
            code, reason = self._goodbye
            await websocket.aclose(code, reason or None)
        except ConnectionClosed:
            # The reader learns the code, unless it was our own close that stopped it.
            if self._goodbye is None:
                return
        connection_scope.cancel()


class _WatchedStream(trio.abc.Stream):
    """The stream under trio-websocket, watched for two things that it does not tell.

    Its end before the server's answer is an error here: trio-websocket would wait for ever.
    And whether a close frame was answered: what trio-websocket itself finds wrong with the
    server's frames looks like a close by the server, with a code that would mean stop.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.has_said_goodbye = False
        self._stream = stream
        self._tail = b""
        self._is_answered = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            if not self._is_answered:
                raise HandshakeError("the connection broke during the handshake") from None
            raise
        if not self._is_answered:
            if not data:
                raise HandshakeError("the server ended the connection during the handshake")
            # Only the end of the answer's head is looked for; its last three bytes may come later.
            seen = self._tail + data
            self._is_answered = b"\r\n\r\n" in seen
            self._tail = bytes(seen[-3:])
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        # One call for each frame, so the first byte is its kind.
        if data[:1] == _CLOSE_FRAME_START:
            self.has_said_goodbye = True
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _read_page(page: Page, form: Form) -> HistoryPage:
    """Decode a page's events; raises `PeerError`."""
    events = []
    for raw in page.events:
        event = decode_server_message(bytes(raw), form)
        if not isinstance(event, Event):
            raise PeerError(CloseCode.PROTOCOL, "a page of history holds something else than events")
        events.append(event)
    return HistoryPage(page.n, page.room, page.epoch, page.offset, tuple(events), page.more)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _sentence(error: BaseException) -> str:
    sentence = str(error) or type(error).__name__
    if isinstance(error.__cause__, BaseExceptionGroup):
        # Trio says that all attempts to connect failed, and leaves why to the cause.
        return f"{sentence}: {next(_leaves(error.__cause__))}"
    return sentence


def _retry_after_s(rejection: ConnectionRejected) -> float:
    """The Retry-After header in seconds; 0 when there is none, or a date."""
    for name, value in rejection.headers or ():
        if name.lower() == b"retry-after" and value.isdigit():
            return float(value)
    return 0.0
