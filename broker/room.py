"""One room as a pure fold of its log: what it decides, and what it has published.

A command is judged against the *decided* state, so that command n+1 sees n before either
is on disk.  What it adds waits as pending, goes into one write at a time, and becomes
*published* when that write has committed.  Everything that leaves the shard reads the
published side: `head`, `tail`, and the places of known ids.  After a commit that failed the
room is thrown away and loaded again (load_room.py); nothing is ever taken back inside one.

What commands mean is left to the features (chat.py); offsets, time, ids and the chain are
this file's.  Time and randomness are arguments.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from broker.chat import Chat
from broker.event_frame import frame_of, tombstone_of
from broker.ids import KnownId, MessageIds, body_hash_of
from broker.journal.protocol import Erasure, IdRow, Row, Snapshot, Write
from broker.record import (
    CHAIN_PREFIX_BYTES,
    CHAIN_START,
    EPOCH_KIND,
    Body,
    Entry,
    Head,
    chain_after,
    digest_of,
    pack_body,
)
from broker.repair import Repair, repair_of
from broker.room_tables import RoomTables
from broker.tail import Tail
from broker.verdicts import Continuation, Decided, Duplicate, PendingEvent, Published, Verdict, Waits
from wire.codes import Refusal, ResumeReason
from wire.limits import COMMIT_ROOM_BYTES_MAX, ROOM_PAST_EPOCHS_MAX, ROOM_PENDING_EVENTS_MAX, ROOM_TAIL_EVENTS_MAX
from wire.names import Epoch, RoomName, Slot, Term
from wire.node_messages import NodeFrame, PublishCommand

# Why an epoch ended, as its successor's first event says.
FORGOTTEN: Final = "forgotten"
DIVERGED: Final = "diverged"


class Room:
    """See the module.  Invariant: within one epoch, decided offset == published offset + pending."""

    __slots__ = (
        "_chat", "_decided", "_decided_count", "_ids", "_in_flight", "_past", "_pending", "_pending_by_key", "first_kept", "head",
        "name", "tables", "tail",
    )  # fmt: skip

    def __init__(self, name: RoomName, head: Head, *, tail_from: int, first_kept: int = 1, rows_seq: int = 0) -> None:
        """A room whose tail begins at offset `tail_from`, and is still empty."""
        self.name = name
        self.head = head
        """The published head: moved by `publish` alone."""
        self.tail = Tail(name, tail_from)
        self.first_kept = first_kept
        """The oldest offset of this epoch that the journal still has."""
        self.tables = RoomTables(rows_seq)
        self._decided = head
        self._decided_count = 0
        """Events that were decided here, over all epochs."""
        self._chat = Chat(tail_from)
        self._ids = MessageIds()
        self._pending: deque[PendingEvent] = deque()
        """Decided and in no write; with `_in_flight` at most ROOM_PENDING_EVENTS_MAX, and an epoch event."""
        self._in_flight: list[PendingEvent] = []
        self._pending_by_key: dict[tuple[str, str], PendingEvent] = {}
        self._past: dict[Epoch, None] = {}
        """Epochs that are known to be over; at most ROOM_PAST_EPOCHS_MAX, the newest last."""

    # --- deciding -----------------------------------------------------------------------------

    @property
    def decided(self) -> Head:
        return self._decided

    @property
    def pending_count(self) -> int:
        return len(self._pending) + len(self._in_flight)

    @property
    def has_unsubmitted(self) -> bool:
        return bool(self._pending) or self.tables.has_unsubmitted

    @property
    def in_flight_count(self) -> int:
        return len(self._in_flight)

    @property
    def is_written(self) -> bool:
        """Whether nothing is decided that is not published."""
        return not self.pending_count and not self.tables.has_unsubmitted and not self.tables.is_in_flight

    @property
    def is_ending_epoch(self) -> bool:
        """Whether another epoch is decided and not published yet."""
        return self._decided.epoch != self.head.epoch

    def handle(self, command: PublishCommand, now_ms: int, salt: bytes) -> Verdict:
        """Judge one command; when it is `Decided`, its event is pending.

        `salt` is SALT_BYTES of randomness.  The event's time is `now_ms`, or the last
        event's where the clock went back.
        """
        self._ids.expire(now_ms)
        body_hash = body_hash_of(command.kind, command.target, command.text)
        known = self._ids.find(command.author, command.id)
        if known is not None:
            return self._verdict_on(known, body_hash)
        if self.pending_count >= ROOM_PENDING_EVENTS_MAX:
            return Refusal.BUSY
        if command.kind not in self._chat.kinds:
            return Refusal.UNKNOWN_KIND
        removals = self._chat.decide(command)
        if isinstance(removals, Refusal):
            return removals
        body = Body(command.name, command.text, command.target)
        event = self._next(command.kind, now_ms, salt, command.author, command.id, body)
        event.id_row = row = IdRow(command.author, command.id, event.entry.offset, event.entry.at, body_hash)
        if removals:
            event.tombstones = [tombstone_of(self.name, r.offset, r.at, r.kind, r.target, r.reason) for r in removals]
            event.erasures = [Erasure(r.offset, r.reason) for r in removals]
        self._append(event)
        self._ids.add(row, event.head.epoch)
        self._pending_by_key[command.author, command.id] = event
        return Decided(event)

    def _verdict_on(self, known: KnownId, body_hash: bytes) -> Verdict:
        row = known.row
        if row.body_hash != body_hash:
            return Refusal.ID_REUSED
        pending = self._pending_by_key.get((row.author, row.id))
        return Waits(pending) if pending is not None else Duplicate(known.epoch, row.offset, row.at)

    def place_of(self, author: str, message_id: str) -> Duplicate | None:
        """Where a message with this id was published, if it was."""
        known = self._ids.find(author, message_id)
        if known is None or (author, message_id) in self._pending_by_key:
            return None
        return Duplicate(known.epoch, known.row.offset, known.row.at)

    def ids_since_ms(self, now_ms: int) -> int:
        """The time before which nobody needs an id of this room any more."""
        return self._ids.since_ms(now_ms)

    def end_epoch(self, epoch: Epoch, reason: str, now_ms: int, salt: bytes) -> PendingEvent:
        """Decide that the log goes on as another one.

        Its first event names the old log (in `id`), that log's last offset (in `target`) and
        the reason (in `text`).  Nothing is deleted: the old log stays in the journal, and what
        is pending is committed to it first.
        """
        assert not self.is_ending_epoch, "one epoch ends at a time"
        old = self._decided
        self.remember_past([old.epoch])
        self._decided = Head(epoch, 0, CHAIN_START, old.at)
        self._chat = Chat()
        event = self._next(EPOCH_KIND, now_ms, salt, "", old.epoch, Body("", reason, old.offset))
        self._append(event)
        return event

    def _next(self, kind: str, now_ms: int, salt: bytes, author: str, message_id: str, body: Body) -> PendingEvent:
        """The next event of the decided log; nothing is changed yet."""
        before = self._decided
        offset = before.offset + 1
        at = now_ms if now_ms > before.at else before.at
        packed = pack_body(body)
        digest = digest_of(salt, author, message_id, packed)
        entry = Entry(offset, at, kind, digest, salt, author, message_id, packed, body.target)
        head = Head(before.epoch, offset, chain_after(before.chain, before.epoch, offset, at, kind, digest), at)
        return PendingEvent(entry, head, frame_of(self.name, entry, body))

    def _append(self, event: PendingEvent) -> None:
        self.apply(event.entry)
        self._decided = event.head
        self._decided_count += 1
        self._pending.append(event)

    def add_rows(self, rows: Sequence[Row], *, with_event: bool = False) -> None:
        """Decide rows of tables: in the write of the event that was decided just now, or in any write after it."""
        assert self._decided.offset > 0, "tables are of rooms that have a log"
        assert self._pending or not with_event, "the event that rows go with is pending"
        self.tables.add(rows, self._decided_count, is_tied=with_event)

    def add_snapshot(self, state: bytes) -> None:
        """Have `state`, a fold of the published log, written as its snapshot; not of a log that is about to end."""
        if not self.is_ending_epoch and self.head.offset:
            self.tables.add_snapshot(Snapshot(self.head.offset, state))

    def apply(self, entry: Entry) -> None:
        """Fold one entry into the features' decided state: just decided, or read back from the journal."""
        if entry.kind != EPOCH_KIND:
            self._chat.apply(entry)

    # --- committing ---------------------------------------------------------------------------

    def take_write(self, slot: Slot, term: Term, bytes_max: int = COMMIT_ROOM_BYTES_MAX) -> Write:
        """Move pending events and rows into one write, at most about `bytes_max` and one of each.

        A write belongs to one epoch, and holds no more events than a tail: after an unknown
        outcome the tail alone must show whether what was published is still there.
        """
        assert self.has_unsubmitted, "a write is made of what is pending"
        assert not self._in_flight, "a room has at most one write in flight"
        assert not self.tables.is_in_flight, "nor have its tables another"
        pending, taken, size, tables = self._pending, self._in_flight, 0, self.tables
        written = self._decided_count - len(pending)
        events_max = ROOM_TAIL_EVENTS_MAX
        if tables.has_unsubmitted:
            events_max = min(events_max, tables.events_max(written, bytes_max))
        while pending and len(taken) < events_max and size < bytes_max:
            if taken and pending[0].entry.kind == EPOCH_KIND:
                break
            event = pending.popleft()
            taken.append(event)
            size += event.size
        head = taken[-1].head if taken else self.head
        new_epoch = bool(taken) and taken[0].entry.kind == EPOCH_KIND
        rows: Sequence[Row] = ()
        snapshot = None
        if new_epoch or tables.has_unsubmitted:
            rows, snapshot = tables.take(written + len(taken), bytes_max, new_epoch=new_epoch)
        return Write(
            room=self.name,
            slot=slot,
            term=term,
            base=self.head,
            head=head,
            entries=[event.entry for event in taken],
            ids=[event.id_row for event in taken if event.id_row is not None],
            erasures=list(chain.from_iterable(event.erasures for event in taken)),
            new_epoch=new_epoch,
            rows=rows,
            rows_base=tables.seq,
            rows_seq=tables.seq + bool(rows),
            snapshot=snapshot,
        )

    def publish(self) -> Published:
        """The write in flight has committed: its events are public now, and its rows."""
        events, self._in_flight = self._in_flight, []
        if self.tables.is_in_flight:
            self.tables.publish(self.head, events[-1].head if events else self.head)
            if not events:
                return Published([], [], [], False)
        assert events, "only a write in flight can commit"
        new_epoch = events[0].entry.kind == EPOCH_KIND
        if new_epoch:
            self.tail = Tail(self.name)
            self.first_kept = 1
        frames: list[NodeFrame] = []
        hides: list[NodeFrame] = []
        first = events[0].entry.offset
        for event in events:
            frames.append(event.frame)
            self.tail.append(event.frame, event.head.chain, event.entry, event.erasures)
            for tombstone in event.tombstones:
                self.tail.replace(tombstone)
                if tombstone.offset < first:
                    hides.append(tombstone)
                else:
                    # Removed before anybody saw it: its text never leaves the shard.
                    frames[tombstone.offset - first] = tombstone
            if event.id_row is not None:
                del self._pending_by_key[event.id_row.author, event.id_row.id]
        self.head = events[-1].head
        if not self.is_ending_epoch:
            self._chat.forget_before(self.tail.first_offset)
        return Published(frames, hides, events, new_epoch)

    def take_back(self) -> None:
        """Nothing of the write in flight was written: its events are the first of the next one."""
        self._pending.extendleft(reversed(self._in_flight))
        self._in_flight = []
        self.tables.take_back()

    def abandon(self) -> list[PendingEvent]:
        """All that is decided and not published, oldest first, from a room that will be thrown away."""
        return [*self._in_flight, *self._pending]

    # --- epochs that are over -------------------------------------------------------------------

    def came_from(self, epoch: str) -> bool:
        """Whether an epoch is known to be older than this log."""
        return epoch in self._past

    def remember_past(self, epochs: Iterable[Epoch]) -> None:
        """These epochs are over: whoever still names one is told where the room is now."""
        for epoch in epochs:
            self._past[epoch] = None
            if len(self._past) > ROOM_PAST_EPOCHS_MAX:
                del self._past[next(iter(self._past))]

    def remember_past_of(self, before: "Room") -> None:
        self.remember_past(before._past)

    # --- a journal that forgot ------------------------------------------------------------------

    def verification(self, slot: Slot, term: Term) -> Write:
        """A write of nothing: only a journal that has the published head and tables commits it."""
        seq = self.tables.seq
        return Write(self.name, slot, term, self.head, self.head, (), rows_base=seq, rows_seq=seq)

    def repair_from(self, journal: Head, rows_seq: int | None = None) -> Repair | None:
        """What the journal must be given again when its log ends at `journal` and its tables at `rows_seq`.

        None when that cannot bring log and tables back, or when nothing is missing; no `rows_seq`: the tables
        are whole.
        """
        after = journal.offset if journal.epoch == self.head.epoch else 0
        tables = self.tables
        rows = tables.written_after(tables.seq if rows_seq is None else rows_seq)
        if rows is None:
            return None
        id_rows = self._ids.rows_after(self.head.epoch, after)
        return repair_of(self.head, self.tail, id_rows, journal, rows, tables.seq, tables.snapshot)

    # --- reading ------------------------------------------------------------------------------

    def continue_from(self, epoch: str, offset: int, chain_prefix: bytes) -> Continuation | None:
        """Where a feed goes on that has all up to `offset` of `epoch`; `epoch` "" is a feed without a position.

        None: the position lies beyond the log, on another branch of it, or in an epoch that
        nobody here has heard of, so the journal has forgotten what readers were shown.
        """
        recent = self.tail.first_offset - 1
        if not epoch:
            return self._afresh(recent, "")
        if epoch != self.head.epoch:
            return self._afresh(recent, ResumeReason.EPOCH.value) if self.came_from(epoch) else None
        if offset > self.head.offset:
            return None
        known = self.chain_at(offset)[:CHAIN_PREFIX_BYTES]
        if known and chain_prefix and known != chain_prefix:
            return None
        if offset >= recent:
            return Continuation(offset, self.tail.frames_after(offset), True, "")
        reason = ResumeReason.TRIMMED if offset + 1 < self.first_kept else ResumeReason.LIMIT
        return self._afresh(recent, reason.value)

    def _afresh(self, recent: int, reason: str) -> Continuation:
        return Continuation(recent, self.tail.frames_after(recent), False, reason)

    def chain_at(self, offset: int) -> bytes:
        """The chain after the event at `offset` of this epoch, b"" when it is not in memory."""
        return self.head.chain if offset == self.head.offset else self.tail.chain_at(offset)

    # --- loading ------------------------------------------------------------------------------

    def restore(self, entry: Entry, chain_after_entry: bytes) -> None:
        """Take in one entry of the journal's tail, in order, while the room is loaded."""
        removals = self._chat.removals_of(entry)
        erasures: Sequence[Erasure] | None = () if removals is not None else None
        if removals:
            erasures = [Erasure(removal.offset, removal.reason) for removal in removals]
        self.apply(entry)
        self.tail.restore(entry, chain_after_entry, erasures)
        self._chat.forget_before(self.tail.first_offset)

    def restore_id(self, row: IdRow, epoch: Epoch) -> None:
        """Take in a known id, in the order of their use; `epoch` is what its offset belongs to."""
        self._ids.add(row, epoch)

    def forget_before(self, offset: int) -> None:
        """The journal keeps nothing older any more, and neither does memory."""
        self.first_kept = max(self.first_kept, offset)
        self.tail.forget_before(offset)
        if not self.is_ending_epoch:
            self._chat.forget_before(self.tail.first_offset)

    def state(self) -> tuple[object, ...]:
        """The published and decided state as plain values: two folds of one log have the same."""
        frames = self.tail.frames_after(self.tail.first_offset - 1)
        return self.head, self._decided, frames, self._chat.state(), self._ids.known()
