"""What processes cost, as Linux tells it: CPU seconds, memory, and the kernel's memory behind sockets."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SKMEM = re.compile(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f(\d+),w(\d+),o(\d+),bl(\d+),d\d+\)")


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of whole processes, all threads, ended ones too; in steps of 10 ms."""
    total = 0
    for pid in pids:
        # The command's name stands in parentheses and may hold anything; the fields after it do not.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS_PER_S


def pss_kib(pids: list[int]) -> int:
    """Proportional set size: pages that two of the processes share count once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
                break
    return total


@dataclass(frozen=True, slots=True)
class SocketMemory:
    """Kernel memory behind some connections, by end, and how many of them the server still holds open."""

    server_bytes: int
    client_bytes: int
    open_at_server: int


def socket_memory(server_port: int, client_ports: set[int]) -> SocketMemory:
    """Of the connections of `server_port` to these ports.

    What ``ss -tm`` gives: queued for reading and writing, forward-allocated, options, backlog.
    """
    listing = subprocess.run(["ss", "-tmnHO"], capture_output=True, text=True, check=True).stdout
    return parse_socket_memory(listing, server_port, client_ports)


def parse_socket_memory(listing: str, server_port: int, client_ports: set[int]) -> SocketMemory:
    server_bytes = client_bytes = open_at_server = 0
    for line in listing.splitlines():
        columns = line.split()
        memory = _SKMEM.search(line)
        if memory is None or len(columns) < 5:
            continue
        local, peer = (int(address.rpartition(":")[2]) for address in columns[3:5])
        size = sum(map(int, memory.groups()))
        if local == server_port and peer in client_ports:
            server_bytes += size
            open_at_server += columns[0] == "ESTAB"
        elif peer == server_port and local in client_ports:
            client_bytes += size
    return SocketMemory(server_bytes, client_bytes, open_at_server)


def steal_ticks() -> int:
    """Time that the hypervisor gave to somebody else, in ticks: a reason why a figure spreads."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return int(fields[8]) if len(fields) > 8 else 0
