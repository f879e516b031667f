"""Where messages stand, on the way to the master."""

from loadtest.audits.places import REMOVED, Places, id_hash
from loadtest.figures.messages import Placed


def test_places_are_told_once_by_their_log() -> None:
    places = Places()
    places.add("town/square", "e1", 1, "lt-x-0-1")
    places.add("town/square", "e2", 1, "lt-x-0-2")
    places.add("town/square", "e1", 2, "")
    places.watched("town/square", "e1", 1, 2)
    places.watched("town/hall", "e9", 5, 7)
    assert places.take() == [
        Placed("town/square", "e1", [1, id_hash("lt-x-0-1"), 2, REMOVED], [1, 2]),
        Placed("town/square", "e2", [1, id_hash("lt-x-0-2")]),
        Placed("town/hall", "e9", [], [5, 7]),
    ]
    assert places.take() == []


def test_a_hash_is_the_same_in_every_process_and_fits_into_63_bits() -> None:
    assert id_hash("lt-x-0-1") == 6662377927726414700
    assert all(0 < id_hash(f"lt-x-0-{number}") < 1 << 63 for number in range(1000))
