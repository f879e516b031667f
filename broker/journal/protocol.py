"""The durable store of room logs, ids and terms: one small Protocol, blocking on purpose.

Every call blocks and is made on a worker thread through the injected `offload`.  A journal
verifies and stores; it assigns nothing.  Calls of one journal object are made by one thread
at a time for `claim`/`commit` (the lane) and by another for `load`/`read`, concurrently.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import msgspec

from broker.record import Entry, Head
from wire.names import Epoch, RoomName, Slot, TableName, Term


class Unavailable(Exception):
    """The store cannot be reached, or failed in a way that leaves open what was written: all outcomes are unknown.

    `nothing_done`: the store is known to have done nothing and will do nothing, as when it could not be
    connected to.  What is asked of it next is the same; only who waits for the outcome need not.
    """

    def __init__(self, sentence: str, *, nothing_done: bool = False) -> None:
        super().__init__(sentence)
        self.nothing_done = nothing_done


class JournalCorrupt(Exception):
    """The store is not a journal of ours, is damaged, newer than this program, or cannot be written.  Start nothing on it."""


class IdRow(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """A message id that was used: keyed (author, id); kept `MESSAGE_ID_WINDOW_S`, and at least the last 1,000 of a room.

    A Struct that the collector does not look at (it holds no references back), since a room that is loaded brings a thousand
    and more of them.

    `body_hash` is 8 bytes of blake2b over kind, target and text, without salt, so that the same id
    with another body is found even after the body was erased.
    """

    author: str
    id: str
    offset: int
    at: int
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Erasure:
    """Make the entry at `offset` a tombstone: salt, author, id and body go, `reason` stays."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """What one of a room's tables has under `key` from now on; nothing when `value` is None.

    Tables are for what is many and keyed by person.  They belong to the room and not to an epoch, and
    retention leaves them alone: final totals outlive the log that they were announced in.
    """

    table: TableName
    key: str
    value: bytes | None

    def size(self) -> int:
        """Bytes, roughly, as `Write.size` counts them."""
        return len(self.table) + len(self.key) + len(self.value or b"") + 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a fold of this epoch's log is after `offset`, so that a load need not begin before it.

    It must not contain what can be erased, or the write that erases it must bring another one: an
    engine cannot look into `state`.
    """

    offset: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Write:
    """All that one room adds in one group commit: applied wholly or not at all.

    `base` is the head it builds on (offset 0 with CHAIN_START for a log not begun); `new_epoch`
    says that `base` is the end of the old epoch and that `head` starts another one, whose
    entries are `entries`.  `head` is the head after it.

    Tables have no chain but a sequence: `rows_base` is the one it builds on, checked like `base` though the
    log stands still, and `rows_seq` the one after it.  It rises by one with each write that has rows; a repair
    puts several of them into one, so there it rises by as many.  Two branches of equal length are not told apart
    by it; what makes them impossible is the term.  Rows and snapshots are of rooms that have a log.
    """

    room: RoomName
    slot: Slot
    term: Term
    base: Head
    head: Head
    entries: Sequence[Entry]
    ids: Sequence[IdRow] = ()
    erasures: Sequence[Erasure] = ()
    new_epoch: bool = False
    rows: Sequence[Row] = ()
    """Each row once."""
    rows_base: int = 0
    rows_seq: int = 0
    snapshot: Snapshot | None = None
    """Takes the place of the one before it, and goes with its epoch."""

    def size(self) -> int:
        """Bytes, roughly, for the bound of a group."""
        size = 64 + sum(len(e.body) + 120 for e in self.entries)
        if self.rows:
            size += sum(row.size() for row in self.rows)
        return size if self.snapshot is None else size + len(self.snapshot.state)


class CommitVerdict(Enum):
    COMMITTED = "committed"
    FENCED = "fenced"
    """Another owner claimed a higher term for the slot; nothing was written."""
    BEHIND = "behind"
    """The journal's head is below `base` on the same chain as far as it can tell, or its tables are; nothing was written."""
    DIVERGED = "diverged"
    """The journal holds another epoch, a longer log, other content at `base`, or more rows; nothing was written."""
    UNKNOWN = "unknown"
    """Only a store of several parts answers this: the part that holds this write's slot did not answer, others did."""


