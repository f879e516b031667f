"""The gateway's books: its clients, its feeds, and what each effect of a session does.

All of it is synchronous: a frame is decided on and carried out in one go.  What waits
(shards, slow readers, closing connections) is held in bounded tables and swept by `tick`.
The tasks around it are in gateway/server.py.
"""

from collections.abc import Callable, Sequence
from functools import partial

from gateway.answers import OUTCOMES, joins_in_order, outcome_of, range_of, refused_by
from gateway.client import Client
from gateway.control import ControlFeed
from gateway.crowd import Crowd, Denied
from gateway.door import Door, life_left_ms
from gateway.evictions import Evictions
from gateway.experience import note_seen
from gateway.fanout import PassScheduler
from gateway.feed import Feed, FeedState
from gateway.heartbeat import Heartbeat
from gateway.joins import JOIN_WAIT_S, JoinAnswer, JoinDesk, PendingJoins
from gateway.revocations import Revocation
from gateway.ring import framed
from gateway.seen import SeenWalk
from gateway.session import Effect, Enter, Exit, Greet, ReadHistory, Renew, Reply, Report, Submit, refused
from gateway.websocket import close_frame
from runtime.metrics import GatewayCounters
from runtime.schema import GatewaySettings
from shard_router.ports import PublishAnswer, RangeAnswer, Router
from wire.client_codec import Form
from wire.client_messages import PROTOCOL_VERSION, Goaway, Left, Ping, Refused, ServerMessage, Stale, Welcome
from wire.codes import CLOSE_SENTENCES, CloseCode, Refusal
from wire.limits import CLOSE_GRACE_S
from wire.names import RoomName
from wire.node_messages import CommandRefused, Committed, PublishCommand, RangeRead

# A feed that has heard no valid owner for this long says so to its readers (DESIGN, section 8).
STALE_AFTER_S = 3.0


