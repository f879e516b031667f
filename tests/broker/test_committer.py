"""The writing task: groups, the barrier after an unknown outcome, healing, upkeep."""

import itertools
from collections.abc import Sequence
from random import Random

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from broker.committer import parted
from broker.effects import Retain
from broker.journal.memory import MemoryJournal
from broker.journal.protocol import CommitOutcome, CommitVerdict, Write
from broker.room import DIVERGED
from shard_router.placement import SlotMap
from shard_router.slots import slot_of
from tests.support.changing_directory import ChangingDirectory, map_of
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.forgetful_journal import ForgetfulJournal
from tests.support.journal_writes import RoomWriter
from tests.support.offloads import HeldOffload
from tests.support.shard_driver import ALL_SLOTS, ROOM, ShardDriver, message
from tests.support.shard_links import GatewayEnd, connect, parts_of, running_shard
from wire.limits import FENCES_MAX
from wire.names import Epoch, RoomName
from wire.node_messages import Attach, Attached, Batch, CommandRefused, Committed, MapNews, Moved, Range, RangeRead, Reattach


@pytest.mark.parametrize(("fault", "is_kept"), [(Fault.BEFORE, False), (Fault.AFTER, True)])
async def test_a_commit_that_fails_is_answered_from_the_journal(fault: Fault, is_kept: bool) -> None:
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1))
        assert (await gateway.expect(Attached)).term == 1
        journal.fail("commit", fault)
        gateway.say(message(1))
        if is_kept:
            assert (await gateway.expect(Committed)).offset == 1
            assert [frame.offset for frame in (await gateway.expect(Batch)).frames] == [1]
        else:
            assert (await gateway.expect(CommandRefused)).code == "unavailable"
        gateway.say(message(1))
        answer = await gateway.expect(Committed)
        assert (answer.offset, answer.duplicate) == (1, is_kept)
        gateway.say(Attach(ROOM, 2))
        assert (await gateway.expect(Attached)).term == 2, "the slot was claimed again before anything was read"


async def test_while_the_journal_stays_away_memory_is_read_and_publishes_are_refused_until_it_heals() -> None:
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1), message(1))
        await gateway.expect(Batch)
        journal.fail("commit", Fault.BEFORE)
        journal.fail("claim", Fault.BEFORE, times=3)
        gateway.say(message(2))
        refused = await gateway.expect(CommandRefused)
        assert (refused.code, refused.request) == ("unavailable", 2)
        assert journal.failed["claim"] == 3
        gateway.say(message(2))
        assert (await gateway.expect(Committed)).offset == 2


async def test_nothing_is_refused_for_good_and_reads_go_on_while_claims_fail() -> None:
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1), message(1))
        await gateway.expect(Batch)
        journal.fail("commit", Fault.BEFORE)
        journal.fail("claim", Fault.BEFORE, times=1_000_000)
        gateway.say(message(2), message(3))
        with trio.fail_after(10):
            while not server.shard.journal_away:
                await trio.testing.wait_all_tasks_blocked(0.01)
        gateway.say(message(4), RangeRead(5, ROOM), Attach(ROOM, 2))
        assert (await gateway.expect(CommandRefused, lambda told: told.request == 4)).code == "unavailable"
        assert len((await gateway.expect(Range)).frames) == 1
        assert (await gateway.expect(Attached)).offset == 1
        journal.heal()
        await gateway.expect(CommandRefused, lambda told: told.request == 3)
        gateway.say(message(6))
        assert (await gateway.expect(Committed)).offset == 2


class PartedJournal(MemoryJournal):
    """As a journal of several stores: writes of some rooms go to one that does not answer, after or before it stored them."""

    def __init__(self, store_id: str) -> None:
        super().__init__(store_id)
        self.away: dict[str, Fault] = {}

    def commit(self, writes: Sequence[Write]) -> Sequence[CommitOutcome]:
        here = [write for write in writes if self.away.get(write.room) is not Fault.BEFORE]
        done = dict(zip([write.room for write in here], super().commit(here), strict=True))
        unknown = CommitOutcome(CommitVerdict.UNKNOWN)
        return [unknown if write.room in self.away else done[write.room] for write in writes]


