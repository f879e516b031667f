"""The head of the report."""

import msgspec

from loadtest.figures.record import ThresholdResult, Verdict
from loadtest.reports.figures import NOTHING
from loadtest.reports.report_figures import key_figures, notes, reasons, threshold_figure, thresholds, when
from tests.support.run_record import record, row


def test_what_ran_is_one_line() -> None:
    ran = msgspec.structs.replace(record(5), hosts=[f"ws://10.0.0.{number}/" for number in range(6)])
    ran = msgspec.structs.replace(ran, started_at="2026-04-12T19:59:00.123Z")
    hosts = "ws://10.0.0.0/, ws://10.0.0.1/, ws://10.0.0.2/, ws://10.0.0.3/ and 2 more"
    assert when(ran) == f"5 s against {hosts}, from 2026-04-12 19:59:00 UTC"


def test_a_run_that_passes_says_so_and_one_that_does_not_says_why() -> None:
    assert "Everything that was asked for was met" in reasons(Verdict("PASS", 0, []))
    said = reasons(Verdict("MISS", 1, ["lost: <b>", "loss>0: it was 2"]))
    assert said == '<ul class="reasons"><li>lost: &lt;b&gt;</li><li>loss&gt;0: it was 2</li></ul>'


def test_thresholds_have_their_figures() -> None:
    assert thresholds([]) == ""
    results = [ThresholdResult("deliver_p99>1s", 1500.0, "ms", True), ThresholdResult("loss>0", 0.0, "", False)]
    assert thresholds(results).count("<li") == 2
    assert '<li class="failed">fails if deliver_p99&gt;1s: <b>1.5 s</b></li>' in thresholds(results)
    assert [
        threshold_figure(ThresholdResult("", figure, unit, False))
        for figure, unit in ((None, "ms"), (0.25, "%"), (9000.4, "/s"), (12.0, ""))
    ] == ["not measured", "0.25 %", "9,000/s", "12"]


def test_notes_are_told_where_there_are_some() -> None:
    assert notes([]) == ""
    assert notes(["edited: <b>"]) == '<ul class="notes"><li>edited: &lt;b&gt;</li></ul>'


def test_key_figures_of_a_run() -> None:
    ran = record(60)
    told = key_figures(ran)
    assert told.count("<dt>") == 8
    assert "<dt>Users connected, at most</dt><dd>5,000</dd>" in told
    assert "of 5,000 wanted: 250 Citizen, 4,750 Onlooker" in told
    assert '<div class="good"><dt>Lost or wrong</dt><dd>0</dd>' in told
    assert "5,000 welcomed, 0 failed, 100 lost" in told


def test_violations_are_red_and_zero_is_green_only_where_somebody_looked() -> None:
    lost = msgspec.structs.replace(record(5), counts={"lost": 2, "duplicated": 1, "audited": 900})
    assert '<div class="bad"><dt>Lost or wrong</dt><dd>3</dd>' in key_figures(lost)
    unseen = msgspec.structs.replace(record(5), counts={})
    assert "<div><dt>Lost or wrong</dt><dd>0</dd>" in key_figures(unseen)


def test_a_run_of_nothing_has_figures_all_the_same() -> None:
    nothing = msgspec.structs.replace(record(1), seconds=0.0, moments=[], rows=[row("connect", count=0)], counts={})
    told = key_figures(nothing)
    assert told.count("<dt>") == 7
    assert f"<dt>Delivery, p99</dt><dd>{NOTHING}</dd>" in told
    assert "nothing was sent" in told
