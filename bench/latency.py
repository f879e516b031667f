"""Latencies in a histogram of fixed relative width: 64 buckets to each power of two."""

_SUB_BITS = 6
_SUB = 1 << _SUB_BITS


class LatencyHistogram:
    """Weighted counts of latencies in microseconds; a percentile is at most 1/64 too high."""

    __slots__ = ("_buckets", "maximum_us", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, float] = {}
        self.total = 0.0
        self.maximum_us = 0

    def record(self, latency_us: int, weight: float = 1.0) -> None:
        """A latency below 0 counts as 0: two clocks of one machine may differ by a microsecond."""
        latency_us = max(latency_us, 0)
        self.maximum_us = max(self.maximum_us, latency_us)
        shift = max(latency_us.bit_length() - _SUB_BITS - 1, 0)
        bucket = (shift << (_SUB_BITS + 1)) + (latency_us >> shift)
        self._buckets[bucket] = self._buckets.get(bucket, 0.0) + weight
        self.total += weight

    def merge(self, other: "LatencyHistogram") -> None:
        """Add what another one has recorded."""
        for bucket, weight in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0.0) + weight
        self.total += other.total
        self.maximum_us = max(self.maximum_us, other.maximum_us)

    def percentile_us(self, percent: float) -> int:
        """The upper edge of the bucket in which `percent` of the weight is reached; 0 when empty."""
        wanted = self.total * percent / 100
        seen = 0.0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            # The sum of fractions may end a hair below the total.
            if seen >= wanted - 1e-6:
                shift, step = bucket >> (_SUB_BITS + 1), bucket & (2 * _SUB - 1)
                return min(((step + 1) << shift) - 1, self.maximum_us)
        return self.maximum_us
