"""What the Redis journal calls its keys, and the two strings it compares and keeps.  Pure.

Every key of a slot carries the hash tag ``{NAME/SLOT}``: a room's keys and the term that
guards them are in one Redis Cluster slot, so one script reaches all of them.  What belongs to
no slot carries ``{NAME}``.  NAME is `cluster.name`, so clusters share a Redis without meeting.
Nothing has a time to live: a room's identity outlives its entries.

| key | what it holds |
|---|---|
| ``{NAME}:journal`` | a hash: `format`, `store_id`, `map_version` |
| ``{NAME/SLOT}:slot`` | a hash: `term`, `owner`, `map` (the version it was claimed under) |
| ``{NAME/SLOT}:room:ROOM`` | a hash: `head` (see `head_name`), `at`, `first` (the oldest kept), `rows` (its tables' sequence) |
| ``{NAME/SLOT}:log:ROOM:EPOCH`` | a hash: an entry's msgpack by its offset |
| ``{NAME/SLOT}:ids:ROOM`` | a list: ids' msgpack, newest last |
| ``{NAME/SLOT}:ends:ROOM`` | a hash: ``first last at chain`` of each ended epoch by its name |
| ``{NAME/SLOT}:rows:ROOM`` | a sorted set, all of score 0: table, NUL, key, NUL, value of each row of all tables |
| ``{NAME/SLOT}:snapshot:ROOM`` | a string: offset, space, epoch, line feed, state |

A hash would hold rows for less (0.8 us a row where this takes 3 to 4, 56 bytes where this takes 92), and
has no order: pages of it may repeat rows while it grows.  Members of one score are in the order of
their bytes, which is that of tables and keys.
"""

from broker.journal.protocol import Row, Snapshot
from broker.record import CHAIN_BYTES, CHAIN_START, Head
from wire.names import Epoch, RoomName, Slot, TableName

NO_LOG = b""
"""The name of the head of a room that was never written."""


class Keys:
    """The keys of one cluster."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.journal = f"{{{cluster}}}:journal"

    def slot(self, slot: Slot) -> str:
        return f"{{{self.cluster}/{slot}}}:slot"

    def room(self, slot: Slot, room: RoomName) -> str:
        return f"{{{self.cluster}/{slot}}}:room:{room}"

    def log(self, slot: Slot, room: RoomName, epoch: str) -> str:
        """The prefix of all logs of the room for the epoch ""."""
        return f"{{{self.cluster}/{slot}}}:log:{room}:{epoch}"

    def ids(self, slot: Slot, room: RoomName) -> str:
        return f"{{{self.cluster}/{slot}}}:ids:{room}"

    def ends(self, slot: Slot, room: RoomName) -> str:
        return f"{{{self.cluster}/{slot}}}:ends:{room}"

    def rows(self, slot: Slot, room: RoomName) -> str:
        return f"{{{self.cluster}/{slot}}}:rows:{room}"

    def snapshot(self, slot: Slot, room: RoomName) -> str:
        return f"{{{self.cluster}/{slot}}}:snapshot:{room}"


def head_name(head: Head) -> bytes:
    """What makes two heads the same: chain, offset, epoch.  A script only compares it; `verdict.outcome_of` judges."""
    if head.offset == 0 and head.chain == CHAIN_START:
        return NO_LOG
    return b"%b%d %b" % (head.chain, head.offset, head.epoch.encode())


def parse_head(name: bytes, at: int) -> Head | None:
    """The head of that name; None for `NO_LOG`.  Raises ValueError when it is damaged."""
    if name == NO_LOG:
        return None
    offset, space, epoch = name[CHAIN_BYTES:].partition(b" ")
    if not space:
        raise ValueError("a head without an epoch")
    return Head(Epoch(epoch.decode()), int(offset), name[:CHAIN_BYTES], at)


def row_name(table: str, key: str) -> bytes:
    """What a row's member begins with, up to the NUL before its value."""
    return b"%b\0%b" % (table.encode(), key.encode())


def parse_row(member: bytes) -> Row:
    """The row of a member.  Raises ValueError when it is damaged."""
    table, key, value = member.split(b"\0", 2)
    return Row(TableName(table.decode()), key.decode(), value)


def snapshot_value(epoch: Epoch, snapshot: Snapshot) -> bytes:
    return b"%d %b\n%b" % (snapshot.offset, epoch.encode(), snapshot.state)


def parse_snapshot(value: bytes | None, head: Head) -> Snapshot | None:
    """The snapshot, if it is of the log that ends at `head`.  Raises ValueError when it is damaged."""
    if value is None:
        return None
    place, end, state = value.partition(b"\n")
    offset, space, epoch = place.partition(b" ")
    if not end or not space:
        raise ValueError("a snapshot without a place")
    return Snapshot(int(offset), state) if epoch.decode() == head.epoch and int(offset) <= head.offset else None
