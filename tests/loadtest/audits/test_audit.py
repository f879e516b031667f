"""What an auditor finds in what one client is sent: each fault by name, room and offset, and nothing where there is none."""

from collections.abc import Sequence

import msgspec
import pytest

from client.effects import ConnectionId
from client.updates import HistoryPage
from loadtest.audits.audit import Audit
from loadtest.audits.sightings import Sightings
from loadtest.audits.stamp import message_id, stamp_text
from loadtest.figures.messages import Placed
from loadtest.figures.tally import Tally
from wire.client_messages import (
    INTEGER_MAX,
    AnyServerMessage,
    Count,
    Event,
    Hello,
    Hide,
    Join,
    Joined,
    JoinRequest,
    Left,
    Position,
    Refused,
    Reset,
    Skipped,
    Welcome,
)

ROOM = "town/square"
HALL = "town/hall"
FIRST, SECOND = ConnectionId(1), ConnectionId(2)


def said(offset: int, room: str = ROOM, sequence: int | None = None) -> Event:
    """A message of the run; its moment is its offset in milliseconds."""
    sequence = offset if sequence is None else sequence
    text = stamp_text(f"message {sequence}", room, sequence * 1000, 2, sequence)
    return Event(room, offset, 1_000 + offset, "message", "g-ada", "Ada", message_id("k7", 2, sequence), text)


class Rig:
    """One client's audit, and what it has found."""

    def __init__(self, tally: Tally | None = None, sightings: Sightings | None = None, name: str = "auditor-1") -> None:
        self.tally = tally or Tally()
        self.sightings = sightings or Sightings("k7", self.tally)
        self.audit = Audit(name, "k7", self.tally, self.sightings)

    def hear(self, *messages: AnyServerMessage | HistoryPage, on: ConnectionId = FIRST, at_us: int = 1_000_000) -> None:
        for message in messages:
            self.audit.received(on, message, at_us)

    def enter(
        self, since: int = 0, offset: int = 0, *, asked: Position | None = None, recovered: bool = False, reason: str = "",
        epoch: str = "e1", on: ConnectionId = FIRST, present: int = 5,
    ) -> None:  # fmt: skip
        """A hello with ROOM and its welcome."""
        joined = Joined(0, ROOM, epoch, offset, since, "", asked is not None, recovered, reason, present)
        self.audit.sent(on, Hello(1, joins=[JoinRequest(ROOM, asked)]))
        self.hear(Welcome(1, "gateway-1", "s", "g", "a", "n", 25_000, [joined]), on=on)

    def rejoin(self, since: int, offset: int, *, recovered: bool = True) -> None:
        """The client leaves the room and enters it again at its position, as it does at a gap."""
        self.audit.sent(FIRST, Join(7, ROOM, Position("e1", since)))
        self.hear(Left(6, ROOM), Joined(7, ROOM, "e1", offset, since, "", True, recovered))

    @property
    def found(self) -> list[tuple[str, str, int, int]]:
        return [(each.kind, each.room, each.offset, each.count) for each in self.tally.take()[2]]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def events(*offsets: int) -> Sequence[Event]:
    return [said(offset) for offset in offsets]


# --- nothing to find -------------------------------------------------------------------------------------


def test_history_and_what_follows_is_clean_and_only_what_follows_has_a_latency(rig: Rig) -> None:
    rig.enter(since=3, offset=5)
    rig.hear(*events(4, 5), Count(ROOM, 400), *events(6, 7), at_us=9_000)
    rig.audit.close({ROOM: ("e1", 7)})
    rows, counts, findings = rig.tally.take()
    assert findings == []
    assert (counts["deliveries"], counts["audited"]) == (4, 4)
    assert [(row.name, row.count, row.total_us) for row in rows] == [("deliver (medium)", 2, 3_000 + 2_000)]


def test_an_overlap_of_two_connections_repeats_nothing(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2))
    rig.enter(since=2, offset=3, asked=Position("e1", 2), recovered=True, on=SECOND)
    rig.hear(*events(3, 4))
    rig.hear(*events(3, 4, 5), on=SECOND)
    rig.audit.ended(FIRST)
    rig.hear(*events(6), on=SECOND)
    rig.audit.close({ROOM: ("e1", 6)})
    rows, _, findings = rig.tally.take()
    assert findings == []
    assert [row.count for row in rows] == [6]


