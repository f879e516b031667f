"""Writing a backup: whole or not there, private, and never over something else."""

import stat
from contextlib import closing
from pathlib import Path

import pytest

from broker.journal.archive import RoomDamaged
from broker.journal.backup_source import BackupSource, verify_backup
from broker.journal.backup_writer import write_backup
from broker.journal.fill import Tally
from broker.journal.protocol import Unavailable
from tests.support.archive_contract import Life, ModelStore, lived, quiet
from tests.support.disk import files_no_larger_than
from wire.names import RoomName


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "all.backup"


def write(path: Path, store: ModelStore) -> Tally:
    return write_backup(path, store.source(), now_ms=5, program="0.1.0", on_progress=quiet)


def test_a_backup_is_private_and_holds_everything_and_who_may_write(path: Path) -> None:
    store = ModelStore()
    life = lived(store)
    tally = write(path, store)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = verify_backup(path, quiet)
    assert (found.rooms, found.events) == (tally.rooms, tally.events) == (4, sum(
        len(log) for room in life.shown(store.journal()).values() for log in room[4]
    ))  # fmt: skip
    with closing(BackupSource(path)) as source:
        assert (source.store_id, source.standing()) == (store.store.store_id, store.source().standing())
        assert (source.opening.at, source.opening.program) == (5, "0.1.0")


def test_an_empty_journal_has_a_backup_too(path: Path) -> None:
    assert write(path, ModelStore()) == Tally()
    assert verify_backup(path, quiet).rooms == 0


def test_a_file_that_is_there_is_left(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        write(path, ModelStore())
    assert path.read_text() == "mine"
    assert len(list(path.parent.iterdir())) == 1


def test_of_a_damaged_room_no_backup_is_made(path: Path) -> None:
    store = ModelStore()
    lived(store)
    room = store.store.rooms[RoomName("test/c")]
    del room.logs[room.head.epoch].entries[-1]
    with pytest.raises(RoomDamaged, match="room test/c"):
        write(path, store)
    assert list(path.parent.iterdir()) == []


def test_a_full_disk_leaves_nothing(path: Path) -> None:
    store = ModelStore()
    life = Life(1)
    life.claim(store.journal(), 1)
    for writer in life.writers:
        writer.commit(store.journal(), *(f"text {n}" for n in range(2000)))
    with files_no_larger_than(100_000), pytest.raises(Unavailable, match=r"all\.backup: cannot be written: File too large"):
        write(path, store)
    assert list(path.parent.iterdir()) == []


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file or directory"):
        write(tmp_path / "no" / "all.backup", ModelStore())
