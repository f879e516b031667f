"""One connected client: its transport, what it has not taken yet, the rooms it reads.

Two ways lead to the socket.  The fan-out pass pushes ready bytes to members that are *in
step*.  Everything else goes through `push` (control frames) and `flush` (catching up from
a ring).  The kernel's first refusal makes the client *blocked*: all its memberships fall
out of step, and one flusher task owns the writing side until nothing waits any more.
"""

from collections.abc import Callable
from typing import Protocol

from gateway.deflate import Deflated, EventForm
from gateway.feed_port import Stream
from gateway.ladder import Place, Rung
from gateway.outbox import Outbox
from gateway.session import Session
from gateway.thinner import Stretch
from runtime.addresses import AddressPrefix
from runtime.metrics import GatewayCounters
from runtime.transport import Transport
from wire.client_codec import Form
from wire.limits import PASS_BUFFER_BYTES_MAX
from wire.node_messages import author_tag

OUT_OF_STEP = -1

_TOP = Place()


class Owner(Protocol):
    """What a client asks of its gateway."""

    counters: GatewayCounters

    def start_flusher(self, client: "Client") -> None: ...
    def on_too_slow(self, client: "Client") -> None: ...
    def on_transport_lost(self, client: "Client") -> None: ...


class Membership:
    """One client's place in one feed.

    `step` is the sequence it has, while it is in step with the feed; OUT_OF_STEP while it
    catches up or is gone.  `cursor` is the same place, kept while out of step.  `place` on the
    ladder is judged while it catches up only: whose socket takes all is given all, and costs nothing here.
    """

    __slots__ = ("behind_bytes_max", "client", "cursor", "form", "gone", "initial", "place", "push", "reported", "step", "stream")

    def __init__(self, client: "Client", stream: Stream, cursor: int, behind_bytes_max: int, initial: int = 0) -> None:
        self.client = client
        self.stream = stream
        self.form = client.event_form
        self.push: Callable[[bytes], int] = client.transport.try_send
        self.step = OUT_OF_STEP
        self.cursor = cursor
        self.behind_bytes_max = behind_bytes_max
        self.initial = initial
        """Bytes that it had to read as it came in: they are no arrears."""
        self.place = _TOP
        self.reported = cursor
        """The place that its last answer to a ping named (gateway/experience.py)."""
        self.gone = False

    def is_too_slow(self) -> bool:
        """Whether the ring has forgotten, or is about to forget, what this reader still needs."""
        ring = self.stream.ring
        if not ring.holds_after(self.cursor):
            return True
        return ring.bytes_between(self.cursor, ring.head) > self.behind_bytes_max + self.initial

    def next_stretch(self, counters: GatewayCounters) -> Stretch:
        """What it gets next while it catches up, by its rung.  Its ring holds all after the cursor, and there is something."""
        stream = self.stream
        ring, before = stream.ring, self.place.rung
        behind = max(0, ring.bytes_between(self.cursor, ring.head) - self.initial)
        # The time is that of the newest event: without events nobody falls behind.
        self.place = self.place.judged(behind, self.behind_bytes_max, ring.arrived(ring.head))
        rung = self.place.rung
        if rung > before:
            counters.ladder_falls[rung.name.lower()] += 1
        if rung is not Rung.FULL:
            own = author_tag(self.client.session.author)
            thinned = stream.thinner.stretch(ring, self.form, rung, self.cursor, stream.boundary, own)
            if thinned is not None:
                return thinned
        end = ring.reach(self.cursor, stream.boundary, PASS_BUFFER_BYTES_MAX)
        return Stretch(end, ring.joined(self.form, self.cursor, end), end - self.cursor, 0)


