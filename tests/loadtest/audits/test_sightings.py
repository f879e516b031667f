"""What the auditors of one process have read, put together."""

import msgspec

from loadtest.audits.places import REMOVED, id_hash
from loadtest.audits.sightings import PLACES_KEPT_MAX, Sightings
from loadtest.figures.messages import Placed
from loadtest.figures.tally import Tally
from wire.client_messages import Event

ROOM = "town/square"


def _event(offset: int, text: str = "hello") -> Event:
    return Event(ROOM, offset, 1000, "message", "g-ada", "Ada", f"lt-k7-0-{offset}", text)


def test_a_place_is_told_once_however_many_read_it() -> None:
    sightings = Sightings("k7", Tally())
    for client in ("auditor-1", "auditor-2"):
        sightings.see(_event(1), "e1", client)
        sightings.see(msgspec.structs.replace(_event(2), id="b-7"), "e1", client)
    assert sightings.take() == [Placed(ROOM, "e1", [1, id_hash("lt-k7-0-1")])]
    sightings.see(_event(1), "e1", "auditor-3")
    assert sightings.take() == []


def test_one_place_that_differs_between_readers_is_altered() -> None:
    tally = Tally()
    sightings = Sightings("k7", tally)
    sightings.see(_event(1), "e1", "auditor-1")
    sightings.see(_event(1, "hullo"), "e1", "auditor-2")
    # The same offset of another log is another place.
    sightings.see(_event(1, "hullo"), "e2", "auditor-2")
    (finding,) = tally.take()[2]
    assert (finding.kind, finding.room, finding.offset, finding.client) == ("altered", ROOM, 1, "auditor-2")


def test_a_tombstone_differs_from_nothing_and_is_told_as_one() -> None:
    tally = Tally()
    sightings = Sightings("k7", tally)
    gone = Event(ROOM, 1, 1000, "message", removed="author")
    for event in (_event(1), gone, _event(1, "late copy")):
        sightings.see(event, "e1", "auditor-1")
    sightings.see(msgspec.structs.replace(gone, offset=2), "e1", "auditor-1")
    assert tally.take()[2] == []
    assert sightings.take() == [Placed(ROOM, "e1", [1, id_hash("lt-k7-0-1"), 2, REMOVED])]


def test_what_is_kept_is_bounded() -> None:
    tally = Tally()
    sightings = Sightings("k7", tally)
    for offset in range(1, PLACES_KEPT_MAX + 2):
        sightings.see(_event(offset), "e1", "auditor-1")
    # The first one is forgotten and the second is not.
    sightings.see(_event(1, "hullo"), "e1", "auditor-2")
    sightings.see(_event(3, "hullo"), "e1", "auditor-2")
    assert [finding.offset for finding in tally.take()[2]] == [3]


def test_where_an_auditor_was_is_told() -> None:
    sightings = Sightings("k7", Tally())
    sightings.watched(ROOM, "e1", 4, 9)
    assert sightings.take() == [Placed(ROOM, "e1", [], [4, 9])]
