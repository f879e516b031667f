"""Readers in one task, against an honest gateway on real sockets."""


import trio

from loadtest.figures.latency import Latencies
from tests.support.reader_stage import ROOM, staged
from wire.client_messages import Pong, Skipped


async def test_every_reader_receives_every_event_and_its_latency_is_measured() -> None:
    async with staged() as stage:
        for _ in range(30):
            stage.pool.open([ROOM], "Lurker")
        await stage.gathered(30)
        for _ in range(20):
            stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 600)
        assert stage.samples("deliver (small)") == 600
        assert stage.findings == []
        assert stage.counts["connects"] == 30
        assert stage.samples("connect") == 30
        [row, *_] = stage.rows["deliver (small)"]
        took = Latencies.decode(row.latencies, row.total_us)
        assert 0 < took.min_us <= took.max_us < 20_000_000
        assert dict(stage.pool.servers) == {"gateway-0": 30}
        assert stage.pool.behind({ROOM: ("e1", 20)}) == 0
        assert stage.pool.behind({ROOM: ("e1", 21)}) == 30


async def test_latency_counts_on_the_masters_clock() -> None:
    async with staged(offset_us=5_000_000) as stage:
        stage.pool.open([ROOM], "Lurker")
        await stage.gathered(1)
        # The stamp is of this machine's clock; on a master's clock five seconds ahead it was meant five seconds ago.
        stage.say()
        await stage.until(lambda stage: stage.samples("deliver (small)") == 1)
        [row] = stage.rows["deliver (small)"]
        assert row.total_us >= 5_000_000


async def test_a_reader_reads_several_rooms() -> None:
    rooms = [f"square/{number}" for number in range(5)]
    async with staged() as stage:
        for _ in range(10):
            stage.pool.open(rooms, "Lurker")
        await stage.gathered(10)
        for number in range(20):
            stage.say(rooms[number % 5])
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 200)
        assert stage.samples("deliver (small)") == 200
        assert stage.findings == []


async def test_history_is_delivered_and_not_timed() -> None:
    async with staged() as stage:
        for _ in range(5):
            stage.say()
        stage.pool.open([ROOM], "Lurker", history=3)
        await stage.gathered(1)
        stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 4)
        assert stage.samples("deliver (small)") == 1
        assert stage.findings == []


async def test_pings_of_both_kinds_are_answered() -> None:
    async with staged() as stage:
        stage.pool.open([ROOM], "Lurker")
        await stage.gathered(1)
        stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 1)
        [peer] = stage.gateway.peers
        stage.gateway.ping()
        await stage.until(lambda _: Pong({ROOM: 1}) in peer.heard)
        with trio.fail_after(20):
            await peer.websocket.ping(b"are you there")


async def test_a_resume_that_was_called_recovered_and_is_not_whole_is_found() -> None:
    async with staged() as stage:
        stage.pool.open([ROOM], "Lurker")
        await stage.gathered(1)
        stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 1)
        await stage.gateway.cut()
        await stage.gathered(0)
        for _ in range(3):
            stage.say()
        del stage.gateway.room(ROOM).events[1:3]
        await stage.gathered(1)
        await stage.until(lambda stage: stage.counts.get("resume_gap", 0) == 2)
        [finding] = stage.findings
        assert (finding.kind, finding.room, finding.offset, finding.count) == ("resume_gap", ROOM, 2, 2)
        assert finding.client == "Lurker-1"


async def test_what_is_skipped_by_announcement_is_no_loss_and_a_jump_is() -> None:
    async with staged() as stage:
        stage.pool.open([ROOM], "Lurker")
        await stage.gathered(1)
        stage.say()
        stage.gateway.lose = {2, 3, 5}
        stage.say()
        stage.say()
        stage.gateway.peers[0].send(Skipped(ROOM, 2, 3))
        for _ in range(3):
            stage.say()
        await stage.until(lambda stage: stage.counts.get("lost", 0) == 1)
        assert stage.counts["skipped"] == 2
        [finding] = stage.findings
        assert (finding.kind, finding.offset, finding.count) == ("lost", 5, 1)


async def test_what_connected_readers_do_not_have_at_the_end_is_undelivered() -> None:
    async with staged() as stage:
        stage.pool.open([ROOM], "Lurker")
        await stage.gathered(1)
        stage.gateway.lose = {2, 3}
        for _ in range(3):
            stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 1)
        stage.pool.conclude({ROOM: ("e1", 3)})
        [finding] = stage.look().findings
        assert (finding.kind, finding.offset, finding.count) == ("undelivered", 2, 2)


async def test_other_tasks_have_their_turn_while_readers_are_flooded() -> None:
    async with staged() as stage:
        for _ in range(50):
            stage.pool.open([ROOM], "Lurker")
        await stage.gathered(50)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            for _ in range(100):
                stage.say()
            await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 5000)
            nursery.cancel_scope.cancel()
        assert turns > 10
        assert stage.findings == []


async def test_more_than_one_receive_takes_is_read_to_the_end() -> None:
    async with staged() as stage:
        for _ in range(3):
            stage.pool.open([ROOM], "Lurker")
        await stage.gathered(3)
        # Nobody else runs meanwhile, so that all of it waits at once; the end comes behind it.
        for _ in range(1000):
            stage.say()
        stage.gateway.peers[0].end()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 3000)
        assert stage.findings == []
