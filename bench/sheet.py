"""The figures of all runs, by who, where and what."""

from statistics import median

from msgspec import Struct, field


class Machine(Struct, frozen=True):
    """Where and with what it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    versions: dict[str, str]
    command: str
    commit: str
    at: str


class Sheet(Struct):
    """Samples under ``who/shape/figure``, one a run, in the order of the runs."""

    machine: Machine
    runs: int
    quick: bool = False
    samples: dict[str, list[float]] = field(default_factory=dict)
    steps: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    """Every step as it was measured, for whoever doubts a figure."""
    failures: list[str] = field(default_factory=list)
    """Parts that could not be measured, and why."""
    rows: list[dict[str, object]] = field(default_factory=list)
    verdict: str = ""

    def add(self, who: str, shape: str, figure: str, value: float) -> None:
        self.samples.setdefault(f"{who}/{shape}/{figure}", []).append(value)

    def of(self, who: str, shape: str, figure: str) -> list[float]:
        return self.samples.get(f"{who}/{shape}/{figure}", [])

    def median(self, who: str, shape: str, figure: str) -> float | None:
        values = self.of(who, shape, figure)
        return median(values) if values else None

    def ratios(self, above: list[float], below: list[float]) -> list[float]:
        """Run by run, so that a disturbed run disturbs both."""
        return [high / low for high, low in zip(above, below, strict=False) if low]
