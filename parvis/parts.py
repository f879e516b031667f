"""From settings to roles: what one process gives to the shard, the router and the gateway in it.

The one place where real sockets, real randomness and real files come in; roles are given
them and know none by name.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

import trio
from structlog.typing import FilteringBoundLogger

from broker.journal.memory import MemoryJournal
from broker.journal.protocol import Journal
from broker.journal.redis import RedisJournal
from broker.journal.sqlite import SqliteJournal
from broker.server import BrokerParts, ShardServer, run_shard
from gateway.server import GatewayParts, run_gateway
from parvis.data_dir import GUEST_KEY_NAME, JOURNAL_NAME, LINK_SECRET_NAME, read_or_make_key, read_or_make_secrets
from parvis.errors import StartError
from parvis.reports import report_gateway, report_shard
from parvis.token_keys import open_key_file
from runtime.exposition import MetricsRegistry
from runtime.lifecycle import ExitCode, Lifecycle
from runtime.metrics import BrokerCounters, GatewayCounters
from runtime.offload import ThreadLane
from runtime.schema import Settings
from runtime.sockets import SocketNetwork
from runtime.transport import Listener, Network, Transport
from shard_router.directory import Directory
from shard_router.link_opener import Connect
from shard_router.router import ShardRouter

# Reads of history are rare and wait for the disk; two let a long one not stand before a short one.
READ_THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class Host:
    """What one process has and its roles share."""

    settings: Settings
    lifecycle: Lifecycle
    log: FilteringBoundLogger
    registry: MetricsRegistry = field(default_factory=MetricsRegistry)
    network: Network = field(default_factory=SocketNetwork)
    rng: Random = field(default_factory=SystemRandom)

    def with_settings(self, settings: Settings) -> "Host":
        """The same process for a role with other settings."""
        return replace(self, settings=settings)

    @property
    def data_dir(self) -> Path:
        return Path(self.settings.data_dir)

    def link_secrets(self) -> tuple[bytes, ...]:
        """Shared by all nodes of the cluster; made at the first start of the first of them."""
        named = self.settings.cluster.secret_file
        return read_or_make_secrets(Path(named) if named else self.data_dir / LINK_SECRET_NAME)

    def guest_key(self) -> bytes:
        """Shared by all gateways of the service."""
        return read_or_make_key(self.data_dir / GUEST_KEY_NAME)


@dataclass(frozen=True, slots=True)
class OpenJournal:
    """A journal with the threads that may call it."""

    journal: Journal
    lane: ThreadLane
    read_lane: ThreadLane
    newest_map_version: int


def journal_path(settings: Settings) -> Path:
    return Path(settings.journal.path) if settings.journal.path else Path(settings.data_dir) / JOURNAL_NAME


def open_journal(settings: Settings) -> Journal:
    """Blocking.  Raises `JournalCorrupt` or `Unavailable`."""
    new_store_id = secrets.token_hex(8)
    if settings.journal.kind == "memory":
        return MemoryJournal(new_store_id)
    if settings.journal.kind == "redis":
        return RedisJournal(
            settings.redis,
            cluster=settings.cluster.name,
            new_store_id=new_store_id,
            wait_replicas=settings.journal.wait_replicas,
            # The lane should know its own failure before the committer stops waiting for it.
            deadline_s=0.8 * settings.broker.commit_deadline_s,
        )
    synchronous: Final = "full" if settings.journal.synchronous == "full" else "normal"
    return SqliteJournal(journal_path(settings), new_store_id=new_store_id, synchronous=synchronous)


@asynccontextmanager
async def opened_journal(host: Host) -> AsyncIterator[OpenJournal]:
    """The journal and its lanes, closed after everything that was given to them."""

    def on_unseen_error(error: BaseException) -> None:
        host.log.error("journal_job_failed_unseen", error=str(error))

    lane = ThreadLane("journal", on_unseen_error=on_unseen_error)
    read_lane = ThreadLane("journal-read", threads=READ_THREADS, on_unseen_error=on_unseen_error)
    try:
        journal = await lane(lambda: open_journal(host.settings), deadline_s=None)
        newest = await lane(journal.newest_map_version, deadline_s=None)
        _say_what_it_keeps(host, journal)
        try:
            yield OpenJournal(journal, lane, read_lane, newest)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + host.settings.broker.drain_deadline_s):
                await lane(journal.close, deadline_s=None)
    finally:
        lane.close()
        read_lane.close()


def _say_what_it_keeps(host: Host, journal: Journal) -> None:
    """One line a server: an operator who looks for lost messages begins here."""
    for server in journal.facts if isinstance(journal, RedisJournal) else ():
        host.log.info(
            "journal_store", server=server.name, version=server.version, appendonly=server.appendonly,
            appendfsync=server.appendfsync, replicas=server.replicas, wait_replicas=host.settings.journal.wait_replicas,
        )  # fmt: skip


def show_store(counters: BrokerCounters, settings: Settings, journal: Journal) -> None:
    """What of the store decides how much a crash may cost, as metrics."""
    counters.journal_store["kind"] = settings.journal.kind
    if isinstance(journal, RedisJournal):
        least = min(journal.facts, key=lambda server: (server.appendonly, server.appendfsync == "always"))
        counters.journal_store["appendonly"] = "yes" if least.appendonly else "no"
        counters.journal_store["appendfsync"] = least.appendfsync
        counters.journal_replicas = lambda: min(server.replicas for server in journal.facts)


async def start_shard(
    nursery: trio.Nursery, host: Host, opened: OpenJournal, directory: Directory, lifecycle: Lifecycle,
    listener: Listener | None = None,
) -> ShardServer:  # fmt: skip
    """A shard that serves until `lifecycle` drains, on `listener` if it was bound before.

    Raises `StartError` when its address is taken.
    """
    settings = host.settings
    counters = BrokerCounters()
    show_store(counters, settings, opened.journal)
    host.registry.expose(counters, node=settings.broker.id)
    parts = BrokerParts(
        settings=settings.broker,
        keep_events=settings.journal.keep_events,
        keep_days=settings.journal.keep_days,
        directory=directory,
        network=host.network,
        journal=opened.journal,
        lane=opened.lane,
        read_lane=opened.read_lane,
        secrets=host.link_secrets(),
        rng=host.rng,
        log=host.log.bind(role="broker", node=settings.broker.id),
        counters=counters,
        lifecycle=lifecycle,
        listener=listener,
    )
    async with address_is_free():
        server: ShardServer = await nursery.start(run_shard, parts)
    report_shard(directory, server)
    return server


async def start_router(nursery: trio.Nursery, host: Host, directory: Directory, connect: Connect) -> ShardRouter:
    """A router that works until `nursery` is cancelled."""
    node = host.settings.gateway.id
    router = ShardRouter(
        directory, connect,
        secrets=host.link_secrets(), role="gateway", node=node, rng=host.rng,
        log=host.log.bind(role="router", node=node),
    )  # fmt: skip
    host.registry.expose(router.counters, node=node)
    await nursery.start(router.run)
    return router


async def start_gateway(
    nursery: trio.Nursery, host: Host, router: ShardRouter, directory: Directory, door: Listener | None = None
) -> Listener:
    """A gateway that serves until the host's lifecycle drains, at a `door` that is there already or at its own address.

    Raises `StartError` when that is taken.
    """
    settings = host.settings
    counters = GatewayCounters()
    host.registry.expose(counters, node=settings.gateway.id)
    parts = GatewayParts(
        settings=settings.gateway,
        admission=settings.admission,
        rooms=settings.rooms,
        tokens=settings.tokens,
        key_file=open_key_file(settings.tokens),
        network=host.network,
        router=router,
        guest_key=host.guest_key(),
        rng=host.rng,
        log=host.log.bind(role="gateway", node=settings.gateway.id),
        counters=counters,
        lifecycle=host.lifecycle,
        accepts_elsewhere_per_s=directory.accepts_elsewhere_per_s,
        listener=door,
    )
    async with address_is_free():
        listener: Listener = await nursery.start(run_gateway, parts)
    report_gateway(directory, settings.gateway, listener, counters)
    return listener


@asynccontextmanager
async def address_is_free() -> AsyncIterator[None]:
    """Around the start of something that listens: an `OSError` of the address is a plain sentence."""
    try:
        yield
    except OSError as error:
        raise StartError(error.strerror or str(error), ExitCode.UNAVAILABLE) from error


def pair_to(server: ShardServer, network: Network) -> Connect:
    """Reach a shard of this process: the same framed link, over a socketpair."""

    async def connect(_: object) -> Transport:
        ours, theirs = network.pair()
        server.serve_transport(theirs)
        return ours

    return connect
