"""Reading a backup: all of it comes back, and a file that was cut, changed or is none is refused by name and place."""

import zlib
from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest

from broker.journal.backup_format import (
    DIGEST_BYTES,
    FIRST_LINE,
    LENGTH_BYTES,
    BackupRefused,
    Closing,
    Entries,
    Ids,
    Opening,
    RoomBegins,
    RoomEnds,
    Rows,
    flat,
    frame_of,
)
from broker.journal.backup_source import BackupSource, verify_backup
from broker.journal.backup_writer import BackupWriter, write_backup
from broker.journal.fill import Tally, fill
from broker.journal.protocol import IdRow
from tests.support.archive_contract import Life, ModelStore, heads, lived, quiet
from tests.support.journal_writes import loaded, tables_in
from wire.names import RoomName

OPENING = Opening("store-1", 5, "0.1.0", 3, {1: 2})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "all.backup"


def backed_up(path: Path, seed: int = 1) -> tuple[ModelStore, Life]:
    store = ModelStore()
    life = lived(store, seed)
    write_backup(path, store.source(), now_ms=5, program="0.1.0", on_progress=quiet)
    return store, life


@pytest.mark.parametrize("seed", range(4))
def test_every_room_comes_back_as_it_was(path: Path, seed: int) -> None:
    store, life = backed_up(path, seed)
    again = ModelStore()
    with closing(BackupSource(path)) as source:
        fill(again.target(), source.rooms(), quiet)
        assert source.digest == verify_backup(path, quiet).digest
    assert life.shown(again.journal()) == life.shown(store.journal())
    assert heads(again.source()) == heads(store.source())


def test_rooms_that_are_not_wanted_are_passed_over(path: Path) -> None:
    store, life = backed_up(path)
    again = ModelStore()
    with closing(BackupSource(path)) as source:
        fill(again.target(), source.rooms(), quiet)
    for name in ("test/a", "test/c"):
        del again.store.rooms[RoomName(name)]
    with closing(BackupSource(path)) as source:
        tally = fill(again.target(), source.rooms(), quiet)
    assert (tally.rooms, tally.rooms_there) == (2, 2)
    assert life.shown(again.journal()) == life.shown(store.journal())


def test_a_backup_of_the_format_before_tables_is_read_as_it_was(path: Path) -> None:
    """Format 1: its rooms begin with name and epochs alone."""
    (reading,) = (room for room in backed_up(path)[0].source().rooms() if room.name == "test/a")
    epochs = [flat(epoch) for epoch in reading.epochs]
    entries = [Entries(n, list(e)) for n, epoch in enumerate(reading.epochs) for e in reading.entries(epoch)]
    old = b"parvis backup 1\n" + frame_of(OPENING)
    old += _packed([2, "test/a", [msgspec.to_builtins(epoch, builtin_types=(bytes,)) for epoch in epochs]])
    old += b"".join(map(frame_of, entries)) + frame_of(RoomEnds())
    events = sum(len(record.entries) for record in entries)
    path.write_bytes(old + frame_of(Closing(1, events, blake2b(old, digest_size=DIGEST_BYTES).digest())))
    assert verify_backup(path, quiet).rooms == 1
    again = ModelStore()
    with closing(BackupSource(path)) as source:
        fill(again.target(), source.rooms(), quiet)
    room = loaded(again.journal(), RoomName("test/a"))
    assert room.head == reading.epochs[-1].head
    assert (room.rows_seq, room.snapshot, tables_in(again.journal(), RoomName("test/a"))) == (0, None, {})


def _packed(record: object) -> bytes:
    packed = zlib.compress(msgspec.msgpack.encode(record), 1)
    return len(packed).to_bytes(LENGTH_BYTES, "big") + packed


def refused(path: Path) -> str:
    before = path.read_bytes()
    with pytest.raises(BackupRefused) as refusal:
        verify_backup(path, quiet)
    assert path.read_bytes() == before
    return str(refusal.value)


