"""Figures and jobs in locust's words.  What a real master makes of them: test_locust_contract.py."""

from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.figures.record import FoundRecord
from loadtest.figures.tally import Tally
from loadtest.figures.totals import Totals
from loadtest.locust.words import AUDIT, MESSAGE_BYTES_MAX, Job, NotLocust, Said, Span, bucket_ms, decode, encode, job_of, report

SPAN = Span(1000.25, 1001.25)


def entries(body: dict[str, object]) -> dict[str, dict[str, object]]:
    stats = body["stats"]
    assert isinstance(stats, list)
    return {each["name"]: each for each in stats}


def rows_of(tally: Tally) -> Totals:
    totals = Totals()
    totals.add(tally.take()[0])
    return totals


bodies = st.none() | st.integers(-(2**31), 2**31) | st.dictionaries(st.text(), st.floats(allow_nan=False))


@given(st.text(max_size=20), bodies, st.text())
def test_a_message_is_the_same_after_its_way(kind: str, data: object, node: str) -> None:
    assert decode(encode(Said(kind, data, node))) == Said(kind, data, node)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_none_of_locusts(data: bytes) -> None:
    with suppress(NotLocust):
        assert isinstance(decode(data), Said)


@pytest.mark.parametrize("said", [1, None, "abc", (1, 2, 3), ("a", 1, 2), ("a", 1), {}])
def test_what_is_no_message_is_told_apart(said: object) -> None:
    with pytest.raises(NotLocust):
        decode(msgpack.packb(said))


def test_a_message_beyond_the_bound_is_not_even_read() -> None:
    with pytest.raises(NotLocust, match="no locust says more"):
        decode(bytes(MESSAGE_BYTES_MAX + 1))


def test_a_spawn_is_a_job() -> None:
    body = {
        "timestamp": 12.5, "user_classes_count": {"Citizen": 3, "Reporter": 1}, "host": "ws://127.0.0.1:1", "stop_timeout": 2.0,
        "parsed_options": {"tags": ["quick"], "exclude_tags": None, "expect_workers": 2, "num_users": 8},
    }  # fmt: skip
    users = {"Citizen": 3, "Reporter": 1}
    assert job_of(Said("spawn", body, "")) == Job(12.5, users, "ws://127.0.0.1:1", 2.0, ["quick"], [], 2)
    bare = {"timestamp": 1, "user_classes_count": {}, "host": None, "stop_timeout": None}
    assert job_of(Said("spawn", bare, "")) == Job(1, {}, "", 0)


@pytest.mark.parametrize(
    "body", [None, {}, {"timestamp": "soon", "user_classes_count": {}}, {"timestamp": 1, "user_classes_count": 4}]
)
def test_a_spawn_that_lacks_something_is_none(body: object) -> None:
    with pytest.raises(NotLocust, match="a spawn without"):
        job_of(Said("spawn", body, ""))


@pytest.mark.parametrize(
    ("latency_ms", "bucket"),
    [(0.4, 0), (1.6, 2), (99.4, 99), (100, 100), (147, 150), (994, 990), (999, 1000), (1234, 1200), (3432, 3400), (58760, 59000)],
)
def test_latencies_fall_into_locusts_buckets(latency_ms: float, bucket: int) -> None:
    assert bucket_ms(latency_ms) == bucket


def test_a_row_becomes_an_entry_and_failures_are_requests_without_a_time() -> None:
    tally = Tally()
    row = tally.row("publish")
    row.latencies.record_many({1600: 2, 147_000: 1})
    row.bytes = 90
    row.fail("refused: slow down")
    [entry] = entries(report(rows_of(tally), {}, [], {"Citizen": 4}, SPAN)).values()
    assert entry == {
        "name": "publish", "method": "WS", "last_request_timestamp": 1001.25, "start_time": 1000.25, "num_requests": 4,
        "num_none_requests": 1, "num_failures": 1, "total_response_time": pytest.approx(150.2),
        "max_response_time": pytest.approx(147, rel=1e-3), "min_response_time": 1.6, "total_content_length": 90,
        "response_times": {2: 2, 150: 1}, "num_reqs_per_sec": {1000: 4}, "num_fail_per_sec": {1000: 1},
    }  # fmt: skip


def test_the_whole_of_a_row_is_told_beside_its_parts_and_counted_once_in_all() -> None:
    tally = Tally()
    tally.row("deliver (small)").latencies.record(1000)
    tally.row("deliver (large)").latencies.record(2000)
    body = report(rows_of(tally), {}, [], {}, SPAN)
    assert {name: entry["num_requests"] for name, entry in entries(body).items()} == {
        "deliver": 2, "deliver (large)": 1, "deliver (small)": 1,
    }  # fmt: skip
    total = body["stats_total"]
    assert isinstance(total, dict)
    assert (total["name"], total["method"], total["num_requests"], total["response_times"]) == ("Aggregated", "", 2, {1: 1, 2: 1})


def test_errors_have_the_keys_by_which_locust_adds_them_up() -> None:
    tally = Tally()
    for _ in range(3):
        tally.row("connect").fail("refused")
    errors = report(rows_of(tally), {}, [], {}, SPAN)["errors"]
    # What locust's own StatsError.create_key answers.
    assert errors == {
        "92afc8a188a8105b1c896f5af6a645d054cd97b5572aed3ac12e1c03737a1dbd": {
            "name": "connect", "method": "WS", "error": "refused", "occurrences": 3, "first_seen": 1000.25, "last_seen": 1001.25,
        }
    }  # fmt: skip


def test_violations_are_failures_with_names_of_the_row_audit() -> None:
    findings = [FoundRecord("lost", "square/a", 7, 2, "auditor 1", "offsets 7 to 8 never came")]
    body = report(Totals(), {"audited": 100, "lost": 5, "duplicated": 1}, findings, {}, SPAN)
    entry = entries(body)[AUDIT]
    assert (entry["num_requests"], entry["num_failures"], entry["response_times"]) == (100, 6, {})
    errors = body["errors"]
    assert isinstance(errors, dict)
    assert {each["error"]: each["occurrences"] for each in errors.values()} == {
        "lost: square/a at offset 7: offsets 7 to 8 never came": 2,
        "lost: offsets that were neither sent nor announced": 3,
        "duplicated: offsets, or ids, that came twice": 1,
    }
    total = body["stats_total"]
    assert isinstance(total, dict)
    assert (total["num_requests"], total["num_none_requests"], total["num_failures"]) == (100, 100, 6)


def test_a_second_in_which_nothing_happened_has_no_entries() -> None:
    body = report(Totals(), {}, [], {"Citizen": 2}, SPAN)
    assert (body["stats"], body["errors"], body["user_count"], body["user_classes_count"]) == ([], {}, 2, {"Citizen": 2})
    total = body["stats_total"]
    assert isinstance(total, dict)
    assert total["last_request_timestamp"] is None
    assert total["num_reqs_per_sec"] == {}
