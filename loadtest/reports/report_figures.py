"""The head of the report: what ran, the verdict with its reasons, and the figures one asks for first.  Pure.

Everything here returns HTML in which all text of the run is escaped.
"""

from collections.abc import Iterator, Sequence
from html import escape

from loadtest.figures.messages import VIOLATIONS
from loadtest.figures.record import RowTotal, RunRecord, ThresholdResult, Verdict
from loadtest.reports.figures import NOTHING, count, digits, duration, milliseconds, per_second, share


def when(record: RunRecord) -> str:
    """One line below the scenario's name."""
    hosts = ", ".join(record.hosts[:4]) + (f" and {len(record.hosts) - 4} more" if len(record.hosts) > 4 else "")
    began = record.started_at[:19].replace("T", " ")
    return escape(f"{duration(record.seconds)} against {hosts}, from {began} UTC")


def reasons(verdict: Verdict) -> str:
    said = verdict.reasons or ["Everything that was asked for was met, and nothing was lost, doubled, reordered or altered."]
    return f'<ul class="reasons">{"".join(f"<li>{escape(each)}</li>" for each in said)}</ul>'


def thresholds(results: Sequence[ThresholdResult]) -> str:
    """What `--fail-if` asked, each with the figure."""
    if not results:
        return ""
    return f'<ul class="asked" aria-label="Fails if">{"".join(map(_threshold, results))}</ul>'


def notes(said: Sequence[str]) -> str:
    """What happened to the run itself, for instance that somebody changed its load."""
    return f'<ul class="notes">{"".join(f"<li>{escape(each)}</li>" for each in said)}</ul>' if said else ""


def _threshold(result: ThresholdResult) -> str:
    look = ' class="failed"' if result.failed else ""
    return f"<li{look}>fails if {escape(result.text)}: <b>{escape(threshold_figure(result))}</b></li>"


def threshold_figure(result: ThresholdResult) -> str:
    """What it was, with its unit."""
    if result.figure is None:
        return "not measured"
    if result.unit == "ms":
        return milliseconds(result.figure)
    return f"{digits(result.figure)}{result.unit if result.unit == '/s' else f' {result.unit}'}".rstrip()


def key_figures(record: RunRecord) -> str:
    """A tile for each figure: its name, the number, one line more."""
    return "\n".join(_tiles(record))


def _tiles(record: RunRecord) -> Iterator[str]:
    rows = {row.name: row for row in reversed(record.rows)}
    counts, moments = record.counts, record.moments
    peak = max(moments, key=lambda moment: moment.connected, default=None)
    if peak is not None:
        wanted = max(moment.users_wanted for moment in moments)
        classes = ", ".join(f"{digits(users)} {name}" for name, users in peak.users_by_class.items() if users)
        yield _tile("Users connected, at most", digits(peak.connected), f"of {digits(wanted)} wanted: {classes}")
    yield _latency("Delivery, p99", rows.get("deliver"))
    yield _latency("Publish, p99", rows.get("publish"))
    yield _tile("Deliveries", count(counts.get("deliveries", 0)), _rates(record, "deliveries"))
    sent, acked = counts.get("publishes", 0), counts.get("acked", 0)
    more = f"{share(acked / sent)} acknowledged; {_rates(record, 'publishes')}" if sent else "nothing was sent"
    yield _tile("Publishes", count(sent), more)
    failed = counts.get("connects_failed", 0)
    more = f"{digits(counts.get('connects', 0))} welcomed, {digits(failed)} failed, {digits(counts.get('disconnects', 0))} lost"
    yield _latency("Connect, p99", rows.get("connect"), more)
    violations = sum(counts.get(kind, 0) for kind in VIOLATIONS)
    more = f"of {count(counts.get('audited', 0))} that were checked; {count(counts.get('skipped', 0))} skipped and announced"
    yield _tile("Lost or wrong", digits(violations), more, "bad" if violations else "good" if counts.get("audited") else "")
    yield _generator(record)


def _generator(record: RunRecord) -> str:
    workers = [worker for moment in record.moments for worker in moment.workers]
    lag_ms = max((worker.lag_ms for worker in workers), default=0.0)
    cpu = max((worker.cpu_share for worker in workers), default=0.0)
    missed, late = record.counts.get("slots_missed", 0), record.counts.get("slots_late", 0)
    more = f"of a core at most; lag {milliseconds(lag_ms)} at worst; slots late {digits(late)}, missed {digits(missed)}"
    return _tile("Generator, busiest process", share(cpu), more)


def _latency(name: str, row: RowTotal | None, more: str = "") -> str:
    if row is None or not row.count:
        return _tile(name, NOTHING, more or "nothing was measured")
    took = row.percentiles_ms
    spread = f"median {milliseconds(took['50'])}, p99.9 {milliseconds(took['99.9'])}, worst {milliseconds(row.max_ms)}"
    return _tile(name, milliseconds(took["99"]), more or spread)


def _rates(record: RunRecord, name: str) -> str:
    mean = record.counts.get(name, 0) / record.seconds if record.seconds else 0.0
    most = max((moment.counts_per_s.get(name, 0.0) for moment in record.moments), default=0.0)
    return f"{per_second(mean)} on average, {per_second(most)} at most"


def _tile(name: str, figure: str, more: str, look: str = "") -> str:
    number, _, unit = figure.partition(" ")
    small = f"<small>{escape(unit)}</small>" if unit else ""
    look = f' class="{look}"' if look else ""
    return f'<div{look}><dt>{escape(name)}</dt><dd>{escape(number)}{small}</dd><dd class="more">{escape(more)}</dd></div>'
