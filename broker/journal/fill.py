"""Filling a journal from elsewhere: every room verified on its way, nothing put twice, nothing at work before all is there.

`copy_journal` moves a whole journal to another engine or file: epochs, positions and terms
stay.  First it claims every slot of the old one under a newer slot map, so that whoever
still runs on it is fenced; that nobody claimed anything until the end is the proof that
nothing was written meanwhile, and the seal that lets a copy that was cut go on.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Protocol

from broker.journal.archive import CheckedRoom, RoomReading, Source, Target, Unfinished
from broker.journal.protocol import Journal
from broker.journal.verify import VerifiedRoom
from wire.limits import SLOT_COUNT
from wire.names import RoomName, Slot

COPY: Final = "copy"
# The owner that the old journal names for its slots afterwards.
COPIER: Final = "journal-copy"


class Taker(Protocol):
    """Takes room after room: a `Target`, or a file that is written."""

    def has(self, room: RoomName) -> bool: ...

    def put(self, room: CheckedRoom) -> None: ...


class TargetRefused(Exception):
    """What is to be filled is neither empty nor the unfinished work of the same command.  Nothing was changed."""


class SourceInUse(Exception):
    """A shard claimed slots of a journal while it was copied."""


@dataclass(slots=True)
class Tally:
    """What was done so far."""

    rooms: int = 0
    events: int = 0
    rooms_there: int = 0
    """Rooms that an earlier try had put already."""


Progress = Callable[[Tally], None]


def copy_journal(journal: Journal, source: Source, target: Target, *, anew: bool, on_progress: Progress) -> Tally:
    """Make `target` what `source` is; `journal` is the same store as `source`, to claim its slots.

    `anew`: an unfinished target of something else is emptied.  Raises what the two raise,
    `TargetRefused` and `SourceInUse`; the target stays unfinished then.
    """
    standing = source.standing()
    mark = Unfinished(COPY, source.store_id, standing.seal())
    if target.unfinished() != mark:
        check_target(target, mark, anew)
        journal.claim([Slot(n) for n in range(SLOT_COUNT)], journal.newest_map_version() + 1, COPIER)
        standing = source.standing()
        mark = Unfinished(COPY, source.store_id, standing.seal())
    prepare(target, mark, anew)
    tally = fill(target, source.rooms(), on_progress)
    if source.standing() != standing:
        raise SourceInUse("a shard has claimed slots of the journal while it was copied: end every parvis on it, then repeat")
    target.finish(source.store_id, standing)
    return tally


def check_target(target: Target, mark: Unfinished, anew: bool) -> None:
    """Raises `TargetRefused` unless `prepare` would go on from here."""
    found = target.unfinished()
    if found is None:
        if target.has_rooms():
            raise TargetRefused(f"{target.name} is not empty")
    elif (found.doing, found.source) != (mark.doing, mark.source) and not anew:
        raise TargetRefused(
            f"{target.name} has an unfinished {found.doing} from elsewhere in it; --anew throws that away"
        )


def prepare(target: Target, mark: Unfinished, anew: bool) -> None:
    """Mark the target, and keep what an earlier try put there if it is still good.  Raises `TargetRefused`."""
    check_target(target, mark, anew)
    found = target.unfinished()
    if found == mark:
        return
    if found is not None:
        # The source was written to since, or it is another one.
        target.clear()
    target.begin(mark)


def fill(taker: Taker, rooms: Generator[RoomReading, None, None], on_progress: Progress) -> Tally:
    """Put every room that is not there."""
    tally = Tally()

    def count(events: int) -> None:
        tally.events += events
        on_progress(tally)

    with closing(rooms):
        for reading in rooms:
            if taker.has(reading.name):
                tally.rooms_there += 1
            else:
                taker.put(VerifiedRoom(reading, count))
                tally.rooms += 1
            on_progress(tally)
    return tally
