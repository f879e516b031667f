"""Beats of all workers, put together to the seconds of one run, and at its end to its record.  Pure.

Second k is the one that ends k seconds after the start.  Workers beat on whole seconds of the
run's clock, so a beat belongs to the second it ended nearest to.  A second is closed, and is a
`Moment` from then on, when every worker that is expected has beaten for it or for a later one,
or when it is LATE_S old: a late beat then counts into the oldest second that is still open, so
totals are exact in any case, and no worker can hold up the view.

What is a state (users, connections) is each worker's newest; what is a count is summed up.
"""

import binascii
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hdrh.codec import HdrCookieException, HdrLengthException  # type: ignore[import-untyped]  # it has no types

from loadtest.figures.messages import VIOLATIONS, Beat, Raised
from loadtest.figures.record import ExceptionRecord, FoundRecord, Mark, Moment, Percentiles, RowTotal, ServerProbe, WorkerProbe
from loadtest.figures.totals import Totals
from wire.codes import CloseCode
from wire.errors import PeerError

# Beyond what a healthy worker is ever late, below what a person at a screen takes for a halt.
LATE_S: Final = 2.0
# Findings kept by name; all of them are counted.
FINDINGS_MAX: Final = 1000
# Distinct reasons of refusal kept; the others are counted under one.
REFUSALS_MAX: Final = 100
OTHER_REFUSALS: Final = "other reasons"
# Distinct exceptions of scenarios kept, likewise.
EXCEPTIONS_MAX: Final = 50
OTHER_EXCEPTIONS: Final = "other exceptions"

_SECOND_US: Final = 1_000_000


@dataclass(slots=True)
class _Worker:
    name: str
    state: str = "waiting"
    is_awaited: bool = False
    """Whether a second waits for its beat."""
    second: int = 0
    """The newest one it has beaten for."""
    last: Beat | None = None


@dataclass(slots=True)
class _Second:
    totals: Totals = field(default_factory=Totals)
    counts: Counter[str] = field(default_factory=Counter)
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Closed:
    """A second that will not change any more; `totals` are its own rows."""

    moment: Moment
    totals: Totals


