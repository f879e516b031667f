"""parvis/directories.py: real processes that join one Valkey, die, come back and leave."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from parvis.directories import gateway_directory
from parvis.directory_store import open_store
from parvis.parts import Host
from runtime.lifecycle import ExitCode, Lifecycle
from runtime.logs import make_logger
from runtime.schema import ClusterSettings, LogSettings, Settings
from shard_router.cluster_store import ClusterStore
from shard_router.directory import StaticDirectory
from tests.support.http import fetch
from tests.support.parvis_program import START_DEADLINE_S, Ended, run_parvis
from tests.support.parvis_roles import Roles
from tests.support.redis_server import RedisServer, redis_server
from wire.limits import LEASE_RENEWAL_S, LEASE_S


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def roles(server: RedisServer, tmp_path: Path) -> Iterator[Roles]:
    server.ask("FLUSHALL")
    roles = Roles(tmp_path, in_redis(server))
    yield roles
    roles.close()


def in_redis(server: RedisServer) -> list[str]:
    """A shard that is late, because the machine is busy, gets its share all the same."""
    return ["--set", "cluster.directory=redis", "--set", f"redis.url={server.url}", "--set", "broker.weight=100"]


async def map_of(store: ClusterStore, *shards: str) -> int:
    """The version of the map, once it is of these."""
    with trio.fail_after(START_DEADLINE_S):
        while (slot_map := store.look(0).slot_map) is None or slot_map.shards != shards:
            await trio.sleep(0.02)
    return slot_map.version


async def talk(port: int) -> Ended:
    return await run_parvis("chat", "square/main", "--as", "Ada", "--url", f"ws://127.0.0.1:{port}", stdin=b"hello\n")


async def test_a_cluster_lives_through_the_death_of_a_shard_and_ends_in_order(roles: Roles, server: RedisServer) -> None:
    for name in ("shard-1", "shard-2"):
        roles.start("broker", name)
    roles.start("gateway", "gateway-1")
    await roles.ready("shard-1", "shard-2", "gateway-1")
    store = open_store(Settings(redis=server.settings))
    await map_of(store, "shard-1", "shard-2")
    said = await talk(roles.port_of("gateway-1"))
    assert said.code == 0, said.err
    roles.processes["shard-1"].kill()
    left = await map_of(store, "shard-2")
    await roles.said("gateway-1", rf'"event": "slot_map".*"map_version": {left}')
    said = await talk(roles.port_of("gateway-1"))
    assert said.code == 0, said.err
    assert said.out.count("hello") == 2

    roles.start("broker", "shard-1")
    await roles.said("shard-1", '"event": "ready"', times=2)
    await map_of(store, "shard-1", "shard-2")
    store.close()
    stranger = await run_parvis("broker", *roles.words("broker", "shard-2"))
    assert stranger.code == ExitCode.BUSY
    assert "the shard shard-2 is running already at 127.0.0.1:" in stranger.err
    (roles.directory / "other.secret").write_text("f" * 64 + "\n")
    other = ["--set", f"cluster.secret_file={roles.directory / 'other.secret'}"]
    stranger = await run_parvis("gateway", *roles.words("gateway", "gateway-9"), *other)
    assert stranger.code == ExitCode.CONFIG
    assert "another link secret" in stranger.err

    for name in ("shard-1", "gateway-1", "shard-2"):
        roles.processes[name].send_signal(signal.SIGTERM)
        assert await roles.processes[name].wait() == 0, roles.log(name)
    assert server.ask("HLEN", "{parvis}:members") == 0
    assert re.search(r'"event": "slots_moved_out".*"slots_left": 0', roles.log("shard-1"))


async def test_a_shard_that_slept_and_a_store_that_froze_are_back_by_themselves(roles: Roles, server: RedisServer) -> None:
    names = ("shard-1", "shard-2")
    for name in names:
        roles.start("broker", name)
    await roles.ready(*names)
    store = open_store(Settings(redis=server.settings))
    whole = await map_of(store, *names)
    steward = store.look(0).steward.holder.partition(":")[2]
    other = next(name for name in names if name != steward)
    roles.processes[steward].send_signal(signal.SIGSTOP)
    without = await map_of(store, other)
    assert without > whole
    assert store.look(0).steward.holder == f"shard:{other}"
    roles.processes[steward].send_signal(signal.SIGCONT)
    again = await map_of(store, *names)
    assert again > without
    await roles.said(steward, '"event": "lease_renewed"')

    server.freeze()
    for name in names:
        await roles.said(name, '"event": "lease_lapsed"', times=2 if name == steward else 1)
    server.thaw()
    for name in names:
        await roles.said(name, '"event": "lease_renewed"', times=2 if name == steward else 1)
    # Nothing is to happen: so long a wrong judgement would take.
    await trio.sleep(LEASE_S + LEASE_RENEWAL_S)
    assert store.look(0).map_version == again
    store.close()


async def test_a_process_that_waits_for_a_map_can_be_ended(roles: Roles) -> None:
    roles.start("gateway", "gateway-1")
    await roles.said("gateway-1", '"event": "waiting_for_map"')
    port = int(re.findall(r'"event": "admin_port_open".*"port": (\d+)', roles.log("gateway-1"))[0])
    assert (await fetch(port, "/livez")).status == 200
    ready = await fetch(port, "/readyz")
    assert (ready.status, b"starting" in ready.body) == (503, True)
    roles.processes["gateway-1"].send_signal(signal.SIGTERM)
    assert await roles.processes["gateway-1"].wait() == 0


async def test_a_redis_that_is_not_there_is_told_and_waited_for(tmp_path: Path) -> None:
    with redis_server(tmp_path / "valkey") as server:
        server.kill()
        roles = Roles(tmp_path, in_redis(server))
        roles.start("broker", "shard-1")
        try:
            await roles.said("shard-1", '"event": "directory_away".*Connection refused')
            server.start()
            await roles.ready("shard-1")
            roles.processes["shard-1"].send_signal(signal.SIGTERM)
            assert await roles.processes["shard-1"].wait() == 0
        finally:
            roles.close()


async def test_a_static_directory_joins_nothing() -> None:
    host = Host(Settings(cluster=ClusterSettings(map_version=3)), Lifecycle(), make_logger(LogSettings(level="error")))
    async with gateway_directory(host) as directory:
        assert isinstance(directory, StaticDirectory)
        assert directory.slot_map.version == 3
