"""Slots that come and go: what is released, what waits for a claim, what is sent away."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.journal.memory import MemoryJournal
from broker.ownership import HELD_TICKS_MAX
from shard_router.slots import slot_of
from tests.support.shard_driver import ALL_SLOTS, ROOM, ShardDriver, message
from wire.names import RoomName, Slot
from wire.node_messages import (
    Attach,
    Attached,
    CommandRefused,
    Committed,
    MapNews,
    Moved,
    NodeMessage,
    OutcomeUnknown,
    RangeRead,
)

SLOT = slot_of(RoomName(ROOM))
OTHERS = [slot for slot in ALL_SLOTS if slot != SLOT]


def driver() -> ShardDriver:
    it = ShardDriver()
    it.open_link(1)
    return it


def kinds(messages: Sequence[NodeMessage]) -> list[str]:
    return [type(each).__name__ for each in messages]


def test_what_is_decided_and_in_no_write_goes_with_its_slot() -> None:
    it = driver()
    it.attach(1)
    it.take(1)
    it.say(1, message(1))
    it.follow(OTHERS, 2)
    assert it.take(1) == [Moved(ROOM, 2, request=1), Moved(ROOM, 2, generation=1)]
    assert it.take_group() == []
    assert it.shard.pending_bytes == 0
    it.say(1, message(2))
    assert it.take(1) == [Moved(ROOM, 2, request=2)]


def test_slots_that_stay_are_neither_claimed_again_nor_disturbed() -> None:
    it = driver()
    it.attach(1)
    it.say(1, message(1))
    it.take(1)
    gained, effects = it.shard.follow(ALL_SLOTS, 2)
    assert (gained, effects) == ([], [])
    it.commit()
    assert "Committed" in kinds(it.take(1))
    assert it.shard.map_version == 2


def test_questions_about_a_coming_slot_wait_for_its_claim_and_keep_their_order() -> None:
    it = ShardDriver()
    it.open_link(1)
    it.follow(OTHERS, 2)
    gained, _ = it.shard.follow(ALL_SLOTS, 3)
    assert gained == [SLOT]
    it.say(1, Attach(ROOM, 1))
    it.say(1, message(1))
    it.say(1, RangeRead(2, ROOM))
    it.say(1, message(3))
    assert it.take(1) == []
    it.own(gained)
    assert kinds(it.take(1)) == ["Attached", "Range"]
    it.commit()
    assert [each.request for each in it.take(1) if isinstance(each, Committed)] == [1, 3]


def test_a_claim_that_is_refused_sends_them_away() -> None:
    it = driver()
    it.follow(OTHERS, 2)
    gained, _ = it.shard.follow(ALL_SLOTS, 3)
    it.say(1, message(1))
    it.run(it.shard.on_claim_refused(gained))
    assert it.take(1) == [Moved(ROOM, 3, request=1)]
    it.say(1, message(2))
    assert it.take(1) == [Moved(ROOM, 3, request=2)]


def test_a_slot_of_a_map_that_was_only_heard_of_waits_for_the_map() -> None:
    it = driver()
    it.follow(OTHERS, 2)
    it.say(1, message(1))
    assert it.take(1) == [Moved(ROOM, 2, request=1)]
    it.say(1, MapNews(3))
    it.say(1, message(2))
    it.say(1, Attach("town/elsewhere", 7))
    assert kinds(it.take(1)) == ["Attached"], "what is ours is answered as ever"
    it.follow(ALL_SLOTS, 3)
    it.commit()
    assert [each.request for each in it.take(1) if isinstance(each, Committed)] == [2]


def test_a_map_that_gives_it_to_somebody_else_sends_them_there() -> None:
    it = driver()
    it.follow(OTHERS, 2)
    it.shard.heard_of(3)
    it.say(1, message(1))
    assert it.take(1) == []
    it.follow(OTHERS, 3)
    assert it.take(1) == [Moved(ROOM, 3, request=1)]


def test_nobody_waits_for_a_map_that_does_not_come() -> None:
    it = driver()
    it.follow(OTHERS, 2)
    it.shard.heard_of(3)
    it.say(1, message(1))
    for _ in range(HELD_TICKS_MAX):
        it.tick()
        assert it.take(1) == []
    it.tick()
    assert it.take(1) == [Moved(ROOM, 2, request=1)]


def test_a_room_of_an_unknown_outcome_that_is_given_away_stays_unknown() -> None:
    it = driver()
    it.say(1, message(1))
    it.lose(it.take_group())
    it.follow(OTHERS, 2)
    assert it.take(1) == [OutcomeUnknown(1)]


def test_an_old_news_changes_nothing() -> None:
    it = driver()
    it.follow(OTHERS, 5)
    it.say(1, MapNews(4))
    it.say(1, message(1))
    assert it.take(1) == [Moved(ROOM, 5, request=1)]


ROOMS = [f"town/room-{number}" for number in range(6)]
SLOTS = {room: slot_of(RoomName(room)) for room in ROOMS}


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("map"), st.sets(st.sampled_from(ROOMS))),
            st.tuples(st.just("publish"), st.sampled_from(ROOMS)),
            st.tuples(st.just("attach"), st.sampled_from(ROOMS)),
            st.tuples(st.just("commit"), st.none()),
        ),
        max_size=40,
    )
)
def test_two_shards_that_follow_the_same_maps_answer_everything_once_and_keep_one_log(
    steps: list[tuple[str, object]],
) -> None:
    """The rooms of each step's set are the first shard's, all others the second's; either may follow late."""
    journal = MemoryJournal("store")
    one, two = ShardDriver(journal, seed=1), ShardDriver(journal, map_version=2, seed=2)
    one.open_link(1)
    two.open_link(1)
    version, asked, mine = 2, 0, set[str]()
    one.follow([], 2)
    answered: dict[int, list[str]] = {}

    def hear(it: ShardDriver) -> None:
        for told in it.take(1):
            if isinstance(told, Committed | CommandRefused | OutcomeUnknown) or (isinstance(told, Moved) and told.request):
                answered.setdefault(told.request, []).append(type(told).__name__)

    def commit(it: ShardDriver) -> None:
        it.commit()
        hear(it)

    for what, subject in steps:
        if what == "map":
            assert isinstance(subject, set)
            version, mine = version + 1, subject
            owned = {SLOTS[room] for room in mine}
            one.follow(sorted(owned), version)
            two.follow([slot for slot in ALL_SLOTS if slot not in owned], version)
        elif what == "publish":
            asked += 1
            owner = one if subject in mine else two
            owner.say(1, message(asked, room=str(subject)))
        elif what == "attach":
            (one if subject in mine else two).attach(1, room=str(subject))
        else:
            commit(one)
            commit(two)
    commit(one)
    commit(two)
    assert sorted(answered) == list(range(1, asked + 1))
    assert all(len(outcomes) == 1 for outcomes in answered.values())
    committed = sum(outcomes == ["Committed"] for outcomes in answered.values())
    logs = [journal.load(RoomName(room), 1000, 1 << 20, 0, 1000) for room in ROOMS]
    assert committed == sum(len(log.tail) for log in logs if log is not None)


