"""Codes say what a client does next, by themselves and by their range."""

import pytest

from wire.codes import CLOSE_SENTENCES, REFUSAL_BY_CODE, STOP_BELOW_3000, CloseCode, Refusal, ResumeReason, may_reconnect
from wire.limits import CLOSE_REASON_BYTES_MAX


def test_refusal_codes_are_unique_and_found_by_code() -> None:
    assert {code: refusal.kind.code for code, refusal in REFUSAL_BY_CODE.items()} == {code: code for code in REFUSAL_BY_CODE}
    assert len(REFUSAL_BY_CODE) == len(Refusal)


@pytest.mark.parametrize("refusal", Refusal)
def test_a_refusal_says_a_plain_sentence_and_when_to_retry(refusal: Refusal) -> None:
    kind = refusal.kind
    assert kind.sentence[0].isupper()
    assert kind.sentence.endswith(".")
    assert kind.code == refusal.name.lower()
    assert (kind.retry_after_ms > 0) == kind.temporary, "advice goes with temporary refusals, and only with them"


@pytest.mark.parametrize("code", CloseCode)
def test_a_close_code_has_a_sentence_that_fits_a_close_frame(code: CloseCode) -> None:
    sentence = CLOSE_SENTENCES[code]
    assert sentence.endswith(".")
    assert len(sentence.encode()) <= CLOSE_REASON_BYTES_MAX


@pytest.mark.parametrize(
    ("code", "returns"),
    [
        (1000, True), (1001, True), (1002, False), (1003, False), (1005, True), (1006, True), (1007, False), (1008, False),
        (1009, False), (1010, False), (1011, True), (1012, True), (1015, True), (2999, True), (3000, True), (3499, True),
        (3500, False), (3999, False), (4000, True), (4499, True), (4500, False), (4999, False), (5000, False),
    ],
)  # fmt: skip
def test_the_range_of_a_close_code_says_whether_to_come_back(code: int, returns: bool) -> None:
    assert may_reconnect(code) is returns


def test_our_own_codes_lie_in_the_range_that_says_what_their_sentence_says() -> None:
    for code in CloseCode:
        if code >= 3000:
            assert may_reconnect(code) == ("reconnect" in CLOSE_SENTENCES[code] or code == CloseCode.SERVER_ERROR)
    assert {int(code) for code in CloseCode} & STOP_BELOW_3000 == {1002, 1003, 1007, 1009}


def test_resume_reasons_are_the_four_promised() -> None:
    assert {reason.value for reason in ResumeReason} == {"epoch", "trimmed", "limit", "policy"}
