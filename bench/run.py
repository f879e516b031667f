"""`make bench`: everything in one go on one machine, the figures last, the verdict as the exit code.

0: all that is asked for was reached; 1: something was missed; 3: INVALID, the machine was
busy (the bare loop of sends did not reach 80 % of its known figure).
"""

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bench.cases import CONTESTANTS, FULL, QUICK, ROOM, ROOMS, Bench, say
from bench.child import ROOT
from bench.ending import conclude, wanted_parts
from bench.report import table
from bench.rig import Shape
from bench.sheet import Machine, Sheet
from bench.verdict import FLOOR, QUIET, STALLED, overall, rows_of

RESULT = ROOT / "build" / "bench.json"
WORK_DIR = ROOT / "build" / "bench"
RUNS = 3
FILES_MIN = 8_000
PARTS = [FLOOR, *(contestant.key for contestant in CONTESTANTS), QUIET, STALLED]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look: one run, short steps, one shape")
    parser.add_argument("--runs", type=int, default=0, help=f"how many runs the medians are of ({RUNS}; 1 with --quick)")
    parser.add_argument("--only", default="", help=f"parts to measure, with commas between: {', '.join(PARTS)}")
    parser.add_argument("--shape", choices=[ROOM.name, ROOMS.name], help="one shape only")
    given = parser.parse_args(arguments)
    wanted = wanted_parts(parser, given.only, PARTS)
    raise_files_limit()
    runs = given.runs or (1 if given.quick else RUNS)
    sheet = Sheet(machine_now(" ".join(["python", "-m", "bench.run", *sys.argv[1:]])), runs, quick=given.quick)
    named = given.shape or (ROOM.name if given.quick else "")
    shapes = [shape for shape in (ROOM, ROOMS) if named in ("", shape.name)]
    WORK_DIR.mkdir(parents=True, exist_ok=True)
    bench = Bench(sheet, QUICK if given.quick else FULL, WORK_DIR)
    began = time.monotonic()
    try:
        for number in range(1, runs + 1):
            say(f"--- run {number} of {runs}, {time.monotonic() - began:.0f} s after the start")
            measure_once(bench, wanted, shapes)
    finally:
        shutil.rmtree(WORK_DIR)
    rows = rows_of(sheet)
    judgement = overall(rows, sheet, judge_all=wanted == PARTS)
    return conclude(sheet, rows, judgement, table, result=RESULT, began=began)


def measure_once(bench: Bench, wanted: list[str], shapes: list[Shape]) -> None:
    """One run of all that is wanted, one server at a time."""
    if FLOOR in wanted:
        bench.floor()
    for contestant in CONTESTANTS:
        for shape in shapes:
            if contestant.key in wanted and shape.name in contestant.first_rates:
                bench.attempt(f"{contestant.key} {shape.name}", partial(bench.crowd, contestant, shape))
    if QUIET in wanted:
        bench.attempt(QUIET, bench.quiet)
    if STALLED in wanted:
        bench.attempt(STALLED, bench.stalled)
    bench.end_run()


def raise_files_limit(needed: int = FILES_MIN) -> None:
    """As many files as the system lets us: each side of 5,000 connections needs as many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < needed:
        sys.exit(f"bench: a process may open {hard} files here, and {needed} are needed: raise `ulimit -n`")


def machine_now(command: str) -> Machine:
    """What a reader must know to compare."""
    described = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    cpu = next((value.strip() for key, _, value in described if key.strip() == "model name"), platform.machine())
    asked = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return Machine(
        cpu=cpu,
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        kernel=platform.release(),
        python=platform.python_version(),
        versions={name: version(name) for name in ("trio", "msgspec", "wsproto", "httptools", "trio-websocket", "websockets")},
        command=command,
        commit=asked.stdout.strip(),
        at=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )


if __name__ == "__main__":
    sys.exit(main())
