"""What a removal takes from frames that are held, where the shard's own tombstones did not arrive.  Pure.

While a feed hears its shard, `HideFrames` brings the tombstones.  A feed that was cut off reads of
the removal only later, as an event among others: then it takes the texts from its ring itself.
"""

from collections.abc import Iterable, Mapping

import msgspec

from wire.client_codec import Form, encode
from wire.client_messages import Event
from wire.node_messages import FLAG_REMOVAL, NodeFrame

_DECODER = msgspec.msgpack.Decoder(Event)


def removals_in(frames: Iterable[NodeFrame]) -> dict[int, str]:
    """The offsets that these events remove, and who removed each."""
    deletes = (_DECODER.decode(frame.frame) for frame in frames if frame.flags & FLAG_REMOVAL)
    return {event.target: event.by for event in deletes}


def tombstone(payload: bytes, removals: Mapping[int, str]) -> bytes | None:
    """The payload that takes an event's place if it, or the message it edits, was removed; None for all others."""
    try:
        event = _DECODER.decode(payload)
    except msgspec.ValidationError:
        # A mark: it says where the stream does not go on, and holds no text.
        return None
    subject = event.target if event.kind == "edit" else event.offset
    if subject not in removals or event.removed or event.kind == "delete":
        return None
    reason = "author" if removals[subject] == event.by else "removed"
    buried = Event(room=event.room, offset=event.offset, at=event.at, kind=event.kind, target=event.target, removed=reason)
    return encode(buried, Form.MSGPACK)
