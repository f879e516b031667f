"""What a backup file is made of: a line that says so, then frames, and at the end a digest of all of them.

The first line is ``parvis backup 2``: format 2; format 1 is the same without tables and snapshots.
A frame is 4 bytes of length and that many of zlib (level 1: a third smaller for 3 us an event)
around one record in msgpack.  Records come in this order: `Opening`, for each room `RoomBegins`,
`Entries`..., `Ids`..., `Rows`..., `RoomEnds`, and `Closing`, which counts them and carries blake2b over
every byte before it.  What follows `Closing` is not ours.  Pure.
"""

import zlib
from typing import Final

import msgspec
from msgspec import Struct

from broker.journal.archive import Anchor, EpochOutline, Standing
from broker.journal.protocol import IdRow, Row, Snapshot
from broker.record import Entry, Head
from wire.names import Epoch, Slot, TableName, Term

FORMAT_VERSION: Final = 2
FIRST_WORDS: Final = b"parvis backup "
FIRST_LINE: Final = FIRST_WORDS + b"%d\n" % FORMAT_VERSION
FIRST_LINE_BYTES_MAX: Final = len(FIRST_WORDS) + 8
LENGTH_BYTES: Final = 4
DIGEST_BYTES: Final = 32
# Twice a portion of the longest texts that a room takes.
FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
IDS_PER_FRAME: Final = 5000
_COMPRESSION: Final = 1


class BackupRefused(Exception):
    """A file that is no backup of ours, is newer than this program, was cut, or was changed.  Nothing is made of it."""


class Record(Struct, array_like=True, frozen=True):
    """Base of all records."""


class Opening(Record, tag=1, frozen=True):
    """Which journal it was, when that was read, and by which program."""

    store_id: str
    at: int
    """Milliseconds since 1970, when the backup began."""
    program: str
    map_version: int
    terms: dict[int, int]

    def standing(self) -> Standing:
        return Standing(self.map_version, {Slot(slot): Term(term) for slot, term in self.terms.items()})


class EpochRecord(Struct, array_like=True, frozen=True):
    """`EpochOutline`, flat."""

    epoch: str
    offset: int
    chain: bytes
    at: int
    first_kept: int
    anchor_offset: int
    anchor_chain: bytes


class SnapshotRecord(Struct, array_like=True, frozen=True):
    """`Snapshot`, of the room's newest epoch."""

    offset: int
    state: bytes


class RoomBegins(Record, tag=2, frozen=True):
    """Format 1 ends with the epochs."""

    name: str
    epochs: list[EpochRecord]
    rows_seq: int = 0
    snapshot: SnapshotRecord | None = None


class Entries(Record, tag=3, frozen=True):
    """Of the epoch that stands at `epoch` in the room's list, which never goes back."""

    epoch: int
    entries: list[Entry]


class Ids(Record, tag=4, frozen=True):
    rows: list[tuple[str, str, int, int, bytes]]


class RoomEnds(Record, tag=5, frozen=True):
    pass


class Closing(Record, tag=6, frozen=True):
    rooms: int
    events: int
    digest: bytes


class Rows(Record, tag=7, frozen=True):
    """Table, key and value."""

    rows: list[tuple[str, str, bytes]]


AnyRecord = Opening | RoomBegins | Entries | Ids | Rows | RoomEnds | Closing
_encode: Final = msgspec.msgpack.Encoder().encode
_DECODER: Final[msgspec.msgpack.Decoder[AnyRecord]] = msgspec.msgpack.Decoder(AnyRecord)


def frame_of(record: AnyRecord) -> bytes:
    """One record, ready to be written."""
    packed = zlib.compress(_encode(record), _COMPRESSION)
    return len(packed).to_bytes(LENGTH_BYTES, "big") + packed


def record_of(packed: bytes) -> AnyRecord:
    """What a frame holds, without its length; raises `ValueError`."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(packed, FRAME_BYTES_MAX)
        if not inflater.eof or inflater.unused_data:
            raise ValueError("a frame is longer than it may be")
        return _DECODER.decode(data)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def flat(epoch: EpochOutline) -> EpochRecord:
    head, anchor = epoch.head, epoch.anchor
    return EpochRecord(head.epoch, head.offset, head.chain, head.at, epoch.first_kept, anchor.offset, anchor.chain)


def outline_of(record: EpochRecord) -> EpochOutline:
    """What `flat` was given."""
    head = Head(Epoch(record.epoch), record.offset, record.chain, record.at)
    return EpochOutline(head, record.first_kept, Anchor(record.anchor_offset, record.anchor_chain))


def id_row(fields: tuple[str, str, int, int, bytes]) -> IdRow:
    return IdRow(*fields)


def row_of(fields: tuple[str, str, bytes]) -> Row:
    return Row(TableName(fields[0]), fields[1], fields[2])


def snapshot_of(record: RoomBegins) -> Snapshot | None:
    return None if record.snapshot is None else Snapshot(record.snapshot.offset, record.snapshot.state)
