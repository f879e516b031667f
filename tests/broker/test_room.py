"""A room by example: what it decides, what it publishes, and when."""

import msgspec
import pytest

from broker.chat import REMOVED_BY_AUTHOR
from broker.epoch import epoch_of
from broker.load_room import room_of
from broker.record import CHAIN_START, Head, chain_after
from broker.room import FORGOTTEN, Room
from broker.verdicts import Decided, Duplicate, PendingEvent, Verdict, Waits
from tests.support.shard_driver import ROOM, delete, edit, message
from wire.client_codec import Form, decode_server_message
from wire.client_messages import Event
from wire.codes import Refusal, ResumeReason
from wire.limits import ROOM_PAST_EPOCHS_MAX, ROOM_PENDING_EVENTS_MAX, ROOM_TAIL_EVENTS_MAX
from wire.names import Epoch, RoomName, Slot, Term
from wire.node_messages import FLAG_REMOVAL, FLAG_SYSTEM, NodeFrame, PublishCommand, author_tag

SALT = bytes(16)


def new_room() -> Room:
    return room_of(RoomName(ROOM), None, "store")


def decide(room: Room, command: PublishCommand, now_ms: int = 1000) -> PendingEvent:
    verdict = room.handle(command, now_ms, SALT)
    assert isinstance(verdict, Decided)
    return verdict.event


def commit(room: Room) -> list[NodeFrame]:
    room.take_write(Slot(1), Term(1))
    return room.publish().frames


def event_of(frame: NodeFrame) -> Event:
    event = decode_server_message(frame.frame, Form.MSGPACK)
    assert isinstance(event, Event)
    return event


def test_a_message_is_public_only_after_its_commit() -> None:
    room = new_room()
    decide(room, message(1, "good evening"))
    assert (room.decided.offset, room.head.offset, len(room.tail)) == (1, 0, 0)
    frames = commit(room)
    assert room.head == room.decided
    assert event_of(frames[0]) == Event(
        room=ROOM, offset=1, at=1000, kind="message", by="ann", name="Ann", id="m1", text="good evening"
    )
    assert (frames[0].flags, frames[0].author_tag) == (0, author_tag("ann"))


def test_the_chain_of_the_head_covers_every_entry() -> None:
    room = new_room()
    events = [decide(room, message(n)) for n in range(3)]
    chain = CHAIN_START
    for event in events:
        entry = event.entry
        chain = chain_after(chain, room.head.epoch, entry.offset, entry.at, entry.kind, entry.digest)
    assert room.decided.chain == chain


def test_time_never_goes_back_within_a_room() -> None:
    room = new_room()
    assert [decide(room, message(n), now).entry.at for n, now in enumerate([5000, 4000, 6000])] == [5000, 5000, 6000]


def test_a_retry_waits_for_the_first_one_and_then_gets_its_place() -> None:
    room = new_room()
    event = decide(room, message(1))
    assert room.handle(message(1), 2000, SALT) == Waits(event)
    commit(room)
    assert room.handle(message(1), 3000, SALT) == Duplicate(room.head.epoch, 1, 1000)


def test_an_id_belongs_to_its_author() -> None:
    room = new_room()
    decide(room, message(1, id="same", author="ann"))
    assert decide(room, message(2, id="same", author="bob")).entry.offset == 2


@pytest.mark.parametrize("is_committed", [False, True])
def test_another_body_under_a_used_id_is_refused(is_committed: bool) -> None:
    room = new_room()
    decide(room, message(1, "one", id="same"))
    if is_committed:
        commit(room)
    assert room.handle(message(2, "two", id="same"), 1000, SALT) is Refusal.ID_REUSED


def test_a_kind_that_no_feature_knows_is_refused() -> None:
    command = msgspec.structs.replace(message(1), kind="vote")
    assert new_room().handle(command, 1000, SALT) is Refusal.UNKNOWN_KIND


