"""parvis/cluster.py: an operator's evening on a real Valkey, and everything that can be mistyped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.lifecycle import ExitCode
from tests.support.parvis_program import Ended, run_parvis
from tests.support.parvis_roles import Roles
from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "valkey") as running:
        yield running


def in_redis(server: RedisServer) -> list[str]:
    return ["--set", "cluster.directory=redis", "--set", f"redis.url={server.url}"]


@pytest.fixture
def roles(server: RedisServer, tmp_path: Path) -> Iterator[Roles]:
    roles = Roles(tmp_path, in_redis(server))
    yield roles
    roles.close()


class Operator:
    """Types `parvis cluster ...`."""

    def __init__(self, server: RedisServer) -> None:
        self._words = in_redis(server)

    async def types(self, *words: str) -> Ended:
        return await run_parvis("cluster", *words, *self._words)

    async def does(self, *words: str) -> str:
        ended = await self.types(*words)
        assert ended.code == 0, ended.err
        return ended.out

    async def slots(self) -> dict[str, int]:
        """What each shard says it serves."""
        return {shard["id"]: shard["slots_owned"] for shard in (await self.status())["shards"]}

    async def status(self) -> dict[str, Any]:
        return dict(json.loads(await self.does("status", "--json")))


async def test_shards_are_added_drained_moved_and_pinned(roles: Roles, server: RedisServer) -> None:
    operator = Operator(server)
    refused = await operator.types("status")
    assert refused.code == ExitCode.UNAVAILABLE
    assert "there is no cluster parvis" in refused.err

    roles.start("broker", "shard-1")
    roles.start("gateway", "gateway-1")
    await roles.ready("shard-1", "gateway-1")
    refused = await operator.types("drain", "shard-1")
    assert refused.code == ExitCode.UNAVAILABLE
    assert "no other shard" in refused.err
    roles.start("broker", "shard-2")
    await roles.ready("shard-2")

    said = await operator.does("add", "shard-2")
    assert "shard-2 gets its share (plan " in said
    assert "all slots are served under slot map " in said
    slots = await operator.slots()
    assert sum(slots.values()) == 4096
    assert abs(slots["shard-1"] - slots["shard-2"]) < 300
    assert "already" in await operator.does("add", "shard-2")

    await operator.does("move", "0-9", "4095", "--to", "shard-2")
    said = await operator.does("pin", "square/main", "--to", "shard-1")
    assert "square/main lies in slot 2077" in said
    shown = await operator.does("status")
    assert "pinned to shard-1: 2077" in shown
    assert "moved until the next rebalance to shard-2: 0, 1, 2" in shown
    assert "gateway-1" in shown
    status = await operator.status()
    assert len(status["moves"]) == 11
    assert status["slots_unserved"] == 0

    await operator.does("rebalance")
    await operator.does("unpin", "2077")
    status = await operator.status()
    assert (status["pins"], status["moves"]) == ({}, {})
    await operator.does("drain", "shard-1")
    assert (await operator.slots()) == {"shard-1": 0, "shard-2": 4096}
    assert "shard-1 gets its share" in await operator.does("add", "shard-1", "--weight", "300", "--no-wait")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("move", "4096", "--to", "shard-1"), ExitCode.USAGE, "'4096' is no slot"),
        (("move", "--to", "shard-1"), ExitCode.USAGE, "no slot was named"),
        (("move", "7"), ExitCode.USAGE, "--to"),
        (("pin", "No Room", "--to", "shard-1"), ExitCode.USAGE, "neither a slot"),
        (("unpin", "99999"), ExitCode.USAGE, "'99999' is no slot"),
        (("add", "shard-1", "--weight", "0"), ExitCode.USAGE, "--weight"),
        (("add", "shard-1", "--weight", "1001"), ExitCode.USAGE, "--weight"),
        (("status", "--set", "cluster.directory=static"), ExitCode.CONFIG, "cluster.directory is static"),
        (("status", "--set", "cluster.directory=redis"), ExitCode.CONFIG, "redis.url"),
        (
            ("drain", "shard-1", "--set", "cluster.directory=redis", "--set", "redis.url=redis://127.0.0.1:1"),
            ExitCode.UNAVAILABLE,
            "cannot be read",
        ),
    ],
)
async def test_what_cannot_be_done_is_a_sentence_and_a_code(words: tuple[str, ...], code: ExitCode, sentence: str) -> None:
    ended = await run_parvis("cluster", *words)
    assert ended.code == code
    assert sentence in ended.err + ended.out
    assert "Traceback" not in ended.err


async def test_naming_the_redis_is_enough(roles: Roles, server: RedisServer) -> None:
    roles.start("broker", "shard-1")
    await roles.ready("shard-1")
    ended = await run_parvis("cluster", "status", "--redis", server.url)
    assert ended.code == 0, ended.err
    assert "shard-1" in ended.out
    static = await run_parvis("cluster", "status", "--redis", server.url, "--set", "cluster.directory=static")
    assert static.code == ExitCode.CONFIG
    assert "cluster.directory is static" in static.err
