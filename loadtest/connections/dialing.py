"""Where connections go, from which address they come, and how fast they are begun.

One `Dialer` for a worker's process: its readers and its users begin their first connections
in one smooth stream of so many a second, at its hosts in turn.  Who comes back after a loss
does not wait for a turn: the storm that a server's death makes is the one that is measured.
"""

import errno
import ipaddress
import itertools
import resource
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import trio

from client.connection import Dial, dial
from loadtest.readers.secure_sockets import SecureSocket

SOURCE_IPS_MAX: Final = 4096
CATCH_UP_S: Final = 0.02
# First connections under way at once, readers' and users' each.  Seven processes with 500 each kept 3,500 waiting at a gateway
# that took in 300 a second: each gave up after its ten seconds, and the gateway worked for nobody.
HANDSHAKES_AT_ONCE_MAX: Final = 100
# Files, pipes, the master's connection, and sockets of those whose gateway says goaway: they have two for a while.
DESCRIPTORS_RESERVED: Final = 200
# Linux only: a port is chosen when it is known where to, so that one serves every address it is used with (ip(7)).
_BIND_ADDRESS_NO_PORT: Final = 24
_PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EXAMPLE: Final = "--source-ips 127.0.0.2-127.0.0.9"


@dataclass(frozen=True, slots=True)
class Target:
    """One host of a run, found."""

    url: str
    authority: str
    path: str
    host: str
    is_tls: bool
    family: socket.AddressFamily
    address: tuple[str | int | bytes, ...]
    """As `socket.connect` takes it."""


class Pace:
    """Moments so far apart that there are `per_s` a second: smooth, and idle time is not made up for.

    Being late is, by CATCH_UP_S at most: a busy event loop still keeps the rate.
    """

    def __init__(self, per_s: float) -> None:
        """`per_s` is above 0."""
        self.per_s = per_s
        self._next = 0.0

    def reserve(self, now: float) -> float:
        """The next free moment, at most CATCH_UP_S ago; nobody else gets it."""
        at = max(now - CATCH_UP_S, self._next)
        self._next = at + 1 / self.per_s
        return at


