"""Plays of a cluster's directory: who takes over, when, and what must not happen meanwhile."""

import pytest
import trio
from trio.testing import MockClock

from tests.support.cluster_play import A, B, C, Play
from wire.limits import LEASE_RENEWAL_S, LEASE_S, MAP_POLL_S
from wire.names import ShardId

TAKEOVER_S = LEASE_S + 2 * MAP_POLL_S
"""After a death at the worst moment, without any hint: seen to move late, a lease, and the followers' next look."""


@pytest.mark.parametrize("phase", [0.0, 0.1, 0.25, 0.4])
@pytest.mark.parametrize("who", ["steward", "another"])
async def test_a_dead_shard_is_replaced_within_a_lease_and_two_looks(
    autojump_clock: MockClock, play: Play, who: str, phase: float
) -> None:
    await play.found_three()
    await trio.sleep(LEASE_RENEWAL_S + phase)
    steward = play.steward
    victim = steward if who == "steward" else next(node for node in play.living() if node.name in "abc" and node is not steward)
    victim.kill()
    took = await play.agreed(*{"a", "b", "c"} - {victim.name})
    assert took <= TAKEOVER_S + 0.05
    assert [slot_map.version for slot_map in play.model.maps_written] == [1, 2]
    assert play.steward is not victim


@pytest.mark.parametrize("who", ["steward", "another"])
async def test_a_hint_that_is_confirmed_replaces_a_dead_shard_within_half_a_second(
    autojump_clock: MockClock, play: Play, who: str
) -> None:
    await play.found_three()
    steward = play.steward
    victim = steward if who == "steward" else next(node for node in play.living() if node.name in "abc" and node is not steward)
    victim.kill()
    await trio.sleep(0.001)
    play.nodes["g"].directory.suspect(ShardId(victim.name))
    took = await play.agreed(*{"a", "b", "c"} - {victim.name})
    assert took <= 2 * MAP_POLL_S + 0.05
    await trio.sleep(5)
    assert [slot_map.version for slot_map in play.model.maps_written] == [1, 2]
    assert play.model.hints == {}


