"""What the shard wants done: the only things its pure parts say to the world outside."""

from msgspec import Struct

from broker.hosted import LinkId
from wire.names import Epoch, RoomName
from wire.node_messages import NodeMessage


class Send(Struct, frozen=True):
    """Put a message on a link.  What does not fit is reported back (`Shard.on_undelivered`)."""

    link: LinkId
    message: NodeMessage


class Load(Struct, frozen=True):
    """Read a room's head, tail and ids; answered by `Shard.on_loaded` or `on_load_failed`."""

    room: RoomName


class Read(Struct, frozen=True):
    """Read the events `after` + 1 to `upto` for a gateway; answered by `Shard.on_read` or `on_read_failed`.

    `backwards`: the newest matter most when the reply must be cut.
    """

    link: LinkId
    request: int
    room: RoomName
    epoch: Epoch
    after: int
    upto: int
    backwards: bool


class Retain(Struct, frozen=True):
    """Let the journal forget entries up to `keep_after`, entries from before `entries_before_ms`, and ids used before
    `ids_before_ms`; answered by `Shard.on_retained` when it has.
    """

    room: RoomName
    keep_after: int
    ids_before_ms: int
    entries_before_ms: int = 0


class EpochEnded(Struct, frozen=True):
    """Tell operators: readers of a room have to start over, and `offset` is the last one of its old log."""

    room: RoomName
    epoch: Epoch
    offset: int
    reason: str


Effect = Send | Load | Read | Retain | EpochEnded
