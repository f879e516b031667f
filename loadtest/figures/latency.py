"""Latencies that can be added up: HdrHistograms of microseconds, in the standard's own encoding.

Percentiles of several workers cannot be averaged; histograms can be added, and the sum is
as exact as each of them: three significant digits from 1 us to five minutes.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # it has no types

LATENCY_US_MAX: Final = 300_000_000
SIGNIFICANT_DIGITS: Final = 3
# Three digits are kept in eleven bits: the library's buckets begin where the others are zero.
_EXACT_BITS: Final = 11
# The ones locust's tables show, which are what people ask for.
PERCENTILES: Final = (50.0, 66.0, 75.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.9, 99.99, 100.0)


class Latencies:
    """Counts of latencies in whole microseconds.

    Below 1 counts as 1 (two clocks may differ by that), beyond five minutes as five minutes.
    """

    __slots__ = ("_histogram", "total_us")

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS)
        self.total_us = 0
        """Sum of what was recorded, so that an average is exact."""

    @property
    def count(self) -> int:
        return int(self._histogram.get_total_count())

    def record(self, latency_us: int, count: int = 1) -> None:
        """0.7 us; whoever has many records them by `record_many`."""
        latency_us = min(max(latency_us, 1), LATENCY_US_MAX)
        self._histogram.record_value(latency_us, count)
        self.total_us += latency_us * count

    def record_many(self, counts: Mapping[int, int]) -> None:
        """Latency in microseconds -> how often: what `collections.Counter` makes of many samples.

        Goes around the library's `record_value`, which takes 2 us: a second of a busy worker has
        20,000 distinct latencies.  A latency is counted at the index that the library gives it:
        eleven bits of it, after as many halvings as that takes.
        """
        if not counts:
            return
        histogram, total_us = self._histogram, 0
        indexes: dict[int, int] = {}
        for latency_us, count in counts.items():
            if not 0 < latency_us <= LATENCY_US_MAX:
                latency_us = 1 if latency_us < 1 else LATENCY_US_MAX
            total_us += latency_us * count
            halvings = latency_us.bit_length() - _EXACT_BITS
            index = (halvings << _EXACT_BITS - 1) + (latency_us >> halvings) if halvings > 0 else latency_us
            indexes[index] = indexes.get(index, 0) + count
        for index, count in indexes.items():
            histogram.counts[index] += count
        histogram.total_count += sum(indexes.values())
        least, greatest = (min(LATENCY_US_MAX, max(1, latency_us)) for latency_us in (min(counts), max(counts)))
        histogram.min_value = min(histogram.min_value, least)
        histogram.max_value = max(histogram.max_value, greatest)
        self.total_us += total_us

    def merge(self, other: "Latencies") -> None:
        # The library takes the least value of an empty histogram for 0, and that of the sum as well.
        if other.count:
            self._histogram.add(other._histogram)
            self.total_us += other.total_us

    def add_encoded(self, encoded: bytes, total_us: int) -> None:
        """Merge what `encode` made of some samples, in a third of the time of `decode` and `merge`; the same errors as `decode`.

        Of no samples is not allowed: see `merge`.
        """
        self._histogram.decode_and_add(encoded)
        self.total_us += total_us

    def encode(self) -> bytes:
        """The standard's compressed V2 form in base64, as ``.hlog`` files have it: a few kilobytes at most."""
        return bytes(self._histogram.encode())

    @classmethod
    def decode(cls, encoded: bytes, total_us: int) -> "Latencies":
        """Raises an error of `hdrh` or `binascii` for bytes that are no histogram."""
        latencies = cls()
        latencies.add_encoded(encoded, total_us)
        return latencies

    def percentile_us(self, percent: float) -> int:
        """The least latency that `percent` of all do not exceed, at most 0.1 % too high; 0 when nothing was recorded."""
        return self.percentiles_us([percent])[0]

    def percentiles_us(self, percents: Sequence[float] = PERCENTILES) -> list[int]:
        """Any number of them in one pass: 0.2 ms for latencies from 1 ms to 1 s."""
        count = self.count
        if not count:
            return [0] * len(percents)
        first, totals = self._totals()
        # Not the library's: it rounds to the nearest rank, so that 90 % of six are five, and calls a function for each bucket.
        ranks = (max(1, -(-count * round(percent * 1000) // 100_000)) for percent in percents)
        return [self._value_at(first + bisect_left(totals, rank)) for rank in ranks]

    def counts(self) -> list[tuple[int, int]]:
        """Each latency that was recorded, to within 0.1 %, and how often; ascending.

        Read from the array itself: 5 ms for 3,000 different ones, where the library's own iterator takes 25.
        """
        histogram = self._histogram
        return [(int(histogram.get_value_from_index(place)), int(n)) for place, n in enumerate(histogram.counts) if n]

    def counts_up_to(self, bounds_us: Sequence[int]) -> list[int]:
        """How many took at most each of the bounds, to within 0.1 % of it."""
        if not self.count:
            return [0] * len(bounds_us)
        first, totals = self._totals()
        ends = (self._histogram.get_counts_array_index(min(bound, LATENCY_US_MAX)) - first for bound in bounds_us)
        return [totals[min(end, len(totals) - 1)] if end >= 0 else 0 for end in ends]

    def _totals(self) -> tuple[int, list[int]]:
        """The first bucket that is not empty, and how many are in it and in those up to each of the next ones."""
        histogram = self._histogram
        first = histogram.get_counts_array_index(histogram.get_min_value())
        last = histogram.get_counts_array_index(histogram.get_max_value())
        return first, list(accumulate(histogram.counts[first : last + 1]))

    def _value_at(self, index: int) -> int:
        return int(self._histogram.get_highest_equivalent_value(self._histogram.get_value_from_index(index)))

    @property
    def max_us(self) -> int:
        return int(self._histogram.get_max_value()) if self.count else 0

    @property
    def min_us(self) -> int:
        return int(self._histogram.get_min_value()) if self.count else 0

    @property
    def mean_us(self) -> float:
        return self.total_us / self.count if self.count else 0.0


def merged(parts: Iterable[Latencies]) -> Latencies:
    """The sum of all parts."""
    whole = Latencies()
    for part in parts:
        whole.merge(part)
    return whole
