"""One shard, pure: messages of gateways and news of the journal in, effects out.

The facade of five parts that share one state: feeds.py (who listens), publishing.py (what is
written), loading.py (what is read), ownership.py (whose slots), shard_state.py (the table they share).  Every call is
synchronous, changes the state at once and answers what the world must do about it; the
server does that and comes back with the results.  Clocks are arguments: `now_s` never goes
back, `now_ms` is the wall's.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from broker.effects import Effect, Read
from broker.feeds import Feeds
from broker.hosted import LinkId
from broker.journal.protocol import CommitOutcome, Write
from broker.load_room import Arrived
from broker.loading import Loading
from broker.ownership import Ownership
from broker.publishing import Publishing
from broker.record import Entry
from broker.retention import Retention
from broker.room import Room
from broker.shard_state import Peer, ShardState
from runtime.metrics import BrokerCounters
from wire.codes import CloseCode, Refusal
from wire.errors import PeerError
from wire.limits import RELOAD_INTERVAL_S, ROOMS_LOADED_MAX
from wire.names import RoomName, Slot, Term
from wire.node_messages import (
    AnyNodeMessage,
    Attach,
    Attached,
    Batch,
    CommandRefused,
    Detach,
    HideFrames,
    Leaving,
    MapNews,
    Members,
    PublishCommand,
    Range,
    RangeRead,
    Sum,
)


class Shard:
    """See the module."""

    def __init__(
        self,
        *,
        store_id: str,
        random_bytes: Callable[[int], bytes],
        keep_events: int,
        keep_days: float = 0.0,
        counters: BrokerCounters,
        rooms_loaded_max: int = ROOMS_LOADED_MAX,
    ) -> None:
        """`store_id` is the journal's; `random_bytes` gives salts and epochs.

        `keep_events` is how many events of a room the journal keeps, `keep_days` for how long (0: whatever their age).
        """
        self.store_id = store_id
        self._state = ShardState(random_bytes, counters, rooms_loaded_max)
        self._feeds = Feeds(self._state)
        self._retention = Retention(self._state, keep_events, keep_days)
        self._publishing = Publishing(self._state, self._feeds, self._retention)
        self._loading = Loading(self._state, self._feeds, self._publishing, self._retention)
        self._ownership = Ownership(self._state, self._feeds, self._publishing)
        self._reload_at_s = 0.0
        counters.rooms_loaded = lambda: len(self._state.rooms)
        counters.feeds = lambda: sum(len(hosted.feeds) for hosted in self._state.rooms.values())
        counters.journal_available = lambda: not self._state.journal_away

    # --- what is going on -----------------------------------------------------------------------

    @property
    def map_version(self) -> int:
        return self._state.map_version

    @property
    def pending_bytes(self) -> int:
        """Bytes decided and not published, over all rooms."""
        return self._state.pending_bytes

    @property
    def journal_away(self) -> bool:
        return self._state.journal_away

    def tell_journal_away(self, is_away: bool) -> None:
        """Whether the journal can be reached: while it cannot, publishes are refused at once."""
        self._state.journal_away = is_away

    @property
    def is_draining(self) -> bool:
        return self._state.draining

    @property
    def has_writes(self) -> bool:
        """Whether `take_group` may have something to give."""
        return self._state.has_queued

    @property
    def is_settled(self) -> bool:
        """Nothing is decided and unpublished, nothing waits for a room or for the journal's word, no head is unverified."""
        rooms = self._state.rooms.values()
        return not self._state.pending_bytes and not any(
            hosted.waiting or hosted.unanswered or hosted.repair or hosted.unverified or hosted.is_deciding for hosted in rooms
        )

    # --- slots and links --------------------------------------------------------------------------

    @property
    def slots_owned(self) -> int:
        """Slots this shard has claimed and speaks for."""
        return len(self._state.terms)

    @property
    def is_claiming(self) -> bool:
        """Whether the map gives it slots that it does not speak for yet."""
        return bool(self._state.coming)

    @property
    def rooms_loaded(self) -> int:
        return len(self._state.rooms)

    def heard_of(self, map_version: int) -> None:
        """A peer follows this map: until ours is as new, questions about slots that are not ours wait for it."""
        self._ownership.heard_of(map_version)

    def follow(self, mine: Sequence[Slot], map_version: int) -> tuple[list[Slot], list[Effect]]:
        """A newer map gives this shard the slots `mine`: those to claim, and what releasing the others asks for.

        Between two groups only.
        """
        gained = self._ownership.follow(mine, map_version)
        return gained, self._state.take_effects()

    def own(self, terms: Mapping[Slot, Term], now_s: float) -> list[Effect]:
        """Slots that `follow` answered were claimed for this shard, under these terms."""
        self._ownership.own(terms, now_s)
        return self._state.take_effects()

    def on_claim_refused(self, slots: Sequence[Slot]) -> list[Effect]:
        """Slots that `follow` answered are another shard's by a newer map."""
        self._ownership.not_ours(slots)
        return self._state.take_effects()

    def link_opened(self, link: LinkId, node: str) -> None:
        self._state.links[link] = Peer(node)

    def link_closed(self, link: LinkId) -> None:
        self._feeds.link_closed(link)

    def on_message(self, link: LinkId, message: AnyNodeMessage, now_s: float, now_ms: int) -> list[Effect]:
        """One message of a gateway; raises `PeerError` for one that is not a gateway's to send."""
        if isinstance(message, PublishCommand):
            self._publishing.publish(link, message, now_s, now_ms)
        elif isinstance(message, Attach):
            self._feeds.attach(link, message, now_s, now_ms)
        elif isinstance(message, RangeRead):
            self._loading.read_range(link, message)
        elif isinstance(message, Detach):
            self._feeds.detach(link, message)
        elif isinstance(message, Members):
            self._feeds.report_members(link, message, now_s)
        elif isinstance(message, MapNews):
            self._ownership.heard_of(message.map_version)
        else:
            raise PeerError(CloseCode.BAD_REQUEST, f"{type(message).__name__} is not for a shard")
        return self._state.take_effects()

    def on_undelivered(self, link: LinkId, message: Batch | HideFrames | Attached | Sum | Range) -> list[Effect]:
        """The link was too full for this; it is answered in fewer bytes, or again when the link has room."""
        if link in self._state.links:
            if isinstance(message, Range):
                busy = Refusal.BUSY.kind
                refusal = CommandRefused(message.request, busy.code, busy.sentence, busy.retry_after_ms)
                self._state.send(link, refusal)
            else:
                self._feeds.on_undelivered(link, message)
        return self._state.take_effects()

    def is_behind(self, link: LinkId) -> bool:
        """Whether feeds of this link wait for it to empty."""
        peer = self._state.links.get(link)
        return peer is not None and bool(peer.behind)

    def on_room_again(self, link: LinkId) -> list[Effect]:
        """A link that was behind has emptied."""
        self._feeds.on_room_again(link)
        return self._state.take_effects()

    def tick(self, now_s: float, now_ms: int) -> list[Effect]:
        """To be called SIGNALS_PER_S_MAX times a second: sums, loads that failed, questions that waited too long for an owner."""
        self._feeds.tick(now_s)
        self._ownership.tick()
        self._retention.tick(now_s, now_ms)
        if now_s >= self._reload_at_s:
            self._reload_at_s = now_s + RELOAD_INTERVAL_S
            self._publishing.reload_suspended()
        return self._state.take_effects()

    def leave(self) -> list[Effect]:
        """Begin to drain: nothing new is begun, what is under way is answered."""
        self._state.draining = True
        for link in self._state.links:
            self._state.send(link, Leaving())
        return self._state.take_effects()

    # --- the journal ------------------------------------------------------------------------------

    def take_group(self) -> list[Write]:
        """The writes of the next group commit; the caller commits one group at a time."""
        return self._publishing.take_group()

    def on_outcomes(
        self, writes: Sequence[Write], outcomes: Sequence[CommitOutcome], now_s: float, now_ms: int
    ) -> list[Effect]:
        """The journal's verdict on a group; when it fenced any, `on_claimed_back` or `on_slots_lost` must be next."""
        self._publishing.on_outcomes(writes, outcomes, now_s, now_ms)
        return self._state.take_effects()

    def on_unknown(self, writes: Sequence[Write], nothing_done: bool = False) -> tuple[set[Slot], list[Effect]]:
        """The outcome of a group is unknown: the slots to claim, before anything else of the journal.

        `nothing_done`: it is known that nothing of it was written, so its publishers need not wait to hear that.
        """
        slots = self._publishing.on_unknown(writes, nothing_done)
        return slots, self._state.take_effects()

    def on_reclaimed(self, terms: Mapping[Slot, Term]) -> list[Effect]:
        """The slots of an unknown outcome were claimed again: every late write is fenced."""
        self._state.terms.update(terms)
        self._publishing.on_reclaimed()
        return self._state.take_effects()

    def on_claimed_back(self, terms: Mapping[Slot, Term]) -> list[Effect]:
        """Fenced slots were claimed again: by the newest map they are this shard's."""
        self._state.terms.update(terms)
        self._publishing.claim_back(terms)
        return self._state.take_effects()

    def on_slots_lost(self, slots: set[Slot]) -> list[Effect]:
        """The slots of an unknown outcome, or of a fence, are another shard's by a newer map."""
        self._publishing.release(slots)
        self._publishing.on_reclaimed()
        return self._state.take_effects()

    def room_before(self, name: RoomName) -> Room | None:
        """What a room that is loaded again was before: it stands still until it has arrived, so another thread may read it."""
        hosted = self._state.rooms.get(name)
        return hosted.room if hosted is not None else None

    def on_loaded(self, arrived: Arrived, now_s: float, now_ms: int) -> list[Effect]:
        """The answer to `Load`: the room as `arrive` made it.  What waited for it is taken up in order."""
        hosted = self._loading.on_loaded(arrived, now_ms)
        effects = self._state.take_effects()
        if hosted is not None:
            waiting = list(hosted.waiting)
            hosted.waiting.clear()
            for link, question in waiting:
                if link in self._state.links:
                    effects += self.on_message(link, question, now_s, now_ms)
        return effects

    def verify_heads(self) -> int:
        """The journal may have forgotten something: verify every loaded room's head; answers how many that are."""
        return self._publishing.verify(self._state.terms)

    def speaks_beyond(self, slots: Collection[Slot]) -> bool:
        """Whether rooms are here that lie in none of these slots."""
        here = set(slots)
        return any(hosted.slot not in here for hosted in self._state.rooms.values())

    def owes_the_journal(self, slots: Collection[Slot]) -> bool:
        """Whether a room that lies in none of these slots is unverified, or is being written again."""
        here = set(slots)
        rooms = self._state.rooms.values()
        return any(hosted.slot not in here and (hosted.unverified or hosted.repair is not None) for hosted in rooms)

    def on_retained(self, room: RoomName, first_kept: int) -> list[Effect]:
        """The answer to `Retain`."""
        self._retention.on_retained(room, first_kept)
        return self._state.take_effects()

    def on_load_failed(self, room: RoomName) -> list[Effect]:
        self._loading.on_load_failed(room)
        return self._state.take_effects()

    def on_read(self, read: Read, entries: Sequence[Entry]) -> list[Effect]:
        """The answer to `Read`."""
        self._loading.on_read(read, entries)
        return self._state.take_effects()

    def on_read_failed(self, read: Read) -> list[Effect]:
        self._loading.on_read_failed(read)
        return self._state.take_effects()

    def on_read_refused(self, read: Read) -> list[Effect]:
        self._loading.on_read_refused(read)
        return self._state.take_effects()
