"""parvis/cluster_progress.py: watching ends when all is served, or when the watcher has seen enough."""

import pytest
import trio
from trio.testing import MockClock

from parvis.cluster_progress import show_progress
from parvis.cluster_session import ClusterSession
from runtime.lifecycle import Lifecycle
from shard_router import plan_edits
from shard_router.cluster_records import Report
from shard_router.store_lane import StoreLane
from tests.support.cluster_play import A, Play, PlayedNode
from tests.support.offloads import InlineOffload
from wire.names import ShardId


def serve(node: PlayedNode) -> None:
    """Report as a shard does that claims at once."""

    def report() -> Report:
        slot_map = node.directory.slot_map if node.maps else None
        if slot_map is None:
            return Report()
        return Report(served_version=slot_map.version, slots=len(slot_map.slots_of(ShardId(node.name))))

    node.directory.report = report


async def test_it_returns_when_every_slot_is_served(
    nursery: trio.Nursery, autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    play = Play(nursery)
    await play.found_three()
    for name in ("a", "b", "c"):
        serve(play.nodes[name])
    await trio.sleep(1)
    session = ClusterSession(play.model.client(), StoreLane(InlineOffload()), "town")
    await session.edit(lambda outlook: plan_edits.drain(outlook, A))
    with trio.fail_after(5):
        await show_progress(session, Lifecycle())
    assert "all slots are served under slot map 2: b " in capsys.readouterr().out
    nursery.cancel_scope.cancel()


async def test_a_signal_ends_the_watching_and_not_the_plan(
    nursery: trio.Nursery, autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    play = Play(nursery)
    await play.found_three()
    session = ClusterSession(play.model.client(), StoreLane(InlineOffload()), "town")
    await session.edit(lambda outlook: plan_edits.drain(outlook, A))
    lifecycle = Lifecycle()
    async with trio.open_nursery() as watching:
        watching.start_soon(show_progress, session, lifecycle)
        await trio.sleep(10)
        lifecycle.start_drain("SIGINT")
    assert "the plan stays in force" in capsys.readouterr().out
    assert play.model.client().look(0).plan.leaving == (A,)
    nursery.cancel_scope.cancel()
