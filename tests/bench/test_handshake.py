"""The bench's lean client against wsproto's server: what it sends is a websocket client's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, RejectConnection, Request

from bench.handshake import Handshake, masked_frame
from bench.stream import StreamError
from wire.client_codec import Form, decode_client_message, encode
from wire.client_messages import SUBPROTOCOL_MSGPACK, Hello, Joined, Welcome

ROOM = "bench/r000"
WELCOME = Welcome(1, "bench", "", "", "author", "name", 25_000, [Joined(0, ROOM, "epoch", 7, 7)])


def handshake() -> Handshake:
    return Handshake("127.0.0.1", 8001, [ROOM], bytes(range(16)), b"mask")


def accepted(client: Handshake, subprotocol: str | None = SUBPROTOCOL_MSGPACK) -> tuple[WSConnection, bytes]:
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(client.request)
    [request] = server.events()
    assert isinstance(request, Request)
    assert request.subprotocols == [SUBPROTOCOL_MSGPACK]
    return server, server.send(AcceptConnection(subprotocol=subprotocol))


@given(cut=st.integers(0, 500))
def test_a_handshake_ends_with_the_welcome_wherever_it_is_cut(cut: int) -> None:
    client = handshake()
    server, answer = accepted(client)
    hello = client.receive(answer[:cut]) + client.receive(answer[cut:])
    server.receive_data(hello)
    [message] = server.events()
    assert isinstance(message, BytesMessage)
    said = decode_client_message(bytes(message.data), Form.MSGPACK)
    assert isinstance(said, Hello)
    assert [(join.room, join.limit) for join in said.joins] == [(ROOM, 0)]
    reply = server.send(BytesMessage(encode(WELCOME, Form.MSGPACK)))
    within = cut % len(reply)
    client.receive(reply[:within])
    assert client.welcome is None
    client.receive(reply[within:] + b"\x82")
    assert client.welcome == WELCOME
    assert client.rest == b"\x82"


def test_a_refused_upgrade_says_how_it_was_refused() -> None:
    client = handshake()
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(client.request)
    answer = server.send(RejectConnection(status_code=403))
    with pytest.raises(StreamError, match="403"):
        client.receive(answer)


def test_another_key_is_not_accepted() -> None:
    other = Handshake("127.0.0.1", 8001, [ROOM], bytes(16), b"mask")
    _, answer = accepted(other)
    with pytest.raises(StreamError, match="not upgraded"):
        handshake().receive(answer)


def test_no_subprotocol_is_not_ours() -> None:
    client = handshake()
    _, answer = accepted(client, subprotocol=None)
    with pytest.raises(StreamError, match="subprotocol"):
        client.receive(answer)


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masked_frames_are_read_by_wsproto(payload: bytes, mask: bytes) -> None:
    server, _ = accepted(handshake())
    server.receive_data(masked_frame(payload, mask))
    assert b"".join(bytes(event.data) for event in server.events() if isinstance(event, BytesMessage)) == payload
