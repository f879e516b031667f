"""Who was seen: what the shard is told, when it is told again, and a walk that is bounded."""

from collections.abc import Iterator

from gateway.seen import Seen, SeenWalk
from wire.limits import SEEN_PER_TICK_MAX, SKETCH_MINUTES_MAX
from wire.sketch import Sketch, unpack_entries

ROOM = "town/square"


class Hall:
    """A place with so many people in it."""

    def __init__(self, people: int, name: str = "") -> None:
        self.seen = Seen()
        self.people = [f"{name}{number}" for number in range(people)]

    def see_members(self, minute: int) -> Iterator[None]:
        for person in self.people:
            self.seen.see(ROOM, person, minute)
            yield


def test_the_shard_is_told_what_is_new_and_of_nobody_twice() -> None:
    seen, shard = Seen(), Sketch()
    for person in ("ann", "bob", "ann"):
        seen.see(ROOM, person, 7)
    shard.merge(unpack_entries(seen.take(7), 100))
    assert shard.estimate(100) == 2
    seen.see(ROOM, "ann", 7)
    assert seen.take(7) == b""
    seen.see(ROOM, "ann", 8)
    shard.merge(unpack_entries(seen.take(8), 101))
    assert (shard.estimate(101), shard.estimate(100)) == (1, 2)


def test_another_shard_is_told_everything() -> None:
    seen = Seen()
    for minute in range(3):
        seen.see(ROOM, f"g-{minute}", minute)
        seen.take(minute)
    seen.tell_again()
    shard = Sketch()
    shard.merge(unpack_entries(seen.take(2), 50))
    assert [shard.estimate(since) for since in (50, 49, 48)] == [1, 2, 3]


def test_who_stays_is_seen_every_minute_and_who_left_is_forgotten_after_an_hour() -> None:
    walk, hall = SeenWalk(), Hall(3)
    for minute in range(2):
        for _ in range(60):
            walk.tick([hall], minute)
    told = unpack_entries(hall.seen.take(1), 1)
    assert {minute for _, _, minute in told} == {1}
    hall.people.clear()
    for _ in range(3):
        walk.tick([hall], 2 + SKETCH_MINUTES_MAX)
    hall.seen.tell_again()
    assert hall.seen.take(2 + SKETCH_MINUTES_MAX) == b""


def test_a_walk_takes_its_share_of_each_tick_and_is_ended_before_the_next() -> None:
    walk = SeenWalk()
    halls = [Hall(SEEN_PER_TICK_MAX, "a"), Hall(SEEN_PER_TICK_MAX // 2, "b")]
    walk.tick(halls, 0)
    walk.tick(halls, 0)
    assert halls[0].seen.take(0)
    assert not halls[1].seen.take(0)
    walk.tick(halls, 1)
    assert {minute for _, _, minute in unpack_entries(halls[1].seen.take(1), 1)} == {0}
    assert not halls[0].seen.take(1)
    walk.tick(halls, 1)
    assert {minute for _, _, minute in unpack_entries(halls[0].seen.take(1), 1)} == {1}
