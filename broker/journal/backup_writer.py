"""Writing a backup: a file that is there whole, or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from broker.journal.archive import CheckedRoom, Source
from broker.journal.backup_format import (
    DIGEST_BYTES,
    FIRST_LINE,
    IDS_PER_FRAME,
    AnyRecord,
    Closing,
    Entries,
    Ids,
    Opening,
    RoomBegins,
    RoomEnds,
    Rows,
    SnapshotRecord,
    flat,
    frame_of,
)
from broker.journal.directory_sync import sync_directory
from broker.journal.fill import Progress, Tally, fill
from broker.journal.protocol import Unavailable
from wire.names import RoomName


def write_backup(path: Path, source: Source, *, now_ms: int, program: str, on_progress: Progress) -> Tally:
    """All of `source` into a new file, readable by its owner only.

    It is built beside its place and linked into it when it is on the disk: what is called
    `path` is a whole backup.  Raises what `source` raises, `FileExistsError`, and `Unavailable`
    when it cannot be written; nothing is left of it then.
    """
    if path.exists():
        raise FileExistsError(str(path))
    with _telling(path):
        # mkstemp makes it private (0600) from its first byte.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            standing = source.standing()
            terms = {int(slot): int(term) for slot, term in standing.terms.items()}
            writer = BackupWriter(file, path)
            writer.write(Opening(source.store_id, now_ms, program, standing.map_version, terms))
            tally = fill(writer, source.rooms(), on_progress)
            writer.close(tally)
            with _telling(path):
                file.flush()
                os.fsync(file.fileno())
        with _telling(path):
            os.link(draft, path)
            sync_directory(path.parent)
    finally:
        draft.unlink(missing_ok=True)
    return tally


class BackupWriter:
    """Takes rooms and writes them; see broker/journal/backup_format.py."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        """`path` is for sentences."""
        self._file = file
        self._path = path
        self._hasher = blake2b(digest_size=DIGEST_BYTES)
        self._put(FIRST_LINE)

    def has(self, room: RoomName) -> bool:
        """Nothing is there before it is put."""
        return False

    def put(self, room: CheckedRoom) -> None:
        """Raises what reading the room raises; the file is of no use then."""
        snapshot = None if room.snapshot is None else SnapshotRecord(room.snapshot.offset, room.snapshot.state)
        self.write(RoomBegins(room.name, [flat(epoch) for epoch in room.epochs], room.rows_seq, snapshot))
        for number, epoch in enumerate(room.epochs):
            for portion in room.portions(epoch):
                self.write(Entries(number, list(portion.entries)))
        rows = [(row.author, row.id, row.offset, row.at, row.body_hash) for row in room.ids()]
        for start in range(0, len(rows), IDS_PER_FRAME):
            self.write(Ids(rows[start : start + IDS_PER_FRAME]))
        for table_rows in room.rows():
            self.write(Rows([(row.table, row.key, row.value or b"") for row in table_rows]))
        self.write(RoomEnds())

    def close(self, tally: Tally) -> None:
        self.write(Closing(tally.rooms, tally.events, self._hasher.digest()))

    def write(self, record: AnyRecord) -> None:
        self._put(frame_of(record))

    def _put(self, data: bytes) -> None:
        with _telling(self._path):
            self._file.write(data)
        self._hasher.update(data)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """What the world does to the file, as a sentence."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise Unavailable(f"backup {path}: cannot be written: {error.strerror}; nothing is left of it") from error
