"""The locustfile for a stock locust master, as locust itself reads it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.locust.locustfile import locustfile
from loadtest.people.scenario import Scenario, load_scenario

SCENARIO = '''
"""An evening."""
from loadtest import Reader, SequentialTaskSet, User, between, per_second, tag, task

class Citizen(User):
    weight = 3
    rooms = ["square/main"]
    wait_time = between(1, 2)

    @task(4)
    async def talk(self): ...

    @tag("writes", "slow")
    @task
    class Story(SequentialTaskSet):
        @task
        async def begin(self): ...

class Host(User):
    fixed_count = 2
    host = "ws://127.0.0.1:7"
    arrivals = per_second(5)

    @task
    async def speak(self): ...

class Lurker(Reader):
    weight = 0.5
    rooms = ["square/main"]
'''


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    (tmp_path / "evening.py").write_text(SCENARIO)
    return load_scenario(str(tmp_path / "evening.py"))


def test_a_real_locust_reads_the_same_classes_weights_tasks_and_tags(scenario: Scenario, tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text(locustfile(scenario, ["ws://127.0.0.1:8001"]))
    ask = """
import json
from locust.util.load_locustfile import load_locustfile
classes = load_locustfile("locustfile.py")[0]
print(json.dumps({name: [each.weight, each.fixed_count, each.host,
    [[task.__name__, sorted(getattr(task, "locust_tag_set", []))] for task in each.tasks]] for name, each in classes.items()}))
"""
    # A process of its own: locust replaces the standard library's sockets when it is imported.
    answer = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert json.loads(answer.stdout) == {
        "Citizen": [3, 0, "ws://127.0.0.1:8001", [["talk", []]] * 4 + [["Story", ["slow", "writes"]]]],
        "Host": [1, 2, "ws://127.0.0.1:7", [["speak", []]]],
        "Lurker": [0.5, 0, "ws://127.0.0.1:8001", [["read", []]]],
    }


def test_it_says_how_to_use_it(scenario: Scenario) -> None:
    said = ast.get_docstring(ast.parse(locustfile(scenario)))
    assert said is not None
    assert "locust -f this_file.py --master" in said
    assert "parvis loadtest -f evening --worker --locust" in said


def test_its_host_is_the_masters_unless_that_has_one(scenario: Scenario) -> None:
    assert "\nHOST = None\n" in locustfile(scenario)
    assert "\nHOST = 'ws://127.0.0.1:8001'\n" in locustfile(scenario, ["ws://127.0.0.1:8001", "ws://127.0.0.1:8002"])
