"""Roles as processes of their own, over one data directory: started, read in their logs, killed with their test."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from tests.support.parvis_program import END_DEADLINE_S, START_DEADLINE_S
from tests.support.tree import ROOT


class Role:
    """One process; it dies with its test."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def kill(self) -> None:
        """As kill -9 does; returns when it is gone."""
        self._process.kill()
        self._process.wait()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Its exit code, within the time that an end may take."""
        with trio.fail_after(END_DEADLINE_S):
            while (code := self._process.poll()) is None:
                await trio.sleep(0.02)
        return code

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None


class Roles:
    """`parvis broker` and `parvis gateway`, by node; `close` kills what is left."""

    def __init__(self, directory: Path, common: Sequence[str]) -> None:
        """`common` are words that every role is started with."""
        self.directory = directory
        self.processes: dict[str, Role] = {}
        self._started: list[Role] = []
        self._common = [*common, "--data-dir", str(directory / "data")]

    def words(self, role: str, node: str) -> list[str]:
        """The command line of a node, after its role."""
        return [*self._common, "--set", f"{role}.id={node}", "--set", f"{role}.port=0"]

    def start(self, role: str, node: str, *more: str) -> None:
        """Start a node, or start it again; its log is that of its earlier lives, continued."""
        with (self.directory / f"{node}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "parvis", role, *self.words(role, node), *more],
                stdin=subprocess.DEVNULL, stderr=log, cwd=ROOT,
            )  # fmt: skip
        self.processes[node] = Role(process)
        self._started.append(self.processes[node])

    def log(self, node: str) -> str:
        return (self.directory / f"{node}.log").read_text()

    async def said(self, node: str, pattern: str, times: int = 1) -> None:
        """Wait until a node's log has this, so often."""
        with trio.fail_after(START_DEADLINE_S):
            while len(re.findall(pattern, self.log(node))) < times:
                assert not self.processes[node].has_ended, self.log(node)
                await trio.sleep(0.02)

    async def ready(self, *nodes: str) -> None:
        for node in nodes:
            await self.said(node, '"event": "ready"')

    def port_of(self, node: str) -> int:
        """Where it listens in its newest life."""
        return int(re.findall(r'"event": "ready".*"port": (\d+)', self.log(node))[-1])

    def close(self) -> None:
        for each in self._started:
            each.kill()
