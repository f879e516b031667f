"""A gateway is drained at noon: everyone talks on, and nobody notices."""

from contextlib import AsyncExitStack

import trio

from client.updates import Connected, Reconnecting
from runtime.schema import GatewaySettings
from tests.support.cluster import cluster
from tests.support.history import violations
from tests.support.people import ROOM, Person, epochs_of, log_of, person
from wire.client_codec import Form
from wire.client_messages import Joined

PEOPLE = 24
LINES = 25


async def test_people_who_talk_all_the_while_lose_and_repeat_nothing_and_see_no_reconnect() -> None:
    settings = GatewaySettings(drain_deadline_s=5.0, drain_notice_s=0.1, publish_rate_per_s=1000.0, publish_burst=1000)
    # 12 clients have to move and the other gateway takes ten a second: the last of them goes after a second.
    async with cluster(gateways=2, gateway=settings, accepts_elsewhere_per_s=10.0) as play, AsyncExitStack() as stack:
        urls = [gateway.url for gateway in play.gateways.values()]
        people: list[Person] = []
        for number in range(PEOPLE):
            order = urls if number % 2 else urls[::-1]
            form = Form.JSON if number % 3 else Form.MSGPACK
            people.append(await stack.enter_async_context(person(f"p{number}", order, seed=number, form=form)))
        for each in people:
            await each.wait_for_kind(Joined)
        movers = [each for each in people if _servers(each) == ["gateway-1"]]
        assert movers
        assert len(movers) < PEOPLE, "some are there already where the others go"
        async with trio.open_nursery() as nursery:
            for each in people:
                nursery.start_soon(_chatter, each)
            with trio.fail_after(30):
                await play.gateways["gateway-1"].drain()
            nursery.start_soon(_all_hear_all, people)
        assert all(_servers(each) == ["gateway-1", "gateway-2"] for each in movers)
        for each in people:
            assert not any(isinstance(update, Reconnecting) for update in each.updates), "no visible reconnect"
            assert len(each.texts) == len(set(each.texts)) == PEOPLE * LINES
        assert violations([each.witness for each in people], log_of(play.journal, ROOM, epochs_of(people))) == []


def _servers(somebody: Person) -> list[str]:
    return [update.server for update in somebody.updates if isinstance(update, Connected)]


async def _chatter(somebody: Person) -> None:
    for number in range(LINES):
        await somebody.say(f"{somebody.name} {number}", f"{somebody.name}-{number}")
        await trio.sleep(0.05)


async def _all_hear_all(people: list[Person]) -> None:
    for each in people:
        await each.wait_for(lambda each=each: len(each.texts) == PEOPLE * LINES, 40.0)  # type: ignore[misc]
