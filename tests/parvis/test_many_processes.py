"""parvis/many_processes.py: gateways and shards as processes that come, go, and are started again."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import trio

from client.client import connect
from runtime.process_list import PROCESSES_NAME, ListedProcess, is_running, read_processes, send_signal
from tests.support.http import fetch
from tests.support.parvis_program import Up, parvis_up, run_parvis
from tests.support.talk import lines_of, read_lines, say

# Enough rooms that two shards, and then three, each speak for some.
ROOMS = [f"square/room-{n}" for n in range(8)]


def children(up: Up, role: str) -> set[int]:
    """The process ids of one role that are alive."""
    found = set()
    for child in psutil.Process(up.process.pid).children():
        # One that has just died has no command line any more.
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if role in child.cmdline():
                found.add(child.pid)
    return found


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        while not holds():
            await trio.sleep(0.05)


async def is_ready(up: Up) -> bool:
    answer = await fetch(up.admin_port, "/readyz")
    return bool(json.loads(answer.body)["ready"])


async def test_people_at_two_gateways_talk_in_rooms_of_two_shards_and_then_of_three(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    said: dict[str, dict[str, int]] = {}
    async with parvis_up(data_dir, "--gateways", "2", "--shards", "2") as up:
        first, second = up.websocket_urls
        async with connect([first], name="Ada", rng=Random(1), rooms=ROOMS) as ada:
            async with connect([second], name="Bo", rng=Random(2), rooms=ROOMS) as bo:
                for room in ROOMS:
                    said[room] = await say(ada, ["hello from the first"], room) | await say(bo, ["and from the second"], room)
                    seen = [(offset, line) for line, offset in said[room].items()]
                    assert await read_lines(ada, "and from the second", room) == seen
                    assert await read_lines(bo, "and from the second", room) == seen
        assert await up.end() == 0
    async with parvis_up(data_dir, "--gateways", "1", "--shards", "3") as again:
        for room in ROOMS:
            seen = await lines_of(again.websocket_urls, "and from the second", room)
            assert seen == [(offset, line) for line, offset in said[room].items()]
        async with connect(again.websocket_urls, name="Cy", rng=Random(3), rooms=ROOMS) as cy:
            assert [await say(cy, ["third"], room) for room in ROOMS] == [{"third": 3}] * len(ROOMS)
        assert await again.end(signal.SIGINT) == 0
    async with parvis_up(data_dir) as alone:
        assert len(await lines_of(alone.websocket_urls, "third", ROOMS[0])) == 3


async def test_a_process_that_dies_is_started_again_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data", "--gateways", "2", "--shards", "2") as up:
        async with connect(up.websocket_urls, name="Ada", rng=Random(1), rooms=[ROOMS[0]]) as ada:
            said = await say(ada, ["before"], ROOMS[0])
            for role in ("broker", "gateway"):
                victims = children(up, role)
                for victim in victims:
                    os.kill(victim, signal.SIGKILL)
                await until(lambda role=role, victims=victims: len(children(up, role) - victims) == 2)
                said |= await say(ada, [f"after the {role}s"], ROOMS[0])
            seen = await read_lines(ada, "after the gateways", ROOMS[0])
        assert seen == [(offset, line) for line, offset in said.items()]
        with trio.fail_after(30):
            while not await is_ready(up):
                await trio.sleep(0.05)
        assert "process_ended" in up.said()
        assert await up.end() == 0


async def test_the_data_directory_says_who_runs_also_after_a_restart_and_nothing_at_the_end(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"

    def named() -> dict[str, ListedProcess]:
        return {each.name: each for each in read_processes(data_dir)}

    async with parvis_up(data_dir, "--gateways", "2", "--shards", "1") as up:
        first = named()
        assert {name: each.role for name, each in first.items()} == {
            "up": "up", "gateway-1": "gateway", "gateway-2": "gateway", "shard-1": "shard",
        }  # fmt: skip
        assert first["up"].pid == up.process.pid
        for each in first.values():
            assert is_running(each)
            assert (await fetch(each.admin_port, "/livez")).status == 200
        send_signal(first["gateway-2"], signal.SIGKILL)
        await until(lambda: "gateway-2" in named() and named()["gateway-2"].pid != first["gateway-2"].pid)
        assert not is_running(first["gateway-2"])
        assert is_running(named()["gateway-2"])
        assert await up.end() == 0
    assert not (data_dir / PROCESSES_NAME).exists()


async def test_when_the_parent_is_killed_the_others_leave_and_the_directory_is_free(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data", "--gateways", "1", "--shards", "2") as up:
        orphans = psutil.Process(up.process.pid).children()
        assert len(orphans) == 3
        up.process.kill()
        await up.process.wait()
        await until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in orphans))
    async with parvis_up(tmp_path / "data", "--shards", "2") as again:
        assert await again.end() == 0


async def test_a_process_that_cannot_start_ends_it_all_with_its_code(tmp_path: Path) -> None:
    # The second gateway's port is beyond the last one there is.
    ended = await run_parvis("up", "--data-dir", str(tmp_path), "--port", "0", "--gateways", "2", "--set", "gateway.port=65535")
    assert ended.code == 78
    assert "gateway-2 did not start" in ended.err
