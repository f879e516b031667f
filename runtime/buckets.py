"""How often somebody may do something: a token bucket.  Pure: time is given."""


class TokenBucket:
    """Fills at `rate_per_s`, holds at most `burst`; `now` is any clock that does not go back."""

    __slots__ = ("_burst", "_filled_at", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        """Full at first."""
        assert rate_per_s > 0, "a bucket that never fills refuses for ever"
        assert burst >= 1, "a bucket below one token never gives any"
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = self._burst
        self._filled_at = now

    def take(self, now: float) -> float:
        """Take one token: 0.0 when there was one, else the seconds until there will be, and none is taken."""
        elapsed_s = now - self._filled_at
        if elapsed_s > 0:
            self._tokens = min(self._burst, self._tokens + elapsed_s * self._rate_per_s)
            self._filled_at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate_per_s
