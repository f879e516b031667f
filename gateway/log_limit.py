"""At most one log line of a kind in an interval, with a count of those held back.  Pure."""


class LogLimit:
    """One kind of line.  Whoever can make us log must not be able to fill the disk."""

    __slots__ = ("_interval_s", "_next_at", "_suppressed")

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next_at = float("-inf")
        self._suppressed = 0

    def admit(self, now: float) -> int | None:
        """None: hold this line back.  Else write it, and say how many were held back since the last."""
        if now < self._next_at:
            self._suppressed += 1
            return None
        held_back, self._suppressed = self._suppressed, 0
        self._next_at = now + self._interval_s
        return held_back
