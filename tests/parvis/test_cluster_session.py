"""parvis/cluster_session.py: who is alive is waited for, edits are made on what is there, and what is in the way is told."""

import pytest
import trio
from trio.testing import MockClock

from parvis.cluster_session import ClusterSession, cluster_session
from parvis.errors import StartError
from runtime.lifecycle import ExitCode
from runtime.schema import ClusterSettings, RedisSettings, Settings
from shard_router import plan_edits
from shard_router.store_lane import StoreLane
from tests.support.cluster_play import A, B, C, Play
from tests.support.offloads import InlineOffload
from wire.limits import LEASE_RENEWAL_S, LEASE_S, MAP_POLL_S
from wire.names import ShardId


def session_of(play: Play) -> ClusterSession:
    return ClusterSession(play.model.client(), StoreLane(InlineOffload()), "town")


async def test_who_is_alive_is_known_after_a_renewal_or_after_a_lease_for_the_dead(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    play = Play(nursery)
    await play.found_three()
    began = trio.current_time()
    session = session_of(play)
    view = await session.observe()
    assert trio.current_time() - began <= LEASE_RENEWAL_S + 2 * MAP_POLL_S
    assert session.alive(view) == {"shard:a", "shard:b", "shard:c", "gateway:g"}
    play.nodes["g"].kill()
    session, began = session_of(play), trio.current_time()
    view = await session.observe()
    assert LEASE_S <= trio.current_time() - began <= LEASE_S + 2 * MAP_POLL_S
    assert session.alive(view) == {"shard:a", "shard:b", "shard:c"}
    nursery.cancel_scope.cancel()


async def test_an_edit_is_carried_out_by_the_cluster(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    play = Play(nursery)
    await play.found_three()
    edited = await session_of(play).edit(lambda outlook: plan_edits.drain(outlook, A))
    assert edited.has_changed
    await play.agreed("b", "c")
    again = await session_of(play).edit(lambda outlook: plan_edits.drain(outlook, A))
    assert not again.has_changed
    nursery.cancel_scope.cancel()


async def test_edits_of_two_operators_at_once_are_both_made(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    play = Play(nursery)
    await play.found_three()
    async with trio.open_nursery() as editing:
        for shard in (A, B):
            editing.start_soon(session_of(play).edit, lambda outlook, shard=shard: plan_edits.add(outlook, shard, 7))
    plan = play.model.client().look(0).plan
    assert plan.weights == {A: 7, B: 7, C: 100}
    nursery.cancel_scope.cancel()


async def test_what_is_not_allowed_is_a_sentence(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    play = Play(nursery)
    await play.found_three()
    with pytest.raises(StartError, match="knows no shard z") as told:
        await session_of(play).edit(lambda outlook: plan_edits.drain(outlook, ShardId("z")))
    assert told.value.code == ExitCode.UNAVAILABLE
    nursery.cancel_scope.cancel()


async def test_a_cluster_that_never_was_and_a_store_that_is_away_are_sentences(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    play = Play(nursery)
    with pytest.raises(StartError, match="there is no cluster town"):
        await session_of(play).observe()
    play.model.is_away = True
    with pytest.raises(StartError, match="cannot be read"):
        await session_of(play).observe()


async def test_an_edit_whose_answer_was_lost_says_so(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    play = Play(nursery)
    await play.found_three()
    session = session_of(play)
    seen: list[int] = []

    def drain(outlook: plan_edits.Outlook) -> plan_edits.ClusterPlan:
        seen.append(outlook.plan.version)
        play.model.lose_replies = 1
        return plan_edits.drain(outlook, A)

    with pytest.raises(StartError, match="answer of the cluster's directory was lost"):
        await session.edit(drain)
    assert play.model.client().look(0).plan.version == seen[0] + 1
    nursery.cancel_scope.cancel()


async def test_a_static_directory_has_nothing_to_be_changed() -> None:
    with pytest.raises(StartError, match=r"cluster\.directory is static") as told:
        async with cluster_session(Settings()):
            pytest.fail("there is none")
    assert told.value.code == ExitCode.CONFIG


async def test_a_redis_that_is_not_there_is_told() -> None:
    settings = Settings(
        cluster=ClusterSettings(directory="redis"), redis=RedisSettings(url="redis://127.0.0.1:1", timeout_s=0.2)
    )
    with pytest.raises(StartError, match="refused") as told:
        async with cluster_session(settings) as session:
            await session.observe()
    assert told.value.code == ExitCode.UNAVAILABLE
