"""A page has its events in the form that its reader speaks."""

import pytest

from gateway.pages import page_of
from tests.support.gateway_fakes import ROOM, node_frames
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Event, Page
from wire.node_messages import Range


def test_a_page_keeps_the_bytes_of_its_events() -> None:
    frames = node_frames(1, 2)
    encoded = encode(page_of(Range(1, "e", 2, frames), 1, ROOM, Form.MSGPACK), Form.MSGPACK)
    assert all(node_frame.frame in encoded for node_frame in frames)


@pytest.mark.parametrize("form", list(Form))
def test_a_page_is_read_back_as_what_was_kept(form: Form) -> None:
    page = decode_server_message(encode(page_of(Range(1, "e", 9, node_frames(1, 2), True), 7, ROOM, form), form), form)
    assert isinstance(page, Page)
    assert (page.n, page.room, page.epoch, page.offset, page.more) == (7, ROOM, "e", 9, True)
    events = [decode_server_message(bytes(event), form) for event in page.events]
    assert [event.offset for event in events if isinstance(event, Event)] == [1, 2]
