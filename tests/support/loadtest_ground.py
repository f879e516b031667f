"""A worker's users and auditors over memory streams: an honest gateway, and a clock that is trio's."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random

import trio

from client.connection import Dial
from loadtest.audits.sightings import Sightings
from loadtest.connections.watch import Heard, Watch
from loadtest.figures.tally import Tally
from loadtest.people.environment import Environment
from loadtest.people.hooks import Events
from loadtest.people.tasks import Chosen
from loadtest.workers.crowds import Ground
from loadtest.workers.speech import Speech, count_requests
from tests.support.honest_gateway import HonestGateway

RUN = "run1"


def now_us() -> int:
    return round(trio.current_time() * 1e6)


class GatewayDials:
    """A dialer whose every address is one honest gateway."""

    urls = ("ws://a", "ws://b")

    def __init__(self, gateway: HonestGateway) -> None:
        self._gateway = gateway

    def dial(self, turn_came: Callable[[], None]) -> Dial:
        async def dial(url: str) -> trio.abc.Stream:
            turn_came()
            return await self._gateway.dial(url)

        return dial


class TestGround:
    """The ground of users, and what they did on it."""

    __test__ = False

    def __init__(self, nursery: trio.Nursery) -> None:
        self.gateway = HonestGateway(nursery)
        self.tally = Tally()
        self.sightings = Sightings(RUN, self.tally)
        self.events = Events()
        self.events.request.add_listener(count_requests(self.tally))
        self.errors: list[str] = []
        self.events.user_error.add_listener(lambda exception, **_: self.errors.append(str(exception)))
        self.dials = GatewayDials(self.gateway)
        self.environment = Environment(self.events, self.dials.urls, run=RUN, worker_index=2)
        self.ground = Ground(
            self.environment, Chosen(), self.tally, self.dials, Speech(RUN, 2, self.tally, self.events.request, now_us),
            self.watch, Random, now_us, lambda _late: None, nursery,
        )  # fmt: skip

    def watch(self, name: str, heard: Heard) -> Watch:
        return Watch(name, RUN, self.tally, self.sightings, now_us, heard)

    def texts(self, room: str) -> Sequence[str]:
        """The words of all messages of a room, without their stamps."""
        return [event.text.rpartition(" ")[0] for event in self.gateway.room(room).events]


@asynccontextmanager
async def a_ground() -> AsyncIterator[TestGround]:
    """Everything on it is cancelled when the block ends."""
    async with trio.open_nursery() as nursery:
        yield TestGround(nursery)
        nursery.cancel_scope.cancel()
