"""`parvis loadtest --worker --locust`, with a real locust and a real gateway; what cannot be run is one sentence."""

import importlib.util
import json
from datetime import UTC, datetime
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import trio

from loadtest.figures.record import Moment
from loadtest.figures.totals import Totals
from loadtest.locust.dictated import Dictated
from loadtest.locust.words import Job
from loadtest.locust.worker import Course
from loadtest.master.collector import Closed, Collector
from loadtest.reports.outputs import Outputs, WantedFiles
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.locust import BehindLocust
from parvis.loadtest.reading import NoRun
from tests.support.locust_rig import free_port, locust_master
from tests.support.parvis_program import Ended, parvis_up, run_parvis
from tests.support.tiny_scenario import tiny_scenario


def test_without_zeromq_the_sentence_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(NoRun, match=r"pip install 'parvis\[locust\]'"):
        BehindLocust(LoadtestFlags(scenario_file=tiny_scenario(tmp_path)), [])


def test_a_full_disk_ends_no_run_and_locust_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    behind = BehindLocust(LoadtestFlags(scenario_file=tiny_scenario(tmp_path)), [])

    def second(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(Outputs, "second", second)
    course = Course(Job(1.0, {}, "", 0.0), Dictated([]), lambda: 5000.0)
    with Outputs(WantedFiles(), datetime.now(UTC)) as outputs:
        for at_s in (1.0, 2.0):
            moment = Moment(at_s, 0, 0, {}, 0, {}, {}, {}, 0, [], [])
            behind._hear(course, outputs, Closed(moment, Totals()), Collector())
            assert course.moment is moment
    assert capsys.readouterr().out.count("files are not written any more") == 1


def rows_of(stats: dict[str, Any]) -> dict[str, int]:
    return {row["name"]: row["num_requests"] for row in stats["stats"]}


async def test_locust_is_whose_worker_it_is(tmp_path: Path) -> None:
    ended = await run_parvis("loadtest", "-f", tiny_scenario(tmp_path), "--locust")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended
    assert "add --worker" in ended.err


async def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    tiny = tiny_scenario(tmp_path)
    behind = ("loadtest", "-f", tiny, "--worker", "--locust")
    for words, sentence in (
        (("-u", "5"), "leave -u, -r and -t to it"),
        (("--master-host", "no.such.host.invalid"), "--master-host no.such.host.invalid: "),
        (("--json", f"{tiny}/x.json"), "name another place"),
    ):
        ended = await run_parvis(*behind, *words)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended
        assert sentence in ended.err


@pytest.mark.timeout(240)
async def test_a_locust_loads_a_real_gateway_through_us_and_our_own_record_says_the_same(tmp_path: Path) -> None:
    tiny, port, web_port, ours = tiny_scenario(tmp_path), free_port(), free_port(), tmp_path / "ours.json"
    async with parvis_up(tmp_path / "data") as up:
        host = up.websocket_urls[0]
        classes = (await run_parvis("loadtest", "-f", tiny, "--print-locustfile", "--host", host)).out
        async with locust_master(tmp_path, classes, port=port, web_port=web_port) as locust, trio.open_nursery() as nursery:
            ended: list[Ended] = []

            async def work() -> None:
                words = ("-f", tiny, "--worker", "--locust", "--master-port", str(port), "--json", str(ours))
                ended.append(await run_parvis("loadtest", *words))

            nursery.start_soon(work)
            await locust.wait_ready(1)
            await locust.ask("/swarm", user_count=8, spawn_rate=8, host=host)
            await locust.wait_stats(lambda stats: stats["user_count"] == 8 and rows_of(stats).get("publish", 0) > 3)
            await locust.ask("/stop", now="yes")
            record = json.loads(ours.read_text())
            told = {row["name"]: row["count"] for row in record["rows"]} | {"audit": record["counts"]["audited"]}
            # Its page may be two seconds behind its tables.
            await locust.wait_stats(lambda stats: rows_of(stats) == told | {"Aggregated": rows_of(stats)["Aggregated"]})
            locust.process.terminate()
            await locust.wait()
    assert (ended[0].code, record["verdict"]["word"], record["hosts"]) == (0, "PASS", [host])
    assert told["connect"] == 8
    assert told["audit"] > 0
    assert "the locust master ends the run" in ended[0].out


async def test_a_target_that_is_not_there_is_told_on_locusts_page(tmp_path: Path) -> None:
    tiny, port, web_port = tiny_scenario(tmp_path), free_port(), free_port()
    classes = (await run_parvis("loadtest", "-f", tiny, "--print-locustfile", "--host", "ws://127.0.0.1:1")).out
    async with locust_master(tmp_path, classes, port=port, web_port=web_port) as locust, trio.open_nursery() as nursery:
        nursery.start_soon(run_parvis, "loadtest", "-f", tiny, "--worker", "--locust", "--master-port", str(port))
        await locust.wait_ready(1)
        await locust.ask("/swarm", user_count=4, spawn_rate=1, host="ws://127.0.0.1:1")
        with trio.fail_after(60):
            while not (told := (await locust.ask("/exceptions"))["exceptions"]):
                await trio.sleep(0.1)
        assert [(each["count"], each["msg"].partition(" (")[0]) for each in told] == [(1, "ws://127.0.0.1:1 does not welcome us")]
        locust.process.terminate()
        await locust.wait()
