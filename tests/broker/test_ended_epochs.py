"""A log that cannot be brought back ends, once, with an event that names it: the store forgot too much, or the shard died."""

import pytest

from broker.effects import EpochEnded
from broker.room import DIVERGED, FORGOTTEN
from tests.support.faulty_journal import Fault
from tests.support.forgetful_town import Gateway, Town, town
from tests.support.shard_driver import ROOM, ShardDriver, message
from wire.limits import ROOM_TAIL_EVENTS_MAX
from wire.names import Epoch, RoomName
from wire.node_messages import CommandRefused

# --- what cannot be brought back ------------------------------------------------------------------


def ended_as(it: Town) -> tuple[str, str, int]:
    """Reason, old epoch and its last offset, as the newest epoch's first event says."""
    event = it.gateway.shown[it.gateway.epoch, 1]
    assert event.kind == "epoch"
    return event.text, event.id, event.target


def test_what_lies_further_back_than_the_tail_ends_the_epoch() -> None:
    it = town()
    old = it.gateway.epoch
    it.say(0)
    keep = it.store.changes
    it.say(*range(1, ROOM_TAIL_EVENTS_MAX + 2))
    it.fall_back(keep)
    it.notice()
    assert ended_as(it) == (FORGOTTEN, old, 1)
    assert it.driver.ended == [EpochEnded(RoomName(ROOM), Epoch(old), 1, FORGOTTEN)], "operators are told as well"
    it.say(5000)
    assert list(it.log().values()) == [old, "m5000"]


def test_a_store_in_which_another_has_written_meanwhile_ends_the_epoch() -> None:
    it = town()
    old = it.gateway.epoch
    it.say(1)
    keep = it.store.changes
    it.say(2)
    it.fall_back(keep)
    other = ShardDriver(it.store, seed=9)
    other.open_link(1)
    other.say(1, message(9))
    other.commit()
    it.say(3)
    assert ended_as(it) == (DIVERGED, old, 2)
    assert it.log(old) == {(old, 1): "m1", (old, 2): "m9"}
    assert [a.code for a in it.gateway.answers if isinstance(a, CommandRefused)] == ["unavailable"]


def test_an_end_of_an_epoch_that_was_forgotten_is_repaired_as_well() -> None:
    it = town()
    it.say(0)
    keep = it.store.changes
    it.say(*range(1, ROOM_TAIL_EVENTS_MAX + 2))
    it.fall_back(keep)
    keep = it.store.changes
    it.notice()
    second = it.gateway.epoch
    it.say(5000)
    it.fall_back(keep)
    it.say(5001)
    assert it.gateway.epoch == second
    refused = [a.request for a in it.gateway.answers if isinstance(a, CommandRefused)]
    it.say(*refused)
    assert list(it.log().values())[1:] == ["m5000", "m5001"]


def test_an_epoch_whose_beginning_is_lost_is_followed_by_one_more_and_no_other() -> None:
    it = town()
    first = it.gateway.epoch
    it.say(1)
    keep = it.store.changes
    it.say(2)
    it.gateway.offset = 9
    it.gateway.attach()
    it.say(3)
    it.fall_back(keep)
    it.notice()
    assert ended_as(it) == (FORGOTTEN, first, 1)
    assert (it.driver.counters.epochs_ended, len(it.gateway.epochs)) == (2, 3)


# --- when the shard that knew is dead -----------------------------------------------------------


def test_a_gateway_that_has_more_than_shard_and_store_ends_the_epoch() -> None:
    it = town()
    old = it.gateway.epoch
    it.say(1)
    keep = it.store.changes
    it.say(2, 3)
    it.fall_back(keep)
    it.restart()
    it.gateway.attach()
    assert ended_as(it) == (FORGOTTEN, old, 1)
    it.say(4)
    assert it.log(old) == {(old, 1): "m1"}


def test_a_gateway_that_comes_after_the_offset_was_used_again_ends_the_epoch() -> None:
    it = town()
    old = it.gateway.epoch
    it.say(1)
    keep = it.store.changes
    it.say(2)
    it.fall_back(keep)
    it.restart()
    it.say(7)
    it.gateway.attach()
    assert ended_as(it) == (DIVERGED, old, 2)


def test_a_gateway_in_an_epoch_that_nobody_has_heard_of_ends_the_one_there_is_and_only_once() -> None:
    it = town()
    first = it.gateway.epoch
    it.say(1, 2)
    it.gateway.offset = 9
    keep = it.store.changes
    it.gateway.attach()
    second = it.gateway.epoch
    it.say(3)
    it.fall_back(keep)
    it.restart()
    it.gateway.attach()
    third = it.gateway.epoch
    assert ended_as(it) == (FORGOTTEN, first, 2)
    assert len({first, second, third}) == 3, "neither log goes on as if nothing had been"
    late = Gateway(it.driver, 2, epoch=second, offset=2).enter()
    assert late.epoch == third
    assert it.driver.counters.epochs_ended == 1


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_an_epoch_that_was_to_end_ends_though_the_commit_before_it_failed(fault: Fault) -> None:
    it = town()
    old = it.gateway.epoch
    it.say(1)
    it.driver.say(1, message(2))
    it.driver.attach(1, 99, epoch=old, offset=9)
    it.commit_unknown(fault)
    it.gateway.attach()
    assert ended_as(it) == (FORGOTTEN, old, 1 if fault is Fault.BEFORE else 2)
    assert it.driver.counters.epochs_ended == 2, "decided twice, told once"
    assert len(it.gateway.epochs) == 2


def test_a_feed_that_slept_through_the_end_of_an_epoch_ends_nothing() -> None:
    it = town()
    first = it.gateway.epoch
    it.say(1)
    it.gateway.offset = 9
    it.gateway.attach()
    it.restart()
    late = Gateway(it.driver, 2, epoch=first, offset=1).enter()
    assert late.epoch == it.gateway.epoch
    assert it.driver.counters.epochs_ended == 0
