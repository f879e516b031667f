"""What a metric is made of: how one is declared as a field, and the cheap things that are counted in.

A hot counter is a plain int attribute (``counters.deliveries += n``, 61 ns; prometheus-client's
``Counter.inc()`` takes 348, ``labels().inc()`` 1,200).  A class of counters is a slotted
dataclass whose fields carry their declaration; runtime/exposition.py reads both.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final, Literal

METRIC: Final = "metric"
NESTED: Final = "nested"
OTHER: Final = "other"
Kind = Literal["counter", "gauge", "histogram", "info"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One declaration: a series' name, meaning and labels.  `label` is the one that varies, `fixed` those that do not."""

    name: str
    help: str
    kind: Kind
    label: str = ""
    fixed: tuple[tuple[str, str], ...] = ()

    @property
    def unit(self) -> str:
        """The base unit in the name: ``seconds``, ``bytes``, or "" for a plain count."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in ("seconds", "bytes") else ""


class LabelCounts(dict[str, int]):
    """A counter with one label whose values are known beforehand: ``refusals["busy"] += 1``.

    Any other value counts as ``other``: what comes from a peer (a close code) can neither
    make a series nor end a connection.
    """

    __slots__ = ("_other",)

    def __init__(self, keys: Iterable[str]) -> None:
        super().__init__((key, 0) for key in keys)
        self._other = 0

    def __missing__(self, key: str) -> int:
        return self._other

    def __setitem__(self, key: str, count: int) -> None:
        if key in self:
            super().__setitem__(key, count)
        else:
            self._other = count

    def by_label(self) -> Iterator[tuple[str, int]]:
        """The label's values with their counts, ``other`` last."""
        yield from self.items()
        yield OTHER, self._other


class Histogram:
    """Counts by bucket, in plain ints; `observe` takes about 0.25 us."""

    __slots__ = ("bounds", "buckets", "last", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` are the buckets' upper bounds, rising; one more bucket has no bound."""
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.last = 0.0

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def observe(self, value: float) -> None:
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.sum += value
        self.last = value

    def quantile(self, q: float) -> float:
        """The upper bound of the bucket that holds the q-quantile: infinity beyond the last, 0 when empty."""
        wanted = q * self.count
        seen = 0
        for bound, bucket in zip((*self.bounds, float("inf")), self.buckets, strict=True):
            seen += bucket
            if seen and seen >= wanted:
                return bound
        return 0.0


# --- declaring fields; all answer Any, because dataclass fields are typed by their annotation ------


def counter(name: str, help: str, **fixed: str) -> Any:
    """An ``int`` that only rises."""
    return field(default=0, metadata={METRIC: Metric(name, help, "counter", fixed=tuple(fixed.items()))})


def counter_by(label: str, keys: Iterable[str], name: str, help: str, **fixed: str) -> Any:
    """A ``LabelCounts`` over the known values `keys` of `label`."""
    known = tuple(keys)
    metric = Metric(name, help, "counter", label, tuple(fixed.items()))
    return field(default_factory=lambda: LabelCounts(known), metadata={METRIC: metric})


def gauge(name: str, help: str) -> Any:
    """An ``int`` or ``float`` that its owner sets."""
    return field(default=0, metadata={METRIC: Metric(name, help, "gauge")})


Sample = Callable[[], float] | None


def sampled(name: str, help: str, kind: Kind = "gauge", **fixed: str) -> Any:
    """A `Sample`: called at each scrape; left out while None."""
    return field(default=None, metadata={METRIC: Metric(name, help, kind, fixed=tuple(fixed.items()))})


def histogram(bounds: tuple[float, ...], name: str, help: str) -> Any:
    """A ``Histogram``."""
    return field(default_factory=lambda: Histogram(bounds), metadata={METRIC: Metric(name, help, "histogram")})


def info(name: str, help: str) -> Any:
    """A ``dict[str, str]`` of labels beside the value 1; left out while empty."""
    return field(default_factory=dict, metadata={METRIC: Metric(name, help, "info")})


def nested(kind: Callable[[], object]) -> Any:
    """A part with metrics of its own, for something that several roles have."""
    return field(default_factory=kind, metadata={NESTED: True})


def declared_fields(kind: Any) -> Iterator[tuple[Field[Any], Metric]]:
    """The fields of a class of counters (or an object of one) with their declarations, nested ones left out."""
    for each in fields(kind):
        if METRIC in each.metadata:
            yield each, each.metadata[METRIC]


def nested_parts(counters: Any) -> Iterator[object]:
    """The nested parts of an object of counters."""
    for each in fields(counters):
        if NESTED in each.metadata:
            yield getattr(counters, each.name)
