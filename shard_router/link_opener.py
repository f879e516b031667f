"""One attempt at a link to one shard: bounded by deadlines, and logged once for each reason it fails for."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random

import trio
from structlog.typing import FilteringBoundLogger

from runtime.link import Link, LinkRefusedError, open_client_link
from runtime.metrics import RouterCounters
from runtime.transport import Network, Transport
from shard_router.directory import Directory
from wire.errors import PeerError
from wire.limits import LINK_HELLO_DEADLINE_S
from wire.names import ShardId

Connect = Callable[[ShardId], Awaitable[Transport]]
"""How to get a transport to a shard; raises `OSError` when there is nobody."""


def dial(directory: Directory, network: Network) -> Connect:
    """Reach shards at the addresses that the directory gives, as of each attempt."""

    async def connect(shard: ShardId) -> Transport:
        address = directory.address_of(shard)
        if address is None:
            raise ConnectionError(f"the directory has no address of {shard}")
        return await network.connect(address.host, address.port)

    return connect


@dataclass(frozen=True, slots=True)
class LinkParts:
    """What every channel of one router needs to open links and to count."""

    connect: Connect
    secrets: Sequence[bytes]
    role: str
    node: str
    rng: Random
    log: FilteringBoundLogger
    counters: RouterCounters
    generations: "itertools.count[int]"


class LinkOpener:
    """Remembers why the last attempt failed, so that a long outage is one line in the log and not thousands."""

    def __init__(self, shard: ShardId, parts: LinkParts) -> None:
        self._shard = shard
        self._parts = parts
        self._last_failure = ""

    async def open(self) -> Link | None:
        """A link that is proven and not yet running; None when there is none to be had now."""
        parts = self._parts
        try:
            with trio.fail_after(LINK_HELLO_DEADLINE_S):
                transport = await parts.connect(self._shard)
            link = await open_client_link(transport, secrets=parts.secrets, role=parts.role, node=parts.node, rng=parts.rng)
        except (OSError, PeerError, LinkRefusedError, trio.TooSlowError) as error:
            self._note(f"{type(error).__name__}: {error}")
            return None
        self._last_failure = ""
        return link

    def _note(self, failure: str) -> None:
        self._parts.counters.links_failed += 1
        if failure != self._last_failure:
            self._last_failure = failure
            self._parts.log.warning("link_failed", shard=self._shard, reason=failure)