def test_a_room_with_too_much_pending_is_busy() -> None:
    room = new_room()
    for number in range(ROOM_PENDING_EVENTS_MAX):
        decide(room, message(number))
    assert room.handle(message(ROOM_PENDING_EVENTS_MAX), 1000, SALT) is Refusal.BUSY


def test_a_delete_hides_the_message_and_its_edits_everywhere() -> None:
    room = new_room()
    decide(room, message(1, "secret"))
    decide(room, edit(2, 1, "secret too"))
    commit(room)
    decide(room, delete(3, 1))
    write = room.take_write(Slot(1), Term(1))
    published = room.publish()
    assert [(e.offset, e.reason) for e in write.erasures] == [(1, REMOVED_BY_AUTHOR), (2, REMOVED_BY_AUTHOR)]
    assert [frame.flags for frame in published.frames] == [FLAG_REMOVAL]
    assert event_of(published.frames[0]).target == 1
    assert [(event_of(t).offset, event_of(t).kind, event_of(t).removed) for t in published.hides] == [
        (1, "message", "author"), (2, "edit", "author"),
    ]  # fmt: skip
    assert b"secret" not in b"".join(frame.frame for frame in room.tail.frames_after(0))


def test_what_is_removed_before_anybody_saw_it_never_leaves_the_shard() -> None:
    room = new_room()
    decide(room, message(1, "secret"))
    decide(room, delete(2, 1))
    room.take_write(Slot(1), Term(1))
    published = room.publish()
    assert published.hides == []
    assert [frame.offset for frame in published.frames] == [1, 2]
    assert b"secret" not in b"".join(frame.frame for frame in [*published.frames, *room.tail.frames_after(0)])


def test_only_the_author_may_change_a_message_and_only_while_it_is_there() -> None:
    room = new_room()
    decide(room, message(1))
    commands = [edit(2, 1, author="bob"), delete(3, 1, author="bob"), edit(4, 9)]
    refusals: list[Verdict] = [room.handle(command, 1000, SALT) for command in commands]
    assert refusals == [Refusal.FORBIDDEN, Refusal.FORBIDDEN, Refusal.NO_SUCH_MESSAGE]
    decide(room, delete(5, 1))
    assert room.handle(edit(6, 1), 1000, SALT) is Refusal.NO_SUCH_MESSAGE


def test_a_message_that_has_left_the_tail_is_too_old_to_be_changed() -> None:
    room = new_room()
    for number in range(ROOM_TAIL_EVENTS_MAX + 1):
        decide(room, message(number))
    while room.has_unsubmitted:
        commit(room)
    assert room.handle(edit(5000, 1), 1000, SALT) is Refusal.TOO_OLD
    assert isinstance(room.handle(edit(5001, 2), 1000, SALT), Decided)


def test_a_write_builds_on_what_is_published_and_the_next_one_waits_for_it() -> None:
    room = new_room()
    decide(room, message(1))
    first = room.take_write(Slot(1), Term(7))
    decide(room, message(2))
    with pytest.raises(AssertionError):
        room.take_write(Slot(1), Term(7))
    room.publish()
    second = room.take_write(Slot(1), Term(7))
    assert (first.base.offset, first.head.offset, first.term) == (0, 1, 7)
    assert (second.base, second.head.offset) == (first.head, 2)
    assert [row.id for row in second.ids] == ["m2"]


def test_a_hot_room_leaves_space_in_a_group_for_others() -> None:
    room = new_room()
    for number in range(20):
        decide(room, message(number, "x" * 8000))
    assert len(room.take_write(Slot(1), Term(1), bytes_max=16_000).entries) == 2


