"""How far a worker's monotonic clock is from the master's, and how well that is known.  Pure.

A probe goes out and back; the worker's answer was written somewhere in between.  Taking the
middle is wrong by half of the round trip at most, so the fastest probe says it best
(Cristian's algorithm).  Two processes of one machine have one clock, and nothing to estimate.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Enough that one of them meets two idle processes; over loopback ten take a millisecond.
PROBES: Final = 10
# Probes of a run that is on, one a second: the fastest of so many met a worker that had a moment.
WATCHED_PROBES: Final = 30


@dataclass(frozen=True, slots=True)
class Sample:
    """One probe: when the master sent it, what the worker's clock said, when the answer was there.  Microseconds."""

    sent_us: int
    worker_us: int
    received_us: int

    @property
    def round_trip_us(self) -> int:
        return self.received_us - self.sent_us


@dataclass(frozen=True, slots=True)
class Offset:
    """Master's clock = worker's clock + `offset_us`, to within `error_us`."""

    offset_us: int
    error_us: int


def estimate(samples: Sequence[Sample]) -> Offset:
    """From one sample or more."""
    best = min(samples, key=lambda sample: sample.round_trip_us)
    middle_us = (best.sent_us + best.received_us) // 2
    # Half of an odd trip is rounded up: an error is never told smaller than it is.
    return Offset(middle_us - best.worker_us, (best.round_trip_us + 1) // 2)


def offset_between(master_boot_id: str, worker_boot_id: str, samples: Sequence[Sample]) -> Offset:
    """Exactly 0 on one machine, unless the probes rule that out: a time namespace has a monotonic clock of its own."""
    measured = estimate(samples)
    has_one_clock = bool(master_boot_id) and master_boot_id == worker_boot_id
    if has_one_clock and abs(measured.offset_us) <= measured.error_us:
        return Offset(0, 0)
    return measured


class ClockWatch:
    """How wrong the offset that a worker was told may have become: two machines' clocks drift by some 10 us a second.

    The worker goes on with what it was told, so that its figures are all of one clock; what is
    kept true is the error.
    """

    def __init__(self, told: Offset) -> None:
        self._told = told
        self._samples: deque[Sample] = deque(maxlen=WATCHED_PROBES)
        self.error_us = told.error_us
        """The greatest so far."""

    def saw(self, sample: Sample) -> None:
        self._samples.append(sample)
        if len(self._samples) == WATCHED_PROBES and self._told != Offset(0, 0):
            now = estimate(self._samples)
            self.error_us = max(self.error_us, abs(now.offset_us - self._told.offset_us) + now.error_us)
