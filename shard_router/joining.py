"""How a node comes into a cluster: it proves that the cluster is its own, and takes its name if nobody lives under it."""

import hmac
from collections.abc import Awaitable, Callable, Sequence

import trio
from structlog.typing import FilteringBoundLogger

from shard_router.cluster_records import MemberRecord
from shard_router.cluster_store import ClusterStore
from shard_router.directory import Address, parse_address
from shard_router.lease import Watch
from shard_router.store_lane import UNREADABLE, Outage, StoreLane
from wire.limits import MAP_POLL_S

Probe = Callable[[Address], Awaitable[bool]]
"""Whether certainly nobody listens there (the connection was refused).  False leaves everything open."""


class NameTaken(Exception):
    """Another process lives under this node's name."""


class OtherCluster(Exception):
    """The directory belongs to a cluster with another link secret."""


def fingerprint(secret: bytes, cluster: str) -> str:
    """Tells a cluster's secret from another's, and gives neither away."""
    return hmac.digest(secret, b"parvis cluster " + cluster.encode(), "sha256")[:16].hex()


async def join(
    store: ClusterStore, ask: StoreLane, record: MemberRecord, *,
    cluster: str, fingerprints: Sequence[str], probe: Probe, outage: Outage, log: FilteringBoundLogger,
) -> None:  # fmt: skip
    """Register `record`; waits for a store that is away.  Raises `NameTaken` or `OtherCluster`."""
    newcomer = _Newcomer(store, ask, record, probe, log)
    while True:
        try:
            if not await ask(store.introduce, fingerprints):
                raise OtherCluster(
                    f"the cluster {cluster} in this Redis has another link secret;"
                    " a second cluster needs a cluster.name of its own"
                )
            if await newcomer.is_registered():
                outage.over()
                return
            await trio.sleep(MAP_POLL_S)
        except UNREADABLE as error:
            await outage.failed(error)


class _Newcomer:
    """Tries to register, and watches whoever has the name meanwhile."""

    def __init__(
        self, store: ClusterStore, ask: StoreLane, record: MemberRecord, probe: Probe, log: FilteringBoundLogger
    ) -> None:
        self._store = store
        self._ask = ask
        self._record = record
        self._probe = probe
        self._log = log
        self._watch = Watch()
        self._has_said_so = False

    async def is_registered(self) -> bool:
        """One attempt; False: ask again soon.  Raises `NameTaken`."""
        key = self._record.key
        asked = trio.current_time()
        view = await self._ask(self._store.look, 0)
        found = view.members.get(key)
        signs = {key: (found.incarnation, found.counter)} if found is not None else {}
        self._watch.look(signs, asked, trio.current_time())
        if found is None or found.incarnation == self._record.incarnation:
            return await self._ask(self._store.register, self._record, "" if found is None else found.incarnation)
        if self._watch.has_moved(key):
            where = f" at {found.address}" if found.address else ""
            raise NameTaken(f"the {found.role} {found.id} is running already{where}; each node needs a name of its own")
        if self._watch.is_alive(key) and not await self._is_gone(found):
            return False
        self._log.info("name_taken_over", address=found.address)
        return await self._ask(self._store.register, self._record, found.incarnation)

    async def _is_gone(self, found: MemberRecord) -> bool:
        """Whether the one before us was certainly ended; else its record must stand still for a lease."""
        address = address_in(found)
        if address is not None and found.address != self._record.address and await self._probe(address):
            return True
        if not self._has_said_so:
            self._has_said_so = True
            self._log.info("waiting_for_own_name", held_at=found.address)
        return False


def address_in(record: MemberRecord) -> Address | None:
    """Where a member says it is; None when it does not say, or not so that it can be read."""
    try:
        return parse_address(record.address)
    except ValueError:
        return None
