"""Letting clients into rooms: from a join's position to a place in the feed's ring.

A join is answered out of the ring and costs the shard nothing.  The reply names `since`
and `offset`; the events between are ordinary frames that the client's flush reads by a
cursor pinned in the ring, and the next pass starts exactly where they end: no gap, no
duplicate, whatever happens meanwhile (SEMANTICS, R9).

A hello with several joins is answered by one welcome, when all its feeds can answer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gateway.client import Client
from gateway.feed import Feed, FeedState
from gateway.session import refused
from runtime.metrics import GatewayCounters
from wire.client_messages import Joined, JoinRequest, Refused
from wire.codes import Refusal, ResumeReason
from wire.names import RoomName

# How long a join waits for its shard before it is refused as temporary.
JOIN_WAIT_S = 5.0

JoinAnswer = Joined | Refused


@dataclass(slots=True, eq=False)
class PendingJoins:
    """The joins of one hello, or one join: answered together when no feed is awaited any more."""

    client: Client
    requests: list[tuple[int, JoinRequest, Feed]]
    """Place in the hello, or request number; what was asked; where."""
    deadline: float
    finish: Callable[["PendingJoins", list[tuple[int, JoinAnswer]]], None]
    awaited: set[Feed] = field(default_factory=set)


class JoinDesk:
    """Holds those who wait; bounded by the gateway's connections times rooms per client."""

    def __init__(self, reattach: Callable[[Feed], None], counters: GatewayCounters, behind_bytes_max: int) -> None:
        self._reattach = reattach
        self._counters = counters
        self._behind_bytes_max = behind_bytes_max
        self._joining: dict[Feed, list[PendingJoins]] = {}
        """Who waits until the feed can answer at all."""
        self._doubted: dict[Feed, list[PendingJoins]] = {}
        """Who said to be further than the feed.  The next answer of the shard may be older than they are: another gateway
        may have given them what came after it.  So it lets in whom it reaches, and whom it does not are asked about again."""
        self._verifying: dict[Feed, list[PendingJoins]] = {}
        """Who was further than the feed after that, too: this attach was asked after they came, and is the last word."""
        self._pending: dict[PendingJoins, None] = {}

    def ask(self, pending: PendingJoins) -> None:
        """Answer now if every feed can, else when it can, at the latest at the deadline."""
        for _, request, feed in pending.requests:
            if feed.state is FeedState.REFUSED:
                continue
            if not feed.is_joinable:
                self._wait(self._joining, feed, pending)
            elif _is_ahead(feed, request):
                if feed not in self._doubted:
                    self._reattach(feed)
                self._wait(self._doubted, feed, pending)
        if pending.awaited:
            self._pending[pending] = None
        else:
            self._finish(pending)

    def _wait(self, table: dict[Feed, list[PendingJoins]], feed: Feed, pending: PendingJoins) -> None:
        pending.awaited.add(feed)
        table.setdefault(feed, []).append(pending)

    def on_attached(self, feed: Feed) -> None:
        """The shard has answered for the feed, or refused it for good."""
        verifying, doubted = self._verifying.pop(feed, []), self._doubted.pop(feed, [])
        if feed.repair is not None:
            # What they are ahead of may be in the hole: their answer waits until it is closed.
            if verifying or doubted:
                self._joining.setdefault(feed, []).extend([*verifying, *doubted])
            return
        self._release(verifying, feed)
        if feed.is_joinable or feed.state is FeedState.REFUSED:
            doubted += self._joining.pop(feed, ())
        ahead = self._let_in(doubted, feed)
        if ahead:
            self._verifying[feed] = ahead
            self._reattach(feed)

    def on_joinable(self, feed: Feed) -> None:
        """The feed's last mark has been passed on: joins can be placed behind it."""
        ahead = self._let_in(self._joining.pop(feed, ()), feed)
        if ahead:
            if feed not in self._doubted:
                self._reattach(feed)
            self._doubted.setdefault(feed, []).extend(ahead)

    def _let_in(self, waiting: Iterable[PendingJoins], feed: Feed) -> list[PendingJoins]:
        """Answer whom the feed reaches; answers those who are still ahead of it."""
        ahead = []
        for pending in waiting:
            is_ahead = any(of is feed and _is_ahead(of, asked) for _, asked, of in pending.requests)
            if is_ahead and feed.state is not FeedState.REFUSED:
                ahead.append(pending)
            else:
                self._release((pending,), feed)
        return ahead

    def _release(self, waiting: Iterable[PendingJoins], feed: Feed) -> None:
        for pending in waiting:
            pending.awaited.discard(feed)
            if not pending.awaited and pending in self._pending:
                del self._pending[pending]
                self._finish(pending)

    def expire(self, now: float) -> None:
        """Answer those whose wait is over; rooms out of reach are refused as temporary."""
        overdue = [pending for pending in self._pending if pending.deadline <= now]
        for pending in overdue:
            del self._pending[pending]
            self._finish(pending)
        if overdue:
            self._joining = self._still_waiting(self._joining)
            self._doubted = self._still_waiting(self._doubted)
            self._verifying = self._still_waiting(self._verifying)

    def _still_waiting(self, table: dict[Feed, list[PendingJoins]]) -> dict[Feed, list[PendingJoins]]:
        return {feed: still for feed, waiting in table.items() if (still := [p for p in waiting if p in self._pending])}

    def is_waited_for(self, feed: Feed) -> bool:
        return feed in self._joining or feed in self._doubted or feed in self._verifying

    def _finish(self, pending: PendingJoins) -> None:
        if not pending.client.closing:
            pending.finish(pending, [(n, self._answer(pending, n, request, feed)) for n, request, feed in pending.requests])

    def _answer(self, pending: PendingJoins, n: int, request: JoinRequest, feed: Feed) -> JoinAnswer:
        client, room = pending.client, RoomName(request.room)
        if room not in client.session.rooms:
            return refused(Refusal.NOT_JOINED, n, room=room, detail="it was left before it was entered")
        if feed.state is FeedState.REFUSED or feed in pending.awaited or not feed.is_joinable:
            client.session.rooms.discard(room)
            refusal = feed.refusal if feed.state is FeedState.REFUSED else Refusal.UNAVAILABLE
            return refused(refusal, n, room=room)
        reply, cursor = place_reader(feed, request, n)
        feed.add(client, cursor, self._behind_bytes_max)
        if reply.asked:
            self._counters.resumes[reply.reason or "recovered"] += 1
        return reply


