"""The admin port of a process: `/livez`, `/readyz`, `/metrics`, and nothing else.

For supervisors and scrapers on a private address; it is HTTP/1.1 with one request a
connection.  `/livez` answers when the event loop turns; `/readyz` speaks of this process
only, since a shared dependency must not make a balancer drop every gateway.
"""

import errno
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import httptools
import trio
from structlog.typing import FilteringBoundLogger

from runtime.exposition import CONTENT_TYPE
from runtime.streams import recv_some, send_all
from runtime.transport import Listener, Network, Transport

CONNECTIONS_MAX: Final = 32
REQUEST_BYTES_MAX: Final = 8 * 1024
REQUEST_DEADLINE_S: Final = 5.0
# accept(2) fails for a while when descriptors run out; trying at once again would spin.
ACCEPT_PAUSE_S: Final = 0.1
_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Readiness = Callable[[], Sequence[str]]
"""The reasons why this process is not ready; empty when it is."""


class Figures(Protocol):
    """What `/metrics` shows: a `MetricsRegistry`, or several merged."""

    def render(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """One response, before it is bytes."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    header: str = ""
    """One more header line, without its line end."""


def respond(method: bytes, target: bytes, readiness: Readiness, metrics: Figures) -> Answer:
    """What a request gets.  A query after the path is ignored."""
    path = target.partition(b"?")[0]
    if path not in (b"/livez", b"/readyz", b"/metrics"):
        return Answer(HTTPStatus.NOT_FOUND, b"There are /livez, /readyz and /metrics here.\n")
    if method not in (b"GET", b"HEAD"):
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET and HEAD.\n", header="Allow: GET, HEAD")
    if path == b"/livez":
        return Answer(HTTPStatus.OK, b"alive\n")
    if path == b"/metrics":
        return Answer(HTTPStatus.OK, metrics.render(), CONTENT_TYPE)
    reasons = list(readiness())
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    body = json.dumps({"ready": not reasons, "reasons": reasons}).encode() + b"\n"
    return Answer(status, body, "application/json")


def response_bytes(answer: Answer, with_body: bool) -> bytes:
    """The response as it goes out; the length is told in any case."""
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *([answer.header] if answer.header else []),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + (answer.body if with_body else b"")


class _Request:
    """Collects one request; the callbacks are httptools'."""

    def __init__(self) -> None:
        self.target = b""
        self.is_complete = False
        self._parser = httptools.HttpRequestParser(self)

    @property
    def method(self) -> bytes:
        return self._parser.get_method()

    def feed(self, data: bytes) -> None:
        """Raises `httptools.HttpParserError` on what is not HTTP."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_message_complete(self) -> None:
        self.is_complete = True


class AdminServer:
    """One listening admin port.

    At most CONNECTIONS_MAX are served at once; more wait in the kernel, and since each has
    REQUEST_DEADLINE_S in all, the wait is bounded too.
    """

    def __init__(
        self,
        *,
        metrics: Figures,
        readiness: Readiness,
        log: FilteringBoundLogger,
        refresh: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
    ) -> None:
        """`refresh` has, by path, what is awaited before it is answered, where figures have to be fetched first."""
        self._metrics = metrics
        self._refresh = refresh or {}
        self._readiness = readiness
        self._log = log
        self._places = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def run(
        self, network: Network, host: str, port: int, *, task_status: trio.TaskStatus[Listener] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen and serve until cancelled; owns its connections' tasks.  Raises `OSError` when it cannot listen."""
        listener = await network.listen(host, port)
        try:
            async with trio.open_nursery() as connection_nursery:
                task_status.started(listener)
                while True:
                    # A place is taken on behalf of the connection that will have it.
                    place = object()
                    await self._places.acquire_on_behalf_of(place)
                    connection_nursery.start_soon(self._serve_and_leave, await self._accept(listener), place)
        finally:
            listener.close()

    async def _accept(self, listener: Listener) -> Transport:
        while True:
            try:
                return listener.try_accept()
            except BlockingIOError:
                await listener.wait_acceptable()
            except OSError as error:
                if error.errno in _OUT_OF_DESCRIPTORS:
                    self._log.warning("admin_accept_failed", error=str(error))
                # Any other error is of a connection that ended before it was accepted.
                await trio.sleep(ACCEPT_PAUSE_S)

    async def _serve_and_leave(self, transport: Transport, place: object) -> None:
        """The boundary of one connection: a peer that misbehaves or leaves harms only itself."""
        try:
            with trio.move_on_after(REQUEST_DEADLINE_S), suppress(OSError, trio.ClosedResourceError):
                await self._serve(transport)
        finally:
            transport.close()
            self._places.release_on_behalf_of(place)

    async def _serve(self, transport: Transport) -> None:
        request = _Request()
        taken = 0
        refused: Answer | None = None
        while not request.is_complete and refused is None:
            data = await recv_some(transport, REQUEST_BYTES_MAX)
            if not data:
                return
            taken += len(data)
            try:
                request.feed(data)
            except httptools.HttpParserUpgrade:
                refused = Answer(HTTPStatus.BAD_REQUEST, b"Nothing to upgrade to here.\n")
            except httptools.HttpParserError:
                refused = Answer(HTTPStatus.BAD_REQUEST, b"This is not an HTTP request.\n")
            if taken > REQUEST_BYTES_MAX:
                refused = Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b"The request is too large.\n")
        if refused is None:
            refresh = self._refresh.get(request.target.partition(b"?")[0].decode("ascii", "replace"))
            if refresh is not None:
                await refresh()
        answer = refused or respond(request.method, request.target, self._readiness, self._metrics)
        with_body = refused is not None or request.method != b"HEAD"
        await send_all(transport, response_bytes(answer, with_body))
