"""One room as its reader knows it: the position up to which everything was seen.  Pure.

Events count only when they continue the position; that one rule makes duplicates vanish
(after a resume, or while two connections overlap) and finds every hole.
"""

from enum import Enum

from client.effects import ConnectionId
from wire.client_messages import Joined, JoinRequest, Position
from wire.codes import ResumeReason


class Verdict(Enum):
    """What an offset is to this reader."""

    NEXT = "next"
    SEEN = "seen"
    GAP = "gap"


class RoomState:
    """Invariant: `offset` never falls within one epoch."""

    __slots__ = ("epoch", "head_chain", "head_offset", "limit", "name", "offset", "owner", "present", "rejoin_at")

    def __init__(self, name: str, since: Position | None, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.epoch = since.epoch if since else ""
        self.offset = since.offset if since else 0
        # The chain is known at one offset only: the head at the last join.
        self.head_chain = since.chain if since else ""
        self.head_offset = self.offset
        self.owner: ConnectionId | None = None
        """The connection whose events count; None while the room is being entered."""
        self.present = 0
        self.rejoin_at: float | None = None
        """When to ask again after a temporary refusal."""

    def position(self) -> Position | None:
        """Where to resume; None before the room was ever entered."""
        if not self.epoch:
            return None
        chain = self.head_chain if self.offset == self.head_offset else ""
        return Position(self.epoch, self.offset, chain)

    def join_request(self) -> JoinRequest:
        return JoinRequest(self.name, self.position(), self.limit)

    def judge(self, offset: int) -> Verdict:
        """What the event at `offset` is; `advance` takes it."""
        expected = self.offset + 1
        if offset == expected:
            return Verdict.NEXT
        return Verdict.SEEN if offset < expected else Verdict.GAP

    def advance(self, offset: int) -> None:
        assert offset > self.offset, "a position never falls within one epoch"
        self.offset = offset

    def start_over(self, epoch: str, offset: int) -> None:
        """The log is another one, or what lies between is lost: go on from here."""
        self.epoch = epoch
        self.offset = offset
        self.head_chain = ""
        self.head_offset = 0

    def enter(self, connection: ConnectionId, joined: Joined) -> bool:
        """Take a join's reply; False when what was seen before does not connect to what follows.

        While two connections overlap the reply may start before what was seen meanwhile:
        that still connects.  `recovered` is believed only if it does, and so is "another log", though it has the
        same name: then two writers went on from one place, and ours is the branch that ended.
        """
        self.owner = connection
        self.rejoin_at = None
        self.present = joined.present
        connects = joined.epoch == self.epoch and joined.since <= self.offset
        is_other = joined.asked and joined.reason == ResumeReason.EPOCH.value
        is_whole = connects and not is_other and (joined.recovered or self.offset <= joined.offset)
        was_known = bool(self.epoch)
        if not is_whole:
            self.start_over(joined.epoch, joined.since)
        self.head_chain = joined.chain
        self.head_offset = joined.offset
        return is_whole or not was_known
