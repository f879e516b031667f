"""A directory in a storm: everything at once, under many seeds; then calm, and what must be true of all that was written."""

from random import Random

import pytest
import trio
from trio.testing import MockClock

from tests.support.cluster_play import Play, PlayedNode
from wire.limits import LEASE_RENEWAL_S, LEASE_S, MAP_POLL_S
from wire.names import ShardId

SHARDS = ("a", "b", "c", "d")
STORM_S = 40.0
# How long the others may take to see that somebody is back, while the store answers.
BACK_S = LEASE_S + LEASE_RENEWAL_S + 4 * MAP_POLL_S
TRUCE_S = 2 * LEASE_S + 1.0


class Storm:
    """Breaks something every now and then, and remembers who was whole when."""

    def __init__(self, play: Play, seed: int) -> None:
        self.play = play
        self.rng = Random(seed)
        self.troubles: list[tuple[float, float, str]] = []
        """From when to when which node was dead, frozen or cut off; "" stands for the store."""
        self.written: list[float] = []
        """When each map was stored."""
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._note_maps)
            until = trio.current_time() + STORM_S
            while trio.current_time() < until:
                await trio.sleep(self.rng.expovariate(1.0))
                nursery.start_soon(self._break_something)
            await trio.sleep(10.0)
            nursery.cancel_scope.cancel()

    async def _note_maps(self) -> None:
        while True:
            while len(self.written) < len(self.play.model.maps_written):
                self.written.append(trio.current_time())
            await trio.sleep(0.01)

    async def _break_something(self) -> None:
        kind = self.rng.choice(("kill", "freeze", "cut off", "store", "replies", "hint", "silent kill"))
        began, for_s = trio.current_time(), self.rng.uniform(0.1, 5.0)
        node = self.play.nodes[self.rng.choice(SHARDS)]
        if kind == "store":
            self.play.model.is_away = True
            await trio.sleep(for_s)
            self.play.model.is_away = False
            self.troubles.append((began, trio.current_time(), ""))
        elif kind == "replies":
            self.play.model.lose_replies = self.rng.randint(1, 6)
        elif kind == "hint":
            for teller in self.play.living():
                if teller.maps:
                    teller.directory.suspect(ShardId(node.name))
        elif node in self.play.living() and not node.lane.is_frozen and not node.store.is_cut_off:
            await self._trouble(node, kind, for_s)
            self.troubles.append((began, trio.current_time(), node.name))

    async def _trouble(self, node: PlayedNode, kind: str, for_s: float) -> None:
        if kind == "freeze":
            node.lane.freeze()
            await trio.sleep(for_s)
            node.lane.thaw()
        elif kind == "cut off":
            node.store.is_cut_off = True
            await trio.sleep(for_s)
            node.store.is_cut_off = False
        else:
            address = node.address
            node.kill()
            await trio.sleep(0.01)
            if kind == "silent kill":
                self.play.listening.add(address)
            await trio.sleep(for_s)
            self.play.listening.discard(address)
            again = await self.play.start(node.name, wait=False)
            while not again.maps and not again.scope.cancel_called:
                assert again.failure is None, again.failure
                await trio.sleep(0.05)

    def was_in_trouble(self, name: str, at: float) -> bool:
        """Whether the node itself was out of order at this time, or so shortly before that nobody need have seen it back."""
        return any(began <= at and self._calm_s(ended, at) <= BACK_S for began, ended, who in self.troubles if who == name)

    def _calm_s(self, since: float, until: float) -> float:
        """How long the store was whole in between, the lease after each outage left out: nobody is given slots in it."""
        outages = [(began, ended + BACK_S) for began, ended, who in self.troubles if who == ""]
        steps = int((until - since) / 0.01)
        return 0.01 * sum(not any(a <= since + 0.01 * step <= b for a, b in outages) for step in range(steps))


@pytest.mark.parametrize("seed", range(6))
def test_after_any_storm_all_agree_and_nobody_whole_was_ever_left_out(seed: int) -> None:
    async def world() -> None:
        async with trio.open_nursery() as nursery:
            play = Play(nursery, seed)
            for name in SHARDS:
                await play.start(name, wait=False)
            await play.start("g", role="gateway")
            await play.agreed(*SHARDS)
            storm = Storm(play, seed)
            await storm.run()
            await play.agreed(*SHARDS, within_s=TRUCE_S)
            check(storm)
            nursery.cancel_scope.cancel()

    trio.run(world, clock=MockClock(autojump_threshold=0))


def check(storm: Storm) -> None:
    maps = storm.play.model.maps_written
    versions = [slot_map.version for slot_map in maps]
    assert versions == sorted(set(versions))
    assert all(set(slot_map.shards) <= set(SHARDS) for slot_map in maps)
    for slot_map, at in zip(maps, storm.written, strict=True):
        left_out = [name for name in SHARDS if name not in slot_map.shards and not storm.was_in_trouble(name, at)]
        assert not left_out, f"{left_out} were whole at {at} and are not in map {slot_map.version}"
    for node in storm.play.living():
        followed = [slot_map.version for _, slot_map in node.maps]
        assert followed == sorted(set(followed))
    assert sum(node.is_steward for node in storm.play.living()) == 1
