"""Connections of readers by the rules of clients: opened at a pace, lost, resumed, moved, refused, left."""

from random import Random

import pytest
import trio

from client import reconnect
from loadtest.connections.dialing import Dialer, find_targets
from loadtest.figures.tally import Tally
from loadtest.readers import lifelines, pool
from loadtest.readers.pool import ReaderPool
from tests.support.honest_gateway import Peer
from tests.support.reader_stage import ROOM, RUN, staged
from wire.client_messages import AnyClientMessage, Hello, Refused, Welcome


async def test_hosts_get_equally_many_readers() -> None:
    async with staged(gateways=3) as stage:
        for _ in range(12):
            stage.pool.open([ROOM], "Lurker")
        await stage.gathered(12)
        assert dict(stage.pool.servers) == {"gateway-0": 4, "gateway-1": 4, "gateway-2": 4}


async def test_who_loses_its_connection_resumes_without_a_hole() -> None:
    async with staged() as stage:
        for _ in range(5):
            stage.pool.open([ROOM], "Lurker")
        await stage.gathered(5)
        stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 5)
        await stage.gateway.cut()
        await stage.gathered(0)
        stage.say()
        await stage.gathered(5)
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 10)
        assert stage.findings == []
        names = ("disconnects", "resumes", "resumes_recovered", "connects")
        assert [stage.counts[name] for name in names] == [5, 5, 5, 10]
        assert stage.samples("resume") == 5
        assert all(row.total_us >= 500_000 for row in stage.rows["resume"]), "nobody comes back before half a second"
        # Delayed by the outage, and counted so.
        assert stage.samples("deliver (small)") == 10
        assert all(peer.hello is not None and peer.hello.session and peer.hello.guest for peer in stage.gateway.peers)


async def test_a_move_after_goaway_loses_and_repeats_nothing() -> None:
    async with staged(gateways=2) as stage:
        for _ in range(6):
            stage.pool.open([ROOM], "Lurker")
        await stage.gathered(6)
        leaving = {id(peer) for peer in stage.gateway.peers}
        stage.gateway.goaway(retry_after_ms=30)
        for _ in range(50):
            stage.say()
            await trio.sleep(0.002)
        await stage.until(lambda stage: stage.counts.get("moves", 0) == 6 and stage.pool.sockets == 6)
        assert not leaving & {id(peer) for peer in stage.gateway.peers}
        stage.say()
        await stage.until(lambda stage: stage.pool.behind({ROOM: ("e1", 51)}) == 0 and stage.samples("deliver (small)") == 306)
        assert stage.findings == []
        assert stage.counts.get("disconnects", 0) == 0
        assert stage.samples("resume") == 0


async def test_close_says_goodbye_and_nobody_comes_back() -> None:
    async with staged() as stage:
        readers = [stage.pool.open([ROOM], "Lurker") for _ in range(3)]
        await stage.gathered(3)
        for reader in readers:
            stage.pool.close(reader)
        assert stage.pool.connected == 0
        await stage.until(lambda stage: stage.pool.sockets == 0 and not stage.gateway.peers)
        assert stage.counts.get("disconnects", 0) == 0


async def test_who_is_closed_before_it_had_its_turn_never_connects() -> None:
    async with staged() as stage:
        stage.pool.close(stage.pool.open([ROOM], "Lurker"))
        stage.pool.open([ROOM], "Lurker")
        await stage.gathered(1)
        assert len(stage.gateway.peers) == 1
        assert stage.counts["connects"] == 1


async def test_refusals_are_counted_by_their_code_and_tried_again_when_they_say() -> None:
    async with staged() as stage:
        busy = iter([True, False])

        def refuse(peer: object, message: object) -> bool:
            if next(busy, False):
                peer.send(Refused(0, "busy", "Try again.", True, 50))  # type: ignore[attr-defined]
                return True
            return False

        stage.gateway.on[Hello] = refuse
        stage.pool.open([ROOM], "Lurker")
        await stage.gathered(1)
        assert stage.counts["connects_failed"] == 1
        assert stage.tally.take_refusals() == {"busy": 1}
        [failed] = [row for row in stage.rows["connect"] if row.failures]
        assert failed.errors == {"Try again.": 1}


