"""The shipped scenarios: each can be loaded, and has a load that makes sense."""

import ast

import pytest

from loadtest.dispatch import Dispatch
from loadtest.scenario import load_scenario, shipped
from loadtest.shapes import Load, LoadTestShape
from wire.text import clean_text


def test_those_of_the_evening_are_shipped() -> None:
    evening = ["blog_windows", "debate_opens", "election_night", "qna_twelve_rooms", "reconnect_storm", "soak"]
    assert shipped() == evening


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_scenario_is_short_and_says_what_it_is(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.description.endswith(".")
    assert len(scenario.path.read_text().splitlines()) <= 85
    assert scenario.shape is not None, "it runs without any flag"


@pytest.mark.parametrize("name", shipped())
def test_what_people_say_in_it_is_what_the_service_takes(name: str) -> None:
    lists = [
        node.value
        for node in ast.parse(load_scenario(name).path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()
    ]
    texts = [each.value for node in lists if isinstance(node, ast.List) for each in node.elts if isinstance(each, ast.Constant)]
    assert texts
    assert all(clean_text(str(text)) == text for text in texts)


def _loads(shape: LoadTestShape) -> list[Load]:
    loads = []
    assert shape.run_time_s is not None
    while (load := shape.load_at(len(loads) * shape.run_time_s / 200, 0)) is not None:
        loads.append(load)
        assert len(loads) <= 200, "it ends when its time is over"
    return loads


@pytest.mark.parametrize("name", shipped())
@pytest.mark.parametrize("users", [None, 50])
def test_its_shape_asks_for_as_many_as_the_command_says_and_ends_in_time(name: str, users: int | None) -> None:
    scenario = load_scenario(name)
    shape = scenario.make_shape(users=users, options=scenario.option_values({}))
    loads = _loads(shape)
    assert len(loads) == 200
    most = max(load.users for load in loads)
    assert shape.users <= most <= 1.25 * shape.users
    names = {each.__name__ for each in scenario.classes}
    dispatch = Dispatch(scenario.choose().kinds())
    for load in loads:
        if isinstance(load.arrivals_per_s, dict):
            assert {each.__name__ for each in load.arrivals_per_s} <= names
        dispatch.goals(load, [0, 1], 0)
        assert sum(dispatch.users().values()) == load.users
