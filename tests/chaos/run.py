"""Break a real cluster for some minutes, and prove that nothing was lost, doubled or reordered: `make chaos`.

    python -m tests.chaos.run --seconds 180 --seed 7

Exit code 0: every promise was kept and every figure reached; 1: not, and everything that was
written down stays in the directory that is named; 3: INVALID, every promise was kept, and a
figure of time was missed on a machine that was too busy for it.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

import msgspec
import trio

from bench.others import OthersShare
from broker.journal.protocol import Journal
from parvis.parts import open_journal
from runtime.settings import load_settings
from tests.chaos.chronicle import AnyLine, Chronicle, Placed, now, read_lines
from tests.chaos.judge import Findings, KeptEpoch, judge
from tests.chaos.nemesis import KINDS, NEED_REDIS, Nemesis, in_thread
from tests.chaos.sheet import EXIT_CODES, Verdict, table, verdict_of
from tests.chaos.world import CROWD_END_DEADLINE_S, ChaosWorld, Shape, chaos_world
from tests.support.tree import ROOT
from wire.names import Epoch, RoomName

BUILD: Final = ROOT / "build" / "chaos"
# From the last message said until it is in the log: whatever was broken is whole again by now.
SETTLE_DEADLINE_S: Final = 45.0
WARM_S: Final = 3.0
_PAGE: Final = 1000


@dataclass
class Outcome:
    """What a run found, judged."""

    findings: Findings = field(default_factory=Findings)
    directory: Path = BUILD

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.findings)


async def run_chaos(
    directory: Path, shape: Shape, *, seed: int, seconds: float, kinds: Sequence[str], at_least: int = 0
) -> Outcome:
    """One whole run, of `at_least` so many faults; what every process wrote is in `directory` afterwards."""
    directory.mkdir(parents=True)
    driver = directory / "driver.jsonl"
    with Chronicle(driver) as file:
        async with chaos_world(directory, shape, seed, file) as world:
            nemesis = Nemesis(world, Random(f"nemesis of {seed}"), kinds, file)
            await trio.sleep(WARM_S)
            others = OthersShare(world.pids())
            await nemesis.run(seconds, at_least)
            ended, others_share = now(), others.now(world.pids())
            world.say("everything is whole again; waiting for the last words")
            troubles = await _settle(world)
            journal = await in_thread(lambda: open_journal(load_settings(flags=dict(world.fleet.settings)).settings))
            try:
                heads = {room: _head(journal, room) for room in world.rooms}
                troubles += await _catch_up(world, heads)
                lines = [line for path in sorted(directory.glob("crowd-*.jsonl")) for line in read_lines(path)]
                logs = {room: _log_of(journal, room, lines) for room in world.rooms}
            finally:
                journal.close()
        troubles += world.fleet.ended_badly + nemesis.never_calm + nemesis.failed_commands
        logged = list(world.fleet.troubles())
    lines += read_lines(driver)
    lines.sort(key=lambda line: line.t)
    findings = judge(lines, logs, ended=ended)
    findings.violations += troubles
    findings.logged_errors = logged
    findings.others_share = others_share
    return Outcome(findings, directory)


async def _settle(world: ChaosWorld) -> list[str]:
    """Nobody begins to speak any more; wait until what was said is in the log."""
    for crowd in world.crowds:
        await crowd.order(b"stop")
    with trio.move_on_after(SETTLE_DEADLINE_S):
        while (progress := world.progress()) is None or progress.open or progress.is_talking:
            await trio.sleep(0.1)
        return []
    open_now = progress.open if progress is not None else "an unknown number of"
    return [f"{open_now} messages were still on their way {SETTLE_DEADLINE_S:.0f} s after the last fault"]


async def _catch_up(world: ChaosWorld, heads: dict[str, tuple[str, int]]) -> list[str]:
    """Every reader reaches the end of the log; the crowds end."""
    for crowd in world.crowds:
        await crowd.order(b"heads " + msgspec.json.encode(heads))
    behind: list[str] = []
    for number, crowd in enumerate(world.crowds, 1):
        with trio.move_on_after(CROWD_END_DEADLINE_S):
            await crowd.ended.wait()
            await crowd.process.wait()
        if crowd.report is None:
            log = (world.directory / f"crowd-{number}.log").read_text()
            behind.append(f"crowd {number} ended without a report: {log[-2000:]}")
        else:
            behind += crowd.report.behind
    return behind


def _head(journal: Journal, room: str) -> tuple[str, int]:
    loaded = journal.load(RoomName(room), 1, 1 << 20, 0, 1)
    return (loaded.head.epoch, loaded.head.offset) if loaded is not None else ("", 0)


def _log_of(journal: Journal, room: str, lines: Sequence[AnyLine]) -> list[KeptEpoch]:
    """All epochs of a room that anybody saw or that another names, each whole."""
    loaded = journal.load(RoomName(room), 1, 1 << 20, 0, 1)
    wanted = list(dict.fromkeys(line.epoch for line in lines if isinstance(line, Placed) and line.room == room))
    epochs: dict[str, KeptEpoch] = {}
    if loaded is not None:
        wanted.append(loaded.head.epoch)
    while wanted:
        epoch = wanted.pop()
        if epoch in epochs:
            continue
        entries, after = [], 0
        while page := journal.read(RoomName(room), Epoch(epoch), after, _PAGE):
            entries += page
            after = page[-1].offset
        is_last = loaded is not None and loaded.head.epoch == epoch
        epochs[epoch] = KeptEpoch(epoch, entries, loaded.head.chain if loaded is not None and is_last else b"")
        wanted += [entry.id for entry in entries if entry.kind == "epoch"]
    return list(epochs.values())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=180.0, help="how long faults are dealt (180)")
    parser.add_argument("--seed", type=int, help="the seed of faults and of publishes; a random one if not given")
    parser.add_argument("--kinds", default="", help=f"only these faults, with commas between: {', '.join(KINDS)}")
    parser.add_argument("--people", type=int, default=300, help="clients (300)")
    parser.add_argument("--rooms", type=int, default=30, help="rooms that they are in (30)")
    parser.add_argument("--rate", type=float, default=200.0, help="publishes a second in all rooms together (200)")
    parser.add_argument("--store", choices=["redis", "sqlite"], default="redis", help="sqlite: a file, and a map that stays")
    parser.add_argument("--keep", action="store_true", help="keep logs and histories of a run that found nothing, too")
    given = parser.parse_args(arguments)
    with_redis = given.store == "redis"
    possible = [kind for kind in KINDS if with_redis or kind not in NEED_REDIS]
    kinds = given.kinds.split(",") if given.kinds else possible
    unknown = [kind for kind in kinds if kind not in possible]
    if unknown:
        parser.error(f"no fault is called {unknown[0]} here: there are {', '.join(possible)}")
    shape = Shape(people=given.people, rooms=given.rooms, publishes_per_s=given.rate, with_redis=with_redis)
    if shape.people_per_room < 1:
        parser.error(f"{given.people} people in {given.rooms} rooms and {shape.crowds} processes: each needs one in each room")
    seed = given.seed if given.seed is not None else SystemRandom().randrange(1_000_000)
    directory = BUILD / f"seed-{seed}"
    if directory.exists():
        shutil.rmtree(directory)
    print(f"chaos with seed {seed} for {given.seconds:.0f} s", file=sys.stderr, flush=True)
    outcome = trio.run(lambda: run_chaos(directory, shape, seed=seed, seconds=given.seconds, kinds=kinds))
    again = f"python -m tests.chaos.run --seconds {given.seconds:g} --seed {seed}"
    again += f" --kinds {given.kinds}" if given.kinds else ""
    print(table(outcome.findings, again))
    print(outcome.verdict.value)
    if outcome.verdict is not Verdict.PASS:
        print(f"logs and histories are kept in {directory.relative_to(ROOT)}")
    elif not given.keep:
        shutil.rmtree(directory)
    return EXIT_CODES[outcome.verdict]


if __name__ == "__main__":
    sys.exit(main())
