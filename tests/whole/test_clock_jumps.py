"""The machines' clocks jump by an hour, both ways: times never go back within a room, and nothing else is noticed."""

import time

from tests.support.cluster import cluster
from tests.support.history import violations
from tests.support.people import ROOM, epochs_of, log_of, person
from wire.client_messages import Ack

HOUR_S = 3600.0


class JumpingClock:
    """Seconds since 1970, and what somebody has done to them."""

    def __init__(self) -> None:
        self.off_by_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.off_by_s


async def test_an_hours_jump_of_every_clock_costs_nothing_and_turns_no_time_back() -> None:
    clock = JumpingClock()
    async with cluster(shards=2, gateways=2, wall_clock=clock) as play:
        urls = [gateway.url for gateway in play.gateways.values()]
        async with person("Ada", [urls[0]]) as ada, person("Bob", [urls[1]], seed=2) as bob:
            places = []
            for number, jump_s in enumerate((0.0, HOUR_S, -HOUR_S, 0.0)):
                clock.off_by_s = jump_s
                told = await ada.client.publish(ROOM, f"line {number}", f"m{number}")
                assert isinstance(told, Ack), told
                places.append(told)
                assert isinstance(await bob.say(f"reply {number}", f"r{number}"), Ack)
                for place, known in enumerate(places):
                    again = await ada.client.publish(ROOM, f"line {place}", f"m{place}")
                    assert again == known or (isinstance(again, Ack) and (again.offset, again.duplicate) == (known.offset, True))
                await play.shards["shard-1"].drain()
                await play.start_shard("shard-1")
            await ada.wait_for_text("reply 3")
            await bob.wait_for_text("reply 3")
            times = [told.at for told in places]
            assert times == sorted(times)
            assert [told.offset for told in places] == [1, 3, 5, 7]
            log = log_of(play.journal, ROOM, epochs_of([ada, bob]))
            assert violations([ada.witness, bob.witness], log) == []
            for somebody in (ada, bob):
                clock.off_by_s = HOUR_S
                await play.gateways["gateway-1"].drain()
                await play.start_gateway("gateway-1", port=int(urls[0].rpartition(":")[2]))
                assert isinstance(await somebody.say("after the gateway's restart", f"last-{somebody.client.name}"), Ack)
