"""A load that somebody else decides."""

from loadtest.locust.dictated import STEP_S, Dictated
from loadtest.workers.dispatch import Kind

KINDS = [Kind("Citizen", 9), Kind("Reporter", 1, arrivals_per_s=20.0)]


def test_it_repeats_what_it_was_told_last() -> None:
    shape = Dictated(KINDS)
    assert shape.tick().users == 0
    shape.want({"Citizen": 9, "Reporter": 1})
    load = shape.load_at(3.0, 0)
    assert load is not None
    assert (load.users, load.by_class) == (10, {"Citizen": 9, "Reporter": 1})
    assert shape.tick() == load


def test_a_step_is_spread_over_most_of_its_second() -> None:
    shape = Dictated(KINDS)
    shape.want({"Citizen": 100})
    assert shape.tick().spawn_rate == 100 / STEP_S
    shape.want({"Citizen": 90, "Reporter": 10})
    assert shape.tick().spawn_rate == 20 / STEP_S
    shape.want({"Citizen": 90, "Reporter": 10})
    assert shape.tick().spawn_rate == 20 / STEP_S


def test_arrivals_are_shared_by_all_runs() -> None:
    shape = Dictated(KINDS)
    assert shape.tick().arrivals_per_s == {"Reporter": 20.0}
    shape.runs = 4
    assert shape.tick().arrivals_per_s == {"Reporter": 5.0}
