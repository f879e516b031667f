"""Finding the highest rate that still holds: doubling, then bisection."""


class RateSearch:
    """Asks for rates, is told whether each held, and narrows down.

    Bounded in steps, and below by `lowest`; `best` is the highest rate that held, None if none did.
    """

    def __init__(self, first: float, steps_max: int, *, lowest: float = 1.0, ratio_enough: float = 1.12) -> None:
        """Ends when the lowest failure is at most `ratio_enough` above the best."""
        self._lowest = lowest
        self._next = first
        self._steps_left = steps_max
        self._ratio_enough = ratio_enough
        self._failed: float | None = None
        self.best: float | None = None

    def next_rate(self) -> float | None:
        """The rate to try now; None when the search has ended."""
        if self._steps_left == 0 or self._next < self._lowest:
            return None
        if self.best is not None and self._failed is not None and self._failed <= self.best * self._ratio_enough:
            return None
        return self._next

    def tell(self, held: bool) -> None:
        """What became of the rate that was asked for last."""
        self._steps_left -= 1
        if held:
            self.best = self._next
        else:
            self._failed = self._next
        if self._failed is None:
            self._next *= 2
        elif self.best is None:
            self._next /= 2
        else:
            # The geometric mean: both halves are the same number of doublings.
            self._next = (self.best * self._failed) ** 0.5
