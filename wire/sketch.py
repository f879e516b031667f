"""How many different people: an estimate from small numbers that have forgotten who they were.

HyperLogLog: a person is hashed, together with the room, to a register and a rank, and a
register keeps its highest rank; how high they are says how many people it took (Flajolet et
al. 2007, with the estimator of Ertl 2017, which needs no tables and no special cases).
Sliding (Chabchoub and Hébrail 2010): a register keeps each rank with the minute in which it was
last seen, as long as no higher one is younger.  So one sketch answers for the last five minutes
and for the last hour, forgetting is dropping what is old, and merging is taking what is younger:
in any order, any number of times.

2048 registers: the standard error is 1.04 / sqrt(2048), 2.3 %; a handful of people is counted
almost exactly, and costs a few bytes.  A cell is 17 bits of a hash that differs from room to room:
too little to name anybody, or to follow anybody from one room to the next.
Pure; minutes are numbers of any clock that does not go back.
"""

from collections.abc import Iterable
from hashlib import blake2b
from math import inf, log, sqrt
from typing import Final, NamedTuple

from wire.limits import SKETCH_MINUTES_MAX

_REGISTER_BITS: Final = 11
REGISTERS: Final = 1 << _REGISTER_BITS
_RANK_BITS: Final = 64 - _REGISTER_BITS
RANK_MAX: Final = _RANK_BITS + 1
_ALPHA: Final = 1 / (2 * log(2))
_CELL_BYTES: Final = 4


class Cell(NamedTuple):
    """What is left of a person: of the people who share it, nobody can tell how many they were."""

    register: int
    rank: int


def cell_of(room: str, author: str) -> Cell:
    number = int.from_bytes(blake2b(f"{room} {author}".encode(), digest_size=8).digest(), "big")
    return Cell(number >> _RANK_BITS, RANK_MAX - (number & ((1 << _RANK_BITS) - 1)).bit_length())


class Sketch:
    """People seen in one room, by the minute in which they were seen last.

    At most REGISTERS x SKETCH_MINUTES_MAX entries; a few thousand in practice, since an entry goes as soon as one
    of a higher rank is as young.
    """

    __slots__ = ("_registers",)

    def __init__(self) -> None:
        self._registers: dict[int, dict[int, int]] = {}
        """Register to rank to minute; the higher the rank, the older."""

    def __len__(self) -> int:
        """Registers in use."""
        return len(self._registers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self._registers == other._registers

    def see(self, register: int, rank: int, minute: int) -> bool:
        """Somebody with this cell was there in this minute; whether that was news."""
        ranks = self._registers.get(register)
        if ranks is None:
            self._registers[register] = {rank: minute}
            return True
        if any(known >= rank and at >= minute for known, at in ranks.items()):
            return False
        for known in [known for known, at in ranks.items() if known <= rank and at <= minute]:
            del ranks[known]
        ranks[rank] = minute
        return True

    def merge(self, entries: Iterable[tuple[int, int, int]]) -> bool:
        """Take in what another sketch has (`entries`); whether any of it was news."""
        return sum([self.see(*entry) for entry in entries]) > 0

    def entries(self, registers: Iterable[int] | None = None) -> list[tuple[int, int, int]]:
        """(register, rank, minute) of these registers, of all if none are named."""
        chosen = self._registers if registers is None else registers
        return [(register, rank, at) for register in chosen for rank, at in self._registers.get(register, {}).items()]

    def forget_before(self, minute: int) -> None:
        """Drop what was last seen before `minute`."""
        for register, ranks in list(self._registers.items()):
            kept = {rank: at for rank, at in ranks.items() if at >= minute}
            if kept:
                self._registers[register] = kept
            else:
                del self._registers[register]

    def estimate(self, since: int) -> int:
        """How many different people were seen in the minute `since` or later."""
        counts = [0] * (RANK_MAX + 1)
        for ranks in self._registers.values():
            counts[max((rank for rank, at in ranks.items() if at >= since), default=0)] += 1
        counts[0] += REGISTERS - len(self._registers)
        return round(_estimate(counts))


def _estimate(counts: list[int]) -> float:
    """Ertl, New cardinality estimation algorithms for HyperLogLog sketches, algorithm 6."""
    z = REGISTERS * _tau(1 - counts[RANK_MAX] / REGISTERS)
    for rank in range(_RANK_BITS, 0, -1):
        z = (z + counts[rank]) / 2
    z += REGISTERS * _sigma(counts[0] / REGISTERS)
    return _ALPHA * REGISTERS * REGISTERS / z


def _sigma(x: float) -> float:
    if x == 1:
        return inf
    weight, total, before = 1.0, x, -1.0
    while total != before:
        x *= x
        before = total
        total += x * weight
        weight += weight
    return total


def _tau(x: float) -> float:
    if x in (0, 1):
        return 0.0
    weight, total, before = 1.0, 1 - x, -1.0
    while total != before:
        x = sqrt(x)
        before = total
        weight /= 2
        total -= (1 - x) ** 2 * weight
    return total / 3


# --- on the wire -----------------------------------------------------------------------------


def pack_entries(entries: Iterable[tuple[int, int, int]], minute: int) -> bytes:
    """Four bytes an entry, with its age in minutes: the two ends' clocks need not agree."""
    return b"".join(
        register.to_bytes(2, "big") + bytes((rank, minute - at))
        for register, rank, at in entries
        if 0 <= minute - at <= SKETCH_MINUTES_MAX
    )


def unpack_entries(data: bytes, minute: int) -> list[tuple[int, int, int]]:
    """The entries that these bytes have; what cannot be one is left out, so any bytes do."""
    entries = []
    for place in range(0, len(data) - _CELL_BYTES + 1, _CELL_BYTES):
        register, rank, age = int.from_bytes(data[place : place + 2], "big"), data[place + 2], data[place + 3]
        if register < REGISTERS and 0 < rank <= RANK_MAX and age <= SKETCH_MINUTES_MAX:
            entries.append((register, rank, minute - age))
    return entries