@pytest.mark.parametrize(("fault", "is_kept"), [(Fault.BEFORE, False), (Fault.AFTER, True)])
async def test_of_a_group_that_is_known_in_part_each_room_is_told_what_is_known(fault: Fault, is_kept: bool) -> None:
    journal = PartedJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1), Attach("town/other", 2))
        before = [(await gateway.expect(Attached)).term for _ in range(2)]
        journal.away["town/other"] = fault
        gateway.say(message(1), message(2, room="town/other"), message(3))
        assert {(await gateway.expect(Committed)).request, (await gateway.expect(Committed)).request} == {1, 3}
        if is_kept:
            assert (await gateway.expect(Committed)).request == 2
        else:
            refused = await gateway.expect(CommandRefused)
            assert (refused.request, refused.code) == (2, "unavailable")
        journal.away.clear()
        gateway.say(message(4), message(2, room="town/other"))
        assert {(await gateway.expect(Committed)).request, (await gateway.expect(Committed)).request} == {2, 4}
        gateway.say(Attach(ROOM, 3), Attach("town/other", 4))
        # Only the slot of the room that was unknown was claimed again.
        assert [(await gateway.expect(Attached)).term for _ in range(2)] == [before[0], before[1] + 1]


def test_what_was_fenced_is_claimed_for_together_with_what_is_unknown() -> None:
    writers = [RoomWriter(f"test/{number}") for number in range(4)]
    writes = [writer.write("x") for writer in writers]
    verdicts = [CommitVerdict.COMMITTED, CommitVerdict.FENCED, CommitVerdict.UNKNOWN, CommitVerdict.BEHIND]
    outcomes = [CommitOutcome(verdict) for verdict in verdicts]
    assert parted(writes, outcomes) == ([writes[0], writes[3]], [outcomes[0], outcomes[3]], [writes[1], writes[2]])


async def test_a_commit_that_takes_too_long_is_unknown_and_its_late_write_is_found() -> None:
    lane = HeldOffload()
    parts = parts_of(MemoryJournal("store"), lane=lane, commit_deadline_s=0.2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(let_go_when_held, lane, 1)
        async with running_shard(parts) as server:
            gateway = await connect(nursery, server)
            gateway.say(Attach(ROOM, 1))
            await gateway.expect(Attached)
            gateway.say(message(1))
            with trio.fail_after(10):
                while not server.shard.journal_away:
                    await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.start_soon(let_go_when_held, lane, 100)
            answer = await gateway.expect(Committed)
            assert (answer.request, answer.offset, answer.duplicate) == (1, 1, False)
            assert [frame.offset for frame in (await gateway.expect(Batch)).frames] == [1]
        nursery.cancel_scope.cancel()


async def let_go_when_held(lane: HeldOffload, times: int) -> None:
    """Let jobs of the lane run, oldest first."""
    for _ in range(times):
        while not lane.waiting:
            await trio.testing.wait_all_tasks_blocked(0.005)
        lane.let_go()


async def test_a_fenced_shard_steps_down() -> None:
    journal = MemoryJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1), message(1))
        await gateway.expect(Committed)
        journal.claim(ALL_SLOTS, 2, "shard-2")
        gateway.say(message(2))
        assert (await gateway.expect(Moved)).request == 2
        assert (await gateway.expect(Moved)).generation == 1
        gateway.say(message(3), Attach("town/other", 1))
        assert (await gateway.expect(Moved)).request == 3


async def test_a_shard_that_is_fenced_under_its_own_map_claims_back_but_not_for_ever() -> None:
    journal = MemoryJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        for number in range(1, FENCES_MAX):
            journal.claim(ALL_SLOTS, 1, "shard-1")
            gateway.say(message(number))
            assert (await gateway.expect(Committed)).offset == number, "what was fenced was not written, and is written now"
        journal.claim(ALL_SLOTS, 1, "shard-1")
        gateway.say(message(60))
        assert (await gateway.expect(Moved)).request == 60


async def test_slots_that_a_newer_map_gave_away_are_not_claimed_back() -> None:
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1), message(1))
        await gateway.expect(Committed)
        journal.claim(ALL_SLOTS, 2, "shard-2")
        journal.fail("commit", Fault.BEFORE)
        gateway.say(message(2))
        assert (await gateway.expect(Moved)).generation == 1
        assert not server.shard.journal_away


