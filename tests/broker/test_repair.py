"""A journal that forgot its end is given it back to the bit; one that holds anything else is left alone."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.epoch import epoch_of
from broker.ids import kept_since_ms
from broker.journal.memory import MemoryJournal
from broker.journal.protocol import CommitVerdict, Journal, LoadedRoom
from broker.load_room import arrive, room_of
from broker.record import CHAIN_START, Head
from broker.repair import Repair
from broker.room import FORGOTTEN
from broker.verdicts import Decided
from tests.support.forgetful_journal import ForgetfulJournal
from tests.support.shard_driver import ROOM, delete, edit, message
from wire.limits import (
    COMMIT_ROOM_BYTES_MAX,
    MESSAGE_IDS_PER_ROOM_MIN,
    ROOM_TAIL_BYTES_MAX,
    ROOM_TAIL_EVENTS_MAX,
    TEXT_BYTES_MAX,
)
from wire.names import Epoch, RoomName, Slot, Term
from wire.node_messages import PublishCommand

NAME = RoomName(ROOM)
SLOT = Slot(1)
NOW_MS = 1_000_000


def load(journal: Journal) -> LoadedRoom | None:
    return journal.load(NAME, ROOM_TAIL_EVENTS_MAX, ROOM_TAIL_BYTES_MAX, kept_since_ms(NOW_MS), MESSAGE_IDS_PER_ROOM_MIN)


class Past:
    """A room, its journal, and the journal as it was after each commit: what a failover may fall back to."""

    def __init__(self) -> None:
        self.journal = ForgetfulJournal("store")
        self.term = self.journal.claim([SLOT], 1, "me")[SLOT]
        self.room = room_of(NAME, None, "store")
        self.earlier: list[MemoryJournal] = [self.journal.as_of(self.journal.changes)]
        self._salts = iter(range(1, 1_000_000))
        self.epochs = [self.room.head.epoch]

    def say(self, command: PublishCommand) -> None:
        self.room.handle(command, NOW_MS, next(self._salts).to_bytes(16, "big"))

    def commit(self) -> None:
        while self.room.has_unsubmitted:
            write = self.room.take_write(SLOT, self.term)
            (outcome,) = self.journal.commit([write])
            assert outcome.verdict is CommitVerdict.COMMITTED
            self.room.publish()
        self.earlier.append(self.journal.as_of(self.journal.changes))

    def end_epoch(self) -> None:
        self.commit()
        self.epochs.append(Epoch(f"epoch{len(self.epochs)}"))
        self.room.end_epoch(self.epochs[-1], FORGOTTEN, NOW_MS, next(self._salts).to_bytes(16, "big"))
        self.commit()

    def verdict_on(self, journal: Journal) -> tuple[CommitVerdict, Head | None]:
        """What a journal says to the room's next write."""
        (outcome,) = journal.commit([self.room.verification(SLOT, self.term)])
        return outcome.verdict, outcome.head

    def everything_in(self, journal: Journal) -> object:
        return load(journal), [journal.read(NAME, epoch, 0, 10_000) for epoch in self.epochs]


def carry_out(repair: Repair, journal: Journal, term: Term) -> int:
    """Write it again; answers in how many writes."""
    writes = 0
    is_done = False
    while not is_done:
        (outcome,) = journal.commit([repair.take_write(NAME, SLOT, term)])
        assert outcome.verdict is CommitVerdict.COMMITTED
        is_done = repair.wrote()
        writes += 1
    return writes


