"""All auditors of a worker: opened and closed by class, and finished together."""

from random import Random

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from loadtest.audits.auditor import Auditor
from loadtest.workers.auditors import Auditors
from tests.support.loadtest_ground import RUN, TestGround, a_ground, now_us

ROOM = "square/main"


def _auditors(it: TestGround) -> Auditors:
    return Auditors(lambda name: Auditor(name, RUN, it.tally, it.sightings, now_us), it.dials, Random, it.ground.nursery)


async def test_auditors_come_and_go_and_the_newest_goes_first(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        auditors = _auditors(it)
        for name in ("Passer", "Passer", "Other"):
            auditors.open(name, (ROOM,))
        await wait_all_tasks_blocked()
        assert (auditors.living("Passer"), auditors.living("Other"), auditors.living("Nobody")) == (2, 1, 0)
        assert auditors.servers().total() == 3
        assert {peer.name for peer in it.gateway.peers} == {"Passer-auditor-0", "Passer-auditor-1", "Other-auditor-0"}
        auditors.close("Passer")
        auditors.close("Nobody")
        await trio.sleep(5)
        assert (auditors.living("Passer"), auditors.living("Other")) == (1, 1)
        assert {member.name for member in it.gateway.room(ROOM).members} == {"Passer-auditor-0", "Other-auditor-0"}


async def test_all_are_finished_at_once_and_tell_what_never_came(autojump_clock: MockClock) -> None:
    async with a_ground() as it:
        auditors = _auditors(it)
        for _ in range(3):
            auditors.open("Passer", (ROOM,))
        await wait_all_tasks_blocked()
        it.gateway.say(ROOM, "one")
        it.gateway.lose.add(2)
        it.gateway.say(ROOM, "two")
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await auditors.finish({ROOM: ("e1", 2)}, 4.0)
        assert trio.current_time() - began < 4 + 2 + 1
        assert auditors.living("Passer") == 0
        assert it.tally.counts["undelivered"] == 3
