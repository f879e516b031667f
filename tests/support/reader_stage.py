"""Readers of the load test on a stage: an honest gateway on real sockets, a pool, and what the pool has measured."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from time import monotonic_ns

import trio

from loadtest.audits.stamp import message_id, stamp_text
from loadtest.connections.dialing import Dialer, find_targets
from loadtest.figures.messages import Finding, Row
from loadtest.figures.tally import Tally
from loadtest.readers.pool import ReaderPool
from tests.support.honest_gateway import HonestGateway
from wire.client_messages import Event

ROOM = "square/main"
RUN = "r1"


class Stage:
    """A gateway, a pool, and what the pool has measured."""

    def __init__(self, gateway: HonestGateway, dialer: Dialer, pool: ReaderPool, tally: Tally) -> None:
        self.gateway = gateway
        self.dialer = dialer
        self.pool = pool
        self.tally = tally
        self.counts: dict[str, int] = {}
        self.rows: dict[str, list[Row]] = {}
        self.findings: list[Finding] = []
        self._said = 0

    def look(self) -> "Stage":
        """Take what was measured, as a beat does."""
        rows, counts, findings = self.tally.take()
        for row in rows:
            self.rows.setdefault(row.name, []).append(row)
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.findings += findings
        return self

    def samples(self, name: str) -> int:
        return sum(row.count for row in self.rows.get(name, ()))

    async def until(self, condition: Callable[["Stage"], bool]) -> None:
        with trio.fail_after(60):
            while not condition(self.look()):
                await trio.sleep(0.002)

    async def gathered(self, readers: int) -> None:
        await self.until(lambda stage: stage.pool.connected == readers)

    def say(self, room: str = ROOM, words: str = "good evening", by: str = "other") -> Event:
        """Publish as users of the load test do."""
        self._said += 1
        text = stamp_text(words, room, monotonic_ns() // 1000, 0, self._said)
        event = self.gateway.room(room).append("message", by, text, message_id(RUN, 0, self._said))
        self.gateway.fan_out(event)
        return event


@asynccontextmanager
async def staged(gateways: int = 1, offset_us: int = 0, connects_per_s_max: float = 10_000) -> AsyncIterator[Stage]:
    async with trio.open_nursery() as nursery:
        gateway, tally = HonestGateway(nursery), Tally()
        urls = [await gateway.listen(f"gateway-{number}") for number in range(gateways)]
        dialer = Dialer(await find_targets(urls), connects_per_s_max=connects_per_s_max)
        pool = ReaderPool(dialer, tally, run=RUN, offset_us=offset_us, rng=Random(7))
        await nursery.start(pool.run)
        yield Stage(gateway, dialer, pool, tally)
        nursery.cancel_scope.cancel()
