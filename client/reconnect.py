"""When to knock again, and at which door: jitter, caps and the list of addresses.  Pure: randomness is given.

Full jitter (SEMANTICS R40): min(cap, base + random(0, min(cap, base * 2 ** step))).  No
delay is the same for two clients, so those whom one server lost do not come back together.
"""

from collections.abc import Sequence
from random import Random

from wire.limits import (
    RECONNECT_BASE_S,
    RECONNECT_CAP_S,
    RECONNECT_UNOPENED_MAX_S,
    RECONNECT_UNOPENED_MIN_S,
)

_STEP_MAX = 31


class Reconnect:
    """The state of coming back: how often it failed, and which address is next."""

    __slots__ = ("_next_url", "_rng", "_step", "_untried", "_urls")

    def __init__(self, urls: Sequence[str], rng: Random, first: int | None = None) -> None:
        """`first` is the place in `urls` to begin at; without it clients of one list start at random places of it."""
        assert urls, "a client needs at least one address"
        self._urls = tuple(urls)
        self._rng = rng
        self._next_url = rng.randrange(len(self._urls)) if first is None else first
        self._step = 0
        self._untried = len(self._urls) - 1
        """Addresses not yet tried in the first round, which is walked without waiting (R42)."""

    def next_url(self) -> str:
        """The address to dial now; the one after it is next."""
        url = self._urls[self._next_url]
        self._next_url = (self._next_url + 1) % len(self._urls)
        return url

    def welcomed(self) -> None:
        """A gateway answered: the first round is over."""
        self._untried = 0

    def delay_after_close(self, lived_s: float, retry_after_s: float) -> float:
        """Seconds to wait after an open connection ended, having lived `lived_s`.

        A server's own advice is its slot for us: it is kept, with a base of jitter on top.
        A connection that lived longer than the cap starts the backoff anew; one that is
        cut again and again soon after its welcome does not.
        """
        if lived_s >= RECONNECT_CAP_S:
            self._step = 0
        spread_s = min(RECONNECT_CAP_S, RECONNECT_BASE_S * 2**self._step)
        self._step = min(self._step + 1, _STEP_MAX)
        if retry_after_s > 0:
            return retry_after_s + self._rng.uniform(0, RECONNECT_BASE_S)
        return min(RECONNECT_CAP_S, RECONNECT_BASE_S + self._rng.uniform(0, spread_s))

    def delay_after_unopened(self, retry_after_s: float = 0.0) -> float:
        """Seconds to wait after a handshake that never opened; 0 while the first round has other addresses."""
        if self._untried > 0:
            self._untried -= 1
            return 0.0
        delay = self._rng.uniform(RECONNECT_UNOPENED_MIN_S, RECONNECT_UNOPENED_MAX_S)
        return max(delay, retry_after_s + self._rng.uniform(0, RECONNECT_BASE_S)) if retry_after_s else delay
