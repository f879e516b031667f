"""A shard on a store that forgets: repaired unnoticed while it lives (test_ended_epochs.py has what cannot be)."""

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.journal.protocol import Unavailable
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.forgetful_town import Gateway, Town, town
from tests.support.shard_driver import ROOM, ShardDriver, delete, edit, message
from wire.limits import COMMIT_VERIFIED_MAX
from wire.names import Epoch, RoomName
from wire.node_messages import CommandRefused, Committed


def assert_nobody_noticed(it: Town, *numbers: int) -> None:
    assert it.gateway.epochs == [it.gateway.epoch]
    assert it.driver.counters.epochs_ended == 0
    assert [event.id for event in it.gateway.shown.values()] == [f"m{number}" for number in numbers]
    assert list(it.log().values()) == [f"m{number}" for number in numbers]
    assert not any(isinstance(answer, CommandRefused) for answer in it.gateway.answers)
    assert it.driver.shard.is_settled


# --- while the shard lives ----------------------------------------------------------------------


def test_what_the_store_forgot_is_written_again_before_the_next_message() -> None:
    it = town()
    it.say(1)
    keep = it.store.changes
    it.say(2)
    it.say(3)
    it.fall_back(keep)
    it.say(4, 5)
    assert_nobody_noticed(it, 1, 2, 3, 4, 5)
    assert (it.driver.counters.repairs, it.driver.counters.events_repaired) == (1, 2)


def test_a_store_that_forgot_the_terms_too_fences_nobody_out() -> None:
    it = town()
    it.say(1, 2)
    it.fall_back(0)
    it.say(3)
    assert_nobody_noticed(it, 1, 2, 3)
    it.driver.say(1, message(1, "text 1"))
    it.gateway.listen()
    answer = it.gateway.answers[-1]
    assert isinstance(answer, Committed)
    assert (answer.offset, answer.duplicate) == (1, True), "ids are repaired with their events"


def test_rooms_that_nobody_writes_to_are_repaired_when_the_store_is_found_to_be_another() -> None:
    it = town()
    keep = it.store.changes
    it.say(1, 2)
    it.fall_back(keep)
    assert it.log() == {}
    it.notice()
    assert_nobody_noticed(it, 1, 2)


def test_a_store_that_forgets_the_repair_as_well_is_repaired_again() -> None:
    it = town()
    it.say(1)
    keep = it.store.changes
    it.say(2)
    for _ in range(3):
        it.fall_back(keep)
        it.notice()
    assert_nobody_noticed(it, 1, 2)
    assert it.driver.counters.repairs == 3


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_a_repair_of_unknown_outcome_is_taken_up_where_the_store_is(fault: Fault) -> None:
    it = town()
    keep = it.store.changes
    it.say(1, 2)
    it.fall_back(keep)
    it.driver.shard.verify_heads()
    it.driver.finish(it.driver.take_group())
    it.commit_unknown(fault)
    assert_nobody_noticed(it, 1, 2)


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_after_an_unknown_outcome_a_store_that_forgot_is_repaired_from_the_load(fault: Fault) -> None:
    it = town()
    it.say(1)
    keep = it.store.changes
    it.say(2)
    it.driver.say(1, message(3, "text 3"))
    group = it.driver.take_group()
    it.journal.fail("commit", fault)
    with pytest.raises(Unavailable):
        it.journal.commit(group)
    it.fall_back(keep)
    it.driver.reclaim(it.driver.lose(group))
    it.commit()
    assert [a.code for a in it.gateway.answers if isinstance(a, CommandRefused)] == ["unavailable"]
    it.gateway.answers.clear()
    it.say(3)
    assert_nobody_noticed(it, 1, 2, 3)


def test_a_removal_that_was_forgotten_stays_a_removal() -> None:
    it = town()
    it.say(1, text="SECRET")
    keep = it.store.changes
    it.driver.say(1, edit(2, 1, "SECRET again"))
    it.commit()
    it.driver.say(1, delete(3, 1))
    it.commit()
    it.fall_back(keep)
    it.driver.say(1, message(4, "after it"))
    it.commit_unknown(Fault.BEFORE)
    bodies = [entry.body for entry in it.store.read(RoomName(ROOM), Epoch(it.gateway.epoch), 0, 10)]
    assert len(bodies) == 3
    assert not any(b"SECRET" in body for body in bodies)
    newcomer = Gateway(it.driver, 2).enter()
    assert [(event.kind, event.text) for event in newcomer.shown.values()] == [("message", ""), ("edit", ""), ("delete", "")]
    assert [event.removed for event in newcomer.shown.values()] == ["author", "author", ""]


