"""`make loadtest-demo`: a cluster on this machine, an election night on it, and a report to look at.

Two gateways, two shards and a Valkey in a temporary directory; 5,000 people for a minute.
Everything is ended by its process id, whatever happens: Ctrl-C ends the load test in order,
which then still writes its report, a second one at once; the cluster follows.
"""

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio

ROOT: Final = Path(__file__).resolve().parents[1]
PLACE: Final = ROOT / "build" / "loadtest"
SCENARIO: Final = "election_night"
PARVIS: Final = (sys.executable, "-m", "parvis")
QUIET: Final = ("--set", "log.level=warning")
INTERRUPTED: Final = 130
UNAVAILABLE: Final = 69
START_S: Final = 60.0
# Drain of gateways and shards, and then of their store.
END_S: Final = 60.0


class NoClusterError(Exception):
    """It did not come up; the text says why."""


async def main() -> int:
    options = _options()
    options.place.mkdir(parents=True, exist_ok=True)
    demo = Demo(options)
    with TemporaryDirectory(prefix="parvis-demo-") as folder, trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(demo.obey, signals, nursery.cancel_scope)
            async with cluster(Path(folder)) as urls:
                await demo.run(urls, Path(folder) / "data")
            nursery.cancel_scope.cancel()
    return demo.code


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[list[str]]:
    """A cluster that is up, as the websocket addresses of its gateways; it is gone when the block ends."""
    print("starting a cluster: two gateways, two shards, a Valkey ...", flush=True)
    words = ("up", "--cluster", "--gateways", "2", "--shards", "2", "--port", "0", "--data-dir", str(folder / "data"), *QUIET)
    log = folder / "cluster.log"
    with log.open("wb") as errors:
        # In a session of its own: Ctrl-C in the terminal is for the load test first.
        process = await trio.lowlevel.open_process(
            [*PARVIS, *words], stdout=subprocess.PIPE, stderr=errors, start_new_session=True, cwd=ROOT
        )
    try:
        yield await _addresses(process, log)
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _addresses(process: trio.Process, log: Path) -> list[str]:
    assert process.stdout is not None, "the cluster was started with a pipe"
    said = b""
    with trio.move_on_after(START_S):
        while b"Ctrl-C" not in said:
            data = await process.stdout.receive_some(4096)
            if not data:
                break
            said += data
    found = re.search(r"Websocket +(.*)", said.decode())
    if found is None:
        raise NoClusterError(f"the cluster did not start:\n{await trio.Path(log).read_text()}")
    return [url.strip() for url in found[1].split(",")]


async def _end(process: trio.Process) -> None:
    if process.poll() is None:
        process.terminate()
        with trio.move_on_after(END_S):
            await process.wait()
    if process.poll() is None:
        print(f"the cluster (process {process.pid}) does not leave: it is killed", file=sys.stderr)
        process.kill()
        await process.wait()
    if process.stdout is not None:
        await process.stdout.aclose()


class Demo:
    """The load test as a child that signals are passed on to."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._base = str(options.place / SCENARIO)
        self._process: trio.Process | None = None
        self.code = INTERRUPTED
        """What the load test ended with."""

    async def run(self, urls: Sequence[str], data_dir: Path) -> None:
        """From its start to its end."""
        options = self._options
        words = [
            "loadtest", "-f", SCENARIO, "-u", options.users, "-r", options.spawn_rate, "-t", options.time, "--headless",
            *(word for url in urls for word in ("--host", url)), "--target-data-dir", str(data_dir),
            "--processes", options.processes, "--html", f"{self._base}.html", "--json", f"{self._base}.json", "--csv", self._base,
        ]  # fmt: skip
        process = await trio.lowlevel.open_process([*PARVIS, *words], start_new_session=True, cwd=ROOT)
        self._process = process
        try:
            self.code = await process.wait()
        finally:
            self._process = None
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
        if await trio.Path(f"{self._base}.html").exists():
            print(f"\nopen {self._base}.html")

    async def obey(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        """Ctrl-C is for the load test while there is one, and else for all."""
        async for number in signals:
            if self._process is not None:
                self._process.send_signal(number)
            else:
                scope.cancel()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make loadtest-demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--users", default="5000")
    parser.add_argument("--spawn-rate", default="250")
    parser.add_argument("--time", default="60s")
    # One process would take a message for all of its 5,000 readers at once, and be late for the next one meanwhile.
    parser.add_argument("--processes", default="2")
    parser.add_argument("--place", type=Path, default=PLACE, help="where the report is left")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        code = trio.run(main)
    except* NoClusterError as group:
        code = UNAVAILABLE
        print(*group.exceptions, file=sys.stderr)
    sys.exit(code)
