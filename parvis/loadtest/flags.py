"""The flags of `parvis loadtest`, as they are written on a command line; what they mean is parvis/loadtest/reading.py's.

Names are locust's wherever locust has one.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from parvis.chat import DEFAULT_URL

WEB_PORT: Final = 8089
MASTER_PORT: Final = 5557

_LOAD: Final = Group("Load", sort_key=1)
_SCENARIO: Final = Group("Scenario", sort_key=2)
_TARGET: Final = Group("Target", sort_key=3)
_JUDGE: Final = Group("Judging", sort_key=4)
_FILES: Final = Group("Files", sort_key=5)
_VIEW: Final = Group("Watching and steering", sort_key=6)
_WORKERS: Final = Group("Workers", sort_key=7)

_PORT: Final = Number(gte=0, lte=65535)
# Above it nothing is smoothed any more; and it is no infinity.
_RATE: Final = Number(gt=0, lte=1_000_000)
_SEVERAL: Final = {"consume_multiple": True, "negative": (), "show_default": False}
_YES: Final = {"negative": (), "show_default": False}


@dataclass(frozen=True, kw_only=True)
class LoadtestFlags:
    """Everything that can be said."""

    # --- Load
    users: Annotated[int | None, Parameter(name=["--users", "-u"], group=_LOAD, validator=Number(gte=0))] = None
    """How many users there are at the peak; by default as many as the scenario says, or 100."""
    spawn_rate: Annotated[float | None, Parameter(name=["--spawn-rate", "-r"], group=_LOAD, validator=_RATE)] = None
    """Users to start a second; by default as the scenario says, or 10."""
    run_time: Annotated[str | None, Parameter(name=["--run-time", "-t"], group=_LOAD)] = None
    """How long, as in 90, 90s or 1h30m; by default as long as the scenario says."""
    connect_rate: Annotated[float, Parameter(group=_LOAD, validator=_RATE)] = 1000.0
    """First connections to begin a second, at most, of all workers together."""
    stop_timeout: Annotated[str, Parameter(name=["--stop-timeout", "-s"], group=_LOAD)] = "10s"
    """What tasks have for ending by themselves when the run ends; then they are cancelled."""

    # --- Scenario
    scenario_file: Annotated[str | None, Parameter(name=["--scenario-file", "--locustfile", "-f"], group=_SCENARIO)] = None
    """A Python file, or the name of a scenario that comes with parvis (--list shows them)."""
    tags: Annotated[tuple[str, ...], Parameter(name=["--tags", "-T"], group=_SCENARIO, **_SEVERAL)] = ()
    """Run only tasks with one of these tags."""
    exclude_tags: Annotated[tuple[str, ...], Parameter(name=["--exclude-tags", "-E"], group=_SCENARIO, **_SEVERAL)] = ()
    """Run no task with one of these tags."""
    options: Annotated[tuple[str, ...], Parameter(name=["--option", "-o"], group=_SCENARIO, **_SEVERAL)] = ()
    """An option of the scenario's own, as in -o speakers=50."""
    seed: Annotated[int | None, Parameter(group=_SCENARIO)] = None
    """What all choices of users follow from; by default another one each time. The report names it."""
    list_: Annotated[bool, Parameter(name=["--list", "-l"], group=_SCENARIO, **_YES)] = False
    """Show the user classes and options of the scenario, or the scenarios there are, and end."""
    print_locustfile: Annotated[bool, Parameter(group=_SCENARIO, **_YES)] = False
    """Print the locustfile that a stock locust master needs for this scenario, and end."""
    show_task_ratio: Annotated[bool, Parameter(group=_SCENARIO, **_YES)] = False
    """Show how often each task is picked, and end."""

    # --- Target
    hosts: Annotated[tuple[str, ...], Parameter(name=["--host", "-H"], group=_TARGET, **_SEVERAL)] = ()
    """Where gateways are; several share the connections. By default the scenario's own, or ws://127.0.0.1:8001."""
    source_ips: Annotated[tuple[str, ...], Parameter(group=_TARGET, **_SEVERAL)] = ()
    """Addresses of this machine to connect from, as in 127.0.0.2-127.0.0.9: one holds about 28,000 clients of one port."""
    observe: Annotated[tuple[str, ...], Parameter(group=_TARGET, **_SEVERAL)] = ()
    """Where the server's figures are, as in http://127.0.0.1:9001/metrics; on this machine its processes are found without."""
    faults: Annotated[tuple[str, ...], Parameter(name="--fault", group=_TARGET, **_SEVERAL)] = ()
    """Something to do to the server or to clients in mid-run, as in "30s kill shard" or "60s slow-readers 100 10s"."""
    target_data_dir: Annotated[str | None, Parameter(name=["--target-data-dir", "--data-dir"], group=_TARGET)] = None
    """The data directory of the parvis up under test: for faults of its processes, and for their CPU and memory by name."""

    # --- Judging
    fail_if: Annotated[tuple[str, ...], Parameter(group=_JUDGE, **_SEVERAL)] = ()
    """What must not be, as in "deliver_p99>250ms" or "loss>0": exit code 1 if it is."""

    # --- Files
    csv: Annotated[str | None, Parameter(group=_FILES)] = None
    """PREFIX of locust's four files, written every second."""
    html: Annotated[str | None, Parameter(group=_FILES)] = None
    """FILE for the report: one page with charts. {u}, {r} and {t} in a file's name become users, spawn rate and seconds."""
    json: Annotated[str | None, Parameter(name=["--json", "--json-file"], group=_FILES)] = None
    """FILE for the whole record, for programs and for parvis loadtest compare."""
    hlog: Annotated[str | None, Parameter(group=_FILES)] = None
    """FILE for every second's histograms, in HdrHistogram's log format."""

    # --- Watching and steering
    headless: Annotated[bool, Parameter(group=_VIEW, **_YES)] = False
    """No page: begin at once, show progress in the terminal, end with the verdict."""
    autostart: Annotated[bool, Parameter(group=_VIEW, **_YES)] = False
    """With the page, begin at once."""
    autoquit: Annotated[str | None, Parameter(group=_VIEW)] = None
    """With the page, end so long after the run; by default it stays until Ctrl-C."""
    web_host: Annotated[str, Parameter(group=_VIEW)] = "127.0.0.1"
    """Where the page listens; beyond this machine it needs a login in PARVIS_LOADTEST_LOGIN."""
    web_port: Annotated[int, Parameter(name=["--web-port", "-P"], group=_VIEW, validator=_PORT)] = WEB_PORT
    """The page's port; 0 takes a free one."""
    metrics_port: Annotated[int | None, Parameter(group=_VIEW, validator=_PORT)] = None
    """A port for the generator's own figures, for Prometheus; by default there is none."""

    # --- Workers
    processes: Annotated[int, Parameter(group=_WORKERS, validator=Number(gte=-1, lte=1024))] = 1
    """Workers to start on this machine; -1 is one for each core."""
    master: Annotated[bool, Parameter(group=_WORKERS, **_YES)] = False
    """Start no worker: wait for those of other machines."""
    worker: Annotated[bool, Parameter(group=_WORKERS, **_YES)] = False
    """Work for the master at --master-host, which decides everything but the file of the scenario."""
    locust: Annotated[bool, Parameter(group=_WORKERS, **_YES)] = False
    """For a worker: its master is a stock locust (docs/loadtest-locust.md)."""
    master_host: Annotated[str, Parameter(group=_WORKERS)] = "127.0.0.1"
    """For a worker: where its master is."""
    master_port: Annotated[int, Parameter(group=_WORKERS, validator=_PORT)] = MASTER_PORT
    """For a worker: its master's port."""
    master_bind_host: Annotated[str, Parameter(group=_WORKERS)] = "127.0.0.1"
    """For a master: where it listens; beyond this machine it needs a secret."""
    master_bind_port: Annotated[int, Parameter(group=_WORKERS, validator=_PORT)] = MASTER_PORT
    """For a master: the port it listens on."""
    expect_workers: Annotated[int, Parameter(group=_WORKERS, validator=Number(gte=1))] = 1
    """For a master: how many workers it waits for."""
    expect_workers_max_wait: Annotated[str | None, Parameter(group=_WORKERS)] = None
    """For a master: how long it waits for them; by default for ever."""
    secret_file: Annotated[str | None, Parameter(group=_WORKERS)] = None
    """FILE with the secret that master and workers share; the variable PARVIS_LOADTEST_SECRET holds one as well."""

    # --- between a master and the workers it starts itself
    supervised: Annotated[bool, Parameter(show=False, negative=())] = False
    """End when standard input does."""
    name: Annotated[str | None, Parameter(show=False)] = None
    """What the worker is called."""


DEFAULT_HOSTS: Final = (DEFAULT_URL,)
