"""The checker finds what it is there for: each planted bug is named, and nothing else is."""

import pytest

from client.updates import Connected, Reconnecting
from tests.support.history import Kept, Witness, violations
from wire.client_messages import Ack, Event, Joined, Refused, Reset, Skipped, Unknown

ROOM = "town/square"
LOG = [Kept("e", offset, f"m{offset}") for offset in range(1, 7)]


def event(offset: int, message_id: str = "") -> Event:
    return Event(ROOM, offset, 0, "message", id=message_id or f"m{offset}")


def joined(since: int, *, recovered: bool = False, epoch: str = "e") -> Joined:
    return Joined(1, ROOM, epoch, 6, since, asked=recovered, recovered=recovered)


def witness(*updates: object) -> Witness:
    it = Witness("w", ROOM)
    for update in updates:
        it.saw(update)  # type: ignore[arg-type]
    return it


def test_a_whole_history_with_a_resume_a_skip_and_a_reset_is_clean() -> None:
    it = witness(
        joined(0), event(1), event(2), joined(2, recovered=True), event(3), Skipped(ROOM, 4, 5), event(6),
        Reset(ROOM, "f", 0), event(1, "n1"),
    )  # fmt: skip
    it.published("m3", Ack(1, ROOM, "m3", "e", 3, 0))
    it.published("gone", Unknown(2, ROOM, "gone"))
    it.published("no", Refused(3, "busy", ""))
    assert violations([it], [*LOG, Kept("f", 1, "n1")]) == []


def test_who_starts_over_in_a_log_it_knows_may_go_on_where_it_was_or_be_given_it_again() -> None:
    went_on = witness(joined(0), event(1), event(2), joined(0), event(3))
    again = witness(joined(0), event(1), event(2), joined(0), event(1), event(2), event(3))
    assert violations([went_on, again], LOG) == []


@pytest.mark.parametrize(
    ("updates", "word"),
    [
        ((joined(0), event(1), event(3)), "unannounced gap"),
        ((joined(0), event(1), event(1)), "again"),
        ((joined(0), event(1), joined(0), event(3)), "unannounced gap"),
        ((joined(0), event(2), event(1)), "again, or out of order"),
        ((joined(0), event(1, "other")), "two writers"),
        ((joined(0), event(1), joined(3, recovered=True)), "claims to continue"),
        ((joined(6), event(7)), "does not have"),
    ],
)
def test_a_broken_history_is_named(updates: tuple[object, ...], word: str) -> None:
    found = violations([witness(*updates)], LOG)
    assert any(word in line for line in found), found


def test_a_lost_a_doubled_and_a_refused_message_are_named() -> None:
    it = witness(joined(0))
    it.published("gone", Ack(1, ROOM, "gone", "e", 9, 0))
    it.published("m2", Refused(2, "busy", ""))
    found = violations([it], [*LOG, Kept("e", 7, "m1")])
    assert any("lost: gone" in line for line in found)
    assert any("m2 was refused" in line for line in found)
    assert any("duplicate: m1" in line for line in found)


def test_a_log_with_a_hole_is_named() -> None:
    assert any("jumps" in line for line in violations([], [Kept("e", 1, "a"), Kept("e", 3, "b")]))


def test_what_was_forgotten_may_be_gone_or_another_for_those_who_were_told_and_for_nobody_else() -> None:
    log = [*LOG[:3], Kept("e", 4, "other"), Kept("f", 1, "n1")]
    told = witness(joined(0), *(event(offset) for offset in range(1, 6)))
    told.published("m5", Ack(1, ROOM, "m5", "e", 5, 0))
    told.saw(Reset(ROOM, "f", 0))
    told.saw(event(1, "n1"))
    forgotten = {("e", 4), ("e", 5)}
    assert violations([told], log, forgotten) == []
    assert len(violations([told], log)) == 3
    untold = witness(joined(0), *(event(offset) for offset in range(1, 6)))
    untold.published("m5", Ack(1, ROOM, "m5", "e", 5, 0))
    found = violations([untold], log, forgotten)
    assert [line for line in found if "was not told" in line] != []
    assert any("lost: m5" in line for line in found)


def test_who_came_back_over_another_connection_may_have_been_the_only_one_who_knew() -> None:
    it = witness(joined(0), *(event(offset) for offset in range(1, 6)), Reconnecting(0.1, 1006, ""), joined(5, recovered=True))
    log = [*LOG[:4], Kept("e", 5, "other")]
    assert violations([it], log, {("e", 5)}) == []
    assert violations([it], log) != []


def test_a_removed_message_must_stay_removed() -> None:
    it = witness(joined(0), event(1), event(2))
    said, gone = Ack(1, ROOM, "m2", "e", 2, 0), Ack(2, ROOM, "m2-gone", "e", 3, 0)
    it.published("m2", said)
    it.removals.append((said, gone))
    removed = [LOG[0], Kept("e", 2, "", removed=True), Kept("e", 3, "m2-gone")]
    assert violations([it], removed) == []
    assert any("back to life: m2" in line for line in violations([it], LOG))
    assert violations([it], LOG, {("e", 3)}) == [], "the removal itself is forgotten"


def test_who_saw_a_removal_that_is_forgotten_had_a_tombstone_where_the_log_has_a_text() -> None:
    # Found by the simulation (seed 3081): it was taken for two writers of one place.
    tombstone = Event(ROOM, 2, 0, "message", removed="author")
    told = witness(joined(0), event(1), tombstone, event(3, "m2-gone"))
    told.saw(Reset(ROOM, "f", 0))
    log = [LOG[0], LOG[1], Kept("e", 3, "other"), Kept("f", 1, "n1")]
    assert violations([told], log, {("e", 3)}) == []
    untold = witness(joined(0), event(1), tombstone, event(3, "m2-gone"))
    assert len([line for line in violations([untold], log, {("e", 3)}) if "was not told" in line]) == 2
    assert any("two writers" in line for line in violations([told], log)), "a tombstone without any removal is nobody's"


@pytest.mark.parametrize(("said_after", "found"), [(2, 0), (4, 1)])
def test_what_the_gateway_that_was_left_acknowledged_may_be_known_to_nobody_where_the_client_reads(
    said_after: int, found: int
) -> None:
    # Found by the simulation (seed 3075): store, shard and the gateway that drained had all forgotten it.
    it = witness(joined(0), event(1), event(2), Connected("gateway-1", "a", "Ada", moved=True), joined(2, recovered=True))
    it.published("m3", Ack(1, ROOM, "m3", "e", 3, 0), said_after)
    log = [*LOG[:2], Kept("e", 3, "other")]
    it.saw(event(3, "other"))
    assert len(violations([it], log, {("e", 3)})) == found
    assert any("lost: m3" in line for line in violations([it], log)), "what somebody alive knew must be there"
