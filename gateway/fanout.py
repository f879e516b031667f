"""Fan-out: one buffer of ready frames to every member of a room.  The hot path.

The idea.  A pass takes all that a feed has gathered since the last one, joins it into one
buffer per form, and offers that buffer to each member's socket: one `send` a member, and
nothing else.  While it runs, newer events wait and become the next pass, so a busy room
coalesces by itself and an idle one waits for nothing.

The rules of this file.
- At most one pass per feed at a time, over a snapshot of its members; a pass has a fixed
  end.  A member gets the buffer only if it is in step with the pass's start, so who left,
  joined, or catches up during the pass is never sent a wrong byte.
- At most PASS_VISIT_S of sends a visit, then a checkpoint: no room starves another, or
  the readers of this process.
- Corners cut, here only: the socket's `send` is called directly (no stream, lock, task or
  checkpoint per delivery).  Framing and locking per listener measured 6.8 us, offering
  ready bytes 0.1 us on top of the system call's 3; `bench/run.py` shows the whole.

What it leaves to others: cut buffers and readers that lag (gateway/client.py), what is
passed on and when it may be read (gateway/feed.py), when a head count may go (gateway/counts.py).
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

import trio

from gateway.client import OUT_OF_STEP, Membership
from gateway.counts import CountQueue
from gateway.deflate import message_form
from gateway.feed import Feed
from gateway.ring import framed
from runtime.metrics import GatewayCounters
from wire.limits import PASS_BUFFER_BYTES_MAX, PASS_VISIT_S

# Members between two looks at the clock: about 150 us of sends.
_STRIDE = 32


class Pass:
    """One walk over a feed's members, carrying the stream from `start` to `end` and the signals of the moment."""

    __slots__ = ("_end", "_feed", "_from", "_index", "_is_count_alone", "_legs", "_start")

    def __init__(self, feed: Feed, now: float) -> None:
        self._feed = feed
        self._start = feed.boundary
        ring = feed.ring
        urgent = feed.take_urgent()
        if not ring.holds_after(self._start):
            # Passes were slower than the room for as long as the ring reaches back: what it has
            # forgotten cannot be sent any more, so everyone in step is told exactly which events.
            urgent.append(feed.forgotten())
        # Where the events of this pass begin: the start, or the oldest place that is still held.
        self._from = max(self._start, ring.first - 1)
        self._end = ring.reach(self._from, ring.head, PASS_BUFFER_BYTES_MAX)
        feed.boundary = self._end
        count = feed.take_count(now)
        self._is_count_alone = count is not None and not urgent and self._end == self._from
        self._legs: list[tuple[list[Membership], bytes, bytes]] = []
        for form in feed.by_form:
            plain = message_form(form)
            must = b"".join(framed(message, plain) for message in urgent)
            events = ring.joined(form, self._from, self._end) if self._end > self._from else b""
            buffer = must + events if must else events
            if count is not None:
                buffer += framed(count, plain)
            self._legs.append((feed.snapshot(form), buffer, must))
        self._index = 0

    def visit(self, clock: Callable[[], float], counters: GatewayCounters) -> bool:
        """Walk on for PASS_VISIT_S at most; True when the pass is over."""
        until = clock() + PASS_VISIT_S
        while self._legs:
            members, buffer, must = self._legs[-1]
            count = len(members)
            while self._index < count:
                stride = members[self._index : self._index + _STRIDE]
                self._index += len(stride)
                taken = self._offer(stride, buffer, must)
                counters.deliveries += taken * (self._end - self._from)
                counters.bytes_out += taken * len(buffer)
                if self._is_count_alone:
                    counters.count_sends += len(stride)
                if clock() >= until and self._index < count:
                    return False
            self._legs.pop()
            self._index = 0
        if self._end > self._from and self._feed.ring.holds_after(self._from):
            counters.delivery_seconds.observe(clock() - self._feed.ring.arrived(self._from + 1))
        return True

    def _offer(self, members: list[Membership], buffer: bytes, must: bytes) -> int:
        """Offer the buffer to some members; how many took all of it."""
        start, end, size = self._start, self._end, len(buffer)
        taken = 0
        for member in members:
            if member.step == start:
                try:
                    sent = member.push(buffer)
                except BlockingIOError:
                    member.client.block(must)
                    continue
                except OSError:
                    member.client.owner.on_transport_lost(member.client)
                    continue
                member.step = end
                if sent == size:
                    taken += 1
                else:
                    member.client.block(buffer[sent:])
            elif not member.gone:
                self._skip(member, must)
        return taken

    def _skip(self, member: Membership, must: bytes) -> None:
        """A member that catches up reads events from the ring; only what is urgent is queued for it."""
        if must:
            member.client.push(must)
        if member.step == OUT_OF_STEP and not member.gone and member.is_too_slow():
            member.client.owner.on_too_slow(member.client)