async def test_a_hint_that_could_not_be_told_is_told_when_the_store_is_back(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    play.model.is_away = True
    play.nodes["b"].kill()
    play.nodes["g"].directory.suspect(B)
    await trio.sleep(1)
    play.model.is_away = False
    took = await play.agreed("a", "c")
    # After a stall all shards must be seen to live before any is judged: a renewal more than otherwise.
    assert took <= LEASE_RENEWAL_S + 3 * MAP_POLL_S


async def test_a_hint_about_a_shard_that_lives_changes_nothing_and_is_forgotten(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    for shard in (A, B, C):
        play.nodes["g"].directory.suspect(shard)
    play.nodes["g"].directory.suspect(ShardId("unknown"))
    await trio.sleep(3)
    assert play.probes
    assert play.model.hints == {}
    assert play.model.map_version == 1


async def test_a_hint_about_an_earlier_life_harms_no_later_one(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    play.model.hints[A] = "an earlier incarnation"
    await trio.sleep(3)
    assert play.model.hints == {}
    assert play.model.map_version == 1


async def test_a_shard_that_was_taken_for_dead_is_back_by_itself(autojump_clock: MockClock, play: Play) -> None:
    """Its link port refused for a moment, as when it is out of descriptors."""
    await play.found_three()
    victim = next(node for node in play.living() if node.name in "abc" and node is not play.steward)
    address = play.nodes["g"].directory.address_of(ShardId(victim.name))
    assert address is not None
    play.listening.discard(address)
    play.nodes["g"].directory.suspect(ShardId(victim.name))
    await trio.sleep(0.3)
    play.listening.add(address)
    await play.agreed("a", "b", "c")
    assert victim.failure is None
    await trio.sleep(5)
    assert len(play.model.maps_written) == 3


async def test_news_of_a_map_is_looked_up_at_once(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    follower, steward = play.nodes["g"], play.steward
    await play.start("d", weight=100)
    version = play.model.map_version
    assert steward.maps[-1][1].version == version
    follower.directory.heard_of(version)
    follower.directory.heard_of(version - 1)
    await trio.sleep(0.01)
    assert follower.map_version == version


# --- what must not happen ---------------------------------------------------------------------


async def test_nobody_is_missing_after_the_store_stood_still(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    play.model.is_away = True
    await trio.sleep(5)
    assert all(node.directory.is_lapsed for node in play.living())
    play.model.is_away = False
    await trio.sleep(LEASE_RENEWAL_S)
    assert not any(node.directory.is_lapsed for node in play.living())
    await trio.sleep(10)
    assert play.model.map_version == 1
    for node in play.living():
        assert node.said("event='directory_away'") == 1
        assert node.said("event='directory_back'") == 1


async def test_one_that_died_while_the_store_stood_still_is_missing_a_lease_after_it(
    autojump_clock: MockClock, play: Play
) -> None:
    await play.found_three()
    play.model.is_away = True
    await trio.sleep(2)
    play.nodes["b"].kill()
    await trio.sleep(3)
    play.model.is_away = False
    took = await play.agreed("a", "c")
    assert LEASE_S - 0.01 <= took <= LEASE_S + 3 * MAP_POLL_S


async def test_a_steward_that_slept_through_its_lease_writes_nothing_when_it_wakes(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    sleeper = play.steward
    others = {"a", "b", "c"} - {sleeper.name}
    sleeper.lane.freeze()
    await trio.sleep(10)
    assert sleeper.directory.is_lapsed
    assert play.steward is not sleeper
    assert play.model.maps_written[-1].shards == tuple(sorted(map(ShardId, others)))
    sleeper.lane.thaw()
    took = await play.agreed("a", "b", "c")
    assert took < 1.0
    assert not sleeper.is_steward
    assert [slot_map.version for slot_map in play.model.maps_written] == [1, 2, 3]
    await trio.sleep(10)
    assert len(play.model.maps_written) == 3


async def test_a_node_that_alone_is_cut_off_knows_it_and_the_others_go_on(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    victim = next(node for node in play.living() if node.name in "abc" and node is not play.steward)
    victim.store.is_cut_off = True
    await trio.sleep(LEASE_S)
    assert victim.directory.is_lapsed
    await trio.sleep(1)
    assert victim.name not in play.model.maps_written[-1].shards
    victim.store.is_cut_off = False
    await play.agreed("a", "b", "c")


async def test_replies_that_are_lost_break_nothing(autojump_clock: MockClock, play: Play) -> None:
    for name in ("a", "b"):
        play.model.lose_replies = 2
        await play.start(name, wait=False)
        await trio.sleep(0.05)
    play.model.lose_replies = 3
    await play.start("g", role="gateway")
    await play.agreed("a", "b")
    play.model.lose_replies = 5
    await play.start("c", weight=100)
    await play.agreed("a", "b", "c")
    await trio.sleep(5)
    versions = [slot_map.version for slot_map in play.model.maps_written]
    assert versions == sorted(set(versions))


async def test_a_store_that_forgot_everything_gets_it_back(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    await play.start("d", weight=50)
    await play.agreed("a", "b", "c", "d")
    before = play.nodes["a"].directory.slot_map
    play.model.forget()
    await trio.sleep(3 * LEASE_S)
    assert await play.agreed("a", "b", "c", "d") == 0
    after = play.nodes["a"].directory.slot_map
    assert after.version > before.version
    assert after.owners == before.owners
    assert play.model.fingerprint
    assert len(play.model.maps_written) == 3


async def test_the_last_shard_keeps_its_map_and_when_all_are_gone_it_stays(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    for name in ("a", "b", "c"):
        play.nodes[name].kill()
        await trio.sleep(3)
    assert len(play.model.maps_written) == 3
    assert play.nodes["g"].directory.slot_map.shards == (C,)
    assert not play.nodes["g"].directory.is_lapsed
