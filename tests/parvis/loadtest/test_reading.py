"""What the flags mean, and the sentence for those that mean nothing."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.master.fault_plan import ServerFault
from loadtest.reports.outputs import WantedFiles
from loadtest.verdicts.verdict import Exit
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.reading import SECRET_VARIABLE, NoRun, read_flags, read_secret, this_machine

SCENARIO = '''
"""People in a square."""
from loadtest import Option, Reader, User, tag, task

options = {"speakers": Option(3, "how many speak")}


class Listener(Reader):
    rooms = ["square/main"]


class Speaker(User):
    rooms = ["square/main"]

    @tag("loud")
    @task
    async def talk(self):
        pass
'''


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadtestFlags:
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    path = tmp_path / "square.py"
    path.write_text(SCENARIO)
    return LoadtestFlags(scenario_file=str(path))


def test_with_nothing_but_a_scenario_a_run_waits_for_a_person_on_this_machine(flags: LoadtestFlags) -> None:
    read = read_flags(flags, ["parvis", "loadtest"])
    assert (read.orders.hosts, read.local_workers, read.orders.plan.workers_expected) == (("ws://127.0.0.1:8001",), 1, 1)
    assert not read.orders.plan.starts_by_itself
    assert read.orders.plan.run_time_s is None
    assert read.orders.command == ("parvis", "loadtest")
    assert read.orders.machine == this_machine()
    assert (read.orders.scenario, set(read.cast.classes)) == ("square", {"Listener", "Speaker"})


def test_everything_that_was_said_is_in_the_orders(flags: LoadtestFlags) -> None:
    read = read_flags(
        replace(
            flags, users=5000, spawn_rate=250.0, run_time="1h30m", headless=True, processes=4, hosts=("ws://a", "wss://b/x"),
            source_ips=("127.0.0.2-127.0.0.4", "127.0.0.9"), tags=("loud",), options=("speakers=50",), seed=7, connect_rate=500.0,
            fail_if=("deliver_p99>250ms", "loss>0"), stop_timeout="3s", faults=("30s kill shard",), target_data_dir="data",
            csv="a", html="b", json="c", hlog="d", autoquit="5s", expect_workers_max_wait="1m",
        ),
        [],
    )  # fmt: skip
    orders, plan = read.orders, read.orders.plan
    assert (read.shape.users, read.shape.spawn_rate, read.shape.run_time_s) == (5000, 250.0, 5400.0)
    assert read.shape.options == {"speakers": 50}
    assert (plan.workers_expected, plan.starts_by_itself, plan.run_time_s, plan.stop_timeout_s, plan.workers_wait_s) == (
        4, True, 5400.0, 3.0, 60.0,
    )  # fmt: skip
    assert (orders.hosts, orders.seed, orders.tags, orders.connects_per_s_max) == (("ws://a", "wss://b/x"), 7, ("loud",), 500.0)
    assert orders.source_ips == ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9")
    assert [threshold.text for threshold in orders.thresholds] == ["deliver_p99>250ms", "loss>0"]
    assert (read.files.csv, read.files.html, read.files.json, read.files.hlog) == ("a", "b", "c", "d")
    assert read.faults == [ServerFault(30.0, "kill", "shard")]
    assert (read.target_data_dir, read.autoquit_s) == (Path("data"), 5.0)


def test_names_of_files_say_how_much_as_in_locust(flags: LoadtestFlags) -> None:
    said = replace(flags, users=100, spawn_rate=2.5, run_time="1m", html="x_{u}_{r}_{t}.html", csv="{u}", json="{u}.json")
    assert read_flags(said, []).files == WantedFiles(html="x_100_2.5_60.html", csv="100", json="100.json")


def test_a_master_of_other_machines_starts_no_worker(flags: LoadtestFlags) -> None:
    read = read_flags(replace(flags, master=True, expect_workers=3, autostart=True), [])
    assert (read.local_workers, read.orders.plan.workers_expected, read.orders.plan.starts_by_itself) == (0, 3, True)


def test_one_worker_for_each_core(flags: LoadtestFlags) -> None:
    assert read_flags(replace(flags, processes=-1), []).local_workers == len(os.sched_getaffinity(0))


def test_another_seed_each_time_unless_one_is_named(flags: LoadtestFlags) -> None:
    assert read_flags(flags, []).orders.seed != read_flags(flags, []).orders.seed


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"scenario_file": None}, "name a scenario with -f: a Python file, or one of "),
        ({"scenario_file": "nowhere.py"}, "there is no file nowhere.py"),
        ({"run_time": "soon"}, "--run-time: 'soon' is not a span of time"),
        ({"run_time": "0s"}, "--run-time 0 leaves no time to measure anything"),
        ({"stop_timeout": "soon"}, "--stop-timeout: 'soon'"),
        ({"autoquit": "soon"}, "--autoquit: 'soon'"),
        ({"expect_workers_max_wait": "soon"}, "--expect-workers-max-wait: 'soon'"),
        ({"tags": ("quiet",)}, "square has no tag 'quiet'; its tags are loud"),
        ({"options": ("speakers",)}, "--option takes name=value"),
        ({"options": ("readers=3",)}, "square has no option 'readers'"),
        ({"options": ("speakers=many",)}, "'many' cannot be read as int"),
        ({"fail_if": ("deliver_p99",)}, '"deliver_p99" is no threshold'),
        ({"fail_if": ("delivr_p99>1s",)}, 'did you mean "deliver"?'),
        ({"source_ips": ("localhost",)}, '"localhost" is neither an address nor a range'),
        ({"faults": ("soon",)}, 'the fault "soon" needs a time'),
        ({"hosts": ("http://a",)}, "http://a is no address of a gateway: write it as ws://HOST:8001"),
        ({"hosts": ("ws://a:99999",)}, "ws://a:99999 is no address of a gateway"),
        ({"hosts": ("ws://[::1",)}, "ws://[::1 is no address of a gateway"),
        ({"processes": 0}, "--processes 0 starts no worker"),
        ({"master": True, "worker": True}, "--master and --worker are two processes"),
        ({"master": True, "processes": 4}, "--master starts no worker: leave --processes out"),
        ({"worker": True, "processes": -1}, "--worker is one process: leave --processes out"),
        ({"secret_file": "nowhere"}, "--secret-file nowhere cannot be read: No such file"),
    ],
)
def test_what_cannot_be_understood_is_one_sentence(flags: LoadtestFlags, wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(NoRun) as no:
        read_flags(replace(flags, **wrong), [])  # type: ignore[arg-type]
    assert sentence in str(no.value)
    assert "\n" not in str(no.value)
    assert no.value.code is Exit.USAGE


def test_a_scenario_with_a_syntax_error_names_the_line(flags: LoadtestFlags, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("x = 1\ndef talk(:\n")
    with pytest.raises(NoRun, match=r"wrong\.py, line 2: "):
        read_flags(replace(flags, scenario_file=str(tmp_path / "wrong.py")), [])


def test_the_host_of_a_class_is_looked_at_like_the_commands(flags: LoadtestFlags, tmp_path: Path) -> None:
    (tmp_path / "far.py").write_text(SCENARIO + '    host = "ws://a:99999"\n')
    with pytest.raises(NoRun, match="ws://a:99999 is no address of a gateway"):
        read_flags(replace(flags, scenario_file=str(tmp_path / "far.py")), [])


def test_a_class_may_name_the_host(flags: LoadtestFlags, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(SCENARIO.replace('class Listener(Reader):', 'class Listener(Reader):\n    host = "ws://own"'))
    assert read_flags(replace(flags, scenario_file=str(own)), []).orders.hosts == ("ws://own",)
    assert read_flags(replace(flags, scenario_file=str(own), hosts=("ws://said",)), []).orders.hosts == ("ws://said",)


def test_a_secret_comes_from_the_environment_or_a_file(
    flags: LoadtestFlags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_secret(flags) == b""
    monkeypatch.setenv(SECRET_VARIABLE, "of the environment")
    assert read_secret(flags) == b"of the environment"
    (tmp_path / "secret").write_text("of the file\n")
    assert read_secret(replace(flags, secret_file=str(tmp_path / "secret"))) == b"of the file"
    monkeypatch.setenv(SECRET_VARIABLE, "short")
    with pytest.raises(NoRun, match="has 5 characters: take 8 or more"):
        read_secret(flags)
