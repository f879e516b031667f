"""Reading a backup: its rooms in the order of the file, each verified, and at the end the digest of all of it.

Nothing may be made of a file before it was read to its end once: `verify_backup`.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from broker.journal.archive import CheckedRoom, EpochOutline, Extent, Standing
from broker.journal.backup_format import (
    DIGEST_BYTES,
    FIRST_LINE_BYTES_MAX,
    FIRST_WORDS,
    FORMAT_VERSION,
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    AnyRecord,
    BackupRefused,
    Closing,
    Entries,
    Ids,
    Opening,
    RoomBegins,
    RoomEnds,
    Rows,
    id_row,
    outline_of,
    record_of,
    row_of,
    snapshot_of,
)
from broker.journal.fill import Progress, fill
from broker.journal.protocol import IdRow, Row
from broker.record import Entry
from runtime.closing import closed_on_error
from wire.names import RoomName, parse_room


@dataclass(frozen=True, slots=True)
class Verified:
    """What a whole and true backup holds."""

    opening: Opening
    rooms: int
    events: int
    digest: bytes


def verify_backup(path: Path, on_progress: Progress) -> Verified:
    """Read all of it and write nothing.  Raises `BackupRefused`, or `RoomDamaged` for a room that was damaged before."""
    source = BackupSource(path)
    try:
        tally = fill(_Nowhere(), source.rooms(), on_progress)
    finally:
        source.close()
    assert source.digest is not None, "rooms end with the digest"
    return Verified(source.opening, tally.rooms, tally.events, source.digest)


class _Nowhere:
    """Takes rooms, reads them and forgets them."""

    def has(self, room: RoomName) -> bool:
        return False

    def put(self, room: CheckedRoom) -> None:
        for epoch in room.epochs:
            for _ in room.portions(epoch):
                continue
        room.ids()
        for _ in room.rows():
            continue


class BackupSource:
    """See `Source`; its rooms can be gone through once."""

    def __init__(self, path: Path) -> None:
        """Raises `BackupRefused`."""
        self._path = path
        self._hasher = blake2b(digest_size=DIGEST_BYTES)
        self._at = 0
        self._events = 0
        self.digest: bytes | None = None
        """Set when the file was read to its end and everything was true."""
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise BackupRefused(f"backup {path}: cannot be read: {error.strerror}") from error
        with closed_on_error(self._file):
            self._check_first_line()
            opening = self.next_record()
            if not isinstance(opening, Opening):
                raise self.refusal("it does not begin as a backup does")
        self.opening = opening

    @property
    def store_id(self) -> str:
        return self.opening.store_id

    def standing(self) -> Standing:
        return self.opening.standing()

    def extent(self) -> Extent:
        """Told by the file's end only."""
        return Extent()

    def rooms(self) -> Generator["_Reading", None, None]:
        rooms = 0
        while not isinstance(record := self.next_record(), Closing):
            if not isinstance(record, RoomBegins):
                raise self.refusal("something stands between two rooms")
            name = parse_room(record.name)
            if name is None:
                raise self.refusal("a room has a name that no room can have")
            reading = _Reading(self, name, record)
            yield reading
            reading.skip_rest()
            rooms += 1
        if (record.rooms, record.events) != (rooms, self._events):
            raise self.refusal(f"it holds {rooms} rooms and {self._events} events, and says {record.rooms} and {record.events}")

    def close(self) -> None:
        self._file.close()

    # --- for a room ---------------------------------------------------------------------------

    def next_record(self) -> AnyRecord:
        """The next frame's record; raises `BackupRefused`."""
        digest_before = self._hasher.digest()
        length_bytes = self._read(LENGTH_BYTES)
        length = int.from_bytes(length_bytes, "big")
        if length > FRAME_BYTES_MAX:
            raise self.refusal("it is damaged there")
        packed = self._read(length)
        try:
            record = record_of(packed)
        except ValueError as error:
            raise self.refusal(f"it is damaged there: {error}") from error
        if isinstance(record, Closing):
            if record.digest != digest_before:
                raise self.refusal("it was changed: its digest is another one")
            if self._file.read(1):
                raise self.refusal("something follows its end")
            self.digest = record.digest
        elif isinstance(record, Entries):
            self._events += len(record.entries)
        self._at += LENGTH_BYTES + length
        return record

    def refusal(self, what: str) -> BackupRefused:
        return BackupRefused(f"backup {self._path}: at byte {self._at}: {what}; nothing was made of it")

    def _read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise self.refusal("it ends there, before its end: it was cut")
        self._hasher.update(data)
        return data

    def _check_first_line(self) -> None:
        line = self._file.readline(FIRST_LINE_BYTES_MAX)
        version = line[len(FIRST_WORDS) : -1]
        if not line.startswith(FIRST_WORDS) or not line.endswith(b"\n") or not version.isdigit():
            raise BackupRefused(f"backup {self._path}: this is not a backup of parvis")
        if int(version) > FORMAT_VERSION:
            known = f"its format is {int(version)}, this program knows {FORMAT_VERSION}"
            raise BackupRefused(f"backup {self._path}: written by a newer parvis: {known}")
        self._hasher.update(line)
        self._at = len(line)


class _Reading:
    """One room, as far as the file has been read."""

    __slots__ = ("_has_rows", "_ids", "_next", "_source", "epochs", "name", "rows_seq", "snapshot")

    def __init__(self, source: BackupSource, name: RoomName, begins: RoomBegins) -> None:
        self.name = name
        self.epochs: Sequence[EpochOutline] = [outline_of(epoch) for epoch in begins.epochs]
        self.rows_seq = begins.rows_seq
        self.snapshot = snapshot_of(begins)
        self._source = source
        self._next: Entries | Rows | RoomEnds | None = None
        """What was read and belongs to what is asked for later: entries of a later epoch, rows, the end."""
        self._ids: list[IdRow] = []
        self._has_rows = False

    def entries(self, epoch: EpochOutline) -> Iterator[Sequence[Entry]]:
        number = self.epochs.index(epoch)
        while isinstance(record := self._peek(), Entries) and record.epoch == number:
            self._next = None
            yield record.entries

    def ids(self) -> Sequence[IdRow]:
        if isinstance(self._peek(), Entries):
            raise self._source.refusal(f"room {self.name} has events of no epoch")
        return self._ids

    def rows(self) -> Iterator[Sequence[Row]]:
        while isinstance(record := self._peek(), Rows):
            self._next = None
            yield [row_of(fields) for fields in record.rows]

    def skip_rest(self) -> None:
        while not isinstance(self._peek(), RoomEnds):
            self._next = None

    def _peek(self) -> Entries | Rows | RoomEnds:
        """The next record that is not taken yet; ids on the way to it are."""
        while self._next is None:
            match record := self._source.next_record():
                case Entries() if not self._ids and not self._has_rows:
                    self._next = record
                case Ids() if not self._has_rows:
                    self._ids += [id_row(fields) for fields in record.rows]
                case Rows():
                    self._next, self._has_rows = record, True
                case RoomEnds():
                    self._next = record
                case _:
                    raise self._source.refusal(f"room {self.name} is cut")
        return self._next
