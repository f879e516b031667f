"""Which rooms each user or reader of a class is in: dealt out so that all rooms fill evenly.  Pure."""

from collections.abc import Sequence


class Deal:
    """Rooms of one class on one worker."""

    def __init__(self, rooms: Sequence[str], each: int, worker: int) -> None:
        """`each` rooms for everybody; 0: all of them.  Workers begin at different rooms."""
        self._rooms = tuple(rooms)
        self._each = each or len(self._rooms)
        self._at = worker

    def next(self) -> tuple[str, ...]:
        """For one more."""
        if self._each >= len(self._rooms):
            return self._rooms
        at, self._at = self._at, self._at + self._each
        return tuple(self._rooms[(at + n) % len(self._rooms)] for n in range(self._each))
