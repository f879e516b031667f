"""CPU and memory of the server, seen from outside: scraped from its /metrics, or told by this machine.

`--observe http://host:9001/metrics` names an admin port of a gateway or a shard; several may be
named.  `--target-data-dir` names them all (`runtime/process_list.py`), by the names they keep when they
are started again.  Without either, and with the target on this machine, the processes that listen on its
ports and those that started them are looked up.  What cannot be looked at is said once, and is no
reason to end a run.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import psutil
import trio
from prometheus_client.parser import text_string_to_metric_families

from loadtest.figures.record import ServerProbe
from runtime.process_list import NotRunning, is_running, read_processes
from runtime.streams import recv_some, send_all
from runtime.transport import Network

LOOK_EVERY_S: Final = 1.0
SCRAPE_DEADLINE_S: Final = 1.0
# Under 500 series a process, 100 bytes each: a hundred workers behind one port.
SCRAPE_BYTES_MAX: Final = 8 * 1024 * 1024
PROCESSES_MAX: Final = 64
_DESCRIPTORS_LOOKED_AT: Final = 64
_LISTEN: Final = "0A"
"""A state as /proc/net/tcp writes it."""

# Ours, and what client libraries of Prometheus call them.
_CPU: Final = ("parvis_cpu_seconds", "process_cpu_seconds")
_MEMORY: Final = ("parvis_resident_memory_bytes", "process_resident_memory_bytes")
# What tells the processes behind one port apart.
_LABELS: Final = ("node", "worker", "name")


class Source(Protocol):
    """Something that knows processes of the server."""

    name: str

    async def look(self) -> dict[str, tuple[float, int]]:
        """By process: CPU seconds since it began, resident bytes.  Raises `OSError` or `ValueError` when it cannot say."""


class Probes:
    """All sources of one run; `run` looks at them once a second."""

    def __init__(self, sources: Sequence[Source], told: Callable[[list[ServerProbe]], None], warn: Callable[[str], None]) -> None:
        self._sources = sources
        self._told = told
        self._warn = warn
        self._before: dict[tuple[str, str], tuple[float, float]] = {}
        """Of each process: when it was looked at last, and its CPU seconds then."""
        self._failed: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            at = trio.current_time() + LOOK_EVERY_S
            self._told(await self._look())
            await trio.sleep_until(at)

    async def _look(self) -> list[ServerProbe]:
        found: dict[str, dict[str, tuple[float, int]]] = {}
        async with trio.open_nursery() as nursery:
            for source in self._sources:
                nursery.start_soon(self._ask, source, found)
        now = trio.current_time()
        probes = [
            self._probe(source.name, process, now, *figures)
            for source in self._sources
            for process, figures in sorted(found.get(source.name, {}).items())
        ]
        return probes[:PROCESSES_MAX]

    async def _ask(self, source: Source, found: dict[str, dict[str, tuple[float, int]]]) -> None:
        try:
            with trio.fail_after(SCRAPE_DEADLINE_S):
                found[source.name] = await source.look()
        except (OSError, ValueError, trio.TooSlowError) as error:
            if source.name not in self._failed:
                self._failed.add(source.name)
                self._warn(f"the server's CPU and memory cannot be seen at {source.name}: {str(error) or 'no answer in time'}")
        else:
            self._failed.discard(source.name)

    def _probe(self, source: str, process: str, now: float, cpu_s: float, rss_bytes: int) -> ServerProbe:
        before_at, before_s = self._before.get((source, process), (now, cpu_s))
        self._before[source, process] = (now, cpu_s)
        # One that was started again begins at 0: it has no past to subtract.
        share = max(0.0, cpu_s - before_s) / (now - before_at) if now > before_at else 0.0
        return ServerProbe(process, share, rss_bytes)


class Scrape:
    """One ``http://host:port/metrics``."""

    def __init__(self, url: str, network: Network) -> None:
        """Raises `ValueError` with one plain sentence."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port or 80
        except ValueError:
            port = 0
        if parts.scheme != "http" or not parts.hostname or not port:
            raise ValueError(f"{url} is no address of figures: write it as http://HOST:9001/metrics")
        self.name = url
        self._host, self._port = parts.hostname, port
        self._path = parts.path if parts.path not in ("", "/") else "/metrics"
        self._network = network

    async def look(self) -> dict[str, tuple[float, int]]:
        answer = await self._fetch()
        head, _, body = answer.partition(b"\r\n\r\n")
        status = head.split(b"\r\n", 1)[0].decode("ascii", "replace")
        if " 200 " not in f"{status} ":
            raise ValueError(f"it answered {status or 'nothing'}")
        found = parse_figures(body.decode("utf-8", "replace"), self.name)
        if not found:
            raise ValueError("there is neither CPU nor memory among its figures")
        return found

    async def _fetch(self) -> bytes:
        transport = await self._network.connect(self._host, self._port)
        try:
            request = f"GET {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nConnection: close\r\n\r\n"
            await send_all(transport, request.encode())
            answer = bytearray()
            while len(answer) <= SCRAPE_BYTES_MAX and (data := await recv_some(transport)):
                answer += data
            return bytes(answer)
        finally:
            transport.close()


def parse_figures(text: str, name: str) -> dict[str, tuple[float, int]]:
    """CPU seconds and resident bytes of each process that the text tells of; one without labels is called `name`."""
    cpu: dict[str, float] = {}
    memory: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        if family.name in _CPU or family.name in _MEMORY:
            for sample in filter(lambda sample: isfinite(sample.value), family.samples):
                who = "/".join(sample.labels[label] for label in _LABELS if sample.labels.get(label)) or name
                if family.name in _CPU:
                    cpu[who] = sample.value
                else:
                    memory[who] = int(sample.value)
    return {who: (cpu.get(who, 0.0), memory.get(who, 0)) for who in {**cpu, **memory}}


class ListedProcesses:
    """Those that a `parvis up` of this machine lists in its data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.name = str(data_dir)
        self._data_dir = data_dir

    async def look(self) -> dict[str, tuple[float, int]]:
        await trio.lowlevel.checkpoint()
        try:
            listed = read_processes(self._data_dir)
        except NotRunning as error:
            raise ValueError(str(error)) from error
        found: dict[str, tuple[float, int]] = {}
        for each in filter(is_running, listed):
            with suppress(psutil.Error):
                found[each.name] = _used(psutil.Process(each.pid))
        return found


