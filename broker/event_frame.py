"""An entry of the log as the frame that clients read: encoded once, for everybody.  And back.

The frame names its room by name and holds nothing per connection, so the same bytes go
to every gateway, and from there to every reader of the msgpack form.
"""

import msgspec

from broker.record import Body, Entry, pack_body
from wire.client_codec import Form, encode
from wire.client_messages import Event
from wire.names import RoomName
from wire.node_messages import FLAG_REMOVAL, FLAG_SYSTEM, NodeFrame, author_tag

_BODY_DECODER = msgspec.msgpack.Decoder(Body)
_EVENT_DECODER = msgspec.msgpack.Decoder(Event)

# Flags by the kind of an entry; a kind that is not here is an ordinary word of a person.
_FLAGS = {"delete": FLAG_REMOVAL, "epoch": FLAG_SYSTEM}

# Names of fields and the tag (61 bytes), a byte or up to five before each of twelve strings' values, three numbers of nine.
_AROUND_STRINGS_BYTES_MAX = 160


def frame_of(room: RoomName, entry: Entry, body: Body) -> NodeFrame:
    """The frame of an entry whose body is at hand; the entry is not erased."""
    event = Event(
        room=room,
        offset=entry.offset,
        at=entry.at,
        kind=entry.kind,
        by=entry.author,
        name=body.name,
        id=entry.id,
        text=body.text,
        target=body.target,
    )
    tag = author_tag(entry.author) if entry.author else 0
    return NodeFrame(entry.offset, _FLAGS.get(entry.kind, 0), tag, encode(event, Form.MSGPACK))


def tombstone_of(room: RoomName, offset: int, at: int, kind: str, target: int, reason: str) -> NodeFrame:
    """The frame that takes an erased entry's place: its kind and time, and why the text is gone."""
    event = Event(room=room, offset=offset, at=at, kind=kind, target=target, removed=reason)
    return NodeFrame(offset, _FLAGS.get(kind, 0), 0, encode(event, Form.MSGPACK))


def frame_of_stored(room: RoomName, entry: Entry) -> NodeFrame:
    """The frame of an entry as the journal gives it back, erased or not."""
    if entry.removed:
        return tombstone_of(room, entry.offset, entry.at, entry.kind, entry.target, entry.removed)
    return frame_of(room, entry, _BODY_DECODER.decode(entry.body))


def frame_bytes_max(room: RoomName, entry: Entry) -> int:
    """What `frame_of_stored` has at most, without making it: it packs the strings of both, numbers, and the names of fields."""
    author, message_id = entry.author, entry.id
    ascii_only = author.isascii() and message_id.isascii()
    strings = (len(author) + len(message_id)) * (1 if ascii_only else 4)
    return len(room) + len(entry.body) + len(entry.kind) + strings + len(entry.removed) + _AROUND_STRINGS_BYTES_MAX


def entry_of(frame: NodeFrame, digest: bytes, salt: bytes) -> Entry:
    """The entry that a frame of ours shows, erased or not; `digest` and `salt` are not in the frame."""
    event = _EVENT_DECODER.decode(frame.frame)
    if event.removed:
        return Entry(event.offset, event.at, event.kind, digest, b"", "", "", b"", event.target, event.removed)
    body = pack_body(Body(event.name, event.text, event.target))
    return Entry(event.offset, event.at, event.kind, digest, salt, event.by, event.id, body, event.target)
