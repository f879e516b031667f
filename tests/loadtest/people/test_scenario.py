"""Scenarios: what a file may hold, and one plain sentence for each thing that is wrong with it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.people.scenario import SHIPPED, Option, Scenario, ScenarioError, load_scenario, shipped
from loadtest.people.shapes import Load
from loadtest.workers.dispatch import Kind

Write = Callable[[str], Path]

_TALK = """\
'''People who talk.'''
from loadtest import *

options = {"speed": Option(2.5, "how fast"), "loud": Option(False)}

class Citizen(User):
    rooms = ["square/main"]
    weight = 3
    @tag("writes")
    @task
    async def talk(self): ...

class Speaker(User):
    rooms = ["square/main"]
    arrivals = per_second(20)
    fixed_count = 2
    @tag("writes", "stage")
    @task
    async def speak(self): ...

class Passer(Reader):
    rooms = ["square/main"]
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "evening.py"
        path.write_text(text)
        return path

    return write


def _load(path: Path) -> Scenario:
    return load_scenario(str(path))


def test_a_file_becomes_its_classes_options_and_words(write: Write) -> None:
    path = write(_TALK)
    scenario = _load(path)
    assert (scenario.name, scenario.path, scenario.description) == ("evening", path, "People who talk.")
    assert scenario.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [each.__name__ for each in scenario.classes] == ["Citizen", "Passer", "Speaker"]
    assert scenario.shape is None
    assert scenario.choose().kinds() == [Kind("Citizen", 3), Kind("Passer"), Kind("Speaker", 1, 2, 20.0)]


def test_tags_choose_tasks_and_leave_out_who_has_none(write: Write) -> None:
    scenario = _load(write(_TALK))
    assert list(scenario.choose(tags=["stage"]).classes) == ["Passer", "Speaker"]
    assert list(scenario.choose(exclude_tags=["stage"]).classes) == ["Citizen", "Passer"]
    assert list(scenario.choose(["writes"], ["stage"]).classes) == ["Citizen", "Passer"]


def test_an_unknown_tag_is_told_with_those_that_exist(write: Write) -> None:
    scenario = _load(write(_TALK))
    for tags, exclude_tags in ((["reads"], []), ([], ["reads"])):
        with pytest.raises(ScenarioError, match="evening has no tag 'reads'; its tags are stage, writes"):
            scenario.choose(tags, exclude_tags)


def test_a_run_of_which_tags_leave_nobody_is_refused(write: Write) -> None:
    scenario = _load(write(_TALK.partition("class Passer")[0]))
    with pytest.raises(ScenarioError, match="no task of evening is left by these tags"):
        scenario.choose(exclude_tags=["writes"])


def test_options_are_read_as_the_type_of_their_default(write: Write) -> None:
    scenario = _load(write(_TALK))
    assert scenario.option_values({"speed": "7", "loud": "yes"}) == {"speed": 7.0, "loud": True}
    assert scenario.option_values({}) == {"speed": 2.5, "loud": False}
    with pytest.raises(ScenarioError, match="option speed of evening: 'fast' cannot be read as float"):
        scenario.option_values({"speed": "fast"})
    with pytest.raises(ScenarioError, match="option loud of evening: 'maybe' cannot be read as bool"):
        scenario.option_values({"loud": "maybe"})
    with pytest.raises(ScenarioError, match="evening has no option 'sped'; it has loud, speed"):
        scenario.option_values({"sped": "7"})


def test_a_scenario_may_ask_for_faults(write: Write) -> None:
    assert load_scenario(str(write(_TALK))).faults == ()
    scenario = load_scenario(str(write(_TALK + "faults = ['30s kill shard', '10s malformed 5']\n")))
    assert [(fault.at_s, fault.text) for fault in scenario.faults] == [(10, "malformed 5"), (30, "kill shard")]


