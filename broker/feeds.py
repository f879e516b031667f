"""Who listens: attaching gateways, sending them what was published, counting whom they have.

A feed receives batches that continue one another without a gap, or is told to attach again:
when its link was full, when the epoch ended.  Nothing is sent to it in between, so a slow
gateway costs its own link's bound and no more.
"""

from broker.hosted import Feed, Hosted, LinkId, Phase
from broker.presence import NEVER_ANNOUNCED
from broker.record import CHAIN_PREFIX_BYTES
from broker.room import DIVERGED, FORGOTTEN, Room
from broker.shard_state import ShardState
from broker.verdicts import Published
from wire.codes import Refusal
from wire.limits import MEMBERS_SUM_EXPIRES_S, SEEN_REGISTERS_PER_TICK_MAX
from wire.names import Epoch, RoomName, parse_room
from wire.node_messages import (
    PRESENT_NOT_KNOWN_YET,
    Attach,
    Attached,
    AttachRefused,
    Batch,
    Detach,
    HideFrames,
    Members,
    Moved,
    NodeFrame,
    Reattach,
    Sum,
)

# A gateway that asks again after this finds the epoch ended: a commit takes milliseconds.
ENDING_EPOCH_RETRY_MS = 200
# After a takeover nothing is announced until the gateways have had time to report: half of
# a crowd, announced, reads like half the crowd leaving (DESIGN, section 10).
SUMS_QUIET_S = 3.0
# What an estimate costs whatever the room, in registers: 13 us, and 2.3 ms for all 2048.
ESTIMATE_REGISTERS_MIN = 20


