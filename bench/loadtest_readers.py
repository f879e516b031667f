"""A process of the load test's readers as a worker has them: the pool, and a beat once a second.

    python -m bench.loadtest_readers '{"urls": ..., ...}'

`Gathered` when all are welcomed; each line in is answered by a `Mark`.
"""

import gc
import os
import random
import resource
import sys
from collections import Counter

import msgspec
import trio
from msgspec import Struct

from bench.loadtest_emitter import RUN
from bench.loadtest_words import Crowd, Gathered, Mark
from loadtest.connections.dialing import Dialer, find_targets, shortage
from loadtest.figures.latency import Latencies
from loadtest.figures.messages import VIOLATIONS, Row
from loadtest.figures.tally import Tally
from loadtest.readers.pool import ReaderPool

BEAT_S = 1.0
GATHER_DEADLINE_S = 600.0
# What is freed when everybody is in, and readers come to rest.
REST_S = 1.0


class Worker:
    """What a worker keeps of its beats."""

    def __init__(self, crowd: Crowd, pool: ReaderPool, tally: Tally) -> None:
        self._crowd = crowd
        self._pool = pool
        self._tally = tally
        self.counts: Counter[str] = Counter()
        self.rows: list[Row] = []

    async def beat(self) -> None:
        while True:
            await trio.sleep(BEAT_S)
            self.take()

    def take(self) -> None:
        rows, counts, findings = self._tally.take()
        self.rows += rows
        self.counts.update(counts)
        for finding in findings:
            print(finding, file=sys.stderr)

    async def gather(self) -> Gathered:
        began, before = trio.current_time(), _rss_kib()
        rooms = self._crowd.rooms
        for number in range(self._crowd.clients):
            self._pool.open([rooms[number % len(rooms)]], "Lurker")
        with trio.fail_after(GATHER_DEADLINE_S):
            # The pool tells a number, and nobody of its changes.
            while self._pool.connected < self._crowd.clients:
                await self._pool_turn()
        seconds = trio.current_time() - began
        await trio.sleep(REST_S)
        gc.collect()
        self.take()
        kib = (_rss_kib() - before) / self._crowd.clients
        p50, p99 = self._latencies("connect")
        return Gathered(self._pool.connected, seconds, p50, p99, kib)

    @staticmethod
    async def _pool_turn() -> None:
        await trio.sleep(0.02)

    def mark(self) -> Mark:
        self.take()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        p50, p99 = self._latencies("deliver")
        violations = sum(self.counts[kind] for kind in VIOLATIONS) + self.counts["disconnects"] + self.counts["skipped"]
        cpu_s = usage.ru_utime + usage.ru_stime
        return Mark(cpu_s, self.counts["deliveries"], self._pool.receives, self._pool.connected, violations, p50, p99)

    def _latencies(self, name: str) -> tuple[float, float]:
        """Milliseconds, p50 and p99, of a row and its parts; they are forgotten then."""
        whole = Latencies()
        for row in self.rows:
            if row.name.startswith(name):
                whole.merge(Latencies.decode(row.latencies, row.total_us))
        self.rows = [row for row in self.rows if not row.name.startswith(name)]
        p50, p99 = whole.percentiles_us([50, 99])
        return p50 / 1000, p99 / 1000


def _rss_kib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def _say(message: Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


async def run(crowd: Crowd) -> None:
    problem = shortage(crowd.clients, crowd.clients, len(crowd.urls), len(crowd.source_ips))
    if problem is not None:
        sys.exit(problem)
    tally = Tally()
    dialer = Dialer(await find_targets(crowd.urls), crowd.source_ips, crowd.connects_per_s)
    pool = ReaderPool(dialer, tally, run=RUN, offset_us=0, rng=random.Random(os.urandom(8)))
    worker = Worker(crowd, pool, tally)
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        nursery.start_soon(worker.beat)
        _say(await worker.gather())
        while await trio.to_thread.run_sync(sys.stdin.buffer.readline):
            _say(worker.mark())
        nursery.cancel_scope.cancel()


def main() -> None:
    trio.run(run, msgspec.json.decode(sys.argv[1], type=Crowd))


if __name__ == "__main__":
    main()
