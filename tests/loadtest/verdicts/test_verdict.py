"""The run in one word: which word goes before which, and the reasons people read."""

import msgspec
import pytest

from loadtest.figures.messages import VIOLATIONS
from loadtest.figures.record import FoundRecord, ThresholdResult
from loadtest.verdicts.verdict import FINDINGS_NAMED_MAX, UNANSWERED_S, Exit, judge, unreachable_reason

SLOW = ThresholdResult("deliver_p99>250ms", 312.5, "ms", True)
FINE = ThresholdResult("connect_p95>1s", 0.2, "s", False)
LOST = FoundRecord("lost", "town/square", 17, 1, "auditor-2", "no event came at this offset")


def test_a_run_without_faults_and_without_missed_thresholds_passes() -> None:
    verdict = judge(counts={"acked": 3}, thresholds=[FINE])
    assert (verdict.word, verdict.code, verdict.reasons) == ("PASS", 0, [])


def test_a_missed_threshold_is_named_with_its_figure() -> None:
    silent = ThresholdResult("resume_p99>5s", None, "s", True)
    rare = ThresholdResult("deliveries_per_s<9000", 1234567.891, "/s", True)
    verdict = judge(counts={}, thresholds=[FINE, SLOW, silent, rare])
    assert (verdict.word, verdict.code) == ("MISS", 1)
    assert verdict.reasons == [
        "deliver_p99>250ms: it was 312.5ms",
        "resume_p99>5s: nothing of this was measured",
        "deliveries_per_s<9000: it was 1,234,568",
    ]


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_what_must_never_happen_fails_a_run_that_asked_for_nothing(kind: str) -> None:
    verdict = judge(counts={kind: 2})
    assert (verdict.word, verdict.code) == ("MISS", 1)
    assert verdict.reasons[0].startswith(f"found what must never happen: {kind} 2 (")


def test_findings_are_named_with_their_place() -> None:
    whole = FoundRecord("protocol", "town/square", 0, 1, "auditor-1", "a frame that is no message")
    verdict = judge(counts={"lost": 1, "protocol": 1}, findings=[LOST, whole])
    assert verdict.reasons[1:] == [
        "lost: town/square at offset 17, seen by auditor-2: no event came at this offset",
        "protocol: town/square, seen by auditor-1: a frame that is no message",
    ]


def test_only_the_first_findings_are_named() -> None:
    assert len(judge(counts={"lost": 90}, findings=[LOST] * 90).reasons) == 1 + FINDINGS_NAMED_MAX


def test_a_generator_that_could_not_keep_up_judges_no_threshold_but_hides_no_finding() -> None:
    verdict = judge(invalid=["worker-1 was late"], counts={"lost": 1}, thresholds=[SLOW], findings=[LOST])
    assert (verdict.word, verdict.code) == ("INVALID", 3)
    assert verdict.reasons[0] == "worker-1 was late"
    assert verdict.reasons[1].startswith("found what must never happen: lost 1")
    assert not [reason for reason in verdict.reasons if "deliver_p99" in reason]


def test_what_a_late_generator_had_not_read_yet_is_no_finding() -> None:
    late = msgspec.structs.replace(LOST, kind="undelivered")
    verdict = judge(invalid=["worker-1 was late"], counts={"undelivered": 90, "duplicated": 0}, findings=[late] * 90)
    assert verdict.reasons == ["worker-1 was late"]
    assert judge(counts={"undelivered": 90}, findings=[late] * 90).word == "MISS"


def test_without_a_target_nothing_else_is_said() -> None:
    verdict = judge(unreachable=["nobody there"], invalid=["late"], counts={"lost": 1}, thresholds=[SLOW])
    assert (verdict.word, verdict.code, verdict.reasons) == ("UNREACHABLE", 4, ["nobody there"])


def test_nobody_welcomed_is_unreachable_with_the_commonest_answers() -> None:
    reason = unreachable_reason({"connects_failed": 1200}, {"refused": 1100, "http 503": 100}, ["ws://10.0.0.1:8001"])
    assert reason == (
        "none of 1,200 connections to ws://10.0.0.1:8001 was welcomed (refused 1100 times, http 503 100 times): "
        "check the address, and that a gateway runs there"
    )
    assert unreachable_reason({"connects_failed": 1}, {}, ["ws://a:1"]) == (
        "the only connection to ws://a:1 was not welcomed: check the address, and that a gateway runs there"
    )


def test_one_welcome_is_a_target_and_nobody_who_knocked_says_nothing() -> None:
    assert unreachable_reason({"connects": 1, "connects_failed": 9}, {}, ["ws://a:1"]) is None
    assert unreachable_reason({}, {}, ["ws://a:1"]) is None
    assert unreachable_reason({"connects": 1}, {}, ["ws://a:1"], 60.0) is None


def test_a_server_that_says_nothing_at_all_is_unreachable() -> None:
    assert unreachable_reason({}, {}, ["ws://a:1"], UNANSWERED_S - 1) is None
    assert unreachable_reason({}, {}, ["ws://a:1"], 7.0) == (
        "ws://a:1 welcomed nobody in 7 s, and refused nobody: is what runs there alive?"
    )


def test_exit_codes_are_those_of_the_documents() -> None:
    assert [(code.name, code.value) for code in Exit] == [
        ("PASS", 0), ("MISS", 1), ("USAGE", 2), ("INVALID", 3), ("UNREACHABLE", 4),
    ]  # fmt: skip
