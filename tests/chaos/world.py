"""Everything that a chaos run starts: store, shards, gateways, the wires between them, the crowds; ended in all cases."""

import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from tests.chaos.chronicle import Chronicle, now
from tests.chaos.crowd import Order, Progress, Report
from tests.chaos.store import Store
from tests.chaos.taps import LinkEars, Tap
from tests.support.fleet import HOST, Fleet, free_ports
from tests.support.tree import ROOT

CROWD_END_DEADLINE_S: Final = 60.0
_PROGRESS_FRESH_S: Final = 1.5
WORKERS: Final = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the world is."""

    shards: int = 3
    gateways: int = 3
    people: int = 300
    rooms: int = 30
    publishes_per_s: float = 200.0
    crowds: int = 2
    with_redis: bool = True

    @property
    def people_per_room(self) -> int:
        """Of each crowd."""
        return self.people // self.rooms // self.crowds

    @property
    def room_names(self) -> list[str]:
        return [f"chaos/room-{number:02d}" for number in range(self.rooms)]


@dataclass
class CrowdProcess:
    """Our end of one crowd."""

    process: trio.Process
    progress: Progress | None = None
    heard_at: float = 0.0
    report: Report | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        buffered = b""
        async for data in self.process.stdout:
            *whole, buffered = (buffered + data).split(b"\n")
            for line in whole:
                if b'"behind"' in line:
                    self.report = msgspec.json.decode(line, type=Report)
                else:
                    self.progress = msgspec.json.decode(line, type=Progress)
                    self.heard_at = now()
        self.ended.set()

    async def order(self, line: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(line + b"\n")


class ChaosWorld:
    """What there is; made by `chaos_world`."""

    def __init__(self, directory: Path, shape: Shape, seed: int, file: Chronicle) -> None:
        self.directory = directory
        self.shape = shape
        self.seed = seed
        self.file = file
        self.rooms: Sequence[str] = shape.room_names
        self.link_taps: dict[str, Tap] = {}
        self.store_taps: dict[str, Tap] = {}
        self.crowds: list[CrowdProcess] = []
        # A spare shard waits outside for the day it is added.
        names = [f"shard-{number}" for number in range(1, shape.shards + 1 + shape.with_redis)]
        gateways = [f"gateway-{number}" for number in range(1, shape.gateways + 1)]
        ports = iter(free_ports(1 + 4 * len(names) + 2 * len(gateways)))
        self.store = Store(directory / "redis", next(ports))
        link_ports = {name: next(ports) for name in names}
        self.fleet = Fleet(directory, self._settings(link_ports))
        for name in names:
            port, admin_port = next(ports), next(ports)
            self.link_taps[name] = Tap(link_ports[name], port, partial(self._ears, name))
            settings = {"broker.weight": "0" if name == names[-1] and shape.with_redis else "100"}
            if shape.with_redis:
                store_port = next(ports)
                self.store_taps[name] = Tap(store_port, self.store.server.port)
                settings["redis.url"] = f"redis://{HOST}:{store_port}/0"
                settings["broker.advertise"] = f"{HOST}:{link_ports[name]}"
            self.fleet.add(name, "broker", port=port, admin_port=admin_port, settings=settings)
        for name in gateways:
            # One of them is several processes on one port.
            arguments = ("--workers", str(WORKERS)) if name == gateways[0] and shape.with_redis else ()
            self.fleet.add(name, "gateway", port=next(ports), admin_port=next(ports), settings={}, arguments=arguments)
        self.first_shards = names[: shape.shards]
        self.gateways = gateways

    def _settings(self, link_ports: dict[str, int]) -> dict[str, str]:
        # A person whose messages waited sends several again at once.
        rates = {"gateway.publish_rate_per_s": "100", "gateway.publish_burst": "200"}
        shared = {"log.form": "json", "gateway.drain_deadline_s": "5", **rates}
        if self.shape.with_redis:
            redis = {"journal.kind": "redis", "cluster.directory": "redis", "redis.url": self.store.server.url}
            return {**shared, **redis}
        shards = ",".join(f"{name}={HOST}:{port}" for name, port in link_ports.items())
        return {**shared, "journal.path": str(self.directory / "data" / "journal.sqlite"), "cluster.shards": shards}

    def _ears(self, shard: str) -> tuple[object, object]:
        ears = LinkEars(shard, self.file)
        return ears.hear_up, ears.hear_down

    @property
    def people(self) -> int:
        return self.shape.people_per_room * self.shape.rooms * self.shape.crowds

    @property
    def takes_over(self) -> bool:
        return self.shape.with_redis

    def say(self, line: str) -> None:
        print(f"{now() - self.began:7.1f} s  {line}", file=sys.stderr, flush=True)

    began: float = 0.0

    def progress(self) -> Progress | None:
        """Of all crowds together; None while one has not been heard lately."""
        heard = [crowd.progress for crowd in self.crowds if now() - crowd.heard_at < _PROGRESS_FRESH_S]
        whole = [progress for progress in heard if progress is not None]
        if len(whole) < len(self.crowds):
            return None
        servers: Counter[str] = Counter()
        for one in whole:
            servers += Counter(one.servers)
        return Progress(
            servers.total(), sum(one.open for one in whole), max(one.oldest_s for one in whole),
            sum(one.acked for one in whole), any(one.is_talking for one in whole), servers,
        )  # fmt: skip

    def pids(self) -> list[int]:
        """Of everything that was started and runs."""
        nodes = [pid for node in self.fleet.nodes.values() if node.is_up for pid in (node.pid, *self.fleet.workers(node.name))]
        return [*nodes, *(crowd.process.pid for crowd in self.crowds), *([self.store.pid] if self.shape.with_redis else [])]

    async def start(self, nursery: trio.Nursery) -> None:
        self.began = now()
        for tap in (*self.link_taps.values(), *self.store_taps.values()):
            await nursery.start(tap.run)
        if self.shape.with_redis:
            await self.store.start()
        # The first node makes the keys that all share.
        await trio.to_thread.run_sync(self.fleet.start, self.first_shards[0])
        await trio.to_thread.run_sync(self.fleet.start, *self.first_shards[1:])
        await trio.to_thread.run_sync(self.fleet.start, *self.gateways)
        urls = [f"ws://{HOST}:{self.fleet.nodes[name].port}" for name in self.gateways]
        shape = self.shape
        for number in range(1, shape.crowds + 1):
            order = Order(
                number, urls, list(self.rooms), shape.people_per_room, shape.publishes_per_s / shape.crowds, self.seed,
                str(self.directory / f"crowd-{number}.jsonl"),
            )  # fmt: skip
            with (self.directory / f"crowd-{number}.log").open("wb") as log:
                process = await trio.lowlevel.open_process(
                    [sys.executable, "-m", "tests.chaos.crowd", msgspec.json.encode(order).decode()],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, start_new_session=True,
                )  # fmt: skip
            crowd = CrowdProcess(process)
            self.crowds.append(crowd)
            nursery.start_soon(crowd.listen)

    def end(self) -> None:
        """By their process ids, whatever state they are in."""
        for crowd in self.crowds:
            crowd.process.kill()
        self.fleet.__exit__(None, None, None)
        self.store.kill()


@asynccontextmanager
async def chaos_world(directory: Path, shape: Shape, seed: int, file: Chronicle) -> AsyncIterator[ChaosWorld]:
    """A world at work, with nothing of it left behind at the end."""
    world = ChaosWorld(directory, shape, seed, file)
    try:
        async with trio.open_nursery() as nursery:
            await world.start(nursery)
            yield world
            nursery.cancel_scope.cancel()
    finally:
        world.end()
