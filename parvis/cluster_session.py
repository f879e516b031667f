"""One `parvis cluster` command and the directory: it looks until it knows who is alive, and edits the plan."""

from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from parvis.directory_store import open_store
from parvis.errors import StartError
from runtime.lifecycle import ExitCode
from runtime.offload import ThreadLane
from runtime.schema import Settings
from shard_router.cluster_records import ClusterPlan, View
from shard_router.cluster_store import ClusterStore
from shard_router.lease import Watch
from shard_router.plan_edits import EditRefused, Outlook
from shard_router.store_lane import UNREADABLE, StoreLane
from wire.limits import LEASE_S, MAP_POLL_S, PLAN_EDIT_ATTEMPTS_MAX
from wire.names import ShardId


@dataclass(frozen=True, slots=True)
class Edited:
    """What became of an edit."""

    before: View
    plan: ClusterPlan
    has_changed: bool


class ClusterSession:
    """One store, and what was seen of the members in it.  Raises `StartError` for whatever stands in the way."""

    def __init__(self, store: ClusterStore, ask: StoreLane, name: str) -> None:
        self.name = name
        self._store = store
        self._ask = ask
        self._watch = Watch()

    async def look(self) -> View:
        """The directory as it is now."""
        asked = trio.current_time()
        try:
            view = await self._ask(self._store.look, 0)
        except UNREADABLE as error:
            raise StartError(f"the cluster's directory cannot be read: {error}", ExitCode.UNAVAILABLE) from error
        signs = {key: (record.incarnation, record.counter) for key, record in view.members.items()}
        self._watch.look(signs, asked, trio.current_time())
        return view

    async def observe(self) -> View:
        """Look until it is known of each member whether it lives: half a second, or a lease where one does not."""
        with trio.move_on_after(2 * LEASE_S):
            while True:
                view = await self.look()
                if not any(self._watch.unproven()):
                    break
                await trio.sleep(MAP_POLL_S)
        if not view.members and view.map_version == 0:
            raise StartError(f"there is no cluster {self.name} in this Redis: no node has ever joined it", ExitCode.UNAVAILABLE)
        return view

    def alive(self, view: View) -> Set[str]:
        """The keys of members that were seen to live."""
        return {key for key in view.members if self._watch.is_alive(key)}

    async def edit(self, change: Callable[[Outlook], ClusterPlan]) -> Edited:
        """Change the plan; an edit of somebody else in between is respected."""
        view = await self.observe()
        for _ in range(PLAN_EDIT_ATTEMPTS_MAX):
            alive = self.alive(view)
            shards = {ShardId(record.id): record for record in view.shards() if record.key in alive}
            try:
                plan = change(Outlook(view.plan, shards))
            except EditRefused as refused:
                raise StartError(str(refused), ExitCode.UNAVAILABLE) from refused
            if plan is view.plan:
                return Edited(view, plan, has_changed=False)
            if await self._write(plan, view.plan.version):
                return Edited(view, plan, has_changed=True)
            view = await self.look()
        raise StartError("the plan is being edited by others all the time: try again", ExitCode.UNAVAILABLE)

    async def _write(self, plan: ClusterPlan, replacing: int) -> bool:
        try:
            return await self._ask(self._store.write_plan, plan, replacing)
        except UNREADABLE as error:
            sentence = f"the answer of the cluster's directory was lost, so ask again whether it is done: {error}"
            raise StartError(sentence, ExitCode.UNAVAILABLE) from error


@asynccontextmanager
async def cluster_session(settings: Settings) -> AsyncIterator[ClusterSession]:
    """A session with the cluster of these settings."""
    if settings.cluster.directory != "redis":
        raise StartError(
            "cluster.directory is static: its shards are those of cluster.shards, and nothing can be moved", ExitCode.CONFIG
        )
    store, lane = open_store(settings), ThreadLane("directory")
    try:
        yield ClusterSession(store, StoreLane(lane), settings.cluster.name)
    finally:
        lane.close()
        store.close()
