"""From a command to its answer: judging it, writing it in company, and what the commit's outcome means.

Per room a commit ends as *committed* (publish, answer), *refused* (nothing was written: what
was decided is thrown away, its publishers are told so) or *unknown* (it may have been: the
publishers wait until the journal, fenced under the next term, has been read again).
"""

from collections.abc import Container, Iterable, Sequence

from broker.feeds import Feeds
from broker.hosted import Hosted, LinkId, Phase
from broker.journal.protocol import CommitOutcome, CommitVerdict, Write
from broker.record import SALT_BYTES
from broker.repair import Repair
from broker.retention import Retention
from broker.room import Room
from broker.shard_state import ShardState
from broker.verdicts import Decided, Duplicate, PendingEvent, Waiter, Waits
from wire.codes import Refusal
from wire.limits import (
    AUTHOR_ID_CHARS_MAX,
    COMMIT_BYTES_MAX,
    COMMIT_VERIFIED_MAX,
    COMMIT_WRITES_MAX,
    NICKNAME_BYTES_MAX,
    SHARD_PENDING_BYTES_MAX,
    TEXT_BYTES_MAX,
)
from wire.names import Epoch, RoomName, Slot, parse_message_id, parse_room
from wire.node_messages import CommandRefused, Committed, Moved, OutcomeUnknown, PublishCommand

UTF8_BYTES_PER_CHAR_MAX = 4


def fault_of(command: PublishCommand) -> Refusal | None:
    """What is wrong with a command before any room has seen it; its room's name apart.

    Gateways have cleaned names and texts; a shard believes bounds only when it has checked them.
    """
    if parse_message_id(command.id) is None:
        return Refusal.BAD_ID
    if not 1 <= len(command.author) <= AUTHOR_ID_CHARS_MAX:
        return Refusal.BAD_MESSAGE
    if _is_longer(command.name, NICKNAME_BYTES_MAX):
        return Refusal.BAD_NAME
    if _is_longer(command.text, TEXT_BYTES_MAX):
        return Refusal.TOO_LARGE
    if (command.kind == "delete") == bool(command.text):
        return Refusal.BAD_TEXT
    # Offsets that a browser cannot hold exactly are not ours (wire.client_messages.INTEGER_MAX).
    if not 0 <= command.target < 2**53 or (command.kind == "message" and command.target):
        return Refusal.BAD_MESSAGE
    return None


def _is_longer(text: str, bytes_max: int) -> bool:
    """Whether UTF-8 takes more than `bytes_max`; encodes only what is long enough to be in doubt."""
    return len(text) * UTF8_BYTES_PER_CHAR_MAX > bytes_max and len(text.encode()) > bytes_max


def _room_of(hosted: Hosted) -> Room:
    assert hosted.room is not None, "what is written has a room"
    return hosted.room


