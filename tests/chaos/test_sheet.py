"""The page of figures judges what was measured, and nothing that was not."""

import pytest

from tests.chaos.chronicle import Fault
from tests.chaos.judge import Findings, Window
from tests.chaos.sheet import failed, table


def window(kind: str, longest_s: float, disconnected: int = 0) -> Window:
    return Window(Fault(1.0, 2.0, kind, "shard-1", 2.0), 5.0, longest_s, "a/b", disconnected)


@pytest.mark.parametrize(
    "found",
    [
        Findings(violations=["lost: m1"]),
        Findings(logged_errors=["shard-1: Traceback"]),
        Findings(windows=[window("kill_shard", 3.1)]),
        Findings(windows=[window("kill_shard", 1.0, disconnected=1)]),
        Findings(windows=[window("move_slots", 0.26)]),
        Findings(windows=[window("add_shard", 0.26)]),
    ],
)
def test_each_figure_that_is_missed_fails_the_run(found: Findings) -> None:
    assert failed(found)
    assert "MISS" in table(found, "again")


def test_what_did_not_happen_is_not_judged() -> None:
    windows = [window("kill_gateway", 9.0, disconnected=100), window("kill_shard", 2.9), window("move_slots", 0.2)]
    found = Findings(windows=windows)
    assert not failed(found)
    page = table(found, "again")
    assert "MISS" not in page
    assert "| kill_gateway | 1 | 9.00 | 100 |" in page
    assert "not measured" in table(Findings(), "again")