class Collector:
    """All that a run's workers have told, from its start on; times are microseconds of the master's clock."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.findings: list[FoundRecord] = []
        self._raised: dict[tuple[str, str], ExceptionRecord] = {}
        self.stops: list[str] = []
        """Why workers think that their own figures are worth nothing, each with its name; no sentence twice."""
        self.users_wanted = 0
        self.server: list[ServerProbe] = []
        """The newest look at the server's processes; whoever looks replaces it."""
        self._workers: dict[int, _Worker] = {}
        self._start_us: int | None = None
        self._open: dict[int, _Second] = {}
        self._closed = 0
        """The last second that is closed."""

    # --- workers ----------------------------------------------------------------------------------

    def joined(self, index: int, name: str) -> None:
        self._workers[index] = _Worker(name)

    def became(self, index: int, state: str) -> None:
        """One of `WorkerProbe.state`; seconds wait for workers that run."""
        worker = self._workers[index]
        worker.state = state
        worker.is_awaited = state == "running"

    def begin(self, start_us: int) -> None:
        """The run's zero is known."""
        self._start_us = start_us

    def take(self, index: int, beat: Beat) -> None:
        """Raises `PeerError` for a row that is no histogram: nothing of this beat counts then."""
        told = Totals()
        try:
            told.add(beat.rows)
        except (binascii.Error, zlib.error, HdrCookieException, HdrLengthException, IndexError, ValueError) as error:
            raise PeerError(CloseCode.BAD_REQUEST, f"a row that is no histogram: {error}") from error
        worker = self._workers[index]
        worker.last = beat
        worker.second = max(worker.second, self._second_of(beat.at_us))
        second = self._open_second(self._second_of(beat.at_us))
        second.totals.merge(told)
        second.counts.update(beat.counts)
        self.totals.merge(told)
        self.counts.update(beat.counts)
        for reason, count in beat.refusals.items():
            known = reason in self.refusals or len(self.refusals) < REFUSALS_MAX
            self.refusals[reason if known else OTHER_REFUSALS] += count
        for found in beat.findings:
            self._found(FoundRecord(found.kind, found.room, found.offset, found.count, found.client, found.detail))
        for raised in beat.raised:
            self._raise(raised, worker.name)
        doubts = [f"{worker.name}: {sentence}" for sentence in beat.stops]
        self.stops += [doubt for doubt in doubts if doubt not in self.stops]

    # --- what the master itself finds ------------------------------------------------------------------

    def mark(self, mark: Mark) -> None:
        """Something was done to the system on purpose, at `mark.at_s`."""
        self._open_second(int(mark.at_s) + 1).marks.append(mark)

    def found(self, found: FoundRecord) -> None:
        """A violation that shows only when all workers' words are put together."""
        self.counts[found.kind] += found.count
        self._found(found)

    def count(self, name: str, count: int, at_us: int) -> None:
        """Something that only the master can count."""
        if count:
            self.counts[name] += count
            self._open_second(self._second_of(at_us)).counts[name] += count

    # --- reading -------------------------------------------------------------------------------------------

    def close_due(self, now_us: int) -> list[Closed]:
        """The seconds that are whole by now, in order; each is given out once."""
        if self._start_us is None:
            return []
        age_s = (now_us - self._start_us) / _SECOND_US
        awaited = [worker.second for worker in self._workers.values() if worker.is_awaited]
        beaten = min(awaited, default=0) if awaited else int(age_s)
        return self._close_until(max(min(beaten, int(age_s)), int(age_s - LATE_S)))

    def close_all(self) -> list[Closed]:
        """At the end: everything that is still open."""
        return self._close_until(max(self._open, default=self._closed))

    @property
    def users(self) -> int:
        return sum(self._users_by_class().values())

    @property
    def violations(self) -> int:
        return sum(self.counts[kind] for kind in VIOLATIONS)

    def workers(self) -> list[WorkerProbe]:
        """How each worker does, by its last beat."""
        probes = []
        for _, worker in sorted(self._workers.items()):
            last = worker.last
            if last is None or worker.state in ("dead", "ended"):
                probes.append(WorkerProbe(worker.name, 0, 0.0, 0, 0.0, worker.state))
            else:
                health = last.health
                lag_ms = health.lag_us_max / 1000
                users = sum(last.users.values())
                probes.append(WorkerProbe(worker.name, users, health.cpu_share, health.rss_bytes, lag_ms, worker.state))
        return probes

    @property
    def exceptions(self) -> list[ExceptionRecord]:
        """What scenarios raised, the first ones by their words."""
        return list(self._raised.values())

    def row_totals(self, seconds: float) -> list[RowTotal]:
        """All rows of the run, with rates over its `seconds`."""
        return [row.total(seconds) for row in self.totals.rows()]

    # --- inside ------------------------------------------------------------------------------------------------

    def _second_of(self, at_us: int) -> int:
        """At least 1: what is told before the start belongs to the first second."""
        if self._start_us is None:
            return 1
        return max(1, (at_us - self._start_us + _SECOND_US // 2) // _SECOND_US)

    def _open_second(self, second: int) -> _Second:
        return self._open.setdefault(max(second, self._closed + 1), _Second())

    def _close_until(self, last: int) -> list[Closed]:
        closed = []
        while self._closed < last:
            self._closed += 1
            closed.append(self._moment(self._closed, self._open.pop(self._closed, _Second())))
        return closed

    def _moment(self, at: int, second: _Second) -> Closed:
        alive = self._alive()
        servers: Counter[str] = Counter()
        for beat in alive:
            servers.update(beat.servers)
        by_class = self._users_by_class()
        moment = Moment(
            at_s=float(at),
            users=sum(by_class.values()),
            users_wanted=self.users_wanted,
            users_by_class=by_class,
            connected=sum(beat.connected for beat in alive),
            servers=dict(servers),
            counts_per_s={name: float(count) for name, count in second.counts.items() if count},
            latencies=_latencies(second.totals),
            violations=self.violations,
            server=self.server,
            workers=self.workers(),
            marks=second.marks,
        )
        return Closed(moment, second.totals)

    def _alive(self) -> list[Beat]:
        """The newest beats of workers whose users are there."""
        return [worker.last for worker in self._workers.values() if worker.last and worker.state not in ("dead", "ended")]

    def _users_by_class(self) -> dict[str, int]:
        users: Counter[str] = Counter()
        for beat in self._alive():
            users.update(beat.users)
        return dict(users)

    def _raise(self, raised: Raised, worker: str) -> None:
        key = (raised.message, raised.traceback)
        if key not in self._raised and len(self._raised) >= EXCEPTIONS_MAX:
            key = (OTHER_EXCEPTIONS, "")
        known = self._raised.get(key) or ExceptionRecord(0, *key, [])
        workers = known.workers if worker in known.workers else [*known.workers, worker]
        self._raised[key] = ExceptionRecord(known.count + raised.count, *key, workers)

    def _found(self, found: FoundRecord) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(found)


def _latencies(totals: Totals) -> dict[str, Percentiles]:
    """By the row's name; a second row of that name has its kind before it."""
    latencies: dict[str, Percentiles] = {}
    for row in totals.rows():
        name = row.name if row.name not in latencies else f"{row.kind} {row.name}"
        latencies[name] = row.percentiles()
    return latencies


def clock_error_ms(errors_us: Sequence[int]) -> float:
    """Between two workers: each may be wrong the other way, so the two greatest add up; 0 for one clock."""
    return sum(sorted(errors_us)[-2:]) / 1000