class Client:
    """State of one connection.  Written by its own task, by passes, and by its flusher."""

    __slots__ = (
        "closing",
        "connected_at",
        "event_form",
        "form",
        "has_said_goodbye",
        "heard",
        "memberships",
        "outbox",
        "owner",
        "ping_bucket",
        "prefix",
        "session",
        "transport",
    )

    def __init__(
        self, transport: Transport, form: Form, session: Session, owner: Owner, now: float = 0.0, *, deflates: bool = False,
        prefix: AddressPrefix | None = None,
    ) -> None:  # fmt: skip
        self.transport = transport
        self.form = form
        self.event_form: EventForm = Deflated(form) if deflates else form
        """The form of what a room's readers share; what this client alone is told has `form`."""
        self.session = session
        self.owner = owner
        self.memberships: dict[str, Membership] = {}
        self.outbox: Outbox | None = None
        self.heard = True
        """Any traffic since the last ping."""
        self.ping_bucket = -1
        self.closing = False
        """No more of its messages are read and no event is sent; a close frame is on its way."""
        self.has_said_goodbye = False
        """The close frame is out or queued: nothing may follow it (RFC 6455, 5.5.1)."""
        self.connected_at = now
        self.prefix = prefix
        """What its address is counted by; None where it is not."""

    @property
    def is_blocked(self) -> bool:
        return self.outbox is not None

    def push(self, frame: bytes) -> None:
        """Send one whole frame now, or queue it behind what waits; beyond the bound the client is too slow."""
        if self.has_said_goodbye:
            return
        if self.outbox is not None:
            if not self.outbox.offer(frame) and not self.closing:
                self.owner.on_too_slow(self)
            return
        try:
            sent = self.transport.try_send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.owner.on_transport_lost(self)
            return
        counters = self.owner.counters
        counters.frames_out += 1
        counters.bytes_out += sent
        if sent < len(frame):
            self.block(frame[sent:])

    def block(self, rest: bytes) -> None:
        """The kernel left `rest` of a buffer: fall out of step everywhere and wake the flusher."""
        assert self.outbox is None, "a blocked client is written to by its flusher only"
        self.outbox = Outbox(rest)
        self.owner.counters.sends_blocked += 1
        for membership in self.memberships.values():
            if membership.step != OUT_OF_STEP:
                membership.cursor = membership.step
                membership.step = OUT_OF_STEP
        self.owner.start_flusher(self)

    def flush(self) -> bool:
        """Write what the kernel takes; True when all is written and every membership is in step again.

        Called by the flusher when the socket is writable, and right after a join.
        """
        while True:
            if self.outbox is not None:
                waiting = self.outbox.peek()
                if waiting:
                    sent = self._offer(waiting)
                    if sent < 0:
                        return True
                    self.outbox.took(sent)
                    if sent < len(waiting):
                        return False
            lagging = self._next_lagging()
            if lagging is None:
                break
            if not self._catch_up(lagging):
                return self.outbox is None
        self.outbox = None
        for membership in self.memberships.values():
            if membership.step == OUT_OF_STEP:
                membership.step = membership.cursor
        return True

    def _next_lagging(self) -> Membership | None:
        if self.closing:
            return None
        for membership in self.memberships.values():
            if membership.step == OUT_OF_STEP and membership.cursor != membership.stream.boundary:
                return membership
        return None

    def _catch_up(self, membership: Membership) -> bool:
        """Give the kernel the next slice of one ring; False when it takes no more now."""
        if membership.is_too_slow():
            self.owner.on_too_slow(self)
            return False
        counters = self.owner.counters
        stretch = membership.next_stretch(counters)
        buffer = stretch.buffer
        sent = self._offer(buffer)
        if sent < 0:
            return False
        if sent == 0:
            if self.outbox is None:
                self.block(b"")
            return False
        counters.frames_out += stretch.events
        counters.deliveries += stretch.events
        counters.events_skipped += stretch.skipped
        membership.cursor = stretch.end
        if sent == len(buffer):
            return True
        if self.outbox is None:
            self.block(buffer[sent:])
        else:
            self.outbox.cut(buffer[sent:])
        return False

    def _offer(self, data: bytes) -> int:
        """Bytes the kernel took; -1 when the connection is dead (its owner has been told)."""
        try:
            sent = self.transport.try_send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.owner.on_transport_lost(self)
            return -1
        self.owner.counters.bytes_out += sent
        return sent
