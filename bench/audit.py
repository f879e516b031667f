"""What a reader really got: its whole stream decoded after the run, and compared with what the counter made of it."""

from dataclasses import dataclass

from bench.stream import OPCODE_BINARY, split_frames
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Event, Reset, Skipped


@dataclass(frozen=True, slots=True)
class Findings:
    """One reader's stream against the promise: every offset once, in order, as it was published."""

    events: int = 0
    lost: int = 0
    repeated: int = 0
    """The same offset again."""
    reordered: int = 0
    """An offset below one that came before it, seen for the first time."""
    altered: int = 0
    """Two published messages under one id, or a text that is not what was sent."""
    resets: int = 0
    """Logs that began anew: nothing in a bench is a reason for one."""
    announced: int = 0
    """Offsets that the server said it would not send."""

    @property
    def clean(self) -> bool:
        """All of it came."""
        return self.honest and not self.lost

    @property
    def honest(self) -> bool:
        """What came is right, and what did not come was announced to the offset: a reader of an overloaded room is told."""
        return self.lost == self.announced and not (self.repeated or self.reordered or self.altered or self.resets)


def audit(stream: bytes, room: str, start: int) -> Findings:
    """Decode the stream of a reader of `room` who was at offset `start`; offsets must run on from there.

    Whoever publishes for the bench ends each text with its message's id, see `text_ends_with_its_id`.
    """
    seen: set[int] = set()
    ids: set[str] = set()
    highest, repeated, reordered, altered, resets, announced = start, 0, 0, 0, 0, 0
    for opcode, first, end in split_frames(stream, len(stream)):
        if opcode != OPCODE_BINARY:
            continue
        message = decode_server_message(stream[first:end], Form.MSGPACK)
        if isinstance(message, Skipped):
            announced += message.last - message.first + 1
        resets += isinstance(message, Reset)
        if not isinstance(message, Event) or message.kind != "message":
            continue
        if message.offset in seen or message.offset <= start:
            repeated += 1
            continue
        if message.offset < highest:
            reordered += 1
        if message.room != room or message.id in ids or not text_ends_with_its_id(message.text, message.id):
            altered += 1
        seen.add(message.offset)
        ids.add(message.id)
        highest = max(highest, message.offset)
    return Findings(len(seen), highest - start - len(seen), repeated, reordered, altered, resets, announced)


def text_ends_with_its_id(text: str, message_id: str) -> bool:
    """Texts are padding and then the id (or as much of its end as there was room for)."""
    tail = text.lstrip(".")
    return bool(tail) and message_id.endswith(tail)