async def test_the_journal_forgets_between_commits_and_a_failure_of_that_hurts_nobody() -> None:
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(message(1), message(2))
        await gateway.expect(Committed)
        journal.fail("retain", Fault.BEFORE)
        server.committer.retain(Retain(RoomName(ROOM), 1, 0))
        server.committer.retain(Retain(RoomName(ROOM), 1, 0))
        gateway.say(message(3))
        await gateway.expect(Committed, lambda answer: answer.request == 3)
        with trio.fail_after(10):
            while not journal.done["retain"]:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert journal.failed["retain"] == 1
        epoch = (await page(gateway)).epoch
        assert [entry.offset for entry in journal.read(RoomName(ROOM), Epoch(epoch), 0, 10)] == [2, 3]


async def page(gateway: GatewayEnd) -> Range:
    gateway.say(RangeRead(99, ROOM))
    return await gateway.expect(Range)


class TidyJournal(MemoryJournal):
    """Counts how often it may tidy up."""

    tidied = 0

    def idle(self) -> None:
        self.tidied += 1


async def test_a_journal_tidies_up_once_when_nothing_is_written_for_a_while() -> None:
    journal = TidyJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(message(1))
        await gateway.expect(Committed)
        with trio.fail_after(10):
            while not journal.tidied:
                await trio.testing.wait_all_tasks_blocked(0.05)
        gateway.say(message(2))
        await gateway.expect(Committed)
        assert journal.tidied == 1


async def test_a_newer_map_is_followed_between_two_groups() -> None:
    directory, journal = ChangingDirectory(map_of(1, "shard-1", "shard-2")), MemoryJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal, directory=directory)) as server:
        gateway = await connect(nursery, server)
        mine, theirs = room_of_shard(directory.slot_map, "shard-1"), room_of_shard(directory.slot_map, "shard-2")
        gateway.say(Attach(mine, 1), message(1, room=mine), message(2, room=theirs))
        assert (await gateway.expect(Moved)).request == 2
        await gateway.expect(Committed)
        directory.change(map_of(2, "shard-1"))
        assert (await gateway.expect(MapNews)).map_version == 2
        gateway.say(message(3, room=theirs))
        assert (await gateway.expect(Committed)).request == 3
        directory.change(map_of(3, "shard-2"))
        assert (await gateway.expect(Moved, lambda moved: moved.generation == 1)).map_version == 3
        gateway.say(message(4, room=mine))
        assert (await gateway.expect(Moved, lambda moved: moved.request == 4)).map_version == 3
        assert server.shard.slots_owned == 0


async def test_what_the_store_forgot_of_a_slot_is_written_again_before_the_slot_moves() -> None:
    directory, journal = ChangingDirectory(map_of(1, "shard-1")), ForgetfulJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal, directory=directory)) as server:
        gateway = await connect(nursery, server)
        keep = journal.changes
        gateway.say(Attach(ROOM, 1), message(1), message(2))
        epoch = (await gateway.expect(Attached)).epoch
        await gateway.expect(Committed, lambda answer: answer.request == 2)
        journal.fail_over(keep)
        directory.change(map_of(2, "shard-2"))
        await gateway.expect(Moved)
        assert [entry.id for entry in journal.read(RoomName(ROOM), Epoch(epoch), 0, 10)] == ["m1", "m2"]


async def test_a_slot_is_lost_and_won_while_the_journal_is_away() -> None:
    directory = ChangingDirectory(map_of(1, "shard-1", "shard-2"))
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal, directory=directory)) as server:
        gateway = await connect(nursery, server)
        theirs = room_of_shard(directory.slot_map, "shard-2")
        journal.fail("claim", Fault.BEFORE, times=3)
        directory.change(map_of(2, "shard-1"))
        await gateway.expect(MapNews)
        with trio.fail_after(10):
            while not server.shard.journal_away:
                await trio.testing.wait_all_tasks_blocked(0.005)
        gateway.say(message(1, room=theirs))
        assert (await gateway.expect(CommandRefused)).code == "unavailable"
        with trio.fail_after(10):
            while server.shard.journal_away:
                await trio.testing.wait_all_tasks_blocked(0.01)
        gateway.say(message(2, room=theirs))
        assert (await gateway.expect(Committed)).request == 2


