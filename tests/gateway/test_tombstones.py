"""What a removal takes from frames that a feed holds."""

from gateway.tombstones import removals_in, tombstone
from tests.support.gateway_fakes import ROOM, event_payload, node_frames
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import Event, Skipped
from wire.node_messages import FLAG_REMOVAL, NodeFrame


def payload(offset: int, kind: str, target: int = 0, by: str = "g-a", text: str = "words") -> bytes:
    return encode(Event(ROOM, offset, 1, kind, by, "Ada", f"m{offset}", text, target), Form.MSGPACK)


def test_removals_are_the_deletes_among_the_frames() -> None:
    delete = NodeFrame(9, FLAG_REMOVAL, 1, payload(9, "delete", 4, text=""))
    assert removals_in([*node_frames(7, 8), delete]) == {4: "g-a"}


def test_a_message_and_its_edits_lose_their_text_author_and_id() -> None:
    for held, reason in (
        (payload(4, "message"), "author"),
        (payload(6, "edit", 4), "author"),
        (payload(4, "message", by="g-b"), "removed"),
    ):
        buried = tombstone(held, {4: "g-a"})
        assert buried is not None
        event = decode_server_message(buried, Form.MSGPACK)
        assert isinstance(event, Event)
        assert (event.text, event.by, event.name, event.id, event.removed) == ("", "", "", "", reason)
        assert tombstone(buried, {4: "g-a"}) is None, "once"


def test_everything_else_stays_as_it_is() -> None:
    marks = encode(Skipped(ROOM, 4, 4), Form.MSGPACK)
    for held in (event_payload(5), payload(6, "edit", 5), payload(9, "delete", 4, text=""), marks):
        assert tombstone(held, {4: "g-a"}) is None
