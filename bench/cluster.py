"""`make bench-cluster`: what many machines must reach, on one; the figures last, the verdict as the exit code.

0: all that is asked for was reached; 1: something was missed; 3: INVALID, something was
missed on a machine that others used (a tenth of it or more), or that is not of this kind
(the bare loop of sends did not reach 80 % of its known figure).
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

from bench.cases import say
from bench.child import ROOT
from bench.cluster_cases import FULL, QUICK, ClusterBench
from bench.cluster_report import table
from bench.cluster_verdict import MACHINE, overall, rows_of
from bench.ending import conclude, wanted_parts, work_dir
from bench.others import OthersShare
from bench.run import RUNS, machine_now, raise_files_limit
from bench.sheet import Sheet

RESULT = ROOT / "build" / "bench-cluster.json"
WORK_DIR = ROOT / "build" / "bench-cluster"
# 15,000 connections of one load process, with what is beside them.
FILES_MIN = 16_000

PARTS: dict[str, Callable[[ClusterBench], None]] = {
    "floor": ClusterBench.floor,
    "balance": ClusterBench.balance,
    "links": ClusterBench.links,
    "edge": ClusterBench.edge,
    "light": ClusterBench.light,
    "pause": ClusterBench.pause,
    "full_rooms": ClusterBench.full_rooms,
    "storm": ClusterBench.storm,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.cluster", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look: one run, short steps")
    parser.add_argument("--runs", type=int, default=0, help=f"how many runs the medians are of ({RUNS}; 1 with --quick)")
    parser.add_argument("--only", default="", help=f"parts to measure, with commas between: {', '.join(PARTS)}")
    given = parser.parse_args(arguments)
    wanted = wanted_parts(parser, given.only, PARTS)
    raise_files_limit(FILES_MIN)
    runs = given.runs or (1 if given.quick else RUNS)
    command = " ".join(["python", "-m", "bench.cluster", *(sys.argv[1:] if arguments is None else arguments)])
    sheet = Sheet(machine_now(command), runs, quick=given.quick)
    with work_dir(WORK_DIR, sheet):
        bench = ClusterBench(sheet, QUICK if given.quick else FULL, WORK_DIR)
        began = time.monotonic()
        for number in range(1, runs + 1):
            say(f"--- run {number} of {runs}, {time.monotonic() - began:.0f} s after the start")
            others = OthersShare([])
            for part in wanted:
                bench.attempt(part, partial(PARTS[part], bench))
            # Everything of ours has ended, and is counted as ours.
            sheet.add(MACHINE, "all", "others_share", others.now([]))
        rows = rows_of(sheet)
        judgement = overall(rows, sheet, judge_all=len(wanted) == len(PARTS))
        return conclude(sheet, rows, judgement, table, result=RESULT, began=began)


if __name__ == "__main__":
    sys.exit(main())
