"""Which events of a room are for readers who cannot take all of them.  Pure.

The room's offsets are cut into blocks of SAMPLE_BLOCK_EVENTS.  Within a block every event has a
*rank*: authors take turns in a seeded order, each giving one of their events a turn, in a seeded
order too.  A class of readers that keeps k of a block gets the ranks below k.  So:

- **fair by author**: in a block nobody is kept twice while somebody else's waits to be kept once;
- **shared**: it depends on the seed (the room's name) and the block alone, not on who reads or since when, so
  one selection is made for all readers of a class, and every gateway makes the same one;
- **nested**: who keeps more gets all that those get who keep less, so climbing back changes no past.

What is always for everybody (removals, the service's own words) and a reader's own is added on top.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from wire.limits import SAMPLE_BLOCK_EVENTS

_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Run:
    """Offsets `first` to `last`: all of them given to a reader, or all left out."""

    first: int
    last: int
    is_kept: bool


def seed_of(room: str) -> int:
    return int.from_bytes(blake2b(room.encode(), digest_size=8).digest(), "big")


def block_of(offset: int) -> int:
    """Blocks are numbered from 0; offsets start at 1."""
    return (offset - 1) // SAMPLE_BLOCK_EVENTS


def last_of(block: int) -> int:
    """The last offset of a block; that of block -1 is 0, before the first event."""
    return (block + 1) * SAMPLE_BLOCK_EVENTS


def ranks(first: int, authors: Sequence[int], seed: int) -> list[int]:
    """The rank of each event of a block: `authors` are those of the offsets from `first` on."""
    waiting: dict[int, list[int]] = {}
    for index, author in enumerate(authors):
        waiting.setdefault(author, []).append(index)
    for indexes in waiting.values():
        indexes.sort(key=lambda index: _mix(seed ^ _mix(first + index)))
    turns = sorted(waiting.items(), key=lambda item: _mix(seed ^ _mix(first) ^ item[0]))
    ranked = [0] * len(authors)
    rank = turn = 0
    while rank < len(authors):
        for _author, indexes in turns:
            if turn < len(indexes):
                ranked[indexes[turn]] = rank
                rank += 1
        turn += 1
    return ranked


def runs(first: int, last: int, is_kept: Callable[[int], bool]) -> Iterator[Run]:
    """All offsets from `first` to `last`, in order, in as few runs as can be."""
    start = first
    while start <= last:
        kept = is_kept(start)
        end = start
        while end < last and is_kept(end + 1) == kept:
            end += 1
        yield Run(start, end, kept)
        start = end + 1


def _mix(number: int) -> int:
    """The finalizer of splitmix64: every bit of the result depends on every bit of the number."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & _MASK
    return number ^ number >> 31
