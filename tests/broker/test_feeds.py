"""The listening side: attaching, falling behind and coming back, positions that cannot be, sums."""

import pytest

from broker.feeds import SUMS_QUIET_S
from broker.room import FORGOTTEN
from tests.support.shard_driver import ROOM, ShardDriver, delete, message
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Event
from wire.limits import MEMBERS_SUM_EXPIRES_S
from wire.node_messages import (
    PRESENT_NOT_KNOWN_YET,
    Attached,
    AttachRefused,
    Batch,
    CommandRefused,
    Committed,
    Detach,
    Members,
    RangeRead,
    Reattach,
    Sum,
)
from wire.sketch import Sketch, cell_of, pack_entries


def driver_with(*links: int) -> ShardDriver:
    driver = ShardDriver()
    for link in links:
        driver.open_link(link)
    return driver


def attach(driver: ShardDriver, link: int, generation: int = 1, **position: object) -> Attached:
    driver.attach(link, generation, **position)
    (answer,) = driver.take(link)
    assert isinstance(answer, Attached)
    return answer


def seen(first: int, last: int) -> bytes:
    """What a gateway says that has just seen these people."""
    sketch = Sketch()
    for number in range(first, last):
        sketch.see(*cell_of(ROOM, f"g-{number}"), 0)
    return pack_entries(sketch.entries(), 0)


def test_a_room_that_is_none_is_refused() -> None:
    driver = driver_with(1)
    driver.attach(1, 5, room="Not a room")
    (answer,) = driver.take(1)
    assert isinstance(answer, AttachRefused)
    assert (answer.generation, answer.code) == (5, "bad_room")


def test_a_detached_feed_gets_nothing_more_and_an_old_detach_changes_nothing() -> None:
    driver = driver_with(1, 2)
    driver.tick(SUMS_QUIET_S)
    attach(driver, 1, 1, members=5)
    attach(driver, 1, 2, members=5)
    driver.say(1, Detach(ROOM, 1))
    driver.say(2, message(1))
    driver.commit()
    assert [type(each) for each in driver.take(1)] == [Batch]
    driver.say(1, Detach(ROOM, 2))
    driver.say(1, Detach("town/unknown", 2))
    driver.say(2, message(2))
    driver.commit()
    assert driver.take(1) == []
    driver.take(2)
    assert attach(driver, 2).present == 0


def test_a_full_link_is_skipped_until_it_has_room_and_attaches_again_without_a_gap() -> None:
    driver = driver_with(1, 2)
    first = attach(driver, 1)
    attach(driver, 2)
    driver.links_full.add(1)
    for number in range(3):
        driver.say(2, message(number))
        driver.commit()
    assert driver.take(1) == []
    assert sum(isinstance(each, Batch) for each in driver.take(2)) == 3
    assert driver.shard.is_behind(1)
    driver.links_full.clear()
    driver.run(driver.shard.on_room_again(1))
    assert driver.take(1) == [Reattach(ROOM, 1)]
    assert driver.counters.reattaches == 1
    driver.say(2, message(7))
    driver.commit()
    assert driver.take(1) == [], "nothing follows until it has attached again"
    again = attach(driver, 1, 2, epoch=first.epoch, offset=0)
    assert (again.resumed, [frame.offset for frame in again.frames]) == (True, [1, 2, 3, 4])
    assert not driver.shard.is_behind(1)


def test_a_removal_that_a_full_link_missed_is_in_what_it_gets_next() -> None:
    driver = driver_with(1, 2)
    driver.say(2, message(1, "secret"))
    driver.commit()
    position = attach(driver, 1)
    driver.links_full.add(1)
    driver.say(2, delete(2, 1))
    driver.commit()
    driver.links_full.clear()
    driver.run(driver.shard.on_room_again(1))
    driver.take(1)
    (frame,) = attach(driver, 1, 2, epoch=position.epoch, offset=1).frames
    event = decode_server_message(frame.frame, Form.MSGPACK)
    assert isinstance(event, Event)
    assert (event.kind, event.target) == ("delete", 1)


def test_replies_that_do_not_fit_are_refused_in_few_bytes() -> None:
    driver = driver_with(1)
    driver.attach(1, 1)
    driver.take(1)
    driver.links_full.add(1)
    driver.attach(1, 2)
    driver.say(1, RangeRead(9, ROOM))
    refused, read_refused = driver.take(1)
    assert isinstance(refused, AttachRefused)
    assert isinstance(read_refused, CommandRefused)
    assert (refused.generation, refused.code, read_refused.request, read_refused.code) == (2, "busy", 9, "busy")
    driver.links_full.clear()
    driver.say(1, message(1))
    driver.commit()
    assert [type(each) for each in driver.take(1)] == [Committed], "what was refused is not attached"


