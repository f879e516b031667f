"""Forgetting, by number and by age: when the journal is asked, and that memory follows."""

from broker.journal.memory import MemoryJournal
from broker.retention import DAY_MS
from tests.support.shard_driver import ROOM, ShardDriver, message
from wire.limits import (
    AGE_RETENTION_INTERVAL_S,
    AGE_RETENTIONS_PER_TICK_MAX,
    RETENTION_EVERY_EVENTS,
    RETENTION_INTERVAL_S,
)
from wire.names import Epoch, RoomName
from wire.node_messages import Attached, Range, RangeRead


def said_on_days(driver: ShardDriver, days: int, room: str = ROOM) -> None:
    """One message a day; the clock then stands a day after the last."""
    for _ in range(days):
        driver.say(1, message(driver.now_ms, room=room))
        driver.commit()
        driver.now_ms += DAY_MS


def kept_in_journal(driver: ShardDriver, room: str = ROOM) -> list[int]:
    loaded = driver.journal.load(RoomName(room), 1000, 1 << 20, 0, 0)
    assert loaded is not None
    return [entry.offset for entry in driver.journal.read(RoomName(room), Epoch(loaded.head.epoch), 0, 1000)]


def shown(driver: ShardDriver) -> list[int]:
    driver.say(1, RangeRead(999, ROOM))
    (page,) = [answer for answer in driver.take(1) if isinstance(answer, Range)]
    assert page.more is False
    return [frame.offset for frame in page.frames]


def test_a_busy_room_is_asked_for_once_in_so_many_events() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    for number in range(3 * RETENTION_EVERY_EVENTS):
        driver.say(1, message(number))
        if number % RETENTION_EVERY_EVENTS == RETENTION_EVERY_EVENTS - 1:
            driver.commit()
            driver.commit()
            driver.now_s += RETENTION_INTERVAL_S
    assert [(retain.keep_after, retain.entries_before_ms) for retain in driver.retained] == [
        (0, 0), (0, 0), (RETENTION_EVERY_EVENTS, 0),
    ]  # fmt: skip


def test_events_are_kept_whatever_their_age_unless_a_time_is_set() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    said_on_days(driver, 40)
    driver.tick(AGE_RETENTION_INTERVAL_S)
    assert kept_in_journal(driver) == list(range(1, 41))
    assert driver.retained == []


def test_a_quiet_room_forgets_what_is_too_old_and_shows_it_to_nobody() -> None:
    driver = ShardDriver(keep_days=3)
    driver.open_link(1)
    driver.attach(1)
    said_on_days(driver, 5)
    driver.tick(AGE_RETENTION_INTERVAL_S)
    assert kept_in_journal(driver) == [3, 4, 5]
    assert shown(driver) == [3, 4, 5]
    driver.attach(1, generation=2)
    (attached,) = [answer for answer in driver.take(1) if isinstance(answer, Attached)]
    assert (attached.since, attached.offset) == (2, 5)
    driver.now_ms += 30 * DAY_MS
    driver.tick(AGE_RETENTION_INTERVAL_S)
    assert (kept_in_journal(driver), shown(driver)) == ([], [])
    driver.say(1, message(1))
    driver.commit()
    assert (kept_in_journal(driver), shown(driver)) == ([6], [6])


def test_a_room_that_comes_back_after_long_forgets_at_once() -> None:
    journal = MemoryJournal("store")
    driver = ShardDriver(journal)
    driver.open_link(1)
    said_on_days(driver, 5)
    later = ShardDriver(journal, map_version=2, keep_days=3)
    later.now_ms = driver.now_ms
    later.open_link(1)
    later.attach(1)
    assert shown(later) == [3, 4, 5]
    assert kept_in_journal(later) == [3, 4, 5]


def test_many_rooms_are_looked_at_a_few_at_a_time() -> None:
    driver = ShardDriver(keep_days=3)
    driver.open_link(1)
    rooms = [f"town/{number}" for number in range(AGE_RETENTIONS_PER_TICK_MAX + 3)]
    for room in rooms:
        driver.say(1, message(1, room=room))
    driver.commit()
    driver.now_ms += 4 * DAY_MS
    for expected in (0, AGE_RETENTIONS_PER_TICK_MAX, len(rooms), len(rooms)):
        assert sum(kept_in_journal(driver, room) == [] for room in rooms) == expected
        driver.tick()
    driver.tick(AGE_RETENTION_INTERVAL_S)
    assert len(driver.retained) == len(rooms) + AGE_RETENTIONS_PER_TICK_MAX


def test_a_room_that_was_never_written_is_not_asked_for() -> None:
    driver = ShardDriver(keep_days=3)
    driver.open_link(1)
    driver.attach(1)
    driver.tick(AGE_RETENTION_INTERVAL_S)
    assert driver.retained == []


def test_an_answer_for_a_room_that_has_left_changes_nothing() -> None:
    driver = ShardDriver(keep_days=3)
    assert driver.shard.on_retained(RoomName(ROOM), 5) == []
