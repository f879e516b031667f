"""Counting a reader's event frames exactly, without decoding them.

A joined buffer holds thousands of frames of one length.  Walking them one by one in
Python ends at about a million a second; here a buffer is checked by strides: if each
`length`-th byte from 0 on is the header's first byte, each from 1 on its second, and so
on, then the buffer *is* a row of such frames, by induction from its first header.  Two
bytes of the message's tag, checked likewise, make each of them an event: of all our kinds
only ``event`` has five letters and begins with ``e``.  Whatever does not pass (another kind, another length) is
walked frame by frame.  The last frame's offset says what was lost on the way.
"""

from collections.abc import Iterator

OPCODE_BINARY = 0x2
_EVENT_TAG = b"\xa1t\xa5event"
_FINAL_BINARY = 0x80 | OPCODE_BINARY


class StreamError(Exception):
    """The server wrote something that a websocket server may not write."""


def split_frames(data: bytes | bytearray, end: int, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """The whole frames in ``data[start:end]`` as (opcode, payload start, payload end)."""
    at = start
    while end - at >= 2:
        first, length = data[at], data[at + 1]
        if first & 0x70 or not first & 0x80 or length & 0x80:
            raise StreamError(f"frame header {first:02x} {length:02x}: masked, cut in pieces or with reserved bits")
        payload = at + 2
        if length == 126:
            if end - at < 4:
                return
            length, payload = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif length == 127:
            if end - at < 10:
                return
            length, payload = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        if end - payload < length:
            return
        at = payload + length
        yield first & 0x0F, payload, at


def read_offset(data: bytes | bytearray, at: int) -> int:
    """The msgpack unsigned integer at `at`."""
    first = data[at]
    if first == 0xCD:
        return data[at + 1] << 8 | data[at + 2]
    if first < 0x80:
        return first
    width = {0xCC: 1, 0xCE: 4, 0xCF: 8}.get(first)
    if width is None:
        raise StreamError(f"an event's offset begins with byte {first:02x}")
    return int.from_bytes(data[at + 1 : at + 1 + width], "big")


def is_event(data: bytes | bytearray, payload: int) -> bool:
    """Whether the payload that begins there is an event: the tag is each message's first field."""
    return data.startswith(_EVENT_TAG, payload + 1)


class EventCounter:
    """One reader's place in one room.

    Invariant: ``events + lost - repeated == offset - (offset at the start)``, so
    `events` alone equals the distance exactly when nothing was lost or repeated.
    """

    __slots__ = ("_head", "_length", "_marks", "_offset_at", "_prefix", "events", "lost", "offset", "others", "repeated", "rest")

    def __init__(self, room: str, offset: int) -> None:
        name = room.encode()
        header = bytes((0xA0 | len(name),)) if len(name) < 32 else bytes((0xD9, len(name)))
        self._prefix = _EVENT_TAG + b"\xa4room" + header + name + b"\xa6offset"
        self._length = 0
        self._head = b""
        self._marks: tuple[tuple[int, int], ...] = ()
        self._offset_at = 0
        self.offset = offset
        self.events = 0
        self.lost = 0
        """Offsets that were jumped over."""
        self.repeated = 0
        """Offsets that came again, or too late."""
        self.rest = b""
        """The beginning of a frame whose end has not come yet; goes before the next bytes."""
        self.others: list[tuple[int, bytes]] = []
        """Frames that are no events, as (opcode, payload); the owner takes them out."""

    def take(self, buffer: bytearray, end: int) -> int:
        """Count ``buffer[:end]``, which begins with `rest`; answers how many events it completed."""
        length = self._length
        if end == length and buffer.startswith(self._head):
            self._move_to(read_offset(buffer, self._offset_at), 1)
            self.rest = b""
            return 1
        whole = end // length if length else 0
        if whole == 0:
            return self._walk(buffer, end)
        span = whole * length
        for index, byte in self._marks:
            if buffer[index:span:length].count(byte) != whole:
                return self._walk(buffer, end)
        self._move_to(read_offset(buffer, span - length + self._offset_at), whole)
        if span == end:
            self.rest = b""
            return whole
        # Mostly the beginning of a frame; a shorter one of another kind may stand there whole.
        return whole + self._walk(buffer, end, span)

    def _move_to(self, offset: int, events: int) -> None:
        gap = offset - self.offset - events
        if gap > 0:
            self.lost += gap
        elif gap < 0:
            self.repeated -= gap
        self.offset = offset
        self.events += events

    def _walk(self, buffer: bytearray, end: int, start: int = 0) -> int:
        """The slow way, frame by frame; learns the length and the head of the last event it saw."""
        used, events = start, 0
        for opcode, payload, frame_end in split_frames(buffer, end, start):
            if opcode == OPCODE_BINARY and buffer.startswith(self._prefix, payload + 1):
                offset_at = payload + 1 + len(self._prefix)
                self._move_to(read_offset(buffer, offset_at), 1)
                self._learn(buffer, used, payload, offset_at, frame_end)
                events += 1
            else:
                self.others.append((opcode, bytes(buffer[payload:frame_end])))
            used = frame_end
        self.rest = bytes(buffer[used:end])
        return events

    def _learn(self, buffer: bytearray, frame: int, payload: int, offset_at: int, frame_end: int) -> None:
        length = frame_end - frame
        if length == self._length and self._head == buffer[frame:offset_at]:
            return
        self._length = length
        self._head = bytes(buffer[frame:offset_at])
        self._offset_at = offset_at - frame
        tag = payload - frame + 3
        self._marks = tuple((index, self._head[index]) for index in (*range(payload - frame), tag, tag + 1))

    @property
    def frame_bytes(self) -> int:
        """Length of the last event frame, header included; 0 before the first."""
        return self._length
