"""How long to wait before trying again.  Pure: randomness is given.

Full jitter (SEMANTICS, R40): no delay is the same for two nodes, so those whom one failure
threw off do not come back together; not even the first try is at a fixed time.
"""

from random import Random

# 2 ** 31 times any base is beyond any cap; it keeps the power from growing for ever.
_STEP_MAX = 31


class Backoff:
    """``min(cap, base * 2 ** step) * random()``; `step` counts the failures since `reset`."""

    __slots__ = ("_base_s", "_cap_s", "_rng", "_step")

    def __init__(self, rng: Random, base_s: float, cap_s: float) -> None:
        assert 0 < base_s <= cap_s, "a backoff begins above 0 s and below its cap"
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._step = 0

    def next_delay(self) -> float:
        """Seconds to wait now, from 0 to the ceiling of this step; the next ceiling is twice as high."""
        ceiling_s = min(self._cap_s, self._base_s * 2.0**self._step)
        self._step = min(self._step + 1, _STEP_MAX)
        return ceiling_s * self._rng.random()

    def reset(self) -> None:
        """It worked: the next failure is a first one."""
        self._step = 0
