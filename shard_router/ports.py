"""What the router and a gateway's feeds know of each other: two small seams.

The router hides slots, shards and links.  All its calls are synchronous and bounded;
answers come back through the callables given with the question, in the router's own task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wire.names import RoomName
from wire.node_messages import (
    Attached,
    AttachRefused,
    Batch,
    CommandRefused,
    Committed,
    HideFrames,
    OutcomeUnknown,
    PublishCommand,
    Range,
    RangeRead,
    Sum,
)

PublishAnswer = Committed | CommandRefused | OutcomeUnknown
RangeAnswer = Range | CommandRefused


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """What a feed has: all up to `offset` of `epoch`; `chain` is 8 bytes, or b"" when not known."""

    epoch: str
    offset: int
    chain: bytes


class FeedPort(Protocol):
    """A gateway's view of one room, as the router sees it.  Callbacks are synchronous and may not raise."""

    room: RoomName

    def position(self) -> FeedPosition | None:
        """None before the first attach."""

    def members(self) -> int: ...

    def take_seen(self) -> bytes:
        """What the shard was not told of who was seen (`wire.sketch`), which it is from here on; b"" when that is nothing."""

    def tell_seen_again(self) -> None:
        """What was taken may not have arrived."""

    def on_attached(self, message: Attached) -> None: ...
    def on_attach_refused(self, message: AttachRefused) -> None: ...
    def on_batch(self, message: Batch) -> None: ...
    def on_hide(self, message: HideFrames) -> None: ...
    def on_sum(self, message: Sum) -> None: ...
    def on_doubt(self, in_doubt: bool) -> None:
        """Whether the shard may have a successor by now; told at each change, and before each attach reply."""

    def on_detached(self) -> None:
        """Nobody speaks for the room now; the router attaches again by itself, with `position()`.  May be told twice."""


class Router(Protocol):
    """How a gateway or the api reaches whichever shard speaks for a room.

    An attach that was refused temporarily, or lost with its link, is repeated by the router
    with backoff until `close_feed`; batches of an older generation never reach the feed.
    """

    def open_feed(self, feed: FeedPort) -> None: ...
    def close_feed(self, feed: FeedPort) -> None: ...

    def reattach(self, feed: FeedPort) -> None:
        """The feed found a gap: attach again from its position."""

    def publish(self, command: PublishCommand, answer: Callable[[PublishAnswer], None]) -> CommandRefused | None:
        """Send one command (its `request` is set by the router).

        Answers a refusal at once when the shard's link is full or unknown (then `answer` is
        never called), else None and `answer` is called exactly once: at the latest after
        PUBLISH_WAIT_S, with `OutcomeUnknown`.  What a lost link left unanswered is sent
        again, once and in order, when the link is back.
        """

    def read_range(self, question: RangeRead, answer: Callable[[RangeAnswer], None]) -> CommandRefused | None:
        """Read history; same rules.  Identical questions under way are asked once."""
