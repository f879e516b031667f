"""The workers' connections, at their master: accepted, admitted, heard, and written to.

A stranger on the port, or a worker that dies or talks nonsense, costs its own connection and
nothing else: this is the edge at which whatever a peer does ends.
"""

from collections.abc import Callable
from random import Random
from typing import Final, Protocol

import trio

from loadtest.figures.messages import Hello, MasterMessage, Welcome, WorkerMessage
from loadtest.master.admission import NotAdmitted, Terms, ToWorker, admit
from loadtest.master.channel import to_worker
from runtime.transport import Listener, Transport
from wire.errors import PeerError

WORKERS_MAX: Final = 1000
# Connections that have not proved themselves yet; more are closed at once.
STRANGERS_MAX: Final = 64
ACCEPT_PAUSE_S: Final = 0.1
# For a peer to take the last words that were said to it.
LAST_WORDS_S: Final = 2.0


class Host(Protocol):
    """Who is told; `loadtest.master.master.Master`."""

    def why_full(self) -> str | None:
        """Why nobody is taken in now; None: somebody is."""

    def worker_joined(self, index: int, hello: Hello, welcome: Welcome) -> None: ...
    def worker_said(self, index: int, message: WorkerMessage) -> None:
        """Raises `PeerError` for what no worker may say."""

    def worker_left(self, index: int, why: str) -> None:
        """The last call about this worker, made exactly once."""

    def somebody_refused(self, sentence: str) -> None: ...


class Reception:
    """All connections of one master."""

    def __init__(self, host: Host, terms: Terms, *, clock_us: Callable[[], int], rng: Random) -> None:
        self._host = host
        self._terms = terms
        self._clock_us = clock_us
        self._rng = rng
        self._channels: dict[int, ToWorker] = {}
        self._indexes = 0
        self._strangers = 0

    async def run(self, listener: Listener) -> None:
        """Accept and serve until cancelled; owns the tasks of all connections."""
        async with trio.open_nursery() as connection_nursery:
            while True:
                try:
                    transport = listener.try_accept()
                except BlockingIOError:
                    await listener.wait_acceptable()
                except OSError as error:
                    # Out of descriptors, or a connection that ended before it was accepted.
                    self._host.somebody_refused(f"a connection could not be accepted: {error}")
                    await trio.sleep(ACCEPT_PAUSE_S)
                else:
                    if self._strangers >= STRANGERS_MAX:
                        transport.close()
                    else:
                        self._strangers += 1
                        connection_nursery.start_soon(self._serve, transport)

    def send(self, index: int, message: MasterMessage) -> bool:
        """Queue it for a worker; False when it is gone, or has not read for so long that no more fits."""
        channel = self._channels.get(index)
        return channel is not None and channel.send_nowait(message)

    async def wait_sent(self) -> None:
        """Until everybody has been given their last words, or has had the time for it."""
        async with trio.open_nursery() as nursery:
            for channel in self._channels.values():
                nursery.start_soon(channel.wait_sent, LAST_WORDS_S)

    async def _serve(self, transport: Transport) -> None:
        """One connection; its second task is the writer."""
        channel = to_worker(transport)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_write, channel)
                index = await self._admit(channel)
                if index is not None:
                    why = await self._listen(index, channel)
                    del self._channels[index]
                    self._host.worker_left(index, why)
                await channel.wait_sent(LAST_WORDS_S)
                nursery.cancel_scope.cancel()
        finally:
            channel.close()

    async def _admit(self, channel: ToWorker) -> int | None:
        try:
            hello, welcome = await admit(
                channel, self._terms, take_index=self._take_index, clock_us=self._clock_us, rng=self._rng
            )
        except NotAdmitted as no:
            self._host.somebody_refused(f"a worker at {channel.peer} was turned away: {no}")
            return None
        except (PeerError, OSError, trio.ClosedResourceError) as error:
            self._host.somebody_refused(f"somebody at {channel.peer} was no worker: {error}")
            return None
        finally:
            self._strangers -= 1
        self._channels[welcome.index] = channel
        self._host.worker_joined(welcome.index, hello, welcome)
        return welcome.index

    def _take_index(self, _hello: Hello) -> int:
        why = self._host.why_full()
        if why is not None:
            raise NotAdmitted(why)
        if self._indexes >= WORKERS_MAX:
            raise NotAdmitted(f"this master has had {WORKERS_MAX} workers already")
        self._indexes += 1
        return self._indexes - 1

    async def _listen(self, index: int, channel: ToWorker) -> str:
        """Hear a worker until it is gone; answers why."""
        try:
            while True:
                self._host.worker_said(index, await channel.receive())
        except PeerError as error:
            return error.message
        except (OSError, trio.ClosedResourceError):
            return "its connection ended"


async def _write(channel: ToWorker) -> None:
    """Write until the stream is dead; the reader finds that out for itself."""
    try:
        await channel.write()
    except (OSError, trio.ClosedResourceError):
        channel.close()
