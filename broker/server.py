"""A shard at work: the only place of the broker with sockets, clocks and tasks.

`run_shard` owns every task: the accept loop, one task per link, the committer, the reader,
the clock.  The boundary of one link is `_serve`: whatever a peer does ends its own link.  An
error of the committer or the reader is a bug of ours and ends the process.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

import trio
from structlog.typing import FilteringBoundLogger

from broker.committer import Committer
from broker.effects import Effect
from broker.hosted import LinkId
from broker.journal.protocol import Journal, StaleMap
from broker.links import Links
from broker.reader import Reader
from broker.shard import Shard
from runtime.lifecycle import Lifecycle
from runtime.link import Link, LinkRefusedError, open_server_link
from runtime.logs import LimitedLog
from runtime.metrics import BrokerCounters
from runtime.offload import Offload
from runtime.schema import BrokerSettings
from runtime.transport import Listener, Network, Transport
from shard_router.cluster_records import Report
from shard_router.directory import Directory
from wire.errors import PeerError
from wire.limits import LINKS_PER_SHARD_MAX, SIGNALS_PER_S_MAX
from wire.names import ShardId
from wire.node_messages import AnyNodeMessage, Doubt, MapNews

TICK_S: Final = 1 / SIGNALS_PER_S_MAX
# Out of descriptors, the listener stays readable: the loop must not spin until one is free.
ACCEPT_PAUSE_S: Final = 0.1
MOVED_OUT_LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class BrokerParts:
    """What a shard is given; nothing in it is global."""

    settings: BrokerSettings
    keep_events: int
    """Events kept per room in the journal."""
    directory: Directory
    """Whose map is followed."""
    network: Network
    journal: Journal
    lane: Offload
    """For claims, commits and upkeep: one thread, in order."""
    read_lane: Offload
    secrets: tuple[bytes, ...]
    rng: Random
    """`random.SystemRandom` outside of tests: salts, epochs and nonces come from it."""
    log: FilteringBoundLogger
    counters: BrokerCounters
    lifecycle: Lifecycle
    listener: Listener | None = None
    """Bound already, where others had to be told of it first; None: host and port of the settings are bound."""
    keep_days: float = 0.0
    """Days for which they are kept; 0: whatever their age."""


async def run_shard(parts: BrokerParts, *, task_status: trio.TaskStatus["ShardServer"] = trio.TASK_STATUS_IGNORED) -> None:
    """Claim the slots, follow the map, serve until the lifecycle drains, answer what is under way, and return.

    Reports its server when gateways can connect.  Raises `StaleMap` when the journal has
    seen a newer slot map than the directory's, which cannot change; `OSError` when the address
    cannot be bound.  A journal that is away is waited for.
    """
    settings, journal = parts.settings, parts.journal
    listener = parts.listener or await parts.network.listen(settings.host, settings.port)
    try:
        store_id = await parts.read_lane(lambda: journal.store_id, deadline_s=None)
        server = ShardServer(parts, store_id, listener)
        await server.claim()
        async with trio.open_nursery() as nursery:
            server.start(nursery)
            async with trio.open_nursery() as accepting:
                accepting.start_soon(server.accept)
                task_status.started(server)
                await parts.lifecycle.wait_drain()
                accepting.cancel_scope.cancel()
            await server.drain()
            nursery.cancel_scope.cancel()
    finally:
        listener.close()


class ShardServer:
    """The I/O side of one shard."""

    def __init__(self, parts: BrokerParts, store_id: str, listener: Listener) -> None:
        settings, counters = parts.settings, parts.counters
        self._parts = parts
        self.listener = listener
        self.shard = Shard(
            store_id=store_id,
            random_bytes=parts.rng.randbytes,
            keep_events=parts.keep_events,
            keep_days=parts.keep_days,
            counters=counters,
            rooms_loaded_max=settings.rooms_loaded_max,
        )
        self.committer = Committer(
            self.shard, parts.journal, parts.lane,
            owner=ShardId(settings.id), deadline_s=settings.commit_deadline_s, do=self._do,
            on_newer_map=parts.directory.heard_of, wall_ms=self._wall_ms,
            rng=parts.rng, log=parts.log, counters=counters,
        )  # fmt: skip
        self.reader = Reader(
            self.shard, parts.journal, parts.read_lane,
            deadline_s=settings.commit_deadline_s, do=self._do, wall_ms=self._wall_ms, log=parts.log,
        )  # fmt: skip
        self.links = Links(
            self.shard,
            load=self.reader.load, read=self.reader.read, retain=self.committer.retain, wake=self.committer.wake,
            log=parts.log,
        )  # fmt: skip
        self._is_in_doubt = False
        """Whether gateways were told that this shard's lease has lapsed."""
        self._served_version = 0
        """The newest map of which every slot that is ours has been claimed."""
        self._links_opening = 0
        self._limited_log = LimitedLog(parts.log, trio.current_time)
        """For what anybody who reaches the link port can cause as often as they like."""
        self._nursery: trio.Nursery | None = None
        counters.links_up = lambda: len(self.links)

    def _do(self, effects: Sequence[Effect]) -> None:
        self.links.do(effects)

    def _wall_ms(self) -> int:
        return int(self._parts.lifecycle.wall_clock() * 1000)

    async def claim(self) -> None:
        """Take the slots that the map gives to this shard; raises `StaleMap` when it is too old and cannot change."""
        directory, shard = self._parts.directory, self.shard
        while True:
            slot_map = directory.slot_map
            mine, _ = shard.follow(slot_map.slots_of(ShardId(self._parts.settings.id)), slot_map.version)
            try:
                terms = await self.committer.claim(mine, slot_map.version)
            except StaleMap as stale:
                if not directory.can_change:
                    raise
                self._parts.log.warning("claim_refused", error=str(stale))
                directory.heard_of(stale.newest)
                await directory.wait_changed(slot_map.version)
            else:
                shard.own(terms, trio.current_time())
                self._parts.log.info("slots_claimed", slots=len(mine), map_version=slot_map.version)
                return

    def start(self, nursery: trio.Nursery) -> None:
        """Start the tasks that always run; those of links will be in `nursery` too."""
        self._nursery = nursery
        nursery.start_soon(self.committer.run)
        nursery.start_soon(self.reader.run)
        nursery.start_soon(self._keep_time)
        nursery.start_soon(self._follow_directory)

    # --- the map ------------------------------------------------------------------------------

    async def _follow_directory(self) -> None:
        """Follow each newer map, and say so over every link at once: gateways need not wait for their own next look."""
        directory, seen = self._parts.directory, self.shard.map_version
        while True:
            await directory.wait_changed(seen)
            slot_map = directory.slot_map
            if slot_map.version > seen:
                seen = slot_map.version
                self.links.tell_all(MapNews(seen))
                self.committer.follow(slot_map)

    def _look_at_lease(self) -> None:
        """Tell gateways when this shard may have been replaced without knowing it, and when it knows better again."""
        is_lapsed = self._parts.directory.is_lapsed
        if is_lapsed != self._is_in_doubt:
            self._is_in_doubt = is_lapsed
            self._parts.log.warning("lease_lapsed" if is_lapsed else "lease_renewed")
            self.links.tell_all(Doubt(is_lapsed))

    async def _move_out(self) -> None:
        """Have the slots given to other shards and wait until they are, so that nobody waits for a successor."""
        directory, shard = self._parts.directory, self.shard
        if not shard.slots_owned or not directory.start_leaving():
            return
        # Asked again: when a whole cluster leaves, a successor is one only until it says so itself.
        while shard.slots_owned and directory.start_leaving():  # noqa: ASYNC110 -- twenty looks a second, once in a life
            await trio.sleep(MOVED_OUT_LOOK_S)
        self._parts.log.info("slots_moved_out", map_version=shard.map_version, slots_left=shard.slots_owned)

    def report(self) -> Report:
        """What the directory tells others of this shard, at each renewal."""
        if not self.shard.is_claiming:
            self._served_version = self.shard.map_version
        return Report(
            map_version=self.shard.map_version,
            served_version=self._served_version,
            slots=self.shard.slots_owned,
            rooms=self.shard.rooms_loaded,
            connections=len(self.links),
        )

    # --- links --------------------------------------------------------------------------------

    async def accept(self) -> None:
        """Take connections until cancelled; each has a task of its own."""
        listener = self.listener
        while True:
            await listener.wait_acceptable()
            try:
                transport = listener.try_accept()
            except BlockingIOError:
                continue
            except OSError as error:
                self._limited_log.warning("accept_failed", error=errno.errorcode.get(error.errno or 0, str(error)))
                await trio.sleep(ACCEPT_PAUSE_S)
                continue
            self.serve_transport(transport)

    def serve_transport(self, transport: Transport) -> None:
        """Serve a stream that somebody connected: from the accept loop, or one end of a pair inside this process."""
        if self._links_opening + len(self.links) >= LINKS_PER_SHARD_MAX:
            self._parts.counters.link_refusals += 1
            transport.close()
            return
        assert self._nursery is not None, "streams are served by a shard that runs"
        self._links_opening += 1
        self._nursery.start_soon(self._serve, transport)

    async def _serve(self, transport: Transport) -> None:
        """The boundary of one link: nothing but a cancellation leaves it."""
        log, counters = self._limited_log, self._parts.counters
        try:
            link = await self._introduce(transport)
            if link is not None:
                await self._converse(link)
        except* PeerError as broken:
            counters.link_errors += 1
            log.warning("link_broken", peer=transport.peer, error="; ".join(map(str, broken.exceptions)))
        except* Exception as group:
            counters.link_errors += 1
            log.error("link_failed", peer=transport.peer, exc_info=group)
        finally:
            transport.close()

    async def _introduce(self, transport: Transport) -> Link | None:
        """The handshake, which has a deadline of its own; None when it failed."""
        parts = self._parts
        try:
            return await open_server_link(
                transport,
                secrets=parts.secrets,
                node=parts.settings.id,
                map_version=self.shard.map_version,
                rng=parts.rng,
            )
        except LinkRefusedError as refused:
            # A node of ours with another secret or version: its operator looks for this line.
            self._limited_log.warning("link_refused", peer=transport.peer, error=str(refused))
        except (PeerError, OSError) as error:
            # Anything that found the port.
            parts.log.debug("link_refused", peer=transport.peer, error=str(error))
        finally:
            self._links_opening -= 1
        parts.counters.link_refusals += 1
        return None

    async def _converse(self, link: Link) -> None:
        """Messages until the link ends."""
        link_id = self.links.add(link)
        if self._is_in_doubt:
            self.links.tell(link, Doubt(True))
        try:
            reason = await link.run(partial(self._on_message, link_id))
        finally:
            self.links.remove(link_id)
        self._parts.log.info("link_ended", node=link.peer_node, reason=reason)

    def _on_message(self, link_id: LinkId, message: AnyNodeMessage) -> None:
        if isinstance(message, MapNews):
            self._parts.directory.heard_of(message.map_version)
        self._do(self.shard.on_message(link_id, message, trio.current_time(), self._wall_ms()))

    # --- time ---------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        """Tick SIGNALS_PER_S_MAX times a second until cancelled."""
        while True:
            await trio.sleep(TICK_S)
            self.links.tick(trio.current_time(), self._wall_ms())
            self._look_at_lease()

    async def drain(self) -> None:
        """Move out, tell gateways, finish what is under way, hand every answer to the kernel; within the drain's deadline."""
        log = self._parts.log
        deadline = trio.current_time() + self._parts.settings.drain_deadline_s
        # What nobody has taken over by half the time is left to the directory to find out.
        with trio.move_on_after(self._parts.settings.drain_deadline_s / 2):
            await self._move_out()
        self.listener.close()
        self._do(self.shard.leave())
        with trio.move_on_at(deadline) as patience:
            await self.committer.wait_settled()
            for link in self.links.all():
                await link.drain(self._parts.settings.drain_deadline_s)
        if patience.cancelled_caught:
            log.warning("drain_cut_short", is_settled=self.shard.is_settled)
        for link in self.links.all():
            link.close()
