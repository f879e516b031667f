"""Attempts at links: how often, with whom, and how much is said about those that fail."""

from random import Random
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock

from runtime.schema import ClusterSettings
from runtime.sockets import SocketNetwork
from runtime.transport import Transport
from shard_router.directory import StaticDirectory
from shard_router.link_opener import dial
from shard_router.router import ShardRouter
from tests.support.fake_shard import SECRETS, FakeShard
from tests.support.router_rig import QUIET_LOG, Cluster, FakeDirectory
from wire import limits
from wire.names import ShardId


async def test_a_shard_that_is_away_is_knocked_at_ever_more_rarely_but_at_least_every_two_seconds(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    cluster.shard.is_up = False
    cluster.shard.cut()
    attempts = cluster.shard.attempts
    await trio.sleep(60)
    assert 60 / limits.LINK_RETRY_CAP_S <= cluster.shard.attempts - attempts <= 120
    assert cluster.router.shards_reached == 0
    assert cluster.router.counters.links_failed == cluster.shard.attempts - attempts


async def test_a_shard_with_another_secret_is_not_used(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    shard = FakeShard(nursery)

    async def connect(_: ShardId) -> Any:
        return await shard.connect()

    router = ShardRouter(
        FakeDirectory("shard-1"), connect, secrets=[SECRETS[0] + b"?"], role="api", node="api-1", rng=Random(1), log=QUIET_LOG
    )
    await nursery.start(router.run)
    await trio.sleep(10)
    assert router.shards_reached == 0
    assert router.counters.links_failed > 3


async def test_a_long_outage_is_one_line_in_the_log_and_another_reason_is_another(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    reason = "nobody there"

    async def connect(_: ShardId) -> Transport:
        raise ConnectionRefusedError(reason)

    log = structlog.testing.CapturingLogger()
    wrapped = structlog.make_filtering_bound_logger(0)(log, [structlog.stdlib.render_to_log_kwargs], {})
    router = ShardRouter(FakeDirectory("shard-1"), connect, secrets=SECRETS, role="api", node="api-1", rng=Random(1), log=wrapped)
    await nursery.start(router.run)
    await trio.sleep(60)
    reason = "the cable is cut"
    await trio.sleep(60)
    assert router.counters.links_failed > 60
    assert [call.method_name for call in log.calls] == ["warning", "warning"]


async def test_a_shard_that_never_answers_is_given_up_and_tried_again(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    silent: list[Any] = []

    async def connect(_: ShardId) -> Transport:
        if len(silent) % 2:
            silent.append(None)
            await trio.sleep_forever()
        near, far = SocketNetwork().pair()
        silent.append(far)
        return near

    router = ShardRouter(
        FakeDirectory("shard-1"), connect, secrets=SECRETS, role="api", node="api-1", rng=Random(1), log=QUIET_LOG
    )
    await nursery.start(router.run)
    await trio.sleep(3 * (limits.LINK_HELLO_DEADLINE_S + limits.LINK_RETRY_CAP_S))
    assert len(silent) >= 3
    for far in silent:
        if far is not None:
            far.close()


async def test_a_shard_without_an_address_cannot_be_dialled() -> None:
    connect = dial(FakeDirectory("shard-1"), SocketNetwork())
    with pytest.raises(ConnectionError, match="no address of shard-1"):
        await connect(ShardId("shard-1"))


async def test_dialling_goes_to_the_address_of_the_directory() -> None:
    network = SocketNetwork()
    listener = await network.listen("127.0.0.1", 0)
    directory = StaticDirectory(ClusterSettings(shards={"shard-1": f"127.0.0.1:{listener.port}"}))
    transport = await dial(directory, network)(ShardId("shard-1"))
    await listener.wait_acceptable()
    listener.try_accept().close()
    transport.close()
    listener.close()