class Gateway:
    """One gateway's state.  Owned by `run_gateway`, whose tasks call it."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        router: Router,
        door: Door,
        crowd: Crowd,
        heartbeat: Heartbeat,
        counters: GatewayCounters,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        start_flusher: Callable[[Client], None],
    ) -> None:
        self._settings = settings
        self._router = router
        self._door = door
        self._crowd = crowd
        self._heartbeat = heartbeat
        self.counters = counters
        self._clock = clock
        self._wall_clock = wall_clock
        self._start_flusher = start_flusher
        self.feeds: dict[RoomName, Feed] = {}
        self.clients: dict[Client, None] = {}
        """Clients that were greeted; bounded by `connections_max`."""
        self._closing: dict[Client, float] = {}
        """Clients that were told to go, with the time at which patience ends."""
        self._repairing: dict[Feed, None] = {}
        """Feeds that have asked for what they missed, to be looked after by `tick`."""
        self._leaves_at: float | None = None
        """When the patience with those who stay ends, of a gateway that drains."""
        self.joins = JoinDesk(self.reattach, counters, settings.outbox_behind_bytes_max)
        self.passes = PassScheduler(
            counters, clock,
            window_members_min=settings.window_members_min,
            window_passes_per_s=settings.window_passes_per_s,
            on_pass_over=self._on_pass_over,
        )  # fmt: skip
        self.control = ControlFeed(self._on_revoked, router.reattach, clock)
        self._evictions: Evictions[Client] = Evictions(settings.accepts_per_s)
        self._seen = SeenWalk()
        self._pings = {form: framed(Ping(), form) for form in Form}
        counters.feeds = lambda: len(self.feeds)
        counters.members = lambda: sum(feed.member_count() for feed in self.feeds.values())
        counters.control_unsure = lambda: max(0.0, clock() - self.control.unsure_since)
        counters.connections_max = settings.connections_max

    # --- a client's own frames ------------------------------------------------------------

    def on_frame(self, client: Client, payload: bytes) -> None:
        """Decide on one frame and carry it out; raises `PeerError`."""
        client.heard = True
        self.counters.frames_in += 1
        self.counters.bytes_in += len(payload)
        effect = client.session.handle(payload, self._clock())
        if effect is not None:
            self._perform(client, effect)

    def _perform(self, client: Client, effect: Effect) -> None:
        match effect:
            case Submit():
                self._submit(client, effect)
            case Reply():
                self.tell(client, effect.message)
            case Greet():
                self._greet(client, effect)
            case Enter():
                self._enter(client, effect)
            case Exit():
                self._exit(client, effect)
            case ReadHistory():
                self._read_history(client, effect)
            case Renew():
                self._renew(client, effect)
            case Report():
                note_seen(client.memberships, effect.seen, self._clock(), self.counters)

    def tell(self, client: Client, message: ServerMessage) -> None:
        """Say something to one client, if it is still there; a refusal counts all the same."""
        if isinstance(message, Refused):
            self.counters.refusals[message.code] += 1
        if not client.closing:
            client.push(framed(message, client.form))

    def _greet(self, client: Client, greet: Greet) -> None:
        """Identify the client and answer its hello, with its joins; raises `PeerError` when it may not come in."""
        greet, session = self._door.admit(client, greet, self._wall_clock(), self._clock()), client.session
        denied = self._crowd.greet(session.author, session.id, self._clock())
        if denied is not None:
            self._turn_away(client, denied)
            return
        self.clients[client] = None
        self._heartbeat.add(client)
        requests = [(place, request, self._feed(RoomName(request.room))) for place, request in greet.joins]
        finish = partial(self._welcome, greet)
        self.joins.ask(PendingJoins(client, requests, self._clock() + JOIN_WAIT_S, finish))

    def _turn_away(self, client: Client, denied: Denied) -> None:
        """Its user has too many connections, or makes them too fast."""
        reply = refused_by(denied)
        self.tell(client, reply)
        self.close(client, CloseCode.BUSY, reply.message)

    def _welcome(self, greet: Greet, pending: PendingJoins, answers: list[tuple[int, JoinAnswer]]) -> None:
        client = pending.client
        session = client.session
        session_text, guest_text = self._door.texts(session, self._wall_clock())
        welcome = Welcome(
            v=PROTOCOL_VERSION,
            server=self._settings.id,
            session=session_text,
            guest=guest_text,
            author=session.author,
            name=session.name,
            ping_ms=int(self._settings.ping_interval_s * 1000),
            joins=joins_in_order([*answers, *greet.refused]),
            expires_ms=life_left_ms(session, self._clock()),
        )
        client.push(framed(welcome, client.form))
        self.counters.handshake_seconds.observe(self._clock() - client.connected_at)
        self._catch_up(pending)
        if self._leaves_at is not None:
            # It was on its way in when the others were told to go.
            left_ms = max(0, int((self._leaves_at - self._clock()) * 1000))
            client.push(framed(Goaway(left_ms, 0), client.form))

    def _enter(self, client: Client, enter: Enter) -> None:
        room = RoomName(enter.request.room)
        denied = self._crowd.join(client.prefix, client.session.author, room, self._clock())
        if denied is not None:
            client.session.rooms.discard(room)
            self.tell(client, refused_by(denied, enter.n, room))
            return
        feed = self._feed(room)
        pending = PendingJoins(client, [(enter.n, enter.request, feed)], self._clock() + JOIN_WAIT_S, self._entered)
        self.joins.ask(pending)

    def _entered(self, pending: PendingJoins, answers: list[tuple[int, JoinAnswer]]) -> None:
        client = pending.client
        for _, answer in answers:
            self.tell(client, answer)
        self._catch_up(pending)

    def _catch_up(self, pending: PendingJoins) -> None:
        """Send what the joins promised; a blocked client's flusher does it when the socket takes more."""
        client = pending.client
        for _, _, feed in pending.requests:
            if feed.is_stale and feed.room in client.memberships:
                # Those who were there have been told when it became so.
                client.push(framed(Stale(feed.room, True), client.form))
        if not client.is_blocked and not client.closing:
            client.flush()

    def _renew(self, client: Client, renew: Renew) -> None:
        """Take a newer token; the client is taken out of rooms that it may not read under it."""
        reply, lost = self._door.refresh(client, renew.n, renew.token, self._wall_clock(), self._clock())
        self.tell(client, reply.message)
        for room in lost:
            client.session.rooms.discard(room)
            self._exit(client, Exit(room, Left(0, room)))

    def _exit(self, client: Client, effect: Exit) -> None:
        membership = client.memberships.get(effect.room)
        feed = self.feeds.get(effect.room)
        if membership is not None and feed is not None:
            feed.remove(membership)
        client.push(framed(effect.reply, client.form))

    # --- commands and questions -------------------------------------------------------------

    def _submit(self, client: Client, submit: Submit) -> None:
        command = submit.command
        answer = partial(self._on_outcome, client, submit.n, command)
        refusal = self._why_not(client, command)
        if refusal is None:
            refusal = self._router.publish(command, answer)
        if refusal is not None:
            answer(refusal)

    def _why_not(self, client: Client, command: PublishCommand) -> CommandRefused | None:
        """What this gateway itself holds against a command; None: the shard decides."""
        session = client.session
        if self._evictions and self._door.is_void(session):
            return CommandRefused(0, Refusal.TOKEN_REVOKED.kind.code, "")
        if not session.has_spoken and not self.control.lets_begin(command):
            return CommandRefused(0, Refusal.CUT_OFF.kind.code, "")
        denied = self._crowd.publish(client.prefix, session.author, RoomName(command.room), self._clock())
        if denied is not None:
            no = refused_by(denied)
            return CommandRefused(command.request, no.code, no.message, no.retry_after_ms)
        return None

    def _on_outcome(self, client: Client, n: int, command: PublishCommand, outcome: PublishAnswer) -> None:
        """Tell the sender how its command ended, if it is still there."""
        client.session.in_flight -= 1
        client.session.has_spoken |= isinstance(outcome, Committed)
        reply = outcome_of(outcome, n, command)
        self.counters.publishes[OUTCOMES[type(reply)]] += 1
        self.tell(client, reply)

    def _read_history(self, client: Client, effect: ReadHistory) -> None:
        answer = partial(self._on_range, client, effect.n, effect.question.room)
        refusal = self._router.read_range(effect.question, answer)
        if refusal is not None:
            answer(refusal)

    def _on_range(self, client: Client, n: int, room: str, answer: RangeAnswer) -> None:
        self.tell(client, range_of(answer, n, room, client.form))

    # --- revocations ----------------------------------------------------------------------------

    def follow_control(self) -> None:
        """Hear of revocations, from here on and of those that still matter."""
        self._router.open_feed(self.control)

    def _on_revoked(self, revoked: Sequence[tuple[Revocation, float]]) -> None:
        """One walk over all clients for all that one batch revokes: 15,000 of them take some 10 ms."""
        self._door.revoke(revoked, self._wall_clock())
        self._evictions.add(client for client in self.clients if self._door.is_void(client.session))
        self.evict_some()

    def evict_some(self) -> bool:
        """Close the next few of those who were revoked; whether there are more.  None of them may speak meanwhile."""
        for client, retry_after_ms in self._evictions.take():
            # Unless it went by itself, or has a newer token by now.
            if client.closing or not self._door.is_void(client.session):
                continue
            if retry_after_ms:
                client.push(framed(refused(Refusal.TOKEN_REVOKED, retry_after_ms=retry_after_ms), client.form))
            self.close(client, CloseCode.TOKEN_REVOKED, CLOSE_SENTENCES[CloseCode.TOKEN_REVOKED])
        return bool(self._evictions)

    # --- feeds --------------------------------------------------------------------------------

    def _feed(self, room: RoomName) -> Feed:
        feed = self.feeds.get(room)
        if feed is None or feed.state is FeedState.REFUSED:
            if feed is not None:
                self._close_feed(feed)
            feed = self.feeds[room] = Feed(room, self, self._clock)
            feed.counts_members = self._leaves_at is None
            self._router.open_feed(feed)
        return feed

    def _close_feed(self, feed: Feed) -> None:
        self._router.close_feed(feed)
        self.passes.forget(feed)
        self._repairing.pop(feed, None)
        del self.feeds[feed.room]

    def wake_pass(self, feed: Feed) -> None:
        self.passes.wake(feed)

    def on_attached(self, feed: Feed) -> None:
        self.joins.on_attached(feed)

    def reattach(self, feed: Feed) -> None:
        self.counters.reattaches += 1
        self._router.reattach(feed)

    def read_range(self, feed: Feed, question: RangeRead, answer: Callable[[RangeAnswer], None]) -> None:
        self.counters.repair_reads += 1
        self._repairing[feed] = None
        refusal = self._router.read_range(question, answer)
        if refusal is not None:
            answer(refusal)

    def _on_pass_over(self, feed: Feed) -> None:
        if feed.is_joinable:
            self.joins.on_joinable(feed)

    # --- leaving --------------------------------------------------------------------------------

    def start_drain(self, deadline_s: float) -> None:
        """From here on clients are counted where they go, and who still comes in is told to go on."""
        self._leaves_at = self._clock() + deadline_s
        for feed in self.feeds.values():
            feed.counts_members = False

    def start_flusher(self, client: Client) -> None:
        self._start_flusher(client)

    def on_too_slow(self, client: Client) -> None:
        self.counters.slow_closed += 1
        self.close(client, CloseCode.SLOW, "this reader fell too far behind; reconnect and resume")

    def on_transport_lost(self, client: Client) -> None:
        """The stream is dead: books at once; its reading task ends by itself."""
        self.forget(client)
        client.transport.close()

    def close(self, client: Client, code: CloseCode, reason: str) -> None:
        """Say goodbye: nothing follows but the close frame, and a deadline ends the waiting."""
        if client.closing:
            return
        self.forget(client)
        self.counters.closed[str(int(code))] += 1
        self._closing[client] = self._clock() + CLOSE_GRACE_S
        client.push(close_frame(code, reason))
        client.has_said_goodbye = True

    def forget(self, client: Client) -> None:
        """Take a client out of every book; idempotent."""
        client.closing = True
        for membership in list(client.memberships.values()):
            self.feeds[RoomName(membership.stream.room)].remove(membership)
        self._heartbeat.remove(client)
        self._door.forget(client)
        if client in self.clients:
            del self.clients[client]
            self._crowd.depart(client.session.author, client.session.id)

    def ended(self, client: Client) -> None:
        """The connection's task is over."""
        self.forget(client)
        self._closing.pop(client, None)

    # --- time -------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Four times a second: end what has waited long enough."""
        now = self._clock()
        self.joins.expire(now)
        for client in self._door.overdue(now):
            self.close(client, CloseCode.TOKEN_EXPIRED, CLOSE_SENTENCES[CloseCode.TOKEN_EXPIRED])
        for feed in [feed for feed in self._repairing if not feed.tick_repair()]:
            del self._repairing[feed]
        for client in [client for client, deadline in self._closing.items() if deadline <= now]:
            del self._closing[client]
            client.transport.abort()

    def tick_feeds(self) -> None:
        """Once a second: tell readers of rooms that nobody sure of itself speaks for, see who is here, let go of empty rooms."""
        now = self._clock()
        self._seen.tick(self.feeds.values(), int(now // 60))
        self._crowd.tick(now)
        for feed in list(self.feeds.values()):
            if now - feed.unsure_since >= STALE_AFTER_S:
                feed.mark_stale()
            if (
                feed.member_count() == 0
                and now - feed.empty_since >= self._settings.feed_linger_s
                and not self.joins.is_waited_for(feed)
            ):
                self._close_feed(feed)

    def tick_heartbeat(self) -> list[tuple[Client, bytes]]:
        """Once a second: end the silent; who is to be pinged now, with the frame to push."""
        due, silent = self._heartbeat.tick()
        for client in silent:
            self.counters.silent_closed += 1
            self.close(client, CloseCode.NO_PONG, "no answer to a ping; reconnect and resume")
        return [(client, self._pings[client.form]) for client in due]