async def test_a_claim_under_a_map_that_is_old_already_asks_for_the_newer_one() -> None:
    directory, journal = ChangingDirectory(map_of(1, "shard-1", "shard-2")), MemoryJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal, directory=directory)) as server:
        gateway = await connect(nursery, server)
        theirs = room_of_shard(directory.slot_map, "shard-2")
        journal.claim(ALL_SLOTS, 7, "shard-2")
        directory.change(map_of(2, "shard-1"))
        with trio.fail_after(10):
            while 7 not in directory.heard:
                await trio.testing.wait_all_tasks_blocked(0.01)
        directory.change(map_of(8, "shard-1"))
        await gateway.expect(MapNews, lambda news: news.map_version == 8)
        gateway.say(message(1, room=theirs))
        assert (await gateway.expect(Committed)).request == 1


async def test_moves_that_fence_a_late_write_are_no_sign_of_a_shard_that_runs_twice() -> None:
    directory, journal = ChangingDirectory(map_of(1, "shard-1")), MemoryJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal, directory=directory)) as server:
        gateway = await connect(nursery, server)
        for turn in range(FENCES_MAX + 1):
            version = 2 * turn + 2
            journal.claim(ALL_SLOTS, version, "shard-2")
            gateway.say(message(turn))
            assert (await gateway.expect(Moved)).request == turn
            directory.change(map_of(version, "shard-2"))
            await gateway.expect(MapNews, lambda news, version=version: news.map_version == version)
            directory.change(map_of(version + 1, "shard-1"))
            await gateway.expect(MapNews, lambda news, version=version: news.map_version == version + 1)
        gateway.say(message(100))
        assert (await gateway.expect(Committed)).request == 100


def room_of_shard(slot_map: SlotMap, shard: str) -> str:
    """Some room whose slot the map gives to this shard."""
    names = (RoomName(f"town/room-{number}") for number in itertools.count())
    return next(name for name in names if slot_map.owner_of(slot_of(name)) == shard)


async def test_a_room_that_nobody_writes_to_is_repaired_when_the_store_has_failed_over() -> None:
    journal = ForgetfulJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1))
        await gateway.expect(Attached)
        keep = journal.changes
        gateway.say(message(1), message(2))
        await gateway.expect(Committed, lambda answer: answer.request == 2)
        with capture_logs() as lines:
            journal.fail_over(keep)
            with trio.fail_after(10):
                while not server.shard.is_settled or journal.changes <= keep:
                    await trio.sleep(0.02)
        assert [entry.id for entry in journal.read(RoomName(ROOM), (await page(gateway)).epoch, 0, 10)] == ["m1", "m2"]
        told = {line["event"]: line for line in lines}
        assert told["heads_to_verify"]["rooms"] == 1
        assert (told["forgotten_events_written_again"]["events"], told["forgotten_events_written_again"]["rooms_done"]) == (2, 1)


async def test_a_room_that_nobody_writes_to_is_told_when_it_cannot_be_repaired() -> None:
    journal = ForgetfulJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1), message(1))
        await gateway.expect(Committed)
        journal.fail_over(0)
        another = ShardDriver(journal)
        another.open_link(1)
        another.say(1, message(9))
        another.commit()
        with capture_logs() as lines:
            assert (await gateway.expect(Reattach)).generation == 1
            with trio.fail_after(10):
                while not any(line["event"] == "epoch_ended" for line in lines):
                    await trio.sleep(0.02)
        (ended,) = [line for line in lines if line["event"] == "epoch_ended"]
        assert (ended["room"], ended["offset"], ended["reason"]) == (ROOM, 1, DIVERGED)


async def test_fences_by_stores_that_forgot_the_claim_do_not_make_a_shard_step_down() -> None:
    journal = ForgetfulJournal("store")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal)) as server:
        gateway = await connect(nursery, server)
        for number in range(1, 2 * FENCES_MAX):
            journal.fail_over(0)
            gateway.say(message(number))
            assert (await gateway.expect(Committed)).offset == number
