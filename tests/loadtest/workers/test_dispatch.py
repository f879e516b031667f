"""Who is spawned, and where: locust's order, even workers, few moves."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from loadtest.figures.messages import Goal
from loadtest.people.shapes import Load
from loadtest.workers.arrivals import Slots
from loadtest.workers.dispatch import Dispatch, Kind


def _users(goals: dict[int, Goal]) -> dict[int, dict[str, int]]:
    return {worker: goal.users for worker, goal in goals.items()}


def _wanted(dispatch: Dispatch, total: int, classes: list[str] | None = None) -> dict[str, int]:
    dispatch.goals(Load(total, 1, classes=classes), [0], 0)
    return dispatch.users()


def test_users_come_in_locusts_order() -> None:
    dispatch = Dispatch([Kind("B", 1), Kind("A", 5)])
    seen, before = "", Counter[str]()
    for total in range(1, 13):
        now = Counter(_wanted(dispatch, total))
        seen += next(iter(now - before))
        before = now
    assert seen == "AABAAAAABAAA"


def test_fixed_counts_come_first_and_are_all_that_there_is_when_users_are_few() -> None:
    dispatch = Dispatch([Kind("Host", fixed_count=3), Kind("Reader", 9), Kind("Writer", 1)])
    assert _wanted(dispatch, 2) == {"Host": 2}
    assert _wanted(dispatch, 13) == {"Host": 3, "Reader": 9, "Writer": 1}
    assert _wanted(dispatch, 3) == {"Host": 3}


def test_who_came_last_leaves_first() -> None:
    dispatch = Dispatch([Kind("A", 1), Kind("B", 1)])
    grown = [_wanted(dispatch, total) for total in range(1, 20)]
    assert [_wanted(dispatch, total) for total in range(19, 0, -1)] == grown[::-1]


def test_a_shape_that_names_classes_spawns_of_these_and_takes_nobody_away() -> None:
    dispatch = Dispatch([Kind("A"), Kind("B")])
    assert _wanted(dispatch, 10, ["A"]) == {"A": 10}
    assert _wanted(dispatch, 30, ["B", "left out by tags"]) == {"A": 10, "B": 20}
    assert _wanted(dispatch, 40, ["A", "B"]) == {"A": 15, "B": 25}


def test_a_load_may_say_exactly_how_many_of_each_class() -> None:
    dispatch = Dispatch([Kind("A", 5), Kind("B"), Kind("Host", fixed_count=3)])
    dispatch.goals(Load(7, 1, by_class={"A": 1, "B": 6, "left out by tags": 9}), [0], 0)
    assert dispatch.users() == {"A": 1, "B": 6}
    dispatch.goals(Load(2, 1, by_class={"B": 2}), [0, 1], 0)
    assert dispatch.users() == {"B": 2}


def test_only_fixed_counts_are_as_many_as_they_are() -> None:
    assert _wanted(Dispatch([Kind("Host", fixed_count=3)]), 100) == {"Host": 3}


def test_the_one_more_of_a_fixed_count_is_on_the_first_workers() -> None:
    goals = Dispatch([Kind("Asker", 3), Kind("Candidate", fixed_count=12)]).goals(Load(101, 1), range(5), 0)
    assert [goal.users["Candidate"] for goal in goals.values()] == [3, 3, 2, 2, 2]
    assert sum(goal.users["Asker"] for goal in goals.values()) == 89


def test_the_spawn_rate_is_shared_too() -> None:
    goals = Dispatch([Kind("A")]).goals(Load(10, 9), [4, 5, 6], 0)
    assert [goal.spawn_per_s for goal in goals.values()] == [3, 3, 3]


_KINDS = st.lists(st.tuples(st.floats(0.1, 50), st.integers(0, 7)), min_size=1, max_size=4).map(
    lambda each: [Kind(f"Class{n}", weight, fixed) for n, (weight, fixed) in enumerate(each)]
)
_STEPS = st.lists(st.tuples(st.integers(0, 300), st.sets(st.integers(0, 5), min_size=1, max_size=6)), min_size=1, max_size=8)


@given(kinds=_KINDS, steps=_STEPS)
def test_workers_are_even_and_nobody_moves_without_need(kinds: list[Kind], steps: list[tuple[int, set[int]]]) -> None:
    dispatch = Dispatch(kinds)
    before: dict[int, dict[str, int]] = {}
    for total, workers in steps:
        on = _users(dispatch.goals(Load(total, 1), sorted(workers), 0))
        wanted = dispatch.users()
        for name in [kind.name for kind in kinds]:
            counts = [of.get(name, 0) for of in on.values()]
            assert sum(counts) == wanted.get(name, 0)
            assert max(counts) - min(counts) <= 1
            if set(before) == workers:
                changes = [of.get(name, 0) - before[worker].get(name, 0) for worker, of in on.items()]
                assert all(change >= 0 for change in changes) or all(change <= 0 for change in changes), "one left, one came"
            else:
                # On a worker that stays, a user leaves only to make a new one even, and comes only for a lost one.
                kept = [worker for worker in on if worker in before]
                left = sum(max(0, before[w].get(name, 0) - on[w].get(name, 0)) for w in kept)
                gone = sum(before[w].get(name, 0) for w in before) - wanted.get(name, 0)
                came = sum(on[w].get(name, 0) for w in on if w not in before)
                assert left <= max(0, gone) + came
        before = on


def test_workers_share_one_plan_and_those_without_users_have_no_part_in_it() -> None:
    dispatch = Dispatch([Kind("Speaker", fixed_count=2, arrivals_per_s=10.0), Kind("Reader")])
    slots = {worker: Slots() for worker in (0, 1, 2)}
    begun: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for at_s, workers in ((0, [0, 1, 2]), (1, [0, 1, 2]), (2, [2]), (3, [1, 2])):
        slots |= {1: Slots()} if at_s == 3 else {}  # another one that joins, and knows of nothing before
        for worker, goal in dispatch.goals(Load(30, 1), workers, at_s * 1_000_000).items():
            slots[worker].follow(goal.arrivals["Speaker"])
        for worker in slots if at_s < 2 else workers:
            begun[worker] += slots[worker].take((at_s + 1) * 1_000_000 - 1)
    assert sorted(moment for moments in begun.values() for moment in moments) == [n * 100_000 for n in range(1, 40)]
    assert min(begun[2]) >= 2_000_000, "two speakers are on the first two workers"
    assert dispatch.slots_due_by(4_000_000) == 39


def test_arrivals_are_the_classes_own_unless_the_load_says_otherwise() -> None:
    dispatch = Dispatch([Kind("Asks", arrivals_per_s=1.0), Kind("Tells", arrivals_per_s=3.0), Kind("Reads")])

    def rates(load: Load) -> dict[str, float]:
        return {name: stretch.per_s for name, stretch in dispatch.goals(load, [0], 0)[0].arrivals.items()}

    assert rates(Load(9, 1)) == {"Asks": 1.0, "Tells": 3.0}
    assert rates(Load(9, 1, arrivals_per_s={"Tells": 7.0, "Reads": 2.0})) == {"Asks": 1.0, "Tells": 7.0}
    assert rates(Load(9, 1, arrivals_per_s=40.0)) == {"Asks": 10.0, "Tells": 30.0}


def test_without_workers_nobody_is_told_anything_and_the_users_are_found_again() -> None:
    dispatch = Dispatch([Kind("A", arrivals_per_s=1.0)])
    dispatch.goals(Load(5, 1), [0], 0)
    assert dispatch.goals(Load(5, 1), [], 0) == {}
    assert _users(dispatch.goals(Load(5, 1), [3], 0)) == {3: {"A": 5}}
