"""parvis/roles.py: a cluster put together by hand, one process a role, on one machine."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import trio

from runtime.lifecycle import ExitCode
from tests.support.parvis_program import run_parvis
from tests.support.tree import ROOT


async def start(nursery: trio.Nursery, log: Path, *arguments: str) -> tuple[trio.Process, int]:
    """A role, once it says in its log that it is ready; and its port."""
    with log.open("wb") as stream:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "parvis", *arguments], stdin=subprocess.DEVNULL, stderr=stream, cwd=ROOT
        )
    nursery.start_soon(kill_at_the_end, process)
    with trio.fail_after(60):
        while True:
            ready = re.search(r'"event": "ready".*"port": (\d+)', log.read_text())
            if ready:
                return process, int(ready[1])
            assert process.poll() is None, log.read_text()
            await trio.sleep(0.02)


async def kill_at_the_end(process: trio.Process) -> None:
    try:
        await trio.sleep_forever()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def test_two_shards_and_a_gateway_that_were_started_one_by_one(tmp_path: Path, nursery: trio.Nursery) -> None:
    common = ["--data-dir", str(tmp_path), "--set", "cluster.map_version=1"]
    names = ["--set", "cluster.shards=shard-1=127.0.0.1:1,shard-2=127.0.0.1:2"]
    shards = []
    for name in ("shard-1", "shard-2"):
        words = ["broker", *common, *names, "--set", f"broker.id={name}", "--set", "broker.port=0"]
        shards.append(await start(nursery, tmp_path / f"{name}.log", *words))
    addresses = ",".join(f"shard-{n}=127.0.0.1:{port}" for n, (_, port) in enumerate(shards, 1))
    gateway, port = await start(
        nursery, tmp_path / "gateway.log", "gateway", *common, "--set", f"cluster.shards={addresses}", "--set", "gateway.port=0"
    )
    url = f"ws://127.0.0.1:{port}"
    for room in ("square/a", "square/b", "square/c", "square/d"):
        said = await run_parvis("chat", room, "--as", "Ada", "--url", url, stdin=b"hello\n")
        assert said.code == 0, said.err
        assert "Ada (you): hello" in said.out
    refused = await run_parvis("up", "--data-dir", str(tmp_path), "--port", "0")
    assert refused.code == ExitCode.BUSY
    for process in (gateway, *(shard for shard, _ in shards)):
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(30):
            assert await process.wait() == 0


async def test_a_broker_that_the_cluster_does_not_name_is_told(tmp_path: Path) -> None:
    ended = await run_parvis("broker", "--data-dir", str(tmp_path), "--set", "broker.id=shard-9")
    assert ended.code == ExitCode.CONFIG
    assert "shard-9 is not among cluster.shards" in ended.err


async def test_a_broker_with_an_older_map_than_the_journals_is_told(tmp_path: Path, nursery: trio.Nursery) -> None:
    newer = ["--data-dir", str(tmp_path), "--set", "broker.port=0"]
    process, _ = await start(nursery, tmp_path / "newer.log", "broker", *newer, "--set", "cluster.map_version=5")
    older = await run_parvis("broker", *newer, "--set", "cluster.map_version=4")
    assert older.code == ExitCode.DATA
    assert "slot map 4 is older than 5" in older.err
    assert process.poll() is None
