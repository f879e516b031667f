"""A page of history in the form that its reader speaks.  Pure."""

import msgspec

from wire.client_codec import Form, recode_event
from wire.client_messages import Page
from wire.node_messages import Range


def page_of(answer: Range, n: int, room: str, form: Form) -> Page:
    """A range read as the client's page; events stay the bytes they are."""
    if form is Form.MSGPACK:
        events = [msgspec.Raw(node_frame.frame) for node_frame in answer.frames]
    else:
        events = [msgspec.Raw(recode_event(node_frame.frame)) for node_frame in answer.frames]
    return Page(n, room, answer.epoch, answer.offset, events, answer.more)