def test_news_of_an_older_attachment_that_did_not_fit_changes_nothing() -> None:
    driver = driver_with(1)
    attach(driver, 1, 2)
    driver.run(driver.shard.on_undelivered(1, Batch(ROOM, 1, b"", [])))
    assert not driver.shard.is_behind(1)
    driver.run(driver.shard.on_undelivered(99, Batch(ROOM, 1, b"", [])))


def test_a_position_beyond_the_log_ends_the_epoch() -> None:
    driver = driver_with(1, 2)
    driver.say(1, message(1))
    driver.commit()
    driver.take(1)
    old = attach(driver, 2)
    driver.attach(1, 1, epoch=old.epoch, offset=5)
    driver.attach(1, 2, epoch=old.epoch, offset=5)
    for answer in driver.take(1):
        assert isinstance(answer, AttachRefused)
        assert answer.code == "unavailable"
    driver.commit()
    assert driver.take(2) == [Reattach(ROOM, 1)]
    new = attach(driver, 1, 3, epoch=old.epoch, offset=5)
    assert (new.reason, new.offset, new.resumed) == ("epoch", 1, False)
    event = decode_server_message(new.frames[0].frame, Form.MSGPACK)
    assert isinstance(event, Event)
    assert (event.kind, event.id, event.target, event.text) == ("epoch", old.epoch, 1, FORGOTTEN)
    assert driver.counters.epochs_ended == 1


def test_a_gateway_that_comes_back_is_counted_once_and_one_that_is_gone_not_for_long() -> None:
    driver = driver_with(1, 2)
    driver.tick(SUMS_QUIET_S)
    driver.sent[3] = []
    attach(driver, 1, members=10)
    attach(driver, 2, members=1)
    driver.close_link(1)
    driver.shard.link_opened(3, "gateway-1")  # type: ignore[arg-type]
    assert attach(driver, 3, members=10).present == 11
    driver.close_link(3)
    driver.tick(MEMBERS_SUM_EXPIRES_S - 1)
    driver.say(2, Members([(ROOM, 1)]))
    driver.tick(2)
    assert driver.take(2)[-1] == Sum(ROOM, 1, 1)


def test_reports_for_rooms_without_a_feed_are_nobodys() -> None:
    driver = driver_with(1, 2)
    driver.tick(SUMS_QUIET_S)
    attach(driver, 1)
    driver.say(2, Members([(ROOM, 50), ("town/unknown", 5)]))
    assert attach(driver, 2).present == 0


def test_after_a_takeover_nothing_is_announced_until_gateways_had_time_to_report() -> None:
    driver = driver_with(1, 2)
    assert attach(driver, 1, members=4).present == PRESENT_NOT_KNOWN_YET
    driver.tick(SUMS_QUIET_S / 2)
    assert driver.take(1) == []
    driver.tick(SUMS_QUIET_S)
    assert driver.take(1) == [Sum(ROOM, 1, 4)]
    assert attach(driver, 2, members=2).present == 6


def test_a_sum_that_did_not_fit_is_told_with_the_next_tick_that_has_news() -> None:
    driver = driver_with(1)
    attach(driver, 1, members=4)
    driver.links_full.add(1)
    driver.tick(SUMS_QUIET_S)
    driver.links_full.clear()
    driver.tick()
    assert driver.take(1) == [Sum(ROOM, 1, 4)]


def test_people_seen_by_two_gateways_are_told_to_all_as_an_estimate_that_time_changes() -> None:
    driver = driver_with(1, 2)
    driver.tick(SUMS_QUIET_S)
    attach(driver, 1)
    attach(driver, 2)
    driver.say(1, Members([], [(ROOM, seen(0, 12))]))
    driver.say(2, Members([], [(ROOM, seen(8, 20)), ("town/unknown", seen(0, 5))]))
    driver.tick()
    assert driver.take(1) == driver.take(2) == [Sum(ROOM, 1, 0, 20, 20)]
    reply = attach(driver, 2, 2)
    assert (reply.seen_5m, reply.seen_60m) == (20, 20)
    driver.tick(400)
    assert driver.take(1) == [Sum(ROOM, 1, 0, 0, 20)]


def test_estimates_take_turns_and_none_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.feeds.SEEN_REGISTERS_PER_TICK_MAX", 1)
    driver = driver_with(1)
    driver.tick(SUMS_QUIET_S)
    rooms = ["town/a", "town/b", "town/c"]
    for room in rooms:
        driver.attach(1, 1, room=room)
    driver.take(1)
    driver.say(1, Members([], [(room, seen(0, 3)) for room in rooms]))
    for room in rooms:
        driver.tick(0.25)
        assert driver.take(1) == [Sum(room, 1, 0, 3, 3)]