def test_an_epoch_ends_with_an_event_that_names_the_old_one() -> None:
    room = new_room()
    decide(room, message(1))
    commit(room)
    old = room.head
    decide(room, message(2))
    room.end_epoch(epoch_of(bytes(8)), FORGOTTEN, 2000, SALT)
    decide(room, message(3))
    assert not room.take_write(Slot(1), Term(1)).new_epoch
    assert not room.publish().new_epoch
    last = room.head
    write = room.take_write(Slot(1), Term(1))
    published = room.publish()
    assert (write.new_epoch, write.base, write.head.offset) == (True, last, 2)
    assert published.new_epoch
    began = event_of(published.frames[0])
    assert (began.kind, began.offset, began.id, began.target, began.text) == ("epoch", 1, old.epoch, 2, FORGOTTEN)
    assert published.frames[0].flags == FLAG_SYSTEM
    assert (room.head.epoch, room.tail.first_offset, len(room.tail)) == (epoch_of(bytes(8)), 1, 2)
    assert room.handle(message(1), 3000, SALT) == Duplicate(old.epoch, 1, 1000)


def test_a_feed_goes_on_where_it_was() -> None:
    room = new_room()
    for number in range(3):
        decide(room, message(number))
    commit(room)
    epoch = room.head.epoch
    here = room.continue_from(epoch, 1, room.chain_at(1)[:8])
    assert here is not None
    assert (here.since, [f.offset for f in here.frames], here.resumed, here.reason) == (1, [2, 3], True, "")
    fresh = room.continue_from("", 0, b"")
    assert fresh is not None
    assert (fresh.since, len(fresh.frames), fresh.resumed, fresh.reason) == (0, 3, False, "")
    room.remember_past([Epoch("older")])
    other = room.continue_from("older", 2, b"")
    assert other is not None
    assert (other.since, other.resumed, other.reason) == (0, False, ResumeReason.EPOCH.value)


def test_a_position_beyond_the_log_or_on_another_branch_cannot_be_continued() -> None:
    room = new_room()
    decide(room, message(1))
    commit(room)
    assert room.continue_from(room.head.epoch, 2, b"") is None
    assert room.continue_from(room.head.epoch, 1, b"another1") is None
    assert room.continue_from("never heard of", 1, b"") is None


def test_epochs_that_are_over_are_remembered_up_to_a_bound() -> None:
    room = new_room()
    first = room.head.epoch
    room.end_epoch(epoch_of(bytes(8)), FORGOTTEN, 2000, SALT)
    assert room.came_from(first)
    room.remember_past([Epoch(f"past-{number}") for number in range(ROOM_PAST_EPOCHS_MAX)])
    assert not room.came_from(first)
    assert room.came_from("past-0")


def test_what_was_not_written_is_taken_back_and_is_the_first_of_the_next_write() -> None:
    room = new_room()
    for number in range(2):
        decide(room, message(number))
    first = room.take_write(Slot(1), Term(1))
    assert room.in_flight_count == 2
    decide(room, message(2))
    room.take_back()
    assert (room.in_flight_count, room.pending_count) == (0, 3)
    again = room.take_write(Slot(1), Term(2))
    assert (again.base, [entry.offset for entry in again.entries]) == (first.base, [1, 2, 3])


def test_a_verification_builds_on_what_is_published_and_adds_nothing() -> None:
    room = new_room()
    decide(room, message(1))
    commit(room)
    decide(room, message(2))
    write = room.verification(Slot(1), Term(1))
    assert (write.base, write.head, list(write.entries)) == (room.head, room.head, [])


@pytest.mark.parametrize(("first_kept", "reason"), [(1, ResumeReason.LIMIT), (500, ResumeReason.TRIMMED)])
def test_a_position_before_the_tail_gets_the_tail_and_a_reason(first_kept: int, reason: ResumeReason) -> None:
    head = Head(epoch_of(bytes(8)), 999, CHAIN_START, 1000)
    room = Room(RoomName(ROOM), head, tail_from=1000, first_kept=first_kept)
    decide(room, message(1))
    commit(room)
    late = room.continue_from(head.epoch, 100, b"")
    assert late is not None
    assert (late.since, len(late.frames), late.resumed, late.reason) == (999, 1, False, reason.value)
