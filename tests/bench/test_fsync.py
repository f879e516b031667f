"""The disk's share: only that it is measured, and percentiles of few values."""

from pathlib import Path

import pytest

from bench.fsync import measure_fsync, percentile


def test_each_write_is_timed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    times = measure_fsync(tmp_path, count=3, pause_s=0.0)
    assert len(times) == 3
    assert min(times) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("percent", "value"), [(1, 1.0), (50, 2.0), (75, 3.0), (99, 4.0), (100, 4.0)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == value
