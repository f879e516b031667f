"""`make loadtest-demo`, with fewer people and seconds: it leaves a report worth looking at, and nothing else."""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
import trio
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.browser import DEADLINE_S, window
from tests.support.charts import painted
from tests.support.tree import ROOT

DEMO = ROOT / "tools" / "loadtest_demo.py"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where everything lies that the demo makes besides its report: a short path, since sockets have no long ones."""
    with TemporaryDirectory(prefix="d") as made:
        yield Path(made)


async def start(folder: Path, tmp_path: Path, *words: str) -> trio.Process:
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, str(DEMO), "--place", str(tmp_path / "report"), *words]
    return await trio.lowlevel.open_process(command, env=environment, cwd=ROOT, start_new_session=True)


def still_running(folder: Path) -> Sequence[str]:
    """Command lines of processes that use the demo's folder."""
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if str(folder) in line:
            lines.append(line)
    return lines


async def test_it_leaves_a_report_that_a_browser_draws(folder: Path, tmp_path: Path) -> None:
    with trio.fail_after(100):
        process = await start(folder, tmp_path, "--users", "100", "--spawn-rate", "100", "--time", "8s")
        assert await process.wait() == 0
    assert still_running(folder) == []
    assert list(folder.iterdir()) == []
    report = tmp_path / "report"
    record = json.loads((report / "election_night.json").read_text())
    assert record["verdict"]["word"] == "PASS"
    assert record["counts"]["deliveries"] > 0
    assert (report / "election_night_stats.csv").read_text().startswith("Type,Name,Request Count")

    def look() -> None:
        with window(tmp_path / "profile") as browser:
            browser.driver.get((report / "election_night.html").as_uri())
            wait = WebDriverWait(browser.driver, DEADLINE_S, poll_frequency=0.1)
            wait.until(lambda _: painted(browser) and all(pixels > 500 for pixels in painted(browser).values()))
            shown = {"chart-users", "chart-deliver", "chart-connects", "chart-server-cpu", "chart-server-memory"}
            assert shown <= set(painted(browser))
            assert browser.text_of("word") == "PASS"
            assert browser.faults() == []

    await trio.to_thread.run_sync(look)


async def test_ctrl_c_ends_everything_in_order_and_the_report_is_there(folder: Path, tmp_path: Path) -> None:
    with trio.fail_after(100):
        process = await start(folder, tmp_path, "--users", "50", "--spawn-rate", "50", "--time", "10m")
        csv = tmp_path / "report" / "election_night_stats.csv"
        # Written every second of the run: it has begun when something was delivered.
        while not (csv.exists() and re.search(r"^WS,deliver,[1-9]", csv.read_text(), re.MULTILINE)):
            assert process.poll() is None
            await trio.sleep(0.1)
        process.send_signal(signal.SIGINT)
        await process.wait()
    assert still_running(folder) == []
    assert (tmp_path / "report" / "election_night.html").exists()


async def test_a_signal_while_the_cluster_starts_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    with trio.fail_after(100):
        process = await start(folder, tmp_path)
        while not still_running(folder):
            assert process.poll() is None
            await trio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 130
    assert still_running(folder) == []
    assert list(folder.iterdir()) == []