def test_what_a_resume_asks_for_is_no_repeat(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2, 3))
    rig.audit.ended(FIRST)
    rig.enter(since=2, offset=4, asked=Position("e1", 2), recovered=True, on=SECOND)
    rig.hear(*events(3, 4, 5), on=SECOND)
    rig.audit.close({ROOM: ("e1", 5)})
    assert rig.found == []


def test_what_the_server_admits_is_counted_apart(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2), Skipped(ROOM, 3, 6), *events(7))
    rig.audit.ended(FIRST)
    rig.enter(since=17, offset=18, asked=Position("e1", 7), reason="limit", on=SECOND)
    rig.hear(*events(18), Reset(ROOM, "e1", 20, "limit"), *events(21), on=SECOND)
    rig.audit.close({ROOM: ("e1", 21)})
    _, counts, findings = rig.tally.take()
    assert findings == []
    assert counts["skipped"] == 4 + 10 + 2
    assert rig.sightings.take()[-1].watched == [1, 2, 7, 7, 18, 18, 21, 21]


def test_the_same_hole_admitted_on_two_connections_is_one(rig: Rig) -> None:
    rig.enter()
    rig.enter(asked=Position("e1", 0), recovered=True, on=SECOND)
    rig.hear(Skipped(ROOM, 1, 3))
    rig.hear(Skipped(ROOM, 1, 3), on=SECOND)
    assert rig.tally.counts["skipped"] == 3


def test_a_tombstone_stands_for_what_was_there_and_a_hide_overtakes(rig: Rig) -> None:
    rig.enter()
    gone = Event(ROOM, 1, 1_001, "message", removed="author")
    delete = Event(ROOM, 2, 1_002, "delete", "g-ada", "Ada", message_id("k7", 2, 90), target=1)
    edit = Event(ROOM, 3, 1_003, "edit", "g-ada", "Ada", message_id("k7", 2, 91), "no stamp", 1)
    rig.hear(Hide(ROOM, 1), *events(1), delete, edit)
    rig.audit.ended(FIRST)
    rig.enter(since=0, offset=3, asked=Position("e1", 0), recovered=True, on=SECOND)
    rig.hear(gone, delete, edit, on=SECOND)
    rig.audit.close({ROOM: ("e1", 3)})
    assert rig.found == []


def test_words_of_strangers_need_no_stamp_and_have_no_latency(rig: Rig) -> None:
    rig.enter()
    other_run = msgspec.structs.replace(said(2), id=message_id("other", 2, 2))
    rig.hear(Event(ROOM, 1, 1_001, "message", "g", "Bob", "b-1", "good evening"), other_run)
    rows, _, findings = rig.tally.take()
    assert (rows, findings) == ([], [])


def test_another_log_is_another_place(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2, 3), Reset(ROOM, "e2", 1, "epoch"), said(2, sequence=77), said(3, sequence=78))
    rig.audit.ended(FIRST)
    rig.enter(since=0, offset=0, asked=Position("e2", 3), reason="epoch", epoch="e3", on=SECOND)
    rig.hear(said(1, sequence=79), on=SECOND)
    # The heads of logs that ended before our eyes are not waited for.
    assert not rig.audit.is_behind({ROOM: ("e1", 99)})
    rig.audit.close({ROOM: ("e2", 99)})
    assert rig.found == []
    watched = {placed.epoch: placed.watched for placed in rig.sightings.take()}
    assert watched == {"e1": [1, INTEGER_MAX], "e2": [2, INTEGER_MAX], "e3": [1, 1]}


def test_who_leaves_and_enters_anew_has_missed_nothing_between(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2), Left(3, ROOM))
    assert not rig.audit.is_behind({ROOM: ("e1", 9)})
    rig.audit.sent(FIRST, Join(8, ROOM))
    rig.hear(Joined(8, ROOM, "e1", 50, 40), *events(*range(41, 52)))
    rig.audit.close({ROOM: ("e1", 51)})
    assert rig.found == []
    assert rig.sightings.take()[-1].watched == [1, 2, 41, 51]


