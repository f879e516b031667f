"""What `parvis loadtest` says of whole runs: a slow generator is INVALID, and a fault of the server is named with its place."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.faulty_edge import FaultyEdge, drop
from tests.support.parvis_program import Up, parvis_up, run_parvis
from tests.support.tiny_scenario import tiny_scenario

# A scenario that a newcomer writes: what looks like work of one user holds up all of its process.
BLOCKING = '''"""People who compute before they speak."""

import time

from loadtest import User, between, task


class Thinker(User):
    rooms = ["square/main"]
    wait_time = between(0.1, 0.2)

    @task
    async def think(self) -> None:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            pass
        await self.publish(self.room, "good evening")
'''


async def _run(up: Up, url: str, scenario: str, record: Path, *more: str) -> tuple[int, dict[str, Any]]:
    ended = await run_parvis(
        "loadtest", "-f", scenario, "-u", "8", "-r", "50", "-t", "4", "--headless", "--host", url, "--json", str(record), *more
    )
    assert record.exists(), ended
    told: dict[str, Any] = json.loads(record.read_text())
    assert told["verdict"]["code"] == ended.code, ended
    return ended.code, told


@pytest.mark.timeout(180)
async def test_a_generator_made_too_slow_on_purpose_is_invalid(tmp_path: Path) -> None:
    (tmp_path / "blocking.py").write_text(BLOCKING)
    async with parvis_up(tmp_path / "data") as up:
        code, record = await _run(
            up, up.websocket_urls[0], str(tmp_path / "blocking.py"), tmp_path / "run.json", "--fail-if", "acked<1"
        )
    assert (code, record["verdict"]["word"]) == (3, "INVALID")
    reasons = record["verdict"]["reasons"]
    assert reasons[0].startswith("worker-1: its event loop was more than 100 ms late for ")
    # A late generator is no proof of anything that the server did.
    assert not [reason for reason in reasons if "must never happen" in reason]


@pytest.mark.timeout(180)
async def test_a_loss_on_the_way_is_named_with_its_place_and_fails_the_run(tmp_path: Path) -> None:
    scenario = tiny_scenario(tmp_path)
    async with parvis_up(tmp_path / "data") as up, trio.open_nursery() as nursery:
        edge = FaultyEdge(int(up.websocket_urls[0].rpartition(":")[2].rstrip("/")), drop("square/main", 3))
        await nursery.start(edge.run)
        code, record = await _run(up, edge.url, scenario, tmp_path / "run.json")
        nursery.cancel_scope.cancel()
    assert code != 0
    assert ("lost", "square/main", 3, 1) in {
        (each["kind"], each["room"], each["offset"], each["count"]) for each in record["findings"]
    }
    assert [reason for reason in record["verdict"]["reasons"] if reason.startswith("lost: square/main at offset 3, seen by ")]