def test_a_file_that_was_cut_anywhere_is_refused(path: Path) -> None:
    backed_up(path)
    whole = path.read_bytes()
    for length in (*range(len(FIRST_LINE), 200), *range(200, len(whole), 997), len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "it was cut" in refused(path), length


def test_a_file_in_which_any_byte_was_changed_is_refused(path: Path) -> None:
    backed_up(path)
    whole = path.read_bytes()
    for place in (*range(0, 300, 7), *range(300, len(whole), 499), len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert str(path) in refused(path), place


def test_what_follows_the_end_is_refused(path: Path) -> None:
    backed_up(path)
    with path.open("ab") as file:
        file.write(b"!")
    assert "something follows its end" in refused(path)


@pytest.mark.parametrize(
    "content", [b"", b"parvis", b"SQLite format 3\x00" + bytes(5000), b"parvis backup one\n", b"parvis backup \n"]
)
def test_a_file_of_another_kind_is_none_of_ours(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "not a backup of parvis" in refused(path)


def test_a_backup_of_a_newer_program_is_left_to_it(path: Path) -> None:
    backed_up(path)
    path.write_bytes(path.read_bytes().replace(FIRST_LINE, b"parvis backup 3\n"))
    assert "written by a newer parvis: its format is 3, this program knows 2" in refused(path)


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BackupRefused, match="cannot be read: No such file"):
        BackupSource(tmp_path / "none")
    with pytest.raises(BackupRefused, match="cannot be read: Is a directory"):
        BackupSource(tmp_path)


# --- files with a true digest that make no sense -----------------------------------------------------


def made_of(path: Path, *records: object, closing_: Tally | None = None) -> None:
    with path.open("wb") as file:
        writer = BackupWriter(file, path)
        for record in records:
            writer.write(record)  # type: ignore[arg-type]  # any record, in any order
        if closing_ is not None:
            writer.close(closing_)


def ids_of_all(path: Path) -> list[Sequence[IdRow]]:
    with closing(BackupSource(path)) as source:
        return [(room.ids(), list(room.rows()))[0] for room in source.rooms()]


ROOM = RoomBegins("test/room", [])


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([RoomEnds()], "does not begin as a backup does"),
        ([OPENING, RoomEnds()], "something stands between two rooms"),
        ([OPENING, OPENING], "something stands between two rooms"),
        ([OPENING, RoomBegins("no room", [])], "a name that no room can have"),
        ([OPENING, ROOM, ROOM], "room test/room is cut"),
        ([OPENING, ROOM, Closing(0, 0, bytes(32))], "its digest is another one"),
        ([OPENING, ROOM], "it was cut"),
        ([OPENING, ROOM, Rows([]), Ids([])], "room test/room is cut"),
        ([OPENING, ROOM, Rows([]), Entries(0, [])], "room test/room is cut"),
    ],
)
def test_records_in_an_order_that_no_backup_has_are_refused(path: Path, records: list[object], sentence: str) -> None:
    made_of(path, *records)
    with pytest.raises(BackupRefused, match=sentence):
        ids_of_all(path)


def test_a_file_that_miscounts_itself_is_refused(path: Path) -> None:
    made_of(path, OPENING, closing_=Tally(rooms=1))
    assert "it holds 0 rooms and 0 events, and says 1 and 0" in refused(path)


def test_events_of_no_epoch_are_refused(path: Path) -> None:
    made_of(path, OPENING, ROOM, Entries(3, []), RoomEnds(), closing_=Tally(rooms=1))
    with pytest.raises(BackupRefused, match="has events of no epoch"):
        ids_of_all(path)


def test_a_length_that_no_frame_has_is_refused_before_it_is_read(path: Path) -> None:
    path.write_bytes(FIRST_LINE + frame_of(OPENING) + b"\xff\xff\xff\xff")
    assert "it is damaged there" in refused(path)