class PassScheduler:
    """Visits feeds that have news, in turn.  One task; owns every pass."""

    def __init__(
        self,
        counters: GatewayCounters,
        clock: Callable[[], float],
        *,
        window_members_min: int,
        window_passes_per_s: float,
        on_pass_over: Callable[[Feed], None],
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._window_members_min = window_members_min
        self._window_s = 1 / window_passes_per_s if window_passes_per_s > 0 else 0.0
        self._on_pass_over = on_pass_over
        self._ready: dict[Feed, Pass | None] = {}
        """Feeds to visit, in order of arrival, with their running pass.  Bounded by the feeds open."""
        self._held: dict[Feed, tuple[float, int]] = {}
        """Feeds held back by their window or by a head count's turn: until when, and which entry of the heap says so."""
        self._later: list[tuple[float, int, Feed]] = []
        """A heap by due time.  Entries of feeds that were released early stay in it until then, and count no more:
        to take one out of the middle would cost a walk over all of them for every event of a held room."""
        self._counts = CountQueue()
        self._last_pass: dict[Feed, float] = {}
        self._serial = 0
        self._news = trio.Event()

    def wake(self, feed: Feed) -> None:
        """The feed has news.  Constant time; called for every batch."""
        if feed in self._ready:
            return
        held = self._held.get(feed)
        if held is not None:
            if self._due(feed) >= held[0]:
                return
            del self._held[feed]
        self._ready[feed] = None
        self._news.set()

    def forget(self, feed: Feed) -> None:
        """The feed is closed: its pass, if any, ends where it is."""
        self._ready.pop(feed, None)
        self._last_pass.pop(feed, None)
        self._held.pop(feed, None)

    async def run(self) -> None:
        """Until cancelled.  A checkpoint after every visit."""
        while True:
            self._release_due()
            if not self._ready:
                await self._wait_for_news()
                continue
            feed = next(iter(self._ready))
            running = self._ready.pop(feed)
            if running is None:
                running = self._start(feed)
            if running is not None:
                if running.visit(self._clock, self._counters):
                    self._finish(feed)
                else:
                    self._ready[feed] = running
            await trio.lowlevel.checkpoint()

    async def _wait_for_news(self) -> None:
        self._news = trio.Event()
        if self._later:
            with trio.move_on_at(self._later[0][0]):
                await self._news.wait()
        else:
            await self._news.wait()

    def _release_due(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, serial, feed = heappop(self._later)
            if self._held.get(feed) == (due, serial):
                del self._held[feed]
                self._ready.setdefault(feed, None)

    def _start(self, feed: Feed) -> Pass | None:
        """Begin a pass, unless there is nothing to carry or it has to wait."""
        now = self._clock()
        due = self._due(feed)
        if due == inf:
            due = self._counts.due(feed.count, feed.present, feed.member_count(), now)
        if due > now:
            if due < inf:
                self._hold(feed, due)
            return None
        self._last_pass[feed] = now
        self._counters.passes += 1
        return Pass(feed, now)

    def _due(self, feed: Feed) -> float:
        """From when on the feed's next pass may start; `inf` while it has nothing to carry but a head count."""
        if not feed.has_news():
            return inf
        return self._last_pass.get(feed, 0.0) + self._window_s if self._is_windowed(feed) else 0.0

    def _is_windowed(self, feed: Feed) -> bool:
        """Whether a crowd's pass may have to wait: not for what is urgent, nor for a buffer that is full already."""
        if not self._window_s or feed.urgent or feed.member_count() < self._window_members_min:
            return False
        ring = feed.ring
        return ring.holds_after(feed.boundary) and ring.bytes_between(feed.boundary, ring.head) < PASS_BUFFER_BYTES_MAX

    def _hold(self, feed: Feed, due: float) -> None:
        self._serial += 1
        self._held[feed] = (due, self._serial)
        heappush(self._later, (due, self._serial, feed))

    def _finish(self, feed: Feed) -> None:
        if feed.has_news() or feed.has_count:
            self.wake(feed)
        self._on_pass_over(feed)
