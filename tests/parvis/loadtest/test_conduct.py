"""One run on this machine, without a command line around it."""

from pathlib import Path
from random import Random

import psutil
import pytest
import trio

from loadtest.figures.record import Mark
from loadtest.master.collector import Closed
from loadtest.master.master import Master, RunFailed
from parvis.loadtest.checks import open_door
from parvis.loadtest.conduct import conduct, monotonic_us
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.reading import read_flags
from tests.support.honest_gateway import HonestGateway
from tests.support.tiny_scenario import tiny_scenario

DEADLINE_S = 60.0


def children() -> set[psutil.Process]:
    """Processes that this one has started, and that live; other tests' stores are among them."""
    return set(psutil.Process().children())


async def test_whoever_wants_a_run_gives_orders_and_takes_the_record(tmp_path: Path, nursery: trio.Nursery) -> None:
    before = children()
    gateway = HonestGateway(nursery)
    flags = LoadtestFlags(
        scenario_file=tiny_scenario(tmp_path), users=5, spawn_rate=50.0, run_time="2s", headless=True,
        hosts=(await gateway.listen(),), faults=("1s malformed 1",),
    )  # fmt: skip
    understood = read_flags(flags, ["me"])
    seconds: list[Closed] = []
    seen: list[str] = []

    async def look(master: Master, over: trio.Event) -> None:
        await master.begun.wait()
        seen.append(master.standing.phase)
        await over.wait()
        seen.append(master.standing.phase)

    with trio.fail_after(DEADLINE_S):
        record = await conduct(
            understood, await open_door(flags, understood), rng=Random(1), beside=[look],
            on_second=lambda closed, _run: seconds.append(closed),
        )  # fmt: skip
    assert record.command == ["me"]
    assert record.counts["connects"] >= 5
    assert [closed.moment for closed in seconds] == record.moments
    assert seen == ["spawning", "ended"]
    assert [mark.text for mark in record.marks] == ["malformed 1"]
    assert children() <= before


async def test_faults_count_from_the_runs_zero_and_none_is_done_in_the_reckoning(tmp_path: Path, nursery: trio.Nursery) -> None:
    gateway = HonestGateway(nursery)
    flags = LoadtestFlags(
        scenario_file=tiny_scenario(tmp_path), users=5, spawn_rate=50.0, run_time="2s", headless=True,
        hosts=(await gateway.listen(),), faults=("1s malformed 1", "2s half-open 2"),
    )  # fmt: skip
    understood = read_flags(flags, ["me"])
    seconds: list[float] = []

    async def look(master: Master, over: trio.Event) -> None:
        mark = master.mark

        def timed(each: Mark) -> None:
            seconds.append(master.standing.seconds)
            mark(each)

        master.mark = timed  # type: ignore[method-assign]  # to see when it is called
        await over.wait()

    with trio.fail_after(DEADLINE_S):
        record = await conduct(understood, await open_door(flags, understood), rng=Random(1), beside=[look])
    assert [mark.text for mark in record.marks][:1] == ["malformed 1"]
    assert all(at_s >= mark.at_s - 0.01 for at_s, mark in zip(seconds, record.marks, strict=True))


async def test_a_run_that_was_given_up_before_its_beginning_is_told_of(tmp_path: Path) -> None:
    before = children()
    flags = LoadtestFlags(scenario_file=tiny_scenario(tmp_path), headless=True)
    understood = read_flags(flags, [])

    async def give_up(master: Master, over: trio.Event) -> None:
        master.give_up("nobody wants it")
        await over.wait()

    with trio.fail_after(DEADLINE_S), pytest.raises(RunFailed, match="before it began"):
        await conduct(understood, await open_door(flags, understood), rng=Random(1), beside=[give_up])
    assert children() <= before


def test_its_clock_never_goes_back() -> None:
    assert monotonic_us() <= monotonic_us()
