"""One shard as a router sees it: its link, kept open for ever, and what goes over it.

One task owns the link (`run`).  What arrives is dispatched in that task, synchronously, with one or
two dict look-ups a message; what is sent is queued on the link by whoever calls.  Only what cannot
be sent at once (no link, or a full one) waits here, and a helper task sends it as room appears, in
this order: news of a map, requests as they were asked, detaches, attaches: people wait for answers.

While there is no link, or the shard is leaving, requests wait for the next one.
"""

from collections.abc import Callable
from typing import Any, Protocol

import trio

from runtime.backoff import Backoff
from runtime.link import Link
from shard_router.alarms import Alarms
from shard_router.attachment import Attachment, Phase
from shard_router.link_opener import LinkOpener, LinkParts
from shard_router.map_talk import MapFollower, MapTalk
from shard_router.reports import Reports
from shard_router.requests import Answer, PublishRequest, Request, RequestTable, is_temporary
from wire.codes import REFUSAL_BY_CODE, CloseCode, Refusal
from wire.errors import PeerError
from wire.limits import (
    ATTACH_AGAIN_S,
    LINK_DEAD_AFTER_S,
    LINK_RETRY_BASE_S,
    LINK_RETRY_CAP_S,
    MOVED_RETRY_S,
    PUBLISH_WAIT_S,
)
from wire.names import RoomName, ShardId
from wire.node_messages import (
    AnyNodeMessage,
    Attached,
    AttachRefused,
    Batch,
    CommandRefused,
    Committed,
    Detach,
    Doubt,
    HideFrames,
    Leaving,
    MapNews,
    Moved,
    OutcomeUnknown,
    Range,
    Reattach,
    Sum,
)

# How long what did not fit waits before the next try: at 4 MiB of a full link, 400 MB a second.
_PUMP_RETRY_S = 0.01
_DRAINING = Refusal.DRAINING.kind.code


class ChannelOwner(MapFollower, Protocol):
    """What a channel tells its router."""

    def on_link_broken(self, shard: ShardId) -> None:
        """A link ended that neither side meant to end: the shard may be gone."""

    def on_moved(self, channel: "ShardChannel", request: Request) -> None:
        """The shard does not own the room of this request (any more), and did not carry it out."""

    def on_link_lost(self, channel: "ShardChannel") -> None:
        """All requests of the channel wait again; some may belong to another shard by now."""


