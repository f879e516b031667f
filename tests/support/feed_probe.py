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

    def position(self) -> FeedPosition | None:
        return self.at

    def members(self) -> int:
        return self.member_count

    def on_attached(self, message: Attached) -> None:
        self.at = FeedPosition(message.epoch, message.offset, message.chain)
        self.told.append(message)

    def on_attach_refused(self, message: AttachRefused) -> None:
        self.told.append(message)

    def on_batch(self, message: Batch) -> None:
        self.told.append(message)

    def on_hide(self, message: HideFrames) -> None:
        self.told.append(message)

    def on_sum(self, message: Sum) -> None:
        self.told.append(message)

    def on_detached(self) -> None:
        self.told.append("detached")
