"""Plays: a debate with users, readers and auditors of one worker, while gateways and shards leave, die and come back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from loadtest.figures.messages import VIOLATIONS, Beat, Hit
from tests.support.cluster import Cluster, cluster
from tests.support.loadtest_worker_play import WorkerPlay, worker_play

_DEBATE = """\
'''A debate: some talk when they like, some by plan, most listen.'''
from loadtest import Reader, User, between, per_second, task

ROOMS = ["debate/main", "debate/side"]

class Listener(Reader):
    rooms = ROOMS
    rooms_each = 1
    weight = 8
    audit_share = 0.2

class Citizen(User):
    rooms = ROOMS
    rooms_each = 1
    wait_time = between(0.2, 0.6)

    @task
    async def talk(self):
        await self.publish(self.room, "bonsoir à tous")

class Speaker(User):
    rooms = ROOMS
    arrivals = per_second(10)

    @task
    async def speak(self):
        for room in self.rooms:
            await self.publish(room, "on the stage")
"""
PEOPLE = 40


@asynccontextmanager
async def a_debate(tmp_path: Path, **parts: int) -> AsyncIterator[tuple[Cluster, WorkerPlay]]:
    """Everybody is there, and messages have come."""
    scenario = tmp_path / "debate.py"
    scenario.write_text(_DEBATE)
    async with cluster(**parts) as it:
        urls = [gateway.url for gateway in it.gateways.values()]
        async with worker_play(str(scenario), urls) as play:
            play.want(PEOPLE)
            await play.until(lambda play, beat: beat.connected == PEOPLE and play.counts["deliveries"] > 200)
            yield it, play


async def _goes_on(play: WorkerPlay) -> None:
    """Until everybody is connected, and much more has been said and heard."""
    acked, deliveries = play.counts["acked"], play.counts["deliveries"]
    await play.until(
        lambda play, beat: beat.connected == PEOPLE
        and play.counts["acked"] > acked + 50
        and play.counts["deliveries"] > deliveries + 500
    )


def _nothing_was_violated(play: WorkerPlay) -> None:
    assert play.findings == []
    assert not [kind for kind in VIOLATIONS if play.counts[kind]]
    assert play.raised == []
    assert play.counts["publishes"] == play.counts["acked"] + play.counts["refused"] + play.counts["unknown"]


async def test_a_quiet_evening_is_measured_whole(tmp_path: Path) -> None:
    async with a_debate(tmp_path) as (_, play):
        await _goes_on(play)
        await play.end()
    _nothing_was_violated(play)
    assert play.counts["connects"] == play.rows["connect"] == PEOPLE
    assert play.counts["acked"] == play.counts["publishes"] == play.rows["publish"]
    assert play.counts["slots"] > 10
    assert play.counts["audited"] < play.counts["deliveries"]
    # Nobody was there before the first message of a room but those who were: history is counted and not timed.
    assert 0.5 * play.counts["deliveries"] < play.rows["deliver (small)"] <= play.counts["deliveries"]
    assert play.counts["disconnects"] == play.counts["resumes"] == play.counts["moves"] == 0
    assert play.refusals == {}
    assert isinstance(play.last, Beat)
    assert (play.last.users, play.last.connected) == ({}, 0)


async def test_a_gateway_that_leaves_sends_everybody_on_and_nothing_is_missed(tmp_path: Path) -> None:
    async with a_debate(tmp_path, gateways=2) as (it, play):
        assert play.last is not None
        assert set(play.last.servers) == {"gateway-1", "gateway-2"}
        await it.gateways["gateway-1"].drain()
        await _goes_on(play)
        assert set(play.look().servers) == {"gateway-2"}
        await play.end()
    _nothing_was_violated(play)
    assert play.counts["moves"] > 0
    assert play.counts["connects"] == PEOPLE + play.counts["resumes"]
    assert play.counts["acked"] == play.counts["publishes"]


async def test_a_gateway_that_dies_is_resumed_elsewhere_without_a_hole(tmp_path: Path) -> None:
    async with a_debate(tmp_path, gateways=2) as (it, play):
        assert play.last is not None
        lost = play.last.servers["gateway-1"]
        await it.gateways["gateway-1"].kill()
        await play.until(lambda play, _: play.counts["resumes"] == lost)
        await _goes_on(play)
        await play.end()
    _nothing_was_violated(play)
    assert play.counts["disconnects"] == lost
    assert play.rows["resume"] == lost
    assert play.counts["resumes_reset"] == 0
    assert play.counts["resumes_recovered"] >= lost


async def test_a_shard_that_dies_and_comes_back_costs_time_and_no_message(tmp_path: Path) -> None:
    async with a_debate(tmp_path) as (it, play):
        await it.shards["shard-1"].kill()
        await trio.sleep(0.3)
        await it.start_shard("shard-1")
        await _goes_on(play)
        await play.end()
    _nothing_was_violated(play)
    assert play.counts["acked"] > 0.9 * play.counts["publishes"]


@pytest.mark.parametrize("kind", ["slow-readers", "half-open", "malformed", "offline"])
async def test_readers_who_misbehave_harm_nobody_else(kind: str, tmp_path: Path) -> None:
    async with a_debate(tmp_path) as (_, play):
        play.work.hit(Hit(kind, 5, 1.0))
        await _goes_on(play)
        await play.end()
    _nothing_was_violated(play)
    assert play.counts["misbehaved"] == 5
    assert play.counts["acked"] == play.counts["publishes"]