def test_the_command_replaces_what_a_shape_asks_for(write: Write) -> None:
    text = _TALK + "\nclass Evening(Steady):\n    users, spawn_rate, run_time_s = 7, 3.0, 9.0\n"
    scenario = _load(write(text))
    assert scenario.make_shape().load_at(0, 0) == Load(7, 3.0)
    shape = scenario.make_shape(users=20, spawn_rate=4.0, run_time_s=5.0, options={"speed": 1})
    assert (shape.load_at(4, 0), shape.load_at(5, 0), shape.options) == (Load(20, 4.0), None, {"speed": 1})
    assert _load(write(_TALK)).make_shape(users=4, spawn_rate=2.0).load_at(0, 0) == Load(4, 2.0)


def test_the_hosts_of_its_classes_are_the_scenarios(write: Write) -> None:
    assert _load(write(_TALK + "Citizen.host = Passer.host = 'ws://chat.example'\n")).hosts == ["ws://chat.example"]
    assert _load(write(_TALK)).hosts == []


def test_listeners_of_a_scenario_loaded_before_are_forgotten(write: Write) -> None:
    hook = "\n@events.init.add_listener\ndef begin(**_):\n    heard.append(1)\nheard = []\n"
    first = _load(write(_TALK + hook))
    first.events.init.fire()
    second = _load(write(_TALK + hook))
    second.events.init.fire()
    assert second.events.init.errors == 0
    second.events.forget()


def test_a_neighbour_of_the_file_can_be_imported(write: Write, tmp_path: Path) -> None:
    (tmp_path / "phrases_of_the_evening.py").write_text("WORDS = ['bonsoir']\n")
    assert _load(write(_TALK + "from phrases_of_the_evening import WORDS\n")).classes


