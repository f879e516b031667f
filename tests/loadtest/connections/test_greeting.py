"""The lean client's beginning against wsproto's server, and every way in which it can come to nothing."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, RejectConnection, Request

from loadtest.connections.greeting import Greeting, joins_of, masked_frame
from loadtest.readers.frames import FrameReader
from wire.client_codec import Form, decode_client_message, encode
from wire.client_messages import (
    SUBPROTOCOL_MSGPACK,
    Count,
    Hello,
    Joined,
    Position,
    Refused,
    ServerMessage,
    Welcome,
)
from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_TEXT, frame

ROOM = "bench/r000"
WELCOME = Welcome(1, "bench", "", "", "author", "name", 25_000, [Joined(0, ROOM, "epoch", 7, 7)])


def greeting(**more: str) -> Greeting:
    return Greeting("127.0.0.1:8001", "/ws", joins_of([ROOM], {}), key=bytes(range(16)), mask=b"mask", **more)


def accepted(client: Greeting, subprotocol: str | None = SUBPROTOCOL_MSGPACK) -> tuple[WSConnection, bytes]:
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(client.request)
    [request] = server.events()
    assert isinstance(request, Request)
    assert request.subprotocols == [SUBPROTOCOL_MSGPACK]
    assert (request.host, request.target) == ("127.0.0.1:8001", "/ws")
    return server, server.send(AcceptConnection(subprotocol=subprotocol))


def said(message: ServerMessage) -> bytes:
    return frame(OPCODE_BINARY, encode(message, Form.MSGPACK))


@given(cut=st.integers(0, 500), tail=st.binary(max_size=5))
def test_it_ends_with_the_welcome_wherever_it_is_cut(cut: int, tail: bytes) -> None:
    client = greeting()
    server, answer = accepted(client)
    hello = client.receive(answer[:cut]) if answer[:cut] else b""
    hello += client.receive(answer[cut:]) if answer[cut:] else b""
    server.receive_data(hello)
    [message] = server.events()
    assert isinstance(message, BytesMessage)
    hello_message = decode_client_message(bytes(message.data), Form.MSGPACK)
    assert isinstance(hello_message, Hello)
    assert [(join.room, join.limit) for join in hello_message.joins] == [(ROOM, 0)]
    reply = server.send(BytesMessage(encode(WELCOME, Form.MSGPACK)))
    within = 1 + cut % (len(reply) - 1)
    client.receive(reply[:within])
    assert not client.is_done
    client.receive(reply[within:] + tail)
    assert client.welcome == WELCOME
    assert client.rest == tail


def test_who_comes_back_says_who_and_where_it_was() -> None:
    since = {ROOM: Position("epoch", 7)}
    joins = joins_of([ROOM, "bench/new"], since, 50)
    client = Greeting("h:1", "", joins, key=bytes(16), mask=b"mask", client="c", name="n", guest="g", session="s")
    assert client.request.startswith(b"GET / HTTP/1.1\r\n")
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(client.request)
    list(server.events())
    server.receive_data(client.receive(server.send(AcceptConnection(subprotocol=SUBPROTOCOL_MSGPACK))))
    [message] = server.events()
    assert isinstance(message, BytesMessage)
    hello = decode_client_message(bytes(message.data), Form.MSGPACK)
    assert hello == Hello(1, "c", "g", "s", "n", joins)


def test_a_ping_before_the_welcome_is_answered() -> None:
    client = greeting()
    server, answer = accepted(client)
    server.receive_data(client.receive(answer))
    list(server.events())
    server.receive_data(client.receive(server.send(Ping(b"are you there")) + said(WELCOME)))
    assert [bytes(event.payload) for event in server.events() if isinstance(event, Pong)] == [b"are you there"]
    assert client.welcome == WELCOME


def test_a_refusal_instead_of_a_welcome_is_told() -> None:
    client = greeting()
    _, answer = accepted(client)
    refused = Refused(0, "busy", "Try again.", True, 700)
    client.receive(answer + said(refused) + frame(OPCODE_CLOSE, struct.pack("!H", 3013)))
    assert (client.refused, client.welcome, client.rejected) == (refused, None, None)


def test_a_message_of_a_newer_server_is_read_over() -> None:
    client = greeting()
    _, answer = accepted(client)
    client.receive(answer + frame(OPCODE_BINARY, b"\x81\xa1t\xa7novelty") + said(WELCOME))
    assert client.welcome == WELCOME


@pytest.mark.parametrize(("status", "headers", "code", "retry_after_s"), [
    (403, [], "http 403", 0.0),
    (503, [(b"Retry-After", b"7")], "http 503", 7.0),
    (503, [(b"Retry-After", b"Wed, 21 Oct 2026 07:28:00 GMT")], "http 503", 0.0),
])  # fmt: skip
def test_a_refused_upgrade_says_how_it_was_refused(
    status: int, headers: list[tuple[bytes, bytes]], code: str, retry_after_s: float
) -> None:
    client = greeting()
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(client.request)
    list(server.events())
    client.receive(server.send(RejectConnection(status_code=status, headers=headers)))
    assert client.rejected is not None
    assert (client.rejected.code, client.rejected.retry_after_s) == (code, retry_after_s)


def _another_key() -> bytes:
    other = Greeting("127.0.0.1:8001", "/ws", [], key=bytes(16), mask=b"mask")
    return accepted(other)[1]


@pytest.mark.parametrize(("answer", "sentence"), [
    (lambda: b"SSH-2.0-OpenSSH\r\n\r\n", "is no HTTP"),
    (lambda: b"x" * 20_000, "does not end"),
    (_another_key, "not in answer to our key"),
    (lambda: accepted(greeting(), None)[1], "not to parvis.v1.msgpack"),
    (lambda: accepted(greeting())[1] + said(Count(ROOM, 1)), "Count instead of a welcome"),
    (lambda: accepted(greeting())[1] + frame(OPCODE_BINARY, b"\xff"), "is no server message"),
    (lambda: accepted(greeting())[1] + frame(OPCODE_TEXT, b"{}"), "text frame"),
    (lambda: accepted(greeting())[1] + b"\xff\xff", "reserved bits"),
])  # fmt: skip
def test_what_no_server_of_ours_says_is_a_protocol_error(answer: Callable[[], bytes], sentence: str) -> None:
    client = greeting()
    client.receive(answer())
    assert client.rejected is not None
    assert client.rejected.code == "protocol"
    assert sentence in client.rejected.sentence
    assert client.receive(b"more") == b""


def test_a_close_frame_gives_its_code() -> None:
    client = greeting()
    server, answer = accepted(client)
    client.receive(answer)
    client.receive(server.send(CloseConnection(3502, "no hello")))
    assert client.rejected is not None
    assert (client.rejected.code, client.rejected.close_code, client.rejected.sentence) == ("3502", 3502, "no hello")


@pytest.mark.parametrize(("before", "words"), [(b"", "before the upgrade"), (None, "after the upgrade")])
def test_an_end_without_a_word_is_told(before: bytes | None, words: str) -> None:
    client = greeting()
    _, answer = accepted(client)
    if before is None:
        client.receive(answer)
    client.receive(b"")
    assert client.rejected is not None
    assert client.rejected.code == "closed"
    assert words in client.rejected.sentence


@given(st.one_of(st.binary(max_size=300), st.sampled_from([65535, 65536, 70_000]).map(bytes)), st.binary(min_size=4, max_size=4))
def test_masked_frames_are_read_by_wsproto(payload: bytes, mask: bytes) -> None:
    server, _ = accepted(greeting())
    server.receive_data(masked_frame(payload, mask))
    assert b"".join(bytes(event.data) for event in server.events() if isinstance(event, BytesMessage)) == payload


def test_a_server_would_not_take_its_frames_for_a_servers() -> None:
    reader = FrameReader()
    reader.take(masked_frame(b"x", b"mask"))
    assert reader.violation is not None
