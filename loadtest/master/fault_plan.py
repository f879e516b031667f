"""Faults on demand, as a person writes them, and what each means.  Pure.

One line each, ``--fault`` on the command line or ``faults = [...]`` in a scenario:

    30s kill shard                   SIGKILL: it is gone at once, and started again by who started it
    40s restart gateway-2            SIGTERM: it drains, leaves, and is started again
    45s freeze gateway 3s            SIGSTOP, and SIGCONT three seconds later: it lives and says nothing
    60s slow-readers 100 10s         a hundred readers stop reading for ten seconds
    70s half-open 50                 fifty connections fall silent without being closed
    80s malformed 20                 twenty clients send what is no frame
    90s offline 1000                 a thousand readers lose their network at once, and come back by their own rules

The time counts from the start of the run.  A process is named by its role, or by its own name
when it must be that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from loadtest.master.durations import duration_s, spoken

ROLES: Final = ("shard", "gateway", "store")
SERVER_ACTIONS: Final = ("kill", "restart", "freeze")
FAULT_CLIENTS_MAX: Final = 100_000

Needs = Literal["must", "may", "none"]
# What clients can become, and whether a span of time belongs to it.
CLIENT_KINDS: Final[dict[str, Needs]] = {"slow-readers": "must", "half-open": "may", "malformed": "none", "offline": "none"}


@dataclass(frozen=True, slots=True)
class ServerFault:
    """Something done to a process of the server."""

    at_s: float
    action: str
    """One of SERVER_ACTIONS."""
    target: str
    """One of ROLES, or the name of one process."""
    seconds: float = 0.0
    """Of a freeze."""

    @property
    def text(self) -> str:
        return f"{self.action} {self.target}" + (f" {spoken(self.seconds)}" if self.seconds else "")


@dataclass(frozen=True, slots=True)
class ClientFault:
    """So many clients that misbehave: carried out by the workers."""

    at_s: float
    kind: str
    """One of CLIENT_KINDS."""
    count: int
    seconds: float = 0.0
    """0: until the server ends it."""

    @property
    def text(self) -> str:
        return f"{self.kind} {self.count}" + (f" {spoken(self.seconds)}" if self.seconds else "")


Fault = ServerFault | ClientFault


def parse_faults(lines: Sequence[str]) -> list[Fault]:
    """In the order of their time.  Raises `ValueError` with one plain sentence for the first line that is none."""
    return sorted((parse_fault(line) for line in lines), key=lambda fault: fault.at_s)


def parse_fault(line: str) -> Fault:
    """One line; raises `ValueError` with one plain sentence that says what is possible."""
    try:
        when, what, *rest = line.split()
    except ValueError:
        raise ValueError(f'the fault "{line}" needs a time and what to do, as in "30s kill shard"') from None
    try:
        at_s = duration_s(when)
        return _server_fault(at_s, what, rest) if what in SERVER_ACTIONS else _client_fault(at_s, what, rest)
    except ValueError as error:
        raise ValueError(f'the fault "{line}" cannot be understood: {error}') from None


def _server_fault(at_s: float, action: str, rest: Sequence[str]) -> ServerFault:
    if action != "freeze":
        if len(rest) != 1:
            raise ValueError(f'{action} is followed by one role, as in "30s {action} {ROLES[0]}"')
        return ServerFault(at_s, action, _target(rest[0]))
    if len(rest) != 2:
        raise ValueError('freeze is followed by a role and how long, as in "45s freeze gateway 3s"')
    seconds = duration_s(rest[1])
    if seconds == 0:
        raise ValueError("a freeze of no time is none")
    return ServerFault(at_s, action, _target(rest[0]), seconds)


def _target(word: str) -> str:
    """A role, or a role with a number: which processes there are is known when it is time."""
    role, _, number = word.partition("-")
    if role not in ROLES or (number and not number.isdigit()) or word.endswith("-"):
        raise ValueError(f"{word} is no role: there are {', '.join(ROLES)}, and single ones of them, as in gateway-2")
    return word


def _client_fault(at_s: float, kind: str, rest: Sequence[str]) -> ClientFault:
    if kind not in CLIENT_KINDS:
        raise ValueError(f"{kind} is none; there are {', '.join((*SERVER_ACTIONS, *CLIENT_KINDS))}")
    needs = CLIENT_KINDS[kind]
    example = f'"60s {kind} 100{" 10s" if needs != "none" else ""}"'
    lengths = {"must": (2,), "may": (1, 2), "none": (1,)}[needs]
    if len(rest) not in lengths or not rest[0].isdigit():
        raise ValueError(f"{kind} is followed by a number of clients{_span_of(needs)}, as in {example}")
    count = int(rest[0])
    if not 0 < count <= FAULT_CLIENTS_MAX:
        raise ValueError(f"{kind} can befall 1 to {FAULT_CLIENTS_MAX} clients")
    return ClientFault(at_s, kind, count, duration_s(rest[1]) if len(rest) == 2 else 0.0)


def _span_of(needs: Needs) -> str:
    return {"must": " and how long", "may": " and, if it is to end, how long", "none": ""}[needs]
