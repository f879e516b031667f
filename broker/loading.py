"""What the journal's reads mean to a shard: rooms that arrive or come back, and history that was asked for."""

from collections.abc import Sequence

from broker.effects import Read
from broker.event_frame import frame_of_stored
from broker.feeds import Feeds
from broker.history import Window, fit, has_more, window_of
from broker.hosted import Hosted, LinkId, Phase
from broker.load_room import Arrived
from broker.publishing import Publishing
from broker.record import Entry
from broker.retention import Retention
from broker.room import DIVERGED, FORGOTTEN, Room
from broker.shard_state import ShardState
from wire.codes import Refusal
from wire.names import Epoch, RoomName, parse_room
from wire.node_messages import NodeFrame, Range, RangeRead


class Loading:
    """The reading side of a shard; see the module."""

    __slots__ = ("_feeds", "_publishing", "_retention", "_state")

    def __init__(self, state: ShardState, feeds: Feeds, publishing: Publishing, retention: Retention) -> None:
        self._state = state
        self._feeds = feeds
        self._publishing = publishing
        self._retention = retention

    # --- rooms --------------------------------------------------------------------------------

    def on_loaded(self, arrived: Arrived, now_ms: int) -> Hosted | None:
        """A room is there, or there again; answers it when questions wait for it."""
        state, room = self._state, arrived.room
        hosted = state.rooms.get(room.name)
        if hosted is None or not hosted.loading:
            return None  # its slot was released meanwhile
        state.load_ended(hosted)
        before = hosted.room
        hosted.room = room
        hosted.phase = Phase.SERVING
        hosted.trimmed_at = room.first_kept - 1
        self._retention.after_load(room, now_ms)
        if before is not None:
            self._publishing.answer_unanswered(hosted)
            self._come_back(hosted, before, arrived, now_ms)
        if hosted.unverified:
            state.verify(hosted)
        state.settle(hosted)
        return hosted

    def _come_back(self, hosted: Hosted, before: Room, arrived: Arrived, now_ms: int) -> None:
        """A room was loaded again after a commit that failed: go on where readers are, or end the epoch."""
        state, room, published = self._state, arrived.room, before.head
        if arrived.continues:
            if arrived.repair is not None:
                hosted.repair = arrived.repair
                state.queue(hosted)
            frames = room.tail.frames_after(published.offset)
            self._feeds.spread_frames(hosted, frames, _hidden_since(before, room))
            if before.is_ending_epoch:
                # Why it was to end is still so: a gateway has seen what this log does not have.
                state.end_epoch(hosted, room, FORGOTTEN, now_ms)
            return
        self._feeds.reattach_all(hosted)
        if room.head.epoch == published.epoch or not room.came_from(published.epoch):
            has_fewer_rows = room.tables.seq < before.tables.seq
            is_shorter = room.head.epoch != published.epoch or room.head.offset < published.offset or has_fewer_rows
            room.remember_past([published.epoch])
            state.end_epoch(hosted, room, FORGOTTEN if is_shorter else DIVERGED, now_ms)

    def on_load_failed(self, name: RoomName) -> None:
        """The room cannot be read now.  One that was never here is forgotten; one that comes back is tried again."""
        state = self._state
        hosted = state.rooms.get(name)
        if hosted is None or not hosted.loading:
            return
        state.load_ended(hosted)
        waiting = list(hosted.waiting)
        hosted.waiting.clear()
        for link, question in waiting:
            state.refuse(link, question, Refusal.UNAVAILABLE)
        if hosted.phase is Phase.LOADING:
            state.drop(hosted)

    # --- history --------------------------------------------------------------------------------

    def read_range(self, link: LinkId, question: RangeRead) -> None:
        """Answer from the tail, or have the journal read."""
        state = self._state
        name = parse_room(question.room)
        if name is None:
            state.refuse(link, question, Refusal.BAD_ROOM)
            return
        hosted = state.open_room(link, name, question)
        if hosted is None:
            return
        room = hosted.room
        if room is None:
            state.wait(link, hosted, question)
            return
        if question.epoch and question.epoch != room.head.epoch:
            state.refuse(link, question, Refusal.EPOCH)
            return
        window = window_of(question, room.head.offset, room.first_kept)
        if window.after >= window.upto or room.tail.reaches(window.after):
            frames = room.tail.frames_after(window.after, window.upto - window.after)
            self._answer(link, question.request, room, window, frames)
        else:
            state.do(Read(link, question.request, name, room.head.epoch, window.after, window.upto, window.backwards))

    def on_read(self, read: Read, entries: Sequence[Entry]) -> None:
        """The journal has answered.  What it has beyond the published head is not public yet, and was not asked for."""
        state = self._state
        hosted = state.rooms.get(read.room)
        room = hosted.room if hosted is not None else None
        if room is None:
            self.on_read_failed(read)
            return
        if room.head.epoch != read.epoch:
            state.refuse(read.link, _question_of(read), Refusal.EPOCH)
            return
        frames = [frame_of_stored(read.room, entry) for entry in entries if entry.offset <= read.upto]
        self._answer(read.link, read.request, room, Window(read.after, read.upto, read.backwards), frames)

    def on_read_failed(self, read: Read) -> None:
        self._state.refuse(read.link, _question_of(read), Refusal.UNAVAILABLE)

    def on_read_refused(self, read: Read) -> None:
        """Too many reads wait for the journal already."""
        self._state.refuse(read.link, _question_of(read), Refusal.BUSY)

    def _answer(self, link: LinkId, request: int, room: Room, window: Window, frames: list[NodeFrame]) -> None:
        kept = fit(frames, window.backwards)
        head = room.head
        more = len(kept) < len(frames) or has_more(kept, window, head.offset, room.first_kept)
        self._state.send(link, Range(request, head.epoch, head.offset, kept, more))


def _question_of(read: Read) -> RangeRead:
    """The question a read answers, as far as a refusal needs it."""
    return RangeRead(read.request, read.room, Epoch(read.epoch))


def _hidden_since(before: Room, room: Room) -> list[NodeFrame]:
    """Tombstones of what readers have and the journal has erased since: where the two tails differ."""
    first = max(before.tail.first_offset, room.tail.first_offset)
    shown = before.tail.frames_after(first - 1)
    now = room.tail.frames_after(first - 1, len(shown))
    return [frame for frame, old in zip(now, shown, strict=False) if frame != old]
