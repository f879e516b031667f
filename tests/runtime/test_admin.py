"""The admin port: three answers, and nothing that a stranger does there harms the process."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import StringIO

import pytest
import trio

from runtime.admin import CONNECTIONS_MAX, REQUEST_BYTES_MAX, REQUEST_DEADLINE_S, AdminServer
from runtime.exposition import MetricsRegistry
from runtime.logs import make_logger
from runtime.metrics import ProcessCounters
from runtime.schema import LogSettings
from runtime.sockets import SocketNetwork
from runtime.streams import recv_some, send_all
from runtime.transport import Listener, Network, Transport


@dataclass
class Admin:
    """A running admin server and how to ask it."""

    listener: Listener
    reasons: list[str] = field(default_factory=list)

    async def connect(self) -> Transport:
        return await SocketNetwork().connect("127.0.0.1", self.listener.port)

    async def ask(self, request: str | bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of what is answered to these bytes."""
        transport = await self.connect()
        await send_all(transport, request.encode() if isinstance(request, str) else request)
        head, _, body = (await everything(transport)).partition(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(status_line.split()[1]), headers, body

    async def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        return await self.ask(f"GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n")


async def everything(transport: Transport) -> bytes:
    data = b""
    while chunk := await recv_some(transport):
        data += chunk
    transport.close()
    return data


async def start(nursery: trio.Nursery, network: Network, readiness: Callable[[], Sequence[str]]) -> Listener:
    metrics = MetricsRegistry()
    counters = ProcessCounters()
    counters.draining = lambda: 0
    metrics.expose(counters)
    server = AdminServer(metrics=metrics, readiness=readiness, log=make_logger(LogSettings(), stream=StringIO()))
    listener: Listener = await nursery.start(server.run, network, "127.0.0.1", 0)
    return listener


@pytest.fixture
async def admin(nursery: trio.Nursery) -> Admin:
    reasons: list[str] = []
    return Admin(await start(nursery, SocketNetwork(), lambda: reasons), reasons)


async def test_livez_answers_while_the_loop_turns(admin: Admin) -> None:
    admin.reasons.append("draining: SIGTERM")
    status, headers, body = await admin.get("/livez")
    assert (status, body) == (200, b"alive\n")
    assert headers["content-length"] == "6"
    assert headers["connection"] == "close"


async def test_readyz_tells_every_reason(admin: Admin) -> None:
    status, headers, body = await admin.get("/readyz")
    assert (status, json.loads(body)) == (200, {"ready": True, "reasons": []})
    admin.reasons += ["starting", "no slot map"]
    status, headers, body = await admin.get("/readyz?verbose")
    assert (status, json.loads(body)) == (503, {"ready": False, "reasons": ["starting", "no slot map"]})
    assert headers["content-type"] == "application/json"


async def test_metrics_are_prometheus_text(admin: Admin) -> None:
    status, headers, body = await admin.get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"parvis_draining 0.0" in body


async def test_figures_that_have_to_be_fetched_are_fetched_before_the_answer(nursery: trio.Nursery) -> None:
    fetched: list[str] = []

    async def fetch() -> None:
        await trio.lowlevel.checkpoint()
        fetched.append("now")

    class Text:
        def render(self) -> bytes:
            return f"{len(fetched)}\n".encode()

    log = make_logger(LogSettings(), stream=StringIO())
    server = AdminServer(metrics=Text(), readiness=tuple, log=log, refresh={"/metrics": fetch})
    admin = Admin(await nursery.start(server.run, SocketNetwork(), "127.0.0.1", 0))
    assert (await admin.get("/readyz"))[0] == 200
    assert (await admin.get("/metrics"))[2] == b"1\n"
    assert (await admin.get("/metrics?x"))[2] == b"2\n"


async def test_head_is_get_without_the_body(admin: Admin) -> None:
    status, headers, body = await admin.ask("HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, headers["content-length"], body) == (200, "6", b"")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /metrics/x HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 404),
        ("POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        ("DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("\x16\x03\x01 hello\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nX: " + "x" * REQUEST_BYTES_MAX + "\r\n\r\n", 431),
    ],
)
async def test_everything_else_is_refused_in_its_own_words(admin: Admin, request_text: str, status: int) -> None:
    answered, headers, _ = await admin.ask(request_text.encode("latin-1"))
    assert answered == status
    assert headers.get("allow") == ("GET, HEAD" if status == 405 else None)
    assert (await admin.get("/livez"))[0] == 200


async def test_a_request_in_pieces_is_put_together(admin: Admin) -> None:
    transport = await admin.connect()
    for piece in (b"GE", b"T /li", b"vez HTTP/1.1\r\nHo", b"st: a\r\n\r", b"\n"):
        await send_all(transport, piece)
        await trio.testing.wait_all_tasks_blocked()
    assert (await everything(transport)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_who_leaves_early_harms_nobody(admin: Admin) -> None:
    (await admin.connect()).close()
    half = await admin.connect()
    await send_all(half, b"GET /livez HT")
    half.abort()
    assert (await admin.get("/livez"))[0] == 200


async def test_a_silent_connection_is_cut_at_its_deadline(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    listener = await start(nursery, SocketNetwork(), lambda: ())
    silent = await SocketNetwork().connect("127.0.0.1", listener.port)
    began = trio.current_time()
    assert await everything(silent) == b""
    assert trio.current_time() - began == pytest.approx(REQUEST_DEADLINE_S)


async def test_more_connections_than_places_wait_for_their_turn(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    listener = await start(nursery, SocketNetwork(), lambda: ())
    admin = Admin(listener)
    silent = [await admin.connect() for _ in range(CONNECTIONS_MAX)]
    began = trio.current_time()
    assert (await admin.get("/livez"))[0] == 200
    assert trio.current_time() - began == pytest.approx(REQUEST_DEADLINE_S)
    for transport in silent:
        transport.close()


class Failing(SocketNetwork):
    """Its listener fails to accept, once for each error given."""

    def __init__(self, errors: list[OSError]) -> None:
        self.errors = errors

    async def listen(self, host: str, port: int, *, send_buffer_bytes: int = 0) -> Listener:
        listener = await super().listen(host, port, send_buffer_bytes=send_buffer_bytes)
        errors = self.errors

        class Wrapped:
            host = listener.host
            port = listener.port
            wait_acceptable = listener.wait_acceptable
            close = listener.close

            def try_accept(self) -> Transport:
                if errors:
                    raise errors.pop()
                return listener.try_accept()

        return Wrapped()


async def test_failing_accepts_are_survived(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    errors = [OSError(24, "Too many open files"), ConnectionAbortedError(103, "gone")]
    listener = await start(nursery, Failing(errors), lambda: ())
    assert (await Admin(listener).get("/livez"))[0] == 200
    assert errors == []


async def test_an_address_that_is_taken_is_an_os_error(nursery: trio.Nursery) -> None:
    listener = await start(nursery, SocketNetwork(), lambda: ())
    server = AdminServer(metrics=MetricsRegistry(), readiness=lambda: (), log=make_logger(LogSettings(), stream=StringIO()))
    with pytest.raises(OSError, match=str(listener.port)):
        await server.run(SocketNetwork(), "127.0.0.1", listener.port)