people = st.sampled_from(["ann", "bob"])
commands = st.one_of(
    st.builds(lambda n, who, text: message(n, text, author=who), st.integers(0, 40), people, st.text(min_size=1, max_size=20)),
    st.builds(lambda n, at, who: edit(n, at, author=who), st.integers(50, 90), st.integers(1, 9), people),
    st.builds(lambda n, at, who: delete(n, at, author=who), st.integers(100, 140), st.integers(1, 9), people),
)
steps = st.lists(st.one_of(commands, st.just("commit")), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(steps, st.data())
def test_whatever_a_journal_forgot_it_has_again_to_the_bit(sequence: list[object], data: st.DataObject) -> None:
    past = Past()
    for step in [*sequence, "commit"]:
        if step == "commit":
            past.commit()
        else:
            past.say(step)  # type: ignore[arg-type]
    forgetful = data.draw(st.sampled_from(past.earlier))
    verdict, head = past.verdict_on(forgetful)
    if verdict is CommitVerdict.COMMITTED:
        return
    assert head is not None
    repair = past.room.repair_from(head)
    assert repair is not None
    carry_out(repair, forgetful, past.term)
    assert past.everything_in(forgetful) == past.everything_in(past.journal)


@settings(max_examples=60, deadline=None)
@given(steps, steps, st.data())
def test_a_room_that_is_loaded_from_a_forgetful_journal_is_the_one_it_was(
    first: list[object], second: list[object], data: st.DataObject
) -> None:
    past = Past()
    for step in [*first, "commit", *second, "commit"]:
        if step == "commit":
            past.commit()
        else:
            past.say(step)  # type: ignore[arg-type]
    loaded = load(data.draw(st.sampled_from(past.earlier)))
    arrived = arrive(NAME, loaded, "store", past.room)
    assert arrived.continues
    assert arrived.room.state() == past.room.state()
    assert (arrived.repair is None) == (loaded == load(past.journal) or past.room.head.offset == 0)
    if arrived.repair is not None:
        # The room that was loaded can be asked again, as when the store forgets twice.
        assert arrived.room.repair_from(arrived.repair.take_write(NAME, SLOT, Term(1)).base) is not None


def test_a_removal_that_was_forgotten_is_repeated_and_a_removed_text_is_not() -> None:
    past = Past()
    past.say(message(1, "kept by the journal"))
    past.commit()
    past.say(edit(2, 1, "an edit of it"))
    past.say(message(3, "forgotten, and removed"))
    past.commit()
    past.say(delete(4, 1))
    past.say(delete(5, 3))
    past.commit()
    forgetful = past.earlier[1]
    head = load(forgetful).head  # type: ignore[union-attr]
    repair = past.room.repair_from(head)
    assert repair is not None
    write = repair.take_write(NAME, SLOT, past.term)
    assert b"forgotten, and removed" not in b"".join(entry.body for entry in write.entries)
    assert [entry.removed for entry in write.entries] == ["author", "author", "", ""]
    assert {erasure.offset for erasure in write.erasures} == {1, 2, 3}
    carry_out(repair, forgetful, past.term)
    assert [entry.removed for entry in load(forgetful).tail] == ["author", "author", "author", "", ""]  # type: ignore[union-attr]


def test_an_end_of_an_epoch_that_was_forgotten_is_repeated() -> None:
    past = Past()
    past.say(message(1))
    past.end_epoch()
    past.say(message(2))
    past.commit()
    for forgetful in past.earlier[1:3]:
        verdict, head = past.verdict_on(forgetful)
        assert verdict is not CommitVerdict.COMMITTED
        assert head is not None
        repair = past.room.repair_from(head)
        assert repair is not None
        carry_out(repair, forgetful, past.term)
        assert past.everything_in(forgetful) == past.everything_in(past.journal)
    before_the_message = load(past.earlier[0])
    assert before_the_message is None
    empty = room_of(NAME, None, "store").head
    assert past.room.repair_from(empty) is None, "the end of the old log is nowhere any more"


@pytest.mark.parametrize("change", ["content", "longer", "epoch", "same"])
def test_what_is_no_end_of_this_log_is_not_built_on(change: str) -> None:
    past = Past()
    for number in range(3):
        past.say(message(number))
        past.commit()
    good = load(past.earlier[2]).head  # type: ignore[union-attr]
    assert past.room.repair_from(good) is not None
    bad = {
        "content": replace(good, chain=bytes(16)),
        "longer": replace(good, offset=4),
        "epoch": replace(good, epoch=epoch_of(bytes(8))),
        "same": past.room.head,
    }[change]
    assert past.room.repair_from(bad) is None


def test_a_tail_reaches_so_far_back_and_no_further() -> None:
    past = Past()
    heads = []
    for number in range(ROOM_TAIL_EVENTS_MAX + 2):
        heads.append(past.room.decided)
        past.say(message(number))
    past.commit()
    assert past.room.repair_from(heads[1]) is None
    repair = past.room.repair_from(heads[2])
    assert repair is not None
    assert len(repair.events) == ROOM_TAIL_EVENTS_MAX


def test_a_removal_whose_target_left_the_tail_is_known_as_long_as_the_room_is_not_loaded_again() -> None:
    past = Past()
    past.say(message(0, "secret"))
    past.say(edit(1, 1, "secret too"))
    past.commit()
    past.say(delete(2, 1))
    past.commit()
    for number in range(3, ROOM_TAIL_EVENTS_MAX + 2):
        past.say(message(number))
    past.commit()
    head = load(past.earlier[1]).head  # type: ignore[union-attr]
    repair = past.room.repair_from(head)
    assert repair is not None
    assert [erasure.offset for erasure in repair.events[0].erasures] == [1, 2]
    again = room_of(NAME, load(past.journal), "store")
    assert again.repair_from(head) is None, "which edits went along, nobody knows any more"


def test_an_entry_that_is_not_what_its_digest_says_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    past = Past()
    past.say(message(1, "one way"))
    past.commit()
    start = Head(past.room.head.epoch, 0, CHAIN_START, 0)
    assert past.room.repair_from(start) is not None
    monkeypatch.setattr("broker.event_frame.pack_body", lambda body: b"packed in another way")
    assert past.room.repair_from(start) is None


def test_a_long_repair_is_written_in_bounded_writes() -> None:
    past = Past()
    for number in range(60):
        past.say(message(number, "x" * TEXT_BYTES_MAX))
    past.commit()
    start = Head(past.room.head.epoch, 0, CHAIN_START, 0)
    repair = past.room.repair_from(start)
    assert repair is not None
    assert repair.take_write(NAME, SLOT, past.term).size() < COMMIT_ROOM_BYTES_MAX + 2 * TEXT_BYTES_MAX
    assert carry_out(repair, past.earlier[0], past.term) > 5
    assert past.everything_in(past.earlier[0]) == past.everything_in(past.journal)


def test_ids_of_what_is_pending_are_not_written_with_a_repair() -> None:
    past = Past()
    past.say(message(1))
    past.commit()
    past.say(message(2))
    assert isinstance(past.room.handle(message(3), NOW_MS, bytes(16)), Decided)
    past.room.end_epoch(Epoch("next"), FORGOTTEN, NOW_MS, bytes(16))
    past.say(message(4))
    repair = past.room.repair_from(Head(past.room.head.epoch, 0, CHAIN_START, 0))
    assert repair is not None
    assert [row.id for row in repair.take_write(NAME, SLOT, past.term).ids] == ["m1"]
