"""What the disk takes for one durable write, beside which publish latencies are read."""

import os
import time
from pathlib import Path

BLOCK_BYTES = 4096


def measure_fsync(directory: Path, count: int, pause_s: float = 0.01) -> list[float]:
    """Seconds of `count` appends of 4 KiB with an fsync each, in this directory, a moment apart as commits are."""
    path = directory / "fsync-probe"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    times: list[float] = []
    try:
        for _ in range(count):
            began = time.perf_counter()
            os.write(descriptor, bytes(BLOCK_BYTES))
            os.fsync(descriptor)
            times.append(time.perf_counter() - began)
            time.sleep(pause_s)
    finally:
        os.close(descriptor)
        path.unlink()
    return times


def percentile(values: list[float], percent: float) -> float:
    """The smallest value that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]
