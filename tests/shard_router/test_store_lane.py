"""Asking the store: what does not end is told as its being away, and an outage is two lines in the log."""

from random import Random

import pytest
import trio
from structlog.testing import CapturingLogger
from trio.testing import MockClock

from runtime.metrics import DirectoryCounters
from shard_router.cluster_store import StoreAway
from shard_router.store_lane import Outage, StoreLane
from tests.support.cluster_play import logger
from tests.support.offloads import HeldOffload, InlineOffload
from wire.limits import LEASE_S, MAP_POLL_S


async def test_an_operation_is_called_with_its_arguments_and_its_answer_comes_back() -> None:
    ask = StoreLane(InlineOffload())
    assert await ask(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await ask(divmod, 1, 0)


async def test_an_operation_that_does_not_end_is_given_up_after_a_lease(autojump_clock: MockClock) -> None:
    ask = StoreLane(HeldOffload())
    began = trio.current_time()
    with pytest.raises(StoreAway):
        await ask(divmod, 7, 2)
    assert trio.current_time() - began == pytest.approx(LEASE_S)


async def test_an_outage_is_told_once_a_reason_and_once_more_at_its_end(autojump_clock: MockClock) -> None:
    log, counters = CapturingLogger(), DirectoryCounters()
    outage = Outage(Random(1), logger(log), counters)
    outage.over()
    for _ in range(20):
        began = trio.current_time()
        await outage.failed(StoreAway("no route"))
        assert trio.current_time() - began <= MAP_POLL_S
    await outage.failed(StoreAway("read-only"))
    outage.over()
    outage.over()
    events = [call.args[0].split()[0] for call in log.calls]
    assert events == ["event='directory_away'", "event='directory_away'", "event='directory_back'"]
    assert counters.failures == 21
