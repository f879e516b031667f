"""What a terminal shows of a run while it goes on: one picture of now, made anew each time.  Pure.

From top to bottom: how far the run is, what flows, what must not happen, how long things take
now and over the run, and who does it.  It fits 80 columns.  Names and texts that come from
outside are made plain first (`plain`): nothing in them can speak to the terminal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from unicodedata import category

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from loadtest.figures.messages import VIOLATIONS
from loadtest.figures.record import Moment, Percentiles, RowTotal
from loadtest.figures.totals import is_part
from loadtest.master.steering import Standing
from loadtest.reports.figures import NOTHING, digits, milliseconds, per_second, share, size

SPARK_SECONDS: Final = 60
LINES_PER_KIND_MAX: Final = 4
ROWS_MAX: Final = 9
_NAME_MAX: Final = 15
_SPARKS: Final = " ▁▂▃▄▅▆▇█"
_PHASE_STYLES: Final = {
    "waiting": "yellow", "ready": "cyan", "spawning": "yellow", "running": "green", "stopping": "yellow", "ended": "dim",
}  # fmt: skip
_ORDER: Final = ("connect", "publish", "deliver", "resume")


@dataclass(frozen=True, slots=True)
class Overall:
    """The run so far, looked at less often than its newest second."""

    rows: Sequence[RowTotal] = ()
    counts: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)


def plain(text: str, width: int = 60) -> str:
    """One line without anything that a terminal obeys or an eye cannot see; what is too long ends in an ellipsis."""
    seen = "".join("\N{REPLACEMENT CHARACTER}" if category(each)[0] in "CZ" and each != " " else each for each in text)
    return seen if len(seen) <= width else f"{seen[: width - 1]}…"


def dashboard(standing: Standing, moments: Sequence[Moment], overall: Overall, width: int = 80) -> Group:
    """The whole picture, at most `width` columns wide."""
    parts: list[RenderableType] = [_head(standing, width), _bar(standing, width)]
    if not moments:
        parts.append(Text(f" {plain(standing.sentence, width - 2)}", style="dim"))
        return Group(*parts)
    now = moments[-1]
    parts += [Text(), _flow(moments, now, overall, width), Text(), latency_table(now.latencies, overall.rows), Text()]
    parts.append(_who(now, overall))
    return Group(*parts)


def plain_line(standing: Standing, now: Moment | None) -> str:
    """The same for a pipe: one line, without a colour."""
    if now is None:
        return f"{standing.phase}: {plain(standing.sentence, 200)}"
    rates, took = now.counts_per_s, now.latencies.get("deliver", Percentiles())
    times = f"p50 {milliseconds(took.p50)}, p99 {milliseconds(took.p99)}, max {milliseconds(took.max)}" if took.count else NOTHING
    failed = rates.get("connects_failed", 0.0)
    return (
        f"{clock(now.at_s):>7}  users {now.users:,}{_bound_for(now)}{now.users_wanted:,}, connected {now.connected:,}"
        f" | publishes {per_second(rates.get('publishes', 0.0))}, deliveries {per_second(rates.get('deliveries', 0.0))}"
        f" | deliver {times} | lost or wrong {now.violations:,}"
        + (f", skipped {per_second(rates['skipped'])}" if rates.get("skipped") else "")
        + (f", connects failed {per_second(failed)}" if failed else "")
    )


def _bound_for(now: Moment) -> str:
    """Between how many there are and how many there shall be: nobody is one "of" fewer."""
    return " of " if now.users <= now.users_wanted else ", on the way to "


def clock(seconds: float) -> str:
    """``0:34``, ``1:02:05``."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}" if minutes >= 60 else f"{minutes}:{second:02}"


def spark(values: Sequence[float], width: int) -> str:
    """The newest `width` values as blocks, the highest of them full; one that is not zero is never empty."""
    shown = values[-width:]
    most = max(shown, default=0.0)
    if most <= 0:
        return ""
    return "".join(_SPARKS[max(1, round(value / most * 8))] if value > 0 else _SPARKS[0] for value in shown)


# --- parts, from top to bottom --------------------------------------------------------------------------------


