"""Two runs side by side."""

from collections import Counter
from itertools import pairwise
from random import Random

import msgspec
import pytest

from loadtest.figures.latency import Latencies
from loadtest.figures.record import RowTotal, RunRecord, Verdict
from loadtest.figures.totals import RowSum
from loadtest.verdicts.compare import Change, Comparison, NotComparable, compare, sentence
from tests.support.run_record import record

CALM = msgspec.structs.replace(record(10), rows=[], counts={"publishes": 1000, "acked": 1000, "deliveries": 50_000}, seconds=10.0)


def row(middle_ms: float, count: int = 40_000, seed: int = 1, failures: int = 0, name: str = "publish") -> RowTotal:
    random = Random(seed)
    whole = RowSum("WS", name)
    latencies = Latencies()
    latencies.record_many(Counter(round(1000 * middle_ms * random.lognormvariate(0, 0.5)) for _ in range(count)))
    whole.latencies.merge(latencies)
    whole.failures = failures
    return whole.total(10.0)


def run(*rows: RowTotal, **more: object) -> RunRecord:
    return msgspec.structs.replace(CALM, rows=list(rows), **more)


def judged(comparison: Comparison, row: str = "publish") -> dict[str, str]:
    return {change.figure: change.judged for change in comparison.changes if change.row == row}


def test_a_run_is_the_same_as_itself() -> None:
    comparison = compare(run(row(20)), run(row(20)))
    assert (comparison.verdict, comparison.code, comparison.reasons, comparison.notes) == ("same", 0, [], [])
    assert judged(comparison) == {
        "count": "unjudged", "rate": "unjudged", "p50": "same", "p95": "same", "p99": "same", "p99.9": "same", "max": "unjudged",
    }  # fmt: skip
    assert all(change.percent == 0 for change in comparison.changes)


def test_another_run_of_the_same_is_the_same() -> None:
    assert compare(run(row(20, seed=1)), run(row(20, seed=2))).verdict == "same"


def test_half_as_slow_again_is_worse_and_the_other_way_better() -> None:
    slower = compare(run(row(20)), run(row(30, seed=2)))
    assert (slower.verdict, slower.code) == ("worse", 1)
    assert judged(slower)["p99"] == "worse"
    assert slower.reasons[0] == "publish p50: 20 ms before, 30 ms now (+50 %), worse"
    faster = compare(run(row(30, seed=2)), run(row(20)))
    assert (faster.verdict, faster.code) == ("better", 0)


def test_percentiles_without_enough_samples_beyond_them_are_not_judged() -> None:
    comparison = compare(run(row(20, count=3_000)), run(row(40, count=3_000, seed=2)))
    assert judged(comparison) == {
        "count": "unjudged", "rate": "unjudged", "p50": "worse", "p95": "worse", "p99": "worse", "p99.9": "few",
        "max": "unjudged",
    }  # fmt: skip
    few = compare(run(row(20, count=50)), run(row(400, count=50, seed=2)))
    assert set(judged(few).values()) == {"unjudged", "few"}
    assert few.verdict == "same"


def test_deliveries_of_one_message_are_one_sample() -> None:
    # Found with two real runs: 1,965 deliveries of forty messages told a difference that was none.
    deliver = [row(middle, seed=seed, name="deliver (small)") for middle, seed in ((20, 1), (30, 2))]
    comparison = compare(run(deliver[0]), run(deliver[1]))
    assert judged(comparison, "deliver (small)") == {
        "count": "unjudged", "rate": "unjudged", "p50": "worse", "p95": "worse", "p99": "few", "p99.9": "few", "max": "unjudged",
    }  # fmt: skip
    alone = {"publishes": 40_000, "acked": 40_000, "deliveries": 40_000}
    assert judged(compare(run(deliver[0], counts=alone), run(deliver[1], counts=alone)), "deliver (small)")["p99.9"] == "worse"


def test_what_lies_within_tolerance_or_floor_is_the_same() -> None:
    assert compare(run(row(20)), run(row(21.5))).verdict == "same"
    assert compare(run(row(20)), run(row(21.5)), tolerance=0.05).verdict == "worse"
    assert compare(run(row(0.5)), run(row(0.7))).verdict == "same", "0.2 ms is below the floor"
    assert compare(run(row(0.5)), run(row(0.7)), floor_ms=0.1).verdict == "worse"


def test_what_chance_explains_is_the_same_however_narrow_the_tolerance() -> None:
    comparison = compare(run(row(20, count=3_100)), run(row(20, count=3_100, seed=5)), tolerance=0.0, floor_ms=0.0)
    assert comparison.verdict == "same"
    assert any(change.percent for change in comparison.changes if change.figure == "p99")


