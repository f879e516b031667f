"""The router: one object that hides slots, shards and links from a gateway or an api.

It only decides *which* shard: a table of 4096 channels, one look-up a request.  How a shard is
reached is the business of its channel (shard_router/shard_channel.py).  When the slot map changes,
or a shard says `Moved`, feeds and waiting requests go to the owner of the day.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from random import Random

import msgspec
import trio
from structlog.typing import FilteringBoundLogger

from runtime.metrics import RouterCounters
from shard_router.attachment import Attachment
from shard_router.directory import Directory
from shard_router.link_opener import Connect, LinkParts
from shard_router.moves import MovedRooms
from shard_router.placement import SlotMap
from shard_router.ports import FeedPort, PublishAnswer, RangeAnswer
from shard_router.requests import PublishRequest, Question, ReadRequest, Request, question_of, refused
from shard_router.shard_channel import ShardChannel
from shard_router.slots import slot_of
from wire.codes import Refusal
from wire.limits import LINK_REQUESTS_MAX, PUBLISH_WAIT_S, ROUTER_TICK_S, SLOT_COUNT
from wire.names import RoomName, ShardId, Slot
from wire.node_messages import CommandRefused, PublishCommand, RangeRead


class ShardRouter:
    """`ports.Router` over the shards of a directory.  Works while `run` is running; create it inside trio.

    `connect` gives a transport to a shard: `link_opener.dial(directory, network)`, or a socketpair where the
    shard lives in the same process.  It raises `OSError` when there is nobody.  `rng` gives link
    nonces and jitter: `random.SystemRandom` outside of tests.
    """

    def __init__(
        self,
        directory: Directory,
        connect: Connect,
        *,
        secrets: Sequence[bytes],
        role: str,
        node: str,
        rng: Random,
        log: FilteringBoundLogger,
        counters: RouterCounters | None = None,
    ) -> None:
        self.counters = counters or RouterCounters()
        self.counters.link_bytes_waiting = self._bytes_waiting
        self.counters.links_up = lambda: self.shards_reached
        self._directory = directory
        self._parts = LinkParts(connect, secrets, role, node, rng, log, self.counters, itertools.count(1))
        self._request_numbers = itertools.count(1)
        self._attachments: dict[RoomName, Attachment] = {}
        self._flights: dict[Question, ReadRequest] = {}
        self._moved = MovedRooms()
        self._channels: dict[ShardId, ShardChannel] = {}
        self._owners: list[ShardChannel] = []
        """The channel of each slot's owner."""
        self._map_version = 0
        self._channels_nursery: trio.Nursery | None = None
        self._has_ended = False
        self._follow(directory.slot_map)

    @property
    def map_version(self) -> int:
        """The slot map that is followed now."""
        return self._map_version

    @property
    def shards_reached(self) -> int:
        """How many of `shards_known` have an open link now."""
        return sum(channel.link is not None for channel in self._channels.values())

    @property
    def shards_known(self) -> int:
        return len(self._channels)

    @property
    def requests_open(self) -> int:
        """Publishes and reads that wait for an answer."""
        return len(self._moved.requests) + sum(len(channel.requests) for channel in self._channels.values())

    def _bytes_waiting(self) -> int:
        return sum(channel.link.bytes_waiting for channel in self._channels.values() if channel.link is not None)

    # --- ports.Router ----------------------------------------------------------------------------------

    def open_feed(self, feed: FeedPort) -> None:
        assert feed.room not in self._attachments, "one feed a room: the gateway shares it between its members"
        attachment = self._attachments[feed.room] = Attachment(feed)
        self._owner_of(feed.room).attach(attachment)

    def close_feed(self, feed: FeedPort) -> None:
        attachment = self._attachments.get(feed.room)
        if attachment is not None and attachment.feed is feed:
            del self._attachments[feed.room]
            self._owner_of(feed.room).release(attachment)

    def reattach(self, feed: FeedPort) -> None:
        attachment = self._attachments.get(feed.room)
        if attachment is not None and attachment.feed is feed:
            self._owner_of(feed.room).reattach(attachment)

    def publish(self, command: PublishCommand, answer: Callable[[PublishAnswer], None]) -> CommandRefused | None:
        self.counters.publishes += 1
        now = trio.current_time()
        numbered = msgspec.structs.replace(command, request=next(self._request_numbers))
        return self._submit(PublishRequest(numbered, now + PUBLISH_WAIT_S, answer), now)

    def read_range(self, question: RangeRead, answer: Callable[[RangeAnswer], None]) -> CommandRefused | None:
        self.counters.reads += 1
        flight = self._flights.get(question_of(question))
        if flight is not None:
            if len(flight.waiters) >= LINK_REQUESTS_MAX:
                return self._refuse(Refusal.BUSY)
            self.counters.reads_shared += 1
            flight.waiters.append(answer)
            return None
        now = trio.current_time()
        numbered = msgspec.structs.replace(question, request=next(self._request_numbers))
        flight = ReadRequest(numbered, now + PUBLISH_WAIT_S, self._flights)
        refusal = self._submit(flight, now)
        if refusal is not None:
            del self._flights[question_of(question)]
            return refusal
        flight.waiters.append(answer)
        return None

    def _submit(self, request: Request, now: float) -> CommandRefused | None:
        room = RoomName(request.message.room)
        if self._has_ended:
            return self._refuse(Refusal.DRAINING)
        if self._moved and room in self._moved:
            if not self._moved.requests.takes(request):
                return self._refuse(Refusal.BUSY)
            self._moved.requests.add_waiting(request)
            return None
        refusal = self._owner_of(room).submit(request, now)
        return None if refusal is None else self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> CommandRefused:
        if refusal is Refusal.BUSY:
            self.counters.refused_busy += 1
        elif refusal is Refusal.UNAVAILABLE:
            self.counters.refused_unavailable += 1
        return refused(refusal)

    # --- who owns what ------------------------------------------------------------------------------------

    def _owner_of(self, room: RoomName) -> ShardChannel:
        return self._owners[slot_of(room)]

    def _follow(self, slot_map: SlotMap) -> None:
        """Make the owners those of `slot_map`; feeds and waiting requests of rooms that changed hands go along.

        What an old owner has been sent is left to it: it answers, says `Moved`, or its link is lost.
        """
        old_owners, old_channels = self._owners, self._channels
        self._channels = {shard: old_channels.get(shard) or ShardChannel(shard, self, self._parts) for shard in slot_map.shards}
        self._owners = [self._channels[slot_map.owner_of(Slot(slot))] for slot in range(SLOT_COUNT)]
        self._map_version = slot_map.version
        # In the map's order, not a set's: a simulation must be replayed whatever the hash seed.
        for shard in [shard for shard in self._channels if shard not in old_channels]:
            if self._channels_nursery is not None:
                self._channels_nursery.start_soon(self._channels[shard].run)
        for channel in self._channels.values():
            channel.tell_map()
        for attachment in self._attachments.values():
            old_owner, owner = old_owners[slot_of(attachment.room)], self._owner_of(attachment.room)
            if owner is not old_owner:
                old_owner.release(attachment)
                attachment.feed.on_detached()
                owner.attach(attachment)
        for channel in old_channels.values():
            self._rehome(channel)
        for room in self._moved.release_all():
            self._hand_over(self._moved.requests_of(room))
        for shard in [shard for shard in old_channels if shard not in self._channels]:
            old_channels[shard].retire()

    def _rehome(self, channel: ShardChannel) -> None:
        """Give the requests that wait at `channel`, for rooms that it does not own (any more), to the owners."""
        self._hand_over(channel.requests.withdraw(lambda room: self._owner_of(room) is not channel))

    def _hand_over(self, requests: list[Request]) -> None:
        """Let each request wait at the owner of its room, in its place by age, and send what can be sent."""
        by_owner: dict[ShardId, list[Request]] = {}
        for request in requests:
            by_owner.setdefault(self._owner_of(RoomName(request.message.room)).shard, []).append(request)
        for shard, adopted in by_owner.items():
            self._channels[shard].requests.adopt(adopted)
            self._channels[shard].push()

    # --- what channels tell ---------------------------------------------------------------------------------

    def on_moved(self, channel: ShardChannel, request: Request) -> None:
        """A shard did not carry this out, since the room is not its own.

        Another owner in our map is asked at once: the request crossed the map on its way.  Else
        the owner of the day is asked a little later.
        """
        room = RoomName(request.message.room)
        if room not in self._moved:
            if self._owner_of(room) is not channel:
                self._hand_over([request])
                return
            self._moved.hold(room, trio.current_time())
        self._moved.requests.adopt([request])

    def on_link_lost(self, channel: ShardChannel) -> None:
        self._rehome(channel)

    def on_map_heard(self, version: int) -> None:
        """Look at once, and not at the next poll: until then all that moved is asked in vain."""
        if version > self._map_version:
            self._directory.heard_of(version)

    def on_link_broken(self, shard: ShardId) -> None:
        self._directory.suspect(shard)

    # --- tasks ----------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep links to all shards and follow the directory, until cancelled.

        Owns one task a shard, one that waits for the directory and one timer.  When it ends, every
        request still open is answered, and what is asked later is refused as draining.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._channels_nursery = nursery
                for channel in self._channels.values():
                    nursery.start_soon(channel.run)
                nursery.start_soon(self._follow_directory)
                nursery.start_soon(self._keep_time)
                task_status.started()
        finally:
            self._channels_nursery = None
            self._has_ended = True
            for channel in self._channels.values():
                channel.give_up_late(math.inf)
            self._give_up_moved(math.inf)

    async def _follow_directory(self) -> None:
        while True:
            await self._directory.wait_changed(self._map_version)
            self._follow(self._directory.slot_map)

    async def _keep_time(self) -> None:
        """The one timer: deadlines, attaches that are due, sums of members, rooms that moved."""
        while True:
            await trio.sleep(ROUTER_TICK_S)
            now = trio.current_time()
            for channel in list(self._channels.values()):
                channel.tick(now)
            self._give_up_moved(now)
            for room in self._moved.due(now):
                self._hand_over(self._moved.requests_of(room))

    def _give_up_moved(self, now: float) -> None:
        for request, was_sent in self._moved.requests.expire(now):
            self.counters.given_up += 1
            request.give_up(was_sent)
