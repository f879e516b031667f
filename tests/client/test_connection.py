"""The edge of one connection: whatever a server does ends as one call of the hooks."""

import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import trio
import trustme
from trio.testing import MockClock, memory_stream_pair
from trio_websocket import WebSocketRequest, serve_websocket
from wsproto.utilities import generate_accept_token

from client.connection import Connection, dial
from client.updates import HistoryPage
from wire.client_codec import Form, encode
from wire.client_messages import AnyServerMessage, Count, Event, Page, Ping, Pong
from wire.limits import CLIENT_OUTGOING_MESSAGES_MAX, CLOSE_GRACE_S, CLOSE_REASON_BYTES_MAX, SERVER_MESSAGE_BYTES_MAX

URL = "ws://gateway:8001/"
ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


class Record:
    """What the hooks were told."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.is_open = trio.Event()
        self.reason = ""

    def opened(self) -> None:
        self.calls.append(("opened",))
        self.is_open.set()

    def received(self, message: AnyServerMessage | HistoryPage) -> None:
        self.calls.append(("received", message))

    def broken(self, reason: str) -> None:
        self.calls.append(("broken",))

    def failed(self, reason: str, retry_after_s: float) -> None:
        self.calls.append(("failed", retry_after_s))
        self.reason = reason

    def closed(self, code: int, reason: str) -> None:
        self.calls.append(("closed", code, reason))


Script = Callable[[trio.abc.Stream], Awaitable[None]]


async def run_against(script: Script, form: Form = Form.MSGPACK) -> Record:
    """One connection to a server that does what `script` does with its raw stream."""
    record = Record()
    async with trio.open_nursery() as nursery:
        ours, theirs = memory_stream_pair()

        async def dial_memory(url: str) -> trio.abc.Stream:
            nursery.start_soon(script, ours)
            return theirs

        await Connection(URL, form, dial_memory, record).run()
        nursery.cancel_scope.cancel()
    return record


async def read_request(stream: trio.abc.Stream) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        request += await stream.receive_some(4096)
    return request


def accept_of(request: bytes, subprotocol: str = Form.MSGPACK.value) -> bytes:
    """A good answer to a websocket handshake."""
    key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    offered = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return ACCEPT + b"Sec-WebSocket-Accept: " + generate_accept_token(key) + b"\r\n" + offered.encode() + b"\r\n"


def frame(payload: bytes, opcode: int = 2) -> bytes:
    assert len(payload) < 126
    return bytes((0x80 | opcode, len(payload))) + payload


async def test_nobody_at_the_address_is_a_failure() -> None:
    record = Record()

    async def refuse(url: str) -> trio.abc.Stream:
        raise OSError("nobody listens")

    await Connection(URL, Form.MSGPACK, refuse, record).run()
    assert record.calls == [("failed", 0.0)]


async def test_a_port_at_which_nobody_listens_is_told_so() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        record = Record()
        await Connection(f"ws://127.0.0.1:{sock.getsockname()[1]}", Form.MSGPACK, dial, record).run()
    assert record.calls == [("failed", 0.0)]
    assert record.reason.endswith("Connection refused")


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (b"", 0.0),
        (b"HTTP/1.1 101 Switch", 0.0),
        (b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n", 5.0),
        (b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: tomorrow\r\nContent-Length: 0\r\n\r\n", 0.0),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n", 0.0),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", 0.0),
        (ACCEPT + b"Sec-WebSocket-Protocol: \xff\r\nSec-WebSocket-Accept: \xff\r\n\r\n", 0.0),
    ],
    ids=["silence", "half an answer", "busy", "busy with a date", "forbidden", "no http", "bytes beyond ascii"],
)
async def test_a_handshake_that_fails_is_one_failure(answer: bytes, advice: float, autojump_clock: MockClock) -> None:
    async def script(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        if answer:
            await stream.send_all(answer)
        await stream.aclose()

    with trio.move_on_after(60) as scope:
        record = await run_against(script)
    assert not scope.cancelled_caught
    assert record.calls == [("failed", advice)]


async def test_a_server_that_speaks_another_subprotocol_is_a_failure() -> None:
    async def script(stream: trio.abc.Stream) -> None:
        await stream.send_all(accept_of(await read_request(stream), ""))
        await stream.receive_some(100)

    assert (await run_against(script)).calls == [("failed", 0.0)]


async def test_a_stream_that_breaks_is_closed_without_a_goodbye() -> None:
    async def script(stream: trio.abc.Stream) -> None:
        await stream.send_all(accept_of(await read_request(stream)))
        await trio.aclose_forcefully(stream)

    calls = (await run_against(script)).calls
    assert [call[0] for call in calls] == ["opened", "closed"]
    assert calls[1][1] == 1006


async def test_a_close_frame_gives_its_code_and_reason() -> None:
    async def script(stream: trio.abc.Stream) -> None:
        request = await read_request(stream)
        await stream.send_all(accept_of(request) + frame((3008).to_bytes(2, "big") + b"too slow", 8))
        await stream.receive_some(100)

    assert (await run_against(script)).calls == [("opened",), ("closed", 3008, "too slow")]


async def test_messages_are_decoded_pages_whole_and_what_is_unknown_is_passed_over() -> None:
    event = Event("a/b", 1, 2, "message")
    page = Page(1, "a/b", "e", 1, [msgspec.Raw(encode(event, Form.MSGPACK))])
    bad_page = Page(1, "a/b", "e", 1, [msgspec.Raw(encode(Ping(), Form.MSGPACK))])

    async def script(stream: trio.abc.Stream) -> None:
        data = accept_of(await read_request(stream))
        for payload in (
            encode(Count("a/b", 7), Form.MSGPACK),
            encode(page, Form.MSGPACK),
            b"\x81\xa1t\xa7sparkle",
            b"\x81\xa1t\xa5event",
            encode(bad_page, Form.MSGPACK),
            b"\xc1",
        ):
            data += frame(payload)
        await stream.send_all(data)
        await trio.aclose_forcefully(stream)

    assert (await run_against(script)).calls[:-1] == [
        ("opened",),
        ("received", Count("a/b", 7)),
        ("received", HistoryPage(1, "a/b", "e", 1, (event,), False)),
        ("broken",),
        ("broken",),
        ("broken",),
    ]


@pytest.mark.parametrize(
    "violation",
    [
        b"\xff\xff",
        b"\x82\xff" + bytes(8),
        bytes((0x82, 127)) + (2**63).to_bytes(8, "big"),
        frame(b"\xff\xfe", 1),
        bytes((0x82, 127)) + (2 * SERVER_MESSAGE_BYTES_MAX).to_bytes(8, "big") + bytes(SERVER_MESSAGE_BYTES_MAX + 1),
    ],
    ids=["reserved bits", "masked", "a length beyond the standard", "no utf-8", "too large"],
)
async def test_a_broken_websocket_protocol_ends_the_connection(violation: bytes, autojump_clock: MockClock) -> None:
    async def script(stream: trio.abc.Stream) -> None:
        await stream.send_all(accept_of(await read_request(stream)) + violation)
        while await stream.receive_some(4096):
            pass

    with trio.move_on_after(60) as scope:
        calls = (await run_against(script)).calls
    assert not scope.cancelled_caught
    assert [call[0] for call in calls] == ["opened", "closed"]
    # Not a code that would stop us: it is the server that is at fault, and the next one may not be.
    assert calls[1][1] == 1006


async def test_a_server_that_never_answers_our_goodbye_is_left_after_the_grace(autojump_clock: MockClock) -> None:
    record = Record()
    ours, theirs = memory_stream_pair()

    async def dial_memory(url: str) -> trio.abc.Stream:
        return theirs

    connection = Connection(URL, Form.MSGPACK, dial_memory, record)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await ours.send_all(accept_of(await read_request(ours)))
        await record.is_open.wait()
        start = trio.current_time()
        connection.close(1000, "x" * 200)
        connection.send(Pong())
    assert trio.current_time() - start == pytest.approx(CLOSE_GRACE_S)
    sent = await ours.receive_some(1000)
    # One masked close frame, its reason cut to fit, and nothing behind it.
    assert sent[0] == 0x88
    assert sent[1] & 0x7F == 2 + CLOSE_REASON_BYTES_MAX
    assert len(sent) == 2 + 4 + 2 + CLOSE_REASON_BYTES_MAX
    assert [call[0] for call in record.calls] == ["opened", "closed"]


async def test_a_server_that_takes_nothing_is_left_when_the_queue_is_full(autojump_clock: MockClock) -> None:
    record = Record()
    ours, theirs = memory_stream_pair()

    async def dial_memory(url: str) -> trio.abc.Stream:
        return theirs

    connection = Connection(URL, Form.MSGPACK, dial_memory, record)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await ours.send_all(accept_of(await read_request(ours)))
        await record.is_open.wait()
        for _ in range(CLIENT_OUTGOING_MESSAGES_MAX + 1):
            connection.send(Pong())
    assert [call[0] for call in record.calls] == ["opened", "closed"]


async def test_a_connection_closed_while_it_is_dialled_is_a_failure(autojump_clock: MockClock) -> None:
    record = Record()

    async def dial_for_ever(url: str) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError("not reached")

    connection = Connection(URL, Form.MSGPACK, dial_for_ever, record)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await trio.testing.wait_all_tasks_blocked()
        connection.close(1000, "")
    assert record.calls == [("failed", 0.0)]


@pytest.mark.parametrize("form", Form)
async def test_over_a_real_socket_both_sides_hear_each_other(form: Form) -> None:
    record = Record()
    heard: list[str | bytes] = []

    async def serve(request: WebSocketRequest) -> None:
        websocket = await request.accept(subprotocol=form.value)
        ping = encode(Ping(), form)
        await websocket.send_message(ping.decode() if form is Form.JSON else ping)
        heard.append(await websocket.get_message())
        await websocket.aclose(3001, "bye")

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, serve, "127.0.0.1", 0, None)
        connection = Connection(f"ws://127.0.0.1:{server.port}", form, dial, record)
        nursery.start_soon(connection.run)
        with trio.fail_after(5):
            await record.is_open.wait()
            connection.send(Pong({"a/b": 3}))
            while record.calls[-1][0] != "closed":
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert record.calls == [("opened",), ("received", Ping()), ("closed", 3001, "bye")]
    payload = encode(Pong({"a/b": 3}), form)
    assert heard == [payload.decode() if form is Form.JSON else payload]


async def test_over_tls_a_server_is_believed_only_with_a_certificate_for_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, strangers = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def serve(request: WebSocketRequest) -> None:
        websocket = await request.accept(subprotocol=Form.MSGPACK.value)
        await websocket.send_message(encode(Ping(), Form.MSGPACK))
        await websocket.get_message()
        await websocket.aclose(3001, "bye")

    async def meet(certificate: trustme.LeafCert) -> Record:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        record = Record()
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_websocket, serve, "127.0.0.1", 0, context)
            connection = Connection(f"wss://127.0.0.1:{server.port}", Form.MSGPACK, dial, record)
            connection.send(Pong({}))
            with trio.fail_after(10):
                await connection.run()
            nursery.cancel_scope.cancel()
        return record

    good = await meet(ours.issue_cert("127.0.0.1"))
    assert good.calls == [("opened",), ("received", Ping()), ("closed", 3001, "bye")]
    for wrong in (strangers.issue_cert("127.0.0.1"), ours.issue_cert("elsewhere.example")):
        assert (await meet(wrong)).calls == [("failed", 0.0)]
