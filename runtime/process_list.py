"""Which processes a parvis of several runs as: a file in its data directory, kept true by the one who starts them.

``processes.json`` is for people and tools of the same machine: who is what, where its figures
are, and whom to signal.  A process id alone is no name, since the kernel gives it away again:
beside it stand the moment at which that process began and a word of its command line, and
whoever signals holds a pidfd before it compares them, so that nothing else can be hit.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

PROCESSES_NAME: Final = "processes.json"
_FILE_BYTES_MAX: Final = 1 << 20


class ListedProcess(Struct, frozen=True):
    """One process."""

    role: str
    """`up` is the one that starts the others and serves the page; `gateway`, `shard`, `store`."""
    name: str
    """No two have the same: ``gateway-1``."""
    pid: Annotated[int, Meta(ge=1, lt=1 << 31)]
    started_ticks: int
    """When it began, in clock ticks since the machine did (proc_pid_stat(5), field 22)."""
    word: str
    """Something that stands in its command line."""
    admin_port: int = 0
    """Of its /metrics on 127.0.0.1; 0 until it serves, or when it has none."""


class Listing(Struct, frozen=True):
    """The whole file."""

    boot_id: str
    """Of the machine's life in which these processes were started."""
    processes: list[ListedProcess]


class NotRunning(Exception):
    """The process that was meant is not there (any more); the message is one plain sentence."""


class ProcessList:
    """The file of one data directory, written by one process.

    Written whole beside its place and then renamed into it: nobody ever reads half of it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / PROCESSES_NAME
        self._processes: dict[str, ListedProcess] = {}

    def put(self, process: ListedProcess) -> None:
        """It is there from now on, in the place of an earlier one of its name."""
        self._processes[process.name] = process
        self._write()

    def drop(self, name: str) -> None:
        """It has ended; nothing happens when it is not listed."""
        if self._processes.pop(name, None) is not None:
            self._write()

    def close(self) -> None:
        """Everything has ended: there is no list any more."""
        self._processes.clear()
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        beside = self._path.with_name(f".{PROCESSES_NAME}.{os.getpid()}")
        listing = Listing(boot_id(), list(self._processes.values()))
        # 0600: whom to signal is nobody else's business.
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(listing), indent=2))
        beside.replace(self._path)


@dataclass(slots=True)
class ListedAs:
    """One name's place in the list, for whoever starts that process again and again."""

    listing: ProcessList
    role: str
    name: str

    def began(self, pid: int, word: str, admin_port: int = 0) -> None:
        """It runs; said again when it serves.  One that has ended meanwhile is not listed."""
        ticks = started_ticks(pid)
        if ticks is not None:
            self.listing.put(ListedProcess(self.role, self.name, pid, ticks, word, admin_port))

    def ended(self) -> None:
        self.listing.drop(self.name)


@contextmanager
def listed(data_dir: Path) -> Iterator[ProcessList]:
    """A list for as long as the block lasts: an old one is none from its first moment on."""
    processes = ProcessList(data_dir)
    processes.close()
    try:
        yield processes
    finally:
        processes.close()


def read_processes(data_dir: Path) -> list[ListedProcess]:
    """Those that the list names; some may have ended since.  Raises `NotRunning` when there is no list that can be used."""
    path = data_dir / PROCESSES_NAME
    nobody = f"no parvis up runs with the data directory {data_dir}"
    try:
        listing = msgspec.json.decode(path.read_bytes()[:_FILE_BYTES_MAX], type=Listing)
    except OSError as error:
        raise NotRunning(f"{nobody}: {path} cannot be read ({error.strerror})") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotRunning(f"{path} is not a list of processes: {error}") from error
    if listing.boot_id != boot_id():
        raise NotRunning(f"{nobody}: its list is from before the machine started")
    return listing.processes


def send_signal(process: ListedProcess, number: signal.Signals) -> None:
    """Signal exactly this process; raises `NotRunning` when it has ended, even if its id is another's now."""
    try:
        # From here on the id cannot come to mean another process to us, whatever happens to this one.
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError as error:
        raise NotRunning(f"{process.name} (process {process.pid}) has ended") from error
    try:
        if not is_running(process):
            raise NotRunning(f"{process.name} (process {process.pid}) has ended")
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError as error:
        raise NotRunning(f"{process.name} (process {process.pid}) has ended") from error
    finally:
        os.close(pidfd)


def is_running(process: ListedProcess) -> bool:
    """Whether this id is still that process: began at that moment, is of our user, with the word in its command line."""
    if started_ticks(process.pid) != process.started_ticks:
        return False
    proc = Path("/proc", str(process.pid))
    with suppress(FileNotFoundError, ProcessLookupError):
        return proc.stat().st_uid == os.getuid() and process.word.encode() in proc.joinpath("cmdline").read_bytes()
    return False


def started_ticks(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine did; None when there is none."""
    with suppress(FileNotFoundError, ProcessLookupError):
        # The command's name stands in parentheses and may hold anything; the fields after it do not.
        return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[19])
    return None


def boot_id() -> str:
    """A random name of the machine's life since it started."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
