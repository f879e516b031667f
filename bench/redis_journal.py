"""What a committed write costs in Redis: `python -m bench.redis_journal`, the journal alone, both sides of the wire.

Each case appends one event of 128 bytes to each room of a group, group after group, for about
a second; the writes are made beforehand.  CPU is this process's (building, sending, judging)
and the server's, for each write.  ``redis-py`` is the same script calls through its own
pipeline, for comparison; ``wait`` is with one replica that must have each group.
"""

import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import redis

from bench.fsync import percentile
from broker.journal.protocol import CommitVerdict, Write
from broker.journal.redis import RedisJournal
from broker.journal.redis_commit import parts_of
from broker.journal.redis_keys import Keys
from runtime.redis_client import RedisClient
from tests.support.journal_writes import RoomWriter
from tests.support.redis_server import RedisServer, redis_program, redis_server, wait_until
from wire.names import RoomName, Slot

ROUNDS: Final = 5
SECONDS: Final = 1.0
SLOT: Final = Slot(7)
CASES: Final = ((1, 1), (30, 30), (1000, 100), (1000, 500))
"""Rooms, and how many of them are in a group."""

Commit = Callable[[Sequence[Write]], None]


@dataclass(frozen=True)
class Figures:
    """One round of one case."""

    writes_per_s: float
    p50_ms: float
    p99_ms: float
    client_us: float
    server_us: float


def groups_of(rooms: int, group: int) -> Iterator[list[Write]]:
    """Groups for ever, each room in its turn."""
    writers = [RoomWriter(f"bench/room-{number}") for number in range(rooms)]
    at = 0
    while True:
        chosen = [writers[(at + number) % rooms] for number in range(group)]
        at += group
        writes = [writer.write("x" * 128) for writer in chosen]
        for writer, write in zip(chosen, writes, strict=True):
            writer.head = write.head
        yield writes


def measure(commit: Commit, server: RedisServer, rooms: int, group: int) -> Figures:
    """Commit for about SECONDS; making the writes is not counted."""
    process, times, written, client_s = psutil.Process(server.pid), [], 0, 0.0
    source = groups_of(rooms, group)
    server_before = process.cpu_times()
    while sum(times) < SECONDS:
        batch = [next(source) for _ in range(max(1, 200 // group))]
        cpu = time.process_time()
        for writes in batch:
            began = time.perf_counter()
            commit(writes)
            times.append(time.perf_counter() - began)
            written += len(writes)
        client_s += time.process_time() - cpu
    server_after = process.cpu_times()
    server_s = server_after.user + server_after.system - server_before.user - server_before.system
    return Figures(
        written / sum(times), percentile(times, 50) * 1000, percentile(times, 99) * 1000,
        client_s / written * 1e6, server_s / written * 1e6,
    )  # fmt: skip


@contextmanager
def ours(server: RedisServer, replicas: int = 0) -> Iterator[Commit]:
    """The journal as a shard has it."""
    server.ask("FLUSHALL")
    journal = RedisJournal(server.settings, cluster="bench", new_store_id="bench", wait_replicas=replicas, slot_of=_slot)
    journal.claim([SLOT], 1, "bench")

    def commit(writes: Sequence[Write]) -> None:
        verdicts = {outcome.verdict for outcome in journal.commit(writes)}
        assert verdicts == {CommitVerdict.COMMITTED}, "a bench whose writes fail measures nothing"

    yield commit
    journal.close()


@contextmanager
def redis_pys(server: RedisServer) -> Iterator[Commit]:
    """The same calls through redis-py's pipeline."""
    with ours(server):
        keys, store, client = Keys("bench"), RedisClient(server.settings), redis.Redis(port=server.port)

        def commit(writes: Sequence[Write]) -> None:
            pipeline = client.pipeline(transaction=False)
            for write in writes:
                script, named, arguments = parts_of(store, keys, write)
                pipeline.execute_command("EVALSHA", script.sha, len(named), *named, *arguments)
            assert pipeline.execute() == [1] * len(writes), "a bench whose writes fail measures nothing"

        yield commit
        store.close()
        client.close()


def _slot(_: RoomName) -> Slot:
    return SLOT


def rows(name: str, opened: Callable[[], object], server: RedisServer) -> Iterator[str]:
    for rooms, group in CASES:
        rounds: list[Figures] = []
        for _ in range(ROUNDS):
            with opened() as commit:  # type: ignore[attr-defined]
                rounds.append(measure(commit, server, rooms, group))
        cells = [f"{name:<16}", f"{rooms:>5}", f"{group:>5}"]
        for field, digits in (("writes_per_s", 0), ("p50_ms", 2), ("p99_ms", 2), ("client_us", 1), ("server_us", 1)):
            values = [getattr(each, field) for each in rounds]
            middle = statistics.median(values)
            cells.append(f"{middle:,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})".rjust(24))
        yield " | ".join(cells)


def main() -> None:
    load = psutil.getloadavg()[0]
    print(f"Python {platform.python_version()}, redis-py {redis.__version__}, {psutil.cpu_count()} cores, load {load:.1f}")
    print(f"{ROUNDS} rounds: median (least-most); ms a group, CPU us a write\n")
    columns = ("writes a second", "p50 ms", "p99 ms", "client us", "server us")
    print(" | ".join(["store           ", "rooms", "group", *(column.rjust(24) for column in columns)]))
    directory = Path(tempfile.mkdtemp())
    options = ("--appendonly", "yes", "--appendfsync", "everysec")
    try:
        programs = {"valkey": None} | ({"redis": redis_program()} if shutil.which("redis-server") else {})
        for name, program in programs.items():
            with redis_server(directory / name, *options, program=program) as server:
                for line in rows(name, lambda: ours(server), server):
                    print(line, flush=True)
                if name == "valkey":
                    for line in rows("redis-py", lambda: redis_pys(server), server):
                        print(line, flush=True)
                    _with_replica(directory, server)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _with_replica(directory: Path, server: RedisServer) -> None:
    replica_of = ("--replicaof", f"127.0.0.1 {server.port}", "--repl-diskless-sync-delay", "0")
    with redis_server(directory / "replica", *replica_of) as replica:
        wait_until("the replica is in step", lambda: b"master_link_status:up" in replica.ask("INFO", "replication"))
        for line in rows("valkey, wait 1", lambda: ours(server, replicas=1), server):
            print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
