"""Tables in a store that forgets: a room behind on them is repaired like one behind on its log, or its readers are told."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.journal.memory import MemoryJournal
from broker.journal.protocol import CommitVerdict, Journal, LoadedRoom, Row
from broker.load_room import arrive
from broker.record import Head
from tests.broker.test_forgetting import assert_nobody_noticed
from tests.broker.test_repair import NAME, SLOT, Past, carry_out, load
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.forgetful_town import Town, town
from tests.support.journal_writes import row, tables_in
from tests.support.shard_driver import ROOM, message
from wire.limits import ROWS_PER_WRITE_MAX
from wire.names import RoomName

SQUARE = RoomName(ROOM)


def votes_in(it: Town) -> dict[str, str]:
    return tables_in(it.store, SQUARE).get("votes", {})


def vote(it: Town, *rows: Row, commit: bool = True) -> None:
    """As a feature does it: decide rows, and have the room written."""
    state = it.driver.shard._state
    hosted = state.rooms[SQUARE]
    assert hosted.room is not None
    hosted.room.add_rows(rows)
    state.queue(hosted)
    if commit:
        it.commit()


# --- a shard --------------------------------------------------------------------------------------


def test_rows_are_written_by_the_next_group_and_readers_hear_nothing() -> None:
    it = town()
    it.say(1)
    vote(it, row("ann", "yes"), commit=False)
    assert not it.driver.shard.is_settled
    it.commit()
    vote(it, row("bob", "no"), row("ann", None))
    assert votes_in(it) == {"bob": "no"}
    assert_nobody_noticed(it, 1)


def test_a_room_behind_on_its_tables_only_is_repaired_before_the_next_message() -> None:
    it = town()
    it.say(1)
    vote(it, row("ann", "yes"))
    keep = it.store.changes
    vote(it, row("bob", "no"))
    vote(it, row("ann", "no"))
    it.fall_back(keep)
    assert votes_in(it) == {"ann": "yes"}
    it.say(2)
    assert votes_in(it) == {"ann": "no", "bob": "no"}
    assert_nobody_noticed(it, 1, 2)
    assert (it.driver.counters.repairs, it.driver.counters.events_repaired) == (1, 0)


def test_tables_that_nobody_writes_to_are_repaired_when_the_store_is_found_to_be_another() -> None:
    it = town()
    it.say(1)
    keep = it.store.changes
    vote(it, row("ann", "yes"))
    it.fall_back(keep)
    it.notice()
    assert votes_in(it) == {"ann": "yes"}
    assert_nobody_noticed(it, 1)


def test_a_room_that_was_forgotten_whole_has_its_tables_again() -> None:
    it = town()
    it.say(1)
    vote(it, row("ann", "yes"))
    it.say(2)
    it.fall_back(0)
    it.notice()
    it.say(3)
    assert votes_in(it) == {"ann": "yes"}
    assert_nobody_noticed(it, 1, 2, 3)


def test_a_store_that_forgets_tables_twice_is_repaired_twice() -> None:
    it = town()
    it.say(1)
    keep = it.store.changes
    vote(it, row("ann", "yes"))
    for _ in range(2):
        it.fall_back(keep)
        it.notice()
        assert votes_in(it) == {"ann": "yes"}
    assert_nobody_noticed(it, 1)


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_after_an_unknown_outcome_tables_are_repaired_from_the_load(fault: Fault) -> None:
    it = town()
    it.say(1)
    keep = it.store.changes
    vote(it, row("ann", "yes"))
    vote(it, row("bob", "yes"), commit=False)
    group = it.driver.take_group()
    it.journal.fail("commit", fault)
    with pytest.raises(Exception, match="as the test asked"):
        it.journal.commit(group)
    it.fall_back(keep)
    it.driver.reclaim(it.driver.lose(group))
    it.commit()
    assert votes_in(it) == {"ann": "yes"}, "what was acknowledged is there; what was not may be decided again"
    it.fall_back(keep)
    it.notice()
    assert votes_in(it) == {"ann": "yes"}, "and it is still remembered"
    assert_nobody_noticed(it, 1)


def test_rows_that_nobody_can_bring_back_end_the_epoch() -> None:
    it = town()
    it.say(1)
    vote(it, row("ann", "yes"))
    it.restart()
    it.gateway.attach()
    it.driver.say(1, message(9, "the successor is at work"))
    it.commit()
    it.fall_back(it.store.changes - 3)
    assert votes_in(it) == {}
    it.notice()
    assert len(it.gateway.epochs) == 2, "who saw the totals is told to start over"
    assert [ended.reason for ended in it.driver.ended] == ["forgotten"]
    assert it.driver.shard.is_settled
    vote(it, row("cem", "yes"))
    assert votes_in(it) == {"cem": "yes"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("say"), st.none()),
            st.tuples(st.just("vote"), st.integers(0, 4)),
            st.tuples(st.just("forget"), st.integers(0, 5)),
            st.tuples(st.just("unknown"), st.sampled_from(list(Fault))),
            st.tuples(st.just("notice"), st.none()),
        ),
        max_size=25,
    ),
    st.integers(0, 1000),
)
def test_no_vote_that_was_acknowledged_is_lost_while_its_shard_lives(play: list[tuple[str, object]], seed: int) -> None:
    it = town()
    it.journal = FaultyJournal(it.store, Random(seed))
    it.driver.journal = it.journal
    it.say(0)
    acknowledged: dict[str, set[str]] = {}
    for number, (what, how) in enumerate(play, 1):
        if what == "say":
            it.say(number)
        elif what == "vote":
            vote(it, row(f"person-{how}", f"{number}"))
            acknowledged[f"person-{how}"] = {f"{number}"}
        elif what == "unknown":
            assert isinstance(how, Fault)
            vote(it, row("person-0", f"{number}"), commit=False)
            acknowledged.setdefault("person-0", {""}).add(f"{number}")
            it.commit_unknown(how)
        elif what == "forget":
            assert isinstance(how, int)
            it.fall_back(max(0, it.store.changes - how))
            it.notice()
        else:
            it.notice()
    it.notice()
    assert it.driver.shard.is_settled
    assert len(it.gateway.epochs) == 1 or any(what == "unknown" for what, _ in play)
    if len(it.gateway.epochs) == 1:
        found = votes_in(it)
        assert all(found.get(person, "") in values for person, values in acknowledged.items())


# --- a room ---------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.just("say"), st.just("commit"), st.just("end"), st.just("snapshot"),
        st.tuples(st.booleans(), st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True)),
        st.just("crowd"),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


def verdict_on(past: Past, journal: Journal) -> tuple[CommitVerdict, Head | None, int]:
    (outcome,) = journal.commit([past.room.verification(SLOT, past.term)])
    return outcome.verdict, outcome.head, outcome.rows_seq


def lived(sequence: list[object]) -> Past:
    past = Past()
    past.say(message(0))
    past.commit()
    for number, step in enumerate([*sequence, "commit"], 1):
        if step == "commit":
            past.commit()
        elif step == "end":
            past.end_epoch()
        elif step == "say":
            past.say(message(number))
        elif step == "snapshot":
            past.room.add_snapshot(f"snapshot {number}".encode())
        elif step == "crowd":
            past.room.add_rows([row(f"person-{n}", f"{number}") for n in range(ROWS_PER_WRITE_MAX)])
        else:
            assert isinstance(step, tuple)
            if step[0]:
                past.say(message(number))
            rows = [row(f"person-{n}", None if (n + number) % 5 == 0 else f"{number}") for n in step[1]]
            past.room.add_rows(rows, with_event=step[0])
    return past


def shown(past: Past, journal: Journal) -> object:
    return past.everything_in(journal), tables_in(journal, NAME)


@settings(max_examples=150, deadline=None)
@given(steps, st.data())
def test_whatever_a_journal_forgot_of_log_and_tables_it_has_again(sequence: list[object], data: st.DataObject) -> None:
    past = lived(sequence)
    forgetful: MemoryJournal = data.draw(st.sampled_from(past.earlier[1:]))
    before: LoadedRoom | None = load(forgetful)
    verdict, head, rows_seq = verdict_on(past, forgetful)
    if verdict is CommitVerdict.COMMITTED:
        return
    assert head is not None
    repair = past.room.repair_from(head, rows_seq)
    arrived = arrive(NAME, before, "store", past.room)
    assert arrived.continues == (repair is not None)
    if repair is None:
        # Two epochs ago is further than a tail reaches.
        assert head.epoch != past.room.head.epoch
        return
    assert (arrived.room.head, arrived.room.tables.seq) == (past.room.head, past.room.tables.seq)
    carry_out(repair, forgetful, past.term)
    assert shown(past, forgetful) == shown(past, past.journal)
    assert verdict_on(past, forgetful)[0] is CommitVerdict.COMMITTED
    # The room that was loaded knows as much.
    assert arrived.room.tables.written_after(rows_seq) is not None


def test_many_rows_are_repaired_in_bounded_writes_each_with_the_events_it_belongs_to() -> None:
    past = Past()
    past.say(message(0))
    past.commit()
    start, seq = past.room.head, past.room.tables.seq
    for number in range(1, 6):
        past.say(message(number))
        past.room.add_rows([row(f"{number}-{n}", "yes") for n in range(700)], with_event=True)
        past.commit()
    repair = past.room.repair_from(start, seq)
    assert repair is not None
    shapes = []
    done = False
    while not done:
        write = repair.take_write(NAME, SLOT, past.term, 1 << 20)
        shapes.append(([entry.offset for entry in write.entries], {each.key[0] for each in write.rows}, write.rows_seq))
        done = repair.wrote()
    assert shapes == [([n + 1], {str(n)}, n) for n in range(1, 6)]


def test_rows_of_a_new_epoch_are_not_written_into_the_old_one() -> None:
    past = Past()
    past.say(message(0))
    past.commit()
    start = past.room.head
    past.room.add_rows([row("ann", "old")])
    past.end_epoch()
    past.say(message(1))
    past.room.add_rows([row("ann", "new")], with_event=True)
    past.commit()
    repair = past.room.repair_from(start, 0)
    assert repair is not None
    shapes = []
    done = False
    while not done:
        write = repair.take_write(NAME, SLOT, past.term, 1)
        shapes.append((len(write.entries), write.new_epoch, [each.value for each in write.rows]))
        done = repair.wrote()
    assert shapes == [(0, False, [b"old"]), (1, True, []), (1, False, [b"new"])]


def test_nothing_is_repaired_where_nothing_is_missing_or_a_journal_has_more() -> None:
    past = lived([(False, [1]), "commit", (False, [2]), "commit"])
    head = past.room.head
    assert past.room.tables.seq == 2
    assert past.room.repair_from(head, 2) is None
    assert past.room.repair_from(head, 3) is None
    assert past.room.repair_from(head, 0) is not None
