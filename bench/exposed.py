"""Reading a histogram out of /metrics, between two moments."""

import math
import re


def histogram_buckets(text: str, name: str) -> dict[float, float]:
    """Upper bound to cumulative count, summed over all label sets; empty when there is no such histogram."""
    buckets: dict[float, float] = {}
    for le, count in re.findall(rf'^{name}_bucket\{{[^}}]*\ble="([^"]+)"[^}}]*\}} (\S+)', text, re.MULTILINE):
        bound = float(le.replace("+Inf", "inf"))
        buckets[bound] = buckets.get(bound, 0.0) + float(count)
    return buckets


def quantile_between(before: dict[float, float], after: dict[float, float], quantile: float) -> float:
    """The quantile of what was observed between two readings, interpolated in its bucket as Prometheus does; nan without any."""
    bounds = sorted(after)
    counts = [after[bound] - before.get(bound, 0.0) for bound in bounds]
    if not counts or counts[-1] <= 0:
        return math.nan
    wanted = quantile * counts[-1]
    below_bound, below = 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=True):
        if count >= wanted:
            if math.isinf(bound):
                return below_bound
            return below_bound + (bound - below_bound) * ((wanted - below) / (count - below) if count > below else 1.0)
        below_bound, below = bound, count
    return below_bound
