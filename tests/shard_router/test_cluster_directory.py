"""Plays of a cluster's directory: how it forms, who gets a name, how one leaves, what the figures say."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from shard_router.cluster_records import MemberRecord
from shard_router.cluster_store import StoreAway
from shard_router.directory import Address
from shard_router.joining import NameTaken, OtherCluster
from tests.support.cluster_play import A, B, C, Play
from wire.limits import LEASE_S, MAP_POLL_S
from wire.names import ShardId

# --- forming ------------------------------------------------------------------------------------


async def test_the_shards_that_are_there_within_a_lease_found_the_cluster_together(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    assert [slot_map.version for slot_map in play.model.maps_written] == [1]
    assert LEASE_S <= trio.current_time() <= LEASE_S + 3 * MAP_POLL_S
    assert len({len(play.nodes["a"].directory.slot_map.slots_of(shard)) for shard in (A, B, C)}) <= 3
    assert play.nodes["g"].directory.address_of(A) == Address("10.0.0.1", 8101)
    assert play.nodes["g"].directory.address_of(ShardId("z")) is None
    assert play.nodes["g"].said("event='waiting_for_map'") == 1


async def test_a_gateway_alone_waits_for_shards_and_says_so(autojump_clock: MockClock, play: Play) -> None:
    gateway = await play.start("g", role="gateway", wait=False)
    await trio.sleep(60)
    assert not gateway.maps
    assert gateway.said("event='waiting_for_map'") == 1
    await play.start("a")
    await play.agreed("a")


async def test_a_shard_that_comes_later_owns_nothing_unless_it_asked(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    await play.start("later")
    await play.agreed("a", "b", "c", "later")
    slot_map = play.nodes["a"].directory.slot_map
    assert slot_map.slots_of(ShardId("later")) == []
    await play.start("keen", weight=100)
    await play.agreed("a", "b", "c", "keen", "later")
    assert len(play.nodes["a"].directory.slot_map.slots_of(ShardId("keen"))) > 900


async def test_two_clusters_of_different_names_live_side_by_side(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    town, village = Play(nursery), Play(nursery, seed=2)
    await town.start("a", cluster="town")
    await village.start("a", cluster="village")
    assert town.model.maps_written[0].shards == village.model.maps_written[0].shards == (A,)
    nursery.cancel_scope.cancel()


async def test_a_map_that_the_journal_has_seen_is_outdone(autojump_clock: MockClock, play: Play) -> None:
    await play.start("a", floor=41)
    assert play.nodes["a"].map_version == 42


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["shard", "gateway"])
async def test_a_name_that_lives_is_refused_in_one_sentence(autojump_clock: MockClock, play: Play, role: Any) -> None:
    await play.found_three()
    name = "a" if role == "shard" else "g"
    first = play.nodes[name]
    second = await play.start(name, role=role)
    assert isinstance(second.failure, NameTaken)
    assert f"the {role} {name} is running already at 10.0.0.1:81" in str(second.failure)
    play.nodes[name] = first
    await trio.sleep(5)
    assert first.failure is None
    assert play.model.map_version == 1


async def test_a_name_whose_process_was_killed_is_taken_at_once_when_its_port_refuses(
    autojump_clock: MockClock, play: Play
) -> None:
    await play.found_three()
    play.nodes["a"].kill()
    await trio.sleep(0.1)
    began = trio.current_time()
    again = await play.start("a")
    assert trio.current_time() - began < 3 * MAP_POLL_S
    assert again.failure is None
    await trio.sleep(5)
    assert play.model.map_version == 1


async def test_a_name_whose_machine_is_silent_is_taken_after_a_lease(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    play.nodes["a"].kill()
    await trio.sleep(0.01)
    play.listening.add(Address("10.0.0.1", 8101))
    began = trio.current_time()
    again = await play.start("a")
    assert again.failure is None
    assert LEASE_S <= trio.current_time() - began < LEASE_S + 3 * MAP_POLL_S
    assert again.said("event='waiting_for_own_name'") == 1


async def test_one_that_finds_its_name_taken_over_ends(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    sleeper = play.nodes["a"]
    sleeper.lane.freeze()
    await trio.sleep(3)
    again = await play.start("a")
    assert again.failure is None
    sleeper.lane.thaw()
    await trio.sleep(1)
    assert isinstance(sleeper.failure, NameTaken)
    assert "taken over" in str(sleeper.failure)
    assert again.failure is None


async def test_another_secret_is_told_whose_name_it_is(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    stranger = await play.start("d", secret=b"another secret")
    assert isinstance(stranger.failure, OtherCluster)
    assert "town" in str(stranger.failure)
    assert "shard:d" not in play.model.members


# --- leaving ------------------------------------------------------------------------------------------------


async def test_a_shard_that_leaves_gives_its_slots_away_first(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    leaver = play.steward
    rest = {"a", "b", "c"} - {leaver.name}
    assert leaver.directory.start_leaving()
    took = await play.agreed(*rest)
    assert took <= 3 * MAP_POLL_S
    assert not leaver.directory.slot_map.slots_of(ShardId(leaver.name))
    leaver.kill()
    await leaver.directory.leave()
    assert f"shard:{leaver.name}" not in play.model.members
    assert play.model.steward.holder == ""
    await trio.sleep(1)
    assert play.steward is not leaver
    assert len(play.model.maps_written) == 2
    again = await play.start(leaver.name)
    await play.agreed("a", "b", "c")
    assert again.directory.slot_map.slots_of(ShardId(leaver.name))


async def test_the_last_shard_is_told_that_nobody_will_take_its_slots(autojump_clock: MockClock, play: Play) -> None:
    shard = await play.start("a")
    await play.start("idle")
    assert not shard.directory.start_leaving()
    await trio.sleep(3)
    assert shard.directory.slot_map.slots_of(A)


async def test_leaving_a_store_that_is_away_ends_all_the_same(autojump_clock: MockClock, play: Play) -> None:
    shard = await play.start("a")
    shard.kill()
    play.model.is_away = True
    await shard.directory.leave()
    assert shard.said("event='left_without_a_word'") == 1


async def test_the_budget_of_gateways_that_stay_is_shared_by_those_that_leave(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    one = play.nodes["g"]
    assert one.directory.accepts_elsewhere_per_s() == 0
    for name in ("h", "i", "j"):
        await play.start(name, role="gateway", accepts_per_s=50.0)
    await trio.sleep(1)
    assert one.directory.accepts_elsewhere_per_s() == 150
    assert not play.nodes["h"].directory.start_leaving()
    play.nodes["i"].kill()
    await trio.sleep(3)
    assert one.directory.accepts_elsewhere_per_s() == 50 / 2
    play.model.is_away = True
    await trio.sleep(LEASE_S + 1)
    assert one.directory.accepts_elsewhere_per_s() is None


# --- the record ------------------------------------------------------------------------------------------------


async def test_members_that_are_long_gone_are_taken_off_the_list(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    play.nodes["g"].kill()
    await trio.sleep(300)
    assert "gateway:g" in play.model.members
    await trio.sleep(310)
    assert "gateway:g" not in play.model.members


async def test_the_figures_say_what_is_seen(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    await trio.sleep(1)
    play.nodes["b"].kill()
    await trio.sleep(3)
    counters = play.nodes["g"].counters
    figures = [
        sample() if sample is not None else None
        for sample in (
            counters.map_version, counters.shards_alive, counters.shards_missing, counters.gateways_alive,
            counters.gateways_missing, counters.is_steward,
        )
    ]  # fmt: skip
    assert figures == [2, 2, 1, 1, 0, 0]
    assert counters.seconds_since_look is not None
    assert counters.seconds_since_look() <= 2 * MAP_POLL_S
    assert sum(node.counters.maps_written for node in play.nodes.values()) == 2
    play.model.is_away = True
    await trio.sleep(1)
    assert counters.failures > 3
    assert counters.seconds_since_look() > 0.9


async def test_an_address_that_cannot_be_read_is_none(autojump_clock: MockClock, play: Play) -> None:
    await play.found_three()
    play.model.client().register(MemberRecord(role="shard", id="odd", incarnation="1", address="nowhere"), "")
    await trio.sleep(1)
    assert play.nodes["g"].directory.address_of(ShardId("odd")) is None


async def test_a_store_that_is_away_at_the_start_is_waited_for(autojump_clock: MockClock, play: Play) -> None:
    play.model.is_away = True
    node = await play.start("a", wait=False)
    await trio.sleep(10)
    with pytest.raises(StoreAway):
        play.model.client().look(0)
    assert node.said("event='directory_away'") == 1
    play.model.is_away = False
    await play.agreed("a")
