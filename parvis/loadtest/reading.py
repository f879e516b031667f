"""What the flags of `parvis loadtest` mean: a scenario, orders, files, faults; or one sentence that says what to change.

Nothing is started and nothing is written here; what only the world can say (who answers,
which port is free) is asked in parvis/loadtest/run.py.
"""

import os
import platform
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import psutil

from loadtest.connections.dialing import parse_source_ips, split_address
from loadtest.master.durations import duration_s
from loadtest.master.fault_plan import Fault, parse_faults
from loadtest.master.orders import Orders, RunPlan
from loadtest.people.scenario import Cast, Scenario, ScenarioError, load_scenario, shipped
from loadtest.people.shapes import LoadTestShape
from loadtest.reports.outputs import WantedFiles
from loadtest.verdicts.thresholds import parse_threshold
from loadtest.verdicts.verdict import Exit
from parvis import VERSION
from parvis.loadtest.flags import DEFAULT_HOSTS, LoadtestFlags

SECRET_VARIABLE: Final = "PARVIS_LOADTEST_SECRET"
SECRET_CHARACTERS_MIN: Final = 8
SETTLE_S: Final = 10.0
"""How long auditors may take to reach the heads: a resume after a fault is in it."""

T = TypeVar("T")


class NoRun(Exception):
    """There can be no run; one plain sentence that says what to change, and the exit code."""

    def __init__(self, sentence: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A command line that makes sense."""

    scenario: Scenario
    cast: Cast
    shape: LoadTestShape
    orders: Orders
    local_workers: int
    """To be started on this machine; 0 for `--master`."""
    faults: list[Fault]
    target_data_dir: Path | None
    files: WantedFiles
    autoquit_s: float | None
    secret: bytes
    """Empty: nobody named one."""


def read_flags(flags: LoadtestFlags, command: Sequence[str]) -> Understood:
    """Raises `NoRun`; `command` is kept for the record."""
    scenario = scenario_of(flags)
    options = _read_options(flags.options)
    values = said(lambda: scenario.option_values(options))
    cast = said(lambda: scenario.choose(flags.tags, flags.exclude_tags))
    run_time_s = _span("--run-time", flags.run_time)
    if run_time_s == 0:
        raise NoRun("--run-time 0 leaves no time to measure anything: give it 1s or more, or leave it out")
    shape = scenario.make_shape(users=flags.users, spawn_rate=flags.spawn_rate, run_time_s=run_time_s, options=values)
    local = 0 if flags.master else _count(flags.processes)
    plan = RunPlan(
        workers_expected=flags.expect_workers if flags.master else local,
        starts_by_itself=flags.headless or flags.autostart,
        run_time_s=run_time_s,
        stop_timeout_s=_span("--stop-timeout", flags.stop_timeout) or 0.0,
        settle_s=SETTLE_S,
        workers_wait_s=_span("--expect-workers-max-wait", flags.expect_workers_max_wait),
    )
    orders = Orders(
        plan=plan,
        scenario=scenario.name,
        hosts=_hosts(flags.hosts or scenario.hosts or DEFAULT_HOSTS),
        seed=flags.seed if flags.seed is not None else secrets.randbits(32),
        source_ips=tuple(said(lambda: parse_source_ips(",".join(flags.source_ips)))) if flags.source_ips else (),
        tags=flags.tags,
        exclude_tags=flags.exclude_tags,
        connects_per_s_max=flags.connect_rate,
        options=options,
        thresholds=tuple(said(lambda: [parse_threshold(text) for text in flags.fail_if])),
        command=tuple(command),
        machine=this_machine(),
    )
    return Understood(
        scenario=scenario,
        cast=cast,
        shape=shape,
        orders=orders,
        local_workers=local,
        faults=said(lambda: parse_faults(flags.faults)) if flags.faults else list(scenario.faults),
        target_data_dir=Path(flags.target_data_dir) if flags.target_data_dir is not None else None,
        files=WantedFiles(csv=flags.csv, json=flags.json, hlog=flags.hlog, html=flags.html).named(
            users=shape.users, spawn_rate=shape.spawn_rate, run_time_s=shape.run_time_s
        ),
        autoquit_s=_span("--autoquit", flags.autoquit),
        secret=read_secret(flags),
    )


def scenario_of(flags: LoadtestFlags) -> Scenario:
    """Of `-f`.  Raises `NoRun`."""
    if flags.master and flags.worker:
        raise NoRun("--master and --worker are two processes: start one with --master, the others with --worker")
    if flags.processes != 1 and flags.master:
        raise NoRun("--master starts no worker: leave --processes out and start them with --worker, or leave --master out")
    if flags.processes != 1 and flags.worker and not flags.locust:
        raise NoRun("--worker is one process: leave --processes out, and start --worker as often as there shall be processes")
    if flags.locust and not flags.worker:
        raise NoRun("--locust says whose worker this is: add --worker, and --master-host for where the locust master is")
    if flags.scenario_file is None:
        raise NoRun(f"name a scenario with -f: a Python file, or one of {', '.join(shipped())}")
    name = flags.scenario_file
    return said(lambda: load_scenario(name))


def read_secret(flags: LoadtestFlags) -> bytes:
    """Of `--secret-file` or the environment; empty without one.  Raises `NoRun`."""
    if flags.secret_file is not None:
        try:
            secret = Path(flags.secret_file).read_bytes().strip()
        except OSError as error:
            raise NoRun(f"--secret-file {flags.secret_file} cannot be read: {error.strerror or error}") from error
    else:
        secret = os.environ.get(SECRET_VARIABLE, "").encode()
    if secret and len(secret) < SECRET_CHARACTERS_MIN:
        raise NoRun(f"the secret of master and workers has {len(secret)} characters: take {SECRET_CHARACTERS_MIN} or more")
    return secret


def said(understand: Callable[[], T]) -> T:
    """What the load test's own words mean; its sentence becomes ours."""
    try:
        return understand()
    except (ScenarioError, ValueError) as error:
        raise NoRun(str(error)) from error


def this_machine() -> dict[str, str]:
    """What figures of a generator depend on."""
    return {
        "parvis": VERSION,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
    }


def _count(processes: int) -> int:
    if processes == 0:
        raise NoRun("--processes 0 starts no worker: take 1 or more, -1 for one on each core, or --master to wait for others")
    return processes if processes > 0 else len(os.sched_getaffinity(0))


def _span(flag: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return duration_s(text)
    except ValueError as error:
        raise NoRun(f"{flag}: {error}") from error


def _read_options(words: Sequence[str]) -> dict[str, str]:
    options = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise NoRun(f"--option takes name=value, as in -o speakers=50, and was given {word!r}")
        options[name.strip()] = value
    return options


def _hosts(urls: Sequence[str]) -> tuple[str, ...]:
    for url in urls:
        said(partial(split_address, url))
    return tuple(urls)

