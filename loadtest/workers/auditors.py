"""All auditors of one worker, by the class of the readers whose part they are."""

from collections import Counter
from collections.abc import Callable
from random import Random

import trio

from loadtest.audits.audit import Heads
from loadtest.audits.auditor import Auditor
from loadtest.workers.crowds import Dials


class Auditors:
    """Implements `loadtest.workers.audience.Chairs`; `auditors_nursery` owns their tasks."""

    def __init__(
        self, make: Callable[[str], Auditor], dialer: Dials, random_of: Callable[[str], Random], auditors_nursery: trio.Nursery
    ) -> None:
        """`make` gives the auditor of a name, `random_of` its randomness."""
        self._make = make
        self._dialer = dialer
        self._random_of = random_of
        self._nursery = auditors_nursery
        self._living: dict[str, list[Auditor]] = {}
        """In the order in which they were opened."""
        self._opened = Counter[str]()

    def open(self, name: str, rooms: tuple[str, ...]) -> None:
        auditor = self._make(f"{name}-auditor-{self._opened[name]}")
        self._opened[name] += 1
        self._living.setdefault(name, []).append(auditor)
        self._nursery.start_soon(self._live, name, auditor, rooms)

    def close(self, name: str) -> None:
        """The newest one; nobody, if all have ended by themselves."""
        staying = [auditor for auditor in self._living.get(name, ()) if not auditor.meter.is_leaving]
        if staying:
            staying[-1].leave()

    def living(self, name: str) -> int:
        return len(self._living.get(name, ()))

    def servers(self) -> Counter[str]:
        """Who is connected, by the name of the gateway."""
        return Counter(auditor.meter.server for of in self._living.values() for auditor in of if auditor.meter.server)

    async def finish(self, heads: Heads, settle_s: float) -> None:
        """All of them check that they come up to `heads`, and leave."""
        async with trio.open_nursery() as nursery:
            for auditor in [auditor for of in self._living.values() for auditor in of]:
                nursery.start_soon(auditor.finish, heads, settle_s)

    async def _live(self, name: str, auditor: Auditor, rooms: tuple[str, ...]) -> None:
        dial = self._dialer.dial(auditor.meter.turn_came)
        try:
            await auditor.run(self._dialer.urls, rooms, self._random_of(auditor.name), dial)
        finally:
            self._living[name].remove(auditor)