def _head(standing: Standing, width: int) -> Table:
    line = Table.grid(expand=False, padding=(0, 1))
    line.add_column(no_wrap=True, width=width - 34, overflow="ellipsis")
    line.add_column(no_wrap=True, justify="right", width=32)
    hosts = plain(standing.hosts[0], 40) if standing.hosts else ""
    more = f" +{len(standing.hosts) - 1}" if len(standing.hosts) > 1 else ""
    what = Text.assemble(" ", (plain(standing.scenario, 30), "bold"), ("  ", ""), (f"{hosts}{more}", "dim"))
    planned = f" of {clock(standing.seconds_planned)}" if standing.seconds_planned else ""
    phase = (f"● {standing.phase}", _PHASE_STYLES[standing.phase])
    line.add_row(what, Text.assemble(phase, "  ", (clock(standing.seconds), "bold"), (planned, "dim")))
    return line


def _bar(standing: Standing, width: int) -> RenderableType:
    if not standing.seconds_planned:
        return Text("─" * width, style="grey37")
    done = min(standing.seconds, standing.seconds_planned)
    return ProgressBar(total=standing.seconds_planned, completed=done, width=width, complete_style="dark_orange3", style="grey37")


def _flow(moments: Sequence[Moment], now: Moment, overall: Overall, width: int) -> Table:
    table = _labelled()
    rates, cells = now.counts_per_s, min(SPARK_SECONDS, width - 44)
    recent = moments[-cells:]
    users = Text.assemble(
        (f"{now.users:,}", "bold"), (f" living{_bound_for(now)}", "dim"), f"{now.users_wanted:,}", (" wanted, ", "dim"),
        (f"{now.connected:,}", "bold" if now.connected >= now.users else "bold yellow"), (" connected", "dim"),
    )  # fmt: skip
    for name in ("connects", "disconnects", "resumes"):
        if rates.get(name):
            users.append(f"   {name} ", "dim").append(per_second(rates[name]))
    table.add_row(" users", users)
    for name in ("publishes", "deliveries"):
        graph = spark([moment.counts_per_s.get(name, 0.0) for moment in recent], cells)
        rate = f"{per_second(rates.get(name, 0.0)):>11}"
        table.add_row(f" {name}", Text.assemble((rate, "bold"), "  ", (graph, "dark_orange3")))
    p99s = [moment.latencies.get("deliver", Percentiles()).p99 for moment in recent]
    newest = milliseconds(p99s[-1]) if p99s[-1] else NOTHING
    table.add_row(" deliver p99", Text.assemble((f"{newest:>11}", "bold"), "  ", (spark(p99s, cells), "steel_blue")))
    table.add_row(" wrong", wrong(now.violations, overall.counts))
    return table


def wrong(violations: int, counts: dict[str, int]) -> Text:
    """What must not happen, named; and what may, but is told."""
    named = ", ".join(f"{kind} {counts[kind]:,}" for kind in VIOLATIONS if counts.get(kind))
    line = Text()
    if violations:
        line.append(f"{violations:,} lost or wrong", "bold red").append(f": {named}" if named else "", "red")
    else:
        line.append("0 lost or wrong", "green")
    told = {
        "skipped": "skipped, announced", "refused": "refused", "unknown": "outcome unknown", "connects_failed": "connects failed",
        "slots_late": "slots late", "slots_missed": "slots missed",
    }  # fmt: skip
    for name, words in told.items():
        if counts.get(name):
            line.append("   ").append(f"{counts[name]:,} {words}", "yellow")
    return line


