"""Fixtures: one shard that is played and a router that has reached it; several directories over one store."""

from collections.abc import AsyncIterator

import pytest
import trio

from tests.support.cluster_play import Play
from tests.support.router_rig import Answers, Cluster


@pytest.fixture
async def cluster(nursery: trio.Nursery) -> Cluster:
    cluster = Cluster(nursery, "shard-1")
    await nursery.start(cluster.router.run)
    await trio.sleep(1)
    assert cluster.router.shards_reached == 1
    return cluster


@pytest.fixture
def answers(cluster: Cluster) -> Answers:
    return Answers(cluster.router)


@pytest.fixture
async def play(nursery: trio.Nursery) -> AsyncIterator[Play]:
    play = Play(nursery)
    yield play
    nursery.cancel_scope.cancel()
