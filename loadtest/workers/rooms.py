"""Which rooms each user or reader of a class is in: dealt out so that all rooms fill evenly.  Pure."""

from collections.abc import Sequence


class Deal:
    """Rooms of one class on one worker."""

    def __init__(self, rooms: Sequence[str], each: int, worker: int, workers: int) -> None:
        """`each` rooms for everybody; 0: all of them.  Workers deal from one pack, each every so-manieth hand."""
        self._rooms = tuple(rooms)
        self._each = each or len(self._rooms)
        self._at = worker * self._each
        self._step = workers * self._each

    def next(self) -> tuple[str, ...]:
        """For one more."""
        if self._each >= len(self._rooms):
            return self._rooms
        at, self._at = self._at, self._at + self._step
        return tuple(self._rooms[(at + n) % len(self._rooms)] for n in range(self._each))
