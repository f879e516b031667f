"""What the short way takes is what wsproto would have taken, byte for byte; what it leaves is wsproto's to judge."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

from gateway.inbound import InboundFrames
from gateway.plain_frames import take_plain_messages
from tests.support.deflating import deflated
from tests.support.edge_server import client_frame, client_header
from wire.client_codec import Form
from wire.errors import PeerError
from wire.frames import OPCODE_BINARY, OPCODE_PING, OPCODE_TEXT

MAX = 1000


def by_wsproto(data: bytes, form: Form, deflates: bool) -> tuple[list[object], str]:
    """Everything that wsproto makes of `data`, and its verdict if it has one."""
    frames = InboundFrames(form, MAX, deflates=deflates)
    frames.feed(data)
    seen: list[object] = []
    try:
        while (event := frames.next_event()) is not None:
            seen.append(event)
    except PeerError as error:
        return seen, str(error.code)
    return seen, ""


def both_ways(data: bytes, form: Form, deflates: bool) -> tuple[list[object], str]:
    messages, used = take_plain_messages(data, form, MAX)
    rest, verdict = by_wsproto(data[used:], form, deflates)
    return [*messages, *rest], verdict


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 125, 126, 127, 128, 999, 1000])
def test_a_plain_frame_of_any_length_is_its_payload(length: int) -> None:
    payload = bytes(place % 251 for place in range(length))
    data = client_frame(OPCODE_BINARY, payload)
    assert take_plain_messages(data, Form.MSGPACK, MAX) == ([payload], len(data))


def test_it_ends_at_the_first_frame_that_is_not_plain() -> None:
    plain = client_frame(OPCODE_BINARY, b"one") + client_frame(OPCODE_BINARY, b"two" * 50)
    for other in (
        client_frame(OPCODE_PING, b"p"), client_frame(OPCODE_BINARY, b"x", fin=False), client_frame(OPCODE_TEXT, b"x"),
        client_frame(OPCODE_BINARY, b"x", masked=False), client_frame(OPCODE_BINARY, b"x", rsv=4), b"\x82\xfe\x00\x05abcdhello",
        client_frame(OPCODE_BINARY, b"x" * (MAX + 1)), client_header(OPCODE_BINARY, 2**63),
        client_frame(OPCODE_BINARY, b"cut")[:-1],
    ):  # fmt: skip
        messages, used = take_plain_messages(plain + other, Form.MSGPACK, MAX)
        assert messages == [b"one", b"two" * 50]
        assert used == len(plain)


def test_a_text_that_is_not_utf_8_is_left_to_be_refused() -> None:
    good, bad = client_frame(OPCODE_TEXT, "grüß".encode()), client_frame(OPCODE_TEXT, b"\xed\xa0\x80")
    assert take_plain_messages(good + bad, Form.JSON, MAX) == (["grüß".encode()], len(good))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8), st.sampled_from(Form))
@settings(deadline=None)
def test_what_wsproto_sends_as_a_client_is_all_taken(payloads: list[bytes], form: Form) -> None:
    client = Connection(ConnectionType.CLIENT)
    if form is Form.MSGPACK:
        data = b"".join(client.send(BytesMessage(payload)) for payload in payloads)
    else:
        texts = [payload.decode("latin-1") for payload in payloads]
        payloads = [text.encode() for text in texts]
        data = b"".join(client.send(TextMessage(text)) for text in texts)
    assert take_plain_messages(data, form, MAX) == (payloads, len(data))


_frames = st.builds(
    lambda opcode, payload, fin, rsv: client_frame(opcode, payload, fin=fin, rsv=rsv),
    st.sampled_from([0x0, 0x1, 0x2, 0x8, 0x9, 0xA]), st.binary(max_size=300) | st.binary(max_size=300).map(deflated),
    st.booleans(), st.sampled_from([0, 0, 4]),
)  # fmt: skip
_streams = st.lists(_frames | st.binary(max_size=20), max_size=12).map(b"".join)


@given(_streams, st.sampled_from(Form), st.booleans())
@settings(max_examples=500, deadline=None)
def test_both_ways_together_see_what_wsproto_sees_alone(data: bytes, form: Form, deflates: bool) -> None:
    assert both_ways(data, form, deflates) == by_wsproto(data, form, deflates)
