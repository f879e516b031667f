"""`make bench-loadtest`: what the load test's own machinery must reach; the figures last, the verdict as the exit code.

0: all that is asked for was reached; 1: something was missed; 3: INVALID, something was
missed on a machine that others used (a tenth of it or more), or frames were joined on their way.
"""

import argparse
import sys
import time
from functools import partial

from bench.cases import say
from bench.child import ROOT
from bench.ending import conclude, wanted_parts, work_dir
from bench.loadtest_cases import FULL, PARTS, QUICK, LoadtestBench
from bench.loadtest_verdict import MACHINE, overall, rows_of, table
from bench.others import OthersShare
from bench.run import machine_now, raise_files_limit
from bench.sheet import Sheet

RESULT = ROOT / "build" / "bench-loadtest.json"
WORK_DIR = ROOT / "build" / "bench-loadtest"
# 15,000 connections of one process, with what is beside them.
FILES_MIN = 16_000


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.loadtest", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look: short measurements")
    parser.add_argument("--only", default="", help=f"parts to measure, with commas between: {', '.join(PARTS)}")
    given = parser.parse_args(arguments)
    wanted = wanted_parts(parser, given.only, PARTS)
    raise_files_limit(FILES_MIN)
    pace = QUICK if given.quick else FULL
    command = " ".join(["python", "-m", "bench.loadtest", *(sys.argv[1:] if arguments is None else arguments)])
    sheet = Sheet(machine_now(command), pace.repeats, quick=given.quick)
    with work_dir(WORK_DIR, sheet):
        bench = LoadtestBench(sheet, pace, WORK_DIR)
        began, others = time.monotonic(), OthersShare([])
        for part in wanted:
            say(f"--- {part}, {time.monotonic() - began:.0f} s after the start")
            bench.attempt(part, partial(PARTS[part], bench))
        # Everything of ours has ended, and is counted as ours.
        sheet.add(MACHINE, "all", "others_share", others.now([]))
        rows = rows_of(sheet)
        judgement = overall(rows, sheet, judge_all=len(wanted) == len(PARTS))
        return conclude(sheet, rows, judgement, table, result=RESULT, began=began)


if __name__ == "__main__":
    sys.exit(main())
