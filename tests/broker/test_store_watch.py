"""When the store is asked who it is, and what a change, a silence and a first answer mean."""

from random import Random

import structlog
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from broker.journal.memory import MemoryJournal
from broker.store_watch import StoreWatch
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.offloads import InlineOffload
from wire.limits import STORE_LOOK_INTERVAL_S


class OtherLives(MemoryJournal):
    """A store whose lives are numbered by hand."""

    life = 1

    def store_run(self) -> str:
        return f"life {self.life}"


async def test_a_change_is_told_once_and_the_first_answer_counts_as_one(autojump_clock: MockClock) -> None:
    journal = OtherLives("store")
    watch = StoreWatch(journal, InlineOffload(), deadline_s=1.0, log=structlog.get_logger())
    assert await watch.has_changed(), "what was loaded before the first answer may have come from another life"
    await trio.sleep(STORE_LOOK_INTERVAL_S)
    assert not await watch.has_changed()
    journal.life = 2
    assert not await watch.has_changed(), "it was asked just now"
    await trio.sleep(STORE_LOOK_INTERVAL_S)
    with capture_logs() as lines:
        assert await watch.has_changed()
    assert [(line["event"], line["before"], line["now"]) for line in lines] == [("store_changed", "life 1", "life 2")]
    await trio.sleep(STORE_LOOK_INTERVAL_S)
    assert not await watch.has_changed()


async def test_after_an_alarm_it_does_not_wait_for_its_time(autojump_clock: MockClock) -> None:
    journal = OtherLives("store")
    watch = StoreWatch(journal, InlineOffload(), deadline_s=1.0, log=structlog.get_logger())
    await watch.has_changed()
    journal.life = 2
    watch.look_soon()
    assert await watch.has_changed()


async def test_a_store_that_does_not_answer_has_not_changed_and_is_told_of_once(autojump_clock: MockClock) -> None:
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    watch = StoreWatch(journal, InlineOffload(), deadline_s=1.0, log=structlog.get_logger())
    await watch.has_changed()
    journal.fail("store_run", Fault.BEFORE, times=3)
    with capture_logs() as lines:
        for _ in range(4):
            await trio.sleep(STORE_LOOK_INTERVAL_S)
            assert not await watch.has_changed()
    assert [line["event"] for line in lines] == ["store_does_not_answer"]