def _is_ahead(feed: Feed, request: JoinRequest) -> bool:
    since = request.since
    return since is not None and since.epoch == feed.epoch and since.offset > feed.head_offset


def place_reader(feed: Feed, request: JoinRequest, n: int) -> tuple[Joined, int]:
    """Where in the ring a reader starts, and what it is told."""
    ring, boundary = feed.ring, feed.boundary
    since = request.since
    offset = ring.offset_of(boundary)
    recent = max(ring.oldest_cursor(), boundary - request.limit)
    reason = ""
    cursor = recent
    if since is not None:
        reason = resume_reason(feed, since.epoch, since.offset, since.chain)
        if not reason:
            sequence = ring.sequence_of(since.offset)
            assert sequence is not None, "a recovered position lies in the current run"
            cursor = min(sequence, boundary)
    chain = feed.chain.hex() if boundary == ring.head else ""
    reply = Joined(
        n, request.room, feed.epoch, offset, ring.offset_of(cursor), chain,
        asked=since is not None, recovered=since is not None and not reason, reason=reason,
        present=max(feed.count.total, feed.member_count() + 1), seen_5m=feed.count.seen[0], seen_60m=feed.count.seen[1],
    )  # fmt: skip
    return reply, cursor


def resume_reason(feed: Feed, epoch: str, offset: int, chain: str) -> str:
    """Why a position cannot be continued; "" when it can."""
    ring = feed.ring
    if epoch != feed.epoch or offset > ring.head_offset:
        return ResumeReason.EPOCH.value
    if chain and feed.chain and offset == ring.head_offset and chain != feed.chain.hex():
        return ResumeReason.EPOCH.value
    oldest = ring.offset_of(ring.oldest_cursor())
    return ResumeReason.LIMIT.value if offset < oldest else ""
