"""The client over a fake gateway: calls are answered with values, and nothing is lost or told twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import MockClock

from client.client import Client, connect
from client.updates import Connected, Gap, HistoryPage, Reconnecting, Stopped, Update
from tests.support.honest_gateway import HonestGateway, Peer
from wire.client_codec import Form
from wire.client_messages import (
    Ack,
    AnyClientMessage,
    Event,
    Hello,
    Joined,
    Pong,
    Position,
    Publish,
    Refused,
    Renamed,
    Reset,
    Unknown,
)
from wire.limits import CLIENT_PING_SLACK_S, CLIENT_REQUEST_WAIT_S

ROOM = "election/candidate-7"
URL = "ws://gateway-1"


@asynccontextmanager
async def talk(rooms: tuple[str, ...] = (ROOM,), form: Form = Form.MSGPACK) -> AsyncIterator[tuple[Client, HonestGateway]]:
    async with trio.open_nursery() as nursery:
        gateway = HonestGateway(nursery)
        async with connect([URL], name="Ada", rng=Random(1), rooms=rooms, form=form, dial_url=gateway.dial) as client:
            yield client, gateway
        nursery.cancel_scope.cancel()


async def read_until(client: Client, kind: type[Update], count: int = 1) -> list[Update]:
    """All updates up to the `count`-th of that kind."""
    seen: list[Update] = []
    async for update in client.events():
        seen.append(update)
        if isinstance(update, kind):
            count -= 1
            if count == 0:
                return seen
    raise AssertionError(f"the client stopped after {seen}")


def offsets(updates: list[Update]) -> list[int]:
    return [update.offset for update in updates if isinstance(update, Event)]


@pytest.mark.parametrize("form", list(Form))
async def test_what_is_published_is_acknowledged_and_read(form: Form, autojump_clock: MockClock) -> None:
    async with talk(form=form) as (client, _):
        outcome = await client.publish(ROOM, "good evening", id="m1")
        assert isinstance(outcome, Ack)
        assert (outcome.room, outcome.id, outcome.offset) == (ROOM, "m1", 1)
        events = [update for update in await read_until(client, Event) if isinstance(update, Event)]
        assert (events[0].text, events[0].by) == ("good evening", client.author)
        assert isinstance(await client.edit(ROOM, 1, "good morning"), Ack)
        assert isinstance(await client.delete(ROOM, 1), Ack)
        kinds = [update.kind for update in await read_until(client, Event, 2) if isinstance(update, Event)]
        assert kinds == ["edit", "delete"]


@pytest.mark.parametrize("form", list(Form))
async def test_history_answers_events(form: Form, autojump_clock: MockClock) -> None:
    async with talk(rooms=(), form=form) as (client, gateway):
        for i in range(5):
            gateway.say(ROOM, f"line {i}")
        page = await client.history(ROOM, after=1, limit=3)
        assert isinstance(page, HistoryPage)
        assert ([event.offset for event in page.events], page.offset, page.more) == ([2, 3, 4], 5, True)


async def test_a_room_is_joined_with_history_and_left_with_its_position(autojump_clock: MockClock) -> None:
    async with talk(rooms=()) as (client, gateway):
        for i in range(5):
            gateway.say(ROOM, f"line {i}")
        joined = await client.join(ROOM, limit=2)
        assert isinstance(joined, Joined)
        assert (joined.since, joined.offset) == (3, 5)
        assert offsets(await read_until(client, Event, 2)) == [4, 5]
        assert await client.leave(ROOM) == Position("e1", 5)
        gateway.say(ROOM, "unheard")
        rejoined = await client.join(ROOM, since=Position("e1", 5))
        assert isinstance(rejoined, Joined)
        assert rejoined.recovered
        assert offsets(await read_until(client, Event)) == [6]


async def test_a_cut_connection_resumes_and_nothing_is_lost_or_told_twice(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        gateway.say(ROOM, "before")
        await read_until(client, Connected)
        for i in range(20):
            gateway.say(ROOM, f"line {i}")
            if i % 5 == 4:
                await gateway.cut()
        seen = await read_until(client, Event, 21)
        assert offsets(seen) == list(range(1, 22))
        assert any(isinstance(update, Reconnecting) for update in seen)


async def test_a_publish_in_flight_is_sent_again_with_the_same_id(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        await read_until(client, Joined)
        calls = 0

        def carry_out_but_never_answer(peer: Peer, message: AnyClientMessage) -> bool:
            nonlocal calls
            calls += 1
            if calls == 1:
                assert isinstance(message, Publish)
                gateway.fan_out(gateway.room(ROOM).append("message", peer.author, message.text, message.id))
                gateway.room(ROOM).ids[peer.author, message.id] = Ack(message.n, ROOM, message.id, "e1", 1, 1000)
                return True
            return False

        gateway.on[Publish] = carry_out_but_never_answer
        async with trio.open_nursery() as nursery:
            outcomes: list[object] = []

            async def publish() -> None:
                outcomes.append(await client.publish(ROOM, "once", id="m1"))

            nursery.start_soon(publish)
            await trio.sleep(1)
            await gateway.cut()
        assert [isinstance(outcome, Ack) and outcome.duplicate for outcome in outcomes] == [True]
        assert calls == 2
        assert offsets(await read_until(client, Event)) == [1]


async def test_a_publish_without_an_answer_is_unknown_in_the_end(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        gateway.on[Publish] = lambda peer, message: True
        start = trio.current_time()
        gateway.ping_ms = 100_000
        outcome = await client.publish(ROOM, "hello?", id="m1")
        assert isinstance(outcome, Unknown)
        assert outcome.id == "m1"
        assert trio.current_time() - start <= CLIENT_REQUEST_WAIT_S + 1


async def test_a_publish_that_never_left_is_refused_not_unknown(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        gateway.refuse_dials = True
        await gateway.cut()
        outcome = await client.publish(ROOM, "hello?")
        assert isinstance(outcome, Refused)
        assert outcome.temporary


async def test_what_a_gateway_would_refuse_is_refused_before_it_is_sent(autojump_clock: MockClock) -> None:
    async with talk() as (client, _):
        for outcome, code in [
            (await client.publish(ROOM, "   "), "bad_text"),
            (await client.publish(ROOM, "x" * 501), "too_large"),
            (await client.publish("Nowhere", "x"), "bad_room"),
            (await client.publish(ROOM, "x", id="not an id"), "bad_id"),
            (await client.rename("\u200b"), "bad_name"),
            (await client.join(ROOM), "already_joined"),
            (await client.publish("other/room", "x"), "not_joined"),
        ]:
            assert isinstance(outcome, Refused)
            assert outcome.code == code


async def test_a_gap_that_nobody_announced_is_told_and_repaired(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        await read_until(client, Joined)
        gateway.say(ROOM, "one")
        gateway.lose = {2, 3}
        for text in ("two", "three", "four"):
            gateway.say(ROOM, text)
        seen = await read_until(client, Event, 4)
        assert [update for update in seen if isinstance(update, Gap)] == [Gap(ROOM, 2, 3)]
        assert offsets(seen) == [1, 2, 3, 4]


async def test_another_epoch_is_told_as_a_reset_with_its_reason(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        gateway.say(ROOM, "old")
        await read_until(client, Event)
        room = gateway.room(ROOM)
        room.epoch, room.events = "e2", []
        room.append("message", "other", "new")
        await gateway.cut()
        seen = await read_until(client, Event)
        assert Reset(ROOM, "e2", 0, "epoch") in seen
        assert offsets(seen) == [1]


async def test_goaway_moves_to_another_connection_without_a_visible_pause(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        await read_until(client, Joined)
        gateway.say(ROOM, "one")
        gateway.goaway(deadline_ms=5000, retry_after_ms=300)
        old = gateway.peers[0]
        for i in range(10):
            await trio.sleep(0.1)
            gateway.say(ROOM, f"line {i}")
        await trio.sleep(1)
        assert old not in gateway.peers
        assert len(gateway.peers) == 1
        hello = gateway.peers[0].hello
        assert hello is not None
        assert hello.session == "session1"
        seen = await read_until(client, Event, 11)
        assert offsets(seen) == list(range(1, 12))
        assert not [update for update in seen if isinstance(update, Reconnecting)]
        assert [update.moved for update in seen if isinstance(update, Connected)] == [True]


async def test_a_silent_gateway_is_left(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        gateway.ping_ms = 1000
        await read_until(client, Joined)
        start = trio.current_time()
        gateway.on[Hello] = lambda peer, message: False
        lost = (await read_until(client, Reconnecting))[-1]
        assert isinstance(lost, Reconnecting)
        assert trio.current_time() - start == pytest.approx(1 + CLIENT_PING_SLACK_S, abs=0.1)


async def test_pings_are_answered_with_what_was_seen(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        gateway.say(ROOM, "one")
        await read_until(client, Event)
        gateway.ping()
        await trio.sleep(0.1)
        assert gateway.peers[0].heard[-1] == Pong({ROOM: 1})


async def test_a_close_code_that_says_stop_stops(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        await read_until(client, Joined)
        await gateway.close_all(3507, "not here")
        assert (await read_until(client, Stopped))[-1] == Stopped(3507, "not here")
        outcome = await client.publish(ROOM, "anybody?")
        assert isinstance(outcome, Refused)
        assert client.stop_code == 3507
        assert [update async for update in client.events()] == []


async def test_rename_is_kept_over_a_reconnect(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        assert isinstance(await client.rename("Grace"), Renamed)
        await gateway.cut()
        await client.publish(ROOM, "back")
        hello = gateway.peers[0].hello
        assert hello is not None
        assert hello.name == "Grace"
        assert hello.guest == client.guest_token


async def test_an_unknown_kind_of_message_is_ignored_and_a_broken_one_is_not(autojump_clock: MockClock) -> None:
    async with talk() as (client, gateway):
        await read_until(client, Joined)
        gateway.peers[0].send_raw(b"\x81\xa1t\xa7sparkle")
        gateway.say(ROOM, "still here")
        assert offsets(await read_until(client, Event)) == [1]
        gateway.peers[0].send_raw(b"\x81\xa1t\xa5event")
        seen = await read_until(client, Connected)
        assert any(isinstance(update, Reconnecting) for update in seen)


async def test_a_failing_program_sees_its_own_exception_not_a_group() -> None:
    async with trio.open_nursery() as nursery:
        gateway = HonestGateway(nursery)
        with pytest.raises(ZeroDivisionError):
            async with connect([URL], rng=Random(1), dial_url=gateway.dial):
                raise ZeroDivisionError
        nursery.cancel_scope.cancel()


async def test_addresses_are_walked_at_once_in_the_first_round(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        gateway = HonestGateway(nursery)
        gateway.refuse_dials = True
        async with connect(["ws://a", "ws://b", "ws://c"], rng=Random(1), dial_url=gateway.dial):
            await trio.sleep(0.5)
            assert sorted(gateway.dialled) == ["ws://a", "ws://b", "ws://c"]
            await trio.sleep(11)
            assert len(gateway.dialled) > 3
        nursery.cancel_scope.cancel()
