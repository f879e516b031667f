"""What the parts of one shard share: its rooms, links, slots and the effects of the call under way.

A table with its invariants, no decisions: feeds.py, publishing.py and loading.py decide.
Rooms in memory are bounded: beyond `rooms_loaded_max` the one that nobody has used for the
longest leaves; a room that is attached, pending, loading or suspended never does.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from broker.effects import Effect, EpochEnded, Load, Send
from broker.epoch import EPOCH_BYTES, epoch_of
from broker.hosted import Hosted, LinkId, Phase, Question
from broker.record import SALT_BYTES
from broker.room import Room
from runtime.metrics import BrokerCounters
from shard_router.slots import slot_of
from wire.codes import Refusal
from wire.limits import LOADING_COMMANDS_MAX, ROOMS_LOADED_MAX, ROOMS_LOADING_MAX
from wire.names import RoomName, Slot, Term
from wire.node_messages import Attach, AttachRefused, CommandRefused, Moved, NodeMessage


@dataclass(slots=True)
class Peer:
    """One open link.  `rooms` are those it is attached to; `behind` those that wait for a `Reattach`.

    Dicts used as sets, here and in feeds.py: a set of names is walked in an order that changes
    from process to process, and a simulation could not be replayed.
    """

    node: str
    rooms: dict[RoomName, None] = field(default_factory=dict)
    behind: dict[RoomName, None] = field(default_factory=dict)


class ShardState:
    """See the module."""

    def __init__(
        self,
        random_bytes: Callable[[int], bytes],
        counters: BrokerCounters,
        rooms_loaded_max: int = ROOMS_LOADED_MAX,
    ) -> None:
        self.random_bytes = random_bytes
        self.rooms_loaded_max = rooms_loaded_max
        self.rooms: dict[RoomName, Hosted] = {}
        self.links: dict[LinkId, Peer] = {}
        self.terms: dict[Slot, Term] = {}
        """The slots this shard speaks for, each with its fencing number."""
        self.map_version = 0
        """Of the slot map this shard follows."""
        self.newest_heard = 0
        """The newest map that a peer has spoken of; above `map_version` while ours is on its way."""
        self.coming: set[Slot] = set()
        """Slots that the map gives to this shard and that are being claimed."""
        self.held: dict[RoomName, None] = {}
        """Rooms that wait until it is known whether their slot is ours; at most ROOMS_LOADING_MAX."""
        self.journal_away = False
        """Set by an unknown outcome, cleared by the claim that follows: until then nothing is decided."""
        self.draining = False
        self.pending_bytes = 0
        """Bytes decided and not published, over all rooms."""
        self.rooms_loading = 0
        self.counters = counters
        self._dirty: deque[Hosted] = deque()
        self._unverified: OrderedDict[RoomName, None] = OrderedDict()
        """Rooms whose head is to be verified next; at most as many as were loaded when that was asked for."""
        self._idle: OrderedDict[RoomName, None] = OrderedDict()
        self._effects: list[Effect] = []

    # --- effects ------------------------------------------------------------------------------

    def do(self, effect: Effect) -> None:
        self._effects.append(effect)

    def send(self, link: LinkId, message: NodeMessage) -> None:
        """To a link that is still open; what it would have been told otherwise, its gateway finds out by attaching again."""
        if link in self.links:
            self._effects.append(Send(link, message))

    def take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def refuse(self, link: LinkId, question: Question, refusal: Refusal, retry_after_ms: int | None = None) -> None:
        """Answer a question with an expected no."""
        kind = refusal.kind
        retry = kind.retry_after_ms if retry_after_ms is None else retry_after_ms
        self.counters.refused[kind.code] += 1
        if isinstance(question, Attach):
            self.send(link, AttachRefused(question.room, question.generation, kind.code, kind.sentence, retry))
        else:
            self.send(link, CommandRefused(question.request, kind.code, kind.sentence, retry))

    def send_moved(self, link: LinkId, question: Question) -> None:
        """This shard does not speak for the question's room."""
        if isinstance(question, Attach):
            self.send(link, Moved(question.room, self.map_version, generation=question.generation))
        else:
            self.send(link, Moved(question.room, self.map_version, request=question.request))

    # --- rooms --------------------------------------------------------------------------------

    def open_room(self, link: LinkId, name: RoomName, question: Question) -> Hosted | None:
        """The room, on its way from the journal if it is not here; None when the question was answered by a no."""
        hosted = self.rooms.get(name)
        if hosted is not None:
            if not hosted.feeds and name in self._idle:
                self._idle.move_to_end(name)
            return hosted
        slot = slot_of(name)
        is_owned = slot in self.terms
        if not is_owned and slot not in self.coming and self.newest_heard <= self.map_version:
            self.send_moved(link, question)
            return None
        if self.draining:
            self.refuse(link, question, Refusal.DRAINING)
            return None
        if self.rooms_loading + len(self.held) >= ROOMS_LOADING_MAX or not self._make_space():
            self.refuse(link, question, Refusal.BUSY)
            return None
        hosted = self.rooms[name] = Hosted(name, slot)
        if is_owned:
            self.load(hosted)
        else:
            self.held[name] = None
        return hosted

    def load(self, hosted: Hosted) -> None:
        """Have the room read from the journal, once at a time."""
        if not hosted.loading:
            hosted.loading = True
            self.rooms_loading += 1
            self.do(Load(hosted.name))

    def load_ended(self, hosted: Hosted) -> None:
        hosted.loading = False
        self.rooms_loading -= 1

    def _make_space(self) -> bool:
        """Whether one more room fits, after the longest unused has left if need be."""
        while len(self.rooms) >= self.rooms_loaded_max:
            if not self._idle:
                return False
            name, _ = self._idle.popitem(last=False)
            del self.rooms[name]
            self.counters.rooms_evicted += 1
        return True

    def drop(self, hosted: Hosted) -> None:
        """The room leaves this shard, with all who listened."""
        for link in hosted.feeds:
            peer = self.links.get(link)
            if peer is not None:
                peer.rooms.pop(hosted.name, None)
                peer.behind.pop(hosted.name, None)
        if hosted.loading:
            self.load_ended(hosted)
        self._idle.pop(hosted.name, None)
        self.held.pop(hosted.name, None)
        del self.rooms[hosted.name]

    def settle(self, hosted: Hosted) -> None:
        """Note whether the room may leave memory: to be called when it may have become idle, or busy."""
        if hosted.is_idle:
            self._idle[hosted.name] = None
            self._idle.move_to_end(hosted.name)
        else:
            self._idle.pop(hosted.name, None)

    def wait(self, link: LinkId, hosted: Hosted, question: Question) -> None:
        """Keep a question until the room is there; refused when too many wait already."""
        if len(hosted.waiting) >= LOADING_COMMANDS_MAX:
            self.refuse(link, question, Refusal.BUSY)
        else:
            hosted.waiting.append((link, question))

    def end_epoch(self, hosted: Hosted, room: Room, reason: str, now_ms: int) -> None:
        """Have the room go on as another log, from its next commit on."""
        self.do(EpochEnded(hosted.name, room.decided.epoch, room.decided.offset, reason))
        event = room.end_epoch(epoch_of(self.random_bytes(EPOCH_BYTES)), reason, now_ms, self.random_bytes(SALT_BYTES))
        self.pending_bytes += event.size
        self.counters.epochs_ended += 1
        self.queue(hosted)
        self.settle(hosted)

    # --- the queue for the next group ----------------------------------------------------------

    def queue(self, hosted: Hosted) -> None:
        """The room has pending events: it takes part in the next group."""
        if not hosted.queued:
            hosted.queued = True
            self._dirty.append(hosted)

    def next_queued(self) -> Hosted | None:
        """The room that has waited longest and still has something to write."""
        while self._dirty:
            hosted = self._dirty.popleft()
            hosted.queued = False
            if self._is_serving(hosted) and hosted.has_writes:
                return hosted
        return None

    def verify(self, hosted: Hosted) -> None:
        """Have the room's head verified: by a write of its own, unless it has something to write anyway."""
        hosted.unverified = True
        self._unverified[hosted.name] = None
        self.settle(hosted)

    def next_unverified(self) -> Hosted | None:
        """The next room of which only the head is to be verified."""
        while self._unverified:
            name, _ = self._unverified.popitem(last=False)
            hosted = self.rooms.get(name)
            if hosted is not None and hosted.unverified and self._is_serving(hosted) and not hosted.has_writes:
                return hosted
        return None

    def _is_serving(self, hosted: Hosted) -> bool:
        return self.rooms.get(hosted.name) is hosted and hosted.phase is Phase.SERVING

    @property
    def has_queued(self) -> bool:
        return bool(self._dirty or self._unverified)
