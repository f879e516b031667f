"""What one worker has measured since it last told."""

import msgspec

from loadtest.figures.latency import Latencies
from loadtest.figures.messages import COUNTS, VIOLATIONS, Finding
from loadtest.figures.tally import (
    ERRORS_PER_ROW_MAX,
    FINDINGS_TOLD_MAX,
    MEDIUM_ROOM_MAX,
    OTHER_ERRORS,
    RAISED_MAX,
    REFUSALS_TOLD_MAX,
    SMALL_ROOM_MAX,
    TEXT_CHARS_MAX,
    TRACEBACK_CHARS_MAX,
    Tally,
    deliver_row,
)


def _lost(offset: int, count: int = 1) -> Finding:
    return Finding("lost", "town/square", offset, count, "auditor-1", "never came")


def test_what_was_taken_is_not_told_again() -> None:
    tally = Tally()
    tally.row("deliver").latencies.record(1500)
    tally.counts["deliveries"] += 1
    tally.found(_lost(7))
    (row,), counts, findings = tally.take()
    assert (row.kind, row.name, row.count, row.total_us) == ("WS", "deliver", 1, 1500)
    assert Latencies.decode(row.latencies, row.total_us).count == 1
    assert counts == {"deliveries": 1, "lost": 1}
    assert findings == [_lost(7)]
    assert tally.take() == ([], {}, [])


def test_rows_of_one_name_and_different_kinds_are_different_rows() -> None:
    tally = Tally()
    tally.row("page").fail("status 500")
    tally.row("page", "HTTP").latencies.record(3)
    rows, _, _ = tally.take()
    assert {(row.kind, row.failures, row.count) for row in rows} == {("WS", 1, 0), ("HTTP", 0, 1)}


def test_texts_of_errors_are_bounded_and_all_failures_counted() -> None:
    tally = Tally()
    for number in range(ERRORS_PER_ROW_MAX + 5):
        tally.row("publish").fail(f"error {number}")
    (row,), _, _ = tally.take()
    assert row.failures == sum(row.errors.values()) == ERRORS_PER_ROW_MAX + 5
    assert row.errors[OTHER_ERRORS] == 5


def test_findings_told_in_words_are_bounded_and_all_are_counted() -> None:
    tally = Tally()
    for number in range(FINDINGS_TOLD_MAX + 20):
        tally.found(_lost(number, count=2))
    _, counts, findings = tally.take()
    assert counts["lost"] == 2 * (FINDINGS_TOLD_MAX + 20)
    assert len(findings) == FINDINGS_TOLD_MAX
    tally.found(_lost(1))
    assert tally.take()[2] == [], "the bound is of the run, not of a beat"


def test_violations_are_counts() -> None:
    assert set(VIOLATIONS) <= set(COUNTS)


def test_exceptions_are_told_once_with_the_end_of_their_traceback() -> None:
    tally = Tally()
    for _ in range(3):
        tally.raised("KeyError: 'room'", "x" * TRACEBACK_CHARS_MAX + "the end")
    (raised,) = tally.take_raised()
    assert (raised.count, raised.message) == (3, "KeyError: 'room'")
    assert len(raised.traceback) == TRACEBACK_CHARS_MAX
    assert raised.traceback.endswith("the end")
    assert tally.take_raised() == []


def test_kinds_of_exceptions_are_bounded_and_all_are_counted() -> None:
    tally = Tally()
    for number in range(RAISED_MAX + 7):
        tally.raised(f"ValueError: {number}", "")
    raised = tally.take_raised()
    assert (len(raised), sum(each.count for each in raised)) == (RAISED_MAX + 1, RAISED_MAX + 7)
    assert raised[-1].message == OTHER_ERRORS


def test_deliveries_are_told_by_the_size_of_their_room() -> None:
    sizes = (0, SMALL_ROOM_MAX, SMALL_ROOM_MAX + 1, MEDIUM_ROOM_MAX, MEDIUM_ROOM_MAX + 1)
    assert [deliver_row(present) for present in sizes] == [
        "deliver (small)", "deliver (small)", "deliver (medium)", "deliver (medium)", "deliver (large)",
    ]  # fmt: skip


def test_very_many_samples_are_told_with_the_row_and_once() -> None:
    tally = Tally()
    tally.row("deliver (small)").record_all([1500, 1500, 90])
    tally.row("deliver (small)").latencies.record(7)
    (row,), _, _ = tally.take()
    assert (row.count, row.total_us) == (4, 3097)
    tally.row("deliver (small)").record_all([1])
    assert tally.take()[0][0].count == 1


def test_refusals_are_told_once() -> None:
    tally = Tally()
    tally.refusals["http 503"] += 2
    assert tally.take_refusals() == {"http 503": 2}
    assert tally.take_refusals() == {}


def test_why_a_worker_is_unfit_is_told_once_and_never_taken_back() -> None:
    tally = Tally()
    for sentence in ("no port left", "no port left", "no file left"):
        tally.unfit(sentence)
    tally.take()
    assert tally.stops == ["no port left", "no file left"]


def test_texts_are_short_and_of_letters_that_can_be_sent() -> None:
    tally = Tally()
    long = "\udc80" + "page " * 1_000_000
    tally.row("page").fail(long)
    tally.raised(long, long)
    tally.found(Finding("protocol", "", 0, 1, "reader", long))
    for number in range(REFUSALS_TOLD_MAX + 5):
        tally.refusals[f"{number:05} {long}"] += 1
    refusals, raised = tally.take_refusals(), tally.take_raised()
    assert len(refusals) == REFUSALS_TOLD_MAX + 1
    assert refusals[OTHER_ERRORS] == 5
    assert len(msgspec.msgpack.encode((tally.take(), raised, refusals))) < 100_000
    assert (raised[0].message[0], len(raised[0].message)) == ("?", TEXT_CHARS_MAX)
