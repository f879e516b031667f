"""A router over fake shards, and the few words its tests speak."""

import logging
from random import Random
from typing import Any

import structlog
import trio

from runtime.transport import Transport
from shard_router.directory import Address
from shard_router.placement import SlotMap, place
from shard_router.ports import FeedPosition, PublishAnswer
from shard_router.router import ShardRouter
from tests.support.fake_shard import SECRETS, FakeShard
from tests.support.feed_probe import FeedProbe
from wire import limits
from wire.names import ShardId
from wire.node_messages import Attach, Attached, CommandRefused, Committed, PublishCommand

ROOM = "town/square"
TICKS_S = 2 * limits.ROUTER_TICK_S
QUIET_LOG = structlog.make_filtering_bound_logger(logging.CRITICAL)(structlog.PrintLogger(), [], {})


class FakeDirectory:
    """A directory that changes when the test says so."""

    def __init__(self, *shards: str) -> None:
        self.slot_map = place(1, {ShardId(shard): 1 for shard in shards})
        self.heard: list[int] = []
        self.suspected: list[ShardId] = []
        self.is_lapsed = False
        self.can_change = True
        self._changed = trio.Event()

    def address_of(self, shard: ShardId) -> Address | None:
        return None

    def change(self, slot_map: SlotMap) -> None:
        self.slot_map = slot_map
        self._changed.set()
        self._changed = trio.Event()

    def heard_of(self, version: int) -> None:
        self.heard.append(version)

    def suspect(self, shard: ShardId) -> None:
        self.suspected.append(shard)

    def start_leaving(self) -> bool:
        return False

    def accepts_elsewhere_per_s(self) -> float | None:
        return None

    async def wait_changed(self, seen_version: int) -> None:
        while self.slot_map.version == seen_version:
            await self._changed.wait()


class Cluster:
    """Fake shards, a directory that names them, and a router over both."""

    def __init__(self, nursery: trio.Nursery, *shards: str) -> None:
        self.shards = {ShardId(shard): FakeShard(nursery, shard) for shard in shards}
        self.directory = FakeDirectory(*shards)
        self.router = ShardRouter(
            self.directory, self.connect, secrets=SECRETS, role="gateway", node="gateway-1", rng=Random(7), log=QUIET_LOG
        )

    async def connect(self, shard: ShardId) -> Transport:
        return await self.shards[shard].connect()

    @property
    def shard(self) -> FakeShard:
        """The only one, or the first."""
        return next(iter(self.shards.values()))


class Answers:
    """What came back, by what was asked."""

    def __init__(self, router: ShardRouter) -> None:
        self.by_text: dict[str, PublishAnswer] = {}
        self._router = router

    def publish(self, text: str, room: str = ROOM) -> CommandRefused | None:
        def answer(message: PublishAnswer) -> None:
            assert text not in self.by_text, "an answer comes once"
            self.by_text[text] = message

        return self._router.publish(saying(text, room), answer)


def saying(text: str, room: str = ROOM) -> PublishCommand:
    return PublishCommand(0, room, "message", "author-1", "Ada", text.replace(" ", "-"), text)


def attached(question: Attach, offset: int = 0, **others: Any) -> Attached:
    fields = {"since": question.offset, "chain": b"chain-at", "resumed": bool(question.epoch), "reason": "", "frames": []}
    return Attached(question.room, question.generation, 1, question.epoch or "epoch-1", offset, **{**fields, **others})


def committed(command: PublishCommand, offset: int = 1) -> Committed:
    return Committed(command.request, "epoch-1", offset, 1000)


async def settle() -> None:
    await trio.sleep(2 * limits.ROUTER_TICK_S)


async def open_live(cluster: Cluster, room: str = ROOM, members: int = 0) -> tuple[FeedProbe, int]:
    """A feed that has been attached at offset 10, and its generation."""
    feed = FeedProbe(room, members)
    cluster.router.open_feed(feed)
    question = await cluster.shard.expect(Attach)
    cluster.shard.say(attached(question, offset=10))
    await settle()
    assert feed.at == FeedPosition("epoch-1", 10, b"chain-at")
    return feed, question.generation
