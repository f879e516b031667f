"""Which processes a parvis runs as, and that only those are signalled."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runtime.process_list import (
    PROCESSES_NAME,
    ListedAs,
    ListedProcess,
    Listing,
    NotRunning,
    boot_id,
    is_running,
    listed,
    read_processes,
    send_signal,
    started_ticks,
)  # fmt: skip


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process with the word `shard` in its command line, ended in any case."""
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", "shard"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def entry_of(process: "subprocess.Popen[bytes]", word: str = "shard") -> ListedProcess:
    ticks = started_ticks(process.pid)
    assert ticks is not None
    return ListedProcess("shard", "shard-1", process.pid, ticks, word)


def test_the_list_is_there_while_its_block_lasts_and_says_who_runs(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    with listed(tmp_path) as processes:
        place = ListedAs(processes, "shard", "shard-1")
        place.began(sleeper.pid, "shard")
        assert read_processes(tmp_path) == [entry_of(sleeper)]
        place.began(sleeper.pid, "shard", 4711)
        assert [each.admin_port for each in read_processes(tmp_path)] == [4711]
        assert stat.S_IMODE((tmp_path / PROCESSES_NAME).stat().st_mode) == 0o600
        place.ended()
        place.ended()
        assert read_processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_one_that_ended_before_it_was_listed_is_not(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    sleeper.kill()
    sleeper.wait()
    with listed(tmp_path) as processes:
        ListedAs(processes, "shard", "shard-1").began(sleeper.pid, "shard")
        assert not (tmp_path / PROCESSES_NAME).exists()


def test_an_old_list_is_gone_when_a_new_one_begins(tmp_path: Path) -> None:
    (tmp_path / PROCESSES_NAME).write_text("left by one that was killed")
    with listed(tmp_path), pytest.raises(NotRunning, match="no parvis up runs with the data directory"):
        read_processes(tmp_path)


def test_a_list_from_before_the_machine_started_is_none(tmp_path: Path) -> None:
    (tmp_path / PROCESSES_NAME).write_bytes(msgspec.json.encode(Listing("another life", [])))
    with pytest.raises(NotRunning, match="from before the machine started"):
        read_processes(tmp_path)


def test_what_is_no_list_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / PROCESSES_NAME).write_text("{")
    with pytest.raises(NotRunning, match=r"processes\.json is not a list of processes"):
        read_processes(tmp_path)


def test_a_listed_process_is_signalled(sleeper: "subprocess.Popen[bytes]") -> None:
    entry = entry_of(sleeper)
    assert is_running(entry)
    send_signal(entry, signal.SIGKILL)
    assert sleeper.wait(10) == -signal.SIGKILL
    assert not is_running(entry)


def test_a_process_id_that_is_anothers_now_is_not_signalled(sleeper: "subprocess.Popen[bytes]") -> None:
    entry = entry_of(sleeper)
    others = [
        msgspec.structs.replace(entry, started_ticks=entry.started_ticks - 1),
        msgspec.structs.replace(entry, word="gateway"),
    ]
    for other in others:
        with pytest.raises(NotRunning, match=rf"shard-1 \(process {sleeper.pid}\) has ended"):
            send_signal(other, signal.SIGKILL)
    assert sleeper.poll() is None


def test_a_process_of_somebody_else_is_not_signalled(sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: os.stat(f"/proc/{sleeper.pid}").st_uid + 1)
    with pytest.raises(NotRunning, match="has ended"):
        send_signal(entry_of(sleeper), signal.SIGKILL)
    assert sleeper.poll() is None


def test_one_that_has_ended_gets_a_sentence(sleeper: "subprocess.Popen[bytes]") -> None:
    entry = entry_of(sleeper)
    sleeper.kill()
    # Still a zombie: its id is its own, and its command line is empty.
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(NotRunning, match="has ended"):
        send_signal(entry, signal.SIGKILL)
    sleeper.wait()
    with pytest.raises(NotRunning, match="has ended"):
        send_signal(entry, signal.SIGKILL)


def test_a_boot_has_a_name() -> None:
    assert len(boot_id()) == 36


@pytest.mark.parametrize("pid", [-1, 0, 1 << 31, 1 << 70])
def test_an_id_that_no_process_has_makes_no_list(tmp_path: Path, pid: int) -> None:
    text = '{"boot_id":"%s","processes":[{"role":"shard","name":"shard-1","pid":%d,"started_ticks":1,"word":"shard"}]}'
    (tmp_path / PROCESSES_NAME).write_text(text % (boot_id(), pid))
    with pytest.raises(NotRunning, match="is not a list of processes"):
        read_processes(tmp_path)


def test_bytes_that_are_no_text_make_no_list(tmp_path: Path) -> None:
    (tmp_path / PROCESSES_NAME).write_bytes(b'{"boot_id":"\xff\xff","processes":[]}')
    with pytest.raises(NotRunning, match="is not a list of processes"):
        read_processes(tmp_path)
