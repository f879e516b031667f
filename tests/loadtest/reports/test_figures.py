"""Numbers as people read them."""

import pytest

from loadtest.reports.figures import count, digits, duration, milliseconds, per_second, share, size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.0, "0"), (5, "5"), (0.0641, "0.0641"), (0.00001234, "0.000012"), (41.237, "41.2"), (99.97, "100"),
        (999.6, "1,000"), (1234567.8, "1,234,568"), (-12.34, "-12.3"), (4.0, "4"),
    ],
)  # fmt: skip
def test_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234567, "1,234,567"), (9_999_999, "9,999,999"), (15_234_567, "15.2 M"), (999_900_000, "1,000 M")],
)
def test_counts_that_are_too_long_for_a_glance_are_shortened(value: float, text: str) -> None:
    assert count(value) == text
    assert count(1.5e9) == "1.5 G"


def test_units() -> None:
    assert milliseconds(0.64) == "0.64 ms"
    assert milliseconds(999.4) == "999 ms"
    assert milliseconds(1234) == "1.23 s"
    assert per_second(12345.6) == "12,346/s"
    assert share(0.981) == "98.1 %"
    assert [size(count) for count in (0, 312, 4301, 2**30 * 24, 2**50)] == ["0 B", "312 B", "4.2 KiB", "24 GiB", "1,024 TiB"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (0.25, "0.25 s"), (42.4, "42 s"), (60, "1 min"), (3723, "1 h 2 min 3 s"), (3600, "1 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
