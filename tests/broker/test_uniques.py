"""People of the last minutes: merged from gateways, counted again in time, told when it is more than noise."""

from broker.uniques import Uniques
from wire.limits import SEEN_ESTIMATE_INTERVAL_S
from wire.sketch import Sketch, cell_of, pack_entries


def seen(first: int, last: int) -> bytes:
    sketch = Sketch()
    for number in range(first, last):
        sketch.see(*cell_of("town/square", f"g-{number}"), 0)
    return pack_entries(sketch.entries(), 0)


def test_two_gateways_that_saw_the_same_people_saw_them_once() -> None:
    uniques = Uniques()
    assert uniques.hear(seen(0, 12), 0.0)
    assert uniques.hear(seen(8, 20), 0.0)
    assert not uniques.hear(seen(8, 20), 0.0)
    assert uniques.estimate(0.0)
    assert (uniques.last_5m, uniques.last_60m) == (20, 20)
    assert 0 < len(uniques) <= 20


def test_who_has_gone_leaves_the_short_window_first_and_the_long_one_after_an_hour() -> None:
    uniques = Uniques()
    uniques.hear(seen(0, 10), 0.0)
    uniques.hear(seen(10, 14), 600.0)
    assert uniques.estimate(600.0)
    assert (uniques.last_5m, uniques.last_60m) == (4, 14)
    assert uniques.estimate(3700.0)
    assert (uniques.last_5m, uniques.last_60m) == (0, 4)
    assert uniques.estimate(4300.0)
    assert (uniques.last_5m, uniques.last_60m, len(uniques)) == (0, 0, 0)


def test_a_change_below_a_per_cent_is_nobodys_news() -> None:
    uniques = Uniques()
    uniques.hear(seen(0, 1000), 0.0)
    assert uniques.estimate(0.0)
    told = uniques.last_5m
    uniques.hear(seen(1000, 1001), 0.0)
    assert not uniques.estimate(10.0)
    assert uniques.last_5m == told


def test_a_room_is_counted_again_no_sooner_than_its_interval() -> None:
    uniques = Uniques()
    assert uniques.is_due(0.0)
    uniques.estimate(0.0)
    assert not uniques.is_due(SEEN_ESTIMATE_INTERVAL_S - 0.1)
    assert uniques.is_due(SEEN_ESTIMATE_INTERVAL_S)
