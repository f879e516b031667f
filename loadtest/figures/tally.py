"""What one worker has measured since it last told: rows of latencies and failures, and plain counts.  Pure.

Everything in a worker writes here, and once a second `take` hands it to the master as part
of a `Beat` (`loadtest/figures/messages.py`): so a figure is counted in one place, and travels once.

Rows are locust's: a type and a name.  Ours are of type ``WS``:
    connect   from the dial to the welcome, with all rooms joined
    publish   from the intended moment to the acknowledgement
    deliver   from the intended moment to each reader, `deliver (small|medium|large)` by the room's size
    resume    from the loss of a connection to the welcome of the next
A scenario adds its own.  Whoever tells the parts of a row, ``deliver (large)``, leaves the
whole of them to the master (`loadtest/figures/totals.py`).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from loadtest.figures.latency import Latencies
from loadtest.figures.messages import Finding, Raised, Row

WS: Final = "WS"
# A person reads along in a small room; a medium one fills a gateway's pass; beyond it a room is shared by many gateways.
SMALL_ROOM_MAX: Final = 100
MEDIUM_ROOM_MAX: Final = 1000
# Distinct texts of errors kept in a row: what is beyond them is counted under one.
ERRORS_PER_ROW_MAX: Final = 50
OTHER_ERRORS: Final = "other errors"
# Findings that a worker tells of in words; all are counted.
FINDINGS_TOLD_MAX: Final = 100
# Distinct exceptions that a worker keeps until it tells of them, and characters of a traceback: its end is what helps.
RAISED_MAX: Final = 20
TRACEBACK_CHARS_MAX: Final = 4000
# Of any other text: a page of HTML in an exception's words must not make a beat that its channel does not carry.
TEXT_CHARS_MAX: Final = 500
# Codes of refusals that are told each time; a server may invent as many as it likes.
REFUSALS_TOLD_MAX: Final = 100


class RowTally:
    """One row since the last `take`."""

    __slots__ = ("_samples", "bytes", "errors", "failures", "latencies")

    def __init__(self) -> None:
        self._samples: Counter[int] = Counter()
        self.latencies = Latencies()
        self.errors: Counter[str] = Counter()
        self.failures = 0
        self.bytes = 0

    def record_all(self, latencies_us: Iterable[int]) -> None:
        """Very many samples, at 0.1 us each: they go into the histogram once a second, when the row is told."""
        self._samples.update(latencies_us)

    def fail(self, error: str) -> None:
        """Count one that went wrong; `error` is one short plain sentence without ids."""
        self.failures += 1
        error = tellable(error)
        self.errors[error if error in self.errors or len(self.errors) < ERRORS_PER_ROW_MAX else OTHER_ERRORS] += 1

    def told(self, kind: str, name: str) -> Row:
        took = self.latencies
        took.record_many(self._samples)
        self._samples.clear()
        return Row(kind, name, took.count, took.total_us, took.encode(), self.failures, dict(self.errors), self.bytes)


class Tally:
    """All rows, counts and findings of one worker."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], RowTally] = {}
        self._findings: list[Finding] = []
        self._findings_told = 0
        self._raised: Counter[tuple[str, str]] = Counter()
        self.counts: Counter[str] = Counter()
        """Since the last `take`, by the names of `loadtest.figures.messages.COUNTS`."""
        self.stops: list[str] = []
        """Why this worker's figures are worth nothing (`messages.Beat.stops`); never taken back."""
        self.refusals: Counter[str] = Counter()
        """Connections that failed or ended, by code, since the last `take_refusals`: a beat's `refusals`."""

    def row(self, name: str, kind: str = WS) -> RowTally:
        """The row, made when it is first asked for; ask again after each `take`."""
        row = self._rows.get((kind, name))
        if row is None:
            row = self._rows[kind, name] = RowTally()
        return row

    def unfit(self, sentence: str) -> None:
        """Something of our own machine has spoilt the figures; the same sentence counts once."""
        if sentence not in self.stops:
            self.stops.append(sentence)

    def found(self, finding: Finding) -> None:
        """Something that must not happen, by name; also counted under its kind."""
        self.counts[finding.kind] += finding.count
        if self._findings_told < FINDINGS_TOLD_MAX:
            self._findings_told += 1
            self._findings.append(replace(finding, detail=tellable(finding.detail)))

    def raised(self, message: str, traceback: str) -> None:
        """A scenario's own code raised; one more of a kind only counts, and what is beyond RAISED_MAX kinds is of none."""
        key = (tellable(message), tellable(traceback[-TRACEBACK_CHARS_MAX:], TRACEBACK_CHARS_MAX))
        self._raised[key if key in self._raised or len(self._raised) < RAISED_MAX else (OTHER_ERRORS, "")] += 1

    def take_raised(self) -> list[Raised]:
        """Everything since the last call."""
        raised, self._raised = self._raised, Counter()
        return [Raised(count, message, traceback) for (message, traceback), count in raised.items()]

    def take_refusals(self) -> dict[str, int]:
        """Everything since the last call."""
        told: Counter[str] = Counter()
        for code, count in self.refusals.items():
            short = tellable(code)
            told[short if short in told or len(told) < REFUSALS_TOLD_MAX else OTHER_ERRORS] += count
        self.refusals = Counter()
        return dict(told)

    def take(self) -> tuple[list[Row], dict[str, int], list[Finding]]:
        """Everything since the last call; what follows is counted anew."""
        rows = [row.told(kind, name) for (kind, name), row in self._rows.items()]
        counts, findings = dict(self.counts), self._findings
        self._rows, self.counts, self._findings = {}, Counter(), []
        return rows, counts, findings


def tellable(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """As much of it as is told, in letters that UTF-8 has: words about a file may hold half a surrogate pair."""
    return text[:chars_max].encode(errors="replace").decode()


def deliver_row(present: int) -> str:
    """The part of the row `deliver` for a room with so many readers."""
    if present <= SMALL_ROOM_MAX:
        return "deliver (small)"
    return "deliver (medium)" if present <= MEDIUM_ROOM_MAX else "deliver (large)"
