"""The figures of a chaos run as a page: what was felt of each fault, then what is asked for and whether it was reached."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bench.others import OTHERS_SHARE_MAX
from tests.chaos.judge import Findings, Window
from tests.chaos.nemesis import DRAINS, PLANNED

KILL_PAUSE_S_MAX = 3.0
MOVE_PAUSE_S_MAX = 0.250
VIOLATIONS_SHOWN = 40


class Verdict(Enum):
    PASS = "PASS"
    MISS = "FAILED"
    INVALID = "INVALID: only figures of time were missed, and the machine was busy with something else"


EXIT_CODES = {Verdict.PASS: 0, Verdict.MISS: 1, Verdict.INVALID: 3}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line that is judged.  `value` is None when nothing of the kind happened: then it is not judged."""

    name: str
    value: float | None
    at_most: float
    unit: str = ""

    @property
    def is_reached(self) -> bool:
        return self.value is None or self.value <= self.at_most


def figures(found: Findings) -> list[Figure]:
    deaths = ("kill_shard",)
    return [
        Figure("violations", len(found.violations), 0),
        Figure("errors and tracebacks in the nodes' logs", len(found.logged_errors), 0),
        Figure("longest publish pause after kill -9 of a shard", _longest(found, deaths), KILL_PAUSE_S_MAX, "s"),
        Figure("longest publish pause after a planned move", _longest(found, PLANNED), MOVE_PAUSE_S_MAX, "s"),
        Figure("clients disconnected by a shard's death", _disconnected(found, deaths), 0),
        Figure("clients disconnected by a drain", _disconnected(found, DRAINS), 0),
    ]


def _disconnected(found: Findings, kinds: Sequence[str]) -> float | None:
    return found.disconnected(*kinds) if found.count(*kinds) else None


def _longest(found: Findings, kinds: Sequence[str]) -> float | None:
    return found.longest(*kinds) if found.count(*kinds) else None


def verdict_of(found: Findings) -> Verdict:
    """Broken promises are broken on any machine; times are judged where there was time."""
    missed = [figure for figure in figures(found) if not figure.is_reached]
    if not missed:
        return Verdict.PASS
    is_busy = found.others_share > OTHERS_SHARE_MAX
    return Verdict.INVALID if is_busy and all(figure.unit == "s" for figure in missed) else Verdict.MISS


def table(found: Findings, again: str) -> str:
    """The whole page; `again` is the command that repeats the run."""
    lines = [f"`{again}`", "", "| fault | times | longest wait of a message s | disconnected | sent again | told stale |"]
    lines.append("|---|---|---|---|---|---|")
    by_kind: dict[str, list[Window]] = defaultdict(list)
    for window in found.windows:
        by_kind[window.fault.kind].append(window)
    for kind, windows in sorted(by_kind.items()):
        longest = max(windows, key=lambda window: window.longest_s)
        lines.append(
            f"| {kind} | {len(windows)} | {longest.longest_s:.2f} | {sum(window.disconnected for window in windows)}"
            f" | {sum(window.failed for window in windows)} | {sum(window.stale for window in windows)} |"
        )
    took = sorted(found.took_s)
    lines += [
        "",
        f"{found.said} messages said, {found.acked} acknowledged ({found.duplicates_answered} of them as duplicates of a"
        f" sending whose answer was lost), {found.removed} taken back; {found.seen} deliveries written down, {found.resumes}"
        f" reconnects, {found.moved} moves of a client by goaway, {found.skipped} skips and {found.resets} resets announced,"
        f" {found.epochs} epochs.",
        f"From saying to the log: p50 {percentile(took, 50) * 1e3:.1f} ms, p99 {percentile(took, 99) * 1e3:.1f} ms,"
        f" longest {percentile(took, 100):.2f} s.",
        f"Others used {found.others_share:.0%} of the machine; above {OTHERS_SHARE_MAX:.0%} it is too busy for figures of time.",
    ]
    for title, findings in (("violations", found.violations), ("errors in logs", found.logged_errors)):
        if findings:
            lines += ["", f"{len(findings)} {title}:"]
            lines += [f"- {line}" for line in findings[:VIOLATIONS_SHOWN]]
            if len(findings) > VIOLATIONS_SHOWN:
                lines.append(f"- ... and {len(findings) - VIOLATIONS_SHOWN} more")
    lines += ["", "| asked for | at most | figure | |", "|---|---|---|---|"]
    for figure in figures(found):
        value = "-" if figure.value is None else f"{figure.value:g}" if figure.unit == "" else f"{figure.value:.3f}"
        verdict = "not measured" if figure.value is None else "PASS" if figure.is_reached else "MISS"
        lines.append(f"| {figure.name} | {figure.at_most:g} {figure.unit} | {value} {figure.unit} | {verdict} |")
    return "\n".join(lines)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of sorted values; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
