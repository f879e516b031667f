"""How many are here, and how many were: the same numbers at every gateway."""

from client.client import Client
from tests.support.cluster import cluster
from tests.support.people import ROOM, person
from wire.client_codec import Form
from wire.client_messages import Count


async def test_everybody_hears_how_many_are_here_and_how_many_different_people_were() -> None:
    async with (
        cluster(shards=2, gateways=2) as play,
        person("Ada", [play.gateways["gateway-1"].url]) as ada,
        person("Bob", [play.gateways["gateway-2"].url], form=Form.JSON) as bob,
    ):
        async with person("Cy", [play.gateways["gateway-2"].url]) as cy:
            for somebody in (ada, bob, cy):
                client: Client = somebody.client
                await somebody.wait_for(lambda client=client: client.present(ROOM) == 3)
        for somebody in (ada, bob):
            updates = somebody.updates
            await somebody.wait_for(lambda updates=updates: updates[-1:] == [Count(ROOM, 2, 3, 3)])
