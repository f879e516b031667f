"""The whole cluster under a seed, and slots change hands: shards die and leave, and the directory itself is broken."""

from dataclasses import replace

import pytest
import trio

from broker.journal.verdict import COMMITTED
from shard_router.router import ShardRouter
from tests.sim.replay import describe
from tests.support.simulation import MOVING, simulate

SEEDS = 12
# A planted bug is found by one of so many.
SEEDS_FOR_A_BUG = 8


def test_a_seed_is_replayed_to_the_bit() -> None:
    first, again = simulate(5, MOVING), simulate(5, MOVING)
    assert first.lines == again.lines
    assert simulate(6, MOVING).digest != first.digest


@pytest.mark.parametrize("seed", range(SEEDS))
def test_slots_change_hands_and_no_promise_is_broken(seed: int) -> None:
    report = simulate(seed, MOVING)
    assert not report.violations, describe(report)
    assert sum("map_written" in line for line in report.lines) >= 2, "a simulation in which nothing moves shows nothing"


def test_shards_that_are_cut_off_from_the_directory_and_are_not_fenced_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes on writing what it believes to own: only the journal can know better.

    Seen as two writers, or as an epoch that ended because a shard has found the other's content there.
    """
    monkeypatch.setattr("broker.journal.memory.outcome_of", lambda *_: COMMITTED)
    assert found_by_some_seed("directory_cut", "cut")


def test_a_router_that_does_not_follow_the_map_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stay(self: ShardRouter) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(ShardRouter, "_follow_directory", stay)
    found = found_by_some_seed("drain_shard", "crash_shard")
    assert any("stuck" in line for line in found), found


def found_by_some_seed(*faults: str) -> list[str]:
    """The violations of the first seed that finds any."""
    for seed in range(SEEDS_FOR_A_BUG):
        found = simulate(seed, replace(MOVING, faults=faults)).violations
        if found:
            return found
        print(f"seed {seed} finds nothing")
    return []
