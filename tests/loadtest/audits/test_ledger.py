"""What was acknowledged against what auditors read, over all workers."""

import pytest

from loadtest.audits import ledger as ledger_module
from loadtest.audits.ledger import Ledger
from loadtest.audits.places import REMOVED, id_hash
from loadtest.figures.messages import Finding, Placed

ROOM = "town/square"


def _placed(*pairs: tuple[int, str], watched: tuple[int, ...] = (), room: str = ROOM, epoch: str = "e1") -> Placed:
    return Placed(
        room, epoch, [part for offset, name in pairs for part in (offset, id_hash(name) if name else REMOVED)], list(watched)
    )


def _told(findings: list[Finding]) -> list[tuple[str, str, int]]:
    return [(each.kind, each.room, each.offset) for each in findings]


def test_what_was_acknowledged_and_seen_is_clean_in_either_order() -> None:
    ledger = Ledger()
    ledger.acked(_placed((1, "a"), (2, "b")))
    ledger.seen(_placed((1, "a"), (2, "b"), (3, "c")))
    ledger.acked(_placed((3, "c"), (4, "d")))
    ledger.seen(_placed((1, "a"), (4, "d"), watched=(1, 4)))
    assert ledger.close() == []
    assert ledger.unjudged == 0


def test_what_was_acknowledged_and_nobody_saw_is_lost_where_somebody_was() -> None:
    ledger = Ledger()
    ledger.acked(_placed((1, "a"), (2, "b"), (3, "c")))
    ledger.seen(_placed((1, "a"), watched=(1, 2)))
    (finding,) = ledger.close()
    assert (finding.kind, finding.room, finding.offset, finding.count) == ("lost", ROOM, 2, 1)
    # Nobody was there for the third one.
    assert ledger.unjudged == 1


def test_a_log_that_ended_with_acknowledged_messages_has_lost_them() -> None:
    ledger = Ledger()
    ledger.acked(_placed((7, "a"), (8, "b")))
    ledger.seen(_placed((7, "a"), watched=(1, 2**53 - 1)))
    ledger.seen(_placed((8, "z"), epoch="e2"))
    assert _told(ledger.close()) == [("lost", ROOM, 8)]


@pytest.mark.parametrize("acked_first", [True, False])
def test_another_message_at_an_acknowledged_place_is_a_loss_told_once(acked_first: bool) -> None:
    ledger = Ledger()
    if acked_first:
        ledger.acked(_placed((1, "a")))
    ledger.seen(_placed((1, "b"), watched=(1, 1)))
    ledger.seen(_placed((1, "b")))
    if not acked_first:
        ledger.acked(_placed((1, "a")))
    assert _told(ledger.take_findings()) == [("lost", ROOM, 1)]
    assert ledger.take_findings() == []
    assert ledger.close() == []


def test_one_message_at_two_places_is_duplicated() -> None:
    ledger = Ledger()
    ledger.acked(_placed((1, "a")))
    ledger.seen(_placed((1, "a"), (5, "a")))
    assert _told(ledger.take_findings()) == [("duplicated", ROOM, 5)]


def test_two_messages_acknowledged_for_one_place_are_found() -> None:
    ledger = Ledger()
    ledger.acked(_placed((1, "a")))
    ledger.acked(_placed((1, "b")))
    assert _told(ledger.take_findings()) == [("duplicated", ROOM, 1)]


def test_readers_of_two_workers_who_see_different_messages_are_found() -> None:
    ledger = Ledger()
    ledger.seen(_placed((1, "a")))
    ledger.seen(_placed((1, "b")))
    assert _told(ledger.take_findings()) == [("altered", ROOM, 1)]


def test_the_same_place_of_another_room_or_epoch_is_another_place() -> None:
    ledger = Ledger()
    ledger.seen(_placed((1, "a")))
    ledger.seen(_placed((1, "b"), epoch="e2"))
    ledger.seen(_placed((1, "b"), room="town/hall"))
    assert ledger.take_findings() == []


def test_a_tombstone_is_a_sight() -> None:
    ledger = Ledger()
    ledger.acked(_placed((1, "a"), (2, "b")))
    ledger.seen(_placed((1, ""), (2, "b"), watched=(1, 2)))
    ledger.seen(_placed((2, "")))
    assert ledger.close() == []


def test_heads_are_the_highest_acknowledged_of_the_newest_epoch() -> None:
    ledger = Ledger()
    ledger.acked(_placed((5, "a"), (4, "b")))
    ledger.acked(_placed((9, "c"), room="town/hall"))
    assert ledger.heads() == {ROOM: ("e1", 5), "town/hall": ("e1", 9)}
    ledger.acked(_placed((2, "d"), epoch="e2"))
    # A late word of the old epoch changes nothing.
    ledger.acked(_placed((6, "e")))
    assert ledger.heads()[ROOM] == ("e2", 2)


def test_what_is_kept_is_bounded_and_what_was_forgotten_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "PLACES_MAX", 3)
    ledger = Ledger()
    ledger.acked(_placed((1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")))
    ledger.seen(_placed((3, "c"), (4, "d"), (5, "e"), watched=(1, 5)))
    assert ledger.unjudged == 2
    assert ledger.close() == []
    assert ledger.unjudged == 2


def test_a_flood_of_findings_keeps_no_more_of_them_in_mind_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "TOLD_MAX", 1)
    ledger = Ledger()
    for _ in range(2):
        for name in ("a", "b"):
            ledger.acked(_placed((1, name), (2, name + "2")))
    kinds = _told(ledger.take_findings())
    assert kinds.count(("duplicated", ROOM, 1)) == 1
    assert kinds.count(("duplicated", ROOM, 2)) == 3


def test_what_is_acknowledged_long_after_it_was_seen_is_not_called_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "PLACES_MAX", 3)
    ledger = Ledger()
    ledger.seen(_placed((1, "a"), (2, "b"), (3, "c"), (4, "d"), watched=(1, 6)))
    ledger.acked(_placed((1, "a"), (6, "f")))
    assert _told(ledger.close()) == [("lost", ROOM, 6)]
    assert ledger.unjudged == 1
