"""Spans of time as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.master.durations import duration_s, spoken


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("0", 0), ("30s", 30), ("1m30s", 90), ("2h", 7200), ("1h30m", 5400), ("500ms", 0.5)],
)
def test_what_people_type_is_understood(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "30 s", "30x", "1s1m", "-3", "nan", "inf", "1m30", "31000000s", "soon"])
def test_anything_else_gets_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is not") as refused:
        duration_s(text)
    assert repr(text) in str(refused.value)


@given(st.integers(0, 2_000_000))
def test_a_span_that_is_said_and_typed_again_is_the_same(seconds: int) -> None:
    assert duration_s(spoken(seconds)) == seconds


@pytest.mark.parametrize(("seconds", "text"), [(90, "1m30s"), (0, "0s"), (0.25, "250ms"), (1.5, "1.5s"), (3600, "1h")])
def test_a_span_is_said_in_few_letters(seconds: float, text: str) -> None:
    assert spoken(seconds) == text
