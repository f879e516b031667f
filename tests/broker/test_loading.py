"""Rooms on their way from the journal: what waits, in which order it is answered, what failure means."""

from random import Random

import pytest

from broker.journal.memory import MemoryJournal
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.shard_driver import ALL_SLOTS, ROOM, ShardDriver, message
from wire.limits import LOADING_COMMANDS_MAX, RELOAD_INTERVAL_S, ROOM_TAIL_EVENTS_MAX
from wire.node_messages import Attached, AttachRefused, CommandRefused, Committed, Moved, Range, RangeRead


def test_questions_wait_for_their_room_and_are_answered_in_order() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    driver.loads_held = True
    driver.say(1, message(1))
    driver.attach(1)
    driver.say(1, RangeRead(2, ROOM))
    driver.say(1, message(3))
    assert driver.take(1) == []
    assert len(driver.held) == 1, "one load for all of them"
    driver.finish_loads()
    assert [type(each) for each in driver.take(1)] == [Attached, Range]
    driver.commit()
    assert [each.request for each in driver.take(1) if isinstance(each, Committed)] == [1, 3]


def test_what_waits_for_one_room_is_bounded() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    driver.loads_held = True
    for number in range(LOADING_COMMANDS_MAX + 3):
        driver.say(1, message(number))
    refused = driver.take(1)
    assert [(r.request, r.code) for r in refused if isinstance(r, CommandRefused)] == [
        (LOADING_COMMANDS_MAX + extra, "busy") for extra in range(3)
    ]
    driver.finish_loads()
    driver.commit()
    assert len(driver.take(1)) == LOADING_COMMANDS_MAX


def test_what_a_closed_link_asked_is_not_carried_out() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    driver.loads_held = True
    driver.say(1, message(1))
    driver.close_link(1)
    driver.finish_loads()
    assert driver.take_group() == []


def test_a_room_that_cannot_be_read_refuses_for_now_and_is_tried_again_by_the_next_question() -> None:
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    driver = ShardDriver(journal)
    driver.open_link(1)
    journal.fail("load", Fault.BEFORE)
    driver.attach(1)
    (refused,) = driver.take(1)
    assert isinstance(refused, AttachRefused)
    assert (refused.code, refused.retry_after_ms > 0) == ("unavailable", True)
    driver.attach(1)
    assert isinstance(driver.take(1)[0], Attached)


def test_a_room_that_comes_back_is_tried_again_until_it_is_there() -> None:
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    driver = ShardDriver(journal)
    driver.open_link(1)
    driver.attach(1)
    driver.say(1, message(1))
    slots = driver.lose(driver.take_group())
    journal.fail("load", Fault.BEFORE, times=2)
    driver.reclaim(slots)
    driver.say(1, message(2))
    assert [type(each) for each in driver.take(1)] == [Attached]
    driver.tick(RELOAD_INTERVAL_S)
    driver.tick(RELOAD_INTERVAL_S)
    told = driver.take(1)
    assert {(r.request, r.code) for r in told if isinstance(r, CommandRefused)} == {(1, "unavailable"), (2, "unavailable")}
    driver.say(1, message(3))
    driver.commit()
    assert isinstance(driver.take(1)[0], Committed)


def test_a_load_that_ends_after_its_slot_was_released_changes_nothing() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    driver.loads_held = True
    driver.attach(1, 4)
    driver.run(driver.shard.on_slots_lost(set(ALL_SLOTS)))
    assert driver.take(1) == [Moved(ROOM, 1, generation=4)]
    driver.finish_loads()
    driver.run(driver.shard.on_load_failed(ROOM))  # type: ignore[arg-type]
    assert driver.take(1) == []


@pytest.fixture
def long_room() -> ShardDriver:
    """A room with more events than its tail holds, and one link."""
    driver = ShardDriver(FaultyJournal(MemoryJournal("store"), Random(1)))
    driver.open_link(1)
    for number in range(ROOM_TAIL_EVENTS_MAX + 100):
        driver.say(1, message(number))
    driver.commit()
    driver.take(1)
    return driver


def test_history_that_cannot_be_read_is_refused_for_now(long_room: ShardDriver) -> None:
    assert isinstance(long_room.journal, FaultyJournal)
    long_room.journal.fail("read", Fault.BEFORE)
    long_room.say(1, RangeRead(1, ROOM, after=0))
    (refused,) = long_room.take(1)
    assert isinstance(refused, CommandRefused)
    assert refused.code == "unavailable"


def test_history_of_an_epoch_that_ended_meanwhile_is_refused_for_good(long_room: ShardDriver) -> None:
    long_room.loads_held = True
    long_room.say(1, RangeRead(1, ROOM, after=0))
    epoch_end = ROOM_TAIL_EVENTS_MAX + 500
    long_room.attach(1, 1)
    attached = long_room.take(1)[0]
    assert isinstance(attached, Attached)
    long_room.attach(1, 2, epoch=attached.epoch, offset=epoch_end)
    long_room.commit()
    long_room.take(1)
    long_room.finish_loads()
    (refused,) = long_room.take(1)
    assert isinstance(refused, CommandRefused)
    assert refused.code == "epoch"


def test_a_page_never_shows_what_is_not_published_yet(long_room: ShardDriver) -> None:
    head = ROOM_TAIL_EVENTS_MAX + 100
    long_room.say(1, message(5000))
    group = long_room.take_group()
    long_room.journal.commit(group)
    long_room.say(1, RangeRead(1, ROOM, before=head + 10, limit=2))
    (page,) = long_room.take(1)
    assert isinstance(page, Range)
    assert ([frame.offset for frame in page.frames], page.offset) == ([head - 1, head], head)


def test_a_page_from_the_journal_ends_where_it_was_asked_to(long_room: ShardDriver) -> None:
    long_room.say(1, RangeRead(1, ROOM, before=10, limit=300))
    (page,) = long_room.take(1)
    assert isinstance(page, Range)
    assert ([frame.offset for frame in page.frames], page.more) == (list(range(1, 10)), False)
