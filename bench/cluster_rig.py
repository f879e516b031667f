"""A cluster under measurement: Redis, shards, gateways, each a process, with the settings that a bench needs."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.support.fleet import HOST, Fleet, NodeFailed, free_ports
from tests.support.redis_server import RedisServer

# Durable against the end of a process, and against a power cut but for a second: what docs/settings.md recommends.
REDIS_OPTIONS: Final = ("--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction")


class ClusterRig:
    """Started by `with`, ended in all cases.  Shards are ``shard-1`` on, gateways ``gateway-1`` on."""

    def __init__(self, directory: Path, *, shards: int, gateways: int, settings: dict[str, str] | None = None) -> None:
        """The directory is in Redis when there are several shards: then their slots move."""
        self.redis = RedisServer(directory / "redis", *REDIS_OPTIONS)
        ports = iter(free_ports(2 * (shards + gateways)))
        self.fleet = Fleet(directory, {
            "journal.kind": "redis", "redis.url": self.redis.url, "log.form": "json", "log.level": "warning",
            # Rates that let a few connections speak for a crowd.
            "gateway.publish_rate_per_s": "1000000", "gateway.publish_burst": "1000000",
            "admission.room_publish_rate_per_s": "1000000", "admission.room_publish_burst": "1000000", **(settings or {}),
        })  # fmt: skip
        self.shards = [f"shard-{number}" for number in range(1, shards + 1)]
        self.gateways = [f"gateway-{number}" for number in range(1, gateways + 1)]
        for name in self.shards:
            port, admin_port = next(ports), next(ports)
            self.fleet.add(name, "broker", port=port, admin_port=admin_port, settings={"broker.weight": "100"})
        for name in self.gateways:
            self.fleet.add(name, "gateway", port=next(ports), admin_port=next(ports), settings={})
        if shards > 1:
            self.fleet.settings["cluster.directory"] = "redis"
        else:
            self.fleet.settings["cluster.shards"] = f"shard-1={HOST}:{self.port_of('shard-1')}"

    def __enter__(self) -> "ClusterRig":
        with ExitStack() as undo:
            undo.push(self)
            self.redis.start()
            # The first node makes the keys that all share.
            self.fleet.start(*self.shards[:1])
            self.fleet.start(*self.shards[1:])
            self.fleet.start(*self.gateways)
            undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.fleet.__exit__(kind, error, trace)
        self.redis.kill()

    def port_of(self, name: str) -> int:
        return self.fleet.nodes[name].port

    def pids(self, *names: str) -> list[int]:
        return [self.fleet.nodes[name].pid for name in names]

    @property
    def link_secret(self) -> Path:
        return self.fleet.directory / "data" / "link.secret"

    def attaches(self) -> float:
        """How many feeds all shards together have opened."""
        return sum(self.fleet.counter(name, "parvis_broker_attaches_total") for name in self.shards)

    def wait_owning(self, shard: str, deadline_s: float = 30.0) -> None:
        """Until a shard that came back has been given slots again and says that it serves them; raises `NodeFailed`."""
        deadline = time.monotonic() + deadline_s
        while True:
            status = self.fleet.parvis("cluster", "status", "--json")
            if status.returncode != 0:
                raise NodeFailed(f"parvis cluster status ended with {status.returncode}: {status.stderr}")
            owned = {each["id"]: each["slots_owned"] for each in json.loads(status.stdout)["shards"]}
            if owned.get(shard):
                return
            if time.monotonic() > deadline:
                raise NodeFailed(f"{shard} owned nothing after {deadline_s:.0f} s: {owned}")
