"""One room as its shard holds it: the fold, who listens, and what waits for it."""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NewType

from broker.presence import Sums
from broker.repair import Repair
from broker.room import Room
from broker.uniques import Uniques
from broker.verdicts import PendingEvent
from wire.names import RoomName, Slot
from wire.node_messages import Attach, PublishCommand, RangeRead

LinkId = NewType("LinkId", int)

Question = Attach | PublishCommand | RangeRead


class Phase(Enum):
    """What can be done with a hosted room now."""

    LOADING = auto()
    """Nothing is known of it yet; questions wait."""
    SERVING = auto()
    SUSPENDED = auto()
    """A commit failed: its published side can be read, and it is loaded again before anything is decided."""


@dataclass(slots=True)
class Feed:
    """One gateway's attachment.  `behind`: its link was full, so it gets nothing until it attaches again."""

    generation: int
    behind: bool = False


@dataclass(slots=True, eq=False)
class Hosted:
    """A room on this shard; owned by the shard's state, changed by its parts."""

    name: RoomName
    slot: Slot
    room: Room | None = None
    phase: Phase = Phase.LOADING
    loading: bool = False
    """A load is under way."""
    feeds: dict[LinkId, Feed] = field(default_factory=dict)
    sums: Sums = field(default_factory=Sums)
    uniques: Uniques = field(default_factory=Uniques)
    waiting: deque[tuple[LinkId, Question]] = field(default_factory=deque)
    """What arrived while the room was not there; at most LOADING_COMMANDS_MAX."""
    unanswered: list[PendingEvent] = field(default_factory=list)
    """Events of a write with an unknown outcome: answered from the journal when the room is loaded again."""
    repair: Repair | None = None
    """What the journal has forgotten: it is written again before anything else of this room."""
    unverified: bool = False
    """The journal may have forgotten something: the next write that commits says that it has not."""
    queued: bool = False
    """Whether it stands in the queue for the next group commit."""
    trimmed_at: int = 0
    """The offset at which the journal was last asked to forget, and when."""
    trimmed_at_s: float = -math.inf

    @property
    def has_writes(self) -> bool:
        """Whether it has something for the journal, apart from its head to verify."""
        return self.repair is not None or (self.room is not None and self.room.has_unsubmitted)

    @property
    def is_deciding(self) -> bool:
        """Whether something is decided that is not published, and may still be."""
        return self.phase is Phase.SERVING and self.room is not None and not self.room.is_written

    @property
    def is_idle(self) -> bool:
        """Nobody would miss it: it can leave memory and come back from the journal."""
        return (
            not self.feeds
            and self.phase is Phase.SERVING
            and self.room is not None
            and self.room.is_written
            and self.repair is None
            and not self.unverified
            and not self.waiting
        )
