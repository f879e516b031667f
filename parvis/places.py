"""Journals by their words: `sqlite:PATH`, `redis://...`; or `sqlite` and `redis`, which stand for what the settings name.

A place can be opened in three ways: as a journal (to claim), to be read as a whole, to be
filled; and it knows the data directories that nobody else may use meanwhile.
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import trio
from msgspec.structs import replace

from broker.journal.archive import Source, Target
from broker.journal.protocol import Journal
from broker.journal.redis_archive import RedisSource
from broker.journal.redis_target import RedisTarget
from broker.journal.sqlite import SqliteJournal
from broker.journal.sqlite_archive import SqliteSource
from broker.journal.sqlite_target import SqliteTarget
from parvis.cluster_session import cluster_session
from parvis.data_dir import LOCK_NAME, lock_data_dir, make_data_dir
from parvis.errors import StartError
from parvis.parts import journal_path, open_journal
from runtime.lifecycle import ExitCode
from runtime.redis_client import place_of as redis_place_of
from runtime.schema import Settings

_KINDS: Final = "sqlite:PATH, or a redis:// address as of redis.url; or sqlite or redis, where the settings say it is"
_REDIS_SCHEMES: Final = ("redis", "rediss", "unix")


class Place(Protocol):
    """Where a journal is, or will be."""

    def __str__(self) -> str: ...

    @property
    def data_dir(self) -> Path | None:
        """The directory that a parvis on this journal locks, if it has one."""

    def refuse_in_use(self) -> None:
        """Raise `StartError` when a shard is seen to live on it; what cannot be seen is fenced by claims."""

    def journal(self) -> Journal: ...

    def source(self) -> Source: ...

    def target(self) -> Target: ...


@dataclass(frozen=True, slots=True)
class SqlitePlace:
    """A file in a data directory."""

    path: Path
    data_dir: Path

    def __str__(self) -> str:
        return f"sqlite:{self.path}"

    def refuse_in_use(self) -> None:
        """That is what the directory's lock is for."""

    def journal(self) -> Journal:
        return SqliteJournal(self.path, new_store_id="")

    def source(self) -> Source:
        return SqliteSource(self.path)

    def target(self) -> Target:
        return SqliteTarget(self.path, new_store_id=secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """The journal of the cluster `cluster.name` in the Redis of `redis.url`."""

    settings: Settings

    def __str__(self) -> str:
        return f"{self.settings.redis.url} (cluster {self.settings.cluster.name})"

    @property
    def data_dir(self) -> Path | None:
        return None

    def refuse_in_use(self) -> None:
        alive = trio.run(_live_shards, self.settings)
        if alive:
            raise StartError(f"{self} is in use by {', '.join(alive)}: stop every shard first", ExitCode.BUSY)

    def journal(self) -> Journal:
        return open_journal(self.settings)

    def source(self) -> Source:
        return RedisSource(self.settings.redis, cluster=self.settings.cluster.name)

    def target(self) -> Target:
        return RedisTarget(
            self.settings.redis,
            cluster=self.settings.cluster.name,
            new_store_id=secrets.token_hex(8),
            wait_replicas=self.settings.journal.wait_replicas,
        )


async def _live_shards(settings: Settings) -> list[str]:
    """The shards that the cluster's directory shows alive: none where it has no directory there."""
    async with cluster_session(settings) as session:
        if not (await session.look()).members:
            return []
        view = await session.observe()
        return sorted(view.members[key].id for key in session.alive(view) if view.members[key].role == "shard")


def place_of(words: str, settings: Settings) -> Place:
    """What the words on a command line mean; raises `StartError` for words that mean nothing."""
    if words == "sqlite":
        return SqlitePlace(journal_path(settings), Path(settings.data_dir))
    kind, colon, path = words.partition(":")
    if kind == "sqlite" and colon and path:
        return SqlitePlace(Path(path), Path(path).parent)
    if words == "redis":
        return _redis_place(settings.redis.url, settings)
    if colon and kind.partition("+")[0] in _REDIS_SCHEMES:
        return _redis_place(words, settings)
    raise StartError(f"a journal is {_KINDS}; {words!r} is neither", ExitCode.USAGE)


def _redis_place(url: str, settings: Settings) -> RedisPlace:
    """Raises `SettingsError` for an address that is none."""
    redis = replace(settings.redis, url=url)
    redis_place_of(redis)
    journal, cluster = replace(settings.journal, kind="redis"), replace(settings.cluster, directory="redis")
    return RedisPlace(replace(settings, redis=redis, journal=journal, cluster=cluster))


def place_of_settings(settings: Settings) -> Place:
    """The journal that `parvis up` with these settings uses."""
    if settings.journal.kind == "memory":
        raise StartError("journal.kind = memory: such a journal ends with its process; nothing else reaches it", ExitCode.CONFIG)
    return place_of(settings.journal.kind, settings)


@contextmanager
def held(data_dirs: Iterable[Path | None], *, new: Path | None = None) -> Iterator[None]:
    """Keep every parvis out of these data directories; raises `StartError`, with the process id, when one is in there.

    `new` is made when it is not there.  In the others a directory that no parvis ever used is left as it is.
    """
    with ExitStack() as locks:
        if new is not None:
            make_data_dir(new)
            locks.callback(lock_data_dir(new).close)
        seen = {new.resolve()} if new is not None else set()
        for each in data_dirs:
            if each is not None and each.resolve() not in seen and (each / LOCK_NAME).exists():
                seen.add(each.resolve())
                locks.callback(lock_data_dir(each).close)
        yield
