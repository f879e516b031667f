"""`--fail-if`: what can be asked, what the figure is, and what is told about a text that cannot be understood."""

import pytest

from loadtest.figures.messages import COUNTS, VIOLATIONS
from loadtest.figures.record import RowTotal
from loadtest.figures.totals import AGGREGATED, RowSum
from loadtest.verdicts.thresholds import BadThreshold, judge_thresholds, parse_threshold

SECONDS = 10.0


def _row(name: str, latencies_us: list[int], failures: int = 0) -> RowTotal:
    row = RowSum("WS", name)
    for latency_us in latencies_us:
        row.latencies.record(latency_us)
    row.failures = failures
    return row.total(SECONDS)


ROWS = [
    _row("connect", [900_000] * 99 + [1_200_000], failures=25),
    _row("deliver", [1_000] * 980 + [300_000] * 20),
    _row("deliver (large)", [300_000] * 20, failures=0),
    _row("publish", [2_000] * 75, failures=0),
    _row("check out", [5], failures=1),
]
COUNTED = {
    "deliveries": 990, "lost": 8, "resume_gap": 2, "connects": 75, "connects_failed": 25, "slots": 200, "slots_missed": 3,
    "acked": 97, "refused": 2, "unknown": 1, "skipped": 10,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "figure", "unit", "failed"),
    [
        ("deliver_p99>250ms", 300, "ms", True),
        ("deliver_p98>250ms", 1, "ms", False),
        ("deliver_p99 > 0.25s", 0.3, "s", True),
        ("deliver_max>=300ms", 300, "ms", True),
        ("deliver_max>301ms", 300, "ms", False),
        ("deliver_min<1000us", 1000, "us", False),
        ("deliver_min<=1000µs", 1000, "us", True),
        ("deliver_mean>6ms", 6.98, "ms", True),
        ("deliver (large)_p50>1s", 0.3, "s", False),
        ("check out_p50<1us", 5, "us", False),
        ("connect_p95>1s", 0.9, "s", False),
        ("connect_p99.5>1s", 1.2, "s", True),
        ("connect_p999>1s", 1.2, "s", True),
        ("connect_p100>1s", 1.2, "s", True),
        ("connect_failures>24", 25, "", True),
        ("connect_failures>20%", 20, "%", False),
        ("failures>0", 26, "", True),
        ("failures>1%", 2.163, "%", True),
        ("loss>0", 10, "", True),
        ("loss>1%", 1, "%", False),
        ("lost>=8", 8, "", True),
        ("undelivered>0", 0, "", False),
        ("violations>10", 10, "", False),
        ("duplicated>0", 0, "", False),
        ("connects_failed>=25%", 25, "%", True),
        ("slots_missed>1%", 1.5, "%", True),
        ("unknown>1%", 1, "%", False),
        ("skipped>0.9%", 1, "%", True),
        ("deliveries_per_s<100", 99, "/s", True),
        ("loss_per_s>1", 1, "/s", False),
    ],
)
def test_a_threshold_is_judged_over_the_whole_run(text: str, figure: float, unit: str, failed: bool) -> None:
    (result,) = judge_thresholds([parse_threshold(text)], ROWS, COUNTED, SECONDS)
    assert (result.text, result.unit, result.failed) == (text, unit, failed)
    assert result.figure == pytest.approx(figure, rel=2e-3)


def test_the_sum_of_all_rows_is_not_counted_with_its_parts() -> None:
    rows = [
        _row("publish", [1] * 8, 2),
        _row("deliver", [1] * 9, 1),
        _row("deliver (small)", [1] * 9, 1),
        _row(AGGREGATED, [1] * 17, 3),
    ]
    (result,) = judge_thresholds([parse_threshold("failures>99%")], rows, {}, SECONDS)
    assert result.figure == pytest.approx(15)


@pytest.mark.parametrize(
    "text",
    [
        "resume_p99>5s",
        "resume_failures>0",
        "failures>0",
        "check out_p99>1s",
        "loss>0",
        "violations>0",
        "skipped>0",
        "slots_late>1%",
        *(f"{kind}>0" for kind in VIOLATIONS),
    ],
)
def test_what_was_not_measured_fails(text: str) -> None:
    (result,) = judge_thresholds([parse_threshold(text)], [], {"connects": 3}, SECONDS)
    assert (result.figure, result.failed) == (None, True)


def test_a_run_of_no_time_has_no_rates() -> None:
    (result,) = judge_thresholds([parse_threshold("acked_per_s<1")], [], {"acked": 1}, 0.0)
    assert (result.figure, result.failed) == (None, True)


@pytest.mark.parametrize("name", [*COUNTS, "loss", "violations", "failures"])
def test_every_count_can_be_asked_for(name: str) -> None:
    assert parse_threshold(f"{name}>0").figure == name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no threshold: write a name"),
        ("deliver_p99", "is no threshold: write a name"),
        ("deliver_p99>fast", "is no threshold: write a name"),
        ("deliver_p99=250ms", "is no threshold: write a name"),
        (">250ms", "is no threshold: write a name"),
        ("loss>-1", "is no threshold: write a name"),
        ("deliver_p99>250", "needs a time: write us, ms or s"),
        ("deliver_p99>250m", "needs a time: write us, ms or s"),
        ("deliver_p99>5%", "needs a time: write us, ms or s"),
        ("delivery_p99>1s", 'no row "delivery"; did you mean "deliver"?'),
        ("conect_failures>1", 'no row "conect"; did you mean "connect"?'),
        ("losst>0", 'no figure "losst"; did you mean "lost"?'),
        ("publish_p>1s", 'did you mean "publish_p99"?'),
        ("xyzzy>0", "there are <row>_p50 to <row>_p99.99"),
        ("xyzzy>0", "the counts acked, altered, audited"),
        ("loss>0ms", 'compares a count: write the number without "ms"'),
        ("connect_failures>1s", 'compares a count: write the number without "s"'),
        ("altered>1%", "altered is a share of nothing; per cent go with acked"),
        ("acked_per_s<10%", "compares a rate: write the number without a unit"),
        ("xyzzy_per_s>1", 'no figure "xyzzy_per_s"'),
    ],
)
def test_a_text_that_cannot_be_understood_is_told_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(BadThreshold) as error:
        parse_threshold(text)
    assert sentence in str(error.value)
    assert f'"{text}"' in str(error.value)
