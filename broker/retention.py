"""What the journal may forget of each room: how many events are kept, and for how long.

Asked for once in so many events of a busy room.  By age also when a room has been loaded, and
of loaded rooms once in a while, so that a quiet room's old events go too.  What the journal
then answers, memory follows: what is forgotten is shown to nobody any more.  Only who brings
a room back into memory may be shown what is about to go.
"""

from collections import deque
from typing import Final

from broker.effects import Retain
from broker.hosted import Hosted, Phase
from broker.room import Room
from broker.shard_state import ShardState
from wire.limits import (
    AGE_RETENTION_INTERVAL_S,
    AGE_RETENTIONS_PER_TICK_MAX,
    RETENTION_EVERY_EVENTS,
    RETENTION_INTERVAL_S,
)
from wire.names import RoomName

DAY_MS: Final = 24 * 3600 * 1000


class Retention:
    """See the module."""

    __slots__ = ("_due", "_keep_events", "_keep_ms", "_next_walk_s", "_state")

    def __init__(self, state: ShardState, keep_events: int, keep_days: float) -> None:
        """`keep_days` 0: whatever their age."""
        self._state = state
        self._keep_events = keep_events
        self._keep_ms = int(keep_days * DAY_MS)
        self._due: deque[RoomName] = deque()
        """Loaded rooms that this walk has still to look at."""
        self._next_walk_s = 0.0

    def after_commit(self, hosted: Hosted, room: Room, now_s: float, now_ms: int) -> None:
        """Once in RETENTION_EVERY_EVENTS events of the room and RETENTION_INTERVAL_S."""
        offset = room.head.offset
        if offset < hosted.trimmed_at:
            hosted.trimmed_at = 0  # another epoch
        is_worth_it = offset - hosted.trimmed_at >= RETENTION_EVERY_EVENTS
        if is_worth_it and now_s - hosted.trimmed_at_s >= RETENTION_INTERVAL_S:
            hosted.trimmed_at, hosted.trimmed_at_s = offset, now_s
            self._ask(room, now_ms)

    def after_load(self, room: Room, now_ms: int) -> None:
        """By age alone: nobody may have looked at this room for as long as it was not loaded."""
        if self._keep_ms:
            self._ask(room, now_ms)

    def tick(self, now_s: float, now_ms: int) -> None:
        """By age, of every loaded room once in AGE_RETENTION_INTERVAL_S, a few at a time."""
        if not self._keep_ms:
            return
        if now_s >= self._next_walk_s and not self._due:
            self._next_walk_s = now_s + AGE_RETENTION_INTERVAL_S
            self._due.extend(self._state.rooms)
        for _ in range(min(AGE_RETENTIONS_PER_TICK_MAX, len(self._due))):
            hosted = self._state.rooms.get(self._due.popleft())
            if hosted is not None and hosted.room is not None and hosted.phase is Phase.SERVING:
                self._ask(hosted.room, now_ms)

    def on_retained(self, name: RoomName, first_kept: int) -> None:
        """The journal keeps nothing of the room before `first_kept` any more."""
        hosted = self._state.rooms.get(name)
        # One that is read again, or written again, may be of another epoch here than in the journal.
        if hosted is not None and hosted.room is not None and hosted.phase is Phase.SERVING and hosted.repair is None:
            hosted.room.forget_before(first_kept)

    def _ask(self, room: Room, now_ms: int) -> None:
        if room.head.offset == 0:
            return
        keep_after = max(0, room.head.offset - self._keep_events)
        entries_before_ms = now_ms - self._keep_ms if self._keep_ms else 0
        self._state.do(Retain(room.name, keep_after, room.ids_since_ms(now_ms), entries_before_ms))
