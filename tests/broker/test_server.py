"""A whole shard over real links: the path of a message, restarts, drains, and peers that misbehave."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from broker.journal.memory import MemoryJournal
from broker.journal.protocol import Journal, StaleMap
from broker.journal.sqlite import SqliteJournal
from broker.server import run_shard
from runtime.link import open_client_link
from runtime.offload import ThreadLane
from runtime.sockets import SocketNetwork
from tests.support.changing_directory import ChangingDirectory, map_of
from tests.support.faulty_journal import Fault, FaultyJournal
from tests.support.shard_driver import ALL_SLOTS, ROOM, delete, message
from tests.support.shard_links import SECRET, GatewayEnd, connect, parts_of, running_shard
from wire.limits import SLOT_COUNT
from wire.names import ShardId
from wire.node_messages import (
    Attach,
    Attached,
    Batch,
    CommandRefused,
    Committed,
    Doubt,
    HideFrames,
    Leaving,
    MapNews,
    Moved,
    Range,
    RangeRead,
)

OpenJournal = Callable[[], Journal]


@pytest.fixture(params=["memory", "sqlite"])
def open_journal(request: pytest.FixtureRequest, tmp_path: Path) -> OpenJournal:
    """Opens the same store each time."""
    if request.param == "memory":
        memory = MemoryJournal("store")
        return lambda: memory
    return lambda: SqliteJournal(tmp_path / "journal.sqlite", new_store_id="store")


async def test_a_message_goes_from_one_gateway_to_all(open_journal: OpenJournal) -> None:
    async with trio.open_nursery() as nursery, running_shard(parts_of(open_journal())) as server:
        one, two = await connect(nursery, server, "gateway-1"), await connect(nursery, server, "gateway-2")
        one.say(Attach(ROOM, 1))
        two.say(Attach(ROOM, 1))
        position = await one.expect(Attached)
        await two.expect(Attached)
        two.say(message(1, "good evening"), message(2, "hello all"))
        first, second = await two.expect(Committed), await two.expect(Committed)
        assert (first.offset, second.offset, first.epoch) == (1, 2, position.epoch)
        offsets: list[int] = []
        while len(offsets) < 2:
            offsets += [frame.offset for frame in (await one.expect(Batch)).frames]
        assert offsets == [1, 2]
        one.say(delete(3, 1, author="ann"))
        assert (await two.expect(HideFrames)).tombstones[0].offset == 1
        one.say(RangeRead(4, ROOM))
        assert len((await one.expect(Range)).frames) == 3


async def test_a_restart_keeps_epoch_ids_and_offsets(open_journal: OpenJournal) -> None:
    async with trio.open_nursery() as nursery, running_shard(parts_of(open_journal())) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1), *(message(number) for number in range(5)))
        before = await gateway.expect(Committed, lambda answer: answer.request == 4)
    async with trio.open_nursery() as nursery, running_shard(parts_of(open_journal(), map_version=2, seed=2)) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 2, epoch=before.epoch, offset=3))
        again = await gateway.expect(Attached)
        assert (again.epoch, again.offset, again.since, again.resumed, again.term) == (before.epoch, 5, 3, True, 2)
        gateway.say(message(4))
        assert await gateway.expect(Committed) == Committed(4, before.epoch, 5, before.at, duplicate=True)


async def test_threads_commit_and_read_as_well_as_inline_jobs(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite", new_store_id="store")
    lane, read_lane = ThreadLane("commit"), ThreadLane("read")
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal, lane=lane, read_lane=read_lane)) as server:
        gateway = await connect(nursery, server)
        gateway.say(*(message(number) for number in range(500)))
        last = await gateway.expect(Committed, lambda answer: answer.request == 499)
        assert last.offset == 500
        assert server.shard.is_settled
    lane.close()
    read_lane.close()
    journal.close()


async def test_a_shard_answers_what_is_under_way_before_it_leaves() -> None:
    parts = parts_of(MemoryJournal("store"))
    async with trio.open_nursery() as nursery, running_shard(parts) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1))
        await gateway.expect(Attached)
        gateway.say(*(message(number) for number in range(200)))
        await gateway.expect(Batch)
        parts.lifecycle.start_drain("test")
        await gateway.expect(Leaving)
        await gateway.wait_ended()
        answered = [heard.request for heard in gateway.heard if isinstance(heard, Committed | CommandRefused)]
        assert answered == list(range(200))


async def test_a_drain_waits_for_rooms_that_are_on_their_way() -> None:
    journal, gate = FaultyJournal(MemoryJournal("store"), Random(1)), threading.Event()
    journal.hold("load", gate)
    parts = parts_of(journal, read_lane=ThreadLane("read"))
    async with trio.open_nursery() as nursery, running_shard(parts) as server:
        gateway = await connect(nursery, server)
        gateway.say(message(1), RangeRead(2, ROOM))
        with trio.fail_after(10):
            while not journal.calls["load"]:
                await trio.testing.wait_all_tasks_blocked(0.01)
        parts.lifecycle.start_drain("test")
        await gateway.expect(Leaving)
        gate.set()
        assert (await gateway.expect(CommandRefused)).code == "draining"
        await gateway.expect(Range)
        await gateway.wait_ended()


async def test_a_shard_under_an_old_map_says_so_and_does_not_start() -> None:
    journal = MemoryJournal("store")
    journal.claim(ALL_SLOTS, 7, "another")
    with pytest.raises(StaleMap):
        await run_shard(parts_of(journal, map_version=6))


async def test_a_shard_under_an_old_map_waits_for_a_newer_one_where_there_can_be_one() -> None:
    journal, directory = MemoryJournal("store"), ChangingDirectory(map_of(6, "shard-1"))
    journal.claim(ALL_SLOTS, 7, "another")
    async with trio.open_nursery() as nursery:

        async def change() -> None:
            while not directory.heard:
                await trio.testing.wait_all_tasks_blocked(0.01)
            directory.change(map_of(8, "shard-1"))

        nursery.start_soon(change)
        async with running_shard(parts_of(journal, directory=directory)) as server:
            assert (directory.heard[0], server.shard.map_version, server.shard.slots_owned) == (7, 8, 4096)


async def test_a_lapsed_lease_is_told_to_gateways_old_and_new_and_so_is_its_renewal() -> None:
    directory = ChangingDirectory(map_of(1, "shard-1"))
    async with trio.open_nursery() as nursery, running_shard(parts_of(MemoryJournal("store"), directory=directory)) as server:
        one = await connect(nursery, server, "gateway-1")
        directory.is_lapsed = True
        assert (await one.expect(Doubt)).is_lapsed
        two = await connect(nursery, server, "gateway-2")
        assert (await two.expect(Doubt)).is_lapsed
        directory.is_lapsed = False
        assert not (await two.expect(Doubt)).is_lapsed
        assert not (await one.expect(Doubt)).is_lapsed


async def test_news_of_a_map_from_a_gateway_make_the_directory_look() -> None:
    directory = ChangingDirectory(map_of(1, "shard-1"))
    async with trio.open_nursery() as nursery, running_shard(parts_of(MemoryJournal("store"), directory=directory)) as server:
        gateway = await connect(nursery, server)
        gateway.say(MapNews(4), message(1))
        await gateway.expect(Committed)
        assert directory.heard == [4]


async def test_a_shard_that_leaves_moves_its_slots_out_first_and_serves_meanwhile() -> None:
    directory = ChangingDirectory(map_of(1, "shard-1"))
    parts = parts_of(MemoryJournal("store"), directory=directory)
    async with trio.open_nursery() as nursery, running_shard(parts) as server:
        gateway = await connect(nursery, server)
        gateway.say(Attach(ROOM, 1))
        await gateway.expect(Attached)
        parts.lifecycle.start_drain("test")
        with trio.fail_after(10):
            while not directory.is_leaving:
                await trio.testing.wait_all_tasks_blocked(0.01)
        gateway.say(message(1))
        assert (await gateway.expect(Committed)).request == 1
        directory.change(map_of(2, "shard-2"))
        assert (await gateway.expect(Moved)).generation == 1
        await gateway.expect(Leaving)
        await gateway.wait_ended()


async def test_a_shard_whose_slots_nobody_can_take_drains_at_once() -> None:
    directory = ChangingDirectory(map_of(1, "shard-1"))
    directory.has_successor = False
    parts = parts_of(MemoryJournal("store"), directory=directory, drain_deadline_s=60)
    async with trio.open_nursery() as nursery, running_shard(parts) as server:
        gateway = await connect(nursery, server)
        parts.lifecycle.start_drain("test")
        await gateway.expect(Leaving)
        await gateway.wait_ended()


async def test_a_shard_whose_successor_leaves_as_well_waits_no_longer() -> None:
    directory = ChangingDirectory(map_of(1, "shard-1"))
    parts = parts_of(MemoryJournal("store"), directory=directory, drain_deadline_s=60)
    async with trio.open_nursery() as nursery, running_shard(parts) as server:
        gateway = await connect(nursery, server)
        parts.lifecycle.start_drain("test")
        with trio.fail_after(10):
            while not directory.is_leaving:
                await trio.testing.wait_all_tasks_blocked(0.01)
        directory.has_successor = False
        await gateway.expect(Leaving)
        await gateway.wait_ended()


async def test_what_a_shard_reports_is_served_only_when_it_is_claimed() -> None:
    directory = ChangingDirectory(map_of(1, "shard-1", "shard-2"))
    journal = FaultyJournal(MemoryJournal("store"), Random(1))
    async with trio.open_nursery() as nursery, running_shard(parts_of(journal, directory=directory)) as server:
        await connect(nursery, server)
        first = server.report()
        assert (first.map_version, first.served_version, first.connections) == (1, 1, 1)
        assert first.slots == len(directory.slot_map.slots_of(ShardId("shard-1")))
        journal.fail("claim", Fault.BEFORE, times=1000)
        directory.change(map_of(2, "shard-1"))
        with trio.fail_after(10):
            while server.report().map_version != 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert (server.report().served_version, server.report().slots) == (1, first.slots)
        journal.heal()
        with trio.fail_after(10):
            while server.report().served_version != 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert server.report().slots == SLOT_COUNT


async def test_a_shard_serves_on_a_listener_that_was_bound_before() -> None:
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    parts = replace(parts_of(MemoryJournal("store")), listener=listener)
    async with trio.open_nursery() as nursery, running_shard(parts) as server:
        assert server.listener is listener
        await connect(nursery, server)


@pytest.mark.parametrize("rubbish", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4000, b"\x00\x00\x00\x01\xc1", b""])
async def test_rubbish_on_a_link_hurts_nobody_else(rubbish: bytes) -> None:
    parts = parts_of(MemoryJournal("store"))
    async with trio.open_nursery() as nursery, running_shard(parts) as server:
        gateway = await connect(nursery, server)
        for _ in range(20):
            stranger = await SocketNetwork().connect(server.listener.host, server.listener.port)
            if rubbish:
                stranger.try_send(rubbish)
            stranger.close()
        gateway.say(message(1))
        await gateway.expect(Committed)
        with trio.fail_after(10):
            while parts.counters.link_refusals < 20:
                await trio.testing.wait_all_tasks_blocked(0.01)


async def test_an_authenticated_peer_that_talks_rubbish_loses_its_own_link_only() -> None:
    parts = parts_of(MemoryJournal("store"))
    async with trio.open_nursery() as nursery, running_shard(parts) as server:
        good, bad = await connect(nursery, server), await connect(nursery, server, "gateway-2")
        bad.say(Leaving())
        await bad.wait_ended()
        worse = await connect(nursery, server, "gateway-3")
        worse.link.send_encoded_nowait(Random(1).randbytes(5000))
        await worse.wait_ended()
        assert parts.counters.link_errors == 2
        good.say(message(1))
        await good.expect(Committed)


async def test_a_stream_of_this_process_is_served_like_any_other() -> None:
    async with trio.open_nursery() as nursery, running_shard(parts_of(MemoryJournal("store"))) as server:
        near, far = SocketNetwork().pair()
        server.serve_transport(far)
        link = await open_client_link(near, secrets=[SECRET], role="api", node="api-1", rng=Random(5))
        end = GatewayEnd(link)
        nursery.start_soon(end.run)
        end.say(message(1))
        assert (await end.expect(Committed)).offset == 1