def test_fifty_runs_of_one_distribution_are_all_the_same() -> None:
    # The seeds are fixed: a rule that is right in 99 % of all cases must not fail this once in a hundred times.
    rows = [row(20, count=3_200, seed=seed) for seed in range(50)]
    verdicts = Counter(compare(run(one), run(other), tolerance=0.02).verdict for one, other in pairwise(rows))
    assert verdicts["same"] >= 48


def test_violations_are_judged_without_tolerance() -> None:
    lost = {**CALM.counts, "lost": 1}
    comparison = compare(run(), run(counts=lost))
    assert (comparison.verdict, comparison.reasons) == ("worse", ["lost: 0 before, 1 now, worse"])
    assert compare(run(counts=lost), run()).verdict == "better"
    assert compare(run(counts=lost), run(counts=lost)).verdict == "same"


def test_failures_are_compared_as_shares() -> None:
    comparison = compare(run(row(20, failures=10)), run(row(20, failures=400)))
    assert judged(comparison)["failed"] == "worse"
    assert judged(compare(run(row(20, failures=400)), run(row(20, failures=10))))["failed"] == "better"
    assert judged(compare(run(row(20, failures=10)), run(row(20, failures=14))))["failed"] == "same"
    assert judged(compare(run(row(20, count=9)), run(row(20, count=9, failures=3))))["failed"] == "few"
    nothing = compare(run(row(20, count=0, failures=60)), run(row(20, count=0, failures=60)))
    assert judged(nothing) == {"count": "unjudged", "rate": "unjudged", "failed": "same"}


def test_fewer_deliveries_of_as_many_messages_are_worse() -> None:
    fewer = compare(run(), run(counts={"publishes": 1000, "acked": 1000, "deliveries": 40_000}))
    assert fewer.reasons == ["fan-out: 50 before, 40 now (-20 %), worse"]
    assert compare(run(), run(counts={"publishes": 1000, "acked": 1000, "deliveries": 60_000})).verdict == "better"
    less_load = compare(run(), run(counts={"publishes": 500, "acked": 500, "deliveries": 25_000}))
    assert less_load.verdict == "same"
    assert less_load.notes == ["the load was not the same: 100/s were published before, 50/s now"]
    shorter = compare(run(), run(counts={"publishes": 500, "acked": 500, "deliveries": 20_000}, seconds=5.0))
    assert shorter.verdict == "same"
    nothing = compare(run(counts={}), run(counts={}))
    assert nothing.verdict == "same"


def test_what_else_differs_is_noted() -> None:
    other = run(
        row(20, name="other"),
        notes=["edited after 9 s: 10 users"],
        seconds=20.0,
        machine={**CALM.machine, "kernel": "Linux 9"},
        moments=CALM.moments[:1],
    )
    notes = compare(run(row(20)), other).notes
    assert "the runs are not equally long: 10 s before, 20 s now" in notes
    assert "the second run: edited after 9 s: 10 users" in notes
    assert "kernel: Linux 6.1 before, Linux 9 now" in notes
    assert any(note.startswith("the load was not the same: 5,000 users were connected before") for note in notes)
    assert notes[-2:] == ["the row other is in the second run only", "the row publish is in the first run only"]


def test_a_generator_that_was_under_pressure_once_is_noted() -> None:
    def lagging(lag_ms: float) -> RunRecord:
        worker = msgspec.structs.replace(CALM.moments[0].workers[0], lag_ms=lag_ms)
        return run(moments=[msgspec.structs.replace(moment, workers=[worker]) for moment in CALM.moments])

    (note,) = compare(lagging(4.0), lagging(30.0)).notes
    assert note.startswith("the generator's event loop was late by 4 ms before, 30 ms now in a usual second")
    assert compare(lagging(25.0), lagging(30.0)).notes == []
    assert compare(lagging(0.5), lagging(4.0)).notes == []
    assert compare(run(moments=[]), run(moments=[])).notes == []


def test_runs_of_two_scenarios_are_not_compared() -> None:
    sentence = "^the first run is of election_night and the second of soak: compare runs of one scenario$"
    with pytest.raises(NotComparable, match=sentence):
        compare(run(), run(scenario="soak"))


@pytest.mark.parametrize("word", ["INVALID", "UNREACHABLE"])
def test_a_run_without_figures_is_not_compared(word: str) -> None:
    sentence = f"^the second run is {word}, so its figures say nothing about the server: run it again$"
    with pytest.raises(NotComparable, match=sentence):
        compare(run(), run(verdict=Verdict(word, 3, ["too slow"])))
    assert compare(run(), run(verdict=Verdict("MISS", 1, ["slow"]))).verdict == "same"


def test_a_change_as_a_sentence() -> None:
    change = Change("deliver", "p99", "ms", 20, 30, 50.0, "worse")
    assert sentence(change) == "deliver p99: 20 ms before, 30 ms now (+50 %), worse"
