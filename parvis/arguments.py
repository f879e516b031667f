"""The command lines of the processes that `parvis up` starts: the same settings, and what differs for each.  Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from parvis.plan import Plan
from runtime.schema import Settings

# Of each shard that `parvis up` starts: all the same, and only the ratio counts.
WEIGHT: Final = 100


@dataclass(frozen=True, slots=True)
class Arguments:
    """Words after ``python -m parvis``.  What the user gave comes first, so that ours win."""

    settings: Settings
    plan: Plan
    map_version: int
    """Of the static map; a cluster's directory has its own."""

    @property
    def shard_names(self) -> list[str]:
        return [f"shard-{number}" for number in range(1, self.plan.shards + 1)]

    def shard(self, number: int, port: int) -> list[str]:
        """Shard `number`, from 1; `port` is 0 the first time."""
        if self.plan.is_clustered:
            return [
                "broker", *self._common({}), *self._shard(number, port),
                *_set("broker.weight", WEIGHT), *_set("broker.drain_deadline_s", self.settings.broker.drain_deadline_s),
            ]  # fmt: skip
        # A shard reads the names only, for its share of the slots; the others' addresses are the gateways' business.
        nowhere = {name: f"127.0.0.1:{place}" for place, name in enumerate(self.shard_names, 1)}
        return [
            "broker", *self._common(nowhere), *self._shard(number, port),
        ]  # fmt: skip

    def _shard(self, number: int, port: int) -> list[str]:
        return [
            *_set("broker.id", f"shard-{number}"),
            *_set("broker.host", "127.0.0.1"), *_set("broker.port", port), *_set("broker.admin_port", 0),
        ]  # fmt: skip

    def gateway(self, number: int, port: int, shard_ports: Sequence[int]) -> list[str]:
        """Gateway `number`, from 1, on the port after the last one's; `port` is the one it had, or 0 the first time."""
        first = self.settings.gateway.port
        gateway = self.settings.gateway
        shards = {name: f"127.0.0.1:{shard_port}" for name, shard_port in zip(self.shard_names, shard_ports, strict=True)}
        if self.plan.is_clustered:
            shards = {}
        return [
            "gateway", *self._common(shards),
            *_set("gateway.id", f"gateway-{number}"),
            *_set("gateway.host", gateway.host), *_set("gateway.port", first + number - 1 if first else port),
            *_set("gateway.admin_port", 0),
            *_set("gateway.origins", json.dumps(gateway.origins)),
            *_set("gateway.drain_deadline_s", gateway.drain_deadline_s),
            *_set("gateway.drain_notice_s", gateway.drain_notice_s),
        ]  # fmt: skip

    def _common(self, shards: Mapping[str, str]) -> list[str]:
        plan = self.plan
        return [
            "--supervised",
            *(["--config", str(plan.config)] if plan.config is not None else []),
            *(word for each in plan.sets for word in ("--set", each)),
            *_set("data_dir", self.settings.data_dir),
            *_set("log.level", self.settings.log.level),
            *self._cluster(shards),
        ]

    def _cluster(self, shards: Mapping[str, str]) -> list[str]:
        settings = self.settings
        if self.plan.is_clustered:
            return [
                *_set("journal.kind", settings.journal.kind), *_set("redis.url", settings.redis.url),
                *_set("cluster.directory", "redis"), *_set("cluster.name", settings.cluster.name),
            ]  # fmt: skip
        return [*_set("cluster.map_version", self.map_version), *_set("cluster.shards", json.dumps(dict(shards)))]


def _set(key: str, value: object) -> tuple[str, str]:
    return "--set", f"{key}={value}"
