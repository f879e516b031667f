"""`parvis loadtest`: the words of the command, and its own exit codes."""

import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Final

from cyclopts import App, Parameter

from loadtest.people.scenario import load_scenario, shipped
from loadtest.verdicts.compare import FLOOR_MS, TOLERANCE
from loadtest.verdicts.compare_table import run_compare
from loadtest.verdicts.verdict import Exit
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.listing import classes_of, options_of, task_ratios
from parvis.loadtest.reading import NoRun, read_flags, said, scenario_of
from runtime.lifecycle import ExitCode, Lifecycle, run_process

EXITS: Final = {
    Exit.PASS: "everything that was asked for was met, and nothing was lost",
    Exit.MISS: "a threshold was missed, or something happened that must not",
    Exit.USAGE: "the command or the scenario has to be changed before anything can run",
    Exit.INVALID: "the generator could not keep up, or was not complete: the figures say nothing about the server",
    Exit.UNREACHABLE: "nobody was there, or everybody was refused",
}

loadtest = App(
    name="loadtest",
    help_format="markdown",
    help_epilogue="Exit codes:\n\n" + "\n".join(f"* {code.value}: {meaning}" for code, meaning in EXITS.items()),
)


@loadtest.default
def run(*, flags: Annotated[LoadtestFlags, Parameter(name="*")] = LoadtestFlags()) -> int:  # noqa: B008  # frozen
    """Load a server with people who read and speak, and judge what reached them.

    Without --headless a page shows the run and steers it. Ctrl-C ends it in order, with all its files; a second one at once.
    In a terminal w and W add one and ten users, s and S take them away.
    """
    try:
        if flags.list_ or flags.show_task_ratio or flags.print_locustfile:
            return _show(flags)
        if flags.worker:
            return _work(flags)
        return _run(flags)
    except NoRun as no:
        print(f"parvis loadtest: {no}", file=sys.stderr)
        return no.code


@loadtest.command(help_epilogue="Exit codes:\n\n* 0: the same or better\n* 1: worse\n* 2: they cannot be compared")
def compare(
    before: str,
    after: str,
    /,
    *,
    tolerance: float = TOLERANCE,
    floor_ms: float = FLOOR_MS,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), show_default=False)] = False,
) -> int:
    """Say what became better or worse between two runs, by more than runs differ anyway.

    A percentile is worse if it rose by more than the tolerance and the floor, if both runs have thirty samples beyond it, and if
    chance cannot explain it. All deliveries of one message count as one sample, for they are slow together: a p99 needs 3,000
    messages. What must not happen is judged without tolerance. What else the machine did is not known here.

    Parameters
    ----------
    before
        A file of --json.
    after
        Another one, of the same scenario.
    tolerance
        The share by which a figure may differ.
    floor_ms
        Milliseconds by which a latency may differ.
    as_json
        As one JSON object, for programs.
    """
    return run_compare(before, after, tolerance=tolerance, floor_ms=floor_ms, as_json=as_json)


def _run(flags: LoadtestFlags) -> int:
    from parvis.loadtest.run import LoadTest

    understood = read_flags(flags, ["parvis", *sys.argv[1:]])
    return run_to_exit(LoadTest(flags, understood).run)


def _work(flags: LoadtestFlags) -> int:
    if flags.locust:
        from parvis.loadtest.locust import BehindLocust

        return run_to_exit(BehindLocust(flags, ["parvis", *sys.argv[1:]]).run)
    from parvis.loadtest.worker import Worker

    return run_to_exit(Worker(flags, scenario_of(flags), f"{socket.gethostname()}-{os.getpid()}").run)


def run_to_exit(main: Callable[[Lifecycle], Awaitable[Exit]]) -> int:
    """Run it as a process; its own code, or that of the signal that ended it.  Raises `NoRun`."""
    code = Exit.PASS

    async def kept(lifecycle: Lifecycle) -> None:
        nonlocal code
        code = await main(lifecycle)

    try:
        ended = run_process(kept)
    except BaseExceptionGroup as group:
        known, others = group.split(NoRun)
        if known is None or others is not None:
            raise
        raise next(_leaves(known)) from group
    return code if ended is ExitCode.OK else ended


def _leaves(group: BaseExceptionGroup[NoRun]) -> Iterator[NoRun]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _show(flags: LoadtestFlags) -> int:
    if flags.scenario_file is None:
        for name in shipped():
            print(f"{name:<20} {(load_scenario(name).description.splitlines() or [''])[0]}")
        return Exit.PASS
    scenario = scenario_of(flags)
    if flags.print_locustfile:
        from loadtest.locust.locustfile import locustfile

        print(locustfile(scenario, flags.hosts), end="")
        return Exit.PASS
    if flags.show_task_ratio:
        lines = task_ratios(said(lambda: scenario.choose(flags.tags, flags.exclude_tags)))
    else:
        lines = [*classes_of(scenario), *options_of(scenario)]
    print("\n".join(lines))
    return Exit.PASS
