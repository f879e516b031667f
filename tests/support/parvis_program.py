"""`parvis` as a program: start it, read where it listens, end it, see what it said."""

import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.support.tree import ROOT

# Generous: the machine that runs the tests may be busy with others.
START_DEADLINE_S = 60.0
END_DEADLINE_S = 30.0


@dataclass(frozen=True)
class Ended:
    """A program that was run to its end."""

    code: int
    out: str
    err: str


async def run_parvis(*arguments: str, stdin: bytes = b"") -> Ended:
    """Run one command that ends by itself."""
    with trio.fail_after(START_DEADLINE_S):
        ended = await trio.run_process(
            [sys.executable, "-m", "parvis", *arguments],
            stdin=stdin, capture_stdout=True, capture_stderr=True, check=False, cwd=ROOT,
        )  # fmt: skip
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@dataclass
class Up:
    """A `parvis up` that has said that it is up."""

    process: trio.Process
    banner: str
    log: Path

    @property
    def page_port(self) -> int:
        return int(re.search(r"Open +http://127\.0\.0\.1:(\d+)/", self.banner)[1])  # type: ignore[index]

    @property
    def admin_port(self) -> int:
        return int(re.search(r"Metrics +http://127\.0\.0\.1:(\d+)/", self.banner)[1])  # type: ignore[index]

    @property
    def websocket_urls(self) -> list[str]:
        return re.findall(r"wss?://127\.0\.0\.1:\d+/", re.search(r"Websocket +(.*)", self.banner)[1])  # type: ignore[index]

    @property
    def same_ports(self) -> list[str]:
        """Arguments that put the next `parvis up` where this one was."""
        gateway_port = self.websocket_urls[0].rpartition(":")[2].rstrip("/")
        return ["--set", f"api.port={self.page_port}", "--set", f"gateway.port={gateway_port}"]

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send one signal and wait; the exit code."""
        self.process.send_signal(number)
        with trio.fail_after(END_DEADLINE_S):
            return await self.process.wait()

    def said(self) -> str:
        """Everything on standard error so far."""
        return self.log.read_text()


@asynccontextmanager
async def parvis_up(data_dir: Path, *arguments: str, ports: Sequence[str] = ("--port", "0")) -> AsyncIterator[Up]:
    """`parvis up` on free ports, killed at the end of the block if it is still there."""
    log = data_dir.parent / f"{data_dir.name}.log"
    with log.open("ab") as err:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "parvis", "up", "--data-dir", str(data_dir), *ports, *arguments],
            stdout=subprocess.PIPE, stderr=err, cwd=ROOT,
        )  # fmt: skip
    try:
        yield Up(process, await _read_banner(process, log), log)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            assert process.stdout is not None
            await process.stdout.aclose()


async def _read_banner(process: trio.Process, log: Path) -> str:
    assert process.stdout is not None
    said = b""
    with trio.fail_after(START_DEADLINE_S):
        while b"Ctrl-C" not in said:
            data = await process.stdout.receive_some(4096)
            assert data, f"parvis up ended before it was up: {log.read_text()}"
            said += data
    return said.decode()
