"""A feed that only remembers what the router told it."""

from shard_router.ports import FeedPosition
from wire.names import RoomName
from wire.node_messages import Attached, AttachRefused, Batch, HideFrames, NodeMessage, Sum


class FeedProbe:
    """`FeedPort` whose position follows its attaches, and is otherwise set by the test."""

    def __init__(self, room: str, members: int = 0) -> None:
        self.room = RoomName(room)
        self.at: FeedPosition | None = None
        self.member_count = members
        self.told: list[NodeMessage | str] = []
        self.seen = b""
        self.in_doubt = False
        self.is_attached = False

    def position(self) -> FeedPosition | None:
        return self.at

    def members(self) -> int:
        return self.member_count

    def take_seen(self) -> bytes:
        taken, self.seen = self.seen, b""
        return taken

    def tell_seen_again(self) -> None:
        self.told.append("tell seen again")

    def on_attached(self, message: Attached) -> None:
        self.at = FeedPosition(message.epoch, message.offset, message.chain)
        self.is_attached = True
        self.told.append(message)

    def on_attach_refused(self, message: AttachRefused) -> None:
        self.told.append(message)

    def on_batch(self, message: Batch) -> None:
        self.told.append(message)

    def on_hide(self, message: HideFrames) -> None:
        self.told.append(message)

    def on_sum(self, message: Sum) -> None:
        self.told.append(message)

    def on_doubt(self, in_doubt: bool) -> None:
        """Told before each attach reply, too: only a change is worth a line."""
        if in_doubt != self.in_doubt:
            self.in_doubt = in_doubt
            self.told.append("in doubt" if in_doubt else "sure")

    def on_detached(self) -> None:
        """May be told more than once; remembered as the change it is."""
        if self.is_attached:
            self.is_attached = False
            self.told.append("detached")
