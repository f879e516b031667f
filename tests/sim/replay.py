"""Run simulated seeds by hand: one, with its whole trace, or a range of them.

    python -m tests.sim.replay 23            what became of seed 23, run twice and compared
    python -m tests.sim.replay 23 --trace    and everything that happened in it, line by line
    python -m tests.sim.replay --seeds 200   seeds 0 to 199; exit code 1 when one finds anything
    python -m tests.sim.replay --moving ...  the same in a cluster whose slots change hands
"""

import argparse
import sys
import time
from collections import Counter

from tests.support.simulation import MOVING, Plan, Report, simulate


def command_of(report: Report) -> str:
    """What replays a seed."""
    return f"python -m tests.sim.replay {report.seed} --trace{' --moving' if report.is_moving else ''}"


def describe(report: Report) -> str:
    """A report for people: the verdict first, and how to see more."""
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(report.faults.items()))
    lines = [
        f"seed {report.seed}: {len(report.violations) or 'no'} violations, {report.acknowledged} messages acknowledged, "
        f"{report.simulated_s:.1f} s simulated",
        f"  digest {report.digest}",
        f"  faults {faults}",
        *(f"  {violation}" for violation in report.violations),
    ]
    if report.violations:
        lines.append(f"  replay it with: {command_of(report)}")
    return "\n".join(lines)


def replay(seed: int, plan: Plan, *, with_trace: bool) -> int:
    report = simulate(seed, plan)
    if with_trace:
        print("\n".join(report.lines))
    print(describe(report))
    again = simulate(seed, plan)
    if again.digest != report.digest:
        first = next((place for place, pair in enumerate(zip(report.lines, again.lines, strict=False)) if pair[0] != pair[1]), -1)
        print(f"  NOT REPEATABLE from line {first}:\n  {report.lines[first]}\n  {again.lines[first]}")
        return 1
    return 1 if report.violations else 0


def run_many(first: int, count: int, plan: Plan) -> int:
    began = time.perf_counter()
    simulated_s, failed = 0.0, 0
    faults: Counter[str] = Counter()
    for seed in range(first, first + count):
        report = simulate(seed, plan)
        simulated_s += report.simulated_s
        faults += report.faults
        if report.violations:
            failed += 1
            print(describe(report), flush=True)
    took_s = time.perf_counter() - began
    print(f"{count} seeds from {first}: {failed} failed; {sum(faults.values())} faults {dict(sorted(faults.items()))}")
    print(f"{simulated_s:.0f} s simulated in {took_s:.1f} s: {simulated_s / took_s:.0f} times as fast as time")
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.replay", description="Run simulated seeds.")
    parser.add_argument("seed", type=int, nargs="?", help="the seed to replay")
    parser.add_argument("--trace", action="store_true", help="print everything that happened")
    parser.add_argument("--digest", action="store_true", help="print the digest alone")
    parser.add_argument("--moving", action="store_true", help="in a cluster whose slots change hands")
    parser.add_argument("--seeds", type=int, default=0, help="run so many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    asked = parser.parse_args()
    if asked.seed is None and not asked.seeds:
        parser.error("a seed, or --seeds")
    plan = MOVING if asked.moving else Plan()
    if asked.seed is None:
        return run_many(asked.first, asked.seeds, plan)
    if asked.digest:
        print(simulate(asked.seed, plan).digest)
        return 0
    return replay(asked.seed, plan, with_trace=asked.trace)


if __name__ == "__main__":
    sys.exit(main())
