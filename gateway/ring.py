"""A feed's recent stream as ready websocket frames, read by cursors.

The stream is what every member of the feed reads, in order: events, and the marks
(`reset`, `skipped`) that say where it does not continue.  Each entry has a *sequence*
number that never repeats, so one integer is a member's whole place in it.  Offsets of the
room are a constant away from sequences within a *run*: the entries since the last mark.

Nothing is copied for a slow reader: it holds a cursor, and the ring forgets on its own
terms.  Pure: ages are given by the caller.
"""

from array import array
from collections.abc import Callable, Sequence

from gateway.deflate import Deflated, EventForm, deflate
from wire.client_codec import Form, encode, recode_event
from wire.client_messages import ServerMessage
from wire.frames import DEFLATED_BIT, OPCODE_BINARY, OPCODE_TEXT, frame, header_length
from wire.limits import FEED_RING_AGE_S, FEED_RING_BYTES_MAX, FEED_RING_EVENTS_MAX

# Trimming a list moves what stays; doing it in blocks keeps an append O(1) over time.
_TRIM_BLOCK = 256

# In the place of an author: removals, what the service says, and marks are left out for nobody.
FOR_EVERYBODY = -1


def payload_of(framed: bytes) -> bytes:
    """The payload of one whole frame that `frame` made."""
    marker = framed[1]
    return framed[2 if marker < 126 else 4 if marker == 126 else 10 :]


def framed(message: ServerMessage, form: Form) -> bytes:
    """One server message as a whole websocket frame."""
    return frame(OPCODE_BINARY if form is Form.MSGPACK else OPCODE_TEXT, encode(message, form))


