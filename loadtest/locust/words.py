"""What a worker and a stock locust master say to each other.  Pure.

Each message is a msgpack array `(type, data, node id)` in one ZeroMQ frame.  Locust does not
document it: this is what its versions of LOCUST_TESTED say (`tests/loadtest/test_locust_contract.py`
asks a real one), in the words of its `runners.py` and `stats.py`.

Our figures become locust's here: latencies in its buckets of milliseconds, and failures as
requests without a response time.  Its buckets are coarse; the histograms of our own reports
stay the truth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import msgspec

from loadtest.figures.messages import COUNTS, VIOLATIONS
from loadtest.figures.record import FoundRecord
from loadtest.figures.tally import WS
from loadtest.figures.totals import RowSum, Totals

# Versions whose masters this was run with.
LOCUST_TESTED: Final = ("2.40.5", "2.43.4", "2.47.0")
MESSAGE_BYTES_MAX: Final = 16 << 20
# What a worker says in place of its version when it is none of locust's own: a master accepts it without a warning.
FOREIGN_VERSION: Final = -1

READY: Final = "ready"
SPAWNING: Final = "spawning"
RUNNING: Final = "running"
"""States of a worker, as its heartbeats say them."""

AUDIT: Final = "audit"
"""The row under which violations stand: its requests are the events that auditors checked."""


class NotLocust(Exception):
    """Bytes that no locust master says."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message."""

    type: str
    data: Any
    node: str


_DECODER: Final = msgspec.msgpack.Decoder(tuple[str, Any, str | None])


def encode(said: Said) -> bytes:
    return msgspec.msgpack.encode((said.type, said.data, said.node))


def decode(data: bytes) -> Said:
    """Raises `NotLocust`."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise NotLocust(f"a message of {len(data)} bytes; no locust says more than {MESSAGE_BYTES_MAX}")
    try:
        kind, body, node = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotLocust(f"bytes that are no message: {error}") from error
    return Said(kind, body, node or "")


# --- what the master wants ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """What `spawn` asks for: so many users of each class on this worker, in all."""

    at: float
    """On the master's clock.  A job that is not newer than the last one is void: messages may be sent again."""
    users: Mapping[str, int]
    host: str
    """As typed into the web page or on the command line; "" when it was not."""
    stop_timeout_s: float
    tags: list[str] = field(default_factory=list)
    exclude_tags: list[str] = field(default_factory=list)
    workers: int = 1
    """How many the master was told to expect: all we know of the others."""


def job_of(said: Said) -> Job:
    """Raises `NotLocust` when something is missing or is of another kind."""
    try:
        body, options = said.data, said.data.get("parsed_options") or {}
        return Job(
            at=float(body["timestamp"]),
            users={str(name): int(count) for name, count in body["user_classes_count"].items()},
            host=str(body.get("host") or ""),
            stop_timeout_s=float(body.get("stop_timeout") or 0),
            tags=[str(each) for each in options.get("tags") or []],
            exclude_tags=[str(each) for each in options.get("exclude_tags") or []],
            workers=max(1, int(options.get("expect_workers") or 1)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotLocust(f"a spawn without {error}") from error


# --- what we measured, in locust's words -------------------------------------------------------------


def bucket_ms(latency_ms: float) -> int:
    """Locust's own: whole milliseconds below 100, then two significant digits."""
    if latency_ms < 100:
        return round(latency_ms)
    if latency_ms < 1000:
        return int(round(latency_ms, -1))
    return int(round(latency_ms, -2 if latency_ms < 10_000 else -3))


@dataclass(frozen=True, slots=True)
class Span:
    """Of which time figures are, in seconds on the wall's clock: locust's tables are kept by those."""

    began_at: float
    ended_at: float

    @property
    def second(self) -> int:
        """The one to which they are put down: a beat lasts one second, and its middle is in it."""
        return int((self.began_at + self.ended_at) / 2)


def report(
    totals: Totals, counts: Mapping[str, float], findings: Sequence[FoundRecord], users: Mapping[str, int], span: Span
) -> dict[str, object]:
    """The body of `stats`: everything since the last one.  Takes tens of milliseconds when latencies are many."""
    audit, checked = _audit_row(counts, findings), int(counts.get("audited", 0))
    whole = totals.aggregated()
    untimed = whole.failures + max(checked, audit.failures)
    whole.merge(audit)
    told = totals.rows()
    entries = [_entry(row, span, row.failures) for row in told]
    entries.append(_entry(audit, span, max(checked, audit.failures)))
    return {
        "stats": [entry for entry in entries if entry["num_requests"]],
        "stats_total": _entry(whole, span, untimed),
        "errors": dict(_error(row, text, count, span) for row in (*told, audit) for text, count in row.errors.items()),
        "user_classes_count": dict(users),
        "user_count": sum(users.values()),
    }


def _audit_row(counts: Mapping[str, float], findings: Sequence[FoundRecord]) -> RowSum:
    """Violations as failures with names: those that are told of in words, and one line for the rest of each kind."""
    row = RowSum(WS, AUDIT)
    for finding in findings:
        where = f" at offset {finding.offset}" if finding.offset else ""
        row.errors[f"{finding.kind}: {finding.room}{where}: {finding.detail}"] += finding.count
    for kind in VIOLATIONS:
        in_words = sum(finding.count for finding in findings if finding.kind == kind)
        if counts.get(kind, 0) > in_words:
            row.errors[f"{kind}: {COUNTS[kind]}"] += int(counts[kind]) - in_words
    row.failures = sum(row.errors.values())
    return row


def _entry(row: RowSum, span: Span, untimed: int) -> dict[str, object]:
    """One row as locust's `StatsEntry` travels; `untimed` are its requests that took no time which anybody measured."""
    took = row.latencies
    requests = took.count + untimed
    times: dict[int, int] = {}
    for latency_us, count in took.counts():
        bucket = bucket_ms(latency_us / 1000)
        times[bucket] = times.get(bucket, 0) + count
    return {
        "name": row.name,
        "method": row.kind,
        "last_request_timestamp": span.ended_at if requests else None,
        "start_time": span.began_at,
        "num_requests": requests,
        "num_none_requests": untimed,
        "num_failures": row.failures,
        "total_response_time": took.total_us / 1000,
        "max_response_time": took.max_us / 1000,
        "min_response_time": took.min_us / 1000 if took.count else None,
        "total_content_length": row.bytes,
        "response_times": times,
        "num_reqs_per_sec": {span.second: requests} if requests else {},
        "num_fail_per_sec": {span.second: row.failures} if row.failures else {},
    }


def _error(row: RowSum, text: str, count: int, span: Span) -> tuple[str, dict[str, object]]:
    """One kind of failure, under the key by which locust knows it from all workers."""
    key = sha256(f"{row.kind}.{row.name}.{text!r}".encode()).hexdigest()
    return key, {
        "name": row.name,
        "method": row.kind,
        "error": text,
        "occurrences": count,
        "first_seen": span.began_at,
        "last_seen": span.ended_at,
    }
