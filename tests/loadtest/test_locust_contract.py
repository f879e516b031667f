"""Our workers behind a real locust: what its tables say is what they measured."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import loadtest.locust.session
from loadtest.locust.locustfile import locustfile
from loadtest.people.scenario import load_scenario
from tests.support.locust_rig import DEADLINE_S, free_port, locust_master, worker_behind

SCENARIO = """
from loadtest import User, task

class Citizen(User):
    weight = 2
    @task
    async def talk(self): ...

class Reporter(User):
    @task
    async def report(self): ...
"""


def is_running(stats: dict[str, Any], users: int) -> bool:
    return bool(stats["state"] == "running" and stats["user_count"] == users)


@pytest.fixture
def classes(tmp_path: Path) -> str:
    """The locustfile of the scenario."""
    (tmp_path / "evening.py").write_text(SCENARIO)
    return locustfile(load_scenario(str(tmp_path / "evening.py")))


async def test_two_workers_behind_a_headless_master_fill_its_tables_with_what_they_measured(
    tmp_path: Path, classes: str
) -> None:
    port = free_port()
    arguments = ["-u", "9", "-r", "6", "-t", "5s", "--expect-workers", "2", "--csv", "out", "--only-summary"]
    async with locust_master(tmp_path, classes, *arguments, port=port) as locust:
        with trio.fail_after(DEADLINE_S):
            behind = [worker_behind(port, f"here_{n}") for n in range(2)]
            async with trio.open_nursery() as nursery:
                for each in behind:
                    nursery.start_soon(each.worker.run)
        # Both have left because it said quit.
        assert await locust.wait() == 1, locust.log.read_text()
        works = [each.runs.works[0] for each in behind]
        rows = {row["Name"]: row for row in locust.rows("stats")}
        published = sum(work.published for work in works)
        assert published > 9
        assert (rows["publish"]["Type"], int(rows["publish"]["Request Count"])) == ("WS", published + 2)
        assert int(rows["publish"]["Failure Count"]) == 2
        assert (rows["publish"]["50%"], rows["publish"]["99%"]) == ("3", "3")
        assert int(rows["deliver"]["Request Count"]) == int(rows["deliver (small)"]["Request Count"]) == published
        assert (rows["deliver"]["Median Response Time"], rows["deliver"]["95%"]) == ("250", "250")
        assert int(rows["Aggregated"]["Request Count"]) == 2 * published + 2 + int(rows["audit"]["Request Count"])
        failures = {(row["Name"], row["Error"]): int(row["Occurrences"]) for row in locust.rows("failures")}
        assert failures == {
            ("publish", "refused: too fast"): 2,
            ("audit", "lost: square/main at offset 7: offset 7 never came"): 2,
        }
        # Audits were closed before the end, and the verdict stands where locust has a place for it.
        assert [each.runs.records[0].verdict.word for each in behind] == ["MISS", "MISS"]
        assert all("MISS" in row["Message"] for row in locust.rows("exceptions"))
        assert len(locust.rows("exceptions")) >= 1
        # Users and arrivals were dealt out to both.
        assert [each.runs.courses[0].shape.tick().users for each in behind] in ([4, 5], [5, 4])
        assert [each.runs.courses[0].shape.tick().arrivals_per_s for each in behind] == [{"Reporter": 5.0}] * 2
        log = locust.log.read_text()
        assert "different version" not in log
        assert "Traceback" not in log


async def test_a_run_is_started_edited_and_stopped_from_the_page_and_again(tmp_path: Path, classes: str) -> None:
    port, web_port = free_port(), free_port()
    async with locust_master(tmp_path, classes, port=port, web_port=web_port) as locust, trio.open_nursery() as nursery:
        behind = [worker_behind(port, f"here_{n}") for n in range(3)]
        for each in behind:
            nursery.start_soon(each.worker.run)
        await locust.wait_ready(3)
        for users, more in ((9, 12), (6, 3)):
            assert (await locust.ask("/swarm", user_count=users, spawn_rate=9, host="ws://127.0.0.1:1"))["success"]
            stats = await locust.wait_stats(partial(is_running, users=users))
            assert sorted(worker["user_count"] for worker in stats["workers"]) == [users // 3] * 3
            assert (await locust.ask("/swarm", user_count=more, spawn_rate=9, host="ws://127.0.0.1:1"))["success"]
            stats = await locust.wait_stats(lambda stats, more=more: stats["user_count"] == more and stats["total_rps"] > 0)
            assert {"publish", "deliver", "deliver (small)"} <= {row["name"] for row in stats["stats"]}
            assert {each["error"] for each in stats["errors"]} >= {"refused: too fast"}
            assert (await locust.ask("/stop", now="yes"))["success"]
            await locust.wait_ready(3)
            assert (await locust.ask("/stats/requests"))["state"] == "stopped"
        assert [len(each.runs.records) for each in behind] == [2, 2, 2]
        # One that is stopped by itself leaves, and the others take its users.
        await locust.ask("/swarm", user_count=6, spawn_rate=9, host="ws://127.0.0.1:1")
        await locust.wait_stats(lambda stats: stats["user_count"] == 6)
        behind[0].worker.leave()
        await locust.wait_stats(lambda stats: [each["user_count"] for each in stats["workers"]] == [3, 3])
        log = locust.log.read_text()
        assert "Traceback" not in log, log
        nursery.cancel_scope.cancel()


async def test_a_master_that_was_started_anew_gets_its_workers_back(
    tmp_path: Path, classes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loadtest.locust.session, "SILENT_S", 2.0)
    port, web_port = free_port(), free_port()
    async with trio.open_nursery() as nursery:
        behind = worker_behind(port, "here_1")
        nursery.start_soon(behind.worker.run)
        async with locust_master(tmp_path, classes, port=port, web_port=web_port) as locust:
            await locust.wait_ready(1)
            await locust.ask("/swarm", user_count=4, spawn_rate=9, host="")
            await locust.wait_stats(lambda stats: stats["user_count"] == 4)
            locust.process.kill()
        async with locust_master(tmp_path, classes, port=port, web_port=web_port) as again:
            await again.wait_ready(1)
            await again.ask("/swarm", user_count=2, spawn_rate=9, host="")
            await again.wait_stats(lambda stats: stats["user_count"] == 2 and stats["state"] == "running")
        assert len(behind.runs.records) == 1
        nursery.cancel_scope.cancel()
