"""Fixtures of the router's tests: one shard that is played, and a router that has reached it."""

import pytest
import trio

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
