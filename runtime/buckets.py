"""How often somebody may do something: one token bucket, or one for each of many keys.  Pure: time is given."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

# Sums of many small spacings drift from their product by less than this part of one of them.
_DRIFT = 1e-3


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


class BucketTable(Generic[Key]):
    """One rate for each of many keys, at one float a key.

    A key's float is the time at which its bucket is full again (the generic cell rate
    algorithm): the same answers as a `TokenBucket`'s.  A full bucket is as good as none, and
    every bucket is full when its key was quiet for `burst / rate_per_s`.  So the table keeps two
    generations, the keys of this stretch of time and of the one before, and forgets by
    dropping the older.

    Invariant: at most `keys_max` keys.  When as many come in one stretch, the half that was
    quiet longest is forgotten, and begins with a full burst again.
    """

    __slots__ = ("_keys_max", "_older", "_spacing_s", "_stretch_began", "_stretch_s", "_younger")

    def __init__(self, rate_per_s: float, burst: float, keys_max: int) -> None:
        assert rate_per_s > 0, "a bucket that never fills refuses for ever"
        assert burst >= 1, "a bucket below one token never gives any"
        assert keys_max >= 2, "there are two generations"
        self._spacing_s = 1 / rate_per_s
        self._stretch_s = burst / rate_per_s
        self._keys_max = keys_max
        self._younger: dict[Key, float] = {}
        self._older: dict[Key, float] = {}
        self._stretch_began = 0.0

    def __len__(self) -> int:
        """Keys held; each is in one generation only."""
        return len(self._younger) + len(self._older)

    def wait_s(self, key: Key, now: float) -> float:
        """Seconds until `key` has a token, 0.0 when it has one; none is taken."""
        wait_s = self._full_at(key, now) + self._spacing_s - self._stretch_s - now
        return wait_s if wait_s > _DRIFT * self._spacing_s else 0.0

    def spend(self, key: Key, now: float) -> None:
        """Take one token of `key`, which must have one."""
        self._younger[key] = max(self._full_at(key, now), now) + self._spacing_s
        self._older.pop(key, None)
        if len(self._younger) >= self._keys_max // 2:
            self._turn(now)

    def forget_full(self, now: float) -> None:
        """Drop what is surely full; to be called now and then."""
        if now - self._stretch_began >= self._stretch_s:
            self._turn(now)

    def _full_at(self, key: Key, now: float) -> float:
        full_at = self._younger.get(key)
        return self._older.get(key, now) if full_at is None else full_at

    def _turn(self, now: float) -> None:
        self._older, self._younger = self._younger, {}
        self._stretch_began = now
