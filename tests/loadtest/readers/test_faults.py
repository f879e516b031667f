"""Readers that misbehave on purpose: what they do, how they are counted, and that they come back."""

import pytest
import trio

from client import reconnect
from gateway.inbound import InboundFrames
from loadtest.master.fault_plan import CLIENT_KINDS
from loadtest.readers.faults import MALFORMATIONS
from tests.support.reader_stage import ROOM, Stage, staged
from wire.client_codec import Form, decode_client_message
from wire.client_messages import Hello
from wire.errors import PeerError
from wire.limits import CLIENT_FRAME_BYTES_MAX


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "RECONNECT_BASE_S", 0.02)


async def gathered(stage: Stage, readers: int) -> None:
    for _ in range(readers):
        stage.pool.open([ROOM], "Lurker")
    await stage.gathered(readers)


def read_all(frames: InboundFrames) -> None:
    while (event := frames.next_event()) is not None:
        assert isinstance(event, bytes), "a malformation ends the connection by itself"
        decode_client_message(event, Form.MSGPACK)


@pytest.mark.parametrize("name", MALFORMATIONS)
def test_no_server_may_take_a_malformation(name: str) -> None:
    frames = InboundFrames(Form.MSGPACK, CLIENT_FRAME_BYTES_MAX)
    frames.feed(MALFORMATIONS[name])
    with pytest.raises(PeerError):
        read_all(frames)


async def test_malformed_clients_are_ended_and_come_back_and_nobody_else_notices() -> None:
    async with staged() as stage:
        await gathered(stage, 6)
        assert stage.pool.fault("malformed", 2, 0) == 2
        await stage.until(lambda stage: stage.counts.get("misbehaved_ended", 0) == 2)
        await stage.until(lambda stage: stage.pool.connected == 6)
        stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 6)
        assert stage.counts.get("disconnects", 0) == 0
        assert stage.counts["misbehaved"] == 2
        assert stage.tally.take_refusals() == {}
        assert stage.findings == []


async def test_slow_readers_read_nothing_and_then_all_of_it_untimed() -> None:
    async with staged() as stage:
        await gathered(stage, 3)
        assert stage.pool.fault("slow-readers", 1, 0.2) == 1
        for _ in range(5):
            stage.say()
        # On a busy machine it may read again by now: that is late, and not timed.
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) >= 10 and stage.samples("deliver (small)") == 10)
        assert stage.pool.behind({ROOM: ("e1", 5)}) == 0, "a slow reader is expected to be behind"
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 15)
        stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 18)
        assert stage.samples("deliver (small)") == 13
        assert stage.findings == []


async def test_what_slow_readers_missed_is_not_timed_when_nobody_else_was_there_to_read_it() -> None:
    async with staged() as stage:
        await gathered(stage, 2)
        stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 2)
        assert stage.pool.fault("slow-readers", 2, 0.1) == 2
        for _ in range(5):
            stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 12)
        stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 14)
        assert stage.samples("deliver (small)") == 4
        assert stage.findings == []


@pytest.mark.parametrize("kind", ["malformed", "half-open"])
async def test_what_a_reader_missed_by_its_own_doing_is_not_timed(kind: str) -> None:
    async with staged() as stage:
        await gathered(stage, 4)
        stage.pool.fault(kind, 4, 0)
        if kind == "half-open":
            await stage.gateway.cut()
        await stage.until(lambda stage: stage.pool.connected == 0)
        stage.say()
        await stage.gathered(4)
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 4)
        assert stage.samples("deliver (small)") == 0
        stage.say()
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 8)
        assert stage.samples("deliver (small)") == 4


async def test_a_slow_reader_that_was_cut_resumes_and_is_not_timed() -> None:
    async with staged() as stage:
        await gathered(stage, 1)
        stage.pool.fault("slow-readers", 1, 60)
        stage.say()
        await stage.gateway.cut()
        await stage.until(lambda stage: stage.counts.get("misbehaved_ended", 0) == 1)
        stage.say()
        await stage.gathered(1)
        stage.say()
        await stage.until(lambda stage: stage.pool.behind({ROOM: ("e1", 3)}) == 0)
        await stage.until(lambda stage: stage.counts.get("deliveries", 0) == 3)
        assert stage.samples("deliver (small)") == 1
        assert stage.samples("resume") == 0
        assert stage.findings == []


async def test_half_open_clients_answer_nothing_until_they_are_cut() -> None:
    async with staged() as stage:
        await gathered(stage, 3)
        assert stage.pool.fault("half-open", 3, 0) == 3
        stage.gateway.ping()
        stage.say()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert [type(each) for peer in stage.gateway.peers for each in peer.heard] == [Hello] * 3
        assert stage.look().counts.get("deliveries", 0) == 0
        await stage.gateway.cut()
        await stage.until(lambda stage: stage.counts.get("misbehaved_ended", 0) == 3)
        await stage.gathered(3)
        assert stage.counts.get("disconnects", 0) == 0


async def test_one_half_open_client_in_four_resets_its_connection() -> None:
    async with staged() as stage:
        await gathered(stage, 4)
        stage.pool.fault("half-open", 4, 0)
        await stage.until(lambda stage: stage.counts.get("resumes", 0) == 1)
        assert stage.counts.get("misbehaved_ended", 0) == 0
        assert stage.pool.connected == 4


async def test_half_open_clients_wake_again_when_they_are_told_for_how_long() -> None:
    async with staged() as stage:
        await gathered(stage, 1)
        stage.pool.fault("half-open", 1, 0.1)
        stage.gateway.ping()
        await stage.until(lambda stage: len(stage.gateway.peers[0].heard) == 2)


async def test_readers_that_were_offline_resume_without_a_hole_and_their_way_back_is_timed() -> None:
    async with staged() as stage:
        await gathered(stage, 3)
        assert stage.pool.fault("offline", 3, 0) == 3
        stage.say()
        await stage.until(lambda stage: stage.counts.get("resumes_recovered", 0) == 3)
        await stage.until(lambda stage: stage.pool.behind({ROOM: ("e1", 1)}) == 0)
        assert stage.samples("resume") == 3
        assert stage.counts.get("disconnects", 0) == stage.counts.get("misbehaved_ended", 0) == 0
        assert stage.findings == []


@pytest.mark.parametrize("kind", CLIENT_KINDS)
async def test_there_can_be_fewer_readers_than_are_to_misbehave(kind: str) -> None:
    async with staged() as stage:
        await gathered(stage, 2)
        assert stage.pool.fault(kind, 5, 60) == 2
        assert stage.pool.fault(kind, 5, 60) == 0


def test_malformations_are_all_different() -> None:
    assert len(set(MALFORMATIONS.values())) == len(MALFORMATIONS)
