"""parvis/chat_command.py: the process around a chat."""

import signal
import subprocess
import sys
from pathlib import Path

import trio

from runtime.lifecycle import ExitCode
from tests.support.parvis_program import parvis_up, run_parvis
from tests.support.tree import ROOT


async def test_lines_of_a_pipe_are_said_in_order_and_read_by_the_next(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        url = up.websocket_urls[0]
        first = await run_parvis("chat", "--as", "Ada", "--url", url, stdin=b"one\ntwo\n")
        assert (first.code, first.err) == (0, "")
        second = await run_parvis("chat", "square/main", "--as", "Bo", "--url", url, "--json", stdin=b"three\n")
        assert second.code == 0
        for line in ("Ada: one", "Ada: two", "Bo (you): three"):
            assert line in second.out
        assert second.out.index("one") < second.out.index("two") < second.out.index("three")


async def test_a_signal_ends_it_in_order(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "parvis", "chat", "--as", "Ada", "--stay", "--url", up.websocket_urls[0]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert process.stdout is not None
        said = b""
        with trio.fail_after(60):
            while b"you are in square/main" not in said:
                said += await process.stdout.receive_some(4096)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == ExitCode.OK
        await process.stdout.aclose()


async def test_a_name_that_is_no_room_is_told() -> None:
    ended = await run_parvis("chat", "Main Square", "--as", "Ada")
    assert ended.code == ExitCode.USAGE
    assert "is not a room name" in ended.err
