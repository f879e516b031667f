"""A shard without rooms: the far end of a real link, which a test lets speak, be silent, or die."""

from collections.abc import Callable
from random import Random
from typing import TypeVar

import trio

from runtime.link import Link, LinkRefusedError, open_server_link
from runtime.sockets import SocketNetwork
from runtime.transport import Transport
from wire.errors import PeerError
from wire.node_messages import AnyNodeMessage, NodeMessage

M = TypeVar("M", bound=NodeMessage)
SECRETS = (b"a secret of the tests",)


class FakeShard:
    """Takes links while `is_up`; keeps what it is told in `heard` until a test expects it."""

    def __init__(self, nursery: trio.Nursery, name: str = "shard-1", map_version: int = 1) -> None:
        self.name = name
        self.is_up = True
        self.link: Link | None = None
        self.links_taken = 0
        self.attempts = 0
        self.map_version = map_version
        self.all_heard: list[AnyNodeMessage] = []
        self.respond: Callable[[AnyNodeMessage], None] | None = None
        """Called with every message instead of keeping it for `expect`."""
        self._nursery = nursery
        self._send_heard, self._heard = trio.open_memory_channel[AnyNodeMessage](100_000)

    async def connect(self) -> Transport:
        """What the router's `connect` does for this shard; counts attempts, also the vain ones."""
        self.attempts += 1
        if not self.is_up:
            raise ConnectionRefusedError(f"{self.name} is down")
        near, far = SocketNetwork().pair()
        self._nursery.start_soon(self._serve, far)
        return near

    async def _serve(self, transport: Transport) -> None:
        try:
            link = await open_server_link(transport, secrets=SECRETS, node=self.name, map_version=self.map_version, rng=Random(1))
            self.link = link
            self.links_taken += 1
            await link.run(self._hear)
        except (LinkRefusedError, PeerError, OSError):
            return

    def _hear(self, message: AnyNodeMessage) -> None:
        self.all_heard.append(message)
        if self.respond is not None:
            self.respond(message)
        else:
            self._send_heard.send_nowait(message)

    def say(self, *messages: NodeMessage) -> None:
        assert self.link is not None, "nobody is linked"
        for message in messages:
            assert self.link.send_nowait(message)

    def cut(self) -> None:
        """The link breaks, in both directions at once."""
        assert self.link is not None, "nobody is linked"
        self.link.close()

    async def expect(self, kind: type[M]) -> M:
        """The next message, which must be a `kind`; fails after a minute of the clock."""
        with trio.fail_after(60):
            message = await self._heard.receive()
        assert isinstance(message, kind), f"{message!r} where {kind.__name__} was expected"
        return message

    def heard_nothing_more(self) -> bool:
        return self._heard.statistics().current_buffer_used == 0
