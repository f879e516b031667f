"""Rows added up: of all workers, of one second or of the whole run.  Pure.

`Totals` is what a master has, and what the writers of figures read.  A row named
``deliver (large)`` is a part: the row `deliver` is the sum of its parts, and is made here and
nowhere else, so that the parts and the whole are never counted twice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from loadtest.figures.latency import PERCENTILES, Latencies
from loadtest.figures.messages import Row
from loadtest.figures.record import Percentiles, RowTotal
from loadtest.figures.tally import ERRORS_PER_ROW_MAX, OTHER_ERRORS

_SHORT: Final = (50.0, 95.0, 99.0, 99.9)
AGGREGATED: Final = "Aggregated"
"""Locust's name for the sum of all rows."""


class RowSum:
    """One row, added up."""

    __slots__ = ("bytes", "errors", "failures", "kind", "latencies", "name")

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        self.latencies = Latencies()
        self.failures = 0
        self.errors: Counter[str] = Counter()
        self.bytes = 0

    def add(self, row: Row) -> None:
        """What one worker told.  Raises an error of `hdrh` or `binascii` for what is no histogram."""
        if row.count:
            self.latencies.add_encoded(row.latencies, row.total_us)
        self._failed(row.failures, row.errors)
        self.bytes += row.bytes

    def merge(self, other: "RowSum") -> None:
        self.latencies.merge(other.latencies)
        self._failed(other.failures, other.errors)
        self.bytes += other.bytes

    def _failed(self, failures: int, errors: Mapping[str, int]) -> None:
        """Texts are bounded here as in each worker: what differs with every failure does not grow with the run."""
        self.failures += failures
        for error, count in errors.items():
            known = error in self.errors or len(self.errors) < ERRORS_PER_ROW_MAX
            self.errors[error if known else OTHER_ERRORS] += count

    @property
    def requests(self) -> int:
        """As locust counts them: those that failed, too."""
        return self.latencies.count + self.failures

    def percentiles(self) -> Percentiles:
        p50, p95, p99, p999 = (us / 1000 for us in self.latencies.percentiles_us(_SHORT))
        return Percentiles(self.latencies.count, p50, p95, p99, p999, self.latencies.max_us / 1000)

    def total(self, seconds: float) -> RowTotal:
        """As a record has it, over a run of `seconds`."""
        took = self.latencies
        values = took.percentiles_us(PERCENTILES)
        return RowTotal(
            kind=self.kind,
            name=self.name,
            count=took.count,
            failures=self.failures,
            per_s=took.count / seconds if seconds else 0.0,
            failures_per_s=self.failures / seconds if seconds else 0.0,
            mean_ms=took.mean_us / 1000,
            min_ms=took.min_us / 1000,
            max_ms=took.max_us / 1000,
            mean_bytes=self.bytes / took.count if took.count else 0.0,
            percentiles_ms={f"{percent:g}": us / 1000 for percent, us in zip(PERCENTILES, values, strict=True)},
            errors=dict(self.errors),
            latencies=took.encode().decode("ascii"),
            total_us=took.total_us,
        )


class Totals:
    """All rows of a time."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], RowSum] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """The rows of one beat."""
        for row in rows:
            self._row(row.kind, row.name).add(row)

    def merge(self, other: "Totals") -> None:
        for row in other._rows.values():
            self._row(row.kind, row.name).merge(row)

    def rows(self) -> list[RowSum]:
        """Every row by kind and name, the sums of parts among them."""
        read = dict(self._rows)
        for (kind, name), row in self._rows.items():
            if is_part(name):
                whole = name.partition(" (")[0]
                if (kind, whole) not in self._rows:
                    read.setdefault((kind, whole), RowSum(kind, whole)).merge(row)
        return [read[key] for key in sorted(read)]

    def told(self) -> list[RowSum]:
        """Every row that a worker told, by kind and name: without the sums."""
        return [self._rows[key] for key in sorted(self._rows)]

    def aggregated(self) -> RowSum:
        """The sum of everything, under locust's name."""
        whole = RowSum("", AGGREGATED)
        for row in self._rows.values():
            if not (is_part(row.name) and (row.kind, row.name.partition(" (")[0]) in self._rows):
                whole.merge(row)
        return whole

    def _row(self, kind: str, name: str) -> RowSum:
        row = self._rows.get((kind, name))
        if row is None:
            row = self._rows[kind, name] = RowSum(kind, name)
        return row


def is_part(name: str) -> bool:
    """Whether a row named so is a part of another: ``deliver (large)`` of `deliver`."""
    return " (" in name and name.endswith(")")
