"""The model of a store that fails over: a journal like any other, until it forgets what its replica had not got."""

import pytest

from broker.journal.protocol import CommitVerdict, Erasure, StaleMap, Unavailable
from tests.support.forgetful_journal import WAIT_S, ForgetfulJournal
from tests.support.journal_contract import JournalContract, Reopen, loaded
from tests.support.journal_writes import RoomWriter
from wire.names import Slot, Term


class TestForgetfulJournalWithoutFaults(JournalContract):
    @pytest.fixture
    def reopen(self) -> Reopen:
        journal = ForgetfulJournal("store-1")
        return lambda: journal


class TestForgetfulJournalThatWaitsForItsReplica(JournalContract):
    @pytest.fixture
    def reopen(self) -> Reopen:
        journal = ForgetfulJournal("store-1", wait_replicas=1)
        journal.lag_s = WAIT_S / 2
        return lambda: journal


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_failover_forgets_what_is_younger_than_the_lag_and_nothing_else(clock: Clock) -> None:
    journal, writer = ForgetfulJournal("store", clock=clock), RoomWriter()
    journal.claim([Slot(7)], 1, "shard-1")
    journal.lag_s = 0.5
    writer.commit(journal, "kept", "SECRET")
    clock.now += 0.4
    writer.commit(journal, "forgotten", erasures=[Erasure(2, "author")])
    journal.claim([Slot(8)], 9, "shard-2")
    run = journal.store_run()
    clock.now += 0.2
    lost = journal.fail_over()
    assert [entry.body for write in lost for entry in write.entries] == [b"forgotten"]
    assert journal.store_run() != run
    room = loaded(journal, writer.room)
    assert [entry.body for entry in room.tail] == [b"kept", b"SECRET"]
    assert [row.offset for row in room.ids] == [1, 2]
    assert journal.newest_map_version() == 1
    assert journal.claim([Slot(8)], 1, "shard-1") == {Slot(8): Term(1)}, "a term that was given out is given out again"
    assert writer.commit(journal, "three").verdict is CommitVerdict.BEHIND


def test_a_store_can_fall_back_to_any_moment() -> None:
    journal, writer = ForgetfulJournal("store"), RoomWriter()
    journal.claim([Slot(7)], 1, "shard-1")
    writer.commit(journal, "one")
    before = journal.changes
    writer.commit(journal, "two")
    writer.commit(journal)
    assert journal.changes == before + 1, "a write of nothing changes nothing"
    assert journal.as_of(before).load(writer.room, 10, 1000, 0, 10) != loaded(journal, writer.room)
    journal.fail_over(before)
    assert [entry.body for entry in loaded(journal, writer.room).tail] == [b"one"]


def test_what_a_replica_was_waited_for_is_never_forgotten(clock: Clock) -> None:
    journal, writer = ForgetfulJournal("store", clock=clock, wait_replicas=1), RoomWriter()
    journal.claim([Slot(7)], 1, "shard-1")
    journal.lag_s = WAIT_S / 2
    writer.commit(journal, "one")
    journal.lag_s = 60.0
    with pytest.raises(Unavailable, match="replicas"):
        writer.commit(journal, "two")
    with pytest.raises(Unavailable, match="replicas"):
        journal.claim([Slot(7)], 1, "shard-1")
    assert [entry.body for entry in loaded(journal, writer.room).tail] == [b"one", b"two"], "it was done all the same"
    journal.fail_over()
    assert [entry.body for entry in loaded(journal, writer.room).tail] == [b"one"]


@pytest.mark.parametrize("reads", [False, True])
def test_a_store_that_refuses_does_nothing_until_the_time(clock: Clock, reads: bool) -> None:
    journal, writer = ForgetfulJournal("store", clock=clock), RoomWriter()
    journal.claim([Slot(7)], 1, "shard-1")
    journal.refuse("READONLY", clock.now + 1.0, reads=reads)
    with pytest.raises(Unavailable, match="READONLY"):
        writer.commit(journal, "one")
    if reads:
        with pytest.raises(Unavailable):
            journal.load(writer.room, 1, 1, 0, 1)
    else:
        assert journal.load(writer.room, 1, 1, 0, 1) is None
    clock.now += 1.0
    assert writer.commit(journal, "one").verdict is CommitVerdict.COMMITTED
    assert list(journal.read(writer.room, writer.head.epoch, 0, 1))
    journal.retain(writer.room, 1, 0, 0)
    assert not journal.read(writer.room, writer.head.epoch, 0, 1)


def test_a_refused_claim_is_not_sent_to_the_replica(clock: Clock) -> None:
    journal = ForgetfulJournal("store", clock=clock)
    journal.claim([Slot(7)], 5, "shard-1")
    with pytest.raises(StaleMap):
        journal.claim([Slot(7)], 4, "shard-2")
    journal.fail_over()
    assert journal.claim([Slot(7)], 5, "shard-1") == {Slot(7): Term(2)}


def test_healing_lets_the_replica_have_all(clock: Clock) -> None:
    journal, writer = ForgetfulJournal("store", clock=clock), RoomWriter()
    journal.claim([Slot(7)], 1, "shard-1")
    journal.lag_s = 60.0
    writer.commit(journal, "one")
    journal.refuse("OOM", clock.now + 60.0, reads=False)
    journal.heal()
    writer.commit(journal, "two")
    assert journal.fail_over() == []
    assert len(loaded(journal, writer.room).tail) == 2
