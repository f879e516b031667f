"""Sets of offsets that are mostly runs: what is missing, what was announced, what was watched.  Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """Offsets as disjoint ranges, both ends included, in order.  Invariant: neighbours do not touch."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._firsts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def __contains__(self, offset: int) -> bool:
        at = bisect_right(self._firsts, offset) - 1
        return at >= 0 and offset <= self._lasts[at]

    def add(self, first: int, last: int) -> None:
        """All of ``first`` to ``last``; nothing if that is empty."""
        if first > last:
            return
        # Those that touch the new one become part of it.
        start = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if start < end:
            first, last = min(first, self._firsts[start]), max(last, self._lasts[end - 1])
        self._firsts[start:end] = [first]
        self._lasts[start:end] = [last]

    def take(self, offset: int) -> bool:
        """Remove one; whether it was there."""
        if offset not in self:
            return False
        at = bisect_right(self._firsts, offset) - 1
        first, last = self._firsts[at], self._lasts[at]
        rest = [(one, other) for one, other in ((first, offset - 1), (offset + 1, last)) if one <= other]
        self._firsts[at : at + 1] = [one for one, _ in rest]
        self._lasts[at : at + 1] = [other for _, other in rest]
        return True

    def outside(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of ``first`` to ``last`` that are not in the set."""
        parts = []
        at = first
        for index in range(bisect_left(self._lasts, first), len(self._firsts)):
            if self._firsts[index] > last:
                break
            if at < self._firsts[index]:
                parts.append((at, self._firsts[index] - 1))
            at = self._lasts[index] + 1
        if at <= last:
            parts.append((at, last))
        return parts

    def take_first(self) -> tuple[int, int]:
        """Remove the first range; there is one."""
        return self._firsts.pop(0), self._lasts.pop(0)