def test_a_page_of_history_is_compared_and_not_counted_as_delivered(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2))
    other = said(2, sequence=5)
    rig.hear(HistoryPage(4, ROOM, "e1", 2, (said(1), other), False))
    assert rig.tally.counts["audited"] == 4
    assert rig.tally.counts["deliveries"] == 2
    assert rig.found == [("altered", ROOM, 2, 1)]


def test_what_comes_after_the_end_is_not_looked_at(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1))
    rig.audit.close({ROOM: ("e1", 1)})
    rig.hear(*events(7), Joined(2, ROOM, "e1", 9, 9))
    rig.audit.close({})
    _, counts, findings = rig.tally.take()
    assert findings == []
    assert counts["audited"] == 1


def test_a_refused_join_is_an_answer(rig: Rig) -> None:
    rig.enter()
    rig.audit.sent(FIRST, Join(8, HALL))
    rig.hear(Refused(8, "busy", "later", True))
    rig.hear(Joined(8, HALL, "e1", 0, 0))
    assert rig.found == [("protocol", HALL, 0, 1)]


# --- each fault ---------------------------------------------------------------------------------------------


def test_a_dropped_event_is_lost_though_the_client_repairs_it(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2, 4))
    rig.rejoin(since=2, offset=4)
    rig.hear(*events(3, 4, 5))
    rig.audit.close({ROOM: ("e1", 5)})
    assert rig.found == [("lost", ROOM, 3, 1)]


def test_a_loss_that_is_not_repaired_is_told_once(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2, 4))
    for _ in range(3):
        rig.rejoin(since=2, offset=4)
        rig.hear(*events(4))
    rig.audit.close({ROOM: ("e1", 4)})
    assert rig.found == [("lost", ROOM, 3, 1)]


def test_an_event_that_comes_twice_is_duplicated(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2, 2, 3))
    assert rig.found == [("duplicated", ROOM, 2, 1)]


def test_two_that_are_swapped_are_reordered_and_not_lost(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 3, 2))
    rig.rejoin(since=1, offset=3)
    rig.hear(*events(2, 3, 4))
    rig.audit.close({ROOM: ("e1", 4)})
    assert rig.found == [("reordered", ROOM, 2, 1)]


@pytest.mark.parametrize(
    "change",
    [
        {"text": said(2).text.replace("message", "massage")},
        {"text": said(2).text[:-1] + "x"},
        {"text": "message 2"},
        {"text": said(9).text},
        {"id": "somebody-else"},
    ],
)
def test_a_changed_text_is_altered(rig: Rig, change: dict[str, str]) -> None:
    rig.enter()
    rig.hear(*events(1), msgspec.structs.replace(said(2), **change), *events(3))
    rig.audit.close({ROOM: ("e1", 3)})
    assert rig.found == [("altered", ROOM, 2, 1)]


def test_readers_of_one_place_who_see_different_things_are_found(rig: Rig) -> None:
    other = Rig(rig.tally, rig.sightings, "auditor-2")
    rig.enter()
    other.enter()
    rig.hear(*events(1))
    other.hear(said(1, sequence=5))
    (finding,) = rig.tally.take()[2]
    assert (finding.kind, finding.offset, finding.client) == ("altered", 1, "auditor-2")
    assert "auditor-1" in finding.detail


def test_an_event_of_a_room_that_was_not_joined_is_in_the_wrong_room(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1), said(2, HALL), *events(2))
    rig.hear(Left(3, ROOM), *events(3))
    assert rig.found == [("wrong_room", HALL, 2, 1), ("wrong_room", ROOM, 3, 1)]


def test_a_message_of_another_room_is_in_the_wrong_room_wherever_it_stands(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1))
    # In a place of this log, which it fills; then out of nowhere, which says nothing of this log.
    strayed = msgspec.structs.replace(said(2, HALL), room=ROOM)
    rig.hear(strayed, *events(3), msgspec.structs.replace(said(9, HALL), room=ROOM), *events(4))
    rig.audit.close({ROOM: ("e1", 4)})
    assert rig.found == [("wrong_room", ROOM, 2, 1), ("wrong_room", ROOM, 9, 1)]


