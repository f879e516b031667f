"""The shipped scenarios: each can be loaded, has a load that makes sense, and runs before a real gateway."""

import ast
from pathlib import Path

import pytest
import trio

from loadtest.figures.messages import VIOLATIONS
from loadtest.people.scenario import load_scenario, shipped
from loadtest.people.shapes import Load, LoadTestShape
from loadtest.workers.dispatch import Dispatch
from tests.support.loadtest_worker_play import worker_play
from tests.support.parvis_program import parvis_up
from wire.text import clean_text

USERS = 24


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


async def _run(name: str, urls: list[str]) -> None:
    """The calm, the wall and what follows, a second of each, with a few people."""
    scenario = load_scenario(name)
    shape = scenario.make_shape(users=USERS, options=scenario.option_values({}))
    assert shape.run_time_s is not None
    async with worker_play(name, urls, run=name.replace("_", "")) as play:
        connected = 0
        for part in (0.1, 0.5, 0.6):
            load = shape.load_at(part * shape.run_time_s, 0)
            assert load is not None
            play.want(load.users, load.arrivals_per_s)
            await play.until(lambda _, beat, users=load.users: beat.connected == users == sum(beat.users.values()))
            connected = max(connected, load.users)
            await trio.sleep(1)
        await play.until(lambda play, _: play.counts["acked"] > 0 and play.counts["deliveries"] > 0)
        await play.end()
    assert play.counts["connects"] == play.rows["connect"] == connected, name
    assert play.counts["acked"] == play.counts["publishes"], name
    assert set(play.rows) >= {"connect", "publish", "deliver (small)"}, name
    assert play.raised == [], name
    assert play.findings == [], name
    assert not [kind for kind in VIOLATIONS if play.counts[kind]], name


async def test_each_of_them_runs_before_a_real_gateway(tmp_path: Path) -> None:
    async with parvis_up(tmp_path / "data") as up:
        for name in shipped():
            await _run(name, up.websocket_urls)
