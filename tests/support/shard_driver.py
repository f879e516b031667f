"""A pure shard with hands: its effects are carried out at once, and what it sends is kept per link."""

from collections.abc import Sequence
from random import Random

from broker.effects import Effect, EpochEnded, Load, Read, Retain, Send
from broker.hosted import LinkId
from broker.ids import kept_since_ms
from broker.journal.memory import MemoryJournal
from broker.journal.protocol import CommitOutcome, CommitVerdict, Journal, StaleMap, Unavailable, Write
from broker.load_room import arrive
from broker.shard import Shard
from runtime.metrics import BrokerCounters
from wire.limits import MESSAGE_IDS_PER_ROOM_MIN, ROOM_TAIL_BYTES_MAX, ROOM_TAIL_EVENTS_MAX
from wire.names import Slot
from wire.node_messages import AnyNodeMessage, Attach, NodeMessage, PublishCommand

ALL_SLOTS = [Slot(number) for number in range(4096)]
ROOM = "town/square"


def message(request: int, text: str = "hello", *, author: str = "ann", id: str = "", room: str = ROOM) -> PublishCommand:
    return PublishCommand(request, room, "message", author, author.title(), id or f"m{request}", text)


def edit(request: int, target: int, text: str = "better", *, author: str = "ann", room: str = ROOM) -> PublishCommand:
    return PublishCommand(request, room, "edit", author, author.title(), f"m{request}", text, target)


def delete(request: int, target: int, *, author: str = "ann", room: str = ROOM) -> PublishCommand:
    return PublishCommand(request, room, "delete", author, author.title(), f"m{request}", "", target)


class ShardDriver:
    """One shard on one journal.  `loads_held`: room loads and reads wait for `finish_loads`."""

    def __init__(
        self, journal: Journal | None = None, *, map_version: int = 1, seed: int = 1, rooms_loaded_max: int = 100,
        keep_days: float = 0.0,
    ) -> None:
        self.journal: Journal = journal if journal is not None else MemoryJournal("store")
        self.counters = BrokerCounters()
        self.shard = Shard(
            store_id=self.journal.store_id,
            random_bytes=Random(seed).randbytes,
            keep_events=2000,
            keep_days=keep_days,
            counters=self.counters,
            rooms_loaded_max=rooms_loaded_max,
        )
        self.now_s = 100.0
        self.now_ms = 1_000_000
        self.sent: dict[int, list[NodeMessage]] = {}
        self.retained: list[Retain] = []
        self.ended: list[EpochEnded] = []
        self.loads_held = False
        self.held: list[Load | Read] = []
        self.links_full: set[int] = set()
        self.follow(ALL_SLOTS, map_version)

    def follow(self, mine: Sequence[Slot], map_version: int) -> None:
        """As the committer does it: release, claim, own."""
        gained, effects = self.shard.follow(mine, map_version)
        self.run(effects)
        self.own(gained)

    def own(self, gained: Sequence[Slot]) -> None:
        self.run(self.shard.own(self.journal.claim(gained, self.shard.map_version, "shard-1"), self.now_s))

    # --- gateways ---

    def open_link(self, link: int, node: str = "") -> None:
        self.sent[link] = []
        self.shard.link_opened(LinkId(link), node or f"gateway-{link}")

    def close_link(self, link: int) -> None:
        self.shard.link_closed(LinkId(link))

    def say(self, link: int, said: AnyNodeMessage) -> None:
        self.run(self.shard.on_message(LinkId(link), said, self.now_s, self.now_ms))

    def attach(self, link: int, generation: int = 1, room: str = ROOM, **position: object) -> None:
        self.say(link, Attach(room, generation, **position))  # type: ignore[arg-type]

    def take(self, link: int) -> list[NodeMessage]:
        """What was sent on a link since the last look."""
        taken, self.sent[link] = self.sent[link], []
        return taken

    def tick(self, later_s: float = 0.25) -> None:
        self.now_s += later_s
        self.run(self.shard.tick(self.now_s, self.now_ms))

    # --- the world ---

    def run(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self._send(effect)
            elif isinstance(effect, Retain):
                self.retained.append(effect)
                first_kept = self.journal.retain(
                    effect.room, effect.keep_after, effect.ids_before_ms, MESSAGE_IDS_PER_ROOM_MIN, effect.entries_before_ms
                )
                self.run(self.shard.on_retained(effect.room, first_kept))
            elif isinstance(effect, EpochEnded):
                self.ended.append(effect)
            elif self.loads_held:
                self.held.append(effect)
            else:
                self._read(effect)

    def _send(self, effect: Send) -> None:
        refusable = type(effect.message).__name__ in {"Batch", "HideFrames", "Attached", "Sum", "Range"}
        if effect.link in self.links_full and refusable:
            self.run(self.shard.on_undelivered(effect.link, effect.message))  # type: ignore[arg-type]
        else:
            self.sent[effect.link].append(effect.message)

    def finish_loads(self) -> None:
        self.loads_held = False
        held, self.held = self.held, []
        for effect in held:
            self._read(effect)

    def _read(self, effect: Load | Read) -> None:
        shard = self.shard
        try:
            if isinstance(effect, Read):
                limit = effect.upto - effect.after
                self.run(shard.on_read(effect, self.journal.read(effect.room, effect.epoch, effect.after, limit)))
            else:
                since = kept_since_ms(self.now_ms)
                tail = (ROOM_TAIL_EVENTS_MAX, ROOM_TAIL_BYTES_MAX)
                loaded = self.journal.load(effect.room, *tail, since, MESSAGE_IDS_PER_ROOM_MIN)
                arrived = arrive(effect.room, loaded, shard.store_id, shard.room_before(effect.room))
                self.run(shard.on_loaded(arrived, self.now_s, self.now_ms))
        except Unavailable:
            self.run(shard.on_read_failed(effect) if isinstance(effect, Read) else shard.on_load_failed(effect.room))

    # --- commits ---

    def take_group(self) -> list[Write]:
        return self.shard.take_group()

    def finish(self, writes: Sequence[Write], outcomes: Sequence[CommitOutcome] | None = None) -> None:
        """Commit a group; or have the shard believe `outcomes`."""
        given = outcomes if outcomes is not None else self.journal.commit(writes)
        self.run(self.shard.on_outcomes(writes, given, self.now_s, self.now_ms))
        fenced = {w.slot for w, outcome in zip(writes, given, strict=True) if outcome.verdict is CommitVerdict.FENCED}
        if fenced:
            self.settle_fence(fenced)

    def settle_fence(self, fenced: set[Slot]) -> None:
        """As the committer does it: claim back, unless a newer map says no."""
        try:
            self.run(self.shard.on_claimed_back(self.journal.claim(sorted(fenced), self.shard.map_version, "shard-1")))
        except StaleMap:
            self.run(self.shard.on_slots_lost(fenced))

    def commit(self) -> int:
        """Commit all that is pending; answers how many groups that took."""
        groups = 0
        while writes := self.take_group():
            self.finish(writes)
            groups += 1
        return groups

    def lose(self, writes: Sequence[Write]) -> set[Slot]:
        """The outcome of a group is unknown."""
        slots, effects = self.shard.on_unknown(writes)
        self.run(effects)
        return slots

    def reclaim(self, slots: set[Slot], map_version: int = 1) -> None:
        self.run(self.shard.on_reclaimed(self.journal.claim(sorted(slots), map_version, "shard-1")))
