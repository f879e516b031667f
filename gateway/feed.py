"""A gateway's view of one room: its position, its ring, its members.

The router feeds it (attach replies, batches, hides, sums); passes read from it; the join
desk lets clients in.  Whatever breaks continuity has one cure: attach again with the
position.  The reply carries what was missed since, after a check that both mean the same log; what
it does not reach back to is read as history (gateway/repair.py), and what cannot be had is told to
the readers exactly (`skipped`, `reset`).

So a jump inside a batch is answered by an attach, too, not by a read: a link keeps its order, so
a jump is a fault of one of the two sides, and the attach costs no more than the missing events.
Pure: time is an argument or comes from the injected `clock`.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from math import inf
from typing import Protocol

from gateway.client import OUT_OF_STEP, Client, Membership
from gateway.counts import HeadCount
from gateway.deflate import EventForm
from gateway.repair import Lost, Piece, Repair
from gateway.ring import FOR_EVERYBODY, Ring
from gateway.seen import Seen
from gateway.thinner import Thinner
from gateway.tombstones import removals_in, tombstone
from shard_router.ports import FeedPosition, RangeAnswer
from shard_router.requests import is_temporary
from wire.client_codec import Form, encode
from wire.client_messages import Count, Hide, Reset, ServerMessage, Skipped, Stale
from wire.codes import Refusal
from wire.limits import FEED_REPAIR_WAIT_S
from wire.names import RoomName
from wire.node_messages import (
    FLAG_REMOVAL,
    FLAG_SYSTEM,
    PRESENT_NOT_KNOWN_YET,
    Attached,
    AttachRefused,
    Batch,
    CommandRefused,
    HideFrames,
    NodeFrame,
    Range,
    RangeRead,
    Sum,
)


class FeedState(Enum):
    NEW = "new"
    """Never attached: nobody can join yet."""
    LIVE = "live"
    DETACHED = "detached"
    """The shard is out of reach: the ring still answers joins."""
    REFUSED = "refused"
    """The shard said no for good; `refusal` says why."""


class FeedOwner(Protocol):
    """What a feed asks of its gateway."""

    def wake_pass(self, feed: "Feed") -> None:
        """There is something to pass on."""

    def on_attached(self, feed: "Feed") -> None:
        """The shard has answered, or refused for good: those who wait to join may be answered."""

    def reattach(self, feed: "Feed") -> None: ...

    def read_range(self, feed: "Feed", question: RangeRead, answer: Callable[[RangeAnswer], None]) -> None:
        """Ask the shard for history; `answer` is called once, perhaps before this returns."""


class Feed:
    """One room at one gateway.  Bounded by its ring and by the gateway's connections."""

    def __init__(self, room: RoomName, owner: FeedOwner, clock: Callable[[], float]) -> None:
        self.room = room
        self._owner = owner
        self._clock = clock
        self.state = FeedState.NEW
        self.refusal: Refusal = Refusal.UNAVAILABLE
        self.ring = Ring(0)
        self.thinner = Thinner(room)
        self.boundary = 0
        """Sequence up to which passes have gone, the running one included: where the next one starts."""
        self.epoch = ""
        self.chain = b""
        """First 8 bytes of the record's chain at `head_offset`."""
        self.repair: Repair | None = None
        """The hole behind the ring's head that is being filled, and what came after it."""
        self.count = HeadCount()
        self.seen = Seen()
        self.by_form: dict[EventForm, dict[Membership, None]] = {}
        """Members by how they read; a form that nobody reads is not there, and nothing is made in it."""
        self.snapshots: dict[EventForm, list[Membership]] = {}
        """The same as lists for passes, made anew after a change."""
        self.urgent: list[ServerMessage] = []
        """Signals that every member has to get, out of step or not; emptied by the next pass."""
        self.in_doubt = False
        """The shard said that it may have a successor: what it says may be behind the truth."""
        self.unsure_since = inf
        """Since when nobody, or nobody sure of itself, speaks for the room here; infinity while somebody does."""
        self.is_stale = False
        self.empty_since = clock()
        self.counts_members = True
        """False on a draining gateway: its clients are counted where they go."""

    # --- members ---------------------------------------------------------------------------

    def member_count(self) -> int:
        return sum(map(len, self.by_form.values()))

    def add(self, client: Client, cursor: int, behind_bytes_max: int) -> Membership:
        """Let a client read from `cursor` on; out of step until its first flush."""
        initial = self.ring.bytes_between(cursor, self.ring.head)
        membership = Membership(client, self, cursor, behind_bytes_max, initial)
        client.memberships[self.room] = membership
        self.by_form.setdefault(membership.form, {})[membership] = None
        self.snapshots.pop(membership.form, None)
        self.count.joined(max(self.count.total, self.member_count()), self.member_count())
        self.seen.see(self.room, client.session.author, self._minute())
        return membership

    def remove(self, membership: Membership) -> None:
        """Nothing follows to this member, not even from a running pass."""
        membership.gone = True
        membership.step = OUT_OF_STEP
        membership.client.memberships.pop(self.room, None)
        members = self.by_form.get(membership.form, {})
        members.pop(membership, None)
        if not members:
            self.by_form.pop(membership.form, None)
        self.snapshots.pop(membership.form, None)
        if self.member_count() == 0:
            self.empty_since = self._clock()

    def see_members(self, minute: int) -> Iterator[None]:
        for members in [self.snapshot(form) for form in self.by_form]:
            for membership in members:
                if not membership.gone:
                    self.seen.see(self.room, membership.client.session.author, minute)
                    yield

    def _minute(self) -> int:
        return int(self._clock() // 60)

    def snapshot(self, form: EventForm) -> list[Membership]:
        members = self.snapshots.get(form)
        if members is None:
            members = self.snapshots[form] = list(self.by_form[form])
        return members

    @property
    def is_joinable(self) -> bool:
        """Whether a join can be answered: attached once, the last mark passed on, nothing forgotten before it was, no hole."""
        is_open = self.state in (FeedState.LIVE, FeedState.DETACHED) and self.repair is None
        return is_open and self.boundary >= self.ring.oldest_cursor()

    @property
    def head_offset(self) -> int:
        """The room's offset up to which nothing has to be asked for: the ring's, or that of what waits for a hole."""
        return self.ring.head_offset if self.repair is None else self.repair.end

    # --- FeedPort: what the router tells -------------------------------------------------------

    def position(self) -> FeedPosition | None:
        if self.state is FeedState.NEW:
            return None
        return FeedPosition(self.epoch, self.head_offset, self.chain)

    def members(self) -> int:
        return self.member_count() if self.counts_members else 0

    def take_seen(self) -> bytes:
        return self.seen.take(self._minute())

    def tell_seen_again(self) -> None:
        self.seen.tell_again()

    def on_attached(self, message: Attached) -> None:
        now = self._clock()
        self.seen.tell_again()
        if self.state is FeedState.NEW or self.state is FeedState.REFUSED:
            self.ring = Ring(message.since)
            self.thinner = Thinner(self.room)
            self.boundary = 0
        elif message.epoch != self.epoch:
            self.give_up_repair()
            reset = Reset(self.room, message.epoch, message.since, message.reason)
            self.ring.append_mark(encode(reset, Form.MSGPACK), message.since, now)
        elif message.since > self.head_offset:
            self.repair = self.repair or Repair(self.ring.head_offset, now)
            self.repair.jump(message.since)
        first_time = self.state is FeedState.NEW
        self.state = FeedState.LIVE
        self.epoch = message.epoch
        if message.present != PRESENT_NOT_KNOWN_YET:
            self._hear(message.present, message.seen_5m, message.seen_60m)
        self.chain = message.chain
        self._bury(message.frames)
        self._take(message.frames, now)
        if first_time:
            self.boundary = self.ring.head
        self._judge()
        self._wake()
        self._owner.on_attached(self)

    def on_attach_refused(self, message: AttachRefused) -> None:
        self.give_up_repair()
        self.state = FeedState.REFUSED
        self.refusal = Refusal[message.code.upper()] if message.code.upper() in Refusal.__members__ else Refusal.UNAVAILABLE
        self._owner.on_attached(self)

    def on_batch(self, message: Batch) -> None:
        if not self._take(message.frames, self._clock()):
            self._owner.reattach(self)
            return
        self.chain = message.chain
        self._owner.wake_pass(self)

    def _take(self, frames: Sequence[NodeFrame], now: float) -> bool:
        """Take what continues the log, skip what is here already; False, and nothing from there on, at a jump."""
        ring, repair = self.ring, self.repair
        expected = self.head_offset + 1
        is_whole = True
        for node_frame in frames:
            if node_frame.offset != expected:
                if node_frame.offset < expected:
                    continue
                is_whole = False
                break
            if repair is None:
                ring.append_event(node_frame.frame, now, _tag_of(node_frame))
            else:
                repair.offer(node_frame)
            expected += 1
        if repair is not None:
            self._put(repair, repair.advance())
        return is_whole

    def on_hide(self, message: HideFrames) -> None:
        for tombstone_frame in message.tombstones:
            self.ring.replace(tombstone_frame.offset, tombstone_frame.frame)
            if self.repair is not None:
                self.repair.hide(tombstone_frame)
            self.urgent.append(Hide(self.room, tombstone_frame.offset))
        self._wake()

    # --- holes -----------------------------------------------------------------------------------

    def _put(self, repair: Repair, pieces: Sequence[Piece]) -> None:
        """Give readers what a repair has put in order, and ask for what is still missing."""
        now = self._clock()
        for piece in pieces:
            if isinstance(piece, Lost):
                skipped = Skipped(self.room, piece.first, piece.last)
                self.ring.append_mark(encode(skipped, Form.MSGPACK), piece.last, now, same_log=True)
            else:
                self.ring.append_event(piece.frame, now, _tag_of(piece))
        if repair.is_over:
            self.repair = None
        else:
            self._ask(repair)
        self._wake()

    def _ask(self, repair: Repair) -> None:
        question = repair.question()
        if question is not None:
            after, limit = question
            read = RangeRead(0, self.room, self.epoch, after=after, limit=limit)
            self._owner.read_range(self, read, partial(self._on_page, repair, after))

    def _on_page(self, repair: Repair, after: int, answer: RangeAnswer) -> None:
        if self.repair is not repair:
            return
        if isinstance(answer, Range) and answer.epoch == self.epoch:
            self._bury(answer.frames)
            self._put(repair, repair.on_page(after, answer.frames, self._clock()))
        elif isinstance(answer, CommandRefused) and is_temporary(answer.code):
            repair.refused(after)
        else:
            self.give_up_repair()

    def tick_repair(self) -> bool:
        """Ask again for what was refused for now, or give it up; whether there is still a hole."""
        if self.repair is None:
            return False
        if self._clock() - self.repair.moved_at >= FEED_REPAIR_WAIT_S:
            self.give_up_repair()
        else:
            self._ask(self.repair)
        return self.repair is not None

    def give_up_repair(self) -> None:
        """Tell readers what is missing, and let them have what has waited for it."""
        if self.repair is not None:
            self._put(self.repair, self.repair.give_up())

    def _bury(self, frames: Sequence[NodeFrame]) -> None:
        """Take from the ring what these events remove: their `HideFrames` may have come while nobody was listening."""
        removals = removals_in(frames)
        if removals:
            self.ring.replace_where(partial(tombstone, removals=removals), min(removals))

    # --- signals ---------------------------------------------------------------------------------

    @property
    def present(self) -> int:
        """How many are in the room: at least those who are here, whom the shard may not know of yet."""
        return max(self.count.total, self.members())

    @property
    def has_count(self) -> bool:
        """Whether there is a head count to tell, due or not, and somebody to tell it to."""
        return self.member_count() > 0 and self.count.is_news(self.present)

    def on_sum(self, message: Sum) -> None:
        self._hear(message.present, message.seen_5m, message.seen_60m)

    def _hear(self, total: int, seen_5m: int, seen_60m: int) -> None:
        self.count.hear(total, (seen_5m, seen_60m))
        if self.has_count:
            # Even if it is not due yet: the scheduler holds the feed until it is.
            self._owner.wake_pass(self)

    def on_detached(self) -> None:
        if self.state is FeedState.LIVE:
            self.state = FeedState.DETACHED
            self._judge()

    def on_doubt(self, in_doubt: bool) -> None:
        self.in_doubt = in_doubt
        self._judge()

    def _judge(self) -> None:
        """Whether readers can rely on what they see; as soon as they can again, they are told."""
        if self.state is not FeedState.LIVE or self.in_doubt:
            self.unsure_since = min(self.unsure_since, self._clock())
            return
        self.unsure_since = inf
        if self.is_stale:
            self.is_stale = False
            self.urgent.append(Stale(self.room, False))
            self._wake()

    # --- what passes ask -------------------------------------------------------------------------

    def mark_stale(self) -> None:
        """It has been unsure for too long to keep quiet about it."""
        if not self.is_stale:
            self.is_stale = True
            self.urgent.append(Stale(self.room, True))
            self._wake()

    def forgotten(self) -> Reset | Skipped:
        """What the ring has forgotten before any pass could carry it, for everyone in step."""
        ring = self.ring
        oldest = ring.oldest_cursor()
        if self.boundary < ring.run_start - 1:
            # A mark is among it: all that a reader can be told is where this log goes on.
            return Reset(self.room, self.epoch, ring.offset_of(oldest))
        return Skipped(self.room, ring.offset_of(self.boundary) + 1, ring.offset_of(oldest))

    def has_news(self) -> bool:
        """Whether there is something that a pass has to go for; a head count waits for one, or for its turn."""
        return self.boundary != self.ring.head or bool(self.urgent)

    def take_count(self, now: float) -> Count | None:
        """The head count, for a pass that begins now."""
        present = self.present
        if not self.count.may_ride(present, now):
            return None
        self.count.told(present, now)
        return Count(self.room, present, *self.count.seen)

    def take_urgent(self) -> list[ServerMessage]:
        urgent, self.urgent = self.urgent, []
        return urgent

    def _wake(self) -> None:
        if self.has_news():
            self._owner.wake_pass(self)


def _tag_of(node_frame: NodeFrame) -> int:
    """Whose it is for a selection: what nobody may miss is nobody's."""
    return FOR_EVERYBODY if node_frame.flags & (FLAG_REMOVAL | FLAG_SYSTEM) else node_frame.author_tag
