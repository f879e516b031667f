"""How many of something, in words."""

import pytest

from parvis.counted import counted


@pytest.mark.parametrize(("number", "told"), [(0, "0 rooms"), (1, "1 room"), (2, "2 rooms"), (12_000, "12,000 rooms")])
def test_one_is_one_and_all_else_are_many(number: int, told: str) -> None:
    assert counted(number, "room") == told