class LocalProcesses:
    """The processes of this machine that serve the target's ports, and those that were started together with them."""

    name = "this machine"

    def __init__(self, ports: Iterable[int]) -> None:
        self._ports = frozenset(ports)
        self._known: dict[str, psutil.Process] = {}

    async def look(self) -> dict[str, tuple[float, int]]:
        if not self._known or not all(process.is_running() for process in self._known.values()):
            # All processes of the machine are walked through: tenths of a second, on a thread.
            self._known = await trio.to_thread.run_sync(self._walk, abandon_on_cancel=True)
        found: dict[str, tuple[float, int]] = {}
        for name, process in self._known.items():
            with suppress(psutil.Error):
                found[name] = _used(process)
        if not found:
            raise ValueError("the target's processes are not ours to look at; name its metrics with --observe")
        return found

    def _walk(self) -> dict[str, psutil.Process]:
        return dict(_name(process) for process in self._find())

    def _find(self) -> list[psutil.Process]:
        """Whoever listens, the parvis that started it, and all that this one has started."""
        found: dict[int, psutil.Process] = {}
        for listening in listeners(self._ports):
            top = listening
            with suppress(psutil.Error):
                while (parent := top.parent()) is not None and _is_parvis(parent):
                    top = parent
                for each in (top, *top.children(recursive=True)):
                    found[each.pid] = each
        return sorted(found.values(), key=lambda process: process.pid)[:PROCESSES_MAX]


def _used(process: psutil.Process) -> tuple[float, int]:
    """CPU seconds and resident bytes."""
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss


def listeners(ports: frozenset[int]) -> Iterator[psutil.Process]:
    """Processes that listen on one of the ports; those of other users cannot be seen.

    `psutil.net_connections` says the same, but reads every descriptor of every process: with some
    ten thousand clients on the machine that takes half a minute.
    """
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(ports)}
    for pid in psutil.pids() if wanted else ():
        if wanted & _first_descriptors(pid):
            with suppress(psutil.Error):
                yield psutil.Process(pid)


def _listening_inodes(ports: frozenset[int]) -> Iterator[str]:
    """Of the sockets that listen on these ports; the kernel lists what listens before what is connected."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError), open(table) as lines:
            next(lines, None)
            for line in lines:
                _, local, _, state, *_, inode = line.split()[:10]
                if state != _LISTEN:
                    break
                if int(local.rpartition(":")[2], 16) in ports:
                    yield inode


def _first_descriptors(pid: int) -> set[str]:
    """What the lowest descriptors of a process are: a server listens before it has clients."""
    names: set[str] = set()
    with suppress(OSError):
        for fd in sorted(map(int, os.listdir(f"/proc/{pid}/fd")))[:_DESCRIPTORS_LOOKED_AT]:
            with suppress(OSError):
                names.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return names


def _is_parvis(process: psutil.Process) -> bool:
    return any(word.rpartition("/")[2] == "parvis" for word in process.cmdline())


def _name(process: psutil.Process) -> tuple[str, psutil.Process]:
    """`gateway-1`, `shard-2`, `up`, `valkey-server`: as people know it, with its id."""
    words: list[str] = []
    with suppress(psutil.Error):
        words = process.cmdline()
    for word in words:
        key, _, value = word.partition("=")
        if key in ("gateway.id", "broker.id"):
            return f"{value} ({process.pid})", process
    names = [words[place + 1] for place, word in enumerate(words[:-1]) if word.rpartition("/")[2] == "parvis"]
    name = names[0] if names else (words[0].rpartition("/")[2] if words else "process")
    return f"{name} ({process.pid})", process
