"""An auditor: one reader who is the real client, watched below the client's own judgement.

It shares nothing with the lean readers but the service: trio-websocket's frames, the client's
reconnecting, `wire`'s decoding.  The audit sees every message of every connection before
the client leaves out what came twice or too late; then the client behaves as any reader does, and
repairs what it finds missing, so that one fault does not hide the next.

An event costs it 0.1 ms, 7 us of it the audit: a few per cent of the readers is what a generator can afford.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import trio

from client.client import connect
from client.connection import Dial
from client.updates import HistoryPage
from loadtest.audits.audit import Heads
from loadtest.audits.sightings import Sightings
from loadtest.connections.meter import ConnectionMeter
from loadtest.connections.watch import Watch
from loadtest.figures.tally import Tally
from wire.client_messages import AnyServerMessage
from wire.limits import JOIN_HISTORY_EVENTS_DEFAULT

CLIENT_NAME: Final = "parvis-loadtest-auditor"


class Auditor:
    """One of a worker's; `run` is its life."""

    def __init__(self, name: str, run: str, tally: Tally, sightings: Sightings, now_us: Callable[[], int]) -> None:
        """As `Watch`."""
        self.name = name
        self._watch = Watch(name, run, tally, sightings, now_us, self._has_heard)
        self._life = trio.CancelScope()
        self._heard = trio.Event()
        self._ended = trio.Event()

    @property
    def meter(self) -> ConnectionMeter:
        """Where it is connected."""
        return self._watch.meter

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
        watch = self._watch
        dial_url = watch.counted(dial)
        try:
            async with connect(
                urls, name=self.name, rng=rng, rooms=rooms, history=history, dial_url=dial_url, client=CLIENT_NAME, observer=watch
            ) as client:
                with self._life:
                    # Nobody reads the updates for their own sake: unread they would only fill the inbox.
                    async for _ in client.events():
                        pass
        finally:
            watch.close()
            self._ended.set()

    def leave(self) -> None:
        """End it, as a reader who has gone: what comes later is not missed."""
        self._watch.leave()
        self._life.cancel()

    async def finish(self, heads: Heads, settle_s: float) -> None:
        """Wait until all rooms have come up to `heads`, at most `settle_s`; what has not is undelivered.  Then end."""
        with trio.move_on_after(settle_s):
            while self._watch.audit.is_behind(heads) and not self._ended.is_set():
                self._heard = trio.Event()
                await self._heard.wait()
        self._watch.audit.close(heads)
        self.leave()
        await self._ended.wait()

    def _has_heard(self, _message: AnyServerMessage | HistoryPage) -> None:
        self._heard.set()