_CITIZEN = (
    "from loadtest import *\nclass Citizen(User):\n    rooms = ['square/main']\n    {}\n"
    "    @task\n    async def talk(self): ...\n"
)
_READER = "from loadtest import *\nclass Passer(Reader):\n    rooms = ['square/main']\n    {}\n"
_IDLE = "from loadtest import *\nclass Citizen(User):\n    {}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("class Citizen(:\n", r"evening.py, line 1: .*'class Citizen\(:'"),
        ("import nothing_of_that_name\n", "evening.py, line 1: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("from loadtest import Usr\n", "evening.py, line 1: ImportError: cannot import name 'Usr'"),
        ("x = 1\ny = 1 / 0\n", "evening.py, line 2: ZeroDivisionError: division by zero"),
        ("x = '\0'\n", "^evening.py: source code string cannot contain null bytes$"),
        ("import os\nfrom locust import HttpUser\n", "evening.py, line 2: what locust brings cannot run here: import User, task"),
        ("import time, locust.exception\n", "evening.py, line 1: what locust brings cannot run here"),
        ("import gevent\n", "evening.py, line 1: what locust brings cannot run here"),
        ("raise SystemExit(3)\n", "evening.py, line 1: SystemExit: 3"),
        ("from loadtest import *\n", "evening.py has nobody to spawn: it needs a class that inherits from User or Reader"),
        (_CITIZEN.format("weight = 0"), "evening.py has nobody to spawn: all of its classes have weight 0"),
        (_CITIZEN.format("weight = -1"), "evening.py: Citizen.weight is -1: it must be a number, 0 or more"),
        (_CITIZEN.format("weight = 'many'"), "Citizen.weight is 'many'"),
        (_CITIZEN.format("weight = float('nan')"), "Citizen.weight is nan"),
        (_CITIZEN.format("fixed_count = 1.5"), "Citizen.fixed_count is 1.5: it must be a whole number"),
        (_CITIZEN.format("rooms = 'square/main'"), r"Citizen.rooms must be a list of names, like \[\"square/main\"\]"),
        (_CITIZEN.format("rooms = [7]"), "Citizen.rooms must be a list of names"),
        (_CITIZEN.format("rooms = ['Square']"), "Citizen.rooms names 'Square': a room is called like square/main"),
        (_CITIZEN.format("rooms_each = 2"), "Citizen would be in 2 of 1 rooms: at most 128"),
        (_CITIZEN.format("rooms_each = 0.5"), "Citizen would be in 0.5 of 1 rooms"),
        (_CITIZEN.format("rooms = [f'square/{n}' for n in range(129)]"), "Citizen would be in 129 of 129 rooms: at most 128"),
        (_CITIZEN.format("host = 'http://chat.example'"), "Citizen.host is 'http://chat.example': it must begin with ws://"),
        (_CITIZEN.format("wait_time = 3"), r"Citizen.wait_time is 3: write between\(1, 5\), constant\(1\) or a method"),
        (_CITIZEN.format("arrivals = 20"), r"Citizen.arrivals is 20: write per_second\(20\)"),
        (_CITIZEN.format("arrivals = per_second(-1)"), "evening.py, line 4: arrivals of -1 a second"),
        (_CITIZEN.format("wait_time = between(3, 1)"), r"evening.py, line 4: between\(3, 1\): the second"),
        (_CITIZEN.format("@task(-1)\n    async def shout(self): ..."), "line 4: a task's weight is a whole number from 0 to"),
        (_CITIZEN.format("@task\n    def shout(self): ..."), "line 4: the task Citizen.shout must be written async def"),
        (_CITIZEN.format("@tag()\n    async def shout(self): ..."), "line 4: @tag needs names"),
        (_CITIZEN.format("tasks = 3"), "tasks of Citizen must be a list of tasks, or a dict of tasks and weights"),
        (_CITIZEN.format("tasks = [len]"), "tasks of Citizen: 'len' is neither async def nor a TaskSet"),
        (_CITIZEN.format("x = 1") + "options = ['speed']\n", "evening.py: options must be a dict like"),
        (_CITIZEN.format("x = 1") + "faults = '30s kill shard'\n", "evening.py: faults must be a list of lines, like"),
        (_CITIZEN.format("x = 1") + "faults = [30]\n", "evening.py: faults must be a list of lines"),
        (_CITIZEN.format("x = 1") + "faults = ['30s kill cat']\n", 'evening.py: the fault "30s kill cat" cannot be understood'),
        ("from loadtest import events\nevents.quit.add_listener(print)\n", "there is no event named quit; there are init, "),
        (_IDLE.format("pass"), "evening.py: Citizen has nothing to do: mark a method with @task"),
        (_IDLE.format("task = []"), "Citizen has nothing to do: did you mean tasks instead of task"),
        (_READER.format("rooms = []"), r"Passer has nothing to read: give it rooms = \[\"square/main\"\]"),
        (_READER.format("audit_share = 2"), "Passer.audit_share is 2: it must be from 0 to 1"),
        (
            _READER.format("pass") + "class Up(Steady): ...\nclass Down(Steady): ...\n",
            r"evening.py has 2 shapes \(Down, Up\): mark all but one with abstract = True",
        ),
        (
            _READER.format("pass") + "Other = Passer\nclass Passer(Reader):\n    rooms = ['square/main']\n",
            "evening.py has two classes of one name: rename one",
        ),
    ],
)
def test_each_mistake_is_one_plain_sentence(write: Write, text: str, sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence) as caught:
        _load(write(text))
    assert "\n" not in str(caught.value)


def test_an_error_in_a_file_beside_it_names_the_line_that_imports_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "broken_neighbour.py").write_text("\n\nx = (\n")
    with pytest.raises(ScenarioError, match=r"broken_neighbour.py, line 3: "):
        _load(write("import broken_neighbour\n"))
    (tmp_path / "raising_neighbour.py").write_text("\n\nraise RuntimeError('not tonight')\n")
    with pytest.raises(ScenarioError, match=r"evening.py, line 2: RuntimeError: not tonight"):
        _load(write("x = 1\nimport raising_neighbour\n"))


def test_a_missing_file_is_told_with_the_shipped_names(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=rf"there is no file .*nothing.py, and no shipped .* are {', '.join(shipped())}"):
        load_scenario(str(tmp_path / "nothing.py"))
    with pytest.raises(ScenarioError, match="is a folder: name the scenario's file in it"):
        load_scenario(str(tmp_path))


def test_an_option_of_the_wrong_kind_is_no_option() -> None:
    assert Option(20).parse("7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        Option(20).parse("7.5")


def test_shipped_scenarios_are_found_by_name() -> None:
    assert shipped() == sorted(path.stem for path in SHIPPED.glob("[a-z]*.py"))
