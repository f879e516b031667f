"""What `parvis up` was asked for, beyond the settings."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """How many of each, and how the settings were given: processes of its own are started with the same."""

    gateways: int
    shards: int
    config: Path | None = None
    sets: tuple[str, ...] = ()
    is_clustered: bool = False
    """Journal and directory are in Redis, as on many machines."""
    has_own_valkey: bool = False
    """That Redis is a Valkey of ours."""

    @property
    def is_many(self) -> bool:
        return self.gateways > 1 or self.shards > 1 or self.is_clustered
