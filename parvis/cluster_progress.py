"""How slots reach their places, watched until each is served by its owner."""

import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from parvis.cluster_session import ClusterSession
from runtime.lifecycle import Lifecycle
from shard_router.cluster_outlook import outlook_of, slots_unserved
from wire.limits import MAP_POLL_S


async def show_progress(session: ClusterSession, lifecycle: Lifecycle) -> None:
    """Return when all slots are served; Ctrl-C ends the watching only, and what was asked for goes on."""
    with trio.CancelScope() as watching:
        async with trio.open_nursery() as nursery:

            async def stop_at_signal() -> None:
                await lifecycle.wait_drain()
                watching.cancel()

            nursery.start_soon(stop_at_signal)
            await _watch(session)
            nursery.cancel_scope.cancel()
    if watching.cancelled_caught:
        print("no longer watched; the plan stays in force, and slots go on to move: parvis cluster status shows how far they are")


async def _watch(session: ClusterSession) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} slots"))
    console = Console()
    total = 0
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("moving", total=None, visible=False)
        while True:
            view = await session.look()
            left = slots_unserved(view, session.alive(view))
            total = max(total, left)
            progress.update(bar, total=total, completed=total - left, visible=total > 0)
            if not left:
                break
            await trio.sleep(MAP_POLL_S)
    outlook = outlook_of(session.name, view, session.alive(view))
    shares = ", ".join(f"{each.id} {each.slots_owned}" for each in outlook.shards if each.slots_owned or each.slots_aimed)
    print(f"all slots are served under slot map {outlook.map_version}: {shares}")
