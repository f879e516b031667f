"""What is written down while things go wrong: one JSON array a line, by every process that sees something.

`t` is the machine's monotonic clock in seconds, which all processes of one machine share.
A crowd writes what its clients saw, the driver what shards said over its taps and which
faults it caused.  The judge reads all of it afterwards.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec
from msgspec import Struct


class Line(Struct, array_like=True, frozen=True):
    """Base of all lines."""

    t: float


# --- clients --------------------------------------------------------------------------------


class Saw(Line, tag="saw", frozen=True):
    """A client was given an event."""

    who: str
    room: str
    epoch: str
    offset: int
    id: str


class Placed(Line, tag="placed", frozen=True):
    """A client was told where it stands: `why` is ``joined``, ``reset`` or ``skipped``; see history.Place."""

    who: str
    room: str
    epoch: str
    offset: int
    continues: bool
    why: str


class OfMessage(Line, frozen=True):
    """Base: whose message, where, and its id."""

    who: str
    room: str
    id: str


class Said(OfMessage, tag="said", frozen=True):
    """A client first sent a message."""


class Again(OfMessage, tag="again", frozen=True):
    """A message that failed for now is sent once more, under its id."""


class Acked(OfMessage, tag="acked", frozen=True):
    epoch: str
    offset: int
    duplicate: bool


class Removed(Line, tag="removed", frozen=True):
    """A client took back what it had said at `offset`; the removal was acknowledged at `removal`."""

    who: str
    room: str
    epoch: str
    offset: int
    removal_epoch: str
    removal: int


class Failed(OfMessage, tag="failed", frozen=True):
    """A sending was refused, or its outcome is ``unknown``; it is sent again unless `is_final`."""

    code: str
    is_final: bool


class Connected(Line, tag="connected", frozen=True):
    who: str
    server: str
    moved: bool


class Lost(Line, tag="lost", frozen=True):
    """A connection ended and another is to be opened."""

    who: str
    code: int
    reason: str


class Stopped(Line, tag="stopped", frozen=True):
    """A client ended for good, though nobody asked it to."""

    who: str
    code: int
    reason: str


class Stale(Line, tag="stale", frozen=True):
    who: str
    room: str
    stale: bool


# --- taps -------------------------------------------------------------------------------------


class OfShard(Line, frozen=True):
    """Base: which shard told which gateway of a room, under which term, up to where."""

    shard: str
    gateway: str
    room: str
    term: int
    epoch: str
    offset: int
    chain: str


class Attached(OfShard, tag="attached", frozen=True):
    """A shard opened a feed of a room for a gateway."""

    resumed: bool


class Sent(OfShard, tag="sent", frozen=True):
    """A shard sent events of a room: `chain` is the first 8 bytes of the record's chain at `offset`, in hex."""


# --- faults ------------------------------------------------------------------------------------


class Fault(Line, tag="fault", frozen=True):
    """Something was done to the cluster at `t`; by `healed` it was undone."""

    healed: float
    kind: str
    target: str
    calm: float
    """When everything flowed again; 0: it never did within the patience."""


AnyLine = Saw | Placed | Said | Again | Acked | Removed | Failed | Connected | Lost | Stopped | Stale | Attached | Sent | Fault

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(AnyLine)


def now() -> float:
    """The clock of all lines."""
    return time.monotonic()


class Chronicle:
    """One file of lines; a context manager.  Buffered: what it holds is on disk when it is closed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=256 * 1024)

    def write(self, line: Line) -> None:
        self._file.write(_ENCODER.encode(line))
        self._file.write(b"\n")

    def __enter__(self) -> "Chronicle":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def read_lines(path: Path) -> Iterator[AnyLine]:
    """All lines of one file, in order."""
    with path.open("rb") as file:
        for line in file:
            yield _DECODER.decode(line)
