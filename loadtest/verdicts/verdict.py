"""The run in one word, with its exit code and the reasons in plain sentences.  Pure.

The order is that of what a word says about the others.  Without a target there is no run
(UNREACHABLE); figures of a generator that could not keep up are no figures of the server
(INVALID); then the run failed if a threshold says so, or if anything was lost, doubled,
reordered, altered or sent to the wrong room, whether or not somebody asked: a load test
that found a loss is not green.  An INVALID run names what was found, too: a generator that
is late makes no message come twice.  Only what had not come in time at the end may be its own doing.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

from loadtest.figures.messages import COUNTS, VIOLATIONS
from loadtest.figures.record import FoundRecord, ThresholdResult, Verdict

# Findings that the reasons name one by one; the record has all that were told.
FINDINGS_NAMED_MAX: Final = 5
# Users who have had no answer for so long will not have one in a shorter run, either.
UNANSWERED_S: Final = 2.0


class Exit(IntEnum):
    """What `parvis loadtest` ends with."""

    PASS = 0
    MISS = 1
    """A threshold was missed, or something was found that must not happen."""
    USAGE = 2
    """The command or the scenario has to be changed before anything can run."""
    INVALID = 3
    """The generator could not keep up: the figures say nothing about the server."""
    UNREACHABLE = 4
    """Nobody there, or everybody refused."""


def judge(
    *,
    unreachable: Sequence[str] = (),
    invalid: Sequence[str] = (),
    thresholds: Sequence[ThresholdResult] = (),
    counts: Mapping[str, int],
    findings: Sequence[FoundRecord] = (),
) -> Verdict:
    """`unreachable` and `invalid` are sentences; `counts` and `findings` are of the whole run."""
    if unreachable:
        return Verdict("UNREACHABLE", Exit.UNREACHABLE.value, list(unreachable))
    if invalid:
        # What a late generator had not read yet has not come either.
        found = _violations({**counts, "undelivered": 0}, [each for each in findings if each.kind != "undelivered"])
        return Verdict("INVALID", Exit.INVALID.value, [*invalid, *found])
    missed = [*_violations(counts, findings), *(_missed(result) for result in thresholds if result.failed)]
    if missed:
        return Verdict("MISS", Exit.MISS.value, missed)
    return Verdict("PASS", Exit.PASS.value, [])


def unreachable_reason(
    counts: Mapping[str, int], refusals: Mapping[str, int], hosts: Sequence[str], waited_s: float = 0.0
) -> str | None:
    """Why the run was none, when nobody was ever welcomed; None when somebody was, or nobody knocked.

    `waited_s` is for how long there were users: a server that says nothing at all refuses nobody, either.
    """
    failed = counts.get("connects_failed", 0)
    if counts.get("connects", 0) or not (failed or waited_s >= UNANSWERED_S):
        return None
    if not failed:
        return f"{', '.join(hosts)} welcomed nobody in {waited_s:.0f} s, and refused nobody: is what runs there alive?"
    why = ", ".join(f"{code} {count} times" for code, count in sorted(refusals.items(), key=lambda each: -each[1])[:3])
    tries = "the only connection" if failed == 1 else f"none of {failed:,} connections"
    was = "was not welcomed" if failed == 1 else "was welcomed"
    return f"{tries} to {', '.join(hosts)} {was}{f' ({why})' if why else ''}: check the address, and that a gateway runs there"


def _violations(counts: Mapping[str, int], findings: Sequence[FoundRecord]) -> list[str]:
    kinds = [kind for kind in VIOLATIONS if counts.get(kind, 0)]
    if not kinds:
        return []
    total = ", ".join(f"{kind} {counts[kind]:,} ({COUNTS[kind]})" for kind in kinds)
    named = [f"{each.kind}: {told(each)}" for each in findings[:FINDINGS_NAMED_MAX]]
    return [f"found what must never happen: {total}", *named]


def told(found: FoundRecord) -> str:
    """One finding as a line for people."""
    place = f"{found.room} at offset {found.offset}" if found.offset else found.room
    return f"{place}, seen by {found.client}: {found.detail}"


def _missed(result: ThresholdResult) -> str:
    if result.figure is None:
        return f"{result.text}: nothing of this was measured"
    unit = "" if result.unit == "/s" else result.unit
    figure = f"{result.figure:,.0f}" if result.figure >= 1000 else f"{result.figure:.4g}"
    return f"{result.text}: it was {figure}{unit}"
