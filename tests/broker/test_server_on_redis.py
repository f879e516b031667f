"""A whole shard on a real Redis that is stopped, frozen, failed over or emptied under it: it refuses, reads on, and heals."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from broker.journal.redis import RedisJournal
from broker.server import ShardServer
from runtime.offload import ThreadLane
from runtime.schema import RedisSettings
from tests.support.redis_server import RedisServer, redis_sentinels, redis_server
from tests.support.shard_driver import ROOM, delete, message
from tests.support.shard_links import GatewayEnd, connect, parts_of, running_shard
from wire.names import Epoch, RoomName
from wire.node_messages import Attach, Attached, CommandRefused, Committed, Range, RangeRead

PATIENCE_S = 30.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as running:
        yield running


@asynccontextmanager
async def shard_on(
    settings: RedisSettings, *, wait_replicas: int = 0
) -> AsyncIterator[tuple[ShardServer, GatewayEnd, RedisJournal]]:
    """A shard with threads of its own, as in production, and a gateway that has attached to ROOM."""
    settings = RedisSettings(url=settings.url, timeout_s=0.5)
    journal = RedisJournal(settings, cluster="test", new_store_id="store", wait_replicas=wait_replicas, deadline_s=2.0)
    lanes = ThreadLane("commit"), ThreadLane("read")
    try:
        async with trio.open_nursery() as nursery, running_shard(
            parts_of(journal, lane=lanes[0], read_lane=lanes[1], commit_deadline_s=2.5)
        ) as server:
            gateway = await connect(nursery, server)
            gateway.say(Attach(ROOM, 1))
            await gateway.expect(Attached)
            yield server, gateway, journal
    finally:
        for lane in lanes:
            lane.close()
        journal.close()


async def publish(gateway: GatewayEnd, number: int) -> Committed | CommandRefused:
    """One message, and what became of it."""
    gateway.say(message(number))
    answer = await gateway.expect((Committed, CommandRefused), lambda answer: answer.request == number)
    assert isinstance(answer, Committed | CommandRefused)
    return answer


async def publish_until_taken(gateway: GatewayEnd, number: int) -> Committed:
    """As a gateway does it: again, with the same id, for as long as the refusal is a temporary one."""
    with trio.fail_after(PATIENCE_S):
        while True:
            answer = await publish(gateway, number)
            if isinstance(answer, Committed):
                return answer
            assert answer.code == "unavailable"
            await trio.sleep(0.02)


async def ids_in(gateway: GatewayEnd) -> list[int]:
    """The offsets that the shard shows."""
    gateway.say(RangeRead(9999, ROOM))
    page = await gateway.expect(Range)
    assert isinstance(page, Range)
    return [frame.offset for frame in page.frames]


async def run_sync(job: object) -> None:
    """Something slow that is done to a server, away from the event loop."""
    await trio.to_thread.run_sync(job)  # type: ignore[arg-type]


async def test_while_redis_is_down_publishes_are_refused_and_memory_is_read_and_it_heals_by_itself(server: RedisServer) -> None:
    async with shard_on(server.settings) as (shard, gateway, journal):
        first = await publish_until_taken(gateway, 1)
        server.stop()
        refused = await publish(gateway, 2)
        assert isinstance(refused, CommandRefused)
        assert refused.code == "unavailable"
        assert await ids_in(gateway) == [1]
        assert shard.shard.journal_away
        server.start()
        again = await publish_until_taken(gateway, 2)
        assert (again.epoch, again.offset) == (first.epoch, 2)
        assert not shard.shard.journal_away
        assert [e.offset for e in journal.read(RoomName(ROOM), Epoch(first.epoch), 0, 10)] == [1, 2]


async def test_what_was_on_its_way_into_a_redis_that_froze_is_answered_once_it_goes_on(server: RedisServer) -> None:
    async with shard_on(server.settings) as (shard, gateway, journal):
        first = await publish_until_taken(gateway, 1)
        server.freeze()
        gateway.say(message(2))
        with trio.fail_after(PATIENCE_S):
            while not shard.shard.journal_away:
                await trio.sleep(0.02)
        server.thaw()
        answer = await gateway.expect((Committed, CommandRefused), lambda answer: answer.request == 2)
        again = await publish_until_taken(gateway, 2)
        assert again.offset == 2
        if isinstance(answer, Committed):
            assert answer.offset == 2
        assert [e.offset for e in journal.read(RoomName(ROOM), Epoch(first.epoch), 0, 10)] == [1, 2]


async def test_a_failover_keeps_what_a_replica_had_and_needs_no_restart(tmp_path: Path) -> None:
    with redis_sentinels(tmp_path) as pair:
        async with shard_on(pair.settings, wait_replicas=1) as (_, gateway, journal):
            first = await publish_until_taken(gateway, 1)
            pair.primary.kill()
            assert isinstance(await publish(gateway, 2), CommandRefused)
            assert await ids_in(gateway) == [1]
            await run_sync(pair.wait_failed_over)
            # The one that is left has no replica of its own, so nothing is acknowledged yet.
            pair.primary.start("--replicaof", f"127.0.0.1 {pair.replica.port}", "--repl-diskless-sync-delay", "0")
            again = await publish_until_taken(gateway, 2)
            assert (again.epoch, again.offset) == (first.epoch, 2)
            assert [e.offset for e in journal.read(RoomName(ROOM), Epoch(first.epoch), 0, 10)] == [1, 2]


async def test_a_redis_that_comes_back_empty_is_given_again_what_memory_has(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with shard_on(server.settings) as (_, gateway, journal):
            first = await publish_until_taken(gateway, 1)
            for number in range(2, 6):
                await publish_until_taken(gateway, number)
            server.kill()
            server.start()
            again = await publish_until_taken(gateway, 6)
            assert (again.epoch, again.offset) == (first.epoch, 6)
            assert [e.offset for e in journal.read(RoomName(ROOM), Epoch(first.epoch), 0, 10)] == [1, 2, 3, 4, 5, 6]
            assert (await publish_until_taken(gateway, 3)).duplicate


async def test_a_redis_that_falls_back_to_an_older_copy_of_itself_has_all_again_though_nobody_writes(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with shard_on(server.settings) as (_, gateway, journal):
            epoch = Epoch((await publish_until_taken(gateway, 1)).epoch)
            server.ask("SAVE")
            await publish_until_taken(gateway, 2)
            gateway.say(delete(3, 1))
            await gateway.expect(Committed, lambda answer: answer.request == 3)
            server.kill()
            server.start()
            with trio.fail_after(PATIENCE_S):
                while len(entries := await trio.to_thread.run_sync(journal.read, RoomName(ROOM), epoch, 0, 10)) < 3:
                    await trio.sleep(0.05)
            assert [entry.removed for entry in entries] == ["author", "", ""], "the removal of an older text as well"
            assert (await publish_until_taken(gateway, 4)).offset == 4
            assert (await publish_until_taken(gateway, 2)).duplicate


async def test_a_full_redis_refuses_publishes_until_there_is_room(server: RedisServer) -> None:
    async with shard_on(server.settings) as (_, gateway, _):
        await publish_until_taken(gateway, 1)
        server.ask("CONFIG", "SET", "maxmemory", "1")
        assert isinstance(await publish(gateway, 2), CommandRefused)
        assert await ids_in(gateway) == [1]
        server.ask("CONFIG", "SET", "maxmemory", "0")
        assert (await publish_until_taken(gateway, 2)).offset == 2
