"""The table of a shard: rooms in memory are bounded, and those in use never leave."""

from broker.journal.memory import MemoryJournal
from tests.support.shard_driver import ShardDriver, message
from wire.node_messages import Attached, AttachRefused, CommandRefused, Committed, Detach


def test_the_room_that_was_unused_for_the_longest_leaves_memory_and_comes_back_whole() -> None:
    driver = ShardDriver(MemoryJournal("store"), rooms_loaded_max=3)
    driver.open_link(1)
    for number in range(6):
        driver.say(1, message(number, room=f"town/{number}"))
        driver.commit()
    assert driver.counters.rooms_loaded is not None
    assert driver.counters.rooms_loaded() == 3
    assert driver.counters.rooms_evicted == 3
    driver.take(1)
    driver.say(1, message(0, room="town/0"))
    (answer,) = driver.take(1)
    assert isinstance(answer, Committed)
    assert (answer.offset, answer.duplicate) == (1, True)


def test_using_a_room_keeps_it_in_memory() -> None:
    driver = ShardDriver(MemoryJournal("store"), rooms_loaded_max=2)
    driver.open_link(1)
    for name in ("old", "new"):
        driver.say(1, message(1, room=f"town/{name}"))
        driver.commit()
    driver.say(1, message(1, room="town/old"))
    driver.say(1, message(1, room="town/third"))
    assert set(driver.shard._state.rooms) == {"town/old", "town/third"}


def test_a_room_that_is_attached_or_pending_never_leaves() -> None:
    driver = ShardDriver(MemoryJournal("store"), rooms_loaded_max=2)
    driver.open_link(1)
    driver.attach(1, room="town/attached")
    driver.say(1, message(1, room="town/pending"))
    driver.attach(1, room="town/third")
    driver.say(1, message(2, room="town/fourth"))
    attached, refused, command_refused = driver.take(1)
    assert isinstance(attached, Attached)
    assert isinstance(refused, AttachRefused)
    assert isinstance(command_refused, CommandRefused)
    assert {refused.code, command_refused.code} == {"busy"}
    driver.commit()
    driver.attach(1, room="town/third")
    assert isinstance(driver.take(1)[-1], Attached)
    assert set(driver.shard._state.rooms) == {"town/attached", "town/third"}


def test_a_room_that_nobody_listens_to_any_more_may_leave() -> None:
    driver = ShardDriver(MemoryJournal("store"), rooms_loaded_max=1)
    driver.open_link(1)
    driver.open_link(2)
    driver.attach(1, room="town/one")
    driver.say(1, Detach("town/one", 1))
    driver.attach(2, room="town/two")
    driver.close_link(2)
    driver.attach(1, room="town/three")
    assert set(driver.shard._state.rooms) == {"town/three"}