class ShardChannel:
    """Requests are bounded by their table, attachments by the gateway's feeds."""

    def __init__(self, shard: ShardId, owner: ChannelOwner, parts: LinkParts) -> None:
        self.shard = shard
        self.requests = RequestTable()
        self.attachments: dict[RoomName, Attachment] = {}
        self.link: Link | None = None
        self.is_leaving = False
        self._owner = owner
        self._parts = parts
        self._down_since = trio.current_time()
        self._opener = LinkOpener(shard, parts)
        self._scope = trio.CancelScope()
        self._to_detach: dict[RoomName, int] = {}
        """Rooms, with their generation, whose detach found the link full; bounded by the rooms that were attached."""
        self._to_attach: dict[RoomName, Attachment] = {}
        self._stuck = trio.Event()
        self._alarms = Alarms(parts.generations)
        self._reports = Reports()
        self._in_doubt = False
        """Whether the shard said so on the present link."""
        self._map_talk = MapTalk(owner)
        self._receivers: dict[type[AnyNodeMessage], Callable[[Any], None]] = {
            Batch: self._on_batch,
            Committed: self._on_answer,
            CommandRefused: self._on_answer,
            OutcomeUnknown: self._on_answer,
            Range: self._on_answer,
            Attached: self._on_attached,
            AttachRefused: self._on_attach_refused,
            HideFrames: self._on_hide,
            Reattach: self._on_reattach,
            Sum: self._on_sum,
            Moved: self._on_moved,
            Leaving: self._on_leaving,
            MapNews: self._on_map_news,
            Doubt: self._on_doubt,
        }

    # --- requests --------------------------------------------------------------------------------

    def submit(self, request: Request, now: float) -> Refusal | None:
        """Send a request, or keep it for the link to come; a refusal when neither can be done."""
        requests = self.requests
        if not requests.takes(request):
            return Refusal.BUSY
        link = self.link
        if link is None or link.is_closed:
            if now - self._down_since > PUBLISH_WAIT_S and link is None:
                return Refusal.UNAVAILABLE
            requests.add_waiting(request)
        elif self.is_leaving or requests.has_waiting:
            requests.add_waiting(request)
        elif link.send_nowait(request.message):
            requests.add_sent(request)
        else:
            return Refusal.BUSY
        return None

    # --- feeds -------------------------------------------------------------------------------------

    def attach(self, attachment: Attachment) -> None:
        """Take a feed in, and ask for its room as soon as the link allows."""
        self.attachments[attachment.room] = attachment
        self._to_attach[attachment.room] = attachment
        self.push()

    def attach_again(self, attachment: Attachment, delay_s: float) -> None:
        """Hear nothing more for this feed, and ask from its position in `delay_s`, or sooner on a new link."""
        attachment.wait()
        attachment.feed.on_detached()
        if delay_s > 0:
            self._alarms.set(attachment, trio.current_time() + delay_s)
        else:
            self.attach(attachment)

    def reattach(self, attachment: Attachment) -> None:
        """The feed has lost continuity: one more attach, unless one is under way; at most one each ATTACH_AGAIN_S."""
        if attachment.phase is Phase.LIVE or attachment.phase is Phase.REFUSED:
            self.attach_again(attachment, attachment.asked_at + ATTACH_AGAIN_S - trio.current_time())

    def release(self, attachment: Attachment) -> None:
        """Let a feed go; the shard is told, if it knows of it."""
        self.attachments.pop(attachment.room, None)
        self._to_attach.pop(attachment.room, None)
        if attachment.generation and self.link is not None:
            self._to_detach[attachment.room] = attachment.generation
            self.push()
        attachment.forgotten()

    # --- time ----------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Give up what is late, ask again for what is due, report members.  Called by the router's one timer."""
        self.give_up_late(now)
        for attachment in self._alarms.due(now):
            self.attach_again(attachment, 0)
        self._reports.tick(self.link, self.attachments.values(), now)

    def give_up_late(self, now: float) -> None:
        """Answer every request whose deadline has passed."""
        for request, was_sent in self.requests.expire(now):
            self._parts.counters.given_up += 1
            request.give_up(was_sent)

    def tell_map(self) -> None:
        """Another map is followed from here on: the shard hears of it before anything is attached under it."""
        self._map_talk.on_map(self.link)
        if self.link is not None and not self._map_talk.push(self.link):
            self._stuck.set()

    # --- what waits for room on the link ----------------------------------------------------------------

    def push(self) -> None:
        """Send what waits; what does not fit is left to the helper task."""
        if not self._pump():
            self._stuck.set()

    def _pump(self) -> bool:
        """Send as much as the link takes of all that waits; False when it is full before all is sent."""
        link = self.link
        if link is None:
            return True
        if not self._map_talk.push(link):
            return False
        if not self.is_leaving:
            while (request := self.requests.first_waiting()) is not None:
                if not link.send_nowait(request.message):
                    return False
                self._parts.counters.resent += isinstance(request, PublishRequest) and request.links_lost > 0
                self.requests.mark_sent(request)
        while self._to_detach:
            room, generation = next(iter(self._to_detach.items()))
            if not link.send_nowait(Detach(room, generation)):
                return False
            del self._to_detach[room]
        while self._to_attach and not self.is_leaving:
            attachment = next(iter(self._to_attach.values()))
            question = attachment.question(next(self._parts.generations))
            if not link.send_nowait(question):
                return False
            del self._to_attach[attachment.room]
            now = trio.current_time()
            attachment.asked(question, now)
            # A reply that never comes must not leave a room silent for ever.
            self._alarms.set(attachment, now + PUBLISH_WAIT_S)
            self._parts.counters.attaches += 1
        return True

    async def _pump_when_stuck(self) -> None:
        while True:
            await self._stuck.wait()
            self._stuck = trio.Event()
            while not self._pump():  # noqa: ASYNC110 -- it is the link's buffer that is polled, and only while it is full
                await trio.sleep(_PUMP_RETRY_S)

    # --- the link's life -----------------------------------------------------------------------------------

    def retire(self) -> None:
        """The shard is not in the map any more: end `run`, and with it the link."""
        self._scope.cancel()

    async def run(self) -> None:
        """Keep a link to the shard, until retired; each attempt after a pause with full jitter."""
        parts = self._parts
        backoff = Backoff(parts.rng, LINK_RETRY_BASE_S, LINK_RETRY_CAP_S)
        self._down_since = trio.current_time()
        with self._scope:
            while True:
                link = await self._opener.open()
                if link is not None:
                    opened_at = trio.current_time()
                    parts.log.info("link_opened", shard=self.shard, peer=link.peer_node, map_version=link.peer_map_version)
                    reason = await self._serve(link)
                    parts.log.warning("link_lost", shard=self.shard, reason=reason)
                    # A shard that lets us in and drops us at once is knocked at as rarely as one that is not there.
                    if trio.current_time() - opened_at >= LINK_DEAD_AFTER_S:
                        backoff.reset()
                await trio.sleep(backoff.next_delay())

    async def _serve(self, link: Link) -> str:
        """Use the link until it ends; answers why.  Owns the helper task that sends what did not fit."""
        self.link = link
        self.is_leaving = self._in_doubt = False
        self._map_talk.on_link(link)
        self._parts.counters.links_opened += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump_when_stuck)
                self._to_attach = {room: each for room, each in self.attachments.items() if each.phase is not Phase.REFUSED}
                self.push()
                try:
                    reason = await link.run(self._receive)
                    if not self.is_leaving:
                        self._owner.on_link_broken(self.shard)
                except PeerError as error:
                    self._parts.counters.protocol_errors += 1
                    reason = error.message
                nursery.cancel_scope.cancel()
        finally:
            self._lose_link()
        return reason

    def _lose_link(self) -> None:
        """Books of a lost link: everything waits for the next one; feeds and hopeless requests are told."""
        self.link = None
        self.is_leaving = False
        self._down_since = trio.current_time()
        self._parts.counters.links_lost += 1
        self._to_detach.clear()
        self._to_attach.clear()
        given_up = self.requests.lose_link()
        detached = list(self.attachments.values())
        for attachment in detached:
            attachment.forgotten()
        self._owner.on_link_lost(self)
        for request in given_up:
            self._parts.counters.given_up += 1
            request.give_up(was_sent=True)
        for attachment in detached:
            if attachment.phase is not Phase.REFUSED:
                attachment.feed.on_detached()

    # --- what the shard says ------------------------------------------------------------------------------------

    def _receive(self, message: AnyNodeMessage) -> None:
        receiver = self._receivers.get(type(message))
        if receiver is None:
            raise PeerError(CloseCode.BAD_REQUEST, f"{type(message).__name__} from a shard")
        receiver(message)

    def _listener(self, room: str, generation: int) -> Attachment | None:
        """The feed that a message is for; None, counted, if it belongs to an attach that has been replaced."""
        attachment = self.attachments.get(RoomName(room))
        if attachment is not None and attachment.listening == generation != 0:
            return attachment
        self._parts.counters.stale_messages += 1
        return None

    def _on_batch(self, message: Batch) -> None:
        if (attachment := self._listener(message.room, message.generation)) is not None:
            attachment.feed.on_batch(message)

    def _on_answer(self, message: Answer) -> None:
        request = self.requests.take(message.request)
        if request is None:
            self._parts.counters.late_answers += 1
        elif self.is_leaving and isinstance(message, CommandRefused) and message.code == _DRAINING:
            # It crossed the shard's farewell on the way: not carried out, so it waits for the next link.
            self.requests.adopt([request])
        else:
            request.resolve(message)

    def _on_attached(self, message: Attached) -> None:
        if (attachment := self._listener(message.room, message.generation)) is not None:
            attachment.settled(Phase.LIVE)
            attachment.feed.on_doubt(self._in_doubt)
            attachment.feed.on_attached(message)

    def _on_attach_refused(self, message: AttachRefused) -> None:
        """Temporary: ask again after the advice and up to as long again, so that gateways do not come together."""
        attachment = self._listener(message.room, message.generation)
        if attachment is None:
            return
        self._parts.counters.attaches_refused += 1
        if is_temporary(message.code):
            usual = REFUSAL_BY_CODE.get(message.code, Refusal.INTERNAL).kind.retry_after_ms
            advice_s = (message.retry_after_ms or usual) / 1000
            self.attach_again(attachment, self._parts.rng.uniform(advice_s, 2 * advice_s))
        else:
            attachment.settled(Phase.REFUSED)
            attachment.feed.on_attach_refused(message)

    def _on_hide(self, message: HideFrames) -> None:
        if (attachment := self._listener(message.room, message.generation)) is not None:
            attachment.feed.on_hide(message)

    def _on_reattach(self, message: Reattach) -> None:
        if (attachment := self._listener(message.room, message.generation)) is not None:
            self.reattach(attachment)

    def _on_sum(self, message: Sum) -> None:
        if (attachment := self._listener(message.room, message.generation)) is not None:
            attachment.feed.on_sum(message)

    def _on_moved(self, message: Moved) -> None:
        """The room has another owner: the directory will say which, or this shard is asked again in a moment."""
        self._parts.counters.moved += 1
        self._owner.on_map_heard(message.map_version)
        if message.request and (request := self.requests.take(message.request)) is not None:
            self._owner.on_moved(self, request)
        if message.generation and (attachment := self._listener(message.room, message.generation)) is not None:
            self.attach_again(attachment, MOVED_RETRY_S)

    def _on_leaving(self, message: Leaving) -> None:
        """From here on requests and attaches wait for the next link; answers and batches still come."""
        self.is_leaving = True
        self._parts.log.info("shard_leaving", shard=self.shard, unanswered=len(self.requests))

    def _on_map_news(self, message: MapNews) -> None:
        self._owner.on_map_heard(message.map_version)

    def _on_doubt(self, message: Doubt) -> None:
        """The shard's lease has lapsed, or is good again.  Feeds without an attach hear of it before the reply."""
        self._in_doubt = message.is_lapsed
        self._parts.log.info("shard_in_doubt", shard=self.shard, is_lapsed=message.is_lapsed)
        for attachment in self.attachments.values():
            if attachment.phase is Phase.LIVE:
                attachment.feed.on_doubt(message.is_lapsed)