def test_attached_readers_find_the_same_log_at_the_next_owner() -> None:
    journal = MemoryJournal("store")
    one, two = ShardDriver(journal, seed=1), ShardDriver(journal, map_version=2, seed=2)
    for it in (one, two):
        it.open_link(1)
    one.follow([], 2)
    one.follow([SLOT], 3)
    two.follow(OTHERS, 3)
    one.say(1, message(1))
    one.commit()
    place = next(each for each in one.take(1) if isinstance(each, Committed))
    one.follow([], 4)
    two.follow([Slot(slot) for slot in ALL_SLOTS], 4)
    two.attach(1, epoch=place.epoch, offset=1)
    found = next(each for each in two.take(1) if isinstance(each, Attached))
    assert (found.epoch, found.offset, found.resumed) == (place.epoch, 1, True)


def test_slots_kept_over_a_map_that_was_missed_are_claimed_and_stay_when_nobody_was_there() -> None:
    it = driver()
    it.attach(1)
    it.take(1)
    it.say(1, message(1))
    gained, _ = it.shard.follow(ALL_SLOTS, 3)
    assert gained == sorted(ALL_SLOTS)
    it.say(1, message(2))
    assert it.take(1) == [], "they are served meanwhile"
    it.own(gained)
    it.commit()
    assert [each.request for each in it.take(1) if isinstance(each, Committed)] == [1, 2]
    assert it.shard.follow(ALL_SLOTS, 4)[0] == []


def test_slots_that_were_others_under_a_map_that_was_missed_are_read_anew() -> None:
    """Found by chaos: a shard that was cut off from the store kept its terms, was fenced in slot after slot, and stepped down."""
    journal = MemoryJournal("store")
    one, two = ShardDriver(journal, seed=1), ShardDriver(journal, map_version=2, seed=2)
    for it in (one, two):
        it.open_link(1)
    one.follow(ALL_SLOTS, 3)
    one.attach(1)
    one.say(1, message(1))
    one.commit()
    one.take(1)
    # Map 4 is the other's; it writes; the first one hears of map 5 only.
    two.follow(ALL_SLOTS, 4)
    two.say(1, message(2))
    two.commit()
    one.say(1, message(3))
    one.follow(ALL_SLOTS, 5)
    assert one.take(1) == [Moved(ROOM, 5, request=3), Moved(ROOM, 5, generation=1)]
    one.attach(1, generation=2)
    one.say(1, message(3))
    one.commit()
    answers = one.take(1)
    assert next(each for each in answers if isinstance(each, Attached)).offset == 2
    assert [each.offset for each in answers if isinstance(each, Committed)] == [3]


def test_what_is_unsure_stays_so_when_the_claim_was_refused() -> None:
    it = driver()
    gained, _ = it.shard.follow(ALL_SLOTS, 3)
    it.run(it.shard.on_claim_refused(gained))
    assert it.shard.follow(OTHERS, 4)[0] == sorted(OTHERS)


def test_a_slot_that_was_lost_after_a_refused_claim_is_gained_like_any_other() -> None:
    it = driver()
    gained, _ = it.shard.follow(ALL_SLOTS, 3)
    it.run(it.shard.on_claim_refused(gained))
    it.run(it.shard.on_slots_lost({SLOT}))
    it.follow(ALL_SLOTS, 4)
    it.say(1, message(1))
    it.commit()
    assert kinds(it.take(1)) == ["Committed"]
