"""Where a cluster's directory is kept, out of the settings: for those who join it, and for those who only look."""

import msgspec

from runtime.redis_client import RedisClient
from runtime.schema import Settings
from shard_router.cluster_store import ClusterStore
from shard_router.redis_store import RedisStore
from wire.limits import LEASE_RENEWAL_S


def open_store(settings: Settings) -> ClusterStore:
    """The cluster's directory in Redis; connects to nothing yet.  Raises `SettingsError`.

    No answer within a renewal is none: what waits longer would make this node look dead.
    """
    patience_s = min(settings.redis.timeout_s, LEASE_RENEWAL_S)
    return RedisStore(RedisClient(msgspec.structs.replace(settings.redis, timeout_s=patience_s)), settings.cluster.name)
