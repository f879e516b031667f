"""parvis/data_dir.py: one user at a time, and keys that are made once."""

import os
from pathlib import Path

import pytest

from parvis.data_dir import (
    holder_of,
    lock_data_dir,
    make_data_dir,
    read_keys,
    read_or_make_key,
    read_or_make_secrets,
)
from parvis.errors import StartError
from runtime.lifecycle import ExitCode


def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    make_data_dir(tmp_path / "a" / "data")
    assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700
    make_data_dir(tmp_path / "a" / "data")


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(StartError, match="is a file") as told:
        make_data_dir(tmp_path / "data")
    assert told.value.code == ExitCode.DATA
    assert (tmp_path / "data").read_text() == "mine"


def test_a_lock_is_exclusive_and_names_its_holder(tmp_path: Path) -> None:
    lock = lock_data_dir(tmp_path)
    assert holder_of(tmp_path) == str(os.getpid())
    with pytest.raises(StartError, match=f"process id {os.getpid()}") as told:
        lock_data_dir(tmp_path)
    assert told.value.code == ExitCode.BUSY
    lock.close()
    assert holder_of(tmp_path) is None
    lock_data_dir(tmp_path).close()


def test_a_lock_lives_as_long_as_the_last_process_that_inherited_it(tmp_path: Path) -> None:
    lock = lock_data_dir(tmp_path)
    inherited = os.dup(lock.fd)
    lock.close()
    assert holder_of(tmp_path) is not None
    os.close(inherited)
    assert holder_of(tmp_path) is None


def test_shards_that_were_started_one_by_one_share_it_but_not_with_an_up(tmp_path: Path) -> None:
    shards = [lock_data_dir(tmp_path, is_shared=True), lock_data_dir(tmp_path, is_shared=True)]
    with pytest.raises(StartError, match="in use"):
        lock_data_dir(tmp_path)
    for each in shards:
        each.close()


def test_asking_who_holds_it_makes_nothing(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    assert holder_of(tmp_path / "absent") is None
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_made_once_private_and_long(tmp_path: Path) -> None:
    key = read_or_make_key(tmp_path / "guest.key")
    assert len(key) == 64
    assert (tmp_path / "guest.key").stat().st_mode & 0o777 == 0o600
    assert read_or_make_key(tmp_path / "guest.key") == key
    assert [path.name for path in tmp_path.iterdir()] == ["guest.key"]


def test_two_secrets_of_a_rotation_are_both_read(tmp_path: Path) -> None:
    (tmp_path / "link.secret").write_bytes(b"n" * 32 + b"\n\n" + b"o" * 40 + b"\n")
    assert read_or_make_secrets(tmp_path / "link.secret") == (b"n" * 32, b"o" * 40)


@pytest.mark.parametrize(("content", "found"), [(b"", "none"), (b"\n \n", "none"), (b"short\n", "one of 5 bytes")])
def test_a_key_file_without_a_key_is_told_and_left(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "guest.key").write_bytes(content)
    with pytest.raises(StartError, match=found) as told:
        read_or_make_key(tmp_path / "guest.key")
    assert told.value.code == ExitCode.DATA
    assert (tmp_path / "guest.key").read_bytes() == content


def test_a_key_that_cannot_be_made_or_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be made"):
        read_or_make_key(tmp_path / "absent" / "guest.key")
    with pytest.raises(StartError, match="cannot be read"):
        read_keys(tmp_path)