class Feeds:
    """The listening side of a shard; see the module."""

    __slots__ = ("_estimates", "_estimates_minute", "_quiet_until_s", "_state", "_sums_expire_s", "_sums_news")

    def __init__(self, state: ShardState) -> None:
        self._state = state
        self._sums_news: dict[RoomName, None] = {}
        """Rooms whose sum may differ from the announced one; looked at every tick."""
        self._estimates: dict[RoomName, None] = {}
        """Rooms whose people are to be counted again, in turn."""
        self._estimates_minute = -1
        self._sums_expire_s = 0.0
        self._quiet_until_s = 0.0

    def took_over(self, now_s: float) -> None:
        """Slots were taken over: gateways will attach and report within the next seconds."""
        self._quiet_until_s = now_s + SUMS_QUIET_S

    # --- attaching ----------------------------------------------------------------------------

    def attach(self, link: LinkId, message: Attach, now_s: float, now_ms: int) -> None:
        state = self._state
        name = parse_room(message.room)
        if name is None:
            state.refuse(link, message, Refusal.BAD_ROOM)
            return
        hosted = state.open_room(link, name, message)
        if hosted is None:
            return
        room = hosted.room
        if room is None:
            state.wait(link, hosted, message)
            return
        if room.is_ending_epoch:
            state.refuse(link, message, Refusal.UNAVAILABLE, ENDING_EPOCH_RETRY_MS)
            return
        continuation = room.continue_from(message.epoch, message.offset, message.chain)
        if continuation is None:
            is_beyond = message.epoch != room.head.epoch or message.offset > room.head.offset
            self._end_epoch(hosted, room, message, FORGOTTEN if is_beyond else DIVERGED, now_ms)
            state.refuse(link, message, Refusal.UNAVAILABLE, ENDING_EPOCH_RETRY_MS)
            return
        peer = state.links[link]
        state.counters.attaches += 1
        hosted.feeds[link] = Feed(message.generation)
        peer.rooms[name] = None
        peer.behind.pop(name, None)
        hosted.sums.report(peer.node, message.members, now_s)
        self._sums_news[name] = None
        state.settle(hosted)
        state.send(
            link,
            Attached(
                room=name,
                generation=message.generation,
                term=state.terms[hosted.slot],
                epoch=room.head.epoch,
                offset=room.head.offset,
                since=continuation.since,
                chain=room.head.chain[:CHAIN_PREFIX_BYTES],
                resumed=continuation.resumed,
                reason=continuation.reason,
                frames=continuation.frames,
                present=PRESENT_NOT_KNOWN_YET if now_s < self._quiet_until_s else hosted.sums.total,
                seen_5m=hosted.uniques.last_5m,
                seen_60m=hosted.uniques.last_60m,
            ),
        )

    def _end_epoch(self, hosted: Hosted, room: Room, message: Attach, reason: str, now_ms: int) -> None:
        """A gateway has seen what the journal does not have: the log goes on as another one.

        Not while a commit's outcome is open: the reload that follows judges for itself.
        """
        if hosted.phase is Phase.SERVING and not self._state.journal_away:
            if message.epoch != room.head.epoch:
                # Whoever names it again is told where the room is now, and ends nothing more.
                room.remember_past([Epoch(message.epoch)])
            self._state.end_epoch(hosted, room, reason, now_ms)

    def detach(self, link: LinkId, message: Detach) -> None:
        """Close a feed; one that was opened again since (another generation) stays."""
        hosted = self._state.rooms.get(RoomName(message.room))
        feed = hosted.feeds.get(link) if hosted is not None else None
        if hosted is not None and feed is not None and feed.generation == message.generation:
            self._remove(link, hosted)
            hosted.sums.forget(self._state.links[link].node)
            self._sums_news[hosted.name] = None

    def link_closed(self, link: LinkId) -> None:
        """The gateway is gone, or comes back over another link; its sums stay until they expire."""
        peer = self._state.links[link]
        for name in list(peer.rooms):
            hosted = self._state.rooms.get(name)
            if hosted is not None:
                self._remove(link, hosted)
        del self._state.links[link]

    def _remove(self, link: LinkId, hosted: Hosted) -> None:
        peer = self._state.links[link]
        hosted.feeds.pop(link, None)
        peer.rooms.pop(hosted.name, None)
        peer.behind.pop(hosted.name, None)
        self._state.settle(hosted)

    # --- sending ------------------------------------------------------------------------------

    def spread(self, hosted: Hosted, published: Published) -> None:
        """Send what a commit has published to every gateway that listens."""
        if published.new_epoch:
            self.reattach_all(hosted)
        else:
            self.spread_frames(hosted, published.frames, published.hides)

    def spread_frames(self, hosted: Hosted, frames: list[NodeFrame], hides: list[NodeFrame]) -> None:
        """Frames that continue what the feeds have, and tombstones of what they have already."""
        state, room = self._state, hosted.room
        assert room is not None, "what was published has a room"
        chain = room.head.chain[:CHAIN_PREFIX_BYTES]
        for link, feed in hosted.feeds.items():
            if feed.behind:
                continue
            if hides:
                state.send(link, HideFrames(hosted.name, feed.generation, hides))
            if frames:
                state.counters.batches += 1
                state.send(link, Batch(hosted.name, feed.generation, chain, frames))

    def reattach_all(self, hosted: Hosted) -> None:
        """Positions of this room are void, or cannot be continued: everyone asks again."""
        for link in list(hosted.feeds):
            self._reattach(link, hosted)

    def _reattach(self, link: LinkId, hosted: Hosted) -> None:
        feed = hosted.feeds[link]
        self._remove(link, hosted)
        self._state.send(link, Reattach(hosted.name, feed.generation))

    def send_moved_all(self, hosted: Hosted) -> None:
        """Another shard speaks for the room now."""
        for link, feed in hosted.feeds.items():
            self._state.send(link, Moved(hosted.name, self._state.map_version, generation=feed.generation))

    def on_undelivered(self, link: LinkId, message: Batch | HideFrames | Attached | Sum) -> None:
        """The link was too full for a message that can be had again: note it, or say it in fewer bytes."""
        state = self._state
        hosted = state.rooms.get(RoomName(message.room))
        feed = hosted.feeds.get(link) if hosted is not None else None
        if hosted is None or feed is None or feed.generation != message.generation:
            return
        if isinstance(message, Sum):
            # Told to nobody in particular: the next tick tells it to all, four times a second at most.
            hosted.sums.announced = NEVER_ANNOUNCED
            self._sums_news[hosted.name] = None
        elif isinstance(message, Attached):
            self._remove(link, hosted)
            busy = Refusal.BUSY.kind
            state.send(link, AttachRefused(message.room, message.generation, busy.code, busy.sentence, busy.retry_after_ms))
        elif not feed.behind:
            feed.behind = True
            state.links[link].behind[hosted.name] = None

    def on_room_again(self, link: LinkId) -> None:
        """The link has emptied: the feeds that fell behind may attach again."""
        peer = self._state.links[link]
        self._state.counters.reattaches += len(peer.behind)
        for name in list(peer.behind):
            self._reattach(link, self._state.rooms[name])

    # --- sums -----------------------------------------------------------------------------------

    def report_members(self, link: LinkId, message: Members, now_s: float) -> None:
        """A gateway's head counts; counts of rooms that it is not attached to are nobody's."""
        state = self._state
        peer = state.links[link]
        for name, members in message.counts:
            hosted = state.rooms.get(RoomName(name))
            if hosted is not None and link in hosted.feeds:
                hosted.sums.report(peer.node, members, now_s)
                if hosted.sums.is_news:
                    self._sums_news[hosted.name] = None
        for name, seen in message.seen:
            hosted = state.rooms.get(RoomName(name))
            if hosted is not None and link in hosted.feeds and hosted.uniques.hear(seen, now_s):
                self._estimates[hosted.name] = None

    def tick(self, now_s: float) -> None:
        """Announce the sums that changed; called SIGNALS_PER_S_MAX times a second, which is the bound per room."""
        state = self._state
        if now_s >= self._sums_expire_s:
            self._sums_expire_s = now_s + MEMBERS_SUM_EXPIRES_S / 3
            for hosted in state.rooms.values():
                if hosted.sums:
                    hosted.sums.expire(now_s)
                    if hosted.sums.is_news:
                        self._sums_news[hosted.name] = None
        self._estimate(now_s)
        if now_s < self._quiet_until_s:
            return
        news, self._sums_news = self._sums_news, {}
        for name in news:
            announced = state.rooms.get(name)
            if announced is None or not announced.sums.is_news:
                continue
            announced.sums.announced = announced.sums.total
            seen = (announced.uniques.last_5m, announced.uniques.last_60m)
            for link, feed in announced.feeds.items():
                if not feed.behind:
                    state.send(link, Sum(name, feed.generation, announced.sums.total, *seen))

    def _estimate(self, now_s: float) -> None:
        """Count the people of some rooms again: those that were heard of, and all of them once a minute."""
        state = self._state
        minute = int(now_s // 60)
        if minute != self._estimates_minute:
            self._estimates_minute = minute
            self._estimates |= dict.fromkeys(name for name, hosted in state.rooms.items() if hosted.uniques)
        left = SEEN_REGISTERS_PER_TICK_MAX
        for name in list(self._estimates):
            if left <= 0:
                break
            hosted = state.rooms.get(name)
            if hosted is not None and not hosted.uniques.is_due(now_s):
                continue
            del self._estimates[name]
            if hosted is not None:
                left -= ESTIMATE_REGISTERS_MIN + len(hosted.uniques)
                if hosted.uniques.estimate(now_s):
                    hosted.sums.announced = NEVER_ANNOUNCED
                    self._sums_news[name] = None