async def test_a_code_that_says_stop_is_obeyed() -> None:
    async with staged() as stage:
        reader = stage.pool.open([ROOM], "Lurker")
        await stage.gathered(1)
        await stage.gateway.close_all(3507, "not here")
        await stage.until(lambda stage: stage.counts.get("disconnects", 0) == 1)
        assert stage.tally.take_refusals() == {"3507": 1}
        assert (reader.line, reader.next, reader.dial_at) == (None, None, None)


async def test_nobody_listening_is_a_refused_connection() -> None:
    async with staged() as stage:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
        await listener.aclose()
        tally = Tally()
        pool = ReaderPool(Dialer(await find_targets([url])), tally, run=RUN, offset_us=0, rng=Random(7))
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            reader = pool.open([ROOM], "Lurker")
            while reader.dial_at is None:
                await trio.sleep(0.001)
            assert 1 <= reader.dial_at - trio.current_time() + 1 <= 11
            assert tally.take_refusals() == {"connection refused": 1}
            nursery.cancel_scope.cancel()
        assert stage.tally.stops == []


async def test_a_gateway_that_answers_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifelines, "HANDSHAKE_DEADLINE_S", 0.05)
    async with staged() as stage:
        stage.gateway.on[Hello] = lambda peer, message: True
        stage.pool.open([ROOM], "Lurker")
        await stage.until(lambda stage: stage.counts.get("connects_failed", 0) == 1)
        assert stage.tally.take_refusals() == {"no answer": 1}
        await stage.until(lambda stage: not stage.gateway.peers)


async def test_a_connection_that_has_fallen_silent_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifelines, "CLIENT_PING_SLACK_S", 0.1)
    monkeypatch.setattr(pool, "_SWEEP_S", 0.1)
    async with staged() as stage:
        stage.gateway.ping_ms = 100
        stage.pool.open([ROOM], "Lurker")
        await stage.gathered(1)
        await stage.until(lambda stage: stage.counts.get("disconnects", 0) == 1)
        await stage.until(lambda stage: stage.counts.get("resumes", 0) == 1)


async def test_a_room_that_is_refused_for_now_is_asked_for_again() -> None:
    async with staged() as stage:
        def refuse_one(peer: Peer, message: AnyClientMessage) -> bool:
            assert isinstance(message, Hello)
            refused = Refused(0, "unavailable", "Later.", True, 10, "square/b")
            peer.send(Welcome(1, "g", "s", "g", "a", "n", 25_000, [stage.gateway.enter(peer, 0, message.joins[0])[0], refused]))
            return True

        stage.gateway.on[Hello] = refuse_one
        stage.pool.open(["square/a", "square/b"], "Lurker")
        await stage.gathered(1)
        assert sum(row.failures for row in stage.rows["connect"]) == 1
        await stage.until(lambda stage: bool(stage.gateway.room("square/b").members))
        stage.say("square/b")
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 1)
        assert stage.tally.take_refusals() == {"unavailable": 1}
        assert stage.findings == []


async def test_what_is_our_own_fault_is_said_so() -> None:
    async with trio.open_nursery() as nursery:
        tally = Tally()
        dialer = Dialer(await find_targets(["ws://127.0.0.1:9"]), ["192.0.2.1"])
        readers = ReaderPool(dialer, tally, run=RUN, offset_us=0, rng=Random(7))
        await nursery.start(readers.run)
        readers.open([ROOM], "Lurker")
        while not tally.stops:
            await trio.sleep(0.001)
        assert tally.stops == ["this machine has no port left for another connection: name more --source-ips"]
        assert tally.take()[1] == {"connects_failed": 1}
        nursery.cancel_scope.cancel()


async def test_first_connections_keep_the_pace_and_those_who_come_back_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "RECONNECT_BASE_S", 0.01)
    async with staged(connects_per_s_max=200) as stage:
        began = trio.current_time()
        for _ in range(40):
            stage.pool.open([ROOM], "Lurker")
        await stage.gathered(40)
        assert trio.current_time() - began >= 39 / 200 - 0.02
        stage.dialer.pace.reserve(trio.current_time() + 3600)
        await stage.gateway.cut()
        await stage.until(lambda stage: stage.counts.get("resumes", 0) == 40)
