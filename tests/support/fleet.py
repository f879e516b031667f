"""A cluster of real processes on this machine: each node started, killed, frozen, drained and started again by name.

Blocking, so that a bench can use it as it is and a trio program from a thread.  Every
process has a session of its own (a Ctrl-C is the caller's to handle), writes one log over
all its lives, and is ended by its process id, with what it has started: `Fleet` is a context
manager and leaves none.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import psutil

from tests.support.tree import ROOT

HOST: Final = "127.0.0.1"
# Generous: the machine may be busy with others, and a shard waits for its directory and its store.
READY_DEADLINE_S: Final = 40.0
END_DEADLINE_S: Final = 30.0
# Of a node's own admin port, asked on a machine that a bench or a chaos run keeps busy.
HTTP_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.02

Role = Literal["broker", "gateway"]


class NodeFailed(Exception):
    """A node did not come up, did not leave, or left by itself."""


@dataclass
class Node:
    """One shard or gateway, over all the processes it has been."""

    name: str
    role: Role
    port: int
    admin_port: int
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    """What its command line has besides settings."""
    process: subprocess.Popen[bytes] | None = None
    is_frozen: bool = False
    starts: int = 0

    @property
    def is_up(self) -> bool:
        """Whether it has a process now; a frozen one has."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid


class Fleet:
    """The nodes of one cluster.  `settings` hold for all of them, a node's own win."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self.settings = dict(settings)
        self.nodes: dict[str, Node] = {}
        self.ended_badly: list[str] = []
        """Nodes that were asked to leave and answered with anything but exit code 0."""
        (directory / "data").mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for node in self.nodes.values():
            self.kill(node.name)

    # --- nodes ----------------------------------------------------------------------------------

    def add(
        self, name: str, role: Role, *, port: int, admin_port: int, settings: Mapping[str, str], arguments: Sequence[str] = ()
    ) -> Node:
        """Describe a node; nothing is started.  Its section is `role`."""
        log = self.directory / f"{name}.log"
        node = self.nodes[name] = Node(name, role, port, admin_port, log, dict(settings), tuple(arguments))
        return node

    def of(self, role: Role) -> list[Node]:
        return [node for node in self.nodes.values() if node.role == role]

    def command(self, node: Node) -> list[str]:
        section = node.role
        sets = {
            **self.settings,
            f"{section}.id": node.name,
            f"{section}.port": str(node.port),
            f"{section}.admin_port": str(node.admin_port),
            **node.settings,
        }
        arguments = [f"--set={key}={value}" for key, value in sets.items()]
        program = [sys.executable, "-m", "parvis", node.role, *node.arguments]
        return [*program, "--data-dir", str(self.directory / "data"), *arguments]

    def launch(self, name: str) -> None:
        """Start a node's process and do not wait for it."""
        node = self.nodes[name]
        assert not node.is_up, f"{name} is up already"
        with node.log.open("ab") as log:
            node.process = subprocess.Popen(
                self.command(node), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        node.starts += 1
        node.is_frozen = False

    def wait_ready(self, *names: str, deadline_s: float = READY_DEADLINE_S) -> None:
        """Until each of these says that it is ready; raises `NodeFailed` with the end of its log."""
        deadline = time.monotonic() + deadline_s
        for name in names:
            node = self.nodes[name]
            while not is_ready(node.admin_port):
                ending = f"its log ends:\n{tail_of(node.log)}"
                if not node.is_up:
                    raise NodeFailed(f"{name} ended with {node.process and node.process.returncode}; {ending}")
                if time.monotonic() > deadline:
                    raise NodeFailed(f"{name} was not ready after {deadline_s:.0f} s; {ending}")
                time.sleep(_POLL_S)

    def start(self, *names: str) -> None:
        for name in names:
            self.launch(name)
        self.wait_ready(*names)

    # --- what can be done to them ------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """kill -9, with all that it has started, and wait for the body.  Nothing happens to who is not there."""
        node = self.nodes[name]
        self._signal(name, signal.SIGKILL)
        if node.process is not None:
            node.process.wait()
        node.is_frozen = False

    def freeze(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)
        self.nodes[name].is_frozen = True

    def thaw(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)
        self.nodes[name].is_frozen = False

    def workers(self, name: str) -> list[int]:
        """The processes that a node has started itself, by their ids."""
        return [child.pid for child in psutil.Process(self.nodes[name].pid).children(recursive=True)]

    def _signal(self, name: str, number: int) -> None:
        """To a node that is there and to all that it has started, which may end on their own meanwhile."""
        if self.nodes[name].is_up:
            for pid in (self.nodes[name].pid, *self.workers(name)):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def ask_to_leave(self, name: str) -> None:
        os.kill(self.nodes[name].pid, signal.SIGTERM)

    def wait_left(self, name: str, deadline_s: float = END_DEADLINE_S) -> int:
        """The exit code of a node that was asked to leave; who does not leave in time is killed, and that is an error."""
        process = self.nodes[name].process
        assert process is not None, f"{name} was never started"
        try:
            code = process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill(name)
            self.ended_badly.append(f"{name} had not left {deadline_s:.0f} s after SIGTERM")
            return -signal.SIGKILL
        if code != 0:
            self.ended_badly.append(f"{name} left with exit code {code} after SIGTERM")
        return code

    def metrics(self, name: str) -> str:
        return get(f"http://{HOST}:{self.nodes[name].admin_port}/metrics")

    def counter(self, name: str, metric: str) -> float:
        """The sum of one metric over its labels."""
        return sum(float(value) for value in re.findall(rf"^{metric}(?:{{[^}}]*}})? (\S+)", self.metrics(name), re.MULTILINE))

    def parvis(self, *arguments: str, deadline_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """One command of an operator, with the settings that all nodes share."""
        sets = [f"--set={key}={value}" for key, value in self.settings.items()]
        return subprocess.run(
            [sys.executable, "-m", "parvis", *arguments, *sets],
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline_s, check=False,
        )  # fmt: skip

    def troubles(self) -> Iterator[str]:
        """Lines of the nodes' logs that speak of a bug: errors and tracebacks.  A worker that was killed is none."""
        for node in self.nodes.values():
            if node.log.exists():
                for line in node.log.read_text(errors="replace").splitlines():
                    was_killed = '"process_ended"' in line and '"exit_code": -9' in line
                    if ('"level": "error"' in line and not was_killed) or line.startswith("Traceback"):
                        yield f"{node.name}: {line[:400]}"


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now, below the range from which the kernel picks: a restart finds its own again.

    All are held until the last is found, so that they differ.
    """
    sockets: list[socket.socket] = []
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    port = 10_000 + os.getpid() * 97 % (low - 12_000)
    while len(sockets) < count:
        port = port + 1 if port + 1 < low else 10_000
        sock = socket.socket()
        try:
            sock.bind((HOST, port))
        except OSError:
            sock.close()
            continue
        sockets.append(sock)
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def is_ready(admin_port: int) -> bool:
    try:
        get(f"http://{HOST}:{admin_port}/readyz")
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return True


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as answer:
        text: str = answer.read().decode()
    return text


def tail_of(log: Path, chars: int = 3000) -> str:
    return log.read_text(errors="replace")[-chars:] if log.exists() else ""
