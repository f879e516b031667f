"""Server frames against wsproto, the oracle, at the sizes where the header changes its form."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, TextMessage

from tests.support.deflating import agreed
from wire.frames import DEFLATED_BIT, OPCODE_BINARY, OPCODE_PING, OPCODE_TEXT, frame, frame_header, header_length

_SIZES = [0, 1, 125, 126, 127, 65535, 65536, 65537]


def _of_wsproto(event: BytesMessage | TextMessage | Ping) -> bytes:
    return bytes(Connection(ConnectionType.SERVER).send(event))


@pytest.mark.parametrize("size", _SIZES)
def test_a_frame_is_the_one_that_wsproto_makes(size: int) -> None:
    assert frame(OPCODE_BINARY, b"x" * size) == _of_wsproto(BytesMessage(b"x" * size))
    assert frame(OPCODE_TEXT, b"x" * size) == _of_wsproto(TextMessage("x" * size))


@given(st.integers(min_value=0, max_value=70_000))
@settings(deadline=None)
def test_a_header_is_the_one_that_wsproto_makes_at_any_size(size: int) -> None:
    assert _of_wsproto(BytesMessage(b"\0" * size))[:-size or None] == frame_header(OPCODE_BINARY, size)


@pytest.mark.parametrize("size", _SIZES)
def test_the_length_of_a_header_is_known_beforehand(size: int) -> None:
    assert header_length(size) == len(frame_header(OPCODE_BINARY, size))


def test_the_largest_length_has_eight_bytes() -> None:
    assert frame_header(OPCODE_BINARY, 2**63 - 1) == b"\x82\x7f\x7f" + b"\xff" * 7


def test_a_deflated_frame_is_the_one_that_wsproto_makes() -> None:
    sent = Connection(ConnectionType.SERVER, extensions=[agreed()]).send(BytesMessage(b"x" * 500))
    assert sent[:1] == frame(OPCODE_BINARY | DEFLATED_BIT, b"")[:1]
    assert sent == frame(OPCODE_BINARY | DEFLATED_BIT, bytes(sent[2:]))


def test_a_control_frame_is_the_one_that_wsproto_makes() -> None:
    assert frame(OPCODE_PING, b"p" * 125) == _of_wsproto(Ping(b"p" * 125))
