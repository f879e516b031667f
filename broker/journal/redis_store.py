"""The store behind a Redis journal: whether it is fit to be one, whose data it holds, and what it keeps when it falls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from broker.journal.archive import Unfinished, unfinished_refusal
from broker.journal.protocol import JournalCorrupt
from broker.journal.redis_keys import Keys
from broker.journal.redis_scripts import OPEN
from runtime.redis_client import RedisClient, facts_of
from runtime.redis_connection import RedisConnection, ReplyError

FORMAT_VERSION: Final = 1
UNTOLD: Final = "untold"
"""What a server keeps to itself: managed ones refuse CONFIG."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What one primary says of itself."""

    name: str
    version: str
    policy: str
    appendonly: bool
    appendfsync: str
    replicas: int
    run: str
    """Its process and its data's history: another one may have forgotten what this one acknowledged."""

    def __str__(self) -> str:
        fsync = f" {self.appendfsync}" if self.appendonly else ""
        return f"{self.version} at {self.name}: appendonly {'yes' if self.appendonly else 'no'}{fsync}, replicas {self.replicas}"


def examine(client: RedisClient) -> list[ServerFacts]:
    """Ask all primaries; raises `RedisAway` when one is out of reach."""
    with client.lock:
        return [_examine_one(connection) for connection in client.primaries()]


def refuse_unfit(facts: Sequence[ServerFacts]) -> None:
    """Raise `JournalCorrupt` for a store that forgets when it is full."""
    for server in facts:
        if server.policy != "noeviction":
            raise JournalCorrupt(
                f"Redis {server.name} has maxmemory-policy {server.policy}, which drops what people wrote when memory is full;"
                " set it to noeviction"
            )


def open_store(client: RedisClient, keys: Keys, new_store_id: str) -> str:
    """Make the journal unless it is there; answers its store id.  Raises `JournalCorrupt` or `RedisAway`."""
    return _verified(client, keys, client.run_script(OPEN, [keys.journal], [FORMAT_VERSION, new_store_id]))


def look_at_store(client: RedisClient, keys: Keys) -> int | None:
    """The newest map version of the journal that is there, None where there is none; changes nothing."""
    found = client.call(keys.journal, "HMGET", keys.journal, "format", "store_id", "map_version", "unfinished")
    if not any(found) and not client.call(keys.journal, "EXISTS", keys.journal):
        return None
    _verified(client, keys, found)
    return int(found[2])


def _verified(client: RedisClient, keys: Keys, found: Sequence[bytes | None]) -> str:
    where = f"the journal {keys.journal} in Redis {client.place}"
    version, store_id, map_version, mark = found
    if mark is not None:
        raise unfinished_refusal(where, mark_of(mark))
    if version is None or store_id is None or map_version is None:
        raise JournalCorrupt(f"{where} is not one of parvis, or damaged; nothing was changed")
    if not version.isdigit() or not map_version.isdigit():
        raise JournalCorrupt(f"{where} is damaged: its format or its map version is no number")
    if int(version) > FORMAT_VERSION:
        raise JournalCorrupt(
            f"{where} was written by a newer parvis: its format is {version.decode()}, this program knows {FORMAT_VERSION}"
        )
    return store_id.decode()


def mark_of(mark: bytes) -> Unfinished:
    """What a journal with this field is being filled from."""
    return msgspec.json.decode(mark, type=Unfinished)


def _examine_one(connection: RedisConnection) -> ServerFacts:
    facts = facts_of(connection, "server", "replication", "memory", "persistence")
    config = connection.call("CONFIG", "GET", "appendfsync")
    fsync = config[1].decode() if not isinstance(config, ReplyError) and len(config) == 2 else UNTOLD
    valkey = facts.get("valkey_version")
    return ServerFacts(
        name=connection.name,
        version=f"Valkey {valkey}" if valkey else f"Redis {facts.get('redis_version', '?')}",
        policy=facts.get("maxmemory_policy", UNTOLD),
        appendonly=facts.get("aof_enabled") == "1",
        appendfsync=fsync,
        replicas=int(facts.get("connected_slaves", "0")),
        # 48 bits of each are enough to be another's by no accident, and short enough for a log line.
        run=f"{facts.get('run_id', '')[:12]}/{facts.get('master_replid', '')[:12]}",
    )
