"""Names, secrets and addresses at the door of a cluster; tests/shard_router/test_cluster_directory.py plays whole joins."""

from random import Random

import pytest
import trio
from structlog.testing import CapturingLogger
from trio.testing import MockClock

from runtime.metrics import DirectoryCounters
from shard_router.cluster_records import MemberRecord
from shard_router.directory import Address
from shard_router.joining import NameTaken, OtherCluster, address_in, fingerprint, join
from shard_router.store_lane import Outage, StoreLane
from tests.support.cluster_play import logger
from tests.support.cluster_store_model import ClusterStoreModel
from tests.support.offloads import InlineOffload
from wire.limits import LEASE_S


def record(incarnation: str, address: str = "10.0.0.2:8101") -> MemberRecord:
    return MemberRecord(role="shard", id="a", incarnation=incarnation, address=address)


async def joining(model: ClusterStoreModel, joins: MemberRecord, *, is_refused: bool = False, secret: str = "ours") -> None:
    async def probe(address: Address) -> bool:
        await trio.lowlevel.checkpoint()
        return is_refused

    log = logger(CapturingLogger())
    await join(
        model.client(), StoreLane(InlineOffload()), joins,
        cluster="town", fingerprints=[secret], probe=probe, outage=Outage(Random(1), log, DirectoryCounters()), log=log,
    )  # fmt: skip


async def test_of_two_who_come_at_once_under_one_name_one_is_turned_away(autojump_clock: MockClock) -> None:
    model = ClusterStoreModel()
    outcomes: list[str] = []

    async def live(incarnation: str) -> None:
        try:
            await joining(model, record(incarnation))
        except NameTaken:
            outcomes.append("turned away")
            return
        outcomes.append("joined")
        for counter in range(10):
            await trio.sleep(0.5)
            assert model.client().renew(MemberRecord(role="shard", id="a", incarnation=incarnation, counter=counter + 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live, "first")
        nursery.start_soon(live, "second")
    assert sorted(outcomes) == ["joined", "turned away"]


async def test_a_record_that_stands_still_is_replaced_after_a_lease_or_at_once_if_its_port_refuses(
    autojump_clock: MockClock,
) -> None:
    for is_refused in (False, True):
        model = ClusterStoreModel()
        model.client().register(record("dead", "10.0.0.1:8101"), "")
        began = trio.current_time()
        await joining(model, record("alive"), is_refused=is_refused)
        assert (trio.current_time() - began >= LEASE_S) is not is_refused
        assert model.client().look(0).members["shard:a"].incarnation == "alive"


async def test_ones_own_address_proves_nothing_about_the_one_before(autojump_clock: MockClock) -> None:
    """Whoever starts again listens there already: a probe would ask itself."""
    model = ClusterStoreModel()
    model.client().register(record("dead"), "")
    began = trio.current_time()
    await joining(model, record("alive"), is_refused=True)
    assert trio.current_time() - began >= LEASE_S


async def test_a_reply_that_was_lost_is_found_out_by_looking(autojump_clock: MockClock) -> None:
    model = ClusterStoreModel(lose_replies=3)
    await joining(model, record("first"))
    assert model.client().look(0).members["shard:a"].incarnation == "first"


async def test_another_secret_is_turned_away(autojump_clock: MockClock) -> None:
    model = ClusterStoreModel(fingerprint="theirs")
    with pytest.raises(OtherCluster, match=r"cluster town .* another link secret"):
        await joining(model, record("first"))


def test_a_fingerprint_tells_secrets_and_clusters_apart_and_gives_nothing_away() -> None:
    prints = {fingerprint(secret, name) for secret in (b"one", b"two") for name in ("town", "village")}
    assert len(prints) == 4
    assert all(len(each) == 32 and "one" not in each for each in prints)
    assert fingerprint(b"one", "town") in prints


def test_an_address_that_is_none_is_none() -> None:
    assert address_in(record("x", "[::1]:8101")) == Address("::1", 8101)
    assert address_in(record("x", "")) is None
    assert address_in(record("x", "10.0.0.1")) is None
