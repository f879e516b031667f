"""Entries as frames: what clients read is what was written, and a tombstone says nothing of it."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from broker.event_frame import entry_of, frame_bytes_max, frame_of, frame_of_stored, tombstone_of
from broker.record import Body, Entry
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Event
from wire.limits import AUTHOR_ID_CHARS_MAX, ROOM_NAME_CHARS_MAX
from wire.names import RoomName
from wire.node_messages import FLAG_REMOVAL, FLAG_SYSTEM, author_tag

ROOM = RoomName("town/square")


def an_entry(kind: str, body: Body, author: str = "ann") -> Entry:
    return Entry(7, 1000, kind, b"d" * 16, b"s" * 16, author, "m1", msgspec.msgpack.encode(body), body.target)


@given(st.text(max_size=200), st.text(max_size=30), st.integers(0, 2**53 - 1))
def test_a_stored_entry_gives_the_same_frame_as_the_one_just_decided(text: str, name: str, target: int) -> None:
    body = Body(name, text, target)
    entry = an_entry("message", body)
    frame = frame_of(ROOM, entry, body)
    assert frame_of_stored(ROOM, entry) == frame
    assert decode_server_message(frame.frame, Form.MSGPACK) == Event(
        room=ROOM, offset=7, at=1000, kind="message", by="ann", name=name, id="m1", text=text, target=target
    )
    assert (frame.offset, frame.author_tag) == (7, author_tag("ann"))


def test_flags_tell_a_gateway_what_it_needs_without_decoding() -> None:
    assert frame_of(ROOM, an_entry("message", Body("Ann")), Body("Ann")).flags == 0
    assert frame_of(ROOM, an_entry("delete", Body("Ann")), Body("Ann")).flags == FLAG_REMOVAL
    system = frame_of(ROOM, an_entry("epoch", Body(""), author=""), Body(""))
    assert (system.flags, system.author_tag) == (FLAG_SYSTEM, 0)


def test_an_erased_entry_becomes_a_tombstone_that_names_nobody() -> None:
    erased = an_entry("edit", Body("Ann", "secret", 3)).erased("author")
    frame = frame_of_stored(ROOM, erased)
    assert frame == tombstone_of(ROOM, 7, 1000, "edit", 3, "author")
    assert frame.author_tag == 0
    assert decode_server_message(frame.frame, Form.MSGPACK) == Event(
        room=ROOM, offset=7, at=1000, kind="edit", target=3, removed="author"
    )


@given(st.sampled_from(["message", "edit", "delete", "epoch"]), st.text(max_size=50), st.integers(0, 2**53 - 1), st.booleans())
def test_a_frame_with_digest_and_salt_is_the_entry_again(kind: str, text: str, target: int, is_erased: bool) -> None:
    entry = an_entry(kind, Body("Ann", text, target), author="" if kind == "epoch" else "ann")
    entry = entry.erased("author") if is_erased else entry
    assert entry_of(frame_of_stored(ROOM, entry), entry.digest, entry.salt) == entry


@given(
    st.sampled_from(["message", "edit", "delete", "epoch"]), st.text(max_size=600), st.text(max_size=40),
    st.text(max_size=AUTHOR_ID_CHARS_MAX), st.text(max_size=40), st.integers(1, 2**53 - 1), st.integers(0, 2**53 - 1),
    st.sampled_from(["", "author", "a reason of a moderator"]), st.integers(1, ROOM_NAME_CHARS_MAX),
)  # fmt: skip
def test_no_frame_is_longer_than_its_bound(
    kind: str, text: str, name: str, author: str, message_id: str, offset: int, target: int, removed: str, room_chars: int
) -> None:  # fmt: skip
    room = RoomName("r" * room_chars)
    body = msgspec.msgpack.encode(Body(name, text, target))
    entry = Entry(offset, 2**53 - 1, kind, b"d" * 16, b"s" * 16, author, message_id, body, target)
    entry = entry.erased(removed) if removed else entry
    assert len(frame_of_stored(room, entry).frame) <= frame_bytes_max(room, entry) < len(frame_of_stored(room, entry).frame) + 600
