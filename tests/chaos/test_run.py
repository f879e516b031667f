"""Small chaos runs, for `make test`: real processes, one fault of each kind that matters most, everything judged but time."""

from pathlib import Path

import pytest

from tests.chaos.run import main, run_chaos
from tests.chaos.world import Shape

SEED = 11


@pytest.mark.parametrize(
    ("with_redis", "kinds"),
    [(True, ["kill_shard", "move_slots", "forget"]), (False, ["kill_shard", "kill_gateway", "cut_links"])],
    ids=["Redis", "one file"],
)
async def test_a_small_world_keeps_its_promises_while_it_is_broken(tmp_path: Path, with_redis: bool, kinds: list[str]) -> None:
    shape = Shape(shards=2, gateways=2, people=24, rooms=6, publishes_per_s=40.0, with_redis=with_redis)
    outcome = await run_chaos(tmp_path / "run", shape, seed=SEED, seconds=0.0, kinds=kinds, at_least=len(kinds))
    found = outcome.findings
    assert found.violations == [], f"seed {SEED}"
    assert found.logged_errors == []
    assert found.acked == found.said > 0
    assert found.seen == found.acked * shape.people // shape.rooms
    assert all(found.count(kind) for kind in kinds)
    assert found.disconnected("kill_shard", "cut_links") == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--kinds", "earthquake"], "no fault is called earthquake"),
        (["--store", "sqlite", "--kinds", "forget"], "no fault is called forget here"),
        (["--people", "30"], "30 people in 30 rooms"),
    ],
)
def test_what_cannot_be_run_is_a_plain_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
