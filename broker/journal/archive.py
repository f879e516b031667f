"""A whole journal, room by room: the seam through which journals are copied, backed up and restored.

A `Source` is read and a `Target` is filled; each engine has one of both, and a backup file is
a `Source` too.  What travels is what a journal promises: epochs in order, chains, heads,
tombstones, ids, tables, snapshots; how an engine cuts a log into rows does not.  All calls block.

A target that is being filled is marked `Unfinished`, and no shard opens it, until it is
finished: a cut leaves something that can be gone on with, never half a journal at work.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Protocol

from broker.journal.protocol import IdRow, JournalCorrupt, Row, Snapshot
from broker.record import CHAIN_START, Entry, Head
from wire.names import RoomName, Slot, Term

# Entries that are read, held and written at once: with texts of TEXT_BYTES_MAX some 4 MiB.
PORTION_ENTRIES: Final = 500
# Rows of tables, likewise: of the longest some 4 MiB.
PORTION_ROWS: Final = 3000
# Names of rooms that are held at once.
PAGE_ROOMS: Final = 1000


class RoomDamaged(JournalCorrupt):
    """What is stored of one room cannot be what was committed."""

    def __init__(self, room: RoomName, what: str) -> None:
        super().__init__(f"room {room} is damaged: {what}")
        self.room = room


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place in a log whose chain is known without what lies before it."""

    offset: int
    chain: bytes


BEGINNING: Final = Anchor(0, CHAIN_START)


@dataclass(frozen=True, slots=True)
class EpochOutline:
    """One epoch of a room without its entries, which are those from `first_kept` to its head."""

    head: Head
    first_kept: int
    anchor: Anchor
    """The oldest one known at or after ``first_kept - 1``, at worst the head: from there on the chain can be verified."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Who may write to a journal: the newest slot map that a claim named, and the term of each slot ever claimed."""

    map_version: int = 0
    terms: Mapping[Slot, Term] = field(default_factory=dict)

    def seal(self) -> str:
        """Equal seals of one journal: nobody has claimed in between, so whoever was fenced before has written nothing."""
        hasher = blake2b(b"%d" % self.map_version, digest_size=16)
        for slot, term in sorted(self.terms.items()):
            hasher.update(b" %d:%d" % (slot, term))
        return hasher.hexdigest()

    def over(self, before: "Standing") -> "Standing":
        """How a target stands that stood at `before` and is filled from here: whoever could write to it is fenced."""
        terms = {slot: Term(term + 1) for slot, term in before.terms.items()}
        terms |= {slot: max(term, terms.get(slot, term)) for slot, term in self.terms.items()}
        return Standing(max(self.map_version, before.map_version), terms)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is, about: for a person who waits.  None: the engine cannot tell cheaply."""

    rooms: int | None = None
    events: int | None = None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The mark of a target: what it is being filled from."""

    doing: str
    """``copy`` or ``restore``."""
    source: str
    """Which journal or which file: its store id, or its digest."""
    seal: str
    """How the source stood; the rooms that are there already are as good as new only while it stands so."""


def unfinished_refusal(journal: str, mark: Unfinished) -> JournalCorrupt:
    """What whoever opens a marked target is told."""
    return JournalCorrupt(f"{journal}: a {mark.doing} into it was not finished; repeat that command, or remove what is there")


class RoomReading(Protocol):
    """One room as it was at one moment; valid until the next one is asked for.

    Asked in this order, each once: the entries of each epoch, the ids, the rows.
    """

    @property
    def name(self) -> RoomName: ...

    @property
    def epochs(self) -> Sequence[EpochOutline]:
        """Oldest first, at least one; each has been written to."""

    @property
    def rows_seq(self) -> int:
        """The sequence of its tables, as it was before their rows were read."""

    @property
    def snapshot(self) -> Snapshot | None:
        """Of its newest epoch."""

    def entries(self, epoch: EpochOutline) -> Iterator[Sequence[Entry]]:
        """All that is kept of one epoch, in order, in portions of at most `PORTION_ENTRIES`."""

    def ids(self) -> Sequence[IdRow]:
        """All ids that are kept, over all epochs; oldest first."""

    def rows(self) -> Iterator[Sequence[Row]]:
        """All its tables, in the order of tables and keys, in portions of at most `PORTION_ROWS`; each has a value.

        Where an engine cannot keep a moment for so long (Redis), rows that were written since may be among them.
        """


class Source(Protocol):
    """Raises `RoomDamaged`, `JournalCorrupt`, `Unavailable`."""

    @property
    def store_id(self) -> str: ...

    def standing(self) -> Standing: ...

    def extent(self) -> Extent: ...

    def rooms(self) -> Generator[RoomReading, None, None]:
        """Every room that was written before the first one was asked for; perhaps later ones, too.

        Closed before the source is."""

    def close(self) -> None: ...


class Target(Protocol):
    """A journal to be filled.  Raises `JournalCorrupt` and `Unavailable`; what was put before is kept then."""

    @property
    def name(self) -> str:
        """For sentences."""

    def unfinished(self) -> Unfinished | None:
        """Its mark, if it has one."""

    def has_rooms(self) -> bool: ...

    def begin(self, mark: Unfinished) -> None:
        """Mark it, from empty or from the mark before; rooms that are there stay."""

    def clear(self) -> None:
        """Take all rooms out of a marked target."""

    def has(self, room: RoomName) -> bool:
        """Whether it has been put, whole."""

    def put(self, room: "CheckedRoom") -> None:
        """Take a room that is not there: wholly or not at all, also when reading it raises."""

    def finish(self, store_id: str, standing: Standing) -> None:
        """Make all of it durable, let claims go on above `standing`, and take the mark away: from now on it is a journal."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Portion:
    """Entries of one epoch, and the chain after each of them: b"" where it is not known."""

    entries: Sequence[Entry]
    chains: Sequence[bytes]


class CheckedRoom(Protocol):
    """A room that is verified as it is read (broker/journal/verify.py); the rules of `RoomReading` hold."""

    @property
    def name(self) -> RoomName: ...

    @property
    def epochs(self) -> Sequence[EpochOutline]: ...

    @property
    def rows_seq(self) -> int: ...

    @property
    def snapshot(self) -> Snapshot | None: ...

    def portions(self, epoch: EpochOutline) -> Iterator[Portion]:
        """Raises `RoomDamaged`, at the latest before it ends."""

    def ids(self) -> Sequence[IdRow]: ...

    def rows(self) -> Iterator[Sequence[Row]]:
        """Raises `RoomDamaged`, at the latest before it ends."""
