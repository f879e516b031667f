"""An auditor: one reader who is the real client, watched below the client's own judgement.

It shares nothing with the lean readers but the service: trio-websocket's frames, the client's
reconnecting, `wire`'s decoding.  The audit sees every message of every connection before
the client leaves out what came twice or too late; then the client behaves as any reader does, and
repairs what it finds missing, so that one fault does not hide the next.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import trio

from client.client import connect
from client.connection import Dial
from client.effects import ConnectionId
from client.updates import HistoryPage
from loadtest.audit import Audit, Heads
from loadtest.meter import ConnectionMeter
from loadtest.sightings import Sightings
from loadtest.tally import Tally
from wire.client_messages import AnyServerMessage, ClientMessage
from wire.limits import JOIN_HISTORY_EVENTS_DEFAULT

CLIENT_NAME: Final = "parvis-loadtest-auditor"


class Auditor:
    """One of a worker's; `run` is its life.

    `Sightings`, `Tally` and refusals are the worker's own, and shared by all its auditors.  Names appear in findings.
    """

    def __init__(
        self, name: str, run: str, tally: Tally, sightings: Sightings, refusals: "Counter[str]", now_us: Callable[[], int]
    ) -> None:
        """`now_us` is the master's monotonic clock."""
        self.name = name
        self.meter = ConnectionMeter(tally, refusals, now_us)
        self._audit = Audit(name, run, tally, sightings)
        self._tally = tally
        self._now_us = now_us
        self._life = trio.CancelScope()
        self._heard = trio.Event()
        self._ended = trio.Event()

    async def run(
        self,
        urls: Sequence[str],
        rooms: Sequence[str],
        rng: Random,
        dial: Dial,
        *,
        history: int = JOIN_HISTORY_EVENTS_DEFAULT,
    ) -> None:
        """Stay connected until `leave` or `finish`, then say goodbye; all that was found is told by then."""
        dial_url = self._counted(dial)
        try:
            async with connect(
                urls, name=self.name, rng=rng, rooms=rooms, history=history, dial_url=dial_url, client=CLIENT_NAME, observer=self
            ) as client:
                with self._life:
                    # Nobody reads the updates for their own sake: unread they would only fill the inbox.
                    async for _ in client.events():
                        pass
        finally:
            self.meter.server = ""
            self._audit.close({})
            self._ended.set()

    def leave(self) -> None:
        """End it, as a reader who has gone: what comes later is not missed."""
        self.meter.is_leaving = True
        self._life.cancel()

    async def finish(self, heads: Heads, settle_s: float) -> None:
        """Wait until all rooms have come up to `heads`, at most `settle_s`; what has not is lost.  Then end."""
        with trio.move_on_after(settle_s):
            while self._audit.is_behind(heads) and not self._ended.is_set():
                self._heard = trio.Event()
                await self._heard.wait()
        self._audit.close(heads)
        self.leave()
        await self._ended.wait()

    # --- what the client's connections do -----------------------------------------------------------

    def dialled(self, connection: ConnectionId, url: str) -> None:
        self.meter.dialled(connection, url)

    def opened(self, connection: ConnectionId) -> None:
        self.meter.opened(connection)

    def sent(self, connection: ConnectionId, message: ClientMessage) -> None:
        self._audit.sent(connection, message)

    def received(self, connection: ConnectionId, message: AnyServerMessage | HistoryPage) -> None:
        self.meter.received(connection, message)
        self._audit.received(connection, message, self._now_us())
        self._heard.set()

    def broken(self, connection: ConnectionId, reason: str) -> None:
        self._audit.broken(reason)

    def failed(self, connection: ConnectionId, reason: str) -> None:
        self.meter.failed(connection, reason)

    def closed(self, connection: ConnectionId, code: int, reason: str) -> None:
        self.meter.closed(connection, code, reason)
        self._audit.ended(connection)

    def _counted(self, dial: Dial) -> Dial:
        async def dial_and_count(url: str) -> trio.abc.Stream:
            return CountedStream(await dial(url), self._tally)

        return dial_and_count


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
