"""`parvis up --cluster`: the clustered shape with one command, and what becomes of a talk when its processes die."""

import os
import signal
from pathlib import Path
from random import Random

import psutil
import trio

from client.client import connect
from runtime.process_list import read_processes, send_signal
from tests.parvis.test_many_processes import ROOMS, children, is_ready, until
from tests.support.parvis_program import parvis_up, run_parvis
from tests.support.redis_server import redis_server
from tests.support.talk import lines_of, say


def left_behind(data_dir: Path) -> list[str]:
    """Processes of this data directory that are still there."""
    everybody = psutil.process_iter(["cmdline"])
    return [words for each in everybody if str(data_dir) in (words := " ".join(each.info["cmdline"] or []))]


async def test_one_command_is_a_cluster_that_outlives_its_shards_and_its_store(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with parvis_up(data_dir, "--cluster") as up:
        assert "(2 gateways, 2 shards)" in up.banner
        assert "a Valkey of its own" in up.banner
        async with connect(up.websocket_urls, name="Ada", rng=Random(1), rooms=ROOMS) as ada:
            said = {room: await say(ada, ["before"], room) for room in ROOMS}
            [first, *_] = sorted(children(up, "broker"))
            os.kill(first, signal.SIGKILL)
            for room in ROOMS:
                said[room] |= await say(ada, ["while a shard is away"], room)
            await until(lambda: len(children(up, "broker")) == 2)
            [store] = [each for each in read_processes(data_dir) if each.role == "store"]
            send_signal(store, signal.SIGKILL)
            for room in ROOMS:
                said[room] |= await say(ada, ["after the store"], room, patient=True)
        for room in ROOMS:
            seen = [(offset, line) for line, offset in said[room].items()]
            assert await lines_of(up.websocket_urls, "after the store", room) == seen
        with trio.fail_after(30):
            while not await is_ready(up):
                await trio.sleep(0.05)
        assert await up.end() == 0
    assert left_behind(data_dir) == []
    async with parvis_up(data_dir, "--cluster", "--shards", "3", "--gateways", "1") as again:
        for room in ROOMS:
            seen = [(offset, line) for line, offset in said[room].items()]
            assert await lines_of(again.websocket_urls, "after the store", room) == seen
        assert await again.end(signal.SIGINT) == 0


async def test_a_given_redis_is_used_and_nothing_is_started_beside_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with redis_server(tmp_path / "redis") as redis:
        async with parvis_up(data_dir, "--redis", redis.url, "--shards", "1", "--gateways", "1") as up:
            assert redis.url in up.banner
            assert not [each for each in psutil.Process(up.process.pid).children() if "server" in each.name()]
            async with connect(up.websocket_urls, name="Ada", rng=Random(1), rooms=[ROOMS[0]]) as ada:
                await say(ada, ["hello"], ROOMS[0])
            assert await up.end() == 0
        async with parvis_up(data_dir, "--redis", redis.url) as again:
            assert await lines_of(again.websocket_urls, "hello", ROOMS[0]) == [(1, "hello")]
            assert await again.end() == 0
        async with parvis_up(tmp_path / "elsewhere", "--redis", redis.url, "--cluster", "--set", "cluster.name=other") as other:
            async with connect(other.websocket_urls, name="Bo", rng=Random(2), rooms=[ROOMS[0]]) as bo:
                assert await say(bo, ["another cluster"], ROOMS[0]) == {"another cluster": 1}
            assert await other.end() == 0


async def test_a_redis_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with trio.fail_after(60):
        ended = await run_parvis("up", "--redis", "redis://127.0.0.1:1/0", "--data-dir", str(tmp_path / "data"), "--port", "0")
    assert ended.code == 69
    assert "127.0.0.1:1" in ended.err
    assert "Traceback" not in ended.err