class Dialer:
    """Hosts, source addresses and the pace of one worker."""

    def __init__(self, targets: Sequence[Target], source_ips: Sequence[str] = (), connects_per_s_max: float = 1000.0) -> None:
        assert targets, "a load test has somebody to call"
        self.targets = {target.url: target for target in targets}
        self.urls = tuple(self.targets)
        self.pace = Pace(connects_per_s_max)
        self._sources = itertools.cycle(source_ips or [""])
        self._firsts = itertools.cycle(range(len(self.urls)))
        self._users = trio.Semaphore(HANDSHAKES_AT_ONCE_MAX)

    def next_first(self) -> int:
        """The place in `urls` at which the next client begins: each host gets as many."""
        return next(self._firsts)

    def open_socket(self, target: Target) -> socket.socket | SecureSocket:
        """A socket that does not block, from the next source address, not yet connected.  Raises `OSError`."""
        sock = self._plain_socket(target)
        return SecureSocket(sock, self._tls, target.host) if target.is_tls else sock

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def _plain_socket(self, target: Target) -> socket.socket:
        sock = socket.socket(target.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source = next(self._sources)
            if source:
                sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
                sock.bind((source, 0))
        except OSError:
            sock.close()
            raise
        return sock

    def dial(self, turn_came: Callable[[], None] = lambda: None) -> Dial:
        """For one `client.connect`: its first connection waits for its turn, of which it is told, the next ones do not."""
        source = next(self._sources) or None
        has_waited = False

        async def dial_in_turn(url: str) -> trio.abc.Stream:
            nonlocal has_waited
            if has_waited:
                return await dial(url, local_address=source)
            has_waited = True
            await trio.sleep_until(self.pace.reserve(trio.current_time()))
            async with self._users:
                turn_came()
                return await dial(url, local_address=source)

        return dial_in_turn


async def find_targets(urls: Iterable[str]) -> list[Target]:
    """All hosts of a run, their names looked up once.  Raises `ValueError` with one plain sentence."""
    return [await _find(url) for url in urls]


def split_address(url: str) -> tuple[SplitResult, str, int]:
    """A gateway's address, with its host and its port.  Raises `ValueError` with one plain sentence."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
    except ValueError:
        raise ValueError(f"{url} is no address of a gateway: write it as ws://HOST:8001") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"{url} is no address of a gateway: write it as ws://HOST:8001")
    return parts, parts.hostname, port


async def _find(url: str) -> Target:
    parts, host, port = split_address(url)
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ValueError(f"there is no host named {host}: check --host, or take its numeric address") from None
    family, _, _, _, address = found[0]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(url, parts.netloc, path, host, parts.scheme == "wss", socket.AddressFamily(family), tuple(address))


def parse_source_ips(text: str) -> list[str]:
    """Addresses and ranges of them, by commas: ``127.0.0.2-127.0.0.9,127.0.1.1``.

    Raises `ValueError` with one plain sentence.  Whether this machine has them is another question
    (`missing_source_ip`).
    """
    found: list[str] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        first, dash, last = (each.strip() for each in part.partition("-"))
        try:
            begin = ipaddress.ip_address(first)
            end = ipaddress.ip_address(last) if dash else begin
        except ValueError:
            raise ValueError(f'"{part}" is neither an address nor a range of them: write it as in {_EXAMPLE}') from None
        if begin.version != end.version or int(end) < int(begin):
            raise ValueError(f'the range "{part}" ends before it begins: write it as in {_EXAMPLE}')
        if int(end) - int(begin) >= SOURCE_IPS_MAX - len(found):
            raise ValueError(f"these are more than {SOURCE_IPS_MAX} source addresses: one serves 28,000 clients of one port")
        found += [str(type(begin)(number)) for number in range(int(begin), int(end) + 1)]
    if not found:
        raise ValueError(f"no source address is named: write them as in {_EXAMPLE}, or leave the flag out")
    if len(set(found)) < len(found):
        raise ValueError("a source address is named twice: name each once")
    return found


def missing_source_ip(source_ips: Iterable[str]) -> str | None:
    """One plain sentence if one of these is no address of this machine."""
    for source in source_ips:
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            try:
                sock.bind((source, 0))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                return f"this machine has no address {source}: take --source-ips from those of its interfaces (ip address)"
    return None


def raise_descriptor_limit() -> int:
    """Let this process open as many descriptors as it may; answers how many clients that leaves room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(0, hard - DESCRIPTORS_RESERVED)


def shortage(clients: int, clients_of_machine: int, targets: int, source_ips: int) -> str | None:
    """One plain sentence if a process cannot hold `clients`, or the machine `clients_of_machine` of `targets` addresses.

    Looked at before a run, so that one of too few descriptors or ports does not begin.
    """
    room = raise_descriptor_limit()
    if clients > room:
        processes = -(-clients_of_machine // room) if room else 0
        advice = f"take more processes (--processes {processes}) or " if processes else ""
        return (
            f"{clients:,} clients in one process need {clients + DESCRIPTORS_RESERVED:,} descriptors and it may open "
            f"{room + DESCRIPTORS_RESERVED:,}: {advice}raise the limit (ulimit -n {clients + DESCRIPTORS_RESERVED})"
        )
    first, last = ports_range()
    each = (last - first + 1) * targets
    if clients_of_machine > each * max(1, source_ips):
        wanted = -(-clients_of_machine // each)
        return (
            f"{clients_of_machine:,} clients of {targets} address{'es' if targets > 1 else ''} need more than the "
            f"{each * max(1, source_ips):,} ports of {max(1, source_ips)} source address{'es' if source_ips > 1 else ''}: "
            f"name {wanted} or more, as in {_EXAMPLE}"
        )
    return None


def ports_range(path: Path = _PORT_RANGE) -> tuple[int, int]:
    """The first and the last port that the kernel gives to who does not ask for one."""
    first, last = path.read_text().split()
    return int(first), int(last)
