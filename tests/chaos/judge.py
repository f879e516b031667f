"""What a chaos run has shown: broken promises by name, and how long people had to wait for each kind of fault.  Pure.

Histories are judged by tests/support/history.py, as in every play and simulation.  Added
here is what only a run of real processes has: the record's chain over everything that the
store holds, what shards said over their links while they were being replaced, and time.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from broker.record import CHAIN_PREFIX_BYTES, CHAIN_START, Entry, chain_after, digest_of
from shard_router.slots import slot_of
from tests.chaos.chronicle import (
    Acked,
    Again,
    AnyLine,
    Attached,
    Connected,
    Failed,
    Fault,
    Lost,
    Placed,
    Removed,
    Said,
    Saw,
    Sent,
    Stale,
    Stopped,
)
from tests.support.history import Kept, Place, Seen, Witness, violations
from wire.client_messages import Ack, Refused, Unknown
from wire.names import Epoch, RoomName


@dataclass(frozen=True, slots=True)
class KeptEpoch:
    """One epoch of a room as the store has it at the end: all its entries, and the chain of its head (b"": not known)."""

    epoch: str
    entries: Sequence[Entry]
    head_chain: bytes = b""


@dataclass(slots=True)
class Window:
    """One fault, until the next one, and what people felt of it."""

    fault: Fault
    until: float
    longest_s: float = 0.0
    """The longest that a message took into the log from a sending that was under way in this window: from its first one, unless
    that had failed before the fault, and its sender kept the advised distance.  Those of people whose own connection was
    lost, before they said it or after, are not counted: they waited for that."""
    longest_room: str = ""
    disconnected: int = 0
    failed: int = 0
    """Sendings that were refused or remained unknown, and had to be sent again."""
    stale: int = 0


@dataclass
class Findings:
    """All that is known after a run."""

    violations: list[str] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    said: int = 0
    acked: int = 0
    removed: int = 0
    duplicates_answered: int = 0
    seen: int = 0
    skipped: int = 0
    resets: int = 0
    resumes: int = 0
    moved: int = 0
    epochs: int = 0
    logged_errors: list[str] = field(default_factory=list)
    others_share: float = 0.0
    """Of the machine's cores, used by what does not belong to the run (bench/others.py)."""
    took_s: list[float] = field(default_factory=list)
    """How long each message took into the log."""

    def longest(self, *kinds: str) -> float:
        return max((window.longest_s for window in self.windows if window.fault.kind in kinds), default=0.0)

    def count(self, *kinds: str) -> int:
        return sum(window.fault.kind in kinds for window in self.windows)

    def disconnected(self, *kinds: str) -> int:
        return sum(window.disconnected for window in self.windows if window.fault.kind in kinds)


def judge(lines: Sequence[AnyLine], logs: Mapping[str, Sequence[KeptEpoch]], *, ended: float) -> Findings:
    """Hold everything against everything.  `ended` is when the last message was said: later there are no faults."""
    found = Findings()
    witnesses = _witnesses(lines, found)
    by_room: dict[str, list[Witness]] = defaultdict(list)
    for witness in witnesses:
        by_room[witness.room].append(witness)
    for room, epochs in logs.items():
        kept = [
            Kept(epoch.epoch, entry.offset, entry.id, removed=bool(entry.removed)) for epoch in epochs for entry in epoch.entries
        ]
        found.violations += [f"{room}: {broken}" for broken in violations(by_room.pop(room, ()), kept)]
        found.epochs += len(epochs)
    found.violations += [f"{room}: people were in it, and the store does not know it" for room in by_room]
    chains = {room: chains_of(room, epochs, found.violations) for room, epochs in logs.items()}
    found.violations += writer_violations(lines, chains)
    found.windows = _windows(lines, ended, found)
    return found


def _witnesses(lines: Iterable[AnyLine], found: Findings) -> Iterable[Witness]:
    """Everybody's history again, out of what they wrote."""
    witnesses: dict[tuple[str, str], Witness] = {}
    for line in lines:
        if not isinstance(line, Saw | Placed | Said | Acked | Removed | Failed):
            found.resumes += isinstance(line, Lost)
            found.moved += isinstance(line, Connected) and line.moved
            if isinstance(line, Stopped):
                found.violations.append(f"{line.who} was stopped: {line.code} {line.reason}")
            continue
        key = line.who, line.room
        witness = witnesses.get(key)
        if witness is None:
            witness = witnesses[key] = Witness(line.who, line.room)
        match line:
            case Saw():
                found.seen += 1
                witness.entries.append(Seen(line.epoch, line.offset, line.id))
            case Placed():
                if line.why == "reset":
                    # Each store and shard together still knew everything, and rings reach further than any fault lasts.
                    found.resets += 1
                    found.violations.append(f"{line.who} had to start over in {line.room}, from {line.offset} of {line.epoch}")
                found.skipped += line.why == "skipped"
                witness.entries.append(Place(line.epoch, line.offset, line.continues))
            case Said():
                found.said += 1
            case Acked():
                found.acked += 1
                found.duplicates_answered += line.duplicate
                witness.published(line.id, Ack(0, line.room, line.id, line.epoch, line.offset, 0, line.duplicate))
            case Removed():
                found.removed += 1
                said = Ack(0, line.room, "", line.epoch, line.offset, 0)
                witness.removals.append((said, Ack(0, line.room, "", line.removal_epoch, line.removal, 0)))
            case Failed(is_final=True):
                witness.published(line.id, Refused(0, line.code, ""))
                found.violations.append(f"{line.who}: {line.id} was refused for good as {line.code}")
            case Failed():
                witness.published(line.id, Unknown(0, line.room, line.id))
    return witnesses.values()