def latency_table(now: dict[str, Percentiles], overall: Sequence[RowTotal]) -> Table:
    """Milliseconds: of the newest second, and of the whole run."""
    table = Table.grid(padding=(0, 0, 0, 1))
    table.add_column(no_wrap=True, width=_NAME_MAX, overflow="ellipsis")
    for place in range(11):
        table.add_column(justify="right" if place != 5 else "center", no_wrap=True, min_width=1 if place == 5 else 5)
    heads = [Text(head, "dim") for head in ("p50", "p95", "p99", "p99.9", "max")]
    table.add_row(Text(" ms", "dim"), Text("now", "dim italic"), "", "", "", "", "", Text("run", "dim italic"))
    table.add_row("", *heads, Text("│", "grey37"), *heads)
    rows = {row.name: row for row in reversed(overall)}
    names = sorted({*now, *rows}, key=_place)
    for name in [name for name in names if now.get(name, Percentiles()).count or name in rows][:ROWS_MAX]:
        label = f"   {plain(name).partition(' (')[2].removesuffix(')')}" if is_part(name) else f" {plain(name, _NAME_MAX - 1)}"
        cells = [*_now(now.get(name)), Text("│", "grey37"), *_run(rows.get(name))]
        table.add_row(Text(label, "dim" if is_part(name) else ""), *cells)
    return table


def _place(name: str) -> tuple[int, str]:
    whole = name.partition(" (")[0]
    return (_ORDER.index(whole) if whole in _ORDER else len(_ORDER), name)


def _now(took: Percentiles | None) -> list[Text]:
    if took is None or not took.count:
        return [Text("·", "grey37")] * 5
    return [Text(brief_ms(each), "bold" if place == 2 else "") for place, each in enumerate(_five(took))]


def _five(took: Percentiles) -> tuple[float, ...]:
    return took.p50, took.p95, took.p99, took.p999, took.max


def _run(row: RowTotal | None) -> list[Text]:
    if row is None or not row.count:
        return [Text("·", "grey37")] * 5
    values = [*(row.percentiles_ms[percent] for percent in ("50", "95", "99", "99.9")), row.max_ms]
    return [Text(brief_ms(each), "bold" if place == 2 else "") for place, each in enumerate(values)]


def brief_ms(value: float) -> str:
    """At most five characters: ``0.064``, ``41.2``, ``591``, ``1.23s``, ``123s``."""
    if value >= 1000:
        return f"{digits(value / 1000).replace(',', '')}s"
    return digits(value) if value >= 0.01 else "<0.01"


def _who(now: Moment, overall: Overall) -> Table:
    table = _labelled()
    total = sum(now.servers.values()) or 1
    split = [f"{plain(name, 24)} {count:,} ({share(count / total)})" for name, count in sorted(now.servers.items())]
    _listed(table, "gateways", split, per_line=3)
    workers = []
    for worker in now.workers:
        cpu, lag, memory = share(worker.cpu_share), milliseconds(worker.lag_ms), size(worker.rss_bytes)
        figures = f"{worker.users:,} users, {cpu} CPU, lag {lag}, {memory}"
        style = "red" if worker.state == "dead" else "yellow" if worker.cpu_share > 0.9 else ""
        workers.append(Text.assemble((f"{plain(worker.name, 20)} {worker.state}", style), ("  " + figures, style or "dim")))
    _listed(table, "workers", workers)
    server = [f"{plain(each.name, 20)} {share(each.cpu_share)} {size(each.rss_bytes)}" for each in now.server]
    _listed(table, "server", server, per_line=2)
    refusals = sorted(overall.refusals.items(), key=lambda each: -each[1])
    _listed(table, "refusals", [f"{plain(code, 24)} {count:,}" for code, count in refusals], per_line=3, style="yellow")
    return table


def _listed(table: Table, label: str, entries: Sequence[str | Text], per_line: int = 1, style: str = "") -> None:
    """Some lines of entries under a label; what does not fit is counted."""
    shown = entries[: LINES_PER_KIND_MAX * per_line]
    lines = [_joined(shown[start : start + per_line], style) for start in range(0, len(shown), per_line)]
    if len(entries) > len(shown):
        lines.append(Text(f"and {len(entries) - len(shown)} more", "dim"))
    for place, line in enumerate(lines):
        table.add_row(f" {label}" if place == 0 else "", line)


def _joined(entries: Iterable[str | Text], style: str) -> Text:
    return Text("   ").join([each if isinstance(each, Text) else Text(each, style) for each in entries])


def _labelled() -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True, min_width=12)
    table.add_column(no_wrap=True, overflow="ellipsis")
    return table
