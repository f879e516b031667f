"""`--list` and `--show-task-ratio`."""

from pathlib import Path

import pytest

from loadtest.people.scenario import Scenario, load_scenario
from parvis.loadtest.listing import classes_of, options_of, task_ratios

SCENARIO = '''
from loadtest import Option, Reader, TaskSet, User, tag, task

options = {"wall": Option(10.0, "messages a second at 20:00"), "loud": Option(False)}


class Listener(Reader):
    rooms = ["square/main"]
    weight = 3


class Host(User):
    rooms = ["square/main"]
    fixed_count = 2

    @task
    async def greet(self):
        pass


class Speaker(User):
    rooms = ["square/main"]

    @task(3)
    async def talk(self):
        pass

    @task
    class Quarrel(TaskSet):
        @task
        async def shout(self):
            pass

        @tag("rare")
        @task
        async def leave(self):
            pass
'''


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    (tmp_path / "square.py").write_text(SCENARIO)
    return load_scenario(str(tmp_path / "square.py"))


def test_a_line_for_each_class(scenario: Scenario) -> None:
    assert [line.split() for line in classes_of(scenario)] == [
        ["Host", "user,", "2", "of", "them"],
        ["Listener", "reader,", "weight", "3"],
        ["Speaker", "user,", "weight", "1"],
    ]


def test_a_line_for_each_option_as_it_is_set(scenario: Scenario) -> None:
    assert options_of(scenario) == ["-o wall=10.0         messages a second at 20:00", "-o loud=False"]


def test_ratios_of_users_and_of_what_they_do(scenario: Scenario) -> None:
    assert [line.split() for line in task_ratios(scenario.choose())] == [
        ["2", "users", "Host"], ["100.0%", "greet"], ["75.0%", "Listener"], ["25.0%", "Speaker"],
        ["75.0%", "talk"], ["25.0%", "Quarrel"], ["12.5%", "shout"], ["12.5%", "leave"],
    ]  # fmt: skip


def test_ratios_are_of_what_the_tags_leave(scenario: Scenario) -> None:
    ratios = task_ratios(scenario.choose(exclude_tags=["rare"]))
    assert [line.split() for line in ratios][-1] == ["25.0%", "shout"]