def test_each_head_is_verified_once_and_publishers_do_not_wait_for_all_of_them() -> None:
    it = town()
    rooms = [f"town/room-{number}" for number in range(2 * COMMIT_VERIFIED_MAX + 50)]
    it.driver = ShardDriver(it.journal, rooms_loaded_max=len(rooms))
    it.driver.open_link(1)
    for number, room in enumerate(rooms):
        it.driver.say(1, message(number, room=room))
    it.driver.commit()
    assert it.driver.shard.verify_heads() == it.driver.shard.verify_heads() == len(rooms)
    it.driver.say(1, message(1000, room=rooms[-1]))
    sizes = []
    while group := it.driver.take_group():
        sizes.append((len(group), sum(bool(write.entries) for write in group)))
        it.driver.finish(group)
    assert sizes == [(COMMIT_VERIFIED_MAX + 1, 1), (COMMIT_VERIFIED_MAX, 0), (49, 0)]
    assert it.driver.shard.is_settled


def test_a_room_to_be_verified_does_not_leave_memory() -> None:
    it = town()
    it.driver = ShardDriver(it.journal, rooms_loaded_max=1)
    it.driver.open_link(1)
    it.driver.say(1, message(1))
    it.driver.commit()
    it.driver.shard.verify_heads()
    it.driver.take(1)
    it.driver.say(1, message(2, room="town/other"))
    (refused,) = it.driver.take(1)
    assert isinstance(refused, CommandRefused)
    assert refused.code == "busy"
    it.driver.commit()
    it.driver.say(1, message(2, room="town/other"))
    it.driver.commit()
    assert isinstance(it.driver.take(1)[0], Committed)


def test_a_room_that_is_to_be_verified_while_it_is_loaded_is_verified_when_it_is_there() -> None:
    it = town()
    keep = it.store.changes
    it.say(1)
    it.driver.say(1, message(2))
    it.driver.loads_held = True
    it.driver.reclaim(it.driver.lose(it.driver.take_group()))
    it.driver.shard.verify_heads()
    assert it.driver.take_group() == []
    it.driver.finish_loads()
    it.fall_back(keep)
    it.commit()
    assert it.driver.counters.repairs == 1


# --- the law ----------------------------------------------------------------------------------------

plays = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 4)),
        st.tuples(st.just("delete"), st.integers(1, 12)),
        st.tuples(st.just("unknown"), st.sampled_from(list(Fault))),
        st.tuples(st.just("forget"), st.integers(0, 6)),
        st.tuples(st.just("notice"), st.none()),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(plays, st.booleans(), st.integers(0, 1000))
@example(
    [("say", 2), ("restart", None), ("forget", 2), ("restart", None), ("say", 2), ("forget", 1), ("restart", None)], True, 0
)
def test_readers_see_one_log_or_are_told_and_only_a_dead_shard_loses_what_it_acknowledged(
    play: list[tuple[str, object]], may_die: bool, seed: int
) -> None:
    it = town()
    it.journal = FaultyJournal(it.store, Random(seed))
    it.driver.journal = it.journal
    request, is_forgetful, has_died = 0, False, False
    removed: dict[tuple[str, int], None] = {}
    for what, how in play:
        if what == "say":
            assert isinstance(how, int)
            it.driver.say(1, message(request, f"text {request}"))
            request += 1
            if how > 1:
                it.commit()
        elif what == "delete":
            assert isinstance(how, int)
            it.driver.say(1, delete(request, how))
            request += 1
            it.commit()
            if request - 1 in it.gateway.acked:
                removed[it.gateway.epoch, how] = None
        elif what == "unknown":
            assert isinstance(how, Fault)
            it.commit_unknown(how)
        elif what == "forget":
            assert isinstance(how, int)
            is_forgetful = True
            it.fall_back(max(0, it.store.changes - how))
        elif what == "notice":
            it.notice()
        elif may_die:
            has_died |= is_forgetful
            it.restart()
            it.gateway.attach()
    it.driver.say(1, message(request, "the last word"))
    it.commit()
    it.notice()
    if isinstance(it.gateway.answers[-1], CommandRefused):
        it.driver.say(1, message(request, "the last word"))
        it.commit()
    assert it.driver.shard.is_settled
    logs = {place: message_id for epoch in it.gateway.epochs for place, message_id in it.log(epoch).items()}
    now = {place: message_id for place, message_id in logs.items() if place[0] == it.gateway.epoch}
    shown = {place: event.id for place, event in it.gateway.shown.items() if place in now}
    assert [offset for _, offset in now] == list(range(1, it.gateway.offset + 1)), "the reader has all of the log"
    assert all(message_id in (now[place], "") for place, message_id in shown.items()), "and nothing else at its places"
    kept = [place for number, place in it.gateway.acked.items() if logs.get(place) == f"m{number}" or place in removed]
    if has_died:
        assert len(kept) == len(it.gateway.acked) or len(it.gateway.epochs) > 1, "who lost something was told"
    else:
        assert len(it.gateway.epochs) == 1, "nobody was told anything"
        assert len(kept) == len(it.gateway.acked), "and nothing that was acknowledged is lost"
        assert all(logs[place] == "" and it.gateway.shown[place].removed for place in removed), "a removed text is nowhere"
