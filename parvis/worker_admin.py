"""What the parent of worker processes knows of them, for its one admin port: who is ready, and all their figures.

Each worker has an admin port of its own on loopback, on a port that nobody is told of; they are asked when
the parent is asked, all at once, and one that does not answer in time is left out and counts as not ready.
"""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from parvis.child import Child
from runtime.exposition import MetricsRegistry
from runtime.merged_metrics import merge
from runtime.streams import recv_some, send_all
from runtime.transport import Network

ASK_DEADLINE_S: Final = 1.0
# Under 500 series a process, 100 bytes each: ten times that.
ANSWER_BYTES_MAX: Final = 512 * 1024
PARENT: Final = "parent"


class WorkerAdmin:
    """The workers as `runtime.admin.AdminServer` wants to see them; a worker's label is its number, from 1."""

    def __init__(self, network: Network, workers: Sequence[Child], own: MetricsRegistry) -> None:
        self._network = network
        self._workers = workers
        self._own = own
        self._ready = 0
        self._figures: dict[str, bytes] = {}

    async def ask_ready(self) -> None:
        """Look who is ready now."""
        self._ready = len(await self._ask_all("/readyz"))

    async def ask_figures(self) -> None:
        """Fetch everybody's figures."""
        self._figures = await self._ask_all("/metrics")

    def why_not_ready(self) -> list[str]:
        """Ready means that most workers were when they were asked last."""
        count = len(self._workers)
        return [] if 2 * self._ready > count else [f"{self._ready} of {count} workers are ready"]

    def render(self) -> bytes:
        """All figures as of the last look, and the parent's own."""
        return merge({**self._figures, PARENT: self._own.render()}, "worker")

    async def _ask_all(self, path: str) -> dict[str, bytes]:
        """The bodies of those who answered with 200, in order of their numbers."""
        bodies: dict[str, bytes] = {}
        async with trio.open_nursery() as nursery:
            for number, worker in enumerate(self._workers, 1):
                if worker.is_up:
                    nursery.start_soon(self._ask, worker.admin_port, path, lambda body, n=str(number): bodies.update({n: body}))
        return dict(sorted(bodies.items(), key=lambda item: int(item[0])))

    async def _ask(self, port: int, path: str, keep: Callable[[bytes], None]) -> None:
        with trio.move_on_after(ASK_DEADLINE_S):
            try:
                head, _, body = (await self._fetch(port, path)).partition(b"\r\n\r\n")
            except OSError:
                # It has just died: the next answer says so.
                return
            if head.startswith(b"HTTP/1.1 200 "):
                keep(body)

    async def _fetch(self, port: int, path: str) -> bytes:
        transport = await self._network.connect("127.0.0.1", port)
        try:
            await send_all(transport, f"GET {path} HTTP/1.1\r\nHost: worker\r\n\r\n".encode())
            answer = bytearray()
            while len(answer) <= ANSWER_BYTES_MAX and (data := await recv_some(transport)):
                answer += data
            return bytes(answer)
        finally:
            transport.close()