@dataclass(frozen=True, slots=True)
class CommitOutcome:
    verdict: CommitVerdict
    head: Head | None = None
    """What the journal has, for `BEHIND` and `DIVERGED`."""
    rows_seq: int = 0
    """The sequence of its tables, for the same."""


@dataclass(frozen=True, slots=True)
class LoadedRoom:
    """What a shard needs to serve a room: its head, the recent tail (oldest first) and the live ids."""

    head: Head
    tail: Sequence[Entry]
    ids: Sequence[IdRow] = field(default_factory=tuple)
    first_offset: int = 1
    """The oldest offset of this epoch that is still kept."""
    rows_seq: int = 0
    """The sequence of its tables; their rows are read by `Journal.rows`."""
    snapshot: Snapshot | None = None
    """The newest of this epoch, not above the head."""


class StaleMap(Exception):
    """A claim under a slot map older than the newest that the journal has seen."""

    def __init__(self, asked: int, newest: int) -> None:
        super().__init__(f"slot map {asked} is older than {newest}, the newest this journal has seen")
        self.asked = asked
        self.newest = newest


class Journal(Protocol):
    """See the module.  Every method may raise `Unavailable`; none retries by itself."""

    @property
    def store_id(self) -> str:
        """The store's own random name, made when it was created: the first epoch of each room is derived from it."""

    def store_run(self) -> str:
        """Which life of the store answers now; another one may have forgotten what this one acknowledged.

        It changes when the store fails over or starts anew from what it kept; never for a store
        that keeps what it acknowledged.  Asked once a second: a call of the lane, and a cheap one.
        """

    def newest_map_version(self) -> int:
        """The newest slot map version any claim has named; 0 when none has."""

    def claim(self, slots: Sequence[Slot], map_version: int, owner: str) -> Mapping[Slot, Term]:
        """Raise the term of each slot by one for `owner`; raises `StaleMap` and then changes nothing."""

    def commit(self, writes: Sequence[Write]) -> Sequence[CommitOutcome]:
        """Verify and store one group, an outcome per write in order; at most one write per room.

        A store of several parts may answer some writes as `UNKNOWN`: those may have been stored, or
        may be stored later still, until their slots are claimed again.  When that is all of them,
        it raises `Unavailable` instead, which says the same of the whole group.

        A term that is not the slot's newest is fenced, a term never claimed here too.  Erasures
        name offsets of the epoch of `head`, also ones that this very write adds; what is no longer
        kept, or erased already, stays as it is.
        """

    def load(self, room: RoomName, tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int) -> LoadedRoom | None:
        """None for a room that was never written.

        The tail is of the newest epoch: its newest entries, at most `tail_events` of them and `tail_bytes`
        encoded.  Ids are those since `ids_since_ms`, and at least the newest `ids_min`; oldest first.
        """

    def read(self, room: RoomName, epoch: Epoch, after: int, limit: int) -> Sequence[Entry]:
        """At most `limit` entries with offset > `after`, in order; erased ones as tombstones."""

    def rows(self, room: RoomName, table: TableName, after_key: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """At most `limit` rows with a key above `after_key` ("" for all), in the order of their keys' code points.

        A call by itself: between two of them rows may be written, so whoever reads page after page sees each row
        that stays, once, and not all of them as of one moment.
        """

    def retain(self, room: RoomName, keep_after: int, ids_before_ms: int, ids_min: int, entries_before_ms: int = 0) -> int:
        """Forget entries up to `keep_after`, entries from before `entries_before_ms`, and ids from before
        `ids_before_ms` beyond the newest `ids_min`; answers the oldest offset of the newest epoch that is kept, 0 for
        a room that was never written.

        `keep_after` is an offset of the newest epoch; when it is above 0, the entries of older
        epochs go too.  Times go for all epochs.  Heads stay.  A call of the lane, like `commit`.
        """

    def idle(self) -> None:
        """The lane has nothing to do now: tidy up, for a few milliseconds at most.  Free when there is nothing to tidy."""

    def close(self) -> None:
        """Release files and locks; what was committed stays."""