class Ring:
    """Entries `first` to `head`, by sequence; bounded by events, age and bytes.

    Invariant: ``len(_frames) == len(_ends) == len(_times) == len(_tags) == head - first + 1`` and
    ``_ends[i] - _ends[i-1] == len(_frames[i])``.
    """

    __slots__ = (
        "_base", "_earlier", "_ends", "_frames", "_made", "_slices", "_tags", "_times", "first", "head", "revision",
        "run_offset", "run_start",
    )  # fmt: skip

    def __init__(self, offset: int) -> None:
        self._frames: list[bytes] = []
        self._made: dict[EventForm, dict[int, bytes]] = {}
        """Frames of the other forms by sequence, made when first asked for; bounded by the entries held."""
        self._times: list[float] = []
        self._tags = array("q")
        """Whose each entry is, as 32 bits of a hash; FOR_EVERYBODY if nobody may miss it."""
        self.revision = 0
        """Changes whenever an entry is added or replaced: what was made of the ring is then out of date."""
        self._ends: list[int] = []
        self._base = 0
        """Bytes of all frames before `first`, ever."""
        self._slices: dict[tuple[EventForm, int, int], bytes] = {}
        """Joined frames of the last few ranges asked for: a crowd that joins asks for the same one."""
        self.first = 1
        self.head = 0
        self.run_start = 1
        """First sequence of the current run; entries before it are of another epoch or across a gap."""
        self.run_offset = offset
        """The room's offset just before `run_start`."""
        self._earlier: list[tuple[int, int, int]] = []
        """First and last sequence of each earlier run of this log that is held in part, and the offset before it."""

    # --- writing ---------------------------------------------------------------------

    def append_event(self, payload: bytes, now: float, tag: int = 0) -> None:
        """The next event of the run, as the msgpack payload that clients read; `tag` is its author's."""
        self._append(frame(OPCODE_BINARY, payload), now, tag)

    def append_mark(self, payload: bytes, offset: int, now: float, *, same_log: bool = False) -> None:
        """A message (msgpack) that ends the run; the next event has `offset` + 1, of the `same_log` or of another."""
        self._earlier = [run for run in self._earlier if run[1] >= self.first] if same_log else []
        if same_log:
            self._earlier.append((self.run_start, self.head, self.run_offset))
        self._append(frame(OPCODE_BINARY, payload), now, FOR_EVERYBODY)
        self.run_start = self.head + 1
        self.run_offset = offset

    def _append(self, framed: bytes, now: float, tag: int) -> None:
        self._frames.append(framed)
        self._times.append(now)
        self._tags.append(tag)
        self.revision += 1
        self._ends.append((self._ends[-1] if self._ends else self._base) + len(framed))
        self.head += 1
        self._slices.clear()
        self._trim(now)

    def _trim(self, now: float) -> None:
        """Forget beyond the byte bound, and what is both old and more than the promised count."""
        held = len(self._frames)
        excess = 0
        bytes_held = self._ends[-1] - self._base
        if bytes_held > FEED_RING_BYTES_MAX + FEED_RING_BYTES_MAX // 8:
            while self._ends[-1] - self._ends[excess] > FEED_RING_BYTES_MAX:
                excess += 1
        elif held > FEED_RING_EVENTS_MAX + _TRIM_BLOCK:
            oldest_kept = now - FEED_RING_AGE_S
            while excess < held - FEED_RING_EVENTS_MAX and self._times[excess] < oldest_kept:
                excess += 1
            if excess < _TRIM_BLOCK:
                return
        if excess:
            self._forget(excess)

    def _forget(self, count: int) -> None:
        self._base = self._ends[count - 1]
        for made in self._made.values():
            for sequence in range(self.first, self.first + count):
                made.pop(sequence, None)
        del self._frames[:count], self._times[:count], self._ends[:count], self._tags[:count]
        self.first += count

    def replace(self, offset: int, payload: bytes) -> None:
        """Put a tombstone in the place of a removed event, if it is still held."""
        sequence = self._held(offset)
        if sequence is not None:
            self._replace(sequence, payload)

    def replace_where(self, replacement: Callable[[bytes], bytes | None], oldest: int) -> None:
        """Replace each held event from offset `oldest` on for whose payload `replacement` has another."""
        log_start = self._earlier[0][0] if self._earlier else self.run_start
        start = self._held(oldest) or max(self.first, log_start)
        for sequence in range(start, self.head + 1):
            payload = replacement(payload_of(self._frames[sequence - self.first]))
            if payload is not None:
                self._replace(sequence, payload)

    def _held(self, offset: int) -> int | None:
        """Where an event of this log lies, if it is still held."""
        for start, end, before in (*self._earlier, (self.run_start, self.head, self.run_offset)):
            sequence = start + offset - before - 1
            if start <= sequence <= end:
                return sequence if sequence >= self.first else None
        return None

    def _replace(self, sequence: int, payload: bytes) -> None:
        index = sequence - self.first
        framed = frame(OPCODE_BINARY, payload)
        growth = len(framed) - len(self._frames[index])
        self._frames[index] = framed
        for made in self._made.values():
            made.pop(sequence, None)
        self._slices.clear()
        self.revision += 1
        for later in range(index, len(self._ends)):
            self._ends[later] += growth

    # --- places ------------------------------------------------------------------------

    @property
    def head_offset(self) -> int:
        """The room's offset at the end of the stream."""
        return self.offset_of(self.head)

    def offset_of(self, sequence: int) -> int:
        """The room's offset at a sequence of the current run."""
        assert sequence >= self.run_start - 1, "only the current run has offsets"
        return sequence - self.run_start + 1 + self.run_offset

    def sequence_of(self, offset: int) -> int | None:
        """Where an offset of the current run lies; None when it is before the run."""
        return None if offset < self.run_offset else offset - self.run_offset + self.run_start - 1

    def oldest_cursor(self) -> int:
        """The earliest place of the current run from which everything can still be read."""
        return max(self.first, self.run_start) - 1

    # --- reading ------------------------------------------------------------------------

    def holds_after(self, cursor: int) -> bool:
        """Whether every entry after `cursor` is still here."""
        return cursor >= self.first - 1

    def bytes_between(self, cursor: int, end: int) -> int:
        """Bytes of the msgpack frames after `cursor` up to `end`; `cursor` must be held."""
        return self._end_of(end) - self._end_of(cursor)

    def _end_of(self, sequence: int) -> int:
        index = sequence - self.first
        return self._base if index < 0 else self._ends[index]

    def reach(self, cursor: int, end: int, bytes_max: int) -> int:
        """The last entry up to `end` so that those after `cursor` fit into `bytes_max`; at least one entry."""
        limit = self._end_of(cursor) + bytes_max
        if self._end_of(end) <= limit:
            return end
        low, high = cursor + 1, end
        while low < high:
            middle = (low + high + 1) // 2
            if self._end_of(middle) <= limit:
                low = middle
            else:
                high = middle - 1
        return low

    def joined(self, form: EventForm, cursor: int, end: int) -> bytes:
        """All frames after `cursor` up to `end` as one buffer."""
        assert self.holds_after(cursor), "what is forgotten is told as skipped, never sent as something else"
        if end - cursor == 1:
            return self._framed(form, end)
        key = (form, cursor, end)
        joined = self._slices.get(key)
        if joined is None:
            if form is Form.MSGPACK:
                joined = b"".join(self._frames[cursor + 1 - self.first : end + 1 - self.first])
            else:
                joined = b"".join([self._framed(form, sequence) for sequence in range(cursor + 1, end + 1)])
            if len(self._slices) >= 8:
                self._slices.clear()
            self._slices[key] = joined
        return joined

    def frames(self, form: EventForm, cursor: int, end: int) -> list[bytes]:
        """The frames after `cursor` up to `end`, one by one."""
        return [self._framed(form, sequence) for sequence in range(cursor + 1, end + 1)]

    def tag_of(self, sequence: int) -> int:
        """Whose an entry is that is still held."""
        return self._tags[sequence - self.first]

    def tags(self, cursor: int, end: int) -> Sequence[int]:
        """Whose the entries after `cursor` up to `end` are."""
        return self._tags[cursor + 1 - self.first : end + 1 - self.first]

    def _framed(self, form: EventForm, sequence: int) -> bytes:
        if form is Form.MSGPACK:
            return self._frames[sequence - self.first]
        made = self._made.setdefault(form, {})
        framed = made.get(sequence)
        if framed is None:
            framed = made[sequence] = self._make(form, sequence)
        return framed

    def _make(self, form: EventForm, sequence: int) -> bytes:
        """An entry in another form; deflated only if that makes it shorter, else it is the same object."""
        if not isinstance(form, Deflated):
            return frame(OPCODE_TEXT, recode_event(payload_of(self._frames[sequence - self.first])))
        plain = self._framed(form.value, sequence)
        deflated = deflate(payload_of(plain))
        return plain if deflated is None else frame(plain[0] | DEFLATED_BIT, deflated)

    def arrived(self, sequence: int) -> float:
        """When an entry that is still held came in, on the clock of its `append`."""
        return self._times[sequence - self.first]

    def bytes_held(self) -> int:
        """What the ring's msgpack frames weigh."""
        return (self._ends[-1] if self._ends else self._base) - self._base


assert header_length(0) == 2, "payload_of knows the three header forms of wire.frames"
