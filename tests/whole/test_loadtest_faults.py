"""A load test that kills and freezes by role: people come back, nothing is lost, and the time line says what was done."""

import json
from pathlib import Path

import pytest

from runtime.process_list import read_processes
from tests.support.parvis_program import parvis_up, run_parvis

CROWD = '''
"""A crowd, and somebody who speaks all the time."""
from loadtest import Reader, User, per_second, task

faults = ["4s kill gateway", "7s kill shard", "9s freeze gateway-2 1s", "9s malformed 3"]


class Crowd(Reader):
    rooms = ["square/main"]
    weight = 9
    audit_share = 0.3


class Speaker(User):
    rooms = ["square/main"]
    arrivals = per_second(10)

    @task
    async def talk(self):
        await self.publish(self.room, "good evening")
'''


@pytest.mark.timeout(240)
async def test_who_was_connected_to_a_killed_gateway_resumes_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "crowd.py").write_text(CROWD)
    data_dir, written = tmp_path / "data", tmp_path / "run.json"
    async with parvis_up(data_dir, "--gateways", "2", "--shards", "2") as up:
        before = {each.name: each.pid for each in read_processes(data_dir)}
        crowd = ("-f", str(tmp_path / "crowd.py"), "-u", "40", "-r", "40", "-t", "14s")
        common = (*crowd, "--headless", "--host", *up.websocket_urls)
        refused = await run_parvis("loadtest", *common)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert '"kill gateway" needs --target-data-dir DIR' in refused.err
        ended = await run_parvis("loadtest", *common, "--target-data-dir", str(data_dir), "--json", str(written))
        after = {each.name: each.pid for each in read_processes(data_dir)}
        assert await up.end() == 0
    record = json.loads(written.read_text())
    marks = [(mark["kind"], mark["text"]) for moment in record["moments"] for mark in moment.get("marks", [])]
    assert marks[0] == ("fault", "kill gateway-1"), marks
    assert {("fault", "kill shard-1"), ("fault", "freeze gateway-2 for 1s"), ("fault", "malformed 3")} <= set(marks)
    assert {name for name in before if before[name] != after[name]} == {"gateway-1", "shard-1"}
    counts, rows = record["counts"], {row["name"]: row for row in record["rows"]}
    # Half of 40 were at the gateway that was killed; who sent what is no frame came back as well.
    assert counts["disconnects"] >= 10
    assert rows["resume"]["count"] >= counts["disconnects"]
    assert counts["acked"] == counts["publishes"] > 50
    assert [counts.get(kind, 0) for kind in ("lost", "duplicated", "reordered", "altered", "resume_gap")] == [0] * 5
    assert record["findings"] == []
    assert ended.code in (0, 3), ended  # 3: this machine was too busy for the plan, which says nothing of the server
