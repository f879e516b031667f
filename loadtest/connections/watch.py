"""How a real client is watched, a user's or an auditor's: connections measured, messages audited, bytes counted."""

from collections.abc import Callable

import trio

from client.connection import Dial
from client.effects import ConnectionId
from client.updates import HistoryPage
from loadtest.audits.audit import Audit
from loadtest.audits.sightings import Sightings
from loadtest.connections.meter import ConnectionMeter
from loadtest.figures.tally import Tally
from wire.client_messages import AnyServerMessage, ClientMessage

Heard = Callable[[AnyServerMessage | HistoryPage], None]


class Watch:
    """The `client.observer.Observer` of one client.

    `Sightings` and `Tally` are the worker's own, and shared by all its clients.  Names appear in findings.
    """

    def __init__(
        self,
        name: str,
        run: str,
        tally: Tally,
        sightings: Sightings,
        now_us: Callable[[], int],
        heard: Heard = lambda _message: None,
    ) -> None:
        """`now_us` is the master's clock; `heard` is told of each message after it was measured and audited."""
        self.meter = ConnectionMeter(tally, now_us)
        self.audit = Audit(name, run, tally, sightings)
        self._tally = tally
        self._now_us = now_us
        self._heard = heard

    def leave(self) -> None:
        """The client ends by our wish, from now on."""
        self.meter.is_leaving = True

    def close(self) -> None:
        """The client has ended: what would have come later is not missed."""
        self.meter.server = ""
        self.audit.close({})

    def counted(self, dial: Dial) -> Dial:
        """A dial whose streams' bytes are counted."""

        async def dial_and_count(url: str) -> trio.abc.Stream:
            return CountedStream(await dial(url), self._tally)

        return dial_and_count

    # --- client.observer.Observer --------------------------------------------------------------------

    def dialled(self, connection: ConnectionId, url: str) -> None:
        self.meter.dialled(connection, url)

    def opened(self, connection: ConnectionId) -> None:
        self.meter.opened(connection)

    def sent(self, connection: ConnectionId, message: ClientMessage) -> None:
        self.audit.sent(connection, message)

    def received(self, connection: ConnectionId, message: AnyServerMessage | HistoryPage) -> None:
        self.meter.received(connection, message)
        self.audit.received(connection, message, self._now_us())
        self._heard(message)

    def broken(self, connection: ConnectionId, reason: str) -> None:
        self.audit.broken(reason)

    def failed(self, connection: ConnectionId, reason: str) -> None:
        self.meter.failed(connection, reason)

    def closed(self, connection: ConnectionId, code: int, reason: str) -> None:
        self.meter.closed(connection, code, reason)
        self.audit.ended(connection)


class CountedStream(trio.abc.Stream):
    """A stream whose received bytes are counted."""

    def __init__(self, stream: trio.abc.Stream, tally: Tally) -> None:
        self._stream = stream
        self._tally = tally

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        self._tally.counts["bytes_received"] += len(data)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()