def test_a_hole_in_a_recovered_resume_is_a_resume_gap_and_after_it_a_loss(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2))
    rig.audit.ended(FIRST)
    rig.enter(since=2, offset=6, asked=Position("e1", 2), recovered=True, on=SECOND)
    rig.hear(*events(3, 4, 9), on=SECOND)
    rig.audit.close({ROOM: ("e1", 9)})
    assert rig.found == [("resume_gap", ROOM, 5, 2), ("lost", ROOM, 7, 2)]


def test_a_recovered_resume_that_begins_too_late_is_a_resume_gap(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2))
    rig.audit.ended(FIRST)
    rig.enter(since=5, offset=6, asked=Position("e1", 2), recovered=True, on=SECOND)
    rig.hear(*events(6), on=SECOND)
    assert rig.found == [("resume_gap", ROOM, 3, 3)]


def test_a_recovery_in_another_epoch_is_none(rig: Rig) -> None:
    rig.enter()
    rig.audit.ended(FIRST)
    rig.enter(since=5, offset=5, asked=Position("e1", 0), recovered=True, epoch="e2", on=SECOND)
    assert rig.found == [("protocol", ROOM, 5, 1)]


def test_a_client_that_resumes_from_what_never_came_has_lost_it(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2))
    rig.audit.ended(FIRST)
    rig.enter(since=4, offset=4, asked=Position("e1", 4), recovered=True, on=SECOND)
    assert rig.found == [("lost", ROOM, 3, 2)]


def test_what_does_not_come_up_to_the_head_is_undelivered(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2))
    assert rig.audit.is_behind({ROOM: ("e1", 5)})
    assert not rig.audit.is_behind({HALL: ("e1", 5)})
    rig.audit.close({ROOM: ("e1", 5), HALL: ("e1", 5)})
    assert rig.found == [("undelivered", ROOM, 3, 3)]
    assert rig.sightings.take()[-1].watched == [1, 2]


def test_a_log_that_never_came_is_undelivered(rig: Rig) -> None:
    rig.enter()
    assert rig.audit.is_behind({ROOM: ("e2", 5)})
    rig.audit.close({ROOM: ("e2", 5)})
    assert rig.found == [("undelivered", ROOM, 5, 1)]


def test_a_loss_in_a_log_whose_end_another_connection_has_seen_is_told(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 3))
    rig.enter(since=0, offset=0, asked=Position("e1", 1), reason="epoch", epoch="e2", on=SECOND)
    rig.audit.ended(FIRST)
    assert rig.found == [("lost", ROOM, 2, 1)]


@pytest.mark.parametrize(
    "message",
    [Reset(HALL, "e2", 0), Skipped(HALL, 1, 2), Joined(3, HALL, "e1", 0, 0)],
)
def test_words_about_rooms_that_nobody_asked_for_break_the_protocol(rig: Rig, message: AnyServerMessage) -> None:
    rig.enter()
    rig.hear(message)
    assert [kind for kind, *_ in rig.found] == ["protocol"]


def test_what_comes_though_it_was_announced_as_skipped_breaks_the_protocol(rig: Rig) -> None:
    rig.enter()
    rig.hear(Skipped(ROOM, 1, 3), *events(2, 4))
    assert rig.found == [("protocol", ROOM, 2, 1)]


def test_time_that_goes_back_breaks_the_protocol(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1), msgspec.structs.replace(said(2), at=900))
    assert rig.found == [("protocol", ROOM, 2, 1)]


def test_what_is_no_message_breaks_the_protocol(rig: Rig) -> None:
    rig.audit.broken("frame of 3 bytes is no server message")
    assert rig.found == [("protocol", "", 0, 1)]


# --- what the master is told ---------------------------------------------------------------------------------


def test_what_was_found_missing_is_not_reported_as_watched(rig: Rig) -> None:
    rig.enter()
    rig.hear(*events(1, 2, 4))
    rig.audit.close({ROOM: ("e1", 4)})
    (placed,) = rig.sightings.take()
    assert isinstance(placed, Placed)
    assert placed.watched == [1, 2, 4, 4]
    assert placed.pairs[::2] == [1, 2, 4]