class Publishing:
    """The writing side of a shard; see the module."""

    __slots__ = ("_feeds", "_retention", "_state")

    def __init__(self, state: ShardState, feeds: Feeds, retention: Retention) -> None:
        self._state = state
        self._feeds = feeds
        self._retention = retention

    # --- commands -----------------------------------------------------------------------------

    def publish(self, link: LinkId, command: PublishCommand, now_s: float, now_ms: int) -> None:
        """Judge one command; it is answered now, or with its commit."""
        state = self._state
        state.counters.publishes += 1
        # A room that is here has a name that was checked when it came.
        is_room = command.room in state.rooms or parse_room(command.room) is not None
        fault = fault_of(command) if is_room else Refusal.BAD_ROOM
        if fault is not None:
            state.refuse(link, command, fault)
            return
        hosted = state.open_room(link, RoomName(command.room), command)
        if hosted is None:
            return
        if state.journal_away or state.draining or state.pending_bytes > SHARD_PENDING_BYTES_MAX:
            busy = Refusal.UNAVAILABLE if state.journal_away else Refusal.DRAINING if state.draining else Refusal.BUSY
            state.refuse(link, command, busy)
            return
        room = hosted.room
        if room is None or hosted.phase is not Phase.SERVING:
            state.wait(link, hosted, command)
            return
        verdict = room.handle(command, now_ms, state.random_bytes(SALT_BYTES))
        if isinstance(verdict, Decided):
            verdict.event.waiters.append(Waiter(link, command.request, now_s))
            state.pending_bytes += verdict.event.size
            state.queue(hosted)
            if not hosted.feeds:
                state.settle(hosted)
        elif isinstance(verdict, Waits):
            verdict.event.waiters.append(Waiter(link, command.request, now_s, duplicate=True))
        elif isinstance(verdict, Duplicate):
            state.counters.duplicates += 1
            state.send(link, Committed(command.request, verdict.epoch, verdict.offset, verdict.at, True))
        else:
            state.refuse(link, command, verdict)

    # --- writes ---------------------------------------------------------------------------------

    def take_group(self) -> list[Write]:
        """The next group commit, rooms in the order in which they began to wait; empty when nothing does.

        Heads to verify take a share of each group, so that neither they nor publishers wait for all of the others.
        """
        state = self._state
        writes: list[Write] = []
        while len(writes) < COMMIT_VERIFIED_MAX and (hosted := state.next_unverified()) is not None:
            writes.append(_room_of(hosted).verification(hosted.slot, state.terms[hosted.slot]))
        size = 0
        while len(writes) < COMMIT_WRITES_MAX and size < COMMIT_BYTES_MAX:
            hosted = state.next_queued()
            if hosted is None:
                break
            term, repair = state.terms[hosted.slot], hosted.repair
            if repair is not None:
                write = repair.take_write(hosted.name, hosted.slot, term)
            else:
                write = _room_of(hosted).take_write(hosted.slot, term)
            writes.append(write)
            size += write.size()
        return writes

    def on_outcomes(self, writes: Sequence[Write], outcomes: Sequence[CommitOutcome], now_s: float, now_ms: int) -> None:
        """The journal has judged a group.

        What was fenced stays as it is, decided and unanswered, until the caller knows whose the
        slots are (`claim_back` or `release`); no group may be taken before.  What is unknown is not
        for here but for `on_unknown`, after this.
        """
        state = self._state
        for write, outcome in zip(writes, outcomes, strict=True):
            assert outcome.verdict is not CommitVerdict.UNKNOWN, "nothing can be concluded from an unknown outcome"
            state.counters.writes[outcome.verdict.value] += 1
            hosted = state.rooms[write.room]
            if outcome.verdict is CommitVerdict.COMMITTED:
                self._committed(hosted, write, now_s, now_ms)
            elif outcome.verdict is not CommitVerdict.FENCED:
                self._refused(hosted, outcome)

    def _committed(self, hosted: Hosted, write: Write, now_s: float, now_ms: int) -> None:
        """Whatever it was, the journal has this room's head."""
        hosted.unverified = False
        if hosted.repair is not None:
            self._repaired(hosted, hosted.repair, len(write.entries))
        elif write.entries or write.rows or write.snapshot is not None:
            self._publish(hosted, now_s, now_ms)
        else:
            self._state.settle(hosted)

    def _repaired(self, hosted: Hosted, repair: Repair, events: int) -> None:
        """The journal has some of what it had forgotten; nobody is told, since nobody knew."""
        state = self._state
        state.counters.events_repaired += events
        if repair.wrote():
            hosted.repair = None
            state.counters.repairs += 1
        if hosted.has_writes:
            state.queue(hosted)
        state.settle(hosted)

    def _publish(self, hosted: Hosted, now_s: float, now_ms: int) -> None:
        state, room = self._state, _room_of(hosted)
        published = room.publish()
        epoch = room.head.epoch
        for event in published.events:
            state.pending_bytes -= event.size
            entry = event.entry
            for waiter in event.waiters:
                self._acknowledge(waiter, epoch, entry.offset, entry.at)
                state.counters.publish_seconds.observe(now_s - waiter.asked_s)
        state.counters.events_committed += len(published.events)
        self._feeds.spread(hosted, published)
        if room.has_unsubmitted:
            state.queue(hosted)
        elif not hosted.feeds:
            state.settle(hosted)
        self._retention.after_commit(hosted, room, now_s, now_ms)

    def _acknowledge(self, waiter: Waiter, epoch: Epoch, offset: int, at: int) -> None:
        self._state.counters.duplicates += waiter.duplicate
        self._state.send(LinkId(waiter.link), Committed(waiter.request, epoch, offset, at, waiter.duplicate))

    # --- when it went wrong -----------------------------------------------------------------------

    def _refused(self, hosted: Hosted, outcome: CommitOutcome) -> None:
        """The journal has another head, or other tables.  If it has only forgotten their end, that is written again first.

        What was decided still holds then: nothing of it was written, and it builds on what readers have.
        """
        room = _room_of(hosted)
        hosted.repair = room.repair_from(outcome.head, outcome.rows_seq) if outcome.head is not None else None
        if hosted.repair is None:
            self._throw_away(hosted)
            self._state.load(hosted)
        else:
            room.take_back()
            self._state.queue(hosted)

    def verify(self, slots: Container[Slot]) -> int:
        """Have the heads of all rooms of these slots verified; answers how many that are."""
        rooms = [hosted for hosted in self._state.rooms.values() if hosted.slot in slots]
        for hosted in rooms:
            self._state.verify(hosted)
        return len(rooms)

    def on_unknown(self, writes: Sequence[Write], nothing_done: bool = False) -> set[Slot]:
        """Nobody knows what became of a group: answers the slots to claim before anything is read.

        Its publishers wait for the journal's word.  What was decided on top of it, or besides
        it, was never submitted: that is refused now, and its rooms are loaded again too.
        """
        state = self._state
        state.journal_away = True
        state.counters.writes["unknown"] += len(writes)
        for write in writes:
            hosted = state.rooms[write.room]
            in_flight = _room_of(hosted).in_flight_count
            events = self._abandon(hosted)
            unanswered = 0 if nothing_done else in_flight
            hosted.unanswered.extend(events[:unanswered])
            self._refuse_events(events[unanswered:])
        while (hosted_too := state.next_queued()) is not None:
            self._throw_away(hosted_too)
        return {write.slot for write in writes}

    def on_reclaimed(self) -> None:
        """The journal answers again, under terms that fence every late write: read what it has."""
        state = self._state
        state.journal_away = False
        self.reload_suspended()

    def claim_back(self, slots: Iterable[Slot]) -> None:
        """Fenced slots are ours again.

        Whoever fenced them may have written, or nobody did and the store has forgotten our
        claim: the rooms' heads tell.  What is decided names the head that it builds on, so it is
        written now if that still holds, and thrown away if not.
        """
        state, claimed = self._state, set(slots)
        for hosted in state.rooms.values():
            if hosted.slot not in claimed:
                continue
            if hosted.phase is Phase.SERVING:
                _room_of(hosted).take_back()
                if hosted.has_writes:
                    state.queue(hosted)
            elif hosted.phase is Phase.SUSPENDED:
                state.load(hosted)
            state.verify(hosted)

    def reload_suspended(self) -> None:
        """Load what waits to be loaded again; what is on its way already stays there."""
        if not self._state.journal_away:
            for hosted in self._state.rooms.values():
                if hosted.phase is Phase.SUSPENDED:
                    self._state.load(hosted)

    def answer_unanswered(self, hosted: Hosted) -> None:
        """The journal was read again: who is in it was published, who is not may try again."""
        room, events = hosted.room, hosted.unanswered
        assert room is not None, "a room that was read again is there"
        hosted.unanswered = []
        for event in events:
            row = event.id_row
            place = room.place_of(row.author, row.id) if row is not None else None
            if place is None:
                self._refuse_events([event])
                continue
            for waiter in event.waiters:
                self._acknowledge(waiter, place.epoch, place.offset, place.at)

    def release(self, slots: Iterable[Slot]) -> None:
        """These slots are another shard's now: whatever waits here is sent there."""
        state = self._state
        released = set(slots)
        for slot in released:
            if state.terms.pop(slot, None) is not None:
                state.counters.slots_released += 1
        for hosted in [hosted for hosted in state.rooms.values() if hosted.slot in released]:
            self._send_events_elsewhere(hosted)
            self._feeds.send_moved_all(hosted)
            for link, question in hosted.waiting:
                state.send_moved(link, question)
            state.drop(hosted)

    def _send_events_elsewhere(self, hosted: Hosted) -> None:
        """What was surely not written goes to the new owner; what may have been is unknown, and stays so."""
        state = self._state
        for event in self._abandon(hosted) if hosted.phase is Phase.SERVING else ():
            for waiter in event.waiters:
                state.send(LinkId(waiter.link), Moved(hosted.name, state.map_version, request=waiter.request))
        for event in hosted.unanswered:
            for waiter in event.waiters:
                state.counters.unknown += 1
                state.send(LinkId(waiter.link), OutcomeUnknown(waiter.request))
        hosted.unanswered = []

    def _throw_away(self, hosted: Hosted) -> None:
        """Nothing of what is decided was written, and nothing of it will be."""
        self._refuse_events(self._abandon(hosted))

    def _abandon(self, hosted: Hosted) -> list[PendingEvent]:
        """Stop deciding in a room until it has been loaded again."""
        room = _room_of(hosted)
        hosted.phase = Phase.SUSPENDED
        hosted.repair = None
        events = room.abandon()
        self._state.pending_bytes -= sum(event.size for event in events)
        self._state.settle(hosted)
        return events

    def _refuse_events(self, events: Iterable[PendingEvent]) -> None:
        kind = Refusal.UNAVAILABLE.kind
        for event in events:
            for waiter in event.waiters:
                self._state.counters.refused[kind.code] += 1
                answer = CommandRefused(waiter.request, kind.code, kind.sentence, kind.retry_after_ms)
                self._state.send(LinkId(waiter.link), answer)
