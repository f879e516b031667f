"""What happened in a simulation, line by line with its time: the trace whose digest two runs of a seed share.

Every update of every client, every outcome of a publish, every fault and every line of the
products' logs is written down as it happens.  A line of a log that speaks of a bug, and a
counter that only bugs move, are problems.
"""

import hashlib
import traceback
from collections.abc import Iterator
from typing import Any

import structlog
import trio
from structlog.typing import FilteringBoundLogger

from client.updates import Update
from runtime.metric_kinds import Histogram, LabelCounts, declared_fields, nested_parts
from runtime.metrics import BrokerCounters, GatewayCounters, RouterCounters
from tests.support.history import Witness
from wire.codes import CloseCode

_BUGS = frozenset({"error", "critical", "exception"})


class Chronicle:
    """See the module."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.problems: list[str] = []
        self.epochs_ended = 0
        """By all shards; whether that may be is for the judge to say."""

    def write(self, who: str, what: object) -> None:
        self.lines.append(f"{trio.current_time():.9f} {who}: {what}")

    def problem(self, what: str) -> None:
        """Something that must never happen, whatever the faults."""
        self.write("problem", what.splitlines()[0])
        self.problems.append(what)

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    def log(self) -> FilteringBoundLogger:
        """A log for the products' roles that ends here."""

        def take(_logger: object, method: str, event: dict[str, Any]) -> str:
            is_raised = event.pop("exc_info", None)
            self.write("log", " ".join([method, *(f"{key}={value}" for key, value in sorted(event.items()))]))
            if method in _BUGS:
                self.problem(f"logged as {method}: {event.get('event')}\n{traceback.format_exc() if is_raised else ''}")
            raise structlog.DropEvent

        log: FilteringBoundLogger = structlog.wrap_logger(
            structlog.PrintLogger(), processors=[take], wrapper_class=structlog.make_filtering_bound_logger(0)
        )
        return log

    def count(self, node: str, counters: GatewayCounters | BrokerCounters | RouterCounters) -> None:
        """Write down a node's counters at its end, and what only a bug makes them."""
        self.write(f"counters of {node}", " ".join(f"{name}={value}" for name, value in _values(counters) if value))
        match counters:
            case GatewayCounters():
                errors = counters.protocol_errors
                # No hello in time: a cable that was pulled after the upgrade does that to an honest client.
                bugs = counters.connection_errors + sum(errors.values()) - errors[str(int(CloseCode.NO_HELLO))]
            case BrokerCounters():
                bugs = counters.link_errors
                self.epochs_ended += counters.epochs_ended
            case RouterCounters():
                bugs = counters.protocol_errors
        if bugs:
            self.problem(f"{node} has counted {bugs} errors that only a bug can cause")


def _values(counters: object) -> Iterator[tuple[str, object]]:
    for each, _ in declared_fields(counters):
        value = getattr(counters, each.name)
        if isinstance(value, LabelCounts):
            yield from ((f"{each.name}.{label}", count) for label, count in value.items())
        elif isinstance(value, Histogram):
            yield each.name, f"{value.count}/{value.sum!r}"
        elif isinstance(value, int | float):
            yield each.name, value
    for part in nested_parts(counters):
        yield from _values(part)


class TracedWitness(Witness):
    """A witness whose client is in the chronicle."""

    chronicle: Chronicle

    def saw(self, update: Update) -> None:
        self.chronicle.write(self.name, update)
        super().saw(update)
