"""The directory itself is synced, once, and let go of."""

import os
import stat
from pathlib import Path

import psutil
import pytest

from broker.journal.directory_sync import sync_directory


def test_the_directory_is_synced_and_no_descriptor_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        assert stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    before = psutil.Process().num_fds()
    sync_directory(tmp_path)
    assert synced == [tmp_path.stat().st_ino]
    assert psutil.Process().num_fds() == before


def test_one_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "nowhere")
