"""The router's side of one feed: how far its attach has come, and which generation it listens to."""

from collections.abc import Iterable
from enum import Enum

from shard_router.ports import FeedPort
from wire.names import RoomName
from wire.node_messages import Attach


class Phase(Enum):
    WAITING = "waiting"
    """To be asked for: the link is down or full, or it is not yet time."""
    ASKED = "asked"
    LIVE = "live"
    REFUSED = "refused"
    """For good; only the feed itself may have it tried again."""


class Attachment:
    """One open feed.  Written by the channel of the shard that owns its room, and by the router when it moves.

    A generation names one attach.  `generation` is the last that was asked for, 0 when the present
    link knows nothing of this room; `listening` is the one whose messages reach the feed, 0 for none.
    """

    __slots__ = ("asked_at", "feed", "generation", "listening", "phase", "reported", "reported_at", "room", "wake")

    def __init__(self, feed: FeedPort) -> None:
        self.feed = feed
        self.room: RoomName = feed.room
        self.phase = Phase.WAITING
        self.generation = 0
        self.listening = 0
        self.wake = 0
        """The alarm that counts, of those the channel has set for this feed; 0 for none."""
        self.asked_at = 0.0
        self.reported = 0
        """The sum of members that the shard was told last, and when."""
        self.reported_at = 0.0

    def question(self, generation: int) -> Attach:
        """The attach that continues where the feed is."""
        position = self.feed.position()
        members = self.feed.members()
        if position is None:
            return Attach(self.room, generation, members=members)
        return Attach(self.room, generation, position.epoch, position.offset, position.chain, members)

    def asked(self, question: Attach, now: float) -> None:
        """The question is on the link: only its own answer counts from here on."""
        self.phase = Phase.ASKED
        self.generation = self.listening = question.generation
        self.reported = question.members
        self.asked_at = self.reported_at = now

    def wait(self) -> None:
        """Hear nothing until asked for again."""
        self.phase = Phase.WAITING
        self.listening = 0

    def settled(self, phase: Phase) -> None:
        """The shard has answered: `phase` is LIVE or REFUSED, and there is nothing to wake for."""
        self.phase = phase
        self.wake = 0
        if phase is Phase.REFUSED:
            self.listening = 0

    def forgotten(self) -> None:
        """No link knows of this room any more."""
        self.generation = self.listening = self.wake = 0
        if self.phase is not Phase.REFUSED:
            self.phase = Phase.WAITING

    def was_reported(self, members: int, now: float) -> None:
        self.reported = members
        self.reported_at = now

    def members_due(self, now: float, interval_s: float) -> int | None:
        """The sum to report: when it changed, or has to be renewed.  A sum of nobody needs no renewal."""
        if self.phase is not Phase.LIVE:
            return None
        members = self.feed.members()
        if members != self.reported or (members and now - self.reported_at >= interval_s):
            return members
        return None


def seen_due(attachments: Iterable[Attachment], bytes_max: int) -> list[tuple[Attachment, bytes]]:
    """What the shard has to be told of who was seen, of as many feeds as fit."""
    due, size = [], 0
    for attachment in attachments:
        if size >= bytes_max:
            break
        seen = attachment.feed.take_seen() if attachment.phase is Phase.LIVE else b""
        if seen:
            due.append((attachment, seen))
            size += len(seen)
    return due


def sums_due(attachments: Iterable[Attachment], now: float, interval_s: float) -> list[tuple[Attachment, int]]:
    """Every feed whose sum of members has to be reported, with the sum."""
    due = ((attachment, attachment.members_due(now, interval_s)) for attachment in attachments)
    return [(attachment, members) for attachment, members in due if members is not None]
