"""The page of figures judges what was measured, and nothing that was not."""

import pytest

from tests.chaos.chronicle import Fault
from tests.chaos.judge import Findings, Window
from tests.chaos.sheet import Verdict, table, verdict_of


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
        Findings(windows=[window("drain_gateway", 0.1, disconnected=1)]),
        Findings(windows=[window("add_shard", 0.26)]),
    ],
)
def test_each_figure_that_is_missed_fails_the_run(found: Findings) -> None:
    assert verdict_of(found) is Verdict.MISS
    assert "MISS" in table(found, "again")


def test_a_busy_machine_excuses_what_took_long_and_nothing_else() -> None:
    slow, fast = [window("move_slots", 0.26)], [window("move_slots", 0.2)]
    assert verdict_of(Findings(windows=slow, others_share=0.11)) is Verdict.INVALID
    assert verdict_of(Findings(windows=slow, others_share=0.09)) is Verdict.MISS
    assert verdict_of(Findings(windows=slow, others_share=0.11, violations=["lost: m1"])) is Verdict.MISS
    assert verdict_of(Findings(windows=[window("kill_shard", 1.0, disconnected=1)], others_share=0.11)) is Verdict.MISS
    assert verdict_of(Findings(windows=fast, others_share=0.11)) is Verdict.PASS


def test_what_did_not_happen_is_not_judged() -> None:
    windows = [window("kill_gateway", 9.0, disconnected=100), window("kill_shard", 2.9), window("move_slots", 0.2)]
    found = Findings(windows=windows)
    assert verdict_of(found) is Verdict.PASS
    page = table(found, "again")
    assert "MISS" not in page
    assert "| kill_gateway | 1 | 9.00 | 100 |" in page
    assert "not measured" in table(Findings(), "again")
