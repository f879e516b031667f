"""Starting the servers under measurement, and what one needs to know of them: port, process ids, metrics.

Ours is started by its own command with settings a user could give: rates that let a
few connections speak for a crowd, and the window that the run asks for.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.child import ROOT
from tests.support.fleet import HOST, free_ports, get, is_ready

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 15.0


class NotStarted(Exception):
    """A server did not come up, or went away."""


@dataclass(slots=True)
class Started:
    """A server at work."""

    name: str
    port: int
    processes: list[subprocess.Popen[bytes]]
    admin_ports: list[int] = field(default_factory=list)

    def pids(self) -> list[int]:
        """All its processes, those that it started itself too."""
        pids: list[int] = []
        for process in self.processes:
            if process.poll() is not None:
                raise NotStarted(f"{self.name} ended with {process.returncode}")
            pids += [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        return pids

    def metrics(self) -> str:
        """The text of all its /metrics."""
        return "\n".join(get(f"http://{HOST}:{port}/metrics") for port in self.admin_ports)

    def stop(self) -> None:
        """End it as an operator does; kill what does not leave."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start_neighbour(name: str, module: str) -> Started:
    """A server of ours-to-compare-with; it prints its port as its first line."""
    process = subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None, "started with a pipe"
    with process.stdout:
        line = process.stdout.readline()
    if not line:
        raise NotStarted(f"{name} ended with {process.wait()}")
    return Started(name, int(line), [process])


def start_parvis(data_dir: Path, *, separate: bool, window_passes_per_s: float) -> Started:
    """Gateway and shard as two processes, or both (and the page's server) in one; SQLite with synchronous=FULL.

    Ready when every process says so; raises `NotStarted`.  Its log is ``parvis.log`` in the data directory.
    """
    ports = free_ports(5)
    gateway_port, _, _, gateway_admin, broker_admin = ports
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir / "bench.toml"
    config.write_text(_config(data_dir, ports, window_passes_per_s))
    if separate:
        commands, admin_ports = ["broker", "gateway"], [gateway_admin, broker_admin]
    else:
        commands, admin_ports = ["up"], [gateway_admin]
    name = "parvis, 2 processes" if separate else "parvis, 1 process"
    started = Started(name, gateway_port, [], admin_ports)
    with (data_dir / "parvis.log").open("ab") as log:
        for command in commands:
            # One session apart: the signal of a Ctrl-C goes to the bench, which stops its servers itself.
            process = subprocess.Popen(
                [sys.executable, "-m", "parvis", command, "--config", str(config)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            started.processes.append(process)
    deadline = time.monotonic() + START_TIMEOUT_S
    try:
        while not all(is_ready(port) for port in admin_ports):
            started.pids()
            if time.monotonic() > deadline:
                raise NotStarted(f"{name} was not ready after {START_TIMEOUT_S:.0f} s")
            time.sleep(0.05)
    except NotStarted as error:
        started.stop()
        tail = (data_dir / "parvis.log").read_text(errors="replace")[-2000:]
        raise NotStarted(f"{error}; its log ends:\n{tail}") from error
    return started


def _config(data_dir: Path, ports: list[int], window_passes_per_s: float) -> str:
    gateway_port, link_port, api_port, gateway_admin, broker_admin = ports
    # JSON strings are TOML strings.
    return f"""
data_dir = {json.dumps(str(data_dir))}
[log]
level = "warning"
[gateway]
port = {gateway_port}
admin_port = {gateway_admin}
window_passes_per_s = {window_passes_per_s}
publish_rate_per_s = 1000000.0
publish_burst = 1000000
[admission]
room_publish_rate_per_s = 1000000.0
room_publish_burst = 1000000
[broker]
port = {link_port}
admin_port = {broker_admin}
[cluster.shards]
shard-1 = "{HOST}:{link_port}"
[api]
port = {api_port}
[journal]
synchronous = "full"
"""