def chains_of(room: str, epochs: Sequence[KeptEpoch], broken: list[str]) -> dict[tuple[str, int], str]:
    """The first 8 bytes of the chain at every place of a room's log; what does not verify is added to `broken`."""
    prefixes: dict[tuple[str, int], str] = {}
    for kept in epochs:
        chain, expected = CHAIN_START, 1
        for entry in kept.entries:
            if entry.offset != expected:
                broken.append(f"{room}: the record of {kept.epoch} has {entry.offset} where {expected} belongs")
            expected = entry.offset + 1
            if not entry.removed and digest_of(entry.salt, entry.author, entry.id, entry.body) != entry.digest:
                broken.append(f"{room}: the content at {entry.offset} of {kept.epoch} is not what its digest says")
            chain = chain_after(chain, Epoch(kept.epoch), entry.offset, entry.at, entry.kind, entry.digest)
            prefixes[kept.epoch, entry.offset] = chain[:CHAIN_PREFIX_BYTES].hex()
        if kept.head_chain and kept.head_chain != chain:
            broken.append(f"{room}: the head of {kept.epoch} is on another chain than its entries")
    return prefixes


def writer_violations(lines: Iterable[AnyLine], chains: Mapping[str, Mapping[tuple[str, int], str]]) -> list[str]:
    """Two writers of one slot, by what shards said: one term under two names, or a branch that the record does not have."""
    found: dict[str, None] = {}
    speaker: dict[tuple[int, int], str] = {}
    for line in lines:
        if not isinstance(line, Attached | Sent):
            continue
        if isinstance(line, Attached):
            slot = slot_of(RoomName(line.room))
            first = speaker.setdefault((slot, line.term), line.shard)
            if first != line.shard:
                found[f"two writers: term {line.term} of slot {slot} is spoken for by {first} and by {line.shard}"] = None
        known = chains.get(line.room, {}).get((line.epoch, line.offset))
        if line.offset and known != line.chain:
            found[
                f"two writers: {line.shard} told {line.gateway} of {line.chain} at {line.offset} of {line.epoch} in {line.room},"
                f" where the record has {known}"
            ] = None
    return list(found)


def _windows(lines: Sequence[AnyLine], ended: float, found: Findings) -> list[Window]:
    """What people felt between one fault and the next."""
    faults = sorted((line for line in lines if isinstance(line, Fault)), key=lambda fault: fault.t)
    begins = [fault.t for fault in faults]
    windows = [Window(fault, until) for fault, until in zip(faults, [*begins[1:], ended], strict=True)]
    away: dict[str, list[list[float]]] = defaultdict(list)
    """Of each person, from when to when they had no connection, in order."""
    said: dict[str, Said] = {}
    sendings: dict[str, list[list[float]]] = defaultdict(list)
    """Of each message, from when to when it was on its way, in order."""
    for line in lines:
        place = bisect_right(begins, line.t) - 1
        match line:
            case Lost():
                away[line.who].append([line.t, math.inf])
                if place >= 0:
                    windows[place].disconnected += 1
            case Connected() if away[line.who]:
                away[line.who][-1][1] = min(away[line.who][-1][1], line.t)
            case Failed():
                for sending in sendings[line.id][-1:]:
                    sending[1] = line.t
                if place >= 0:
                    windows[place].failed += 1
            case Stale(stale=True) if place >= 0:
                windows[place].stale += 1
            case Said():
                said[line.id] = line
                sendings[line.id] = [[line.t, math.inf]]
            case Again():
                sendings[line.id].append([line.t, math.inf])
    for line in lines:
        if not isinstance(line, Acked):
            continue
        began = said.pop(line.id)
        took_s = line.t - began.t
        found.took_s.append(took_s)
        if any(lost <= line.t and began.t <= back for lost, back in away[line.who]):
            continue
        # All faults that happened while it was on its way, and the one before, as far as it can be why: until the next one.
        for sent, ended_at in sendings[line.id]:
            first, last = max(0, bisect_right(begins, sent) - 1), bisect_right(begins, min(ended_at, line.t))
            for window in windows[first:last]:
                waited_s = min(line.t, window.until) - sent
                if waited_s > window.longest_s:
                    window.longest_s, window.longest_room = waited_s, line.room
    found.violations += [f"{waiting.who}: {message_id} never came to an end" for message_id, waiting in said.items()]
    return windows
